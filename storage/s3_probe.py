"""What a bucket really does, found by trying it: what it must be, an operator proves with this before evidence comes.

A bucket that merely claims to be versioned and locked is worth nothing, so every property is tried with small objects
below `<prefix>/probe/`, and the worst is tried on purpose: another checksum, a name that is taken, a shorter lock, the
deletion of what is locked. What was locked for a moment is removed by the next probe.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from storage.interface import DigestMismatch, LockShortened, StoreError
from storage.s3_address import S3Address
from storage.s3_bucket import Bucket, Head
from storage.s3_client import Conflict, Forbidden, Limits, connect, spelt

_LEAST_PART = 5 * 1024 * 1024
_SPAN = timedelta(seconds=30)
_DATA = b"rogatory probes this bucket\n"
_OTHER = b"rogatory probes this bucket.\n"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one property.

    Attributes:
        name: Of the property: `versioning`, `conditional-create` and so on.
        holds: Whether the bucket has it.
        told: What was found, for the operator.
    """

    name: str
    holds: bool
    told: str


class _Contradicted(Exception):
    """The bucket does otherwise than it must."""


def probe(
    address: S3Address, *, limits: Limits | None = None, session: Any = None, span: timedelta = _SPAN
) -> list[Finding]:
    """Try everything that `storage.s3` relies on; one finding for each property, in a fixed order.

    Proves what the bucket does now and towards these credentials, not what its administrator can do to it.

    Args:
        address: Of the store.
        limits: Of each request.
        session: A `boto3.Session` with credentials; otherwise boto3 looks where it always does.
        span: How long its locks last, whole seconds; longer than a few requests take.

    Raises:
        StoreUnavailable: It cannot be reached at all.
    """
    prefix = f"{address.prefix}/" if address.prefix else ""
    bucket = Bucket(connect(address, limits or Limits(), session), address.bucket)
    bucket.check_exists()
    with suppress(StoreError):  # what an earlier probe had to leave locked
        bucket.clear(f"{prefix}probe/")
    trial = _Trial(bucket, f"{prefix}probe/{secrets.token_hex(8)}", span)
    try:
        return [_find(name, attempt) for name, attempt in trial.attempts()]
    finally:
        with suppress(StoreError):
            bucket.clear(f"{trial.name}/")


def _find(name: str, attempt: Callable[[], str]) -> Finding:
    try:
        return Finding(name, holds=True, told=attempt())
    except _Contradicted as found:
        return Finding(name, holds=False, told=str(found))
    except StoreError as error:
        return Finding(name, holds=False, told=f"could not be tried: {error}")


class _Trial:
    """One probe; every object it makes lies below `name`."""

    def __init__(self, bucket: Bucket, name: str, span: timedelta) -> None:
        self.bucket, self.name, self.span = bucket, name, span

    def attempts(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """Every property, and how it is tried."""
        yield "versioning", self.versioning
        yield "default-retention", self.default_retention
        yield "checksum", self.checksum
        yield "conditional-create", self.conditional_create
        yield "range", self.range
        yield "part-checksum", self.part_checksum
        yield "multipart", self.multipart
        yield "conditional-completion", self.conditional_completion
        yield "lock", self.lock
        yield "lock-lengthens-only", self.lengthens_only
        yield "lock-forbids-deletion", self.forbids_deletion

    def versioning(self) -> str:
        """A deletion without a version must leave the version readable."""
        head = self._made("versioning")
        key = f"{self.name}/versioning"
        if head.version in {"", "null"}:
            raise _Contradicted("objects get no version: switch versioning on")
        self.bucket.call("delete_object", key, Key=key)
        if b"".join(self.bucket.read(key, head, start=0, length=head.size)) != _DATA:
            raise _Contradicted("a version reads otherwise after a deletion")
        return "a deletion leaves the version readable"

    def default_retention(self) -> str:
        """Pieces of unfinished uploads must be removable, so nothing may be locked by itself."""
        until = self._made("default").locked_until
        if until is not None:
            raise _Contradicted(f"a new object is locked until {until}: take the default retention off the bucket")
        return "new objects are not locked by themselves"

    def checksum(self) -> str:
        """Bytes with another SHA-256 than announced must be refused, and the right one must be told."""
        head = self._made("checksum")
        if head.sha256 != spelt(_sha256(_DATA)):
            raise _Contradicted(f"an object's SHA-256 is told as {head.sha256 or 'nothing'}")
        key = f"{self.name}/checksum-wrong"
        self._refused(
            "bytes with another SHA-256 than announced are kept",
            lambda: self.bucket.call("put_object", key, Key=key, Body=_OTHER, ChecksumSHA256=spelt(_sha256(_DATA))),
        )
        return "bytes with another SHA-256 than announced are refused"

    def conditional_create(self) -> str:
        """A name that is taken must refuse another object."""
        self._made("taken")
        try:
            self.bucket.create(f"{self.name}/taken", _OTHER)
        except Conflict:
            return "a name that is taken refuses another object"
        raise _Contradicted("If-None-Match is ignored: a name that is taken gets another object")

    def range(self) -> str:
        """A range must be the bytes asked for."""
        head = self._made("range")
        found = b"".join(self.bucket.read(f"{self.name}/range", head, start=9, length=6))
        if found != _DATA[9:15]:
            raise _Contradicted("a range gives other bytes than it says")
        return "a range gives the bytes asked for"

    def part_checksum(self) -> str:
        """A part with another SHA-256 than announced must be refused."""
        key = f"{self.name}/part"
        upload = self._begun(key)
        try:
            self._refused(
                "a part with another SHA-256 than announced is kept",
                lambda: self._part(key, upload, 1, _OTHER, _sha256(_DATA)),
            )
        finally:
            self.bucket.call("abort_multipart_upload", key, Key=key, UploadId=upload)
        return "a part with another SHA-256 than announced is refused"

    def multipart(self) -> str:
        """An object of two parts must come out as they went in, and tell the composite of their digests."""
        key = f"{self.name}/multipart"
        parts = [bytes(_LEAST_PART), _DATA]
        version = self._published(key, parts)
        head = self.bucket.head(key, version)
        if head.size != sum(map(len, parts)):
            raise _Contradicted(f"an object of {sum(map(len, parts))} bytes in parts is told to have {head.size}")
        if not head.sha256.endswith("-2"):
            raise _Contradicted(f"the composite SHA-256 of parts is told as {head.sha256 or 'nothing'}")
        if b"".join(self.bucket.read(key, head, start=_LEAST_PART, length=len(_DATA))) != _DATA:
            raise _Contradicted("an object of parts comes out otherwise than it went in")
        return "parts come out as they went in, with the composite of their digests"

    def conditional_completion(self) -> str:
        """A name that is taken must refuse a completion."""
        key = f"{self.name}/completion"
        self._made("completion")
        try:
            self._published(key, [_OTHER])
        except Conflict:
            return "a name that is taken refuses a completion"
        raise _Contradicted("If-None-Match is ignored at completion: a name that is taken gets another object")

    def lock(self) -> str:
        """A COMPLIANCE lock must be set as asked."""
        head = self._made("lock")
        self.bucket.retain(f"{self.name}/lock", head.version, head.told + self.span)
        return "a COMPLIANCE lock is set as asked"

    def lengthens_only(self) -> str:
        """Neither a shorter lock, nor a weaker one, nor none may replace a COMPLIANCE lock."""
        key, head, until = self._locked("shorter")
        for mode, time in (("COMPLIANCE", until - self.span / 2), ("GOVERNANCE", until)):
            with suppress(Forbidden):
                self.bucket.call(
                    "put_object_retention",
                    key,
                    Key=key,
                    VersionId=head.version,
                    BypassGovernanceRetention=True,
                    Retention={"Mode": mode, "RetainUntilDate": time},
                )
        kept = self.bucket.head(key, head.version).locked_until
        if kept is None or kept < until:
            raise _Contradicted(f"a COMPLIANCE lock until {until} could be changed to {kept or 'none'}")
        with suppress(LockShortened):
            self.bucket.retain(key, head.version, until + self.span / 2)
            return "a lock can be lengthened, and neither shortened nor weakened"
        raise _Contradicted("a lock cannot be lengthened")

    def forbids_deletion(self) -> str:
        """A locked version must withstand its deletion."""
        key, head, _ = self._locked("deletion")
        with suppress(Forbidden):
            self.bucket.call("delete_object", key, Key=key, VersionId=head.version, BypassGovernanceRetention=True)
        if b"".join(self.bucket.read(key, head, start=0, length=head.size)) != _DATA:
            raise _Contradicted("a locked version reads otherwise after its deletion was tried")
        return "a locked version withstands its deletion"

    def _made(self, what: str) -> Head:
        key = f"{self.name}/{what}"
        return self.bucket.head(key, self.bucket.create(key, _DATA))

    def _locked(self, what: str) -> tuple[str, Head, Any]:
        """An object with a lock that no second of this probe outlives; its key, version and end."""
        head = self._made(what)
        key = f"{self.name}/{what}"
        self.bucket.retain(key, head.version, head.told + self.span)
        return key, head, head.told + self.span

    def _begun(self, key: str) -> str:
        answer = self.bucket.call("create_multipart_upload", key, Key=key, ChecksumAlgorithm="SHA256")
        return str(answer["UploadId"])

    def _part(self, key: str, upload: str, number: int, data: bytes, sha256: bytes) -> str:
        answer = self.bucket.call(
            "upload_part",
            key,
            Key=key,
            UploadId=upload,
            PartNumber=number,
            Body=data,
            ChecksumSHA256=spelt(sha256),
        )
        return str(answer.get("ETag", "")).strip('"')

    def _published(self, key: str, parts: list[bytes]) -> str:
        upload = self._begun(key)
        try:
            etags = [self._part(key, upload, number, part, _sha256(part)) for number, part in enumerate(parts, start=1)]
            listed = [(etag, _sha256(part)) for etag, part in zip(etags, parts, strict=True)]
            return self.bucket.complete(key, upload, listed, sum(map(len, parts)))
        except StoreError:
            with suppress(StoreError):
                self.bucket.call("abort_multipart_upload", key, Key=key, UploadId=upload)
            raise

    def _refused(self, otherwise: str, call: Callable[[], object]) -> None:
        """See that the store refuses, rather than does not answer."""
        try:
            call()
        except (DigestMismatch, Forbidden):
            return
        raise _Contradicted(otherwise)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
