"""Uploading a body by tus 1.0: pieces, durable offsets, and going on after a broken line.

What a 204 has acknowledged is durable; everything else is asked for again (HEAD) and sent again. The caller keeps a
piece until `write` returns, so at most one piece is held for repetition. A body goes up whole, piece after piece, or
in windows side by side, each an upload of its own until they are joined.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from rogatory.connection import AnswerMalformed, Connection, LineDown
from rogatory.errors import Refused, ServiceRefusal, ServiceUnavailable, Tampered

PIECE = 16 * 1024 * 1024
_SLICE = 256 * 1024
_LEAST_SLICE = 512
_SLICES_A_SECOND = 4
_TRIES = 8
_SETTLES = 0.25
_VERSION = {"Tus-Resumable": "1.0.0"}
_BYTES = {"Content-Type": "application/offset+octet-stream"}
_RANGE = re.compile(r"(0|[1-9][0-9]{0,15})-([1-9][0-9]{0,15})", re.ASCII)


class UploadTakenOver(Refused):
    """Somebody else continues this upload."""

    code = "upload-taken-over"


class PartsDiffer(Tampered):
    """The service recorded other bytes than were sent."""

    code = "parts-differ"


class Halted(Exception):  # the end of a line whose send ends; never shown
    """This send is ending: nothing more leaves."""


@dataclass
class Pace:
    """A bound on the rate of all lines together, in bytes a second; None for none."""

    limit: float | None = None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    halted: threading.Event = field(default_factory=threading.Event)
    _due: float = 0.0
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def slice(self) -> int:
        """Bytes to let go at once: however low the rate, something leaves several times a second."""
        if self.limit is None:
            return _SLICE
        return max(_LEAST_SLICE, min(_SLICE, int(self.limit / _SLICES_A_SECOND)))

    def spend(self, count: int) -> None:
        """Wait until so many more bytes may leave.

        Raises:
            Halted: None may any more.
        """
        if self.limit is not None:
            with self._turn:
                now = self.clock()
                self._due = max(self._due, now) + count / self.limit
                wait = self._due - now
            if wait > 0:
                self.sleep(wait)
        if self.halted.is_set():
            raise Halted


@dataclass(frozen=True)
class Target:
    """A body to be sent: of which item, how large, on which grid."""

    package: str
    item: str
    size: int
    part_size: int

    @property
    def path(self) -> str:
        """Where uploads of it are begun."""
        return f"/v1/packages/{self.package}/items/{self.item}/uploads"

    def whole(self) -> dict[str, str]:
        """Headers that begin an upload of all of it."""
        return {"Upload-Length": str(self.size)}

    def window(self, start: int, length: int) -> dict[str, str]:
        """Headers that begin a window of it."""
        return {
            "Upload-Concat": "partial",
            "Upload-Length": str(length),
            "Rogatory-Start": str(start),
            "Rogatory-Item-Length": str(self.size),
        }


class Upload:
    """One upload at the service, or one window of it.

    Attributes:
        location: Its path; empty until it is begun, which the first `write` does together with its bytes.
        offset: Bytes known to be durable there.
        whole: Path of the upload that a window belongs to.
        composite: Hex digest of the parts' digests as the service recorded it, once complete and if it said so.
    """

    def __init__(
        self,
        connection: Connection,
        location: str,
        *,
        size: int,
        pace: Pace | None = None,
        begin: tuple[Target, Mapping[str, str]] | None = None,
    ) -> None:
        self._connection, self._size, self._pace = connection, size, pace or Pace()
        self._begin = begin
        self.location = urlsplit(location).path
        self.offset = 0
        self.whole = ""
        self.composite: str | None = None

    @classmethod
    def of(cls, connection: Connection, target: Target, *, pace: Pace | None = None) -> "Upload":
        """All of a body, still to be begun."""
        return cls(connection, "", size=target.size, pace=pace, begin=(target, target.whole()))

    @classmethod
    def of_window(
        cls, connection: Connection, target: Target, start: int, length: int, *, pace: Pace | None = None
    ) -> "Upload":
        """A window of a body, still to be begun."""
        return cls(connection, "", size=length, pace=pace, begin=(target, target.window(start, length)))

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
        upload = cls.of(connection, Target(package, item, size, part_size), pace=pace)
        if upload.create_or_find() != 201:
            upload.ask()
        return upload

    def create_or_find(self) -> int:
        """Begin it, or find what was begun; the status of the answer, 201 or 200.

        Raises:
            ServiceRefusal: The service does not take it.
        """
        return self._post(b"", repeat=True)

    def ask(self) -> int:
        """The durable offset as the service knows it."""
        if not self.location:
            self.create_or_find()
            return self.offset
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
            AnswerMalformed: The service goes back, or says yes and keeps nothing.
            LineDown, ServiceUnavailable: After several tries without progress.
            ServiceRefusal: The item has a body, or the service does not take it.
            Halted: The send ends.
        """
        tries, idle, taken_over, waited = 0, 0, 0, 0.0
        while self.offset < start + len(data):
            before = self.offset
            try:
                self._patch(data[self.offset - start :], sent)
            except (LineDown, ServiceUnavailable) as error:
                tries += 1
                if tries >= _TRIES and not self._connection.waits_for(error, waited):
                    raise
                pause = getattr(error, "retry_after", None) or min(15.0, 0.25 * 2 ** min(tries, 10))
                self._pace.sleep(pause)
                waited += pause
                self._settle()
            except ServiceRefusal as error:
                tries += 1
                taken_over += error.code == "upload-superseded"
                if taken_over > 1:
                    raise UploadTakenOver("another process continues this upload") from error
                if error.status not in (409, 460) or error.code == "state-conflict" or tries >= _TRIES:
                    raise
                self.ask()
            else:
                idle = 0 if self.offset > before else idle + 1
                if idle >= _TRIES:
                    raise AnswerMalformed(f"the service takes bytes again and again, its offset stays {self.offset}")
            if self.offset < start:
                raise AnswerMalformed(f"the service has lost durable bytes: offset {self.offset}, it said {before}")
            if self.offset > before:
                tries, waited = 0, 0.0

    def _settle(self) -> None:
        """Ask until the answer stays: the service may not yet have kept all that a broken line had brought."""
        known = -1
        while self.ask() != known and self.offset < self._size:
            if known >= 0 or self.offset:
                self._pace.sleep(_SETTLES)
            known = self.offset

    def check(self, composite: str) -> None:
        """Compare what the service recorded with what we know we sent.

        Raises:
            PartsDiffer: Other parts.
        """
        if self.composite is not None and self.composite != composite:
            raise PartsDiffer(f"the service recorded parts {self.composite}, sent were {composite}")

    def _patch(self, rest: memoryview, sent: Callable[[int], None]) -> None:
        def slices() -> Iterator[bytes]:
            size = self._pace.slice
            for start in range(0, len(rest), size):
                part = bytes(rest[start : start + size])
                self._pace.spend(len(part))
                yield part
                sent(len(part))

        if not self.location:
            self._post(slices, count=len(rest))
            return
        headers = _VERSION | _BYTES | {"Content-Length": str(len(rest)), "Upload-Offset": str(self.offset)}
        self._take(self._connection.request("PATCH", self.location, content=slices, headers=headers, repeat=False))

    def _post(self, content: bytes | Callable[[], Iterator[bytes]], *, count: int = 0, repeat: bool = False) -> int:
        if self._begin is None:
            raise ValueError("an upload without a location, expected what begins it")
        target, headers = self._begin
        brings = _BYTES | {"Content-Length": str(count)} if count else {}
        answer = self._connection.request(
            "POST",
            target.path,
            params={"part_size": target.part_size},
            content=content,
            headers={**_VERSION, **headers, **brings},
            repeat=repeat,
        )
        location = answer.headers.get("Location")
        if not location:
            raise AnswerMalformed("the service opens an upload without saying where")
        self.location = urlsplit(location).path
        self.whole = urlsplit(answer.headers.get("Rogatory-Upload", "")).path
        if "Upload-Offset" in answer.headers or count:
            self._take(answer)
        return answer.status_code

    def _take(self, answer: httpx.Response) -> None:
        offset = answer.headers.get("Upload-Offset", "")
        if not (offset.isascii() and offset.isdigit()) or int(offset) > self._size:
            raise AnswerMalformed(f"the service answers Upload-Offset {offset[:40]!r} for a body of {self._size} bytes")
        self.offset = int(offset)
        self.composite = answer.headers.get("Rogatory-Parts", self.composite)


def held(connection: Connection, upload: str, size: int) -> list[tuple[int, int]]:
    """Ranges of a body of this size that the windows of an upload have brought, as far as the service lists them.

    Raises:
        AnswerMalformed: No ranges, or none that ascend inside the body.
    """
    text = connection.request("HEAD", upload, headers=_VERSION).headers.get("Rogatory-Held", "")
    ranges: list[tuple[int, int]] = []
    for each in text.split(",") if text else []:
        match = _RANGE.fullmatch(each)
        start, end = (int(match[1]), int(match[2])) if match else (0, 0)
        if not (ranges[-1][1] if ranges else 0) <= start < end <= size:
            raise AnswerMalformed(f"the service holds {text[:80]!r} of a body of {size} bytes")
        ranges.append((start, end))
    return ranges


def join(connection: Connection, target: Target, upload: str) -> str | None:
    """Make the windows of an upload a body, all of them complete; the composite that the service recorded.

    Raises:
        ServiceRefusal: They do not make one, or the service does not take it.
    """
    headers = _VERSION | {"Upload-Concat": f"final;{upload}"}
    answer = connection.request("POST", target.path, params={"part_size": target.part_size}, headers=headers)
    found: str | None = answer.headers.get("Rogatory-Parts")
    return found
