"""The tables of uploads: bodies on their way in, whole or in partial uploads, and their parts."""

from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.columns import At, Base, Id, Name, Number, one_of


class UploadState(StrEnum):
    """Where an upload stands."""

    OPEN = "open"
    COMPLETE = "complete"
    ABORTED = "aborted"


class UploadWay(StrEnum):
    """How the bytes of an upload come; that it is the way it was begun never changes."""

    WHOLE = "whole"
    """One after the other, to the upload itself."""
    WINDOWS = "windows"
    """As partial uploads that each fill whole parts of its grid."""
    PIECES = "pieces"
    """As partial uploads of unknown place, kept beside it until they are concatenated."""


class Upload(Base):
    """A body on its way. `fence` rises with every request that takes the upload over; a stale one finds it changed.

    `length` is what has been announced so far where pieces come, until they are concatenated; `offset` stays 0 until
    then where they or windows come, and is what has arrived in all where such an upload was ended.
    """

    __tablename__ = "uploads"
    __table_args__ = (Index(None, "state", "expires_at"), Index(None, "package_id", "item_id"))
    id: Mapped[Id] = mapped_column(primary_key=True)
    package_id: Mapped[Id] = mapped_column(ForeignKey("packages.id"))
    item_id: Mapped[Id]
    principal: Mapped[Id]
    authority: Mapped[Name] = mapped_column(ForeignKey("authorities.id"))
    length: Mapped[Number]
    part_size: Mapped[Number]
    store_token: Mapped[str] = mapped_column(String(2048), default="")
    offset: Mapped[Number] = mapped_column(default=0)
    fence: Mapped[Number] = mapped_column(default=0)
    way: Mapped[UploadWay] = mapped_column(one_of(UploadWay), default=UploadWay.WHOLE)
    state: Mapped[UploadState] = mapped_column(one_of(UploadState), default=UploadState.OPEN)
    expires_at: Mapped[At]
    created_at: Mapped[At]


class PartialUpload(Base):
    """A partial upload of tus: bytes of an upload that come beside others; it lives and ends with that upload."""

    __tablename__ = "partial_uploads"
    id: Mapped[Id] = mapped_column(primary_key=True)
    upload_id: Mapped[Id] = mapped_column(ForeignKey("uploads.id"), index=True)
    start: Mapped[int | None] = mapped_column(BigInteger)
    """Of a window: where in the body it begins. None for a piece."""
    length: Mapped[Number]
    offset: Mapped[Number] = mapped_column(default=0)
    fence: Mapped[Number] = mapped_column(default=0)
    store_token: Mapped[str] = mapped_column(String(2048), default="")
    """Of a piece: the store's upload that keeps it. A window lies in the upload's own."""
    place: Mapped[int | None]
    """Its place in the concatenation, from 0; None before."""


class PartialPart(Base):
    """A full part of a window, durable in the store; it becomes an `UploadPart` at the concatenation."""

    __tablename__ = "partial_parts"
    partial_id: Mapped[Id] = mapped_column(ForeignKey("partial_uploads.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size: Mapped[Number]
    sha256: Mapped[bytes]


class UploadPart(Base):
    """A full part of an upload, durable in the store; parts count from 1."""

    __tablename__ = "upload_parts"
    upload_id: Mapped[Id] = mapped_column(ForeignKey("uploads.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size: Mapped[Number]
    sha256: Mapped[bytes]
