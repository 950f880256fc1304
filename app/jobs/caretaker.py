"""The thread that does what time demands: ends what has lapsed, reads sealed bodies back, clears away remains."""

import logging
from threading import Event, Thread
from time import monotonic
from typing import Final

from app.jobs import fixity, lapse, orphans
from app.services.runtime import Runtime

_PAUSE: Final = 2.0
_RARELY: Final = 3600.0
"""Seconds between looks through the whole store for remains."""

_log = logging.getLogger("rogatory.caretaker")


class Caretaker:
    """Runs the jobs, one after the other, again and again; a job that fails is tried again at the next round."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._stopping = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin; returns at once."""
        self._stopping.clear()
        self._thread = Thread(target=self._run, name="caretaker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the step under way."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        looked = -_RARELY
        while not self._stopping.is_set():
            jobs = [lapse.run, fixity.run]
            if monotonic() - looked >= _RARELY:
                looked = monotonic()
                jobs.append(orphans.run)
            for job in jobs:
                try:
                    job(self._runtime, self._stopping.is_set)
                except Exception:  # noqa: BLE001 - whatever it is, the house must be kept when it has passed
                    _log.exception("job failed")
            self._stopping.wait(_PAUSE)
