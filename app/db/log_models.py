"""The tables of the record: chains, the ledger, the log over it, its tiles, tails and checkpoints.

Only `app.db.ledger` writes the first group, only the sequencer the second. Rows of `ledger`, `statements` and
`log_leaves` are never changed or deleted; triggers hold that (migrations/versions/0001_record.py).
"""

from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db.columns import At, Base, Hash, Name, Number, Raw, RowId, one_of


class ChainKind(StrEnum):
    """What a chain tells of."""

    EXCHANGE = "exchange"
    REGISTRY = "registry"
    SERVICE = "service"


# ---------------------------------------------------------------- written by the ledger


class Chain(Base):
    """A chain and its head: what the next entry must name. The row is the chain's lock."""

    __tablename__ = "chains"
    __table_args__ = (Index(None, "kind", "owner"),)
    handle: Mapped[Hash] = mapped_column(primary_key=True)
    kind: Mapped[ChainKind] = mapped_column(one_of(ChainKind))
    owner: Mapped[Name]
    """Exchange id, authority id, or `@service`."""
    next_seq: Mapped[Number] = mapped_column(default=0)
    head_hash: Mapped[Raw | None]
    head_salt: Mapped[Raw | None]


class StatementRow(Base):
    """The exact envelope of a statement that an entry carries."""

    __tablename__ = "statements"
    id: Mapped[Hash] = mapped_column(primary_key=True)
    envelope: Mapped[Raw]


class LedgerRow(Base):
    """An entry: its exact bytes, their hash, and the salt and label that make its leaf."""

    __tablename__ = "ledger"
    __table_args__ = (UniqueConstraint("chain", "seq"),)
    id: Mapped[RowId]
    chain: Mapped[Hash] = mapped_column(ForeignKey("chains.handle"))
    seq: Mapped[Number]
    body: Mapped[Raw]
    hash: Mapped[Raw]
    salt: Mapped[Raw]
    label: Mapped[Raw] = mapped_column(unique=True)
    statement_id: Mapped[Hash | None] = mapped_column(ForeignKey("statements.id"), unique=True)
    recorded_at: Mapped[At]


class Pending(Base):
    """An entry that has no place in the log yet; committed with it, taken away with its leaf."""

    __tablename__ = "pending"
    ledger_id: Mapped[Number] = mapped_column(ForeignKey("ledger.id"), primary_key=True, autoincrement=False)


# ---------------------------------------------------------------- written by the sequencer


class LogLeaf(Base):
    """A leaf of the log: its data, the bucket of its label unless it is a tail leaf, the entry unless it is a dummy."""

    __tablename__ = "log_leaves"
    __table_args__ = (Index(None, "bucket", "idx"),)
    idx: Mapped[Number] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[Raw]
    bucket: Mapped[int | None]
    ledger_id: Mapped[Number | None] = mapped_column(ForeignKey("ledger.id"), unique=True)


class TileRow(Base):
    """A hash tile: up to 256 hashes of tree level 8 × `level`; the rightmost of a level grows."""

    __tablename__ = "tiles"
    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[Number] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[Raw]


class TailHead(Base):
    """The head of a bucket that has labels."""

    __tablename__ = "tail_heads"
    bucket: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    head: Mapped[Raw]


class CheckpointRow(Base):
    """The newest signed note of a size the log has had. Its last leaf is a tail leaf."""

    __tablename__ = "checkpoints"
    size: Mapped[Number] = mapped_column(primary_key=True, autoincrement=False)
    root: Mapped[Raw]
    signed_at: Mapped[At]
    note: Mapped[Raw]


class CosignatureRow(Base):
    """A verified cosignature of a checkpoint of ours: the newest of its key for this size."""

    __tablename__ = "cosignatures"
    __table_args__ = (Index(None, "key", "size"),)
    size: Mapped[Number] = mapped_column(primary_key=True, autoincrement=False)
    key: Mapped[Hash] = mapped_column(primary_key=True)
    """Full id of the witness's key."""
    time: Mapped[Number]
    """POSIX seconds, as signed."""
    line: Mapped[Raw]


class SequencerTerm(Base):
    """One row: the term of the elected sequencer. Who finds another term than its own writes nothing more."""

    __tablename__ = "sequencer_term"
    __table_args__ = (CheckConstraint("id = 1", name="one"),)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    term: Mapped[Number]


class StampRow(Base):
    """A time stamp over a cosigned checkpoint of ours, as its authority answered; never changed or deleted."""

    __tablename__ = "stamps"
    __table_args__ = (Index(None, "tsa", "at"),)
    size: Mapped[Number] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Of the stamps of this size, from 0."""
    tsa: Mapped[str] = mapped_column(String(512))
    """Address of the authority."""
    at: Mapped[At]
    """The time in it."""
    note: Mapped[Raw]
    """What it is of: for one size always the same bytes."""
    reply: Mapped[Raw]


class ValidationRow(Base):
    """A revocation list that stamps of an authority are judged by; never changed or deleted."""

    __tablename__ = "validation"
    tsa: Mapped[str] = mapped_column(String(512), primary_key=True)
    sha256: Mapped[Hash] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(String(2048))
    """Where it came from: an address, or empty if it came with a reply."""
    at: Mapped[At]
    """When it was made."""
    data: Mapped[Raw]
