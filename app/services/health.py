"""Whether the service can do its work now."""

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Final

from sqlalchemy import text

from app.errors import Refusal
from app.services.runtime import Runtime
from storage.interface import StoreError

FRESH: Final = 5.0
"""Seconds for which the store's answer stands: to ask it is to write to it, and anybody may ask."""


class Readiness:
    """What is missing now; of the store, as of a few seconds ago at most.

    Anybody may ask, and as often as they like: one at a time waits for the store, and nobody for that one.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._turn = Lock()
        self._asked: float | None = None
        self._begun = 0.0
        self._answers = False

    def missing(self) -> list[str]:
        """What does not answer, of `database`, `store` and `log`; empty if all is well."""
        return _missing(self._runtime, self._store_answers)

    def forget(self) -> None:
        """Ask the store anew at the next question."""
        with self._turn:
            self._asked = None

    def _store_answers(self) -> bool:
        if not self._turn.acquire(blocking=False):  # who comes while it is asked is told what was known, for a while
            return self._answers and monotonic() - self._begun <= FRESH
        try:
            if self._asked is None or monotonic() - self._asked > FRESH:
                self._begun = monotonic()
                self._answers = _answers(self._runtime)
                self._asked = monotonic()
            return self._answers
        finally:
            self._turn.release()


def missing(runtime: Runtime) -> list[str]:
    """What does not answer, of `database`, `store` and `log`; empty if all is well."""
    return _missing(runtime, lambda: _answers(runtime))


def _missing(runtime: Runtime, store_answers: Callable[[], bool]) -> list[str]:
    found = []
    try:
        with runtime.reading() as session:
            session.execute(text("SELECT 1"))
    except Refusal:
        found.append("database")
    if not store_answers():
        found.append("store")
    if runtime.log_failure() is not None:
        found.append("log")
    return found


def _answers(runtime: Runtime) -> bool:
    try:
        runtime.store.ping()
    except StoreError:
        return False
    return True
