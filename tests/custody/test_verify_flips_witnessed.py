"""One bit of every byte of what two witnesses, a time stamp and a withheld entry bring into a bundle.

Beside `test_verify_flips`: the notes with cosignatures of both kinds, the stamp, and the leaf lines of which one stands for
an entry that is not shown. Flips are looked at as they are and, without the check `packing`, as repaired.
"""

from collections import Counter

import pytest

from custody.checklist import stamps, views
from custody.note import SignerKey
from custody.report import Report, Status
from custody.timestamp import Reply, Validation
from tests.custody.in_memory import verify_files
from tests.custody.test_verify_flips import _remembering, remembered  # noqa: F401 - the first applies to this module too
from tests.custody.tsa import Tsa
from tests.custody.world import TAIL, World

NOT_UNDERSTOOD = {3, 24}
CLASSES = {
    "checkpoint": {20, 22},
    "leaves.jsonl": {20, 21},
    "inclusion": {20},
    "checkpoints": {23, 25},
    "timestamps": {23},
}
"""Exit codes under a packing list made again, besides those of bytes that are not understood."""


@pytest.fixture(scope="module", autouse=True)
def _remembering_notes_and_stamps():
    """A reply and a note that did not change are read and judged once, like all else that did not."""
    judge = Reply.judge
    alone = remembered(lambda reply, data, authorities: judge(reply, data, authorities, Validation()))

    def judged(reply, data, authorities, validation):
        assert validation == Validation([], []), "this bundle brings no validation"
        return alone(reply, data, authorities)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stamps, "Reply", remembered(Reply))
        patched.setattr(Reply, "judge", judged)
        for module in (stamps, views):
            patched.setattr(module, "parse_note", remembered(module.parse_note))
        yield


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """(files, trust file) of an exchange with all of that, as small as it can be."""
    w = World(seen=False, witnesses=1)
    w.witnesses.append(SignerKey.generate("witness1.example", 0x06))
    w.quorum = 2
    w.opened()
    w.tick(TAIL)
    early, size = w.checkpoint(), len(w.slots)
    w.act(w.court, "log.exported", detail={"form": "bundle"})
    w.exported()
    w.views.append(size)
    tsa = Tsa(tmp_path_factory.mktemp("tsa") / "tsa", "tsa", kind="ec")
    stamps = {f"timestamps/{size}-0.tsr": tsa.stamp(early)}
    files = w.bundle(withheld={1}, checkpoints={size: early}, stamps=stamps)
    return files, w.trust(tsa=(tsa.trusted,), require=("timestamps",))


def folder_of(name):
    return name.split("/")[0]


def test_the_bundle_verifies_with_all_of_it(bundle):
    files, trust = bundle
    report = verify_files(files, trust, allow_withheld=True)
    assert report.verified
    assert [report[check].status for check in ("quorum", "time", "timestamps")] == [Status.PASS] * 3
    assert report.withheld
    assert {each[:1] for each in files["checkpoint"].splitlines()[4:]} == {"—".encode()[:1]}


@pytest.mark.deep
@pytest.mark.parametrize("folder", sorted(CLASSES))
def test_a_flipped_bit_is_found_and_classed(bundle, effort, folder):
    """What a token carries and its authority did not sign (other certificates) is found by the packing list alone.

    The second note is of the form of the first: in `make test` every third byte of it is flipped.
    """
    files, trust = bundle
    (name,) = (name for name in files if folder_of(name) == folder)
    counts = Counter()
    first = range(0, len(files[name]), 3 if folder == "checkpoints" else 1)
    chosen = [(place, bit) for bit in range(9) for place in (range(len(files[name])) if bit else first)]
    for turn in effort.turns(usual=len(first), full=len(chosen)):
        place, bit = chosen[turn]
        data = bytearray(files[name])
        data[place] ^= 1 << (place + bit) % 8
        count(counts, name, verify_files(files | {name: bytes(data)}, trust, allow_withheld=True))
    assert counts["file named"] == counts["flips"]
    if folder != "timestamps":
        assert counts["found again"] == counts["flips"]
        assert counts["class again"] >= 0.99 * counts["flips"]
    assert counts["found again"] >= 0.6 * counts["flips"]
    assert counts["class again"] >= 0.99 * counts["found again"]


def count(counts, name, report: Report):
    """Hold a report on a flip to what it must say, and count what it says without its packing list."""
    counts["flips"] += 1
    assert not report.verified
    assert report["packing"].status is Status.FAIL
    counts["file named"] += report["packing"].place.file == name
    rest = tuple(check for check in report.checks if check.id != "packing")
    other = Report(rest, report.demanded - {"packing"}, (), withheld=report.withheld, allow_withheld=True)
    counts["found again"] += not other.verified
    counts["class again"] += not other.verified and other.exit_code in NOT_UNDERSTOOD | CLASSES[folder_of(name)]
