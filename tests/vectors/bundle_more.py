"""Bundle vectors: what the reader brings, what others vouch for, and each refusal that no other row comes by."""

import dataclasses
import hashlib
import re
import tempfile
from datetime import timedelta
from pathlib import Path

from custody.note import SignerKey
from tests.custody import test_verify_attacks as attacks
from tests.custody import test_verify_mutations as single
from tests.custody.world import TAIL, World, packed, zipped
from tests.vectors.bundle_checks import SEQ
from tests.vectors.bundle_table import FOLDER, Made, changed, lines, of, row, slim, tiny, vector

quiet = single.quiet


def exchange(change=None, *, require=(), **options):
    """An exchange's bundle, its files changed, under a packing list made again."""

    def make():
        w = quiet()
        files = slim(w.bundle())
        return of(w, packed(change(w, files)) if change else files, require=require, **options)

    return make


def story(change, *, require=(), seen=False, files=None, **trust):
    """An exchange whose parties, or whose operator, did something else."""

    def make():
        w = World(seen=seen)
        w = change(w) or w
        return of(w, files(w) if files else slim(w.bundle()), require=require, trust=trust)

    return make


def received():
    return World(seen=False).opened().sealed(plaintexts=(b"disk image",)).received()


# ---------------------------------------------------------------- chains


def swapped_index(data):
    first, second = re.findall(rb'"index":(\d+)', data)[:2]
    return (
        data.replace(b'"index":' + first, b'"index":~')
        .replace(b'"index":' + second, b'"index":' + first)
        .replace(b"~", second)
    )


row("entries-out-of-order", "entry 1 before entry 0", changed(entries=lines(lambda rows: rows[::-1])), "bodies", code="body-mismatch", exit_code=20, file=f"{FOLDER}entries.jsonl", line=2)  # fmt: skip
row("an-entry-without-a-leaf", "the last leaf line is missing", changed(leaves=lines(lambda rows: rows[:-1])), "bodies", code="body-mismatch", exit_code=20, file=f"{FOLDER}entries.jsonl", line=2, seq=1)  # fmt: skip
row("an-entry-of-the-exchange-without-a-leaf", "the last leaf line of the exchange is missing", exchange(lambda w, files: files | {"leaves.jsonl": b"".join(files["leaves.jsonl"].splitlines(keepends=True)[:-1])}), "bodies", code="body-mismatch", exit_code=20, file="entries.jsonl", seq=SEQ["exported"])  # fmt: skip
row("indices-that-descend", "two leaves exchanged their places", changed(leaves=swapped_index), "chain", code="chain-broken", exit_code=20, file=f"{FOLDER}leaves.jsonl", line=2)  # fmt: skip
row("a-gap-in-the-leaves", "the line of seq 0 is missing: an excerpt", exchange(lambda w, files: files | {"leaves.jsonl": b"".join(files["leaves.jsonl"].splitlines(keepends=True)[1:]), "entries.jsonl": b"".join(files["entries.jsonl"].splitlines(keepends=True)[1:])}), "chain", status="not_checked", exit_code=20)  # fmt: skip


def says_otherwise(**members):
    w = tiny()
    return of(w.forge(1, handle=w.police.handle, **members))


for _member, _value in [("chain", "11" * 32), ("log", "evidence.example.net/log")]:
    row(
        f"entry-of-another-{_member}", f"an entry that says it is of another {_member}",
        lambda member=_member, value=_value: says_otherwise(**{member: value}),
        "chain", code="chain-broken", exit_code=20, file=f"{FOLDER}entries.jsonl", seq=1,
    )  # fmt: skip


@vector("a statement that an entry names is missing", "statements", code="statement-absent", exit_code=20, seq=1)
def a_statement_that_is_missing():
    w = tiny()
    wanted = w.chains[w.police.handle][1].statement_id
    kept = [data for found, data in w.statements.items() if found != wanted]
    chain = {made.statement_id for made in w.chains[w.police.handle]}
    return of(
        w, slim(w.bundle("registry", statements=[w.statements[found] for found in chain - {wanted}] if kept else []))
    )


# ---------------------------------------------------------------- log, inclusion, quorum

row("inclusion-of-another-size", "the proof is of another tree", changed(inclusion=lambda data: data.replace(b"\n6\n", b"\n7\n")), "inclusion", code="size-mismatch", exit_code=20)  # fmt: skip
row("inclusion-with-a-hash-less", "a hash of the proof is missing", changed(inclusion=lines(lambda rows: rows[:-1])), "inclusion", code="batch-mismatch", exit_code=20)  # fmt: skip
row("inclusion-with-a-hash-more", "a hash of the proof is left over", changed(inclusion=lines(lambda rows: [*rows, rows[-1]])), "inclusion", code="batch-mismatch", exit_code=20)  # fmt: skip
row("two-leaves-at-one-place", "two lines claim one index", changed(leaves=lambda data: data.replace(b'"index":1', b'"index":0')), "inclusion", code="index-twice", exit_code=20)  # fmt: skip


@vector("an entry stands where the last leaf must be a tail", "inclusion", code="index-twice", exit_code=20)
def an_entry_as_the_last_leaf():
    w = tiny()
    w.slots = [*w.slots[2:4], *w.slots[:2]]
    return of(w)


@vector("the trust file speaks of another log", "log", code="origin-mismatch", exit_code=22)
def a_trust_file_of_another_log():
    w = tiny()
    other = SignerKey.generate("evidence.example.net/log", 0x01)
    return of(w, trust={"origin": "evidence.example.net/log", "log": (other.verifier,)})


@vector("one of the log's two keys did not sign", "log", code="not-signed", exit_code=22)
def one_key_of_the_log_missing():
    w = tiny()
    return of(w, slim(w.bundle("registry", checkpoint=w.checkpoint(signers=w.signers[:1]))))


@vector("a witness's signature on the checkpoint is wrong", "log", code="signature-invalid", exit_code=22)
def a_wrong_cosignature():
    w = tiny(witnesses=1)
    other = w.copy()
    other.clock += timedelta(hours=1)
    note = w.checkpoint(cosigners=[]).decode()
    lie = w.witnesses[0].sign(
        other.checkpoint(root=bytes(32)).decode().split("\n\n")[0] + "\n", int(w.clock.timestamp())
    )
    return of(w, slim(w.bundle("registry", checkpoint=f"{note}{lie}\n".encode())))


@vector("the log signed one text and shows another", "log", code="signature-invalid", exit_code=20)
def a_root_under_old_signatures():
    w = tiny()
    lines_of = w.checkpoint().split(b"\n")
    lines_of[2] = b"A" * 43 + b"="
    return of(w, slim(w.bundle("registry", checkpoint=b"\n".join(lines_of))))


@vector("a stranger's cosignature does not count", "quorum", code="quorum-missing", exit_code=22)
def an_unknown_witness():
    w = tiny(witnesses=2)
    stranger = SignerKey.generate("witness1.example", 0x04)
    return of(w, slim(w.bundle("registry", checkpoint=w.checkpoint(cosigners=[w.witnesses[0], stranger]))))


def two_keys_of_one(w):
    """A policy in which an authority has two keys, of both kinds, and another has one."""
    keys = [*w.witnesses, SignerKey.generate("witness0.example", 0x06)]
    names = "".join(f"witness w{n} {key.verifier}\n" for n, key in enumerate(keys))
    return keys, f"{names}group one any w0 w2\ngroup two any w1\ngroup all 2 one two\nquorum all\n"


@vector("two keys of one authority are one authority", "quorum", code="quorum-missing", exit_code=22)
def one_witness_counted_twice():
    w = tiny(witnesses=2)
    keys, policy = two_keys_of_one(w)
    note = w.checkpoint(cosigners=[keys[0], keys[2]])
    return of(w, slim(w.bundle("registry", checkpoint=note)), trust={"policy": policy})


@vector("two authorities, by keys of both kinds")
def honest_with_keys_of_both_kinds():
    w = tiny(witnesses=2)
    keys, policy = two_keys_of_one(w)
    return of(w, slim(w.bundle("registry", checkpoint=w.checkpoint(cosigners=keys[1:]))), trust={"policy": policy})


@vector("one line of a witness, twice in the note", "canonical", code="note-malformed", exit_code=3, file="checkpoint")
def one_cosignature_twice():
    w = tiny(witnesses=2)
    note = w.checkpoint(cosigners=w.witnesses[:1])
    files = slim(w.bundle("registry", checkpoint=note))
    return of(w, packed(files | {"checkpoint": note + note.splitlines(keepends=True)[-1]}))


# ---------------------------------------------------------------- trust files


def trusting(change):
    def make():
        w = tiny()
        return Made(slim(w.bundle("registry")), change(w.trust(require=()).encode()))

    return make


row("without-a-trust-file", "the reader trusts nobody", lambda: Made(slim(tiny().bundle("registry")), None), "log", status="not_checked", exit_code=22)  # fmt: skip
row("exchange-without-a-trust-file", "the reader trusts nobody", lambda: Made(slim(quiet().bundle()), None), "time", status="not_checked", exit_code=22)  # fmt: skip


def one_name(data):
    """One public key under two names in the policy."""
    key = SignerKey.generate("witness0.example", 0x04).verifier
    twin = dataclasses.replace(key, name="witness1.example")
    text = f"witness a {key}\\nwitness b {twin}\\ngroup all 2 a b\\nquorum all\\n".encode()
    return data.replace(b"quorum none\\n", text, 1)


TRUST = [
    ("of-garbage", "no JSON", lambda data: b"garbage", "not-canonical", 3),
    ("with-a-space", "another spelling", lambda data: data.replace(b'"v":1', b'"v": 1'), "not-canonical", 3),
    ("of-version-2", "a version to come", lambda data: data.replace(b'"v":1', b'"v":2'), "trust-unsupported", 24),
    ("that-demands-the-unknown", "a check to come", lambda data: data.replace(b'"require":[', b'"require":["zeal"'), "trust-unsupported", 24),
    ("of-another-origin", "the log's keys bear another name", lambda data: data.replace(b'"origin":"evidence', b'"origin":"evidenca'), "trust-malformed", 3),
    ("with-one-key-under-two-names", "one key is no two witnesses", one_name, "policy-malformed", 3),
]  # fmt: skip
for _name, _about, _change, _code, _exit in TRUST:
    row(f"trust-file-{_name}", _about, trusting(_change), "@trust", code=_code, exit_code=_exit)


# ---------------------------------------------------------------- registries and signers


def enrol_third(w, signers):
    """Another principal of the police, whose enrolment is signed by these keys only."""
    who = attacks.Authority("police.nl")
    who.principal, members = "ab" * 16, None
    members = who.enrolment()
    keys = {"key": w.police.key, "voice": who.voice, "login": who.login}
    said = w.say(w.police, "enrolment", w.police.handle, [keys[name] for name in signers], **members)
    w.lodge("principal.enrolled", said)
    return attacks.end(w)


for _missing, _signers in [("login", ["key", "voice"]), ("statement", ["key", "login"])]:
    row(
        f"no-possession-of-the-{_missing}-key", f"the {_missing} key did not sign its own enrolment",
        lambda signers=_signers: of(enrol_third(tiny(), signers)),
        "signatures", code="signature-missing", exit_code=22, chain="police.nl", seq=2,
    )  # fmt: skip
row("enrolled-by-nobody", "no authority key signed the enrolment", lambda: of(enrol_third(tiny(), ["voice", "login"])), "registries", code="signer-not-entitled", exit_code=20, chain="police.nl", seq=2)  # fmt: skip


@vector("a registry founded by other keys than the pinned one", "signers", code="pin-mismatch", exit_code=22, file=f"{FOLDER}entries.jsonl", seq=0)  # fmt: skip
def a_registry_of_other_founders():
    w = tiny()
    return of(w, trust={"authorities": w.trust().authorities | {"police.nl": frozenset({"00" * 32})}})


@vector("an authority that signed is not pinned", "signers", status="not_checked", exit_code=22)
def an_authority_that_is_not_pinned():
    w = tiny()
    return of(w, require=("signers",), trust={"authorities": {"court.fr": w.trust().authorities["court.fr"]}})


def without_court(w, files):
    return {name: data for name, data in files.items() if not name.startswith("registry/court.fr/")}


def without_registries(w, files):
    return {name: data for name, data in files.items() if not name.startswith("registry/")}


row("a-registry-that-is-missing", "the recipient's registry is not there", exchange(without_court), "signatures", status="not_checked", exit_code=20)  # fmt: skip
row("no-registry-at-all", "there is no registry", exchange(without_registries), "registries", status="not_checked", exit_code=20)  # fmt: skip


def sent_and_exported(w):
    w.opened().sealed(conditions=False)
    w.act(w.police, "log.exported", detail={"form": "bundle"})
    return attacks.end(w)


row("a-recipient-without-a-registry", "nothing is known of the keys that were sealed to", story(sent_and_exported, files=lambda w: packed(without_court(w, slim(w.bundle())))), "rules", status="not_checked", exit_code=20)  # fmt: skip


@vector("a revoked key signs on", "signers", code="signer-not-entitled", exit_code=22, chain="@exchange", seq=0)
def a_revoked_key_that_signs():
    w = World(seen=False)
    said = w.say(w.police, "key", w.police.handle, [w.police.key], action="revoke", revokes=w.police.voice.public.id)
    w.lodge("key.revoked", said)
    w.opened().exported()
    return of(w, slim(w.bundle()))


@vector("the revocation is hidden, and its label shows", "completeness", code="label-present", exit_code=21, file=f"{FOLDER}tail.json")  # fmt: skip
def a_hidden_revocation():
    w = tiny()
    said = w.say(w.police, "key", w.police.handle, [w.police.key], action="revoke", revokes=w.police.voice.public.id)
    w.lodge("key.revoked", said)
    attacks.end(w)
    chain = attacks.cut(w, w.police.handle, 2)
    carried = [w.statements[made.statement_id] for made in w.chains[w.police.handle][:2]]
    indices = sorted({line.index for line in chain.leaves} | {len(w.slots) - 1})
    proof = attacks.batch.batch_proof(indices, len(w.slots), w.node(w.hashes()))
    return of(w, slim(w.bundle("registry", registries={"police.nl": chain}, statements=carried, inclusion=proof)))


# ---------------------------------------------------------------- consistency and completeness


@vector("the signers' views are proven")
def honest_with_views():
    w = World().exchange()
    return of(w, slim(w.bundle()), require=("consistency",))


@vector("no proof from what a signer saw", "consistency", status="not_checked", exit_code=21)
def a_view_without_a_proof():
    w = World().exchange()
    files = {name: data for name, data in slim(w.bundle()).items() if not name.startswith("consistency/")}
    return of(w, packed(files), require=("consistency",))


@vector("the reader's checkpoint is of another history", "consistency", code="other-history", exit_code=25)
def a_rebuilt_log_before_a_kept_checkpoint():
    w = World(seen=False).opened().exported()
    held, liar = w.checkpoint(), attacks.end(w.copy().forge(1, time="2026-11-22T10:00:09.000000Z"))
    files = slim(attacks.with_proof(liar, len(w.slots)))
    return of(liar, files, trust={"checkpoint": held})


def with_older(change, **more):
    def make():
        w = World(seen=False).opened().exported()
        later = attacks.end(w.copy())
        files = slim(attacks.with_proof(later, len(w.slots)))
        return of(later, files, since=change(w), **more)

    return make


row("honest-beside-an-older-bundle", "the older bundle is the beginning of this one", with_older(lambda w: zipped(slim(w.bundle()))))  # fmt: skip
row("honest-beside-an-older-checkpoint", "the older checkpoint is of this history", with_older(lambda w: w.checkpoint()))  # fmt: skip
row("beside-an-older-bundle-of-garbage", "what the reader kept is no bundle", with_older(lambda w: b"garbage"), "consistency", status="not_checked", exit_code=21)  # fmt: skip
row("beside-a-checkpoint-of-another-log", "the reader kept one of another log", with_older(lambda w: World(seen=False).checkpoint()), "consistency", status="not_checked", exit_code=21)  # fmt: skip


def older_with(change):
    """The same log, and an older bundle whose leaf lines were others."""

    def make():
        w = World(seen=False).opened().exported()
        files = slim(w.bundle())
        return of(w, files, since=zipped(packed(files | {"leaves.jsonl": change(files["leaves.jsonl"])})))

    return make


row("beside-an-older-bundle-with-another-entry", "an entry was another before", older_with(lambda data: re.sub(rb'"salt":"..', b'"salt":"00', data, count=1)), "consistency", code="rolled-back", exit_code=25, file="leaves.jsonl", seq=0)  # fmt: skip
row("beside-an-older-bundle-with-more-entries", "an entry was there before", older_with(lambda data: data + data.splitlines(keepends=True)[-1].replace(b'"seq":1', b'"seq":2')), "consistency", code="rolled-back", exit_code=25)  # fmt: skip


def mirrored(change=lambda w: w, spoil=None, later=False, **more):
    def make():
        w = World(seen=False).opened().exported()
        shown = change(w.copy())
        with tempfile.TemporaryDirectory() as name:
            shown.mirror(Path(name))
            tiles = {str(path.relative_to(name)): path.read_bytes() for path in Path(name).rglob("*") if path.is_file()}
        if spoil:
            tiles = {path: spoil(bytearray(data)) for path, data in tiles.items()}
        world = shown if later else w
        return of(world, slim(world.bundle()), mirror=tiles, **more)

    return make


def leaf_at(data, number):
    place = 0
    for _ in range(number):
        place += 2 + int.from_bytes(data[place : place + 2], "big")
    return place + 2


def spoilt_leaf(number, offset, value):
    def change(data):
        place = leaf_at(data, number) + offset
        data[place : place + len(value)] = value
        return bytes(data)

    return change


def same_label(data):
    first, second = leaf_at(data, 0), leaf_at(data, 1)
    data[second + 1 : second + 33] = data[first + 1 : first + 33]
    return bytes(data)


row("honest-beside-a-mirror", "the log's leaves give all that is claimed", mirrored(require=("completeness", "consistency")))  # fmt: skip
row("beside-a-mirror-of-another-log", "the tiles are of a log with another salt", mirrored(spoil=spoilt_leaf(6, 40, b"\0\0\0")), "consistency", code="other-history", exit_code=25)  # fmt: skip
row("beside-a-mirror-with-a-fork", "two leaves bear one label", mirrored(spoil=same_label), "completeness", code="label-twice", exit_code=25)  # fmt: skip
row("beside-a-mirror-with-another-tail", "a tail leaf is not of the labels before it", mirrored(spoil=spoilt_leaf(5, 1, b"\0\0\0")), "completeness", code="tail-mismatch", exit_code=25)  # fmt: skip
row("beside-a-mirror-with-a-strange-leaf", "a leaf of type 3", mirrored(spoil=spoilt_leaf(0, 0, b"\3")), "completeness", code="leaf-malformed", exit_code=3)  # fmt: skip
row("beside-a-mirror-cut-short", "a tile that ends inside a leaf", mirrored(spoil=lambda data: bytes(data[:-1])), "completeness", code="tile-malformed", exit_code=3)  # fmt: skip


@vector("the mirror ends before the checkpoint", "completeness", status="not_checked", exit_code=21)
def beside_an_old_mirror():
    made = mirrored()()
    w = attacks.end(World(seen=False).opened().exported())
    return of(w, slim(w.bundle()), mirror=made.options["mirror"])


@vector("the chain does not hold the request for the bundle", "completeness", code="export-missing", exit_code=21)
def a_bundle_nobody_asked_for():
    w = attacks.end(World(seen=False).opened())
    return of(w, slim(w.bundle()))


def other_tail(data):
    return re.sub(rb'"root":"..', b'"root":"00', data)


row("tails-of-two-roots", "one tail has another root than the others", exchange(lambda w, files: files | {"registry/police.nl/tail.json": other_tail(files["registry/police.nl/tail.json"])}), "completeness", code="tail-mismatch", exit_code=21)  # fmt: skip
row("a-tail-that-is-missing", "nothing shows that the registry ends here", exchange(lambda w, files: {name: data for name, data in files.items() if name != "registry/police.nl/tail.json"}, require=("completeness",)), "completeness", status="not_checked", exit_code=21)  # fmt: skip
row("a-tail-of-another-root", "the tail is not the last leaf's", changed(tail=other_tail), "completeness", code="tail-mismatch", exit_code=20)  # fmt: skip


@vector("an excerpt of the chain", "completeness", status="not_checked", exit_code=21)
def an_excerpt():
    w = World(seen=False).opened().exported()
    whole = w.files_of(w.handle)
    part = attacks.ChainFiles(whole.entries[1:], whole.leaves[1:], whole.tail)
    said = [data for found, data in w.statements.items() if found != w.chains[w.handle][0].statement_id]
    indices = {line.index for chain in (part, *map(w.files_of, w.registries.values())) for line in chain.leaves}
    proof = attacks.batch.batch_proof(sorted(indices | {len(w.slots) - 1}), len(w.slots), w.node(w.hashes()))
    return of(w, slim(w.bundle(entries=part, statements=said, inclusion=proof)), require=("completeness",))


# ---------------------------------------------------------------- time

row("a-clock-before-the-log", "the log signed in the reader's future", lambda: of(tiny(), now="2026-11-21T10:00:00.000000Z"), "time", code="time-outside", exit_code=23)  # fmt: skip


def dated(time):
    """The service's own word, dated otherwise."""
    w = quiet().forge(SEQ["closed"], time=time)
    return of(w, slim(w.bundle()))


row("time-that-falls-back", "the service's word is dated before the entry before it", lambda: dated("2026-11-22T08:00:00.000000Z"), "time", code="time-outside", exit_code=23, seq=SEQ["closed"])  # fmt: skip


@vector("a statement lodged an hour after it was signed", "time", code="time-outside", exit_code=23, chain="@exchange", seq=1)  # fmt: skip
def a_statement_lodged_late():
    w = World(seen=False).opened()
    said = w.say(w.court, "act", event="log.exported", detail={"form": "bundle"})
    w.clock += timedelta(hours=1)
    w.lodge("log.exported", said)
    attacks.end(w)
    return of(w, slim(w.bundle()))


@vector("an approved act lodged after its approval expired", "time", code="time-outside", exit_code=23, chain="@exchange", seq=2)  # fmt: skip
def an_approval_that_expired():
    w = World(seen=False).opened()
    said = w.say(w.court, "act", event="log.exported", detail={"form": "bundle"})
    expires = (w.clock + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    w.lodge("approval.given", w.say(w.court, "approval", act=said.id, expires=expires))
    w.clock += timedelta(hours=1)
    w.lodge("log.exported", said)
    attacks.end(w)
    return of(w, slim(w.bundle()))


@vector("an entry later than a checkpoint that holds it", "time", code="time-outside", exit_code=23, chain="@exchange", seq=0)  # fmt: skip
def an_entry_after_its_bound():
    w = World(seen=False, witnesses=1)
    w.clock += timedelta(minutes=7)
    w.opened()
    w.clock -= timedelta(minutes=7)
    w.tick(TAIL)
    early, size = w.checkpoint(), len(w.slots)
    w.clock += timedelta(minutes=8)
    w.exported()
    w.views.append(size)
    return of(w, slim(w.bundle(checkpoints={size: early})), trust={"skew_s": 1})


# ---------------------------------------------------------------- conditions, digests, headers


def to_release(change):
    def make():
        w = World(seen=False).opened().sealed(plaintexts=(b"disk image",), conditions=False)
        change(w)
        w.exported()
        return of(w, slim(w.bundle()))

    return make


def release_of_nothing(w):
    w.act(w.court, "key.released", {"package": w.package}, {"grant": "00" * 32})


def release_after_withdrawal(w):
    w.lodge("package.withdrawn", w.say(w.police, "withdrawal", manifest=w.manifest.id, reason="mistake"), subject={"package": w.package})  # fmt: skip
    w.released()


def release_after_restriction(w):
    w.lodge(
        "package.restricted", w.say(w.police, "restriction", measure="restrict", package=w.package, reason="mistake")
    )
    w.released()


def release_after_recall(w):
    w.lodge("package.recalled", w.say(w.police, "restriction", measure="recall", package=w.package, reason="mistake"))
    w.released()


def release_after_the_end(w):
    item = w.items[0]
    end = w.clock.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    recipients = [{"authority": "court.fr", "keys": [w.court.identity.recipient.key_id]}]
    header = {"sha256": hashlib.sha256(item.header).hexdigest(), "size": len(item.header)}
    members = {"items": [{"header": header, "id": item.id}], "manifest": w.manifest.id, "recipients": recipients}
    grant = w.say(w.police, "grant", sealing=w.kind, until=end, **members)
    w.lodge("grant.added", grant, subject={"package": w.package})
    w.clock += timedelta(minutes=5)
    w.act(w.court, "key.released", {"package": w.package}, {"grant": grant.id})


for _change, _seq in [(release_of_nothing, 5), (release_after_withdrawal, 6), (release_after_restriction, 6), (release_after_recall, 6), (release_after_the_end, 6)]:  # fmt: skip
    row(
        _change.__name__.replace("_", "-"), "a header leaves: " + _change.__name__.replace("_", " "), to_release(_change),
        "conditions", code="released-early", exit_code=20, chain="@exchange", seq=_seq,
    )  # fmt: skip


def answered(**changes):
    def make():
        w = World(seen=False).opened().sealed(plaintexts=(b"disk image",), conditions=False)
        w.answer(**{name: value(w) if callable(value) else value for name, value in changes.items()})
        w.exported()
        return of(w, slim(w.bundle()))

    return make


def rows_but_one(w):
    return sorted(({"id": item.id, "sha256": item.member["sha256"], "blake3": item.member["blake3"], "plaintext": "checked"} for item in w.items[1:]), key=lambda each: each["id"])  # fmt: skip


def other_digests(w):
    return sorted(({"id": item.id, "sha256": "00" * 32, "blake3": item.member["blake3"], "plaintext": "checked"} for item in w.items), key=lambda each: each["id"])  # fmt: skip


row("receipt-of-another-sealing", "the receipt names another entry than the one that sealed", answered(sealed="00" * 32), "digests", code="digests-differ", exit_code=20, seq=5)  # fmt: skip
row("receipt-of-fewer-items", "the receipt accepts without naming every item", answered(items=rows_but_one), "digests", code="digests-differ", exit_code=20, seq=5)  # fmt: skip
row("receipt-of-other-digests", "the receipt accepts other digests", answered(items=other_digests), "digests", code="digests-differ", exit_code=20, seq=5)  # fmt: skip


def of_parts(change):
    def make(w, files):
        name = min(name for name in files if name.startswith("parts/"))
        return change({key: data for key, data in files.items() if key != name}, name, files[name])

    return exchange(make)


row("parts-of-no-item", "a list of parts that no manifest names", of_parts(lambda files, name, data: files | {"parts/" + "ab" * 16: data, name: data}), "digests", code="digests-differ", exit_code=20)  # fmt: skip
row("parts-too-many", "a list of parts that is too long", of_parts(lambda files, name, data: files | {name: data + data}), "digests", code="digests-differ", exit_code=20)  # fmt: skip
row("parts-of-another-body", "a list of parts with another digest", of_parts(lambda files, name, data: files | {name: bytes(32)}), "digests", code="digests-differ", exit_code=20)  # fmt: skip


def of_header(change):
    def make(w, files):
        name = min(name for name in files if name.startswith("headers/"))
        return files | {name: change(files[name])}

    return exchange(make)


row("header-of-another-digest", "a header's bytes under the name of others", of_header(lambda data: data.replace(b"X25519", b"x25519")), "headers", code="header-mismatch", exit_code=20)  # fmt: skip
row("header-that-is-missing", "a granted header is not there", exchange(lambda w, files: {name: data for name, data in files.items() if name != min(each for each in files if each.startswith("headers/"))}, require=("headers",)), "headers", status="not_checked", exit_code=21)  # fmt: skip


def sealed_with(change):
    """A package whose manifest says of its first item's header something else."""

    def make():
        w = World(seen=False).opened()
        real = World.manifest_members

        def members(self, **options):
            found = real(self, **options)
            change(found)
            return found

        World.manifest_members = members
        try:
            w.sealed(plaintexts=(b"disk image",), conditions=False)
        finally:
            World.manifest_members = real
        w.exported()
        return of(w, slim(w.bundle()))

    return make


def longer_header(members):
    members["items"][0]["header"] = members["items"][0]["header"] | {"size": members["items"][0]["header"]["size"] + 1}


row("header-of-another-size", "the manifest gives another size of a header", sealed_with(longer_header), "headers", code="header-mismatch", exit_code=20)  # fmt: skip


@vector("a header with a recipient nobody named", "headers", code="header-refused", exit_code=20)
def a_covert_recipient():
    w = World(seen=False).opened()
    real, extra = attacks.Item.__init__, attacks.Authority("spy.xx").identity.recipient
    try:
        attacks.Item.__init__ = lambda self, text, recipients: real(self, text, [*recipients, extra])
        w.sealed(plaintexts=(b"disk image",), conditions=False)
    finally:
        attacks.Item.__init__ = real
    w.exported()
    return of(w, slim(w.bundle()))


# ---------------------------------------------------------------- table, items


def exported(change):
    def make():
        w = World(seen=False).opened().exported("export")
        files = slim(w.bundle("export"))
        return of(w, packed(change(files)), require=("table",))

    return make


row("export-without-a-table", "there is no table", exported(lambda files: {name: data for name, data in files.items() if name != "entries.csv"}), "table", status="not_checked", exit_code=21)  # fmt: skip
row("table-with-a-row-more", "a row that no entry gives", exported(lambda files: files | {"entries.csv": files["entries.csv"] + b'"x"\r\n'}), "table", code="file-damaged", exit_code=20, file="entries.csv")  # fmt: skip


def on_disk(change, *, whole=False, files=lambda w, files: files, require=("items",)):
    def make():
        w = quiet()
        bodies = {item.id + (".age" if whole else ""): (item.header if whole else b"") + item.body for item in w.items}
        shown = files(w, slim(w.bundle()))
        return of(w, packed(shown), require=require, items=change(bodies, w))

    return make


def last_changed(bodies, w):
    return {name: data[:-1] + bytes([data[-1] ^ 1]) for name, data in bodies.items()}


def no_parts(w, files):
    return {name: data for name, data in files.items() if not name.startswith("parts/")}


def strange_header(bodies, w):
    other = attacks.Item(b"disk image", [w.court.identity.recipient])
    return bodies | {w.items[0].id + ".age": other.header + w.items[0].body}


row("honest-items", "every body, as downloaded", on_disk(lambda bodies, w: bodies, whole=True))
row("items-of-which-one-is-missing", "one body is not there", on_disk(lambda bodies, w: dict(list(bodies.items())[1:])), "items", status="not_checked", exit_code=21)  # fmt: skip
row("items-changed", "the last byte of each body is another", on_disk(last_changed), "items", code="item-differs", exit_code=20)  # fmt: skip
row("items-changed-without-lists-of-parts", "found by the digest of the whole", on_disk(last_changed, files=no_parts), "items", code="item-differs", exit_code=20)  # fmt: skip
row("items-cut-to-nothing", "an empty body", on_disk(lambda bodies, w: dict.fromkeys(bodies, b"")), "items", code="item-differs", exit_code=20)  # fmt: skip
row("items-under-a-header-nobody-granted", "the right body under another header", on_disk(strange_header, whole=True), "items", code="item-differs", exit_code=20)  # fmt: skip


# ---------------------------------------------------------------- redaction


@vector("the hash and salt of a withheld entry are another chain's", "inclusion", code="root-mismatch", exit_code=20)
def a_withheld_entry_of_another_chain():
    w = World(seen=False).opened().exported()
    files = slim(w.bundle(withheld={1}))
    rows = files["leaves.jsonl"].splitlines(keepends=True)
    other = files["registry/court.fr/leaves.jsonl"].splitlines()[0]
    for name in (b"hash", b"salt"):
        value = re.search(rb'"%b":"([0-9a-f]{64})"' % name, other)[0]
        rows[1] = re.sub(rb'"%b":"[0-9a-f]{64}"' % name, value, rows[1])
    return of(w, packed(files | {"leaves.jsonl": b"".join(rows)}), allow_withheld=True)
