"""A redacted bundle shows less and proves as much, and what is withheld cannot be guessed or exchanged."""

import pytest

from custody import entry
from custody.bundle import BundleMalformed, directory_files, open_bundle
from custody.packing import parse_leaves
from custody.redaction import only, redacted_files, without
from custody.report import Status
from tests.custody.world import World, folder, packed

STILL = ("packing", "canonical", "bodies", "chain", "statements", "registries", "signers", "signatures", "labels",
         "inclusion", "log", "quorum", "consistency", "completeness", "time", "digests", "headers")  # fmt: skip


@pytest.fixture(scope="module")
def world():
    """An exchange with two packages, witnesses and an auditor."""
    w = World(witnesses=1, auditors=1).opened().sealed().received()
    w.first, items = w.package, w.items
    w.sealed(plaintexts=(b"something else",))
    w.second = w.package
    w.items += items
    return w.exported()


def redacted(files, disclosed):
    with folder(files) as path:
        opened = open_bundle(path)
        try:
            return {name: b"".join(source()) for name, source in redacted_files(opened, disclosed)}
        finally:
            opened.close()


def seqs(files):
    return [entry.parse(line).seq for line in files["entries.jsonl"].splitlines()]


def test_only_one_package_is_shown_and_all_else_is_proven(world):
    files = redacted(world.bundle(), only(world.first))
    trust = world.trust(require=STILL)
    report = world.verify(files, trust, allow_withheld=True)
    assert report.verified
    hidden = {line.seq for line in parse_leaves(files["leaves.jsonl"])} - set(seqs(files))
    assert report.withheld[0].seqs == tuple(sorted(hidden))
    assert {report[name].status for name in ("rules", "conditions")} == {Status.NOT_CHECKED}
    assert world.verify(files, trust).exit_code == 21
    everything = b"".join(files.values())
    assert world.second.encode() not in everything
    assert world.first.encode() in everything
    assert len([name for name in files if name.startswith("headers/")]) == 3


@pytest.mark.parametrize("kind", ["exchange", "export"])
def test_any_entries_may_be_withheld(kind):
    whole = World(witnesses=1).exchange("export" if kind == "export" else "bundle")
    files = whole.bundle(kind)
    for seq in seqs(files):
        report = whole.verify(
            redacted(files, without(seq)), whole.trust(require=("chain", "signers", "signatures")), allow_withheld=True
        )
        assert report.withheld[0].seqs == (seq,)
        assert report.verified, report.text()
        assert report["table"].status is (Status.PASS if kind == "export" else Status.NOT_CHECKED)
    nothing = redacted(files, lambda _: False)
    assert whole.verify(nothing, whole.trust(require=("labels",)), allow_withheld=True).verified


def test_withholding_from_what_is_redacted_is_withholding_at_once(world):
    files = world.bundle()
    one, both = redacted(redacted(files, without(2)), without(5)), redacted(files, without(2, 5))
    assert one == both
    assert redacted(files, lambda _: True) == files


def test_the_withheld_cannot_be_exchanged_for_another(world):
    files = redacted(world.bundle(), without(3))
    lines = files["leaves.jsonl"].splitlines(keepends=True)
    other = parse_leaves(files["leaves.jsonl"])
    swapped = lines[3].replace(other[3].hash.hex().encode(), other[4].hash.hex().encode())
    lines[3] = swapped.replace(other[3].salt.hex().encode(), other[4].salt.hex().encode())
    forged = packed(files | {"leaves.jsonl": b"".join(lines)})
    report = world.verify(forged, world.trust(require=STILL), allow_withheld=True)
    assert not report.verified
    assert report["labels"].status is Status.FAIL


def test_a_registry_is_never_redacted(world):
    with folder(world.bundle("registry")) as path:
        opened = open_bundle(path)
        with pytest.raises(BundleMalformed, match="never redacted"):
            list(redacted_files(opened, only()))
        opened.close()


def test_many_headers_in_one_file_are_filtered_too(world, monkeypatch):
    monkeypatch.setattr("custody.bundle.MANY", 1)
    files = {name: b"".join(source()) for name, source in directory_files(world.contents())}
    assert "headers.jsonl" in files
    shown = redacted(files, only(world.first))
    assert len(shown["headers.jsonl"].splitlines()) == 3
    assert world.verify(shown, world.trust(require=STILL), allow_withheld=True).verified
