"""What every act is answered with: its record, and whether it is a new one."""

from dataclasses import dataclass

from app.db import ledger
from app.db.records import Record
from app.services.runtime import Runtime
from custody.entry import Entry

__all__ = ["Lodged", "Record", "await_record"]


@dataclass(frozen=True)
class Lodged:
    """An act that stands in the log.

    Attributes:
        record: Entry and proof.
        fresh: False if the same statement had been lodged before.
    """

    record: Record
    fresh: bool


def await_record(runtime: Runtime, entry: Entry, *, fresh: bool) -> Lodged:
    """The record of a committed entry, once a checkpoint covers it. Blocks its thread for at most two seconds.

    Raises:
        NotYetPublished: Not within that time; the fact stands, and the same request finds it later.
    """
    return Lodged(ledger.wait_for_record(runtime.engine, entry), fresh)
