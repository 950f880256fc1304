"""Bodies and answers as they go over the wire; fields are named one by one from what the services return."""

import base64
import json
from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from app.db.models import UploadState
from app.db.records import Record
from app.services import exchanges, exports, packages
from app.services.grants import Released
from app.services.registries import Member
from custody.statement import MAX_ENVELOPE
from custody.text import to_time

HexId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
HexDigest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Time = Annotated[str, Field(description="`YYYY-MM-DDTHH:MM:SS.ffffffZ`", examples=["2030-01-02T03:04:05.000000Z"])]


class In(BaseModel):
    """A body; unknown members are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Out(BaseModel):
    """An answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StatementIn(In):
    """A signed statement."""

    envelope: str = Field(min_length=2, max_length=MAX_ENVELOPE, description="The exact envelope bytes, as text")


class RecordOut(Out):
    """An entry with the proof of its place in the log."""

    entry: str = Field(description="The exact entry bytes, as text")
    index: int = Field(ge=0, description="Place in the log")
    proof: str = Field(description="A tlog-proof, as text")

    @classmethod
    def of(cls, record: Record) -> Self:
        """From the ledger's."""
        return cls(entry=record.entry.decode(), index=record.index, proof=record.proof)

    def header(self) -> str:
        """As it stands in the header Rogatory-Record: base64 of its JSON."""
        return base64.b64encode(json.dumps(self.model_dump(), separators=(",", ":")).encode()).decode()


class StepsOut(Out):
    """Changes of the log's policies, and its end."""

    records: list[RecordOut]


class Recorded(Out):
    """An act that is on record."""

    record: RecordOut


class ExchangeOpened(Recorded):
    """An exchange that is open."""

    exchange: HexId


class PackageRecorded(Recorded):
    """A package that an act was about."""

    package: HexId


class AuthorityOut(Out):
    """An authority of this service."""

    id: str
    name: str
    country: str
    suspended: bool

    @classmethod
    def of(cls, member: Member) -> Self:
        """From the service's."""
        return cls(id=member.id, name=member.name, country=member.country, suspended=member.suspended)


class AuthoritiesOut(Out):
    """All of them."""

    authorities: list[AuthorityOut]


class ExchangeOut(Out):
    """An exchange as the caller sees it; auditors see no packages."""

    id: HexId
    handle: HexDigest
    opened_at: Time
    closed: bool
    parties: list[str]
    auditors: list[str]
    packages: list[HexId]

    @classmethod
    def of(cls, view: exchanges.View) -> Self:
        """From the service's."""
        return cls(
            id=view.row.id,
            handle=view.row.handle,
            opened_at=to_time(view.row.opened_at),
            closed=view.row.closed,
            parties=list(view.parties),
            auditors=list(view.auditors),
            packages=list(view.packages),
        )


class ExchangesOut(Out):
    """A page of exchanges."""

    exchanges: list[ExchangeOut]
    next: str | None = None


class ItemOut(Out):
    """An item of a package, or the upload that is to become one."""

    id: HexId
    size: int
    part_size: int
    parts: HexDigest | None = None
    state: str = Field(description="`uploading`, `complete` or `sealed`")
    offset: int
    fixity: str | None = None


class ReceiptOut(Out):
    """Who has answered, and how."""

    authority: str
    outcome: str


class PackageOut(Out):
    """A package as its parties see it."""

    id: HexId
    exchange: HexId
    sender: str
    recipients: list[str]
    state: str
    created_at: Time
    manifest: HexDigest | None = None
    sealed: HexDigest | None = None
    retain_until: Time | None = None
    items: list[ItemOut]
    receipts: list[ReceiptOut]

    @classmethod
    def of(cls, view: packages.View) -> Self:
        """From the service's."""
        row = view.row
        return cls(
            id=row.id,
            exchange=row.exchange_id,
            sender=row.sender,
            recipients=list(view.recipients),
            state=row.state.value,
            created_at=to_time(row.created_at),
            manifest=row.manifest_id,
            sealed=row.sealed_hash,
            retain_until=to_time(row.retain_until) if row.retain_until else None,
            items=_items(view),
            receipts=[ReceiptOut(authority=each.authority, outcome=each.outcome.value) for each in view.receipts],
        )


class PackagesOut(Out):
    """A page of packages."""

    packages: list[PackageOut]
    next: str | None = None


class LoggedEntry(Out):
    """An entry; without a place for as long as none was given to it."""

    entry: str
    index: int | None = None


class LogOut(Out):
    """A page of an exchange's record."""

    entries: list[LoggedEntry]
    statements: list[str]
    next: str | None = None

    @classmethod
    def of(cls, page: exports.Page) -> Self:
        """From the service's."""
        return cls(
            entries=[LoggedEntry(entry=body.decode(), index=index) for body, index in page.entries],
            statements=[envelope.decode() for envelope in page.statements],
            next=page.next,
        )


class GrantOut(Out):
    """A grant after the manifest."""

    id: HexDigest
    envelope: str
    record: RecordOut


class ManifestOut(Out):
    """The manifest with its record, and every later grant with its own, in the order of the log."""

    envelope: str
    record: RecordOut
    grants: list[GrantOut]
    sealed: HexDigest = Field(description="Hash of the entry package.sealed; a receipt names it")

    @classmethod
    def of(cls, view: packages.ManifestView) -> Self:
        """From the service's."""
        return cls(
            envelope=view.envelope.decode(),
            record=RecordOut.of(view.record),
            grants=[
                GrantOut(id=each, envelope=envelope.decode(), record=RecordOut.of(record))
                for each, envelope, record in view.grants
            ],
            sealed=view.sealed,
        )


class HeaderOut(Out):
    """The header of an item."""

    item: HexId
    header: str = Field(description="base64")


class ReleaseOut(Recorded):
    """Headers that were released."""

    headers: list[HeaderOut]

    @staticmethod
    def spelled(released: Released) -> Iterator[bytes]:
        """Its JSON, a header at a time: all together may be more than memory is for."""
        record = RecordOut.of(released.lodged.record)
        yield b'{"record":%b,"headers":[' % record.model_dump_json().encode()
        for number, (item, header) in enumerate(released.headers):
            out = HeaderOut(item=item, header=base64.b64encode(header).decode())
            yield (b"," if number else b"") + out.model_dump_json().encode()
        yield b"]}"


class DownloadOut(Recorded):
    """A handle for reading bodies."""

    download: HexId
    expires: Time


class HeaderPut(Out):
    """A header that is kept."""

    sha256: HexDigest
    size: int


class ServiceOut(Out):
    """What a tool needs to know of a service before it trusts it with anything."""

    name: str
    version: str
    origin: str
    log_keys: list[str]
    token_endpoint: str
    issuer: str
    min_part_size: int
    max_item_size: int
    time: Time


class StampedOut(Out):
    """The newest time stamp: how many leaves it covers, its time, and how many leaves are published by now."""

    size: int
    time: Time
    published: int


class AliveOut(Out):
    """The process answers."""

    status: str


class ReadyOut(Out):
    """Whether the service can do its work, and what is missing if not."""

    ready: bool
    missing: list[str]


class TokenOut(Out):
    """An access token (RFC 6749 section 5.1)."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the type, no secret
    expires_in: int
    scope: str


class TokenError(Out):
    """Why there is no token (RFC 6749 section 5.2)."""

    error: str


class Jwk(Out):
    """A public key of the service."""

    kty: str
    crv: str
    alg: str
    use: str
    kid: str
    x: str
    y: str


class JwksOut(Out):
    """The public keys of access tokens."""

    keys: list[Jwk]


class MetadataOut(Out):
    """Authorization server metadata (RFC 8414)."""

    issuer: str
    token_endpoint: str
    jwks_uri: str
    grant_types_supported: list[str]
    response_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    token_endpoint_auth_signing_alg_values_supported: list[str]
    scopes_supported: list[str]


def _items(view: packages.View) -> list[ItemOut]:
    arrived = [
        ItemOut(
            id=item.id,
            size=item.size,
            part_size=item.part_size,
            parts=item.parts,
            state="complete" if item.role is None else "sealed",
            offset=item.size,
            fixity=item.fixity.value if item.fixity else None,
        )
        for item in view.items
    ]
    coming = [
        ItemOut(
            id=upload.item_id, size=upload.length, part_size=upload.part_size, state="uploading", offset=upload.offset
        )
        for upload in view.uploads
        if upload.state is UploadState.OPEN
    ]
    return sorted([*arrived, *coming], key=lambda each: each.id)
