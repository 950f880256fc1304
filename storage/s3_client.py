"""How we speak to an S3 store: the tuned client, what its failures are here, and bodies that stream.

The one module that imports boto3. Timeouts are bounded, so that a store that stalls is a store that is down. The
payload itself is not signed; what protects it is its SHA-256, which is a signed header that the store must check, or
a trailer where it is known only at the end.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from storage.interface import (
    DigestMismatch,
    GridViolation,
    NotFound,
    StoreError,
    StoreFull,
    StoreUnavailable,
    Truncated,
    UploadNotFound,
)
from storage.s3_address import S3Address

_DIGEST = frozenset({"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"})
_FULL = frozenset({"InsufficientStorage", "QuotaExceeded", "ServiceQuotaExceeded", "XMinioStorageFull", "507"})
_UPLOAD = frozenset({"NoSuchUpload"})
_ABSENT = frozenset({"NoSuchKey", "NoSuchVersion", "404", "NotFound", "MethodNotAllowed", "405"})


class StoreLied(StoreUnavailable):
    """The store's answers contradict each other, or what it was given; what it keeps must be looked at by a person."""

    code = "store-lied"


class Conflict(StoreUnavailable):
    """A condition of a request does not hold: the key is taken, or is being written."""


class Forbidden(StoreUnavailable):
    """The store understood the request and refuses it: for a lock, or for want of rights."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a request may take, in seconds, and how often it is tried in all."""

    connect: float = 5.0
    read: float = 60.0
    attempts: int = 4
    connections: int = 32


def connect(address: S3Address, limits: Limits, session: Any = None) -> Any:
    """A client of the store, safe for any number of threads; credentials are the session's, or boto3's to find."""
    config = Config(
        connect_timeout=limits.connect,
        read_timeout=limits.read,
        retries={"mode": "standard", "total_max_attempts": limits.attempts},
        max_pool_connections=limits.connections,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"payload_signing_enabled": False, "addressing_style": "path" if address.endpoint else "auto"},
        tcp_keepalive=True,
    )
    place = {"endpoint_url": address.endpoint} if address.endpoint else {}
    region = address.region or ("us-east-1" if address.endpoint else None)
    with translated("client"):
        client = (session or boto3.Session()).client("s3", region_name=region, config=config, **place)
    client.meta.events.register_last("before-call.s3", _shape)
    return client


def _shape(params: dict[str, Any], **_: object) -> None:
    """Make a request with a body fit for what the body is.

    A stream cannot be read twice, so that a checksum which botocore computes goes behind it, on plain HTTP too. What
    comes from memory is sent at once: a store that asks for it only when it holds its own lock makes others wait.
    """
    if not isinstance(params["body"], Stream):
        params["headers"].pop("Expect", None)
        return
    algorithm = params["context"].get("checksum", {}).get("request_algorithm")
    if isinstance(algorithm, dict):
        algorithm["in"] = "trailer"


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise what boto3 raises as errors of ours; `what` names the object."""
    try:
        yield
    except ClientError as error:
        raise _meaning(error, what) from error
    except (BotoCoreError, HTTPError, OSError) as error:
        raise StoreUnavailable(f"{what}: {type(error).__name__}: {error}") from error


def _meaning(error: ClientError, what: str) -> StoreError:
    told = error.response.get("Error", {})
    code = str(told.get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    text = f"{what}: the store answers {status} {code}"
    if code in _UPLOAD:
        return UploadNotFound(text)
    if code in _ABSENT:
        return NotFound(text)
    if code in _DIGEST:
        return DigestMismatch(text)
    if code in _FULL or status == 507:
        return StoreFull(text)
    if status in {409, 412}:
        return Conflict(text)
    if status in {400, 403}:
        return Forbidden(text)
    return StoreUnavailable(text)


def spelt(sha256: bytes) -> str:
    """A digest as S3 spells it."""
    return base64.b64encode(sha256).decode("ascii")


def composite(digests: Iterable[bytes]) -> str:
    """What S3 calls the SHA-256 of an object of parts: that of their digests, and their number."""
    listed = list(digests)
    return f"{spelt(hashlib.sha256(b''.join(listed)).digest())}-{len(listed)}"


class Stream:
    """Chunks as a file for boto3: exactly `size` bytes, each read once, never collected.

    What goes wrong with the chunks is kept in `error`, since boto3 wraps whatever a body raises.
    """

    def __init__(
        self, chunks: Iterable[bytes], size: int, *, hashed: bool, expected: bytes | None, watch: Callable[[], None]
    ) -> None:
        """Begin to read.

        Args:
            chunks: Of any sizes.
            size: Bytes that there must be.
            hashed: Whether to take the digest on the way.
            expected: What it must be, if it is taken.
            watch: Called before the last bytes leave; what it raises stops them.
        """
        self._chunks, self._size, self._expected, self._watch = iter(chunks), size, expected, watch
        self._rest = memoryview(b"")
        self._taken = 0
        self._digest = hashlib.sha256() if hashed else None
        self.error: BaseException | None = None

    @property
    def sha256(self) -> bytes:
        """Of all that was read so far."""
        return self._digest.digest() if self._digest else b""

    def carried(self, sha256: bytes | None, body: object) -> bool:
        """Whether what left here is known to have this digest, so that another one arose on the way."""
        found = hashlib.sha256(body).digest() if isinstance(body, bytes) else self.sha256
        return found != b"" and found == (sha256 or found)

    def read(self, amount: int = -1) -> bytes:
        """The next bytes; b"" at the end."""
        try:
            return self._read(amount)
        except BaseException as error:
            self.error = error
            raise

    def _read(self, amount: int) -> bytes:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                if self._taken < self._size:
                    raise Truncated(f"the part ends after {self._taken} bytes, expected {self._size}")
                return b""
            self._taken += len(chunk)
            if self._taken > self._size:
                raise GridViolation(f"the part has more bytes than the {self._size} announced")
            if self._digest:
                self._digest.update(chunk)
            self._rest = memoryview(chunk)
            if self._taken == self._size:
                self._end()
        cut = len(self._rest) if amount < 0 else amount
        found, self._rest = bytes(self._rest[:cut]), self._rest[cut:]
        return found

    def _end(self) -> None:
        """See that no more chunks come, before the last one leaves."""
        if any(self._chunks):
            raise GridViolation(f"the part has more bytes than the {self._size} announced")
        if self._digest and self._expected not in {None, self.sha256}:
            raise DigestMismatch(f"the part has another SHA-256 than expected: {self.sha256.hex()}")
        self._watch()
