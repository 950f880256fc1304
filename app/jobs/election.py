"""One sequencer at a time: who may extend the log.

A lock that ends with its holder keeps the others waiting; a term number in the database makes sure that a holder
who lost the lock without noticing (a broken connection, a stopped machine) writes nothing more.
"""

import fcntl
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.db.log_models import SequencerTerm
from app.db.unit_of_work import UnitOfWork, answering

_ADVISORY_KEY = 0x526F6761746F7279
"""Names our lock among a PostgreSQL database's advisory locks."""


class NotElected(Exception):
    """Another sequencer is at work, or has taken over; this one must write nothing."""


class Lock(Protocol):
    """Held by at most one process at a time, until released or until the process ends."""

    def acquire(self) -> bool:
        """Take it if it is free; says whether it is ours."""

    def release(self) -> None:
        """Give it back, if it is ours."""


class FileLock:
    """A lock file beside an SQLite database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def acquire(self) -> bool:
        """See `Lock`."""
        if self._handle is not None:
            return True
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self) -> None:
        """See `Lock`."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class AdvisoryLock:
    """An advisory lock of a PostgreSQL session that is kept for nothing else."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._connection: Connection | None = None

    def acquire(self) -> bool:
        """See `Lock`."""
        if self._connection is not None:
            return True
        with answering(), ExitStack() as undo:
            connection = undo.enter_context(self._engine.connect())
            if not connection.scalar(select(func.pg_try_advisory_lock(_ADVISORY_KEY))):
                return False
            undo.pop_all()
        self._connection = connection
        return True

    def release(self) -> None:
        """See `Lock`."""
        if self._connection is not None:
            with suppress(SQLAlchemyError):  # at once where the session still lives: its end takes the server a moment
                self._connection.scalar(select(func.pg_advisory_unlock(_ADVISORY_KEY)))
            self._connection.invalidate()  # closes the session, and with it the lock, whatever state it is in
            self._connection.close()
            self._connection = None


class Election:
    """This process's part in the election."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        sqlite = engine.dialect.name == "sqlite"
        self._lock: Lock = FileLock(Path(f"{engine.url.database}.sequencer")) if sqlite else AdvisoryLock(engine)
        self._term: int | None = None

    @property
    def won(self) -> bool:
        """Whether this process believes itself elected; `confirm` knows."""
        return self._term is not None

    def stand(self) -> None:
        """Win, or raise.

        Raises:
            NotElected: Another holds the lock.
        """
        if self._term is not None:
            return
        if not self._lock.acquire():
            raise NotElected("another sequencer is at work")
        try:
            self._term = self._next_term()
        except BaseException:
            self._lock.release()
            raise

    def is_taken(self) -> bool:
        """Whether another live process, or another election in this one, holds the lock."""
        if self._term is not None:
            return False
        if self._lock.acquire():
            self._lock.release()
            return False
        return True

    def confirm(self, session: Session) -> None:
        """Make sure, for the rest of this transaction, that nobody has been elected since.

        Raises:
            NotElected: Somebody has; this process stands back.
        """
        changed = session.execute(
            update(SequencerTerm).where(SequencerTerm.term == self._term).values(term=SequencerTerm.term)
        )
        if changed.rowcount != 1:  # type: ignore[attr-defined]
            self.stand_back()
            raise NotElected("another sequencer has taken over")

    def stand_back(self) -> None:
        """Let another win."""
        self._term = None
        self._lock.release()

    def _next_term(self) -> int:
        with UnitOfWork(self._engine) as uow:
            row = uow.session.get(SequencerTerm, 1, with_for_update=True)
            if row is None:
                row = SequencerTerm(id=1, term=0)
                uow.session.add(row)
            row.term += 1
            term = row.term
            uow.commit()
        return term
