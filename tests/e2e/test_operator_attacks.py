"""An operator with root and the log's keys changes what is recorded, hands out proofs of it, and is found out.

Every attack is made on a copy of a real service's state, and *repaired*: all hashes, leaves, tails and checkpoints are
made again and signed. What an honest side then sees is what the real commands say.
"""

import base64
import json
import shutil
import socket
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from rogatory import enrolment, keyring
from rogatory.errors import Tampered
from rogatory.records import RecordMalformed
from rogatory.statements import Speaker

from custody.keys import SigningKey
from custody.report import Status
from custody.sealing import build_header, generate_identity, read_header, unwrap
from custody.text import from_time, to_time
from custody.trust import Trust
from custody.verify import verify_bundle
from demo.stage import Stage
from tests.backends import EMBEDDED, only
from tests.e2e.attacker import Operator, flip, kept, snapshot
from tests.e2e.liar import Liar
from tests.e2e.theatre import client_of, refused, twin

pytestmark = only(EMBEDDED)

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def play(theatre):
    """A package sent, received and accepted, a client revoked; backups of the service, and an honest side's proofs."""
    stage, root = theatre.stage, theatre.root
    third = stage.party("lu.parquet", "LU", "Parquet")
    stage.introduce(theatre.sender, theatre.receiver, third)
    exchange = theatre.open_exchange("--with", third.authority)
    early = snapshot(stage.state, root / "early")
    evidence = root / "evidence.bin"
    evidence.write_bytes(bytes(range(256)) * (33 * 4096))
    package = theatre.send(evidence, exchange=exchange)
    theatre.run(third, "bundle", exchange, "-o", root / "third.zip")
    theatre.receive(package, root / "received", "--keep-sealed")
    theatre.run(theatre.sender, "bundle", exchange, "-o", root / "before-receipt.zip")
    theatre.run(theatre.receiver, "receipt", "accept", package)
    with_key = Operator(snapshot(stage.state, root / "with-key")).registry(root / "with-key.zip", third.authority)
    (identity,) = keyring.load_identities(third.home / "default" / "keys" / keyring.ENCRYPTION)
    principal = json.loads((third.home / "default" / "profile.json").read_text())["principal"]
    for words in (("keys", "revoke", identity.recipient.key_id), ("principal", "revoke", principal)):
        theatre.run(third, *words, "--reason", "left")
    bundle, mirror = root / "honest.zip", root / "mirror"
    theatre.run(theatre.sender, "log", exchange)
    theatre.run(theatre.receiver, "bundle", exchange, "-o", bundle)
    theatre.run(theatre.receiver, "log", "mirror", mirror)
    theatre.run(theatre.sender, "log", "mirror", root / "sender-mirror")
    stage.stop_service()
    return SimpleNamespace(
        third=third, exchange=exchange, early=early, package=package, with_key=with_key, bundle=bundle, mirror=mirror,
        evidence=evidence, port=urlsplit(stage.url).port,
    )  # fmt: skip


class Case:
    """A copy of the service's state in the operator's hands, and what a reader sees of what he makes of it."""

    def __init__(self, theatre, play, root):
        self.theatre, self.play, self.root = theatre, play, root
        self.operator = Operator(snapshot(theatre.stage.state, root / "service"))
        self.handle = self.operator.handle("exchange", play.exchange)
        self.rows = self.operator.rows()

    def row(self, event, authority=None):
        """The last entry of an event, in the exchange's chain or in an authority's registry."""
        chain = self.operator.handle("registry", authority) if authority else self.handle
        return [row for row in self.rows if row.chain == chain and row.event == event][-1]

    def envelope(self, row):
        return self.operator.envelope(row.statement_id)

    def replaced(self, row, *others):
        place = self.rows.index(row)
        return [*self.rows[:place], *others, *self.rows[place + 1 :]]

    def appended(self, row):
        return [*self.rows, replace(row, batch=self.rows[-1].batch + 1)]

    def rebuild(self, rows, **how):
        self.operator.rebuild(rows, **how)

    def shown(self):
        """The bundle the operator hands out."""
        return self.operator.bundle(self.root / "shown.zip", self.handle, authority="fr.court")

    def verdict(self, *material, bundle=None):
        """(exit code, failed check → its fields) of a bundle, of the operator's if no other, as `verify` tells."""
        reader = self.theatre.receiver
        words = ["verify", bundle or self.shown(), "--trust", reader.trust, *material, "--json"]
        said = self.theatre.run(reader, *words, expect=None)
        assert "Traceback" not in said.out + said.err
        return said.code, {check["id"]: check for check in said.json["checks"] if check["status"] == "fail"}

    def held(self, material, bundle=None):
        """The same, of a reader with something of his own, asked in this process."""
        trust = Trust.parse(self.theatre.receiver.trust.read_bytes())
        report = verify_bundle(bundle or self.shown(), trust, **material)
        return report.exit_code, {check.id: check.fields() for check in report.checks if check.status is Status.FAIL}

    def alone(self):
        """Of a reader who has nothing of his own, and believes the operator's tiles."""
        return self.verdict("--mirror", self.tiles())

    def tiles(self):
        """The log as the operator serves it."""
        shutil.rmtree(self.root / "tiles", ignore_errors=True)
        return self.operator.mirror(self.root / "tiles")


@pytest.fixture
def case(theatre, play, tmp_path):
    return Case(theatre, play, tmp_path)


@pytest.fixture(scope="module")
def thief():
    """Keys the operator has made for himself."""
    return SigningKey.generate()


HELD = {
    "tiles": lambda case: {"mirror": case.play.mirror},
    "bundle": lambda case: {"since": case.play.bundle},
    "checkpoint": lambda case: {"since": case.play.mirror / "checkpoint", "mirror": case.tiles()},
}
"""What honest readers may have of their own: the log's tiles, an older bundle, or a checkpoint they kept."""


def test_a_log_made_anew_without_change_is_the_same_log_and_everybody_verifies_it(case, play):
    before = case.operator.root()
    case.rebuild(case.rows)
    assert case.operator.root() == before
    assert case.alone() == (0, {})
    for material in HELD.values():
        assert case.held(material(case)) == (0, {})
    assert case.verdict("--mirror", play.mirror, "--since", play.mirror / "checkpoint", bundle=play.bundle) == (0, {})


# ---------------------------------------------------------------- not repaired


def test_a_body_edited_in_place_is_found_where_it_stands(case):
    row = case.row("upload.completed")
    case.operator.edit_body(row, noted=row.fields["noted"] | {"size": row.fields["noted"]["size"] + 1})
    code, failed = case.alone()
    assert code == 20
    assert failed["bodies"]["place"]["seq"] == row.fields["seq"]
    assert failed["bodies"]["place"]["chain"] == "@exchange"


def test_a_body_edited_with_its_stored_hash_is_found_by_the_log(case):
    row = case.row("download.closed")
    case.operator.edit_body(row, hashed=True, noted=row.fields["noted"] | {"bytes": 1})
    code, failed = case.alone()
    assert code == 20
    assert failed["chain"]["place"]["seq"] == row.fields["seq"] + 1
    assert failed["labels"]["place"]["seq"] == row.fields["seq"] + 1
    assert "inclusion" in failed


def test_an_entry_taken_out_leaves_a_gap_that_verifies_for_nobody(case):
    case.operator.strike(case.row("download.closed"))
    code, failed = case.alone()
    assert (code, failed) == (21, {})


# ---------------------------------------------------------------- repaired: everything made anew and signed


def edited_noted(case, _thief):
    row = case.row("download.closed")
    return case.replaced(row, row.edited(noted=row.fields["noted"] | {"bytes": 1}))


def edited_upload(case, _thief):
    row = case.row("upload.completed")
    return case.replaced(row, row.edited(noted=row.fields["noted"] | {"parts": "ab" * 32}))


def edited_statement(case, _thief):
    row = case.row("receipt.signed")

    def reject(payload):
        payload |= {"outcome": "rejected", "reason": "digest_mismatch"}

    return case.replaced(row, case.operator.entry(row, case.operator.forge(case.envelope(row), reject)))


def resigned_statement(case, thief):
    row = case.row("receipt.signed")

    def reject(payload):
        payload |= {"outcome": "rejected", "reason": "digest_mismatch"}

    return case.replaced(row, case.operator.entry(row, case.operator.forge(case.envelope(row), reject, keys=[thief])))


def edited_actor(case, _thief):
    row = case.row("key.released")
    return case.replaced(row, row.edited(actor=row.fields["actor"] | {"authority": "nl.police"}))


def deleted_upload(case, _thief):
    return case.replaced(case.row("upload.completed"))


def deleted_release(case, _thief):
    return case.replaced(case.row("key.released"))


def deleted_act_of_the_service(case, _thief):
    return case.replaced(case.row("manifest.viewed"))


def unsigned(case, _thief):
    row = case.row("key.released")
    return case.appended(row.edited(statement={}).without("statement").edited(nonce="ab" * 16))


def invented(case, thief):
    row = case.row("download.opened")
    said = case.operator.forge(case.envelope(row), lambda payload: payload.update(nonce="cd" * 16), keys=[thief])
    return case.appended(case.operator.entry(row, said))


def invented_under_a_true_key(case, _thief):
    row = case.row("download.opened")
    said = case.operator.forge(case.envelope(row), lambda payload: payload.update(nonce="cd" * 16))
    return case.appended(case.operator.entry(row, said))


def replayed(case, _thief):
    row = case.row("download.opened")
    return case.appended(replace(row.edited(nonce="ef" * 16), salt=b"s" * 32))


def replayed_under_another_event(case, _thief):
    row = case.row("package.sealed")
    return case.appended(
        replace(row.without("noted").edited(nonce="ef" * 16, event="conditions.accepted"), salt=b"s" * 32)
    )


def reordered(case, _thief):
    one, other = case.row("manifest.viewed"), case.row("download.opened")
    rows = {id(one): replace(other, batch=one.batch), id(other): replace(one, batch=other.batch)}
    return [rows.get(id(row), row) for row in case.rows]


def sealed_before_it_arrived(case, _thief):
    one, other = case.row("upload.completed"), case.row("package.sealed")
    rows = {id(one): replace(other, batch=one.batch), id(other): replace(one, batch=other.batch)}
    return [rows.get(id(row), row) for row in case.rows]


def back_dated(case, _thief):
    row = case.row("log.exported")
    return case.replaced(row, row.edited(time=to_time(from_time(row.fields["time"]) - timedelta(hours=6))))


def forward_dated(case, _thief):
    row = case.row("log.exported")
    return case.replaced(row, row.edited(time=to_time(from_time(row.fields["time"]) + timedelta(hours=6))))


def back_dated_throughout(case, _thief):
    return [row.edited(time=to_time(from_time(row.fields["time"]) - timedelta(days=30))) for row in case.rows]


def slipped_key(case, thief):
    """The operator's own encryption key in the recipient's registry, signed by a key of his."""
    said = enrolment.add_key(
        thief, generate_identity("mlkem768x25519").recipient, origin=case.operator.origin, authority="fr.court",
        use="encryption", at=from_time(case.rows[-1].fields["time"]),
    )  # fmt: skip
    like = case.row("principal.enrolled", "fr.court")
    subject = {"key": said.payload["key"]["id"]}
    row = case.operator.entry(like, case.operator.lay(said), event="key.added", subject=subject)
    return case.appended(row.edited(time=said.payload["time"]))


def revived(case, _thief):
    """A revoked client, whose keys the operator found, acts once more."""
    keys = keyring.Keyring(case.play.third.home / "default" / "keys").principal()
    profile = json.loads((case.play.third.home / "default" / "profile.json").read_text())
    speaker = Speaker(
        origin=case.operator.origin, authority="lu.parquet", principal=profile["principal"], key=keys.statement
    )
    said = speaker.act("log.exported", case.handle, detail={"form": "bundle"})
    like = case.row("log.exported")
    entry = case.operator.entry(like, case.operator.lay(said), time=said.payload["time"])
    return case.appended(entry)


def revocation_dropped(case, _thief):
    """And the log goes on, until it is as long as it was."""
    rows, last = case.replaced(case.row("principal.revoked", "lu.parquet")), case.rows[-1].batch
    viewed = case.row("log.viewed")
    return [*rows, *(replace(viewed, salt=b"%032d" % n, batch=last + n).edited(nonce=f"{n:032}") for n in (1,))]


REPAIRED = {
    edited_noted: (25, "consistency", None),
    edited_upload: (20, "rules", "package.sealed"),
    edited_statement: (25, "signatures", "receipt.signed"),
    resigned_statement: (25, "signers", "receipt.signed"),
    edited_actor: (20, "statements", "key.released"),
    deleted_upload: (20, "rules", "package.sealed"),
    deleted_release: (25, "consistency", None),
    deleted_act_of_the_service: (25, "consistency", None),
    unsigned: (3, "canonical", None),
    invented: (22, "signers", "download.opened"),
    invented_under_a_true_key: (22, "signatures", "download.opened"),
    replayed: (20, "statements", "download.opened"),
    replayed_under_another_event: (20, "statements", "conditions.accepted"),
    reordered: (25, "consistency", None),
    sealed_before_it_arrived: (20, "rules", "package.sealed"),
    back_dated: (23, "time", "log.exported"),
    forward_dated: (23, "time", "log.exported"),
    back_dated_throughout: (20, "time", "exchange.opened"),
    slipped_key: (20, "registries", "key.added"),
    revived: (22, "signers", "log.exported"),
    revocation_dropped: (0, None, None),
}
"""Attack → exit code, check and event of the place, for a reader without anything of his own."""


GROWN = {unsigned, invented, invented_under_a_true_key, replayed, replayed_under_another_event, slipped_key, revived}
"""Attacks that leave what was there as it was: who holds an older view sees no other past."""


@pytest.mark.parametrize("attack", REPAIRED, ids=lambda attack: attack.__name__)
def test_a_repaired_log_is_found_out(case, play, thief, attack):
    code, check, event = REPAIRED[attack]
    case.rebuild(attack(case, thief))
    found, failed = case.alone()
    assert (found, check is None or check in failed) == (code, True), failed
    assert failed or check is None
    if event:
        place = failed[check]["place"]
        shown = {(row.chain, row.fields["seq"]): row.event for row in case.operator.rows()}
        chain = case.handle if place["chain"] == "@exchange" else case.operator.handle("registry", place["chain"])
        assert shown[chain, place["seq"]] == event
    for material in HELD.values():
        code, failed = case.held(material(case))
        assert code
        assert (check if attack in GROWN else "consistency") in failed


def test_a_receipt_hidden_from_the_sender_alone_is_found_when_two_compare(case, play):
    """One log for each: the operator leaves the receipt out of the sender's, and both are signed."""
    case.rebuild(case.replaced(case.row("receipt.signed")))
    one = case.operator.bundle(case.root / "one.zip", case.handle, authority="nl.police")
    assert case.alone()[0] == 25
    for material in HELD.values():
        code, failed = case.held(material(case), bundle=one)
        assert (code, failed["consistency"]["status"]) == (25, "fail")
    assert case.held({"since": one}, bundle=play.bundle)[0] == 25


def test_a_chain_cut_short_for_one_party_shows_its_next_label(case, play):
    """One log: the sender is told that the chain ends before the receipt, with the tail that this log has."""
    row = case.row("receipt.signed")
    rest = [each for each in case.rows if each.chain == case.handle and each.fields["seq"] >= row.fields["seq"]]
    for each in rest:
        case.operator.strike(each)
    code, failed = case.alone()
    assert code == 21
    assert failed["completeness"]["place"]["seq"] == row.fields["seq"] - 1


def test_a_chain_that_is_forked_for_two_parties_bears_one_label_twice(case, play):
    row = case.row("receipt.signed")
    other = replace(row, salt=b"o" * 32, branch="other").edited(nonce="0f" * 16)
    case.rebuild([*case.rows, replace(other, batch=case.rows[-1].batch + 1, before=row.fields["seq"])])
    case.operator.strike_salted(other.salt)
    code, failed = case.alone()
    assert code
    assert failed["completeness"]["code"] == "label-twice"


def test_the_tiles_of_another_log_prove_nothing(case, play, tmp_path):
    case.rebuild([replace(row, salt=b"x" * 32) for row in case.rows])
    other = case.operator.mirror(tmp_path / "other")
    code, failed = case.held({"mirror": other}, bundle=play.bundle)
    assert code == 25
    assert failed["consistency"]["code"] == "other-history"
    assert "completeness" in failed


# ---------------------------------------------------------------- the service runs, and lies


@contextmanager
def serving(play, root, state):
    """A service on a state that was brought from elsewhere; it says that it is where its clients look for it."""
    stage = Stage(root, settings={"ROGATORY_PUBLIC_URL": f"https://localhost:{play.port}"})
    with stage:
        shutil.copytree(state, stage.state)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        stage.start_service(port)
        yield stage, port


@contextmanager
def running(play, lying, root, state):
    """The same, reached by its clients."""
    with serving(play, root, state) as (stage, port), lying.leading_to(port):
        yield stage


@pytest.fixture(scope="module")
def lying(theatre, play, tmp_path_factory):
    """The service as it was, behind a proxy that lies on demand."""
    root = tmp_path_factory.mktemp("lying")
    with serving(play, root / "stage", snapshot(theatre.stage.state, root / "state")) as (stage, port):
        liar = Liar(play.port, port, stage.state / "tls")
        liar.stage = stage
        yield liar
        liar.close()


@pytest.fixture
def liar(lying):
    yield lying
    lying.lie = None


@pytest.fixture
def desk(theatre, tmp_path):
    """A party at a desk of its own, with all it has kept so far."""
    return lambda party: twin(party, f"{tmp_path.name}-{party.authority}")


@pytest.fixture
def body(play, lying):
    """The stored body of the evidence, of three parts; put right again afterwards."""
    found = max((lying.stage.state / "store" / "objects" / "bodies" / play.package).iterdir(), key=size_of)
    found.chmod(0o600)
    before = found.read_bytes()
    assert len(before) > 32 * MIB
    yield found
    found.write_bytes(before)


def size_of(path):
    return path.stat().st_size


def swap_parts(path):
    data = path.read_bytes()
    path.write_bytes(data[16 * MIB : 32 * MIB] + data[: 16 * MIB] + data[32 * MIB :])


SPOILT = {
    "a bit of the first part": (lambda path: flip(path, 0), 1),
    "a bit of the second part": (lambda path: flip(path, 20 * MIB), 2),
    "the last bit": (lambda path: flip(path, size_of(path) - 1, 1), 3),
    "two parts swapped": (swap_parts, 1),
    "another body of its size": (lambda path: path.write_bytes(b"\x5a" * size_of(path)), 1),
    "its end cut off and grown": (lambda path: path.write_bytes(path.read_bytes()[:-MIB] + bytes(MIB)), 3),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_body_is_found_by_receive_with_the_part_named(*, theatre, play, liar, desk, body, tmp_path, how):
    spoil, part = SPOILT[how]
    reader = desk(theatre.receiver)
    if part == 1:
        theatre.run(reader, "receive", play.package, "--to", tmp_path / "before")
        assert (tmp_path / "before" / "evidence" / "evidence.bin").read_bytes() == play.evidence.read_bytes()
    spoil(body)
    said = theatre.run(reader, "receive", play.package, "--to", tmp_path / "after", expect=None)
    assert f"part {part} of item {body.name}" in refused(said, 20)
    assert [path.name for path in (tmp_path / "after").iterdir()] == [".partial"]


def test_a_body_that_spoils_is_found_by_verify_with_the_items_on_disk(theatre, play, tmp_path):
    sealed = tmp_path / "sealed"
    shutil.copytree(theatre.root / "received" / "sealed", sealed)
    words = ["verify", play.bundle, "--trust", theatre.receiver.trust, "--items", sealed, "--json"]
    assert theatre.run(theatre.receiver, *words).json
    path = max(sealed.iterdir(), key=size_of)
    flip(path, 20 * MIB)
    said = theatre.run(theatre.receiver, *words, expect=20)
    (failed,) = [check for check in said.json["checks"] if check["status"] == "fail"]
    assert failed["id"] == "items"
    assert failed["detail"].startswith("part 2 of 3")


def test_a_body_that_spoils_before_its_first_reading_is_recorded(theatre, play, lying, tmp_path):
    state = snapshot(theatre.stage.state, tmp_path / "state")
    path = max((state / "store" / "objects" / "bodies" / play.package).iterdir(), key=size_of)
    flip(path, MIB)
    operator = Operator(state)
    operator.do("update items set fixity = null")
    operator.do("delete from pending")
    with running(play, lying, tmp_path / "stage", state):
        deadline = time.monotonic() + 30
        while "fixity.failed" not in (found := dict(theatre.events(play.exchange))):
            assert time.monotonic() < deadline, found
            time.sleep(0.2)
    assert found["fixity.failed"] == play.package


def covert_header(theatre, header):
    """The same file key for the receiver, and for one more."""
    identities = keyring.load_identities(theatre.receiver.home / "default" / "keys" / keyring.ENCRYPTION)
    spy = generate_identity("mlkem768x25519")
    return build_header(unwrap(header, identities), [identities[0].recipient, spy.recipient])


def test_a_header_with_one_recipient_more_is_refused(theatre, play, liar, desk, tmp_path):
    reader = desk(theatre.receiver)
    theatre.run(reader, "receive", play.package, "--to", tmp_path / "before")

    def lie(answer):
        if not answer.path.endswith("/release"):
            return False
        fields = json.loads(answer.body)
        for row in fields["headers"]:
            header = covert_header(theatre, base64.b64decode(row["header"]))
            assert read_header(header).raw == header
            row["header"] = base64.b64encode(header).decode()
        answer.body = json.dumps(fields).encode()
        return True

    liar.lie = lie
    said = theatre.run(reader, "receive", play.package, "--to", tmp_path / "after", "--json", expect=20)
    assert said.json["error"]["code"] == "header-wrong"


def no_signature(proof):
    head, _, note = proof.partition("\n\n")
    return head + "\n\n" + note.partition("\n\n")[0] + "\n\n"


def foreign_signature(proof):
    lines = proof.splitlines(keepends=True)
    name, _, signature = lines[-1].rpartition(" ")
    raw = bytearray(base64.b64decode(signature))
    raw[-1] ^= 1
    return "".join([*lines[:-1], f"{name} {base64.b64encode(raw).decode()}\n"])


def another_path(proof):
    lines = proof.splitlines(keepends=True)
    lines[3] = base64.b64encode(b"p" * 32).decode() + "\n"
    return "".join(lines)


def another_root(proof):
    lines = proof.splitlines(keepends=True)
    place = lines.index("\n") + 3
    lines[place] = base64.b64encode(b"r" * 32).decode() + "\n"
    return "".join(lines)


def edited_entry(entry, **earlier):
    fields = json.loads(entry)
    fields["time"] = to_time(from_time(fields["time"]) - timedelta(**earlier or {"seconds": 2}))
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


LIES = {
    "another entry, with its own proof": lambda record, other: other,
    "the entry of this act under the proof of another": lambda record, other: other | {"entry": record["entry"]},
    "another entry under the proof of this act": lambda record, other: record | {"entry": other["entry"]},
    "a time long before": lambda record, other: record | {"entry": edited_entry(record["entry"], hours=9)},
    "an entry that tells another time": lambda record, other: record | {"entry": edited_entry(record["entry"])},
    "a checkpoint without signature": lambda record, other: record | {"proof": no_signature(record["proof"])},
    "a checkpoint with a wrong signature": lambda record, other: record | {"proof": foreign_signature(record["proof"])},
    "a checkpoint of another root": lambda record, other: record | {"proof": another_root(record["proof"])},
    "a path that leads elsewhere": lambda record, other: record | {"proof": another_path(record["proof"])},
    "another index": lambda record, other: record | {"index": record["index"] + 1},
    "nothing": lambda record, other: {},
}


def in_record(change):
    """A lie about every record."""

    def lie(answer):
        told = False
        if "rogatory-record" in {name.lower() for name in answer.headers}:
            name = next(name for name in answer.headers if name.lower() == "rogatory-record")
            record = change(json.loads(base64.b64decode(answer.headers[name])))
            answer.headers[name] = base64.b64encode(json.dumps(record).encode()).decode()
            told = True
        elif b'"record"' in answer.body and answer.status < 300 and answer.body.startswith(b"{"):
            fields = json.loads(answer.body)
            fields["record"] = change(fields["record"])
            answer.body = json.dumps(fields).encode()
            told = True
        return told

    return lie


@pytest.mark.parametrize("how", LIES)
def test_a_record_that_is_none_is_refused(theatre, play, liar, desk, how):
    party, told = desk(theatre.sender), []

    def change(record):
        told.append(record)
        return record if len(told) == 1 else LIES[how](record, told[0])

    liar.lie = in_record(change)
    with client_of(party) as client:
        client.open_exchange([theatre.receiver.authority])
        with pytest.raises((Tampered, RecordMalformed)) as caught:
            client.open_exchange([theatre.receiver.authority])
    assert len(told) == 2
    assert caught.value.code == ("record-malformed" if how == "nothing" else "record-refused")


COMMANDS = {
    "send": ["send", "EVIDENCE", "--to", "fr.court", "--exchange", "EXCHANGE"],
    "receive": ["receive", "PACKAGE", "--to", "NOWHERE"],
    "grant": ["grant", "PACKAGE", "--to", "nl.police"],
    "exchange open": ["exchange", "open", "--with", "fr.court"],
    "exchange close": ["exchange", "close", "OTHER"],
    "bundle": ["bundle", "EXCHANGE", "-o", "NOWHERE"],
    "export": ["export", "EXCHANGE", "-o", "NOWHERE"],
    "role end": ["role", "end", "approver"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_signing_command_checks_its_record(*, theatre, play, liar, desk, tmp_path, command):
    sides = {"receive": theatre.receiver, "grant": theatre.receiver}
    party = desk(sides.get(command, theatre.sender))
    known = {
        "EVIDENCE": theatre.root / "honest.zip",
        "EXCHANGE": play.exchange,
        "OTHER": theatre.exchange,
        "PACKAGE": play.package,
    }
    words = [(known | {"NOWHERE": tmp_path / "none"}).get(word, word) for word in COMMANDS[command]]
    records = sorted((party.home / "default" / "records").glob("*.json"))
    liar.lie = in_record(lambda record: record | {"proof": another_root(record["proof"])})
    said = theatre.run(party, *words, expect=None)
    assert liar.told
    refused(said, said.code)
    assert said.code in (20, 22), said
    assert sorted((party.home / "default" / "records").glob("*.json")) == records
    assert not (tmp_path / "none").is_file()


def test_an_old_bundle_in_place_of_a_new_one_is_refused(theatre, play, liar, desk, tmp_path):
    """It is genuine and verifies, and would hide the receipt from the sender."""
    party, old = desk(theatre.sender), theatre.root / "before-receipt.zip"
    theatre.run(party, "bundle", play.exchange, "-o", tmp_path / "new.zip")
    theatre.run(party, "verify", old, "--trust", party.trust)

    def lie(answer):
        if not answer.path.endswith("/export"):
            return False
        answer.body = old.read_bytes()
        return True

    liar.lie = lie
    said = theatre.run(party, "bundle", play.exchange, "-o", tmp_path / "shown.zip", "--json", expect=25)
    assert said.json["error"]["code"] == "bundle-stale"
    assert not (tmp_path / "shown.zip").exists()


def test_another_exchange_or_package_than_was_asked_for_is_refused(theatre, play, liar, desk, tmp_path):
    party, other = desk(theatre.receiver), theatre.exchange

    def lie(answer):
        if answer.path != f"/v1/exchanges/{play.exchange}":
            return False
        shown = liar.again(answer, path=f"/v1/exchanges/{other}")
        answer.status, answer.body = shown.status, shown.body
        return True

    theatre.run(party, "bundle", play.exchange, "-o", tmp_path / "one.zip")
    liar.lie = lie
    said = theatre.run(party, "bundle", play.exchange, "-o", tmp_path / "two.zip", "--json", expect=20)
    assert said.json["error"]["code"] == "another-shown"
    records = len(list((party.home / "default" / "records").iterdir()))

    def another(answer):
        if answer.path != f"/v1/packages/{'ab' * 16}":
            return False
        shown = liar.again(answer, path=f"/v1/packages/{play.package}")
        answer.status, answer.body = shown.status, shown.body
        return True

    liar.lie = another
    said = theatre.run(party, "receive", "ab" * 16, "--to", tmp_path / "none", "--json", expect=20)
    assert said.json["error"]["code"] == "another-shown"
    assert len(list((party.home / "default" / "records").iterdir())) == records


def registry_is(authority, path):
    def lie(answer):
        if answer.path != f"/v1/authorities/{authority}/registry":
            return False
        answer.body = path.read_bytes()
        return True

    return lie


def send_words(play, *to):
    return ["send", play.bundle, "--exchange", play.exchange, "--dry-run", *(f"--to={each}" for each in to)]


def test_a_key_slipped_into_a_recipients_registry_is_sealed_to_by_nobody(*, theatre, play, liar, desk, case, thief):
    party = desk(theatre.sender)
    assert b"fr.court" in theatre.run(party, *send_words(play, "fr.court")).out.encode()
    case.rebuild(slipped_key(case, thief))
    liar.lie = registry_is("fr.court", case.operator.registry(case.root / "slipped.zip", "fr.court"))
    said = theatre.run(party, *send_words(play, "fr.court"), "--json", expect=20)
    assert said.json["error"]["code"] == "registry-wrong"
    assert "lacks a signature by a live authority key" in said.json["error"]["message"]


def test_a_key_that_was_revoked_is_sealed_to_by_nobody_who_saw_the_log_since(theatre, play, liar, desk, case):
    party = desk(theatre.sender)
    theatre.run(party, *send_words(play, "lu.parquet"), expect=2)
    liar.lie = registry_is("lu.parquet", play.with_key)
    said = theatre.run(party, *send_words(play, "lu.parquet"), "--json", expect=25)
    assert said.json["error"]["code"] == "registry-outdated"
    case.rebuild(kept(case.rows, lambda row: row.event not in ("key.revoked", "principal.revoked")))
    liar.lie = registry_is("lu.parquet", case.operator.registry(case.root / "without.zip", "lu.parquet"))
    said = theatre.run(party, *send_words(play, "lu.parquet"), "--json", expect=25)


def test_a_registry_cut_before_its_revocation_shows_the_next_label(theatre, play, liar, desk, case):
    party = desk(theatre.sender)
    for event in ("principal.revoked", "key.revoked"):
        case.operator.strike(case.row(event, "lu.parquet"))
    liar.lie = registry_is("lu.parquet", case.operator.registry(case.root / "cut.zip", "lu.parquet"))
    said = theatre.run(party, *send_words(play, "lu.parquet"), "--json", expect=20)
    assert said.json["error"]["code"] == "registry-wrong"


def test_an_old_backup_that_goes_on_is_found_by_all_who_were_there_since(*, theatre, play, lying, desk, tmp_path):
    mirror = tmp_path / "mirror"
    shutil.copytree(theatre.root / "sender-mirror", mirror)
    with running(play, lying, tmp_path / "stage", play.early):
        party, fresh = desk(theatre.sender), desk(theatre.receiver)
        said = theatre.run(party, "log", "mirror", mirror, "--json", expect=25)
        assert said.json["error"]["code"] == "log-rolled-back"
        theatre.run(party, *send_words(play, "fr.court"), expect=25)
        said = theatre.run(party, "bundle", play.exchange, "-o", tmp_path / "none.zip", expect=None)
        assert "has seen a checkpoint" in refused(said, said.code)
        shutil.rmtree(fresh.home / "default" / "records")
        for _ in range(9):
            theatre.run(fresh, "exchange", "open", "--with", "nl.police")
        said = theatre.run(party, "log", "mirror", mirror, expect=None)
        assert said.code in (20, 25)


def test_a_forked_chain_is_found_by_whoever_mirrors_the_log(*, theatre, play, lying, desk, case, tmp_path):
    party, row = desk(theatre.sender), case.row("receipt.signed")
    mirror = tmp_path / "mirror"
    shutil.copytree(theatre.root / "sender-mirror", mirror)
    other = replace(row, salt=b"o" * 32, branch="other").edited(nonce="0f" * 16)
    case.rebuild([*case.rows, replace(other, batch=case.rows[-1].batch + 1, before=row.fields["seq"])])
    case.operator.strike_salted(other.salt)
    with running(play, lying, tmp_path / "stage", case.operator.state):
        said = theatre.run(party, "log", "mirror", mirror, "--json", expect=20)
    assert said.json["error"]["code"] == "log-wrong"
    assert "forked" in said.json["error"]["message"]
