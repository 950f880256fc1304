"""Whether the service can do its work now."""

from sqlalchemy import text

from app.errors import Refusal
from app.services.runtime import Runtime
from storage.interface import StoreError


def missing(runtime: Runtime) -> list[str]:
    """What does not answer, of `database`, `store` and `log`; empty if all is well."""
    found = []
    try:
        with runtime.reading() as session:
            session.execute(text("SELECT 1"))
    except Refusal:
        found.append("database")
    try:
        runtime.store.ping()
    except StoreError:
        found.append("store")
    if runtime.log_failure() is not None:
        found.append("log")
    return found
