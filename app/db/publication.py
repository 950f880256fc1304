"""Waking those who wait for the sequencer, and the sequencer for those who commit, inside one process.

Only a hint that it is worth looking again: what is so stands in the database, and other processes commit and
publish without anybody here being told. So every wait is bounded.
"""

from threading import Condition, Lock
from weakref import WeakKeyDictionary

from sqlalchemy.pool import Pool


class Bell:
    """Something that rings; a count of rings makes sure that none is missed between looking and waiting."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._rings = 0

    @property
    def rings(self) -> int:
        """How often it has rung; take this before looking, then wait for more than it."""
        with self._changed:
            return self._rings

    def ring(self) -> None:
        """Wake everybody."""
        with self._changed:
            self._rings += 1
            self._changed.notify_all()

    def wait(self, rings: int, timeout: float) -> None:
        """Return when it has rung more than `rings` times, or after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._rings > rings, timeout)


_cosigned: WeakKeyDictionary[Pool, Bell] = WeakKeyDictionary()
_guard = Lock()


def cosigned(pool: Pool) -> Bell:
    """The bell that rings in this process when a cosignature has been stored."""
    with _guard:
        return _cosigned.setdefault(pool, Bell())
