"""Records: the service's answer to an act, checked against the trust file and kept for good.

What is kept is all that a later quarrel needs: our statement, the entry's exact bytes, and its proof in a checkpoint
that every key of the log has signed. The newest checkpoint is kept too; a log that does not continue it is refused.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, Self

from custody import entry as entries
from custody import merkle, statement
from custody.checkpoint import Checkpoint, open_checkpoint
from custody.entry import Entry, StatementMismatch
from custody.errors import CustodyError
from custody.note import VerifierKey
from custody.proof import TlogProof
from custody.statement import Statement
from custody.text import from_time
from rogatory import private_files
from rogatory.errors import Malformed, NotFound, RolledBack, SignerProblem

_NEWEST = "checkpoint"
_LOCK = "lock"
_EARLIEST = timedelta(minutes=15)
"""How long before its statement an entry may be dated: ten minutes between two clocks, and the usual skew."""


class LogTrust(Protocol):
    """What of a trust file records need."""

    @property
    def origin(self) -> str:
        """Of the log."""

    @property
    def log(self) -> tuple[VerifierKey, ...]:
        """Keys that must all have signed a checkpoint."""

    @property
    def checkpoint(self) -> bytes | None:
        """A checkpoint its holder has verified, if it holds one."""


class RecordMalformed(Malformed):
    """An answer that should hold a record does not."""

    code = "record-malformed"


class LogUnsigned(SignerProblem):
    """A checkpoint is not signed by every key that the trust file names for the log."""

    code = "log-unsigned"

    def __init__(self, what: str, why: Exception) -> None:
        super().__init__(
            f"{what} stands in a checkpoint that the log of the trust file did not sign: {why}",
            hint="compare the log's keys with those its operator reads out; believe nothing until they agree",
        )


class LogRolledBack(RolledBack):
    """The log shows a past, or a future, that is not that of the checkpoint we hold."""

    code = "log-rolled-back"


@dataclass(frozen=True)
class Record:
    """An entry with its proof, as it travels. Nothing is known until `check` returned."""

    entry: bytes
    index: int
    proof: bytes

    @classmethod
    def parse(cls, fields: Any) -> Self:
        """The record of `{entry, index, proof}`.

        Raises:
            RecordMalformed: It is not of this shape.
        """
        match fields:
            case {"entry": str(data), "index": int(index), "proof": str(proof)} if len(fields) == 3:
                return cls(data.encode(), index, proof.encode())
        raise RecordMalformed("the answer holds no record {entry, index, proof}")

    def fields(self) -> dict[str, Any]:
        """As it travels."""
        return {"entry": self.entry.decode(), "index": self.index, "proof": self.proof.decode()}

    def check(self, *, trust: LogTrust, event: str, said: Statement | None) -> tuple[Entry, TlogProof]:
        """Check a record against the trust file; return only if it holds.

        The reader may conclude that the log committed, at `index`, to an entry of this event carrying exactly this
        statement (none, where the service speaks alone), and not at a time before it was made. Whether the log shows
        everybody the same is not said.

        Raises:
            FormatError: Entry or proof cannot be understood.
            StatementMismatch: Another event, statement, log or chain, or a time before the statement's.
            VerificationError: The proof, or a signature of the log's, does not hold.
        """
        found = entries.parse(self.entry)
        if found.event != event or found.fields["log"] != trust.origin:
            raise StatementMismatch(
                f"the record tells of {found.event} in {found.fields['log']}, expected {event} in {trust.origin}"
            )
        if said is not None:
            if found.statement_id is None:
                raise StatementMismatch(f"the record of {event} carries no statement")
            entries.check_statement(found, said)
            _check_not_back_dated(found, said)
        elif found.statement_id is not None:
            raise StatementMismatch(f"the record of {event} carries a statement, expected the service's own word")
        proof = TlogProof.parse(self.proof)
        if proof.index != self.index:
            raise StatementMismatch(f"the record names index {self.index}, its proof {proof.index}")
        proof.verify(leaf_data=proof.leaf_data(found.hash), origin=trust.origin, log=trust.log)
        return found, proof


def _check_not_back_dated(found: Entry, said: Statement) -> None:
    """Later it may be, where others must approve first; an entry before its own statement is nobody's clock."""
    ahead = from_time(said.payload["time"]) - from_time(found.fields["time"])
    if ahead > _EARLIEST:
        raise StatementMismatch(
            f"the record says {found.fields['time']}, {ahead.total_seconds():.0f} s before its statement was made"
        )


class RecordStore:
    """The directory of records, one file each, and of the newest checkpoint seen.

    Args:
        directory: Made if it is not there.
        trust: What checkpoints are checked with, also those read back.
    """

    def __init__(self, directory: Path, trust: LogTrust) -> None:
        self._directory = private_files.make_directory(directory)
        self._trust = trust

    def keep(self, record: Record, said: Statement | None) -> Path:
        """Store a checked record; durable when this returns. Keeping it again changes nothing."""
        entry = entries.parse(record.entry)
        name = f"{entry.event}-{said.id if said else entry.hash.hex()}.json"
        path = self._directory / name
        fields = record.fields() | ({"envelope": said.envelope.decode()} if said else {})
        private_files.replace(path, json.dumps(fields, sort_keys=True).encode() + b"\n")
        return path

    def records(self, event: str = "") -> Iterator[tuple[Record, Statement | None]]:
        """Records kept, of one event if it is named, in no order that means anything."""
        for path in sorted(self._directory.glob(f"{event or '*'}-*.json")):
            fields = json.loads(private_files.read(path))
            envelope = fields.pop("envelope", None)
            yield Record.parse(fields), statement.parse(envelope.encode()) if envelope else None

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint seen, its signatures checked again."""
        note = self.newest_note()
        return self.open(note) if note else None

    def newest_note(self) -> bytes | None:
        """The same with its signatures, exact bytes; the trust file's own checkpoint until a newer one was seen."""
        path = self._directory / _NEWEST
        notes = [private_files.read(path)] if path.exists() else []
        if self._trust.checkpoint is not None:
            notes.append(self._trust.checkpoint)
        return max(notes, key=lambda note: self.open(note).size, default=None)

    def open(self, note: bytes) -> Checkpoint:
        """The checkpoint of a note that every key of the trusted log signed."""
        return open_checkpoint(note, origin=self._trust.origin, log=self._trust.log)[0]

    def advance(self, note: bytes, proofs: "ConsistencySource") -> Checkpoint:
        """Take a checkpoint the log has shown; keep it if it is the newest.

        Raises:
            LogRolledBack: It is not of one history with the newest seen, or the log cannot show that it is.
        """
        shown = self.open(note)
        while True:
            held = self.newest()
            if held is not None:
                check_one_history(held, shown, proofs)
            with private_files.hold(self._directory / _LOCK, wait=True):
                if self.newest() != held:  # another command of this profile was quicker: compare with what it kept
                    continue
                if held is None or shown.size > held.size:
                    private_files.replace(self._directory / _NEWEST, note)
                return shown


class ConsistencySource(Protocol):
    """Where consistency proofs come from: the log's tiles, or a mirror of them."""

    def consistency(self, size1: int, size2: int) -> list[bytes]:
        """The path between two sizes; CustodyError or NotFound if it cannot be had."""


def check_one_history(held: Checkpoint, shown: Checkpoint, proofs: ConsistencySource) -> None:
    """Check that of two checkpoints the smaller is the beginning of the larger.

    Raises:
        LogRolledBack: It is not, or the log has no proof of it.
    """
    small, large = sorted((held, shown), key=lambda checkpoint: checkpoint.size)
    if not small.size:
        return
    try:
        path = proofs.consistency(small.size, large.size) if small.size < large.size else []
        merkle.verify_consistency(size1=small.size, size2=large.size, root1=small.root, root2=large.root, path=path)
    except (CustodyError, NotFound) as error:
        raise LogRolledBack(
            f"the log shows a checkpoint of size {shown.size} that is not of one history with the one of "
            f"size {held.size} we hold: {error}",
            hint="do not use this service until its operator has explained it; keep the records directory as it is",
        ) from error
