"""Connections to the database, with the durability that an acknowledgement promises.

SQLite: write-ahead log, `synchronous=FULL` (a commit has been fsynced when it returns), foreign keys on, a file of
mode 0600. A writing transaction takes the write lock at its beginning (`BEGIN IMMEDIATE`), so that what it reads
first is still so when it writes. PostgreSQL: a commit returns when its record is on disk, whatever the server's
default; writers read what is committed and hold rows, readers see one snapshot. Every wait has an end, so that a
request is refused (503) rather than left hanging, and a server notices a client that is gone.
"""

import os
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url

from app.db.turns import Queue
from app.errors import BadInput

_BUSY_MS = 10_000
_POOL, _OVERFLOW = 8, 80
"""Of a file: enough for every thread of `app.api.application.THREADS`, and for what runs beside the requests."""

_WRITING, _AFTER = "rogatory_writing", "rogatory_after"
_SETTINGS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    f"PRAGMA busy_timeout={_BUSY_MS}",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA trusted_schema=OFF",
)

POSTGRESQL_CONNECTIONS: Final = 48
"""Most connections of one process; two processes fit into PostgreSQL's default of 100.

Fewer than requests may work at once, and meant so: a request holds one at most, and none while it waits for its entry's
place in the log or for the store. Whoever finds none free in `_WAIT_FOR_CONNECTION` seconds is refused with
`DatabaseDown`, which can be sent again.
"""

_KEPT_OPEN: Final = 12
_WAIT_FOR_CONNECTION: Final = 10
_RENEW_AFTER: Final = 1800
_SESSION: Final = {
    "synchronous_commit": "on",
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    "idle_session_timeout": "0",  # the sequencer's lock lives in a session that does nothing else
    "tcp_keepalives_idle": "20",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_CONNECTION: Final = {
    "connect_timeout": 5,
    "application_name": "rogatory",
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def connect(url: str) -> Engine:
    """The engine for a database URL; a missing SQLite file is made, of mode 0600.

    Raises:
        BadInput: Another database than SQLite in a file, or PostgreSQL by psycopg.
    """
    parsed = make_url(url)
    if parsed.drivername in {"postgresql", "postgresql+psycopg"}:
        return _postgresql(parsed)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise BadInput(f"database {parsed.render_as_string()!r}, expected postgresql+psycopg://… or sqlite:///<file>")
    _make_private(Path(parsed.database))
    engine = create_engine(
        parsed,
        pool_size=_POOL,
        max_overflow=_OVERFLOW,
        pool_timeout=_WAIT_FOR_CONNECTION,
        connect_args={"check_same_thread": False, "timeout": _BUSY_MS / 1000},
    )
    event.listen(engine, "connect", _set_up)
    queue = Queue(engine, _BUSY_MS / 1000)
    event.listen(engine, "begin", lambda connection: _begin(connection, queue))
    return engine


def writing(engine: Engine) -> Engine:
    """The same pool, for transactions that write."""
    return engine.execution_options(**{_WRITING: True})


def at_once(engine: Engine, *, after: int = 0) -> Engine:
    """The same pool, for what others wait for: it lets by so many of the writers of this process, and no more."""
    return engine.execution_options(**{_AFTER: after})


def snapshot(engine: Engine) -> Engine:
    """The same pool, for transactions that read one state of everything."""
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine  # a reader of a write-ahead log sees what was there at its first read


def unsafe(engine: Engine) -> list[str]:
    """What of the database server's own settings breaks the promise of an acknowledgement; for the operator.

    The service cannot set these for itself. SQLite has none.
    """
    if engine.dialect.name != "postgresql":
        return []
    with engine.connect() as connection:
        off = [
            name
            for name in ("fsync", "full_page_writes")
            if connection.exec_driver_sql(f"SHOW {name}").scalar() != "on"
        ]
    return [f"the database server has {name} off, expected on: what was acknowledged may be lost" for name in off]


def _postgresql(url: URL) -> Engine:
    """A pool that tries a connection before it hands it out: after a restart all old ones are dropped at once.

    What the operator writes into the URL goes before what stands here.
    """
    given = dict(url.query)
    theirs = given.get("options", "")
    session = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
    arguments: dict[str, Any] = {name: value for name, value in _CONNECTION.items() if name not in given}
    arguments["options"] = f"{session} {theirs if isinstance(theirs, str) else ' '.join(theirs)}".strip()
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        isolation_level="READ COMMITTED",
        pool_size=_KEPT_OPEN,
        max_overflow=POSTGRESQL_CONNECTIONS - _KEPT_OPEN,
        pool_timeout=_WAIT_FOR_CONNECTION,
        pool_recycle=_RENEW_AFTER,
        pool_pre_ping=True,
        pool_use_lifo=True,
        connect_args=arguments,
    )


def _make_private(path: Path) -> None:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(handle, 0o600)
    finally:
        os.close(handle)


def _set_up(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own; `_begin` does
    for setting in _SETTINGS:
        connection.execute(setting).close()


def _begin(connection: Connection, queue: Queue) -> None:
    options = connection.get_execution_options()
    if not options.get(_WRITING):
        connection.exec_driver_sql("BEGIN DEFERRED")
        return
    queue.enter(connection, after=options.get(_AFTER))
    connection.exec_driver_sql("BEGIN IMMEDIATE")
