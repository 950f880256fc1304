"""A log ends once, names its successor as its last word, and the successor binds every leaf of it."""

import hashlib
from argparse import Namespace
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from app import main
from app.db import ledger
from app.db.log_models import LedgerRow, LogLeaf
from app.db.log_reader import newest_note
from app.errors import BadInput, ReadOnly, StateConflict
from app.main import commands, endings
from app.services import succession
from app.settings import Settings, Tls
from custody import canonical, leaf, merkle
from custody.checkpoint import open_checkpoint
from custody.errors import FormatError
from custody.note import KeyType, SignerKey
from custody.succession import LeavesDigest, Predecessor, PredecessorMismatch

OLD, NEW = "evidence.example.org/log", "evidence.example.org/log2"
SERVICE = leaf.registry_handle(OLD, leaf.SERVICE).hex()


def settings(directory, origin):
    return Settings.from_environment({}, state=directory, port=8443, tls=Tls.BEHIND_PROXY, origin=origin)


def say_something(service, code="a-test"):
    runtime = service.runtime
    with runtime.unit_of_work() as uow:
        ledger.append(
            uow.session, chain=SERVICE, event="incident.noted", at=runtime.now(), origin=OLD, noted={"code": code}
        )
        uow.commit()


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A log that has begun, and `end(…)`, the operator's command."""
    monkeypatch.delenv("ROGATORY_ORIGIN", raising=False)
    state = tmp_path / "old"
    service = main.assemble(settings(state, OLD))
    say_something(service)
    service.sequencer.run_once()
    service.sequencer.stop()
    keys = [str(SignerKey.generate(NEW, kind).verifier) for kind in (KeyType.ED25519, KeyType.COSIGN_MLDSA44)]

    def end(origin=NEW, given=tuple(keys)):
        options = Namespace(state=state, origin=origin, keys=list(given), output=tmp_path / "old.json", bundles=None)
        return endings.succeed(options)

    yield SimpleNamespace(
        runtime=service.runtime, end=end, keys=keys, file=tmp_path / "old.json", settings=service.runtime.settings
    )
    service.runtime.engine.dispose()


def test_an_ended_log_says_who_follows_and_takes_nothing_more(old, capsys):
    assert old.end() == 0
    again = main.assemble(old.runtime.settings)
    with pytest.raises(ReadOnly, match=NEW):
        say_something(again)
    last = succession.end_of(again.runtime)
    assert (last.event, last.noted) == ("log.succeeded", {"keys": old.keys, "origin": NEW})
    before = old.file.read_bytes()
    assert old.end() == 0, "the same again changes nothing"
    assert old.file.read_bytes() == before
    with pytest.raises(StateConflict, match="successor is"):
        old.end("other.example.org/log", [str(SignerKey.generate("other.example.org/log", KeyType.ED25519).verifier)])
    steps = succession.steps(again.runtime)
    assert '"log.succeeded"' in steps[-1].entry.decode()
    again.runtime.engine.dispose()


def test_the_successor_binds_every_leaf_by_a_second_hash(old, tmp_path, monkeypatch):
    old.end()
    found = Predecessor.parse(old.file.read_bytes())
    with old.runtime.reading() as session:
        leaves = list(session.scalars(select(LogLeaf.data).order_by(LogLeaf.idx)))
        note = newest_note(session)
    shown, _ = open_checkpoint(note, origin=OLD, log=old.runtime.log_keys)
    by_hand = hashlib.sha3_512(b"".join(len(each).to_bytes(2, "big") + each for each in leaves)).hexdigest()
    assert (found.origin, found.size, found.root, found.sha3_512) == (OLD, len(leaves), shown.root.hex(), by_hand)
    assert leaf.parse(leaves[-1]).__class__ is leaf.TailLeaf
    assert merkle.root([merkle.leaf_hash(each) for each in leaves]) == shown.root

    monkeypatch.setenv("ROGATORY_ORIGIN", NEW)
    assert commands.init(Namespace(state=tmp_path / "new", succeeds=None, keys_only=True)) == 0
    options = Namespace(state=tmp_path / "new", succeeds=old.file, keys_only=False)
    assert commands.init(options) == 0
    assert commands.init(options) == 0, "again is nothing new"
    new = main.assemble(settings(tmp_path / "new", NEW))
    chain = leaf.registry_handle(NEW, leaf.SERVICE).hex()
    with new.runtime.reading() as session:
        first = session.scalar(select(LedgerRow.body).where(LedgerRow.chain == chain))
    assert canonical.decode(first)["noted"]["predecessor"] == found.fields()
    new.runtime.engine.dispose()
    monkeypatch.setenv("ROGATORY_ORIGIN", OLD)
    with pytest.raises(StateConflict, match="already"):
        commands.init(Namespace(state=old.settings.state, succeeds=old.file, keys_only=False))


def test_an_end_that_died_before_it_had_a_place_gets_it_at_the_next_start(old):
    succession.succeed(old.runtime, origin=NEW, keys=old.keys, at=old.runtime.now())
    assert succession.is_ending(old.runtime)
    again = main.assemble(old.runtime.settings)
    assert not succession.is_ending(again.runtime)
    with pytest.raises(ReadOnly):
        say_something(again)
    assert old.end() == 0
    again.runtime.engine.dispose()


def test_a_log_does_not_end_under_a_running_service(old, monkeypatch):
    monkeypatch.setattr(endings.Election, "is_taken", lambda self: True)
    with pytest.raises(StateConflict, match="running"):
        old.end()
    assert succession.end_of(old.runtime) is None


@pytest.mark.parametrize(
    ("origin", "key"),
    [(OLD, None), (NEW, "no key"), (NEW, str(SignerKey.generate("xx/log", KeyType.ED25519).verifier))],
    ids=["itself", "without a key", "with another log's key"],
)
def test_a_successor_that_is_none_is_refused(old, origin, key):
    with pytest.raises((BadInput, StateConflict)):
        old.end(origin, [key or str(old.runtime.log_keys[0])])
    assert succession.end_of(old.runtime) is None


def test_a_predecessor_is_held_to_the_leaves_and_to_nothing_else():
    bundles, root = [b"\0\1a\0\1b", b"\0\1c"], bytes(32)
    digest = LeavesDigest()
    for each in bundles:
        digest.add(each)
    named = Predecessor(OLD, 3, root.hex(), digest.hex())
    assert Predecessor.parse(named.encode()) == named
    named.check(origin=OLD, size=3, root=root, leaves=digest)
    other = LeavesDigest()
    other.add(b"\0\1a\0\1b\0\1d")
    for facts in (
        {"origin": NEW, "size": 3, "root": root, "leaves": digest},
        {"origin": OLD, "size": 2, "root": root, "leaves": digest},
        {"origin": OLD, "size": 3, "root": b"\1" * 32, "leaves": digest},
        {"origin": OLD, "size": 3, "root": root, "leaves": other},
    ):
        with pytest.raises(PredecessorMismatch):
            named.check(**facts)
    with pytest.raises(FormatError):
        Predecessor.parse(named.encode() + b"\n")
