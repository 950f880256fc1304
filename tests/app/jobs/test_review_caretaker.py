"""The house is kept even while one of its jobs takes its time, or fails."""

from threading import Event

import pytest

from app.jobs import caretaker, fixity, lapse, orphans
from app.jobs.caretaker import Caretaker


class Jobs:
    """Stands in for the three jobs; each does as it is told and says when it has run."""

    def __init__(self, patch):
        self.ran = {job: Event() for job in (lapse, fixity, orphans)}
        self.release = Event()
        for job in self.ran:
            patch.setattr(job, "run", self.runs(job))
        patch.setattr(caretaker, "_PAUSE", 0.01)

    def runs(self, job):
        def run(_runtime, _stopping):
            self.ran[job].set()
            return 0

        return run

    def instead(self, patch, job, do):
        def run(_runtime, _stopping):
            self.ran[job].set()
            return do()

        patch.setattr(job, "run", run)


@pytest.fixture
def jobs(monkeypatch):
    return Jobs(monkeypatch)


@pytest.fixture
def keeping(jobs):
    def start():
        made.start()

    made = Caretaker(None)
    yield start
    jobs.release.set()
    made.stop()


def test_what_lapses_does_not_wait_for_a_body_to_be_read(jobs, keeping, monkeypatch):
    jobs.instead(monkeypatch, fixity, jobs.release.wait)
    keeping()
    assert jobs.ran[fixity].wait(10)
    jobs.ran[lapse].clear()
    assert jobs.ran[lapse].wait(10)


@pytest.mark.parametrize("job", [lapse, fixity], ids=["lapse", "fixity"])
def test_a_job_that_fails_is_tried_again(jobs, keeping, monkeypatch, job):
    def fails():
        raise OSError("EIO")

    jobs.instead(monkeypatch, job, fails)
    keeping()
    for _ in range(3):
        assert jobs.ran[job].wait(10)
        jobs.ran[job].clear()


def test_remains_are_looked_for_at_the_start(jobs, keeping):
    keeping()
    assert jobs.ran[orphans].wait(10)
