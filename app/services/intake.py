"""The bytes of one request on their way into an upload: hashed in order, kept on the part grid, then committed.

Up to 16 MiB are kept in memory and put as a whole part where they are one. A part that is larger, or that several
requests fill, arrives as pieces and is folded when it is full; pieces are at least 8 MiB but at the end of a request. A
partial upload of unknown place stays in pieces. An offset is committed only after its bytes, and all before them, are
durable; whole parts may be put side by side. All methods block: call them in worker threads. Nothing is locked while
bytes are awaited.
"""

import hashlib
from collections.abc import Sequence
from threading import Lock
from typing import Final

from app.errors import ChecksumMismatch, TooLarge, UploadSuperseded
from app.services import uploads
from app.services.desk import RunningHash, Writer, fresh_hash
from app.services.places import Place
from app.services.runtime import Runtime
from storage.interface import PartDigest, Superseded, UploadNotFound

WHOLE: Final = 16 * 1024 * 1024
"""Largest part that is put at once, and so the largest buffer."""

PIECE: Final = 8 * 1024 * 1024
"""Size of pieces of larger parts."""


class Checksum:
    """What a request's whole content must hash to; nothing of it is kept otherwise."""

    def __init__(self, algorithm: str, expected: bytes) -> None:
        self.algorithm, self.expected = algorithm, expected
        self._hash = hashlib.new(algorithm, usedforsecurity=False)

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self._hash.update(data)

    def check(self) -> None:
        """Return only if the content is right.

        Raises:
            ChecksumMismatch: It is not.
        """
        if self._hash.digest() != self.expected:
            raise ChecksumMismatch(
                f"the content has {self.algorithm} {self._hash.hexdigest()}, the header says another"
            )


class Intake:
    """One request writing to one upload."""

    def __init__(self, runtime: Runtime, place: Place, checksum: Checksum | None) -> None:
        """Take the place of any other request; `place` comes from `uploads.take_over`.

        Raises:
            UploadSuperseded: A later request is here already.
            StoreDown: An older one hangs in a write.
            StoreError: What came of the unfinished part cannot be read.
        """
        self._runtime, self._place, self._checksum = runtime, place, checksum
        self._committed = place.offset
        self._kept: dict[int, tuple[int, tuple[int, PartDigest] | None]] = {}
        self._turn = Lock()
        self._writer: Writer = runtime.desk.enter(place.id, place.fence)
        try:
            self._hash = runtime.desk.recall(place.id, place.offset) or self._reread()
        except BaseException:
            self.leave()
            raise
        self.composite: str | None = None
        """Of all parts, once the upload is complete; of a partial upload never."""

    @property
    def offset(self) -> int:
        """Bytes that are durable and on record."""
        return self._committed

    def room(self, at: int) -> int:
        """How many bytes a `put` at that offset should bring, if the request has them; 0 when the upload is full."""
        within = (self._place.start + at) % self._place.part_size
        limit = WHOLE if self._place.part_size <= WHOLE else PIECE
        return min(limit, self._place.part_size - within, self._place.length - at)

    def stands_alone(self, at: int, size: int) -> bool:
        """Whether bytes at that offset are a whole part, which can be kept while those before it still are."""
        place = self._place
        index, within = divmod(place.start + at, place.part_size)
        whole = min(place.part_size, place.start + place.length - index * place.part_size)
        return within == 0 and size == whole and not place.loose and self._checksum is None

    def put(self, chunks: Sequence[bytes], at: int) -> None:
        """Keep bytes at an offset, at most `room` of them; what is kept without a gap is then on record.

        Bytes that stand alone may be put beside others; else those before them must have been put. With a checksum to
        await nothing is on record before `end`.

        Raises:
            UploadSuperseded: A later request has taken over.
            TooLarge: More than the upload's length.
            StoreError: Nothing of these bytes is on record.
        """
        size = sum(map(len, chunks))
        if size > self.room(at):
            raise TooLarge(f"bytes beyond the upload's length of {self._place.length}")
        with self._writer:
            part = self._keep(chunks, at, size)
        with self._turn:
            self._kept[at] = size, part
            if self._checksum is None:
                self._record()

    def end(self) -> None:
        """The request is over and all of it was put; record what is not yet.

        Raises:
            ChecksumMismatch: Its content is not what was announced; nothing of it counts.
        """
        if self._checksum is not None:
            self._checksum.check()
        with self._turn:
            self._record()

    def leave(self) -> None:
        """Be done, however it went; what is on record stays."""
        self._runtime.desk.leave(self._writer)

    @property
    def keeps_fragments(self) -> bool:
        """Whether bytes of a request that broke off may be kept."""
        return self._checksum is None

    def _keep(self, chunks: Sequence[bytes], at: int, length: int) -> tuple[int, PartDigest] | None:
        """Make the bytes durable; the part that they make full, if they do."""
        place, store = self._place, self._runtime.store
        index, within = divmod(place.start + at, place.part_size)
        number, size = index + 1, min(place.part_size, place.start + place.length - index * place.part_size)
        if self._checksum is not None:
            for chunk in chunks:
                self._checksum.update(chunk)
        full = within + length == size and not place.loose
        try:
            if full and within == 0:
                digest = store.put_part(place.token, number, chunks, size=size, sha256=None)
                return number, PartDigest(size, digest)
            for chunk in chunks:
                self._hash.update(chunk)
            store.put_piece(place.token, number, within, b"".join(chunks))
            if not full:
                return None
            digest, self._hash = self._hash.digest(), fresh_hash()
            store.fold(place.token, number, size=size, sha256=digest)
        except (Superseded, UploadNotFound) as error:
            raise UploadSuperseded("another process has taken over this upload, or ended it") from error
        return number, PartDigest(size, digest)

    def _record(self) -> None:
        """Put on record what is kept up to the first gap."""
        offset, parts = self._committed, list[tuple[int, PartDigest]]()
        while offset in self._kept:
            size, part = self._kept.pop(offset)
            offset += size
            parts += [part] if part is not None else []
        if offset != self._committed:
            uploads.advance(self._place, offset, parts, self._runtime)
            self._committed = offset
            self._runtime.desk.remember(self._place.id, offset, self._hash)
        if offset == self._place.length and self.composite is None and not self._place.partial:
            self.composite = uploads.finish(self._place, self._runtime.now(), self._runtime)

    def _reread(self) -> RunningHash:
        """The hash of what lies in the unfinished part, for a process that has not seen it come."""
        index, within = divmod(self._place.start + self._place.offset, self._place.part_size)
        number, running = index + 1, fresh_hash()
        if within and not self._place.loose:
            for chunk in self._runtime.store.read_pieces(self._place.token, number, within):
                running.update(chunk)
        return running
