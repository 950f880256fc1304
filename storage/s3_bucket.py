"""The few requests that an S3 store is made of, each with its answer held against what was asked.

Names here are whole keys of the bucket. Objects are always addressed by version where one is known: a deletion by
anybody else only puts a marker on top.
"""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from storage.interface import DigestMismatch, LockShortened, NotFound, StoreUnavailable
from storage.s3_client import Forbidden, StoreLied, composite, spelt, translated

CHUNK = 1024 * 1024
PART_SIZE = "part-size"
"""Name of the metadata that says how a body was cut."""

_ATTEMPTS = 3
_PAGE = 1000
_SECOND = timedelta(seconds=1)
_ALONE = [threading.Lock() for _ in range(64)]


@dataclass(frozen=True, slots=True)
class Head:
    """What the store says of an object.

    Attributes:
        version: Its name for this version; "null" where it keeps none.
        size: Bytes.
        sha256: As S3 spells it; of a body in parts the composite; "" if not told.
        part_size: 0 for what was put at once.
        locked_until: End of its COMPLIANCE retention. Any other mode can be lifted, and is no lock here.
        told: When, by the store's clock.
        written: When the store took it, by its clock.
    """

    version: str
    size: int
    sha256: str
    part_size: int
    locked_until: datetime | None
    told: datetime
    written: datetime


class Listed(NamedTuple):
    """A name in a listing."""

    name: str
    changed: datetime


class Bucket:
    """One bucket, through one client."""

    def __init__(self, client: Any, name: str) -> None:
        self.client, self.name = client, name

    def call(self, operation: str, what: str, **params: object) -> dict[str, Any]:
        """Make one request; its failures are ours."""
        with translated(what):
            answer: dict[str, Any] = getattr(self.client, operation)(Bucket=self.name, **params)
        return answer

    @staticmethod
    def alone(key: str) -> threading.Lock:
        """Keeps other threads from a key, and from some others, while it is held.

        Some stores (SeaweedFS) look whether a name is free, or how long a lock is, and complete an upload or set the
        lock in a second step. Two processes are kept apart by the database.
        """
        return _ALONE[hash(key) % len(_ALONE)]

    def head(self, key: str, version: str = "") -> Head:
        """What the store says of an object.

        Raises:
            NotFound: No such object or version.
        """
        wanted = {"VersionId": version} if version else {}
        try:
            answer = self.call("head_object", key, Key=key, ChecksumMode="ENABLED", **wanted)
        except (NotFound, Forbidden) as error:
            if isinstance(error, Forbidden) and not (version and "400" in str(error)):
                raise
            self.check_exists()
            raise NotFound(f"no object {key}" + (f" version {version[:80]}" if version else "")) from error
        if version and answer.get("VersionId", "null") != version:
            raise StoreLied(f"{key}: asked for version {version}, told of {answer.get('VersionId')}")
        return _head(answer)

    def check_exists(self) -> None:
        """Tell an absent bucket from an empty one.

        Raises:
            StoreUnavailable: There is no such bucket.
        """
        try:
            self.call("head_bucket", self.name)
        except NotFound as error:
            raise StoreUnavailable(f"there is no bucket {self.name}") from error

    def create(self, key: str, data: bytes) -> str:
        """Keep a small object under a name that is free, checked by the store; its version.

        Raises:
            Conflict: The name is taken.
            StoreLied: The store says it kept something else.
        """
        checksum = spelt(hashlib.sha256(data).digest())
        try:
            answer = self.call("put_object", key, Key=key, Body=data, ChecksumSHA256=checksum, IfNoneMatch="*")
        except DigestMismatch as error:
            raise StoreUnavailable(f"{key}: damaged on the way to the store") from error
        if answer.get("ChecksumSHA256") != checksum:
            raise StoreLied(f"{key}: sent SHA-256 {checksum}, the store says {answer.get('ChecksumSHA256')}")
        return str(answer.get("VersionId", ""))

    def read(self, key: str, head: Head, *, start: int, length: int) -> Iterator[bytes]:
        """Bytes of a version in chunks of at most 1 MiB; a line that breaks is taken up where it broke.

        Whole objects are held against the store's own SHA-256 before the last chunk is handed out. A range cannot be.

        Raises:
            StoreUnavailable: The line keeps breaking.
            StoreLied: The bytes are not those that were stored.
        """
        check = _Check(key, head) if start == 0 and length == head.size else None
        end = start + length
        return self._chunks(key, head, start, end, self._open(key, head, start, end) if length else None, check)

    def _chunks(  # noqa: PLR0917 - the state of one reading
        self, key: str, head: Head, position: int, end: int, body: Any, check: "_Check | None"
    ) -> Iterator[bytes]:
        failures = 0
        try:
            while position < end:
                try:
                    body = body or self._open(key, head, position, end)
                    chunk = _take(body, key, position, end)
                except StoreLied:
                    raise
                except StoreUnavailable:
                    failures += 1
                    if failures == _ATTEMPTS:
                        raise
                    _close(body)
                    body = None
                    continue
                failures = 0
                position += len(chunk)
                if check:
                    check.take(chunk)
                    if position == end:
                        check.close()
                yield chunk
        finally:
            _close(body)

    def _open(self, key: str, head: Head, start: int, end: int) -> Any:
        version = {"VersionId": head.version} if head.version else {}
        answer = self.call("get_object", key, Key=key, Range=f"bytes={start}-{end - 1}", **version)
        expected = f"bytes {start}-{end - 1}/{head.size}"
        found = answer.get("ContentRange", f"bytes 0-{answer['ContentLength'] - 1}/{answer['ContentLength']}")
        if found != expected or answer["ContentLength"] != end - start:
            _close(answer["Body"])
            raise StoreLied(f"{key}: asked for {expected}, the store gives {found} in {answer['ContentLength']} bytes")
        return answer["Body"]

    def retain(self, key: str, version: str, until: datetime) -> None:
        """Lock a version in COMPLIANCE mode, read back what the store makes of it, and compare.

        Raises:
            NotFound: No such object or version.
            LockShortened: It is locked for longer.
            StoreLied: The store agreed, and the lock is another.
        """
        with self.alone(key):
            self._retain(key, self.head(key, version), until)

    def _retain(self, key: str, head: Head, until: datetime) -> None:
        whole = until.astimezone(UTC)
        whole = whole if whole.microsecond == 0 else whole.replace(microsecond=0) + _SECOND
        if head.locked_until and whole < head.locked_until:
            raise LockShortened(f"{key} is locked until {head.locked_until}, expected no earlier than that: {until}")
        if whole == head.locked_until or whole <= head.told:  # a lock until a time that has passed binds nothing
            return
        try:
            self.call(
                "put_object_retention",
                key,
                Key=key,
                VersionId=head.version,
                Retention={"Mode": "COMPLIANCE", "RetainUntilDate": whole},
            )
        except Forbidden:
            kept = self.head(key, head.version).locked_until
            if kept and kept > whole:
                raise LockShortened(f"{key} is locked until {kept}, expected no earlier than that: {until}") from None
            raise
        kept = self.head(key, head.version).locked_until
        if kept is None or kept < whole:
            raise StoreLied(f"{key}: locked until {whole}, the store says until {kept}")

    def listed(self, prefix: str) -> Iterator[Listed]:
        """Names that begin so, in their order, and when each was last written."""
        marker = ""
        while True:
            more = {"ContinuationToken": marker} if marker else {}
            answer = self.call("list_objects_v2", prefix, Prefix=prefix, MaxKeys=_PAGE, **more)
            for each in answer.get("Contents", ()):
                yield Listed(each["Key"], each["LastModified"])
            marker = answer.get("NextContinuationToken", "") if answer.get("IsTruncated") else ""
            if not marker:
                return

    def uploads(self, prefix: str) -> Iterator[tuple[str, str, datetime]]:
        """Key, id and beginning of each multipart upload that the store has open.

        A store that does not say where its next page begins (SeaweedFS) gives the first only, of 1,000 or more.
        """
        marker: dict[str, str] = {}
        while True:
            answer = self.call("list_multipart_uploads", prefix, Prefix=prefix, **marker)
            for each in answer.get("Uploads", ()):
                yield each["Key"], each["UploadId"], each["Initiated"]
            if not answer.get("IsTruncated") or not answer.get("NextKeyMarker"):
                return
            marker = {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer["NextUploadIdMarker"]}

    def clear(self, prefix: str) -> None:
        """Remove every version, and every marker, of every name that begins so."""
        while True:
            answer = self.call("list_object_versions", prefix, Prefix=prefix, MaxKeys=_PAGE)
            found = [*answer.get("Versions", ()), *answer.get("DeleteMarkers", ())]
            if not found:
                return
            names = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
            for first in range(0, len(names), _PAGE):
                batch = {"Objects": names[first : first + _PAGE], "Quiet": True}
                done = self.call("delete_objects", prefix, Delete=batch)
                if done.get("Errors"):
                    told = done["Errors"][0]
                    raise StoreUnavailable(f"{told.get('Key')}: cannot be removed: {told.get('Code')}")
            if not answer.get("IsTruncated"):
                return

    def remove(self, key: str, version: str) -> None:
        """Remove one version.

        Raises:
            Forbidden: It is locked, or rights are missing.
        """
        self.call("delete_object", key, Key=key, VersionId=version)

    def complete(self, key: str, upload: str, parts: Sequence[tuple[str, bytes]], size: int) -> str:
        """Publish a multipart upload under a name that is free, from ETags and digests of its parts; its version.

        Raises:
            Conflict: The name is taken.
            UploadNotFound: No such upload, or not any more.
            DigestMismatch, Forbidden: The store has other parts.
        """
        listed = [
            {"PartNumber": number, "ETag": etag, "ChecksumSHA256": spelt(sha256)}
            for number, (etag, sha256) in enumerate(parts, start=1)
        ]
        answer = self.call(
            "complete_multipart_upload",
            key,
            Key=key,
            UploadId=upload,
            MultipartUpload={"Parts": listed},
            MpuObjectSize=size,
            IfNoneMatch="*",
        )
        told, expected = answer.get("ChecksumSHA256"), composite(sha256 for _, sha256 in parts)
        if told is not None and told != expected:
            raise StoreLied(f"{key}: completed as {expected}, the store says {told}")
        return str(answer.get("VersionId", ""))


class _Check:
    """Holds a whole object's bytes against the SHA-256 that the store has of it."""

    def __init__(self, key: str, head: Head) -> None:
        self._key, self._head = key, head
        self._parts: list[bytes] = []
        self._running, self._room = hashlib.sha256(), head.part_size or head.size

    def take(self, chunk: bytes) -> None:
        """Go on with these bytes."""
        view = memoryview(chunk)
        while view:
            taken = view[: self._room]
            self._running.update(taken)
            self._room -= len(taken)
            view = view[len(taken) :]
            if not self._room and self._head.part_size:
                self._parts.append(self._running.digest())
                self._running, self._room = hashlib.sha256(), self._head.part_size

    def close(self) -> None:
        """All bytes were taken: compare."""
        if not self._head.part_size:
            found = spelt(self._running.digest())
        else:
            rest = [self._running.digest()] if self._room != self._head.part_size else []
            found = composite([*self._parts, *rest])
        if found != self._head.sha256:
            raise StoreLied(
                f"{self._key}: the bytes have SHA-256 {found}, the store says {self._head.sha256 or 'none'}"
            )


def _head(answer: dict[str, Any]) -> Head:
    until = answer.get("ObjectLockRetainUntilDate") if answer.get("ObjectLockMode") == "COMPLIANCE" else None
    told = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date", "")
    try:
        clock = parsedate_to_datetime(told)
        part_size = int(answer.get("Metadata", {}).get(PART_SIZE, "0"))
        size = int(answer["ContentLength"])
    except (ValueError, KeyError) as error:
        raise StoreLied(f"an answer without a date, a size or a part size: {error}") from error
    return Head(
        version=str(answer.get("VersionId", "null")),
        size=size,
        sha256=str(answer.get("ChecksumSHA256", "")),
        part_size=part_size,
        locked_until=until.astimezone(UTC) if until else None,
        told=clock,
        written=answer.get("LastModified", clock),
    )


def _take(body: Any, key: str, position: int, end: int) -> bytes:
    with translated(key):
        chunk: bytes = body.read(min(CHUNK, end - position))
    if not chunk:
        raise StoreUnavailable(f"{key}: the answer ends at {position}, expected {end}")
    return chunk


def _close(body: Any) -> None:
    if body is not None:
        with suppress(Exception):
            body.close()
