"""Fetching bodies: part by part into a file, each part checked as it comes, going on where the line broke.

The file holds the item's header, then its body: a plain age file. What it holds already is checked again before
it is believed, so nothing needs to be remembered about a download that was interrupted.
"""

import errno
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from custody.digest import composite
from rogatory.connection import Connection, LineDown
from rogatory.errors import ServiceKnowsNot, Tampered, Temporary

_SLICE = 256 * 1024
_TRIES = 8
_DIGEST = 32


class TamperedPart(Tampered):
    """A part is not the one the manifest names, also when fetched again.

    Attributes:
        item: Id.
        part: Number of the part, from 1.
    """

    code = "tampered-part"

    def __init__(self, *, item: str, part: int, offset: int, size: int) -> None:
        super().__init__(
            f"part {part} of item {item} (bytes {offset} to {offset + size - 1} of its body) is not the one the sender "
            f"signed for, also when fetched again",
            hint="reject the package; its sender can send it again",
        )
        self.item, self.part = item, part


class PartsListWrong(Tampered):
    """The list of part digests is not the one the manifest commits to."""

    code = "parts-list-wrong"


class DiskFull(Temporary):
    """There is no room left; what was fetched is kept."""

    code = "disk-full"


@dataclass(frozen=True)
class Body:
    """An item's body as the manifest describes it, with the digests of its parts."""

    item: str
    size: int
    part_size: int
    parts: Sequence[bytes]

    @classmethod
    def of(cls, member: dict[str, Any], digests: bytes) -> "Body":
        """From the manifest's member and the raw list of part digests.

        Raises:
            PartsListWrong: The list is not the one the member commits to.
        """
        parts = [digests[start : start + _DIGEST] for start in range(0, len(digests), _DIGEST)]
        expected = -(-member["size"] // member["part_size"])
        if len(digests) != expected * _DIGEST or composite(parts).hex() != member["parts"]:
            raise PartsListWrong(f"the list of parts of item {member['id']} is not the one the manifest names")
        return cls(member["id"], member["size"], member["part_size"], parts)

    def span(self, part: int) -> tuple[int, int]:
        """Offset and size of a part, counted from 0."""
        start = part * self.part_size
        return start, min(self.part_size, self.size - start)


class Fetch:
    """Brings one body into one file.

    Args:
        connection: Logged in.
        handle: Gives the id of a download handle; asked for a new one (`True`) when the old one has ended.
        progress: Told of every byte that arrived, also those that were fetched again.
    """

    def __init__(
        self, connection: Connection, handle: Callable[[bool], str], progress: Callable[[int], None] = lambda _: None
    ) -> None:
        self._connection, self._handle, self._progress = connection, handle, progress

    def into(self, path: Path, header: bytes, body: Body) -> None:
        """Make the file header ‖ body, with every part checked; what of it is there and right is kept.

        Raises:
            TamperedPart: A part is wrong twice.
            DiskFull: No room; what is there stays for the next time.
            LineDown, ServiceRefusal: After several tries.
        """
        try:
            with path.open("r+b" if path.exists() else "w+b") as file:
                part = self._kept(file, header, body)
                self._progress(body.span(part)[0] if part < len(body.parts) else body.size)
                self._fill(file, len(header), body, part)
                file.truncate(len(header) + body.size)
        except OSError as error:
            raise room_error(error, path) from error

    def _kept(self, file: BinaryIO, header: bytes, body: Body) -> int:
        """How many parts from the first on are there already and right."""
        if file.read(len(header)) != header:
            file.seek(0)
            file.truncate()
            file.write(header)
            return 0
        return self._resync(file, len(header), body, 0)

    def _fill(self, file: BinaryIO, offset: int, body: Body, part: int) -> None:
        bad, tries = -1, 0
        while part < len(body.parts):
            before = part
            try:
                part = self._stream(file, offset, body, part)
            except LineDown:
                tries += 1
                if tries >= _TRIES:
                    raise
                part = self._resync(file, offset, body, before)
                tries = 0 if part > before else tries
                continue
            except ServiceKnowsNot as error:
                tries += 1
                if error.status != 410 or tries >= _TRIES:
                    raise
                self._handle(True)
                continue
            if part == len(body.parts):
                return
            if bad == part:
                start, size = body.span(part)
                raise TamperedPart(item=body.item, part=part + 1, offset=start, size=size)
            if part > before:
                tries = 0
            bad = part

    def _resync(self, file: BinaryIO, offset: int, body: Body, part: int) -> int:
        """The first part from `part` on that is not there and right in the file."""
        file.seek(offset + body.span(part)[0])
        while part < len(body.parts):
            found, left = hashlib.sha256(), body.span(part)[1]
            while left and (data := file.read(min(left, _SLICE))):
                found.update(data)
                left -= len(data)
            if left or found.digest() != body.parts[part]:
                return part
            part += 1
        return part

    def _stream(self, file: BinaryIO, offset: int, body: Body, part: int) -> int:
        """Fetch from a part to the end; returns the number of the first part that is wrong or missing."""
        start, left = body.span(part)
        file.seek(offset + start)
        path = f"/v1/downloads/{self._handle(False)}/items/{body.item}"
        found = hashlib.sha256()
        with self._connection.stream("GET", path, headers={"Range": f"bytes={start}-"}) as answer:
            skip = 0 if answer.status_code == 206 else start
            for data in answer.iter_raw(_SLICE):
                view = memoryview(data)[skip:] if skip < len(data) else memoryview(b"")
                skip = max(0, skip - len(data))
                while view:
                    taken = view[:left]
                    found.update(taken)
                    file.write(taken)
                    self._progress(len(taken))
                    view, left = view[len(taken) :], left - len(taken)
                    if left:
                        continue
                    if found.digest() != body.parts[part]:
                        return part
                    part += 1
                    if part == len(body.parts):
                        return part
                    left, found = body.span(part)[1], hashlib.sha256()
        raise LineDown("the service ended an answer before the end of the body")


def room_error(error: OSError, path: Path) -> Exception:
    """What an operating system's refusal to write means to the reader."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DiskFull(
            f"no room left at {path.parent}",
            hint="make room, then run the same command again: what was fetched is kept",
        )
    return error
