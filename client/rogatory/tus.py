"""Uploading a body by tus 1.0: pieces, durable offsets, and going on after a broken line.

What a 204 has acknowledged is durable; everything else is asked for again (HEAD) and sent again. The caller keeps a
piece until `write` returns, so at most one piece is held for repetition.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from rogatory.connection import AnswerMalformed, Connection, LineDown
from rogatory.errors import Refused, ServiceRefusal, ServiceUnavailable, Tampered

PIECE = 16 * 1024 * 1024
_SLICE = 256 * 1024
_TRIES = 8
_VERSION = {"Tus-Resumable": "1.0.0"}


class UploadTakenOver(Refused):
    """Somebody else continues this upload."""

    code = "upload-taken-over"


class PartsDiffer(Tampered):
    """The service recorded other bytes than were sent."""

    code = "parts-differ"


@dataclass
class Pace:
    """A bound on the rate of sending, in bytes a second; None for none."""

    limit: float | None = None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _due: float = 0.0

    def spend(self, count: int) -> None:
        """Wait until so many more bytes may leave."""
        if self.limit is None:
            return
        now = self.clock()
        self._due = max(self._due, now) + count / self.limit
        if self._due > now:
            self.sleep(self._due - now)


class Upload:
    """One upload at the service.

    Attributes:
        offset: Bytes known to be durable there.
        composite: Hex digest of the parts' digests as the service recorded it, once complete and if it said so.
    """

    def __init__(self, connection: Connection, location: str, *, size: int, pace: Pace | None = None) -> None:
        self._connection, self._size, self._pace = connection, size, pace or Pace()
        self.location = urlsplit(location).path
        self.offset = 0
        self.composite: str | None = None

    @classmethod
    def create(
        cls,
        connection: Connection,
        *,
        package: str,
        item: str,
        size: int,
        part_size: int,
        pace: Pace | None = None,
    ) -> "Upload":
        """Begin the upload of an item, or find the one that was begun.

        Raises:
            ServiceRefusal: The service does not take it.
        """
        answer = connection.request(
            "POST",
            f"/v1/packages/{package}/items/{item}/uploads",
            params={"part_size": part_size},
            headers=_VERSION | {"Upload-Length": str(size)},
        )
        location = answer.headers.get("Location")
        if not location:
            raise AnswerMalformed("the service opens an upload without saying where")
        upload = cls(connection, location, size=size, pace=pace)
        if answer.status_code != 201:
            upload.ask()
        return upload

    def ask(self) -> int:
        """The durable offset as the service knows it."""
        self._take(self._connection.request("HEAD", self.location, headers=_VERSION))
        return self.offset

    def write(self, start: int, data: memoryview, sent: Callable[[int], None]) -> None:
        """Make the bytes that belong at `start` durable, those that are not yet.

        Args:
            start: Offset of `data` in the body; not beyond `offset`.
            data: At most PIECE bytes.
            sent: Told how many bytes more have left, also such as are sent again.

        Raises:
            UploadTakenOver: A newer request took this upload over, twice in a row.
            LineDown, ServiceUnavailable: After several tries without progress.
        """
        tries = taken_over = 0
        while self.offset < start + len(data):
            before = self.offset
            try:
                self._patch(data[self.offset - start :], sent)
            except (LineDown, ServiceUnavailable) as error:
                tries += 1
                if tries >= _TRIES:
                    raise
                pause = getattr(error, "retry_after", None) or min(15.0, 0.25 * 2**tries)
                self._pace.sleep(pause)
                self.ask()
            except ServiceRefusal as error:
                tries += 1
                taken_over += error.code == "upload-superseded"
                if taken_over > 1:
                    raise UploadTakenOver("another process continues this upload") from error
                if error.status not in (409, 460) or tries >= _TRIES:
                    raise
                self.ask()
            if self.offset < start:
                raise AnswerMalformed(f"the service has lost durable bytes: offset {self.offset}, it said {before}")
            if self.offset > before:
                tries = 0

    def check(self, composite: str) -> None:
        """Compare what the service recorded with what we know we sent.

        Raises:
            PartsDiffer: Other parts.
        """
        if self.composite is not None and self.composite != composite:
            raise PartsDiffer(f"the service recorded parts {self.composite}, sent were {composite}")

    def _patch(self, rest: memoryview, sent: Callable[[int], None]) -> None:
        def slices() -> Iterator[bytes]:
            for start in range(0, len(rest), _SLICE):
                part = bytes(rest[start : start + _SLICE])
                self._pace.spend(len(part))
                yield part
                sent(len(part))

        headers = _VERSION | {
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(len(rest)),
            "Upload-Offset": str(self.offset),
        }
        self._take(self._connection.request("PATCH", self.location, content=slices, headers=headers, repeat=False))

    def _take(self, answer: httpx.Response) -> None:
        offset = answer.headers.get("Upload-Offset", "")
        if not (offset.isascii() and offset.isdigit()) or int(offset) > self._size:
            raise AnswerMalformed(f"the service answers Upload-Offset {offset[:40]!r} for a body of {self._size} bytes")
        self.offset = int(offset)
        self.composite = answer.headers.get("Rogatory-Parts", self.composite)
