"""At each edge of the store and the database, in each act: it fails, the process dies, it hangs. And no edge is missed."""

import os
import signal
import sqlite3
from threading import Event, Thread

import pytest
from sqlalchemy.exc import OperationalError

from app.db import engine as engines
from app.db import records
from app.services import desk
from storage.interface import StoreUnavailable
from tests.faults.points import modules, scanned, watched
from tests.faults.stage import ACTS, SIDE_BY_SIDE

HERE = (
    "app/jobs/sequencer.py",
    "app/services/concatenation.py",
    "app/services/grants.py",
    "app/services/headers.py",
    "app/services/intake.py",
    "app/services/packages.py",
    "app/services/partial_creation.py",
    "app/services/upload_creation.py",
    "app/services/uploads.py",
)
"""Where upload, concatenation, append, seal, grant and release ask and commit."""

ELSEWHERE = {
    "app/api/deps.py": "a key to repeat a request by; tests/app/api/test_edge.py",
    "app/jobs/election.py": "who keeps the log; tests/app/jobs/test_sequencer.py",
    "app/jobs/fixity.py": "reads back; tests/app/jobs/test_review_fixity.py",
    "app/jobs/forget.py": "forgets; tests/app/api/test_partial_uploads.py",
    "app/jobs/lapse.py": "ends what has expired; tests/app/jobs/test_review_caretaker.py",
    "app/jobs/orphans.py": "collects; tests/app/jobs/test_orphans.py",
    "app/services/downloads.py": "reads out; tests/app/api/test_downloads.py",
    "app/services/enrolment.py": "the operator's; nobody was answered yet",
    "app/services/exchanges.py": "one commit each, as in every act; the sweep has append",
    "app/services/exports.py": "one commit each; tests/app/api/test_record.py",
    "app/services/health.py": "looks; tests/app/api/test_edge.py",
    "app/services/login.py": "spends a token; tests/app/auth",
    "app/services/receipts.py": "one commit; as in every act",
    "app/services/registries.py": "one commit; as in every act",
    "app/services/runtime.py": "notes a denial; tests/app/api/test_access.py",
    "app/services/stamping.py": "keeps stamps; tests/app/test_stamps.py",
    "app/services/succession.py": "ends a log; tests/app/test_succession.py",
    "app/services/witnessing.py": "keeps what witnesses say",
}
"""Modules with points of other acts, and where these are tried."""

NOT_MET = {
    ("upload_creation.py", "create", "abort"): "an upload is open already; tests/app/api/test_uploads.py",
    (
        "partial_creation.py",
        "create_partial",
        "abort",
    ): "another was first, as where one hangs at `begin`",
    ("partial_creation.py", "create_partial", "begin"): "the third: what was found has ended meanwhile",
    ("headers.py", "_keep", "put"): "a header was collected meanwhile; tests/app/jobs/test_orphans.py",
    ("packages.py", "withdraw", "commit"): "one commit, as in every act",
    ("packages.py", "view_manifest", "commit"): "one commit, as in every act",
    ("grants.py", "accept", "commit"): "one commit, as in every act",
    ("uploads.py", "terminate", "commit"): "one commit; what follows is `drop`, met in a seal",
}
"""Points of these modules that none of the acts here meets."""

PATIENCE = 20


def short(point):
    return (point.module.rpartition("/")[2], point.function, point.call)


@pytest.fixture(scope="module")
def met(cast):
    """Point → an act that meets it; and for each act what there is afterwards."""
    points, found, pictures = scanned(*HERE), {}, {}
    for kind in SIDE_BY_SIDE + ACTS:
        act, seen = kind(cast), []

        def noting(point, go, seen=seen):
            seen.append(point)
            return go()

        pictures[kind] = played(cast, act, noting, points)[1]
        for point in seen:
            found[point] = kind  # the last: later acts record something, earlier ones meet the sequencer by chance
    return found, pictures


def played(cast, act, reached, points):
    stage = cast.stage
    stage.put_back()

    def work():
        with watched(points, reached):
            act.finish()
        return stage.findings(), stage.picture()

    return stage.live(work, threaded=True, migrating=False)


class At:
    """Something that happens the first time a point is reached."""

    def __init__(self, point, happen):
        self.point, self.happen, self.hit = point, happen, False

    def __call__(self, point, go):
        if point != self.point or self.hit:
            return go()
        self.hit = True
        return self.happen(go)


def raising(point):
    def happen(_go):
        if point.call == "commit":
            raise OperationalError("COMMIT", {}, sqlite3.OperationalError("disk I/O error"))
        raise StoreUnavailable("EIO: input/output error")

    return happen


def test_the_points_are_those_that_the_source_has(met):
    unmet = {short(point) for point in scanned(*HERE).values() if point not in met[0]}
    assert unmet == set(NOT_MET)


def test_no_module_has_points_that_are_not_accounted_for():
    having = {module for module, _ in scanned(*modules())}
    assert having - set(HERE) == having & set(ELSEWHERE)
    assert set(HERE) <= having


@pytest.mark.deep
def test_a_point_that_fails_once_is_got_over(cast, met, effort):
    points = sorted(met[0].items(), key=lambda each: each[0])
    for _ in effort.turns(usual=1, full=5):
        for point, kind in points:
            at = At(point, raising(point))
            found, picture = played(cast, kind(cast), at, scanned(*HERE))
            assert at.hit, point
            assert found == [], point
            assert picture == met[1][kind], point


def dying(*, after):
    def happen(go):
        if after:
            go()
        os.kill(os.getpid(), signal.SIGKILL)

    return happen


@pytest.mark.deep
def test_a_process_that_dies_at_a_point_is_succeeded(cast, met, effort):
    stage = cast.stage
    for turn in effort.turns(usual=1, full=2):
        for number, (point, kind) in enumerate(sorted(met[0].items(), key=lambda each: each[0])):
            at, act = At(point, dying(after=(number + turn) % 2 == 0)), kind(cast)
            stage.put_back()

            def first(at=at, act=act):
                with watched(scanned(*HERE), at):
                    act.finish()

            def second(act=act):
                found = stage.findings()
                act.finish()
                return found, stage.picture()

            assert stage.fork(first, threaded=True, migrating=False) is None, point
            found, picture = stage.live(second)
            assert found == [], point
            assert picture == met[1][kind], point


class Hang:
    """The caller stays in the middle until it is let go."""

    def __init__(self):
        self.here, self.free = Event(), Event()

    def __call__(self, go):
        self.here.set()
        assert self.free.wait(PATIENCE)
        return go()


@pytest.fixture
def impatient(cast, monkeypatch):
    """Waits that are bounded, and short."""
    monkeypatch.setattr(desk, "_PATIENCE", 0.2)
    monkeypatch.setattr(engines, "_BUSY_MS", 200)
    monkeypatch.setattr(cast.stage, "_engine", None)
    monkeypatch.setattr(engines, "_SETTINGS", (*engines._SETTINGS, "PRAGMA busy_timeout=200"))
    monkeypatch.setattr(records.wait_for_record, "__defaults__", (0.3,))


@pytest.mark.deep
def test_a_request_that_hangs_keeps_nobody_from_an_answer_and_is_got_over(cast, met, impatient, effort):
    stage, reader = cast.stage, {"Authorization": f"Bearer {cast.bob._token}"}
    for _ in effort.turns(usual=1, full=3):
        for point, kind in sorted(met[0].items(), key=lambda each: each[0]):
            hang, act = Hang(), kind(cast)
            stage.put_back()

            def work(hang=hang, act=act, point=point):
                with watched(scanned(*HERE), At(point, hang)):
                    gone = Thread(target=act.attempt)  # its client waits no longer
                    gone.start()
                    try:
                        assert hang.here.wait(PATIENCE), point
                        later = act.attempt()
                        listed = stage.http.request("GET", "/v1/packages", headers=reader)
                    finally:
                        hang.free.set()
                        gone.join(PATIENCE)
                    assert not gone.is_alive(), point
                    act.finish()
                assert listed.status_code == 200, point
                assert later.is_success or later.status_code in {404, 409, 410, 503}, (point, later.text)
                return stage.findings(), stage.picture()

            found, picture = stage.live(work, threaded=True, migrating=False)
            assert found == [], point
            assert picture == met[1][kind], point
