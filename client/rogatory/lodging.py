"""Lodging a statement: it is sent, its record is checked, and the record is kept before anything else happens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from custody.entry import Entry
from custody.errors import CustodyError
from custody.note import NotSigned
from custody.proof import TlogProof
from custody.statement import Statement
from rogatory.connection import Connection, read_json
from rogatory.errors import Tampered
from rogatory.log import PublicLog
from rogatory.records import LogTrust, LogUnsigned, Record, RecordStore


class RecordRefused(Tampered):
    """The service's record of our act is not the record of our act, or not of the log we trust."""

    code = "record-refused"


@dataclass(frozen=True)
class Lodged:
    """An act that stands in the log.

    Attributes:
        record: Checked and kept.
        entry: Its entry.
        answer: The rest of the service's answer; unchecked.
    """

    record: Record
    entry: Entry
    answer: Mapping[str, Any]


class Lodge:
    """Where statements are handed in.

    Args:
        connection: To the service.
        store: Keeps records and the newest checkpoint.
        trust: What records are checked against.
    """

    def __init__(self, connection: Connection, store: RecordStore, trust: LogTrust) -> None:
        self._connection, self._store, self._trust = connection, store, trust
        self._log = PublicLog(connection, trust.origin)

    def lodge(
        self, path: str, said: Statement, *, event: str, extra: Mapping[str, Any] | None = None, signed_in: bool = True
    ) -> Lodged:
        """Hand a statement in and get its record; safe to repeat with the same statement.

        Raises:
            ServiceRefusal: The service does not take it.
            RecordRefused: It says it has, and its record does not show it.
            LogUnsigned: The record is of another log than the trust file's.
            LogRolledBack: The record's checkpoint is not of one history with the newest we have seen.
        """
        body = {"envelope": said.envelope.decode(), **(extra or {})}
        answer = self._connection.post_json(path, body, authenticated=signed_in)
        fields = read_json(answer)
        record, entry = self.take(fields.pop("record", None), event=event, said=said)
        return Lodged(record, entry, fields)

    def take(self, fields: Any, *, event: str, said: Statement | None) -> tuple[Record, Entry]:
        """Check a record, keep it, and hold its checkpoint to the newest seen.

        Raises:
            RecordMalformed, RecordRefused, LogUnsigned, LogRolledBack: As for `lodge`.
        """
        record = Record.parse(fields)
        try:
            entry, proof = record.check(trust=self._trust, event=event, said=said)
        except NotSigned as error:
            raise LogUnsigned(f"the service's record of {event}", error) from error
        except CustodyError as error:
            raise RecordRefused(
                f"the service's record of {event} does not hold: {error}",
                hint="keep the answer; whether the act stands in the log is not known",
            ) from error
        self._store.keep(record, said)
        self.see(proof)
        return record, entry

    def see(self, proof: TlogProof) -> None:
        """Take note of a proof's checkpoint."""
        self._store.advance(proof.note, self._log)
