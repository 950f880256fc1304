"""Whether this process may add to the log of a database: closed until a witness has confirmed that it is the newest.

One guard for each connection pool, as with the bells of `app.db.publication`. A closed guard keeps entries from being
taken and checkpoints from being signed; everything can be read.
"""

from threading import Lock
from weakref import WeakKeyDictionary

from sqlalchemy import Engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

from app.errors import ReadOnly

HINT = "docs/operations/witnesses.md says how to go on"


class Guard:
    """Open at first; `close` it where witnesses are to be asked."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._why = ""
        self._since = 0
        self._final = False

    @property
    def why(self) -> str:
        """Why it is closed; empty if it is open."""
        return self._why

    @property
    def since(self) -> int:
        """When it was closed, POSIX seconds: what a witness signed before says nothing about the log as it is now."""
        return self._since

    @property
    def refused(self) -> bool:
        """Whether a witness has shown another or a larger log, so that only a new start can open it."""
        return self._final

    def close(self, why: str, *, since: int) -> None:
        """Take no entries until `open`; `since` is now, POSIX seconds."""
        with self._lock:
            if not self._final:
                self._why, self._since = why, since

    def open(self) -> bool:
        """Take entries from now on, unless `refuse` was called; says whether it was closed until now."""
        with self._lock:
            was, self._why = bool(self._why), self._why if self._final else ""
            return was and not self._final

    def refuse(self, why: str) -> None:
        """Take no entries until the process ends."""
        with self._lock:
            self._why, self._final = why, True

    def check(self) -> None:
        """Return if entries are taken.

        Raises:
            ReadOnly: They are not.
        """
        if self._why:
            raise ReadOnly(f"the service takes no entries: {self._why}", hint=HINT)


_guards: WeakKeyDictionary[Pool, Guard] = WeakKeyDictionary()
_lock = Lock()


def guard(engine: Engine) -> Guard:
    """The guard of the log behind an engine."""
    with _lock:
        return _guards.setdefault(engine.pool, Guard())


def guard_of(session: Session) -> Guard:
    """The guard of the log that a session writes to."""
    bind = session.get_bind()
    return guard(bind if isinstance(bind, Engine) else bind.engine)
