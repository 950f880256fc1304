"""The S3 store: objects in a versioned bucket with Object Lock.

    <prefix>/objects/<key>               published objects, the exact bytes
    <prefix>/uploads/<token>/…           what is known of unfinished uploads (see `storage.s3_records`)
    <prefix>/ping                        written and removed by `S3Store.ping`

A body is one multipart upload. Each part goes to the store with its SHA-256, which the store checks; the completion
names the digests again and asks that the key be free. Nothing is kept in the process, so that any process goes on
with any upload. What the store answers is compared wherever it can be; `StoreLied` says that it contradicts itself.
docs/adr/0005 says why it is built so, docs/guide/stores.md what a bucket must be.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from storage.interface import (
    AlreadyExists,
    DigestMismatch,
    GridViolation,
    Locked,
    NotFound,
    ObjectInfo,
    PartDigest,
    StoreError,
    StoreUnavailable,
    Superseded,
    Truncated,
    UploadInfo,
    UploadNotFound,
)
from storage.keys import check_key, check_prefix
from storage.parts import MAX_PART
from storage.s3_address import S3Address
from storage.s3_bucket import PART_SIZE, Bucket, Head
from storage.s3_client import (
    Conflict,
    Forbidden,
    Limits,
    StoreLied,
    Stream,
    composite,
    connect,
    spelt,
    translated,
)
from storage.s3_records import (
    BEGUN,
    Record,
    Token,
    broken_name,
    check_part,
    check_parts,
    covering,
    live_token,
    next_turn,
    part_name,
    piece_name,
)

STREAM_ABOVE = 32 * 1024 * 1024
"""Parts up to this size are put from memory and tried again by themselves; larger ones pass through."""


class S3Store:
    """A `storage.interface.Store` in a bucket; any number of threads and processes may have it open."""

    def __init__(
        self,
        address: S3Address,
        *,
        limits: Limits | None = None,
        session: Any = None,
        stream_above: int = STREAM_ABOVE,
    ) -> None:
        """Open the store; nothing is asked of it yet.

        Args:
            address: Where it lies.
            limits: Of each request.
            session: A `boto3.Session` with credentials; otherwise boto3 looks where it always does.
            stream_above: Largest part that is held in memory, bytes.
        """
        self.address, self.session = address, session
        self._bucket = Bucket(connect(address, limits or Limits(), session), address.bucket)
        self._prefix = f"{address.prefix}/" if address.prefix else ""
        self._stream_above = stream_above

    def put(self, key: str, data: bytes, *, sha256: bytes) -> ObjectInfo:
        """See `Store.put`."""
        found = hashlib.sha256(data).digest()
        if found != sha256:
            raise DigestMismatch(f"data have SHA-256 {found.hex()}, expected {sha256.hex()}")
        name, version = self._object(key), ""
        with suppress(Conflict):  # taken; by these very bytes, perhaps from a first attempt whose answer was lost
            version = self._bucket.create(name, data)
        head = self._bucket.head(name, version)
        if (head.size, head.sha256) == (len(data), spelt(sha256)):
            return _info(key, head)
        if version:
            raise StoreLied(f"{key}: {len(data)} bytes were kept, the store says {head.size} bytes {head.sha256}")
        raise AlreadyExists(f"{key} holds other bytes")

    def begin(self, key: str, *, part_size: int) -> str:
        """See `Store.begin`; S3 itself takes no parts below 5 MiB but the last."""
        if not 1 <= part_size <= MAX_PART:
            raise GridViolation(f"part size {part_size}, expected 1 to {MAX_PART}")
        name = self._object(key)
        answer = self._bucket.call(
            "create_multipart_upload",
            name,
            Key=name,
            ChecksumAlgorithm="SHA256",
            ChecksumType="COMPOSITE",
            ContentType="application/octet-stream",
            Metadata={PART_SIZE: str(part_size)},
        )
        token = Token(key, part_size, answer["UploadId"])
        self._bucket.create(self._room(token) + BEGUN, b"")
        return str(token)

    def put_piece(self, upload: str, part: int, offset: int, data: bytes) -> None:
        """See `Store.put_piece`; each piece is an object."""
        token = live_token(upload)
        check_part(token, part, 1)
        if not 0 <= offset <= token.part_size - len(data):
            raise GridViolation(f"piece {offset} + {len(data)}, expected inside a part of {token.part_size}")
        try:
            self._bucket.head(self._room(token) + BEGUN)
        except NotFound as error:
            raise UploadNotFound(f"no upload {upload[:80]!r}") from error
        turn = next_turn(self._records(token, part))
        self._bucket.create(self._room(token) + piece_name(part, turn, offset=offset, size=len(data)), data)

    def read_pieces(self, upload: str, part: int, size: int) -> Iterator[bytes]:
        """See `Store.read_pieces`; of a part that was put at once nothing can be read before it is published."""
        token = live_token(upload)
        check_part(token, part, size)
        self._check_open(token)
        return self._pieces(token, self._records(token, part), size)

    def put_part(self, upload: str, part: int, chunks: Iterable[bytes], *, size: int, sha256: bytes | None) -> bytes:
        """See `Store.put_part`."""
        token = live_token(upload)
        check_part(token, part, size)
        seen = self._records(token, part)
        return self._keep(token, part, chunks, size=size, sha256=sha256, kind="whole", seen=seen)

    def fold(self, upload: str, part: int, *, size: int, sha256: bytes) -> None:
        """See `Store.fold`; the pieces stay until the upload ends."""
        token = live_token(upload)
        check_part(token, part, size)
        self._check_open(token)
        seen = self._records(token, part)
        chunks = self._pieces(token, seen, size)
        self._keep(token, part, chunks, size=size, sha256=sha256, kind="folded", seen=seen)

    def complete(self, upload: str, parts: Sequence[PartDigest]) -> ObjectInfo:
        """See `Store.complete`."""
        if not parts:
            raise GridViolation("no parts, expected at least one")
        token = live_token(upload)
        name, room = self._object(token.key), self._room(token)
        records = self._records(token)
        size, digest = sum(part.size for part in parts), composite(part.sha256 for part in parts)
        held = self._held(name, size, digest)
        if held is None:
            if not records:
                self._check_open(token)
            etags = check_parts(token, parts, records)
            listed = list(zip(etags, (part.sha256 for part in parts), strict=True))
            with self._bucket.alone(name):
                held = self._publish(token, listed, size)
        self._bucket.clear(room)
        return _info(token.key, held)

    def abort(self, upload: str) -> None:
        """See `Store.abort`."""
        try:
            token = Token.parse(upload)
        except UploadNotFound:
            return
        name = self._object(token.key)
        with suppress(UploadNotFound, NotFound):
            self._bucket.call("abort_multipart_upload", name, Key=name, UploadId=token.upload_id)
        self._bucket.clear(self._room(token))

    def read(self, key: str, *, version: str = "", start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See `Store.read`; a whole object is held against its checksum on the way, a range cannot be."""
        name = self._object(key)
        head = self._bucket.head(name, version)
        wanted = head.size - start if length is None else length
        if start < 0 or wanted < 0 or start + wanted > head.size:
            raise Truncated(f"range {start} + {wanted} of {key}, expected inside {head.size} bytes")
        return self._bucket.read(name, head, start=start, length=wanted)

    def stat(self, key: str, *, version: str = "") -> ObjectInfo:
        """See `Store.stat`."""
        return _info(key, self._bucket.head(self._object(key), version))

    def confirm(self, key: str, parts: Sequence[PartDigest], *, version: str = "") -> None:
        """See `Store.confirm`."""
        head = self._bucket.head(self._object(key), version)
        size, digest = sum(part.size for part in parts), composite(part.sha256 for part in parts)
        if (head.size, head.sha256) != (size, digest):
            raise DigestMismatch(f"{key} is {head.size} bytes {head.sha256}, expected {size} bytes {digest}")

    def lock(self, key: str, *, version: str = "", until: datetime) -> None:
        """See `Store.lock`: COMPLIANCE retention, to the next whole second.

        A time that has passed by the store's own clock locks nothing.

        Raises:
            StoreLied: The store agreed, and then says something else.
        """
        if until.tzinfo is None:
            raise ValueError("time without a zone, expected an aware one")
        self._bucket.retain(self._object(key), version, until)

    def delete(self, key: str, *, version: str = "", now: datetime) -> None:
        """See `Store.delete`; the store goes by its own clock and must agree."""
        name = self._object(key)
        head = self._bucket.head(name, version)
        if head.locked_until and now < head.locked_until:
            raise Locked(f"{key} is locked until {head.locked_until}, now is {now}")
        try:
            self._bucket.remove(name, head.version)
        except Forbidden as error:
            until = self._bucket.head(name, head.version).locked_until
            if until is None:
                raise
            raise Locked(f"{key} is locked until {until} by the store's own clock") from error

    def keys(self, prefix: str) -> Iterator[str]:
        """See `Store.keys`."""
        above = f"{self._prefix}objects/"
        for each in self._bucket.listed(above + check_prefix(prefix)):
            yield each.name.removeprefix(above)

    def uploads(self) -> Iterator[UploadInfo]:
        """See `Store.uploads`; of what a crash left between two requests the token is good for `abort` only."""
        above, objects = f"{self._prefix}uploads/", f"{self._prefix}objects/"
        open_ = {(key.removeprefix(objects), id_): begun for key, id_, begun in self._bucket.uploads(objects)}
        begun: dict[str, datetime] = {}
        for each in self._bucket.listed(above):
            text = each.name.removeprefix(above).partition("/")[0]
            begun[text] = min(begun.get(text, each.changed), each.changed)
        for text, at in begun.items():
            with suppress(UploadNotFound):
                token = Token.parse(text)
                open_.pop((token.key, token.upload_id), None)
                yield UploadInfo(token=text, key=token.key, begun=at)
        for (key, id_), at in open_.items():
            yield UploadInfo(token=str(Token(check_key(key), 0, id_)), key=key, begun=at)

    def ping(self) -> None:
        """See `Store.ping`."""
        name = f"{self._prefix}ping"
        answer = self._bucket.call("put_object", name, Key=name, Body=b".", ChecksumSHA256=spelt(_PING))
        self._bucket.remove(name, answer.get("VersionId", "null"))

    def _object(self, key: str) -> str:
        return f"{self._prefix}objects/{check_key(key)}"

    def _room(self, token: Token) -> str:
        return f"{self._prefix}uploads/{token}/"

    def _records(self, token: Token, part: int | None = None) -> list[Record]:
        """What is on record of an upload, or of one of its parts."""
        room = self._room(token)
        listed = self._bucket.listed(room if part is None else f"{room}{part:05d}/")
        return [record for each in listed if (record := Record.parse(each.name.removeprefix(room)))]

    def _check_open(self, token: Token) -> None:
        """See that the store still has the upload.

        Raises:
            UploadNotFound: Completed, aborted or never begun.
        """
        name = self._object(token.key)
        self._bucket.call("list_parts", name, Key=name, UploadId=token.upload_id, MaxParts=1)

    def _pieces(self, token: Token, records: Sequence[Record], size: int) -> Iterator[bytes]:
        cuts = covering(records, size)
        return self._cuts([(self._room(token) + cut.piece.name, cut.start, cut.length) for cut in cuts])

    def _cuts(self, cuts: Sequence[tuple[str, int, int]]) -> Iterator[bytes]:
        for name, start, length in cuts:
            yield from self._bucket.read(name, self._bucket.head(name), start=start, length=length)

    def _keep(
        self,
        token: Token,
        part: int,
        chunks: Iterable[bytes],
        *,
        size: int,
        sha256: bytes | None,
        kind: str,
        seen: Sequence[Record],
    ) -> bytes:
        """Give the store a whole part, then put on record that it is whole; its SHA-256."""
        turn, known = next_turn(seen), {record.name for record in seen}

        def watch() -> None:
            if not isinstance(chunks, Sequence) and {r.name for r in self._records(token, part)} - known:
                raise Superseded(f"part {part} was begun anew by another writer")

        hashed = sha256 is None or kind == "folded"  # pieces were stored and read back; other bytes the store checks
        stream = Stream(chunks, size, hashed=hashed, expected=sha256, watch=watch)
        try:
            found, etag = self._send(token, part, stream, size=size, sha256=sha256)
        except (DigestMismatch, Truncated, GridViolation):
            if any(record.counts for record in seen):
                self._bucket.create(self._room(token) + broken_name(part, turn), b"")
            raise
        name = part_name(part, turn, kind, size=size, sha256=found, etag=etag)
        self._bucket.create(self._room(token) + name, b"")
        return found

    def _send(self, token: Token, part: int, stream: Stream, *, size: int, sha256: bytes | None) -> tuple[bytes, str]:
        """Send a part, from memory if it is small; its SHA-256 and ETag."""
        name, what = self._object(token.key), f"part {part} of {token.key}"
        body: Any = stream
        params: dict[str, object] = {"ChecksumAlgorithm": "SHA256"}
        if size <= self._stream_above:
            body = b"".join(iter(stream.read, b""))
            sha256 = sha256 or stream.sha256
        if sha256 is not None:
            params = {"ChecksumSHA256": spelt(sha256)}
        try:
            with translated(what):
                answer = self._bucket.client.upload_part(
                    Bucket=self._bucket.name,
                    Key=name,
                    UploadId=token.upload_id,
                    PartNumber=part,
                    Body=body,
                    ContentLength=size,
                    **params,
                )
        except StoreError as error:
            if stream.error is not None:
                raise stream.error from None
            if isinstance(error, DigestMismatch) and stream.carried(sha256, body):
                raise StoreUnavailable(f"{what}: damaged on the way to the store") from error
            raise
        found = sha256 or stream.sha256
        if answer.get("ChecksumSHA256") != spelt(found):
            raise StoreLied(f"{what}: sent SHA-256 {spelt(found)}, the store says {answer.get('ChecksumSHA256')}")
        return found, str(answer.get("ETag", ""))

    def _publish(self, token: Token, parts: list[tuple[str, bytes]], size: int) -> Head:
        """Complete the multipart upload, or find that it was completed; the object as the store then has it."""
        name, digest = self._object(token.key), composite(sha256 for _, sha256 in parts)
        try:
            version = self._bucket.complete(name, token.upload_id, parts, size)
        except (Conflict, UploadNotFound) as error:
            held = self._held(name, size, digest)
            if held is not None:
                return held
            if isinstance(error, UploadNotFound):
                raise
            self._bucket.head(name)
            raise AlreadyExists(f"{token.key} holds something else") from error
        except (DigestMismatch, Forbidden) as error:
            raise StoreLied(f"{token.key}: the store does not have the parts it has confirmed: {error}") from error
        held = self._held(name, size, digest, version)
        if held is None:
            raise StoreLied(f"{token.key}: completed, and it is not there as it was sent")
        return held

    def _held(self, name: str, size: int, digest: str, version: str = "") -> Head | None:
        """The object if it is made of exactly these parts; None if it is not there, or another.

        Raises:
            StoreLied: It is the version that was just completed, and another.
        """
        try:
            head = self._bucket.head(name, version)
        except NotFound:
            if version:
                raise StoreLied(f"{name}: completed as version {version}, which is not there") from None
            return None
        if (head.size, head.sha256) == (size, digest):
            return head
        if version:
            raise StoreLied(f"{name}: completed as {size} bytes {digest}, the store says {head.size} {head.sha256}")
        return None


_PING = hashlib.sha256(b".").digest()


def _info(key: str, head: Head) -> ObjectInfo:
    until, written = head.locked_until, head.written
    return ObjectInfo(key=key, version=head.version, size=head.size, locked_until=until, written=written)
