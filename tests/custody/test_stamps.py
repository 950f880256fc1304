"""Stamps in a bundle: they bound times, renewals carry them over decades, and whoever touches them is found."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from custody.packing import PackingList
from custody.renewal import Renewal, RenewalBroken, RenewalUnsupported
from custody.report import Status
from tests.custody.tsa import Tsa, der_of
from tests.custody.world import TAIL, World, packed

DECADES = timedelta(days=15 * 365)
REQUIRED = ("timestamps",)
GARBAGE = b"\x30\x00"


@pytest.fixture(scope="module")
def now():
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """An authority whose certificates end soon."""
    return Tsa(tmp_path_factory.mktemp("tsa") / "short", "short", lasts=timedelta(days=2))


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """One whose certificates last for decades."""
    return Tsa(tmp_path_factory.mktemp("tsa") / "long", "long", lasts=2 * DECADES, kind="ec")


@pytest.fixture(scope="module")
def world():
    """A story in whose midst a checkpoint was kept."""
    w = World(witnesses=1).opened()
    w.tick(TAIL)
    w.early = w.checkpoint()
    w.stamped = len(w.slots)
    w.sealed().received().exported()
    w.views.append(w.stamped)
    return w


def stamped(world, *authorities, **more):
    """The bundle with stamps of the early checkpoint by each."""
    stamps = {f"timestamps/{world.stamped}-{n}.tsr": each.stamp(world.early) for n, each in enumerate(authorities)}
    return world.bundle(checkpoints={world.stamped: world.early}, stamps=stamps | more)


def renewed(files, at, number, *authorities):
    """The bundle with a renewal that each has stamped."""
    data = Renewal.of(number, at, digests(files)).encode()
    stamps = {f"renewal/{number}-{n}.tsr": each.stamp(data) for n, each in enumerate(authorities)}
    return packed(files | {f"renewal/{number}.json": data} | stamps)


def digests(files):
    return {file.path: file.sha512 for file in PackingList.parse(files["bundle.json"]).files}


def trust(world, *authorities, **changes):
    tsa = tuple(sorted((each.trusted for each in authorities), key=lambda each: each.name))
    return world.trust(tsa=tsa, require=REQUIRED, **changes)


def test_a_stamp_counts_and_bounds_what_came_before_it(world, short, now):
    files = stamped(world, short)
    report = world.verify(files, trust(world, short, policy="quorum none\n"), now=now)
    assert report.verified
    assert report["timestamps"].detail == f"by short, over checkpoints of {world.stamped}"
    first, last = report.times
    assert (first.not_before, last.not_before, last.not_after) == (None, None, None)
    assert abs(datetime.fromisoformat(first.not_after) - now) < timedelta(minutes=5)


@pytest.mark.parametrize(("left", "told"), [(181, False), (179, True)])
def test_the_reader_is_told_half_a_year_before_stamps_end(world, long, left, told):
    at = long.signer.not_valid_after_utc - timedelta(days=left)
    report = world.verify(stamped(world, long), trust(world, long), now=at)
    assert report["timestamps"].status is Status.PASS
    assert (f"which end on {long.ends:%Y-%m-%d}" in report.text()) is told
    assert ("qui prennent fin" in report.text("fr")) is told


def test_entries_that_bear_times_from_after_their_stamp_are_found(monkeypatch, short):
    monkeypatch.setattr("tests.custody.world.START", datetime(2101, 1, 1, tzinfo=UTC))
    dated = World().exchange()
    dated.early, dated.stamped = dated.checkpoint(), len(dated.slots)
    assert dated.verify(dated.bundle()).verified
    report = dated.verify(stamped(dated, short), trust(dated, short))
    assert (report["timestamps"].status, report["time"].code) == (Status.PASS, "time-outside")
    assert report["time"].detail.startswith("entry 0 at 2101-01-01T00:00:0")


@pytest.mark.parametrize("known", [False, True])
def test_without_the_authority_or_a_stamp_what_is_demanded_is_not_met(world, short, long, known):
    files = stamped(world, short) if not known else world.bundle()
    report = world.verify(files, trust(world, long))
    assert (report["timestamps"].status, report.exit_code) == (Status.NOT_CHECKED, 23)


def test_a_stamp_of_another_note_of_that_size_fails(world, short):
    files = world.bundle(
        checkpoints={world.stamped: world.early},
        stamps={f"timestamps/{world.stamped}-0.tsr": short.stamp(world.checkpoint())},
    )
    report = world.verify(files, trust(world, short))
    assert (report["timestamps"].code, report.exit_code) == ("timestamp-invalid", 23)
    assert report["timestamps"].place.file == f"timestamps/{world.stamped}-0.tsr"


def test_a_stamp_from_after_the_verifiers_clock_fails(world, short, now):
    report = world.verify(stamped(world, short), trust(world, short), now=now - timedelta(hours=1))
    assert report["timestamps"].code == "timestamp-invalid"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("timestamps/1-0.tsr", "timestamp-malformed"),
        ("timestamps/x.tsr", "timestamp-malformed"),
        ("validation/a.der", "timestamp-malformed"),
        (f"validation/{'a' * 64}.der", "timestamp-malformed"),
        (f"validation/{hashlib.sha256(GARBAGE).hexdigest()}.der", "timestamp-malformed"),
        ("renewal/2.json", "renewal-malformed"),
        ("renewal/1-0.tsr", "renewal-malformed"),
        ("renewal/1.json", "not-canonical"),
    ],
)
def test_files_that_no_bundle_has_are_malformed(world, short, name, code):
    report = world.verify(stamped(world, short, **{name: GARBAGE}), trust(world, short))
    assert (report["timestamps"].code, report.exit_code) == (code, 3)


def test_fifteen_years_later_only_a_renewal_still_proves(world, short, long, now):
    files, later = stamped(world, short), now + DECADES
    assert world.verify(files, trust(world, short, long), now=now).verified
    aged = world.verify(files, trust(world, short, long), now=later)
    assert (aged["timestamps"].status, aged.exit_code) == (Status.NOT_CHECKED, 23)
    assert f"ended on {short.signer.not_valid_after_utc:%Y-%m-%d}" in aged["timestamps"].detail
    kept = world.verify(renewed(files, now, 1, long), trust(world, short, long), now=later)
    assert kept.verified
    assert kept["timestamps"].detail.endswith("renewed 1 times")
    twice = renewed(renewed(files, now, 1, short, long), now, 2, long)
    assert world.verify(twice, trust(world, short, long), now=later).verified
    assert not world.verify(twice, trust(world, short, long), now=now + 3 * DECADES).verified


def test_a_renewal_that_came_too_late_proves_nothing(world, long, tmp_path, now):
    gone = Tsa(tmp_path / "gone", "gone", lasts=timedelta(seconds=2))
    files = stamped(world, gone)
    while datetime.now(UTC) < gone.signer.not_valid_after_utc + timedelta(seconds=1):
        pass
    report = world.verify(renewed(files, now, 1, long), trust(world, gone, long), now=now + DECADES)
    assert (report["timestamps"].status, report.exit_code) == (Status.NOT_CHECKED, 23)
    assert "over the checkpoints ended" in report["timestamps"].detail


def test_whatever_is_changed_added_or_taken_after_a_renewal_is_found(world, short, long, now):
    whole = renewed(stamped(world, short), now, 1, long)
    for name in sorted(whole):
        if name in ("bundle.json", "renewal/1.json") or name.startswith("renewal/"):
            continue
        changed = world.verify(packed(whole | {name: whole[name] + b"\n"}), trust(world, short, long))
        taken = world.verify(packed({path: data for path, data in whole.items() if path != name}), trust(world, long))
        for report in (changed, taken):
            assert report["timestamps"].status is not Status.PASS, name
            assert not report.verified, name
    added = packed(whole | {f"headers/{'0' * 64}": b"slipped in"})
    assert world.verify(added, trust(world, short, long))["timestamps"].code == "renewal-broken"


def test_what_validates_a_later_layer_may_come_later(world, short, long, now):
    whole = renewed(stamped(world, short), now, 1, long)
    data = der_of(long.middle)
    name = f"validation/{hashlib.sha256(data).hexdigest()}.der"
    assert world.verify(packed(whole | {name: data}), trust(world, short, long), now=now).verified


def test_a_renewal_is_read_as_it_is_written_and_of_no_other_version(world, now):
    made = Renewal.of(1, now, digests(world.bundle()))
    data = made.encode()
    assert Renewal.parse(data).encode() == data
    made.check(made.files)
    with pytest.raises(RenewalUnsupported):
        Renewal.parse(data.replace(b'"v":1', b'"v":2'))
    with pytest.raises(RenewalUnsupported):
        Renewal.parse(data.replace(b'"sha512"', b'"sha513"'))
    with pytest.raises(RenewalBroken, match="is not covered"):
        made.check(made.files | {"headers/x": "00" * 64})
