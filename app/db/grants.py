"""What the service may do in a PostgreSQL database that belongs to somebody else.

The tables belong to the role that runs `rogatory-server migrate`. Where a role `rogatory_service` exists, every
migration gives it what the service needs, and no more: it can add to the record, and neither change nor delete what
stands there, nor take away the triggers that say the same. Keeps the service's own mistakes, and whoever takes over
its process, from the past of the record; an owner of the tables is found by whoever holds a checkpoint.
"""

from typing import Final

from sqlalchemy import Connection, text

from app.db.models import Base

ROLE: Final = "rogatory_service"

INSERT_ONLY: Final = frozenset({"ledger", "log_leaves", "stamps", "statements", "validation"})
"""Never changed, never deleted."""

KEPT: Final = frozenset({"chains", "checkpoints", "cosignatures", "sequencer_term", "tail_heads", "tiles"})
"""Grow or move on, and are never deleted."""

_MAY: Final = text(
    "SELECT count(*) FROM pg_roles WHERE rolname = :role AND rolname <> current_user"
    " AND EXISTS (SELECT FROM pg_class WHERE oid = CAST('alembic_version' AS regclass)"
    " AND pg_has_role(current_user, relowner, 'USAGE'))"
)


def give(connection: Connection) -> None:
    """Give the service's role its rights, where there is such a role and the tables are ours to give."""
    if connection.dialect.name != "postgresql" or not connection.scalar(_MAY, {"role": ROLE}):
        return
    for table in sorted(Base.metadata.tables):
        connection.execute(text(f'REVOKE ALL ON "{table}" FROM {ROLE}'))
        connection.execute(text(f'GRANT {rights(table)} ON "{table}" TO {ROLE}'))
    connection.execute(text(f"GRANT SELECT ON alembic_version TO {ROLE}"))
    connection.execute(text(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {ROLE}"))


def rights(table: str) -> str:
    """What the service does in a table."""
    if table in INSERT_ONLY:
        return "SELECT, INSERT"
    return "SELECT, INSERT, UPDATE" if table in KEPT else "SELECT, INSERT, UPDATE, DELETE"
