"""The bytes of one request on their way into an upload: hashed in order, kept on the part grid, then committed.

Up to 16 MiB are kept in memory and put as a whole part where they are one. A part that is larger, or that several
requests fill, arrives as pieces and is folded when it is full; pieces are at least 8 MiB but at the end of a request. A
partial upload of unknown place stays in pieces. An offset is committed only after its bytes are durable. All methods
block: call them in a worker thread, one at a time. Nothing is locked while bytes are awaited.
"""

import hashlib
from collections.abc import Sequence
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
        """Take the place of any other request; `place` comes from `uploads.take_over`."""
        self._runtime, self._place, self._checksum = runtime, place, checksum
        self._offset = place.offset
        self._committed = place.offset
        self._parts: list[tuple[int, PartDigest]] = []
        self._writer: Writer = runtime.desk.enter(place.id, place.fence)
        self._hash = runtime.desk.recall(place.id, place.offset) or self._reread()
        self.composite: str | None = None
        """Of all parts, once the upload is complete; of a partial upload never."""

    @property
    def offset(self) -> int:
        """Bytes that are durable and on record."""
        return self._committed

    @property
    def complete(self) -> bool:
        """Whether the last byte is in."""
        return self._offset == self._place.length

    def room(self, at: int) -> int:
        """How many bytes a `put` at that offset should bring, if the request has them; 0 when the upload is full."""
        within = (self._place.start + at) % self._place.part_size
        limit = WHOLE if self._place.part_size <= WHOLE else PIECE
        return min(limit, self._place.part_size - within, self._place.length - at)

    def put(self, chunks: Sequence[bytes]) -> None:
        """Keep the next bytes, at most `room` of them; without a checksum to await, durably on record.

        Raises:
            UploadSuperseded: A later request has taken over.
            TooLarge: More than the upload's length.
            StoreError: Nothing of these bytes is on record.
        """
        size = sum(map(len, chunks))
        if size > self.room(self._offset):
            raise TooLarge(f"bytes beyond the upload's length of {self._place.length}")
        with self._writer:
            self._keep(chunks, size)
        if self._checksum is None:
            self._record()

    def end(self) -> None:
        """The request is over and all of it was put; record what is not yet.

        Raises:
            ChecksumMismatch: Its content is not what was announced; nothing of it counts.
        """
        if self._checksum is not None:
            self._checksum.check()
        self._record()

    def leave(self) -> None:
        """Be done, however it went; what is on record stays."""
        self._runtime.desk.leave(self._writer)

    @property
    def keeps_fragments(self) -> bool:
        """Whether bytes of a request that broke off may be kept."""
        return self._checksum is None

    def _keep(self, chunks: Sequence[bytes], length: int) -> None:
        place, store = self._place, self._runtime.store
        index, within = divmod(place.start + self._offset, place.part_size)
        number, size = index + 1, min(place.part_size, place.start + place.length - index * place.part_size)
        for chunk in chunks:
            self._hash.update(chunk)
            if self._checksum is not None:
                self._checksum.update(chunk)
        full = within + length == size and not place.loose
        digest = self._hash.digest() if full else b""
        try:
            if full and within == 0:
                store.put_part(place.token, number, chunks, size=size, sha256=digest)
            else:
                store.put_piece(place.token, number, within, b"".join(chunks))
                if full:
                    store.fold(place.token, number, size=size, sha256=digest)
        except (Superseded, UploadNotFound) as error:
            raise UploadSuperseded("another process has taken over this upload, or ended it") from error
        self._offset += length
        if full:
            self._parts.append((number, PartDigest(size, digest)))
            self._hash = fresh_hash()

    def _record(self) -> None:
        if self._offset != self._committed:
            uploads.advance(self._place, self._offset, self._parts, self._runtime)
            self._parts, self._committed = [], self._offset
            self._runtime.desk.remember(self._place.id, self._committed, self._hash)
        if self.complete and self.composite is None and not self._place.partial:
            self.composite = uploads.finish(self._place, self._runtime.now(), self._runtime)

    def _reread(self) -> RunningHash:
        """The hash of what lies in the unfinished part, for a process that has not seen it come."""
        index, within = divmod(self._place.start + self._place.offset, self._place.part_size)
        number, running = index + 1, fresh_hash()
        if within and not self._place.loose:
            for chunk in self._runtime.store.read_pieces(self._place.token, number, within):
                running.update(chunk)
        return running
