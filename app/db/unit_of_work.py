"""One transaction, begun, decided and ended in one place.

A fact exists from `commit()` on, and every service calls it itself, before its answer is built. Leaving without it
changes nothing.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from random import uniform
from time import sleep
from types import TracebackType
from typing import Final, ParamSpec, Self, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.orm import Session

from app.db.engine import snapshot, writing
from app.errors import DatabaseDown

P = ParamSpec("P")
T = TypeVar("T")

_CROSSED: Final = frozenset({"23505", "40001", "40P01"})
"""SQLSTATEs of a transaction that met another and was rolled back: unique violation, serialization, deadlock."""

_ELSEWHERE: Final = frozenset({"25006", "25P03"})
"""SQLSTATEs that mean a server that takes no writes (a standby), or that gave the session up."""

_ATTEMPTS: Final = 4
_PAUSE: Final = 0.02


def _nobody() -> None:
    pass


class UnitOfWork:
    """A writing transaction: `with uow: …; uow.commit()`. May be used again when left, by one thread at a time.

    Args:
        engine: Where.
        notify: Called after each commit; wakes the sequencer.

    Raises:
        DatabaseDown: On leaving, when the database was busy too long, unreachable or full. What was not
            committed is not there; a commit that raises may or may not have happened, as with any database.
    """

    def __init__(self, engine: Engine, notify: Callable[[], None] = _nobody) -> None:
        self._engine = writing(engine)
        self._notify = notify
        self._session: Session | None = None

    @property
    def session(self) -> Session:
        """The open session."""
        if self._session is None:
            raise RuntimeError("the unit of work is not open, expected it inside `with`")
        return self._session

    def __enter__(self) -> Self:
        if self._session is not None:
            raise RuntimeError("the unit of work is open already")
        self._session = Session(self._engine, expire_on_commit=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self.session, None
        with answering():
            session.close()  # rolls back what was not committed
        _refuse(error)

    def commit(self) -> None:
        """Make everything so far a durable fact; the session may go on with another transaction."""
        self.session.commit()
        self._notify()


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session that reads one state of the database and writes nothing.

    Raises:
        DatabaseDown: The database was unreachable.
    """
    with answering(), Session(snapshot(engine), autoflush=False) as session:
        yield session


@contextmanager
def answering() -> Iterator[None]:
    """Around whatever asks the database by itself: that it does not answer is said in our words.

    Raises:
        DatabaseDown: It was busy too long, unreachable or full.
    """
    try:
        yield
    except (DBAPIError, PoolExhausted) as error:
        _refuse(error)
        raise


def retried(work: Callable[P, T]) -> Callable[P, T]:
    """A use case that is made again when its transaction met another one and was rolled back for it.

    For functions that may be made twice: what they do outside the database they can do again. A commit whose outcome
    is unknown (a broken connection) is never repeated here; the party's next request finds out.
    """

    @wraps(work)
    def again(*args: P.args, **kwargs: P.kwargs) -> T:
        for attempt in range(1, _ATTEMPTS):
            try:
                return work(*args, **kwargs)
            except (DatabaseDown, IntegrityError) as error:
                if _state(error) not in _CROSSED:
                    raise
            sleep(uniform(0, _PAUSE * 2**attempt))  # noqa: S311 - spreads attempts, no secret
        return work(*args, **kwargs)

    return again


def _state(error: BaseException | None) -> str | None:
    """SQLSTATE of what PostgreSQL said; SQLite has none."""
    said = error.__cause__ if isinstance(error, DatabaseDown) else error
    return getattr(said.orig, "sqlstate", None) if isinstance(said, DBAPIError) else None


def _is_mistake(error: OperationalError) -> bool:
    """Whether SQLite means a statement of ours: a table or column that is not there."""
    code: int | None = getattr(error.orig, "sqlite_errorcode", None)
    return code == sqlite3.SQLITE_ERROR


def _refuse(error: BaseException | None) -> None:
    """Say in our words that the database is at fault; our own mistakes (constraints, SQL) stay what they are."""
    down = isinstance(error, PoolExhausted) or (
        isinstance(error, DBAPIError)
        and (
            error.connection_invalidated
            or (isinstance(error, OperationalError) and not _is_mistake(error))
            or _state(error) in _ELSEWHERE
        )
    )
    if down:
        raise DatabaseDown("the database did not answer in time, cannot be reached or is full") from error
