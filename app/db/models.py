"""The tables of the matter: authorities, exchanges, packages, transfers, grants, receipts.

They say how things stand now, for quick decisions under a lock. What happened stands in the ledger
(`app.db.log_models`), and only that is ever shown as proof. There are no relations: queries name what they join.
"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.columns import At, Base, Hash, Id, Name, Number, Time, one_of
from app.db.log_models import (
    Chain,
    ChainKind,
    CheckpointRow,
    LedgerRow,
    LogLeaf,
    Pending,
    SequencerTerm,
    StatementRow,
    TailHead,
    TileRow,
)
from app.db.upload_models import PartialPart, PartialUpload, Upload, UploadPart, UploadState, UploadWay

__all__ = [
    "Acceptance",
    "Authority",
    "Base",
    "Chain",
    "ChainKind",
    "CheckpointRow",
    "Download",
    "Exchange",
    "Fixity",
    "Grant",
    "GrantHeader",
    "GrantKind",
    "GrantRecipient",
    "Idempotency",
    "Item",
    "ItemRole",
    "LedgerRow",
    "LogLeaf",
    "Outcome",
    "Package",
    "PackageState",
    "Part",
    "PartialPart",
    "PartialUpload",
    "Party",
    "Pending",
    "PutHeader",
    "Receipt",
    "Recipient",
    "RegisteredKey",
    "Release",
    "SequencerTerm",
    "SpentToken",
    "StatementRow",
    "TailHead",
    "TileRow",
    "Upload",
    "UploadPart",
    "UploadState",
    "UploadWay",
]


class Part(StrEnum):
    """How an authority stands to an exchange."""

    PARTY = "party"
    AUDITOR = "auditor"


class PackageState(StrEnum):
    """Where a package stands."""

    DECLARED = "declared"
    SEALED = "sealed"
    WITHDRAWN = "withdrawn"
    RESTRICTED = "restricted"
    RECALLED = "recalled"
    DESTROYED = "destroyed"


class ItemRole(StrEnum):
    """What the manifest makes of a body; none before the seal."""

    ITEM = "item"
    INVENTORY = "inventory"


class Fixity(StrEnum):
    """What the last whole reading of a body found; none before the first."""

    OK = "ok"
    FAILED = "failed"


class GrantKind(StrEnum):
    """The manifest is the first grant of its package."""

    MANIFEST = "manifest"
    GRANT = "grant"


class Outcome(StrEnum):
    """The receiver's verdict."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


def _package() -> Mapped[str]:
    return mapped_column(ForeignKey("packages.id"), primary_key=True)


class Authority(Base):
    """An authority admitted to this service; its keys stand in its registry chain only."""

    __tablename__ = "authorities"
    id: Mapped[Name] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    country: Mapped[str] = mapped_column(String(2))
    handle: Mapped[Hash] = mapped_column(ForeignKey("chains.handle"), unique=True)
    admitted_at: Mapped[At]
    suspended: Mapped[bool] = mapped_column(default=False)
    """By the service (`policy.changed`); an authority's own suspension stands in its registry."""


class Exchange(Base):
    """A matter between authorities; its handle is known to its parties only."""

    __tablename__ = "exchanges"
    id: Mapped[Id] = mapped_column(primary_key=True)
    handle: Mapped[Hash] = mapped_column(ForeignKey("chains.handle"), unique=True)
    opened_at: Mapped[At]
    closed: Mapped[bool] = mapped_column(default=False)


class Party(Base):
    """Who takes part in an exchange, and how."""

    __tablename__ = "parties"
    __table_args__ = (Index(None, "authority", "exchange_id"),)
    exchange_id: Mapped[Id] = mapped_column(ForeignKey("exchanges.id"), primary_key=True)
    authority: Mapped[Name] = mapped_column(ForeignKey("authorities.id"), primary_key=True)
    part: Mapped[Part] = mapped_column(one_of(Part))


class Package(Base):
    """What is handed over at once."""

    __tablename__ = "packages"
    __table_args__ = (Index(None, "exchange_id", "created_at"),)
    id: Mapped[Id] = mapped_column(primary_key=True)
    exchange_id: Mapped[Id] = mapped_column(ForeignKey("exchanges.id"))
    sender: Mapped[Name] = mapped_column(ForeignKey("authorities.id"))
    state: Mapped[PackageState] = mapped_column(one_of(PackageState), default=PackageState.DECLARED)
    manifest_id: Mapped[Hash | None]
    sealed_hash: Mapped[Hash | None]
    """Hash of the entry `package.sealed`, which a receipt names."""
    retain_until: Mapped[datetime | None] = mapped_column(Time)
    created_at: Mapped[At]


class Recipient(Base):
    """For whom a package was declared."""

    __tablename__ = "recipients"
    __table_args__ = (Index(None, "authority", "package_id"),)
    package_id: Mapped[Id] = _package()
    authority: Mapped[Name] = mapped_column(ForeignKey("authorities.id"), primary_key=True)


class Item(Base):
    """A body that lies complete in the store."""

    __tablename__ = "items"
    package_id: Mapped[Id] = _package()
    id: Mapped[Id] = mapped_column(primary_key=True)
    role: Mapped[ItemRole | None] = mapped_column(one_of(ItemRole))
    size: Mapped[Number]
    part_size: Mapped[Number]
    parts: Mapped[Hash]
    """Composite over the parts' SHA-256 (`custody.digest.composite`), hex."""
    sha256: Mapped[Hash | None]
    """Of the body, as its manifest claims; none before the seal."""
    blake3: Mapped[Hash | None]
    key: Mapped[str] = mapped_column(String(512))
    version: Mapped[str] = mapped_column(String(256), default="")
    fixity: Mapped[Fixity | None] = mapped_column(one_of(Fixity))


class Grant(Base):
    """A statement that carries headers: the manifest, or a later grant."""

    __tablename__ = "grants"
    statement_id: Mapped[Hash] = mapped_column(ForeignKey("statements.id"), primary_key=True)
    package_id: Mapped[Id] = mapped_column(ForeignKey("packages.id"), index=True)
    kind: Mapped[GrantKind] = mapped_column(one_of(GrantKind))
    authority: Mapped[Name] = mapped_column(ForeignKey("authorities.id"))
    """Who signed it."""
    conditional: Mapped[bool] = mapped_column(default=False)
    """Whether it sets conditions that a recipient must accept first."""
    until: Mapped[datetime | None] = mapped_column(Time)
    destroyed: Mapped[bool] = mapped_column(default=False)
    """Whether its headers were destroyed by order; the statement stays."""


class GrantHeader(Base):
    """The header of one item in one grant; the bytes lie in the store under their digest."""

    __tablename__ = "grant_headers"
    grant_id: Mapped[Hash] = mapped_column(ForeignKey("grants.statement_id"), primary_key=True)
    item_id: Mapped[Id] = mapped_column(primary_key=True)
    sha256: Mapped[Hash] = mapped_column(index=True)
    size: Mapped[int]


class GrantRecipient(Base):
    """Who may be handed the headers of a grant."""

    __tablename__ = "grant_recipients"
    __table_args__ = (Index(None, "authority", "grant_id"),)
    grant_id: Mapped[Hash] = mapped_column(ForeignKey("grants.statement_id"), primary_key=True)
    authority: Mapped[Name] = mapped_column(ForeignKey("authorities.id"), primary_key=True)


class Acceptance(Base):
    """An authority has accepted the conditions of a manifest or grant by signature."""

    __tablename__ = "acceptances"
    grant_id: Mapped[Hash] = mapped_column(ForeignKey("grants.statement_id"), primary_key=True)
    authority: Mapped[Name] = mapped_column(ForeignKey("authorities.id"), primary_key=True)
    statement_id: Mapped[Hash] = mapped_column(ForeignKey("statements.id"))
    """The acceptance itself."""


class Release(Base):
    """The header of an item has left for an authority, under a grant; the first of each, the ledger has all."""

    __tablename__ = "releases"
    grant_id: Mapped[Hash] = mapped_column(ForeignKey("grants.statement_id"), primary_key=True)
    authority: Mapped[Name] = mapped_column(ForeignKey("authorities.id"), primary_key=True)
    item_id: Mapped[Id] = mapped_column(primary_key=True)
    released_at: Mapped[At]


class PutHeader(Base):
    """A header that an authority has brought for a package; only who had the bytes may name it in a grant."""

    __tablename__ = "put_headers"
    package_id: Mapped[Id] = _package()
    sha256: Mapped[Hash] = mapped_column(primary_key=True)
    authority: Mapped[Name] = mapped_column(ForeignKey("authorities.id"), primary_key=True)
    size: Mapped[int]
    sealing: Mapped[str] = mapped_column(String(16))
    """The one kind of its stanzas."""
    stanzas: Mapped[int]


class RegisteredKey(Base):
    """A public key that stands in some registry: once, for one holder and one use, on this service."""

    __tablename__ = "registered_keys"
    id: Mapped[Hash] = mapped_column(primary_key=True)
    authority: Mapped[Name] = mapped_column(ForeignKey("authorities.id"))
    holder: Mapped[Name]
    use: Mapped[str] = mapped_column(String(16))


class Download(Base):
    """A handle for reading bodies, good until it expires or is closed. `id` is a secret of its holder."""

    __tablename__ = "downloads"
    __table_args__ = (
        ForeignKeyConstraint(["package_id", "item_id"], ["items.package_id", "items.id"]),
        Index(None, "closed", "expires_at"),
    )
    id: Mapped[Name] = mapped_column(primary_key=True)
    package_id: Mapped[Id] = mapped_column(ForeignKey("packages.id"))
    item_id: Mapped[Id | None]
    principal: Mapped[Id]
    authority: Mapped[Name] = mapped_column(ForeignKey("authorities.id"))
    opened_hash: Mapped[Hash]
    """Hash of the entry `download.opened`."""
    expires_at: Mapped[At]
    bytes_out: Mapped[Number] = mapped_column(default=0)
    closed: Mapped[bool] = mapped_column(default=False)
    closed_hash: Mapped[Hash | None]
    """Hash of the entry `download.closed`, for whoever asks again."""


class Receipt(Base):
    """An authority's verdict on a package: one, ever."""

    __tablename__ = "receipts"
    package_id: Mapped[Id] = _package()
    authority: Mapped[Name] = mapped_column(ForeignKey("authorities.id"), primary_key=True)
    statement_id: Mapped[Hash] = mapped_column(ForeignKey("statements.id"))
    outcome: Mapped[Outcome] = mapped_column(one_of(Outcome))


class Idempotency(Base):
    """What an Idempotency-Key of a principal was used for, and what came of it."""

    __tablename__ = "idempotency"
    __table_args__ = (Index(None, "created_at"),)
    principal: Mapped[str] = mapped_column(String(128), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_hash: Mapped[Hash]
    statement_id: Mapped[Hash | None]
    ledger_id: Mapped[Number | None]
    status: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    """HTTP status of the answer; 0 while there is none."""
    created_at: Mapped[At]


class SpentToken(Base):
    """A one-time token that has been used; kept until it would have expired anyway."""

    __tablename__ = "spent_tokens"
    jti: Mapped[str] = mapped_column(String(255), primary_key=True)
    expires_at: Mapped[At] = mapped_column(index=True)
