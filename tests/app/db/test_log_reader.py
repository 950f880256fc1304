"""What the service shows of its log is what `custody` accepts, as of one signed checkpoint."""

import pytest
from sqlalchemy import select

from app.db import ledger, log_reader, tails
from app.db.chain_files import Statements, chain_files
from app.db.log_models import LogLeaf
from app.db.log_reader import LogReader
from app.errors import NotFound
from custody import batch, leaf, merkle, tail
from tests.app.db.world import ORIGIN, START
from tests.custody.parties import Authority


def fill(world, chain, counts):
    """Batches of entries; the (size, root) of the checkpoint after each."""
    signed = []
    for count in counts:
        with world.unit_of_work() as uow:
            for _ in range(count):
                world.append(uow, chain)
            uow.commit()
        world.sequencer.run_once()
        with world.reading() as session:
            reader = LogReader(session)
            signed.append((reader.size, reader.root))
    return signed


def next_label(session, chain):
    last = chain_files(session, chain).last
    return leaf.next_label(last.salt, last.hash)


def test_every_leaf_is_included_and_every_older_checkpoint_is_consistent(world):
    signed = fill(world, world.open_chain(), (1, 2, 250, 3, 300))
    with world.reading() as session:
        reader = LogReader(session)
        for index, data in session.execute(select(LogLeaf.idx, LogLeaf.data)):
            merkle.verify_inclusion(
                index=index,
                size=reader.size,
                leaf=merkle.leaf_hash(data),
                path=reader.inclusion(index),
                root=reader.root,
            )
        for size1, root1 in signed:
            for size2, root2 in signed:
                if size1 <= size2:
                    path = reader.consistency(size1, size2)
                    merkle.verify_consistency(size1=size1, size2=size2, root1=root1, root2=root2, path=path)
            assert log_reader.root_of(session, size1) == root1
        assert log_reader.root_of(session, 1) is None
        with pytest.raises(merkle.ProofMalformed):
            reader.consistency(1, reader.size + 1)
        with pytest.raises(LookupError):
            reader.node(0, reader.size)


def test_a_batch_proof_covers_the_named_leaves_and_the_tail_leaf(world):
    fill(world, world.open_chain(), (5, 300))
    with world.reading() as session:
        reader = LogReader(session)
        wanted = [0, 7, 8, 299]
        hashes = reader.batch(wanted)
        leaves = {at: session.get(LogLeaf, at).data for at in (*wanted, reader.size - 1)}
    batch.verify_batch(
        leaves={at: merkle.leaf_hash(data) for at, data in leaves.items()},
        size=reader.size,
        hashes=hashes,
        root=reader.root,
    )


def check_tail(session, chain):
    """The tail proof holds, in the checkpoint's own tail leaf; nothing follows the chain's last entry."""
    reader, label = LogReader(session), next_label(session, chain)
    proof = reader.tail(label)
    assert session.get(LogLeaf, reader.size - 1).data == leaf.tail_leaf(proof.root)
    tail.verify_absent(proof, label)
    return label


def test_nothing_follows_the_last_entry_until_something_does(world):
    chain, other = world.open_chain(), world.open_chain()
    fill(world, chain, (3,))
    fill(world, other, (3,))
    with world.reading() as session:
        label = check_tail(session, chain)
    fill(world, chain, (1,))
    with world.reading() as session:
        with pytest.raises(tail.LabelPresent):
            tail.verify_absent(LogReader(session).tail(label), label)
        check_tail(session, chain)


def test_a_reader_of_an_older_state_gets_the_tail_of_that_state(world):
    chain = world.open_chain()
    fill(world, chain, (3,))
    with world.reading() as session:
        label = check_tail(session, chain)
    with world.reading() as older:
        assert LogReader(older).size == 4
        fill(world, chain, (2,))
        with world.reading() as session:
            check_tail(session, chain)
        assert check_tail(older, chain) == label
    with world.reading() as session:
        check_tail(session, chain)


def test_a_checkpoint_shows_no_tail_of_leaves_that_are_not_signed_yet(world, monkeypatch):
    chain = world.open_chain()
    fill(world, chain, (3,))
    world.note(chain, 40)
    monkeypatch.setattr(world.sequencer, "_sign", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        world.sequencer.run_once()
    with world.reading() as session:
        assert log_reader.committed_size(session) == 45
        assert LogReader(session).size == 4
        check_tail(session, chain)
        assert len(list(chain_files(session, chain).entries)) == 3


def test_a_kept_tail_that_is_far_behind_is_made_anew(world, monkeypatch):
    chain = world.open_chain()
    monkeypatch.setattr(tails, "_LEAD_AT_MOST", 2)
    for count in (1, 5, 1):
        fill(world, chain, (count,))
        with world.reading() as session:
            check_tail(session, chain)


def test_the_files_of_a_chain_give_every_leaf_of_it(world):
    chain, other = world.open_chain(), world.open_chain()
    for _ in range(3):
        fill(world, chain, (2,))
        fill(world, other, (1,))
    with world.reading() as session:
        files = chain_files(session, chain)
        assert [line.seq for line in files.leaves] == list(range(6))
        assert [line.index for line in files.leaves] == files.indices
        assert list(files.leaves)[-1] == files.last
        label = leaf.first_label(ORIGIN, bytes.fromhex(chain))
        for data, line in zip(files.entries, files.leaves, strict=True):
            assert line.label == label
            assert session.get(LogLeaf, line.index).data == leaf.entry_leaf(
                label, leaf.commitment(line.salt, line.hash)
            )
            assert leaf.sha256(data).digest() == line.hash
            label = leaf.next_label(line.salt, line.hash)
        assert files.statements == []


def test_the_files_of_a_registry_have_its_statements_in_order(world):
    party = Authority("police.nl")
    said = [party.founding(), party.enrolment()]
    with world.unit_of_work() as uow:
        ledger.open_chain(uow.session, party.chain.handle, "registry", party.id)
        for event, statement in zip(("authority.enrolled", "principal.enrolled"), said, strict=True):
            ledger.append(
                uow.session, chain=party.chain.handle, event=event, at=START, origin=ORIGIN, statement=statement
            )
        uow.commit()
    world.sequencer.run_once()
    with world.reading() as session:
        found = chain_files(session, party.chain.handle).statements
        assert found == [(each.id, len(each.envelope)) for each in said]
        assert sorted(Statements(session, found)) == sorted(each.envelope for each in said)


def test_a_log_without_checkpoint_shows_nothing(world):
    with world.reading() as session, pytest.raises(NotFound):
        LogReader(session)
