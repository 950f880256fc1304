"""Whose turn it is to write: first come, first served, among the threads of one process.

SQLite lets one writer in and the others sleep for growing times; whoever wakes at the right moment is next. Under
load some would wait for seconds, the sequencer among them, and the time between two writers be lost. Other processes
know nothing of these turns: SQLite's own lock still decides, this only orders who asks for it.

Whoever others wait for may go before those who came earlier: the sequencer lets a few writers by before it places
what they wrote, and none before it stores the checkpoint over it. However many want to write, a checkpoint is not late.
"""

from collections import deque
from threading import Lock
from typing import Any, Final

from sqlalchemy import Connection, Engine, event

_HELD: Final = "rogatory_turn"


class Turns:
    """A lock that is passed on in the order in which it was asked for."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._taken = False
        self._waiting: deque[Lock] = deque()

    def take(self, patience: float, *, after: int | None = None) -> bool:
        """Wait for the turn, at most so many seconds; whether it came. It goes `after` so many who wait, or all."""
        with self._guard:
            if not self._taken:
                self._taken = True
                return True
            mine = Lock()
            mine.acquire()
            self._waiting.insert(len(self._waiting) if after is None else after, mine)
        if mine.acquire(timeout=patience):
            return True
        with self._guard:
            if mine in self._waiting:
                self._waiting.remove(mine)
                return False
        return True  # it came at the last moment

    def give(self) -> None:
        """Pass it on."""
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False


class Queue:
    """Lets the writing transactions of an engine come one after the other."""

    def __init__(self, engine: Engine, patience: float) -> None:
        """Begin; a transaction that waited longer than `patience` seconds goes on by the database's own rules."""
        self._turns, self._patience = Turns(), patience
        event.listen(engine, "checkin", self._leave)

    def enter(self, connection: Connection, *, after: int | None = None) -> None:
        """Wait for the turn of a connection that is to write; it ends when the connection is back in its pool."""
        if not connection.info.get(_HELD):
            connection.info[_HELD] = self._turns.take(self._patience, after=after)

    def _leave(self, _connection: Any, record: Any) -> None:
        if record.info.pop(_HELD, False):
            self._turns.give()
