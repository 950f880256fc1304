"""Connections to the database, with the durability that an acknowledgement promises.

SQLite: write-ahead log, `synchronous=FULL` (a commit has been fsynced when it returns), foreign keys on, a file of
mode 0600. A writing transaction takes the write lock at its beginning (`BEGIN IMMEDIATE`), so that what it reads
first is still so when it writes. PostgreSQL: the server's own settings; row locks do the same work.
"""

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url

from app.errors import BadInput

_BUSY_MS = 10_000
_POOL, _OVERFLOW = 8, 56
_WRITING = "rogatory_writing"
_SETTINGS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    f"PRAGMA busy_timeout={_BUSY_MS}",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA trusted_schema=OFF",
)


def connect(url: str) -> Engine:
    """The engine for a database URL; a missing SQLite file is made, of mode 0600.

    Raises:
        BadInput: Another database than SQLite in a file, or PostgreSQL.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed, pool_size=_POOL, max_overflow=_OVERFLOW, pool_pre_ping=True)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise BadInput(f"database {parsed.render_as_string()!r}, expected postgresql… or sqlite:///<file>")
    _make_private(Path(parsed.database))
    engine = create_engine(
        parsed,
        pool_size=_POOL,
        max_overflow=_OVERFLOW,
        connect_args={"check_same_thread": False, "timeout": _BUSY_MS / 1000},
    )
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def writing(engine: Engine) -> Engine:
    """The same pool, for transactions that write."""
    return engine.execution_options(**{_WRITING: True})


def snapshot(engine: Engine) -> Engine:
    """The same pool, for transactions that read one state of everything."""
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine  # a reader of a write-ahead log sees what was there at its first read


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


def _begin(connection: Connection) -> None:
    mode = "IMMEDIATE" if connection.get_execution_options().get(_WRITING) else "DEFERRED"
    connection.exec_driver_sql(f"BEGIN {mode}")
