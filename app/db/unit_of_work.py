"""One transaction, begun, decided and ended in one place.

A fact exists from `commit()` on, and every service calls it itself, before its answer is built. Leaving without it
changes nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.orm import Session

from app.db.engine import snapshot, writing
from app.errors import DatabaseDown


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
    try:
        with Session(snapshot(engine), autoflush=False) as session:
            yield session
    except (DBAPIError, PoolExhausted) as error:
        _refuse(error)
        raise


def _refuse(error: BaseException | None) -> None:
    """Say in our words that the database is at fault; our own mistakes (constraints, SQL) stay what they are."""
    down = isinstance(error, PoolExhausted) or (
        isinstance(error, DBAPIError) and (error.connection_invalidated or isinstance(error, OperationalError))
    )
    if down:
        raise DatabaseDown("the database did not answer in time, cannot be reached or is full") from error
