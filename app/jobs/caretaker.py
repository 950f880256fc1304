"""The threads that do what time demands: one ends what has lapsed, one reads sealed bodies back and clears up.

They are two because reading a body can take a day, and what lapses must not wait for it.
"""

import logging
from collections.abc import Callable
from threading import Event, Thread
from time import monotonic
from typing import Final

from app.jobs import fixity, forget, lapse, orphans
from app.services.runtime import Runtime

_PAUSE: Final = 2.0
_RARELY: Final = 86_400.0
"""Seconds between looks through the whole store for remains, and for rows that nobody can ask for any more."""

_log = logging.getLogger("rogatory.caretaker")


class Caretaker:
    """Runs the jobs again and again; a job that fails is tried again at the next round."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._stopping = Event()
        self._threads: list[Thread] = []

    def start(self) -> None:
        """Begin; returns at once."""
        self._stopping.clear()
        for name, rounds in (("lapse", self._end), ("upkeep", self._keep_up)):
            thread = Thread(target=rounds, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End after the steps under way."""
        self._stopping.set()
        while self._threads:
            self._threads.pop().join()

    def _end(self) -> None:
        while not self._stopping.is_set():
            self._try(lapse.run)
            self._stopping.wait(_PAUSE)

    def _keep_up(self) -> None:
        looked = -_RARELY
        while not self._stopping.is_set():
            self._try(fixity.run)
            if monotonic() - looked >= _RARELY:
                looked = monotonic()
                self._try(forget.run)
                self._try(orphans.run)
            self._stopping.wait(_PAUSE)

    def _try(self, job: Callable[[Runtime, Callable[[], bool]], int]) -> None:
        try:
            job(self._runtime, self._stopping.is_set)
        except Exception:  # noqa: BLE001 - whatever it is, the house must be kept when it has passed
            _log.exception("job failed")
