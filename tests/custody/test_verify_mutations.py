"""Each check is needed: with it alone switched off, something that must not be verified would be.

Switched off means that it finds nothing: what it would have refused, or could not check, it passes.
`python -m tests.mutations` does the same to every single refusal inside the checks.
"""

import secrets

import pytest

from custody import leaf, verify
from custody.entry import Entry
from custody.errors import CustodyError
from custody.report import Fault, NotChecked, Status
from custody.trust import CHECKS
from tests.custody import successor
from tests.custody import test_verify_attacks as attacks
from tests.custody.world import World, packed, zipped

SEQ = attacks.SEQ


class Presented:
    """What a verifier is given: files, a trust file that asks for little, and options."""

    def __init__(self, world, files=None, *, require=(), **options):
        self.world, self.files, self.options = world, files or world.bundle(), options
        self.trust = world.trust(require=require)

    def verify(self):
        return self.world.verify(self.files, self.trust, **self.options)


def quiet():
    """A world whose parties never say what they saw: the operator's easiest."""
    return World(seen=False).exchange()


def a_file_for_people_changed(path):
    w = quiet()
    files = w.bundle()
    return Presented(w, files | {"verify.md": files["verify.md"].swapcase()})


def a_note_of_garbage(path):
    w = quiet()
    return Presented(w, packed(w.bundle() | {"checkpoints/7": b"garbage"}))


def an_entry_beside_its_leaf(path):
    w = quiet()
    honest, forged = w.bundle(), w.copy().forge(SEQ["closed"], noted__bytes=0).bundle()
    lines, other = (files["entries.jsonl"].splitlines(keepends=True) for files in (honest, forged))
    lines[SEQ["closed"]] = other[SEQ["closed"]]
    return Presented(w, packed(honest | {"entries.jsonl": b"".join(lines)}))


def a_predecessor_that_never_was(path):
    w = quiet()
    last = w.chains[w.handle][-1]
    data = last.data.replace(last.fields["prev"].encode(), b"11" * 32)
    w.chains[w.handle][-1] = Entry.of(data, last.fields | {"prev": "11" * 32})
    return Presented(w)


def a_statement_of_no_entry(path):
    w = quiet()
    idle = w.say(w.court, "act", event="exchange.closed")
    return Presented(w, w.bundle(statements=[*w.contents().statements, idle.envelope]))


def a_key_slipped_in(path):
    return Presented(attacks.slips_in_a_key(quiet()))


def a_login_key_that_speaks(path):
    return Presented(attacks.lets_a_login_key_speak(quiet()))


def an_act_under_anothers_signature(path):
    return Presented(attacks.rewrites_an_act_under_its_signature(quiet()))


def the_end_of_a_download_that_never_began(path):
    w = quiet()
    noted = {"opened": "00" * 32, "bytes": 1, "outcome": "closed"}
    w.note("download.closed", {"package": w.package}, noted)
    return Presented(attacks.end(w))


def a_label_out_of_thin_air(path):
    w = quiet()
    salts = [slot.salt for slot in w.slots if slot.chain == w.handle]
    honest, noise = leaf.next_label, secrets.token_bytes(32)
    leaf.next_label = lambda salt, entry_hash: noise if salt == salts[4] else honest(salt, entry_hash)
    try:
        return Presented(w)
    finally:
        leaf.next_label = honest


def a_root_over_other_leaves(path):
    w = quiet()
    return Presented(w, w.bundle(checkpoint=w.checkpoint(root=bytes(32))))


def a_checkpoint_signed_by_nobody_known(path):
    w = quiet()
    return Presented(w, w.bundle(checkpoint=w.checkpoint(signers=World(seen=False).signers)))


def a_quorum_of_one(path):
    w = World(seen=False, witnesses=2).exchange()
    return Presented(w, w.bundle(checkpoint=w.checkpoint(cosigners=w.witnesses[:1])))


def the_services_word_changed(path):
    return Presented(attacks.edits_its_own_word(World().exchange()))


def a_hidden_end(path):
    w = quiet()
    return Presented(w, attacks.recut(w, w.handle, SEQ["receipt"]))


def an_act_dated_back(path):
    return Presented(attacks.backdates_an_act(quiet()))


def timestamps_demanded_in_vain(path):
    return Presented(quiet(), require=("timestamps",))


def releases_that_cannot_be_judged(path):
    w = quiet()
    files = w.bundle(withheld={SEQ["accepted"]})
    return Presented(w, files, require=("conditions",), allow_withheld=True)


def a_false_digest_of_fixity(path):
    return Presented(attacks.says_a_false_digest_of_fixity(quiet()))


def a_header_nobody_granted(path):
    w = quiet()
    other = attacks.Item(b"another text", [w.court.identity.recipient])
    return Presented(w, w.bundle(headers=[*(item.header for item in w.items), other.header]))


def a_table_that_shows_something_else(path):
    w = World(seen=False).exchange("export")
    files = w.bundle("export")
    return Presented(w, packed(files | {"entries.csv": files["entries.csv"].replace(b"receipt.", b"request.")}))


def an_item_changed_on_disk(path):
    w = quiet()
    for item in w.items:
        (path / item.id).write_bytes(item.body[:-1] + bytes([item.body[-1] ^ 1]))
    return Presented(w, items=path)


def a_past_that_was_another(path):
    old = successor.ended(successor.before())
    (path / "before").write_bytes(zipped(old.bundle()))
    w = successor.Successor(old, says=lambda name, continues: continues | {"hash": "11" * 32}).goes_on()
    return Presented(w, before=path / "before", before_trust=old.trust(require=()))


ONLY = {
    "packing": a_file_for_people_changed,
    "canonical": a_note_of_garbage,
    "bodies": an_entry_beside_its_leaf,
    "chain": a_predecessor_that_never_was,
    "statements": a_statement_of_no_entry,
    "registries": a_key_slipped_in,
    "signers": a_login_key_that_speaks,
    "signatures": an_act_under_anothers_signature,
    "rules": the_end_of_a_download_that_never_began,
    "labels": a_label_out_of_thin_air,
    "inclusion": a_root_over_other_leaves,
    "log": a_checkpoint_signed_by_nobody_known,
    "quorum": a_quorum_of_one,
    "consistency": the_services_word_changed,
    "completeness": a_hidden_end,
    "succession": a_past_that_was_another,
    "time": an_act_dated_back,
    "timestamps": timestamps_demanded_in_vain,
    "conditions": releases_that_cannot_be_judged,
    "digests": a_false_digest_of_fixity,
    "headers": a_header_nobody_granted,
    "table": a_table_that_shows_something_else,
    "items": an_item_changed_on_disk,
}
"""Check → what nothing else finds."""


def blind(function):
    """The check, finding nothing."""

    def check(case):
        try:
            return function(case)
        except (CustodyError, Fault, NotChecked):
            return ""

    return check


@pytest.mark.parametrize("check", CHECKS)
def test_what_only_one_check_finds_is_verified_without_it(check, tmp_path, monkeypatch):
    presented = ONLY[check](tmp_path)
    report = presented.verify()
    assert not report.verified
    assert report[check].status is not Status.PASS
    monkeypatch.setitem(verify.FUNCTIONS, check, blind(verify.FUNCTIONS[check]))
    blinded = presented.verify()
    assert blinded.verified, blinded.text()


@pytest.mark.parametrize(
    "attack",
    [
        attacks.drops_the_acceptance,
        attacks.swaps_acceptance_and_release,
        attacks.releases_before_acceptance,
        attacks.releases_to_a_stranger,
    ],
)
@pytest.mark.parametrize("off", ["rules", "conditions"])
def test_an_early_release_is_found_by_either_of_two_checks(attack, off, monkeypatch):
    monkeypatch.setitem(verify.FUNCTIONS, off, blind(verify.FUNCTIONS[off]))
    report = attack(World(seen=False).exchange()).verify()
    assert report["conditions" if off == "rules" else "rules"].status is Status.FAIL
    assert report.exit_code == 20
