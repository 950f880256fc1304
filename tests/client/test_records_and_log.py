"""What a client believes of the log: records, checkpoints, mirrors, registries. An operator who lies is found."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from rogatory.connection import Connection
from rogatory.directory import Directory, NotPinned, QuorumMissing, RegistryStale, RegistryWrong
from rogatory.lodging import Lodge, RecordRefused
from rogatory.log import LogWrong, Mirror, PublicLog
from rogatory.records import LogRolledBack, LogUnsigned, Record, RecordMalformed, RecordStore

from custody import batch, leaf, merkle, statement, tiles
from custody.archive import write_archive
from custody.bundle import directory_files
from custody.checkpoint import Checkpoint
from custody.errors import CustodyError
from custody.keys import KeyRecord
from custody.proof import TlogProof
from custody.sealing import generate_identity
from tests.custody.world import ORIGIN, TAIL, World


class Service:
    """The HTTP face of a world: its log, its registries, and records as they are asked for."""

    def __init__(self, world):
        self.world = world
        self.answers = {}
        self.leaves = None

    def connection(self):
        return Connection("https://service.test", transport=httpx.MockTransport(self.answer), sleep=lambda _: None)

    def answer(self, request):
        path = request.url.path
        if path in self.answers:
            return self.answers[path](request)
        if path == "/log/checkpoint":
            return httpx.Response(200, content=self.world.checkpoint())
        if path.startswith("/log/tile/"):
            return self.tile(path.removeprefix("/log/"))
        return httpx.Response(404, json={"code": "not-found"})

    def tile(self, path):
        asked = tiles.parse_path(path)
        data = self.leaves or self.world.leaves()
        if asked.level is None:
            block = data[asked.n * 256 : asked.n * 256 + asked.width]
            return httpx.Response(200, content=tiles.encode_entries(block))
        hashes = [merkle.leaf_hash(one) for one in data]
        assert asked.level == 0
        block = hashes[asked.n * 256 : asked.n * 256 + asked.width]
        if len(block) < asked.width:
            return httpx.Response(404)
        return httpx.Response(200, content=tiles.encode_hashes(block))


@pytest.fixture
def world():
    return World(seen=False).opened()


def record_of(world, entry, *, size=None):
    """The honest record of an entry in the world as it is."""
    lines = next(line for line in world.lines(entry.chain) if line.hash == entry.hash)
    hashes = world.hashes()
    path = merkle.inclusion_path(index=lines.index, size=len(hashes), node=world.node(hashes))
    proof = TlogProof(lines.label + lines.salt, lines.index, tuple(path), world.checkpoint())
    return Record(entry.data, lines.index, proof.encode())


def opened_record(world):
    entry = world.chains[world.handle][0]
    return record_of(world, entry), statement.parse(world.statements[entry.statement_id])


def test_an_honest_record_holds_and_is_kept(world, tmp_path):
    record, said = opened_record(world)
    store = RecordStore(tmp_path / "records", world.trust())
    record.check(trust=world.trust(), event="exchange.opened", said=said)
    store.keep(record, said)
    [(kept, kept_said)] = store.records("exchange.opened")
    assert (kept, kept_said.id) == (record, said.id)


def other_statement(world, record, said):
    return record, world.say(world.police, "act", event="exchange.opened", detail=said.payload["detail"])


def other_entry(world, record, said):
    other = world.note("log.viewed", noted={"by": {"authority": "police.nl"}, "entries": 1})
    return record_of(world, other), said


def changed_entry(world, record, said):
    return Record(record.entry.replace(b'"seq":0', b'"seq":1'), record.index, record.proof), said


def other_index(world, record, said):
    return Record(record.entry, record.index + 1, record.proof), said


def other_log_key(world, record, said):
    stranger = World(seen=False)
    stranger.signers, world.signers = world.signers, stranger.signers
    try:
        return record_of(world, world.chains[world.handle][0]), said
    finally:
        stranger.signers, world.signers = world.signers, stranger.signers


def proof_of_another(world, record, said):
    other = world.chains[world.police.handle][0]
    return Record(record.entry, record.index, record_of(world, other).proof), said


def other_salt(world, record, said):
    proof = TlogProof.parse(record.proof)
    changed = TlogProof(proof.label + bytes(32), proof.index, proof.path, proof.note)
    return Record(record.entry, record.index, changed.encode()), said


WRONG = [other_statement, other_entry, changed_entry, other_index, other_log_key, proof_of_another, other_salt]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_record_is_refused_and_not_kept(world, tmp_path, wrong):
    record, said = wrong(world, *opened_record(world))
    store = RecordStore(tmp_path / "records", world.trust())
    lodge = Lodge(Service(world).connection(), store, world.trust())
    with pytest.raises(LogUnsigned if wrong is other_log_key else RecordRefused):
        lodge.take(record.fields(), event="exchange.opened", said=said)
    assert list(store.records()) == []
    assert store.newest() is None


def test_every_flipped_byte_of_a_record_is_noticed(world):
    record, said = opened_record(world)
    for name in ("entry", "proof"):
        data = getattr(record, name)
        for place in range(0, len(data), 41):
            changed = bytearray(data)
            changed[place] ^= 0x01
            fields = {"entry": record.entry, "proof": record.proof} | {name: bytes(changed)}
            broken = Record(fields["entry"], record.index, fields["proof"])
            with pytest.raises(CustodyError):
                broken.check(trust=world.trust(), event="exchange.opened", said=said)


@pytest.mark.parametrize(
    "fields", [None, {}, {"entry": "", "index": "0", "proof": ""}, {"entry": "x", "index": 0, "proof": "", "more": 1}]
)
def test_what_is_no_record_is_malformed(fields):
    with pytest.raises(RecordMalformed):
        Record.parse(fields)


def test_the_newest_checkpoint_advances_with_the_log(world, tmp_path):
    store, service = RecordStore(tmp_path, world.trust()), Service(world)
    log = PublicLog(service.connection(), ORIGIN)
    sizes = []
    for _ in range(5):
        store.advance(world.checkpoint(), log)
        sizes.append(store.newest().size)
        world.sealed() if len(sizes) == 1 else world.tick(TAIL)
    assert sizes == sorted(set(sizes))


def test_an_older_checkpoint_of_the_same_history_is_no_rollback_and_does_not_replace(world, tmp_path):
    store, log = RecordStore(tmp_path, world.trust()), PublicLog(Service(world).connection(), ORIGIN)
    older = world.checkpoint()
    world.sealed()
    store.advance(world.checkpoint(), log)
    newest = store.newest()
    store.advance(older, log)
    assert store.newest() == newest


def test_a_slower_command_does_not_set_the_newest_checkpoint_back(world, tmp_path):
    log, trust = PublicLog(Service(world).connection(), ORIGIN), world.trust()
    slow, quick = RecordStore(tmp_path, trust), RecordStore(tmp_path, trust)
    slow.advance(world.checkpoint(), log)
    world.sealed()
    shown = world.checkpoint()
    world.tick(TAIL)
    newest = world.checkpoint()

    class Overtaken:
        """While the slow command fetches its proof, a quicker one keeps a newer checkpoint."""

        def consistency(self, size1, size2):
            quick.advance(newest, log)
            return log.consistency(size1, size2)

    slow.advance(shown, Overtaken())
    assert slow.newest() == quick.open(newest)


def test_a_restored_backup_that_went_on_is_a_rollback(world, tmp_path):
    restored = world.copy()
    world.sealed()
    store = RecordStore(tmp_path, world.trust())
    store.advance(world.checkpoint(), PublicLog(Service(world).connection(), ORIGIN))
    restored.tick(TAIL)
    with pytest.raises(LogRolledBack):
        store.advance(restored.checkpoint(), PublicLog(Service(restored).connection(), ORIGIN))


def test_the_checkpoint_of_the_trust_file_is_held_from_the_start(world, tmp_path):
    restored = world.copy()
    world.sealed()
    trust = world.trust(checkpoint=world.checkpoint())
    store = RecordStore(tmp_path, trust)
    assert store.newest().size == len(world.slots)
    with pytest.raises(LogRolledBack):
        store.advance(restored.checkpoint(), PublicLog(Service(restored).connection(), ORIGIN))


def test_another_root_of_the_same_size_is_a_rollback(world, tmp_path):
    other = world.copy()
    world.tick("dummy")
    other.tick("dummy")
    store = RecordStore(tmp_path, world.trust())
    store.advance(world.checkpoint(), PublicLog(Service(world).connection(), ORIGIN))
    with pytest.raises(LogRolledBack):
        store.advance(other.checkpoint(), PublicLog(Service(other).connection(), ORIGIN))


def test_consistency_from_tiles_is_the_one_of_the_tree(world):
    for _ in range(700):
        world.tick("dummy")
    hashes, size = world.hashes(), len(world.slots)
    service = Service(world)
    service.leaves = world.leaves()
    log = PublicLog(service.connection(), ORIGIN)
    log.node = lambda level, index, total: (
        world.node(hashes)(level, index) if level >= 8 else PublicLog.node(log, level, index, total)
    )
    for old in (1, 2, 255, 256, 257, 511, 513, size - 1):
        expected = merkle.consistency_path(size1=old, size2=size, node=world.node(hashes))
        assert log.consistency(old, size) == expected


# ---------------------------------------------------------------- mirror


def test_a_mirror_follows_an_honest_log(world, tmp_path):
    log, mirror = PublicLog(Service(world).connection(), ORIGIN), Mirror(tmp_path / "m", world.trust())
    first = mirror.update(log)
    world.sealed().received()
    for _ in range(300):
        world.tick("dummy")
    world.tick(TAIL)
    second = mirror.update(log)
    assert (first.before, second.before) == (0, first.size)
    assert second.size == len(world.slots) == second.entries + second.tails
    assert second.complete
    assert mirror.held() == Checkpoint(ORIGIN, second.size, merkle.root(world.hashes()))


def doubled_label(leaves):
    first = next(place for place, data in enumerate(leaves) if data[0] == 1)
    leaves.insert(first + 1, leaf.entry_leaf(leaves[first][1:33], bytes(32)))


def wrong_tail(leaves):
    place = max(place for place, data in enumerate(leaves) if data[0] == 2)
    leaves[place] = leaf.tail_leaf(bytes(32))


def missing_label(leaves):
    del leaves[0]


@pytest.mark.parametrize("lie", [doubled_label, wrong_tail, missing_label])
def test_a_lie_in_the_leaves_is_found_though_the_log_signed_it(world, tmp_path, lie):
    world.tick(TAIL)
    leaves = world.leaves()
    lie(leaves)
    world.leaves = lambda: leaves
    world.slots = world.slots[: len(leaves)] + [None] * (len(leaves) - len(world.slots))
    with pytest.raises(LogWrong):
        Mirror(tmp_path / "m", world.trust()).update(PublicLog(Service(world).connection(), ORIGIN))
    assert not (tmp_path / "m" / "checkpoint").exists()


def test_leaves_that_are_not_those_signed_are_found(world, tmp_path):
    service = Service(world)
    service.leaves = world.leaves()
    service.leaves[0] = leaf.entry_leaf(bytes(32), bytes(32))
    with pytest.raises(LogWrong):
        Mirror(tmp_path / "m", world.trust()).update(PublicLog(service.connection(), ORIGIN))


def test_a_log_shorter_than_its_mirror_is_a_rollback(world, tmp_path):
    restored = world.copy()
    world.sealed()
    mirror = Mirror(tmp_path / "m", world.trust())
    mirror.update(PublicLog(Service(world).connection(), ORIGIN))
    with pytest.raises(LogRolledBack):
        mirror.update(PublicLog(Service(restored).connection(), ORIGIN))


def test_a_log_with_another_past_than_its_mirror_is_found(world, tmp_path):
    other = world.copy()
    world.tick("dummy")
    mirror = Mirror(tmp_path / "m", world.trust())
    mirror.update(PublicLog(Service(world).connection(), ORIGIN))
    other.tick("dummy")
    other.tick("dummy")
    for path in (tmp_path / "m" / "tile").rglob("*.p/*"):
        path.unlink()
    with pytest.raises(LogRolledBack):
        mirror.update(PublicLog(Service(other).connection(), ORIGIN))


# ---------------------------------------------------------------- registries


def directory(world, *, files=None, trust=None, now=None):
    service, target = Service(world), io.BytesIO()
    world.tick(TAIL)
    packed = files(world) if files else world.bundle("registry")
    write_archive(target, ((name, lambda data=data: (data,)) for name, data in packed.items()))
    service.answers["/v1/authorities/police.nl/registry"] = lambda _: httpx.Response(200, content=target.getvalue())
    connection = service.connection()
    connection._token, connection._token_ends = "t", float("inf")
    return Directory(connection, trust or world.trust(), now=lambda: now or world.clock)


def test_a_pinned_whole_registry_gives_its_live_encryption_key(world):
    [row] = directory(world).recipients(["police.nl"])
    assert [str(recipient) for recipient in row.recipients()] == [str(world.police.identity.recipient)]


def test_an_unpinned_authority_is_refused(world):
    with pytest.raises(NotPinned):
        directory(world, trust=world.trust(authorities={})).authority("police.nl")


def test_an_authority_with_other_founding_keys_than_pinned_is_refused(world):
    pins = {"police.nl": frozenset({world.court.key.public.id})}
    with pytest.raises(NotPinned):
        directory(world, trust=world.trust(authorities=pins)).authority("police.nl")


def test_a_stale_registry_is_not_sealed_to(world):
    late = world.clock + timedelta(days=2)
    with pytest.raises(RegistryStale):
        directory(world, now=late).recipients(["police.nl"])


def test_a_registry_from_the_future_is_not_sealed_to(world):
    with pytest.raises(RegistryStale):
        directory(world, now=datetime(2020, 1, 1, tzinfo=UTC)).recipients(["police.nl"])


def test_a_registry_without_the_quorum_is_refused():
    world = World(seen=False, witnesses=2, quorum=2)
    known = directory(world).authority("police.nl")
    assert known.registry.active()
    whole = world.checkpoint
    world.checkpoint = lambda: whole(cosigners=world.witnesses[:1])
    with pytest.raises(QuorumMissing):
        directory(world).authority("police.nl")


def hide_revocation(world):
    """The operator leaves the last entry of the registry out and makes everything again that it can."""
    contents = world.contents("registry")
    chain = contents.registries["police.nl"]
    cut = replace(chain, entries=chain.entries[:-1], leaves=chain.leaves[:-1])
    hashes = world.hashes()
    indices = sorted({line.index for line in cut.leaves} | {len(hashes) - 1})
    changed = replace(
        contents,
        registries={"police.nl": replace(cut, tail=world.tail_of(world.police.handle, seq=-2))},
        inclusion=batch.batch_proof(indices, len(hashes), world.node(hashes)),
    )
    return {name: b"".join(source()) for name, source in directory_files(changed)}


def test_a_hidden_revocation_is_found(world):
    key = world.police.identity.recipient.key_id
    said = world.say(
        world.police, "key", world.police.handle, [world.police.key], action="revoke", revokes=key, reason="lost"
    )
    world.lodge("key.revoked", said)
    with pytest.raises(RegistryWrong, match="is in the log"):
        directory(world, files=hide_revocation).authority("police.nl")


def test_a_slipped_in_key_is_found(world):
    spy = KeyRecord.of(generate_identity("x25519").recipient, use="encryption", holder="police.nl")
    said = world.say(world.court, "key", world.police.handle, [world.court.key], action="add", key=spy.fields())
    world.lodge("key.added", said)
    with pytest.raises(RegistryWrong):
        directory(world).authority("police.nl")


def test_records_are_kept_as_readable_text(world, tmp_path):
    record, said = opened_record(world)
    path = RecordStore(tmp_path, world.trust()).keep(record, said)
    assert json.loads(path.read_text())["envelope"] == said.envelope.decode()
