"""Bundle vectors: exchanges and registries that go on from an earlier log, and the ways in which that can be a lie."""

import json

from custody import statement
from custody.text import from_base64, to_base64
from tests.custody import successor
from tests.custody.successor import Successor, before, ended
from tests.custody.world import World, zipped
from tests.vectors.bundle_table import of, slim, vector

ENTRY = {"file": "entries.jsonl", "line": 1, "offset": 0, "seq": 0}
FALSE = {"check": "succession", "code": "succession-broken", "exit_code": 20}
OPEN = {"check": "succession", "status": "not_checked"}


def old():
    return ended(before())


def judged(world, earlier, *, brought=True, trust=None, files=None, **options):
    """The successor's bundle, with that of the log before it from its end."""
    if brought:
        options["before"] = zipped(slim(files or earlier.bundle()), compress=True)
        options["before_trust"] = (trust or earlier.trust(require=())).encode()
    return of(world, slim(world.bundle()), **options)


def saying(change, **options):
    """What the service says of the exchange's past, changed."""

    def says(name, continues):
        return change(continues) if name == "@exchange" else continues

    first = old()
    return judged(Successor(first, says=says).goes_on(), first, **options)


def among(others=(), auditors=(), *, by="police.nl", **detail):
    """An exchange of more parties, opened again otherwise."""
    first = ended(before(others=others, auditors=auditors))
    return judged(Successor(first).goes_on(by, **detail), first)


@vector("an exchange and its registries go on after what stood last in the log before", "succession", status="pass")
def goes_on():
    return saying(lambda continues: continues)


@vector("the same without the bundle of the log before: the service's word", code="no-earlier-bundle", **OPEN)
def goes_on_by_the_word_of_the_service():
    return saying(lambda continues: continues, brought=False)


@vector("the bundle of the log before is of a log nobody believes", code="earlier-unverified", exit_code=21, **OPEN)
def goes_on_from_a_log_nobody_believes():
    return saying(lambda continues: continues, trust=World(seen=False).trust(require=()))


@vector("goes on after an entry that was not the last: what followed would be lost", **FALSE, **ENTRY)
def goes_on_after_an_earlier_entry():
    first = ended(before().exported())
    opened = first.chains[first.handle][0]
    says = {"origin": first.origin, "seq": 0, "hash": opened.hash.hex()}
    world = Successor(first, says=lambda name, honest: says if name == "@exchange" else honest)
    return judged(world.goes_on(), first)


@vector("goes on after an entry that never was", **FALSE, **ENTRY)
def goes_on_after_an_entry_that_never_was():
    return saying(lambda continues: continues | {"seq": continues["seq"] + 1})


@vector("goes on from the very log it stands in", **FALSE, **ENTRY)
def goes_on_from_itself():
    first = old()
    world = Successor(
        first, says=lambda name, c: c | {"origin": successor.NEXT if name == "@exchange" else c["origin"]}, first=None
    )
    return judged(world.goes_on(), first, brought=False)


@vector("goes on from another log than the one that the successor named as it began", **FALSE, **ENTRY)
def goes_on_from_a_log_that_was_not_before():
    return saying(lambda continues: continues | {"origin": "evidence.example.net/log"}, brought=False)


@vector("an exchange of the log before that does not say that it goes on", **FALSE, **ENTRY)
def conceals_its_past():
    return saying(lambda continues: None)


@vector("the log before has another successor", **FALSE, seq=0)
def goes_on_in_a_log_that_nobody_named():
    first = ended(before(), "evidence.example.org/log3")
    return judged(Successor(first).goes_on(), first)


LOG = {
    "check": "succession",
    "code": "predecessor-mismatch",
    "exit_code": 20,
    "file": "service/entries.jsonl",
    "seq": 0,
}


@vector("the successor began after another root than the log before ended with", **LOG)
def began_after_another_root():
    first = old()
    return judged(Successor(first, first={"root": "11" * 32}).goes_on(), first)


@vector("more parties and an auditor, all of them named again", "succession", status="pass")
def goes_on_among_three_and_an_auditor():
    return among(["third.be"], ["audit.eu"], by="court.fr")


@vector("a party was left out when the exchange was opened again", **FALSE, **ENTRY)
def goes_on_without_a_party():
    return among(["third.be"], parties=["court.fr", "police.nl"])


@vector("an auditor that was let in later was left out when the exchange was opened again", **FALSE, **ENTRY)
def goes_on_without_a_later_auditor():
    first = before()
    first.people["audit.eu"] = first.enrol("audit.eu")
    first.act(first.police, "party.added", {"authority": "audit.eu"}, {"as": "auditor"})
    ended(first)
    return judged(Successor(first).goes_on(), first)


@vector("opened again by an authority that was no party of it", **FALSE, **ENTRY)
def goes_on_by_a_stranger():
    first = World(seen=False)
    third = first.enrol("third.be")
    first.people = {who.id: who for who in (first.police, first.court, third)}
    first.act(first.court, "exchange.opened", detail={"parties": ["court.fr", "third.be"]})
    return judged(Successor(ended(first)).goes_on(parties=["court.fr", "police.nl", "third.be"]), first)


@vector("the exchange was closed in the log before", **FALSE, **ENTRY)
def goes_on_though_it_was_closed():
    first = before()
    first.act(first.police, "exchange.closed")
    return judged(Successor(ended(first)).goes_on(), first)


OWN = {"check": "succession", "exit_code": 20, "chain": "police.nl", "seq": 0}


@vector("an authority has new keys, and the old one signs for them", "succession", status="pass")
def goes_on_with_new_keys():
    first = old()
    return judged(Successor(first, renewed="police.nl").goes_on(), first)


@vector("an authority has new keys that none of its old ones knows", code="signer-not-entitled", **OWN)
def goes_on_with_keys_of_a_stranger():
    first = old()
    return judged(Successor(first, renewed="police.nl", silent=True).goes_on(), first)


@vector("an authority has new keys; the old one's signature for them is forged", code="signature-invalid", **OWN)
def goes_on_with_a_forged_signature():
    first = old()
    world = Successor(first, renewed="police.nl")
    chain = world.chains[world.police.handle]
    said = world.statements.pop(chain[0].statement_id)
    outer, own = json.loads(said), first.police.key.public.id
    for each in outer["signatures"]:
        if each["keyid"] == own:
            raw = bytearray(from_base64(each["sig"]))
            raw[0] ^= 1
            each["sig"] = to_base64(bytes(raw))
    forged = statement.parse(json.dumps(outer, separators=(",", ":"), sort_keys=True).encode())
    world.statements[forged.id] = forged.envelope
    named = {"id": forged.id, "envelope": forged.envelope_hash}
    world.forge(0, handle=world.police.handle, statement=named)
    return judged(world.goes_on(), first)


@vector("a registry of the log before that does not say that it goes on", **FALSE, chain="court.fr", seq=0)
def a_registry_that_conceals_its_past():
    first = old()
    return judged(Successor(first, says=lambda name, c: c if name != "court.fr" else None).goes_on(), first)


@vector("the bundle of the log before is from before its end", code="earlier-silent", exit_code=21, **OPEN)
def goes_on_from_a_log_not_shown_to_have_ended():
    first = before().exported()
    return judged(Successor(first).goes_on(), first)


@vector("the bundle of the log before ends before the entry that is named", code="earlier-silent", exit_code=21, **OPEN)
def goes_on_after_what_the_earlier_bundle_does_not_hold():
    first = before().exported()
    files = first.bundle()
    return judged(Successor(first.exported()).goes_on(), first, files=files)


@vector("the bundle of the log before is of another exchange", code="earlier-silent", exit_code=21, **OPEN)
def goes_on_from_an_exchange_not_at_hand():
    first = before()
    other, first.handle = first.handle, "5a" * 32
    first.act(first.police, "exchange.opened", detail={"parties": ["court.fr", "police.nl"]})
    world = Successor(ended(first)).goes_on()
    first.handle = other
    return judged(world, first)


@vector("the bundle of the log before withholds an entry", code="earlier-silent", exit_code=21, **OPEN)
def goes_on_from_what_is_withheld():
    first = ended(before().exported())
    return judged(Successor(first).goes_on(), first, files=first.bundle(withheld={1}), allow_withheld=True)


@vector("nothing goes on, and a bundle of a log before is brought", code="nothing-continues", exit_code=21, **OPEN)
def goes_on_from_nothing():
    first = old()
    return judged(before().exported(), first)


@vector(
    "a bundle from the end of a log, for which nobody asked: nothing could be asked any more",
    "completeness",
    code="claimed",
    status="not_checked",
)
def a_bundle_from_the_end_of_a_log():
    first = old()
    return of(first, slim(first.bundle()))


@vector(
    "what is said to be the end of the log, in its midst: who asked for the bundle would be hidden by it",
    "completeness",
    code="export-missing",
    exit_code=21,
)
def a_false_end_of_a_log():
    first = old()
    first.act(first.police, "exchange.closed")
    first.tick("tail")
    return of(first, slim(first.bundle()))
