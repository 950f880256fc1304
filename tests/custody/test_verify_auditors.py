"""Who recomputed the leaves of a larger tree has recomputed those of a smaller: auditors count from the bundle's size on."""

from functools import cache

from custody import merkle
from custody.packing import encode_consistency
from custody.report import Status
from tests.custody.world import DUMMY, TAIL, World, packed

CLAIMED = "claimed"


class Grown:
    """A bundle that no auditor has cosigned, and the log as it grew since (or was before)."""

    def __init__(self):
        self.world = World(seen=False, auditors=2).exchange()
        self.small = self.world.copy()
        self.small.slots = self.small.slots[:-2]
        self.files = self.world.bundle(checkpoint=self.world.checkpoint(cosigners=()))
        self.size = len(self.world.slots)

    def grow(self, world=None):
        world = (world or self.world).copy()
        world.tick(DUMMY)
        world.tick(TAIL)
        return world

    def added(self, world, *auditors):
        """The files that show a checkpoint of the grown log, cosigned by some of the auditors."""
        size, hashes = len(world.slots), world.hashes()
        old, new = sorted((self.size, size))
        longest = hashes if size >= self.size else self.world.hashes()
        path = merkle.consistency_path(size1=old, size2=new, node=self.world.node(longest))
        note = world.checkpoint(cosigners=[self.world.auditors[number] for number in auditors])
        proof = {f"consistency/{old}-{new}": encode_consistency(old, new, path)} if old < new else {}
        return {f"checkpoints/{size}": note} | proof

    def completeness(self, *added, **options):
        files = self.files
        for more in added:
            files = files | more
        return self.world.verify(packed(files), **options)["completeness"]


@cache
def grown():
    return Grown()


def assert_only_claimed(check):
    assert (check.status, check.code) == (Status.NOT_CHECKED, CLAIMED)


def assert_audited(check):
    assert check.status is Status.PASS
    assert "g0, g1" in check.detail


def test_a_bundle_that_nobody_cosigned_is_only_claimed_to_be_complete():
    assert_only_claimed(grown().completeness())


def test_auditors_of_a_later_checkpoint_vouch_for_an_earlier():
    assert_audited(grown().completeness(grown().added(grown().grow(), 0, 1)))


def test_auditors_of_another_note_of_the_same_size_count():
    assert_audited(grown().completeness(grown().added(grown().world, 0, 1)))


def test_auditors_of_two_later_checkpoints_count_together():
    once = grown().grow()
    assert_audited(grown().completeness(grown().added(once, 0), grown().added(grown().grow(once), 1)))
    assert_only_claimed(grown().completeness(grown().added(once, 0), grown().added(grown().grow(once), 0)))


def test_auditors_of_an_earlier_checkpoint_have_not_seen_what_came_after():
    assert_only_claimed(grown().completeness(grown().added(grown().small, 0, 1)))
    assert_only_claimed(grown().completeness(grown().added(grown().small, 0), grown().added(grown().grow(), 1)))


def test_a_later_checkpoint_without_proof_counts_for_nothing():
    added = grown().added(grown().grow(), 0, 1)
    assert_only_claimed(grown().completeness({name: data for name, data in added.items() if "consistency" not in name}))


def test_a_later_checkpoint_of_another_history_is_found_and_counts_for_nothing():
    larger = grown().grow()
    added = grown().added(larger, 0, 1)
    forked = added | {f"checkpoints/{len(larger.slots)}": larger.checkpoint(root=bytes(32), cosigners=larger.auditors)}
    report = grown().world.verify(packed(grown().files | forked))
    assert (report["consistency"].status, report["consistency"].code) == (Status.FAIL, "other-history")
    assert_only_claimed(report["completeness"])


def test_a_later_note_with_a_wrong_cosignature_counts_for_nothing():
    larger = grown().grow()
    name, added = f"checkpoints/{len(larger.slots)}", grown().added(larger, 0, 1)
    right, wrong = (note.splitlines() for note in (added[name], grown().grow(larger).checkpoint()))
    lines = [wrong[place] if b"auditor1" in line else line for place, line in enumerate(right)]
    assert lines != right
    assert_only_claimed(grown().completeness(added | {name: b"\n".join(lines) + b"\n"}))


def test_a_later_checkpoint_that_the_reader_brings_counts_with_its_proof(tmp_path):
    added = grown().added(grown().grow(), 0, 1)
    [note] = [data for name, data in added.items() if name.startswith("checkpoints/")]
    proof = {name: data for name, data in added.items() if name.startswith("consistency/")}
    (tmp_path / "note").write_bytes(note)
    assert_audited(grown().completeness(proof, since=tmp_path / "note"))
    assert_only_claimed(grown().completeness(since=tmp_path / "note"))
    earlier = grown().added(grown().small, 0, 1)
    (tmp_path / "note").write_bytes(*[data for name, data in earlier.items() if name.startswith("checkpoints/")])
    proof = {name: data for name, data in earlier.items() if name.startswith("consistency/")}
    assert_only_claimed(grown().completeness(proof, since=tmp_path / "note"))


def test_the_log_itself_must_have_signed_before_auditors_count():
    files = grown().files | {"checkpoint": grown().world.checkpoint(signers=World(seen=False).signers, cosigners=())}
    report = grown().world.verify(packed(files | grown().added(grown().grow(), 0, 1)))
    assert report["log"].status is Status.FAIL
    assert_only_claimed(report["completeness"])
