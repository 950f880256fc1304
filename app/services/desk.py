"""Who is writing which upload in this process, so that a later request takes over from a stale one at once.

Across processes the fence in the database decides (`app.services.uploads`); here the newcomer makes the older
writer stop between two writes, and waits for those it is in the middle of, so that never two of them touch the same
part. Beside it lies the running hash of unfinished parts, so that an upload in many small requests is not read
back for each of them.
"""

import hashlib
from collections import OrderedDict
from threading import Condition, Lock
from typing import Final, Protocol

from app.errors import StoreDown, UploadSuperseded

_PATIENCE: Final = 10.0
"""Seconds a newcomer waits for one write of the older writer to end."""

_KEPT: Final = 4096


class RunningHash(Protocol):
    """What hashlib's objects offer of themselves here."""

    def copy(self) -> "RunningHash":
        """Another in the same state."""
        ...

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""
        ...

    def digest(self) -> bytes:
        """Of all bytes so far."""
        ...


class Writer:
    """The right of one request to write to an upload, until a later one takes it."""

    def __init__(self, upload: str, fence: int, older: "Writer | None" = None) -> None:
        self.upload, self.fence = upload, fence
        self._older = older
        self._stopped = False
        self._writes = 0
        self._changed = Condition()

    def __enter__(self) -> None:
        """Begin one write; others of the same request may be under way.

        Raises:
            UploadSuperseded: A later request has taken over.
        """
        with self._changed:
            if self._stopped:
                raise UploadSuperseded("a later request has taken over this upload")
            self._writes += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._writes -= 1
            self._changed.notify_all()

    def begin(self) -> None:
        """Make the older writer stop, and those before it that have not ended yet.

        Raises:
            StoreDown: One of them hangs in a write.
        """
        older = self._older
        if older is not None:
            older.stop()
            self._older = None

    def stop(self) -> None:
        """Let the writes in progress end, and no other begin.

        Raises:
            StoreDown: One does not end; the store hangs.
        """
        with self._changed:
            self._stopped = True
        self.begin()
        with self._changed:
            if not self._changed.wait_for(lambda: not self._writes, _PATIENCE):
                raise StoreDown("a write to the store does not end, nothing can be written beside it")


class Desk:
    """The writers at work in this process, and the hashes they left."""

    def __init__(self) -> None:
        self._writers: dict[str, Writer] = {}
        self._hashes: OrderedDict[str, tuple[int, RunningHash]] = OrderedDict()
        self._guard = Lock()

    def enter(self, upload: str, fence: int) -> Writer:
        """Take an upload over from whoever has it; of two newcomers the one with the higher fence stays.

        Raises:
            UploadSuperseded: One with a higher fence is here already.
            StoreDown: The older writer hangs in a write.
        """
        with self._guard:
            older = self._writers.get(upload)
            if older is not None and older.fence > fence:
                raise UploadSuperseded("a later request has taken over this upload")
            writer = self._writers[upload] = Writer(upload, fence, older)
        try:
            writer.begin()
        except StoreDown:
            with self._guard:
                if older is not None and self._writers.get(upload) is writer:
                    self._writers[upload] = older
            raise
        return writer

    def leave(self, writer: Writer) -> None:
        """Be done; nothing happens where another has taken over."""
        with self._guard:
            if self._writers.get(writer.upload) is writer:
                del self._writers[writer.upload]

    def remember(self, upload: str, offset: int, hash_: RunningHash) -> None:
        """Keep the hash of the unfinished part as it is at a durable offset of the upload."""
        with self._guard:
            self._hashes[upload] = (offset, hash_.copy())
            self._hashes.move_to_end(upload)
            while len(self._hashes) > _KEPT:
                self._hashes.popitem(last=False)

    def recall(self, upload: str, offset: int) -> RunningHash | None:
        """The hash kept for that offset, if it is still here."""
        with self._guard:
            kept = self._hashes.get(upload)
        return kept[1].copy() if kept and kept[0] == offset else None


def fresh_hash() -> RunningHash:
    """SHA-256 of nothing."""
    return hashlib.sha256()
