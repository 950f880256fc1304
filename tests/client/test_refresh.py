"""A bundle is refreshed with what auditors cosigned since, and proves completeness from then on, by either verifier."""

import pytest
from rogatory import refresh
from rogatory.errors import UsageProblem

from custody import merkle
from custody.bundle import open_bundle
from custody.checkpoint import Checkpoint
from custody.errors import CustodyError
from custody.note import parse_note
from custody.report import Status
from custody.verify import verify_bundle
from tests.custody.test_verify_auditors import Grown
from tests.custody.world import World, packed, zipped


class Log:
    """A public log, and what its keys cosigned."""

    def __init__(self, world, notes):
        self._hashes, self._node, self._notes = world.hashes(), world.node(world.hashes()), notes

    def cosigned_by(self, key):
        return self._notes.get(key)

    def consistency(self, size1, size2):
        return merkle.consistency_path(size1=size1, size2=size2, node=self._node)


@pytest.fixture(scope="module")
def grown():
    return Grown()


def made(grown, directory, notes, world=None, files=None):
    """The bundle refreshed, and the report on it."""
    (directory / "bundle.zip").write_bytes(zipped(files or grown.files))
    bundle = open_bundle(directory / "bundle.zip")
    log = Log(world or grown.grow(grown.grow()), notes)
    try:
        added, found = refresh.refresh(bundle, grown.world.trust(), log)
        refresh.write(bundle, added, directory / "refreshed.zip")
    finally:
        bundle.close()
    return found, verify_bundle(directory / "refreshed.zip", grown.world.trust(require=("completeness",)))


def ids(grown):
    return [key.verifier.full_id for key in grown.world.auditors]


def test_auditors_who_came_by_at_different_times_make_it_complete(grown, tmp_path):
    once = grown.grow()
    twice = grown.grow(once)
    notes = [world.checkpoint(cosigners=[key]) for world, key in zip((once, twice), grown.world.auditors, strict=True)]
    found, report = made(grown, tmp_path, dict(zip(ids(grown), notes, strict=True)), twice)
    assert found == {"auditor0.example": grown.size + 2, "auditor1.example": grown.size + 4}
    assert report.verified, report.text()
    assert report["completeness"].status is Status.PASS


def test_an_auditor_of_the_bundles_own_size_needs_no_proof(grown, tmp_path):
    note = grown.world.checkpoint()
    found, report = made(grown, tmp_path, dict.fromkeys(ids(grown), note), grown.world)
    assert set(found.values()) == {grown.size}
    assert report.verified, report.text()


def test_a_stamped_note_stays_as_it_was(grown, tmp_path):
    world = grown.grow()
    old, name = world.checkpoint(cosigners=()), f"checkpoints/{grown.size + 2}"
    files = grown.files | {name: old, f"timestamps/{grown.size + 2}-0.tsr": b"any"}
    made(grown, tmp_path, dict.fromkeys(ids(grown), world.checkpoint()), world, packed(files))
    bundle = open_bundle(tmp_path / "refreshed.zip")
    assert bundle.read(name) == old
    bundle.close()


@pytest.mark.parametrize("case", ["none", "earlier", "without"])
def test_whom_no_auditor_has_reached_is_told_to_wait(grown, tmp_path, case):
    notes = {
        "none": {},
        "earlier": dict.fromkeys(ids(grown), grown.small.checkpoint()),
        "without": dict.fromkeys(ids(grown), grown.grow().checkpoint(cosigners=())),
    }
    with pytest.raises(refresh.AuditorsBehind):
        made(grown, tmp_path, notes[case])
    assert not (tmp_path / "refreshed.zip").exists()


def test_another_history_is_refused(grown, tmp_path):
    other = grown.grow()
    note = other.checkpoint(root=bytes(32))
    assert Checkpoint.parse(parse_note(note).text).size == grown.size + 2
    with pytest.raises(refresh.BundleOfAnotherLog):
        made(grown, tmp_path, dict.fromkeys(ids(grown), note), other)


def test_a_checkpoint_of_other_keys_is_refused(grown, tmp_path):
    note = grown.grow().checkpoint(signers=World(seen=False).signers)
    with pytest.raises(CustodyError):
        made(grown, tmp_path, dict.fromkeys(ids(grown), note))


def test_a_renewed_bundle_and_a_trust_file_without_auditors_are_refused(grown, tmp_path):
    renewed = packed(grown.files | {"renewal/1.json": b"{}"})
    with pytest.raises(UsageProblem, match="renewal"):
        made(grown, tmp_path, {}, files=renewed)
    bundle = open_bundle(tmp_path / "bundle.zip")
    with pytest.raises(UsageProblem, match="no auditors"):
        refresh.refresh(bundle, World(seen=False).trust(), None)
    bundle.close()
