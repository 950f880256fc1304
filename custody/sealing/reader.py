"""A sealed body as a seekable file of its plaintext: only the chunks asked for are read, each is verified first."""

import io
from typing import Protocol

from custody.errors import CustodyError
from custody.sealing.stream import CHUNK, NONCE_SIZE, SEALED_CHUNK, TAG_SIZE, ChunkCipher, Truncated

_BATCH = 16  # chunks read at once: 1 MiB


class Seekable(Protocol):
    """A source of bytes with random access: a file, or ranges of a store behind the same two calls."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to a byte."""

    def read(self, size: int = -1, /) -> bytes | None:
        """Up to `size` bytes."""


class BodyReader(io.RawIOBase):
    """Random access to the plaintext of a body. Closing it leaves the source open, which is its owner's.

    The last chunk is verified when the reader is made, so `size` is authentic from then on; every other chunk is
    verified when it is read, so parts never read may be bad. A bad chunk fails each time it is read; bytes before
    it are released first. Not for two threads at once.
    """

    def __init__(self, source: Seekable, file_key: bytes, *, size: int, offset: int = 0) -> None:
        """Begin to read.

        Args:
            source: Where the body lies; nobody else may move its position meanwhile.
            file_key: 16 bytes, from `unwrap`, checked against the item's commitment.
            size: Bytes of the body.
            offset: Where in the source the body begins, in bytes.

        Raises:
            Truncated: The size ends inside a tag, or the source ends before `size`.
            ChunkForged, EmptyFinalChunk: The last chunk is bad.
            ChunkMisplaced: The file key is not 16 bytes.
        """
        super().__init__()
        self._source = source
        self._chunks = max(1, -(-(size - NONCE_SIZE) // SEALED_CHUNK))
        self._sealed = size - NONCE_SIZE
        if self._sealed - (self._chunks - 1) * SEALED_CHUNK < TAG_SIZE:
            raise Truncated(self._chunks - 1)
        self._start = offset + NONCE_SIZE
        self._scratch = bytearray(min(_BATCH, self._chunks) * SEALED_CHUNK)
        self._cipher = ChunkCipher(file_key, bytes(self._fetch(offset, NONCE_SIZE, 0)))
        self._size = self._sealed - self._chunks * TAG_SIZE
        self._place = 0
        self._cached, self._plain = -1, memoryview(b"")
        self._load(self._chunks - 1)

    @property
    def size(self) -> int:
        """Bytes of plaintext; authentic."""
        return self._size

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a byte of the plaintext, beyond its end if wanted; ValueError before its beginning."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"seek to {base + offset}, expected at least 0")
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        """The place in the plaintext, in bytes."""
        return self._place

    def readinto(self, buffer: memoryview | bytearray, /) -> int:  # type: ignore[override] # Buffer has no name in 3.11
        """Fill the buffer as far as it goes in one step; 0 at the end.

        Raises:
            ChunkForged, TrailingBytes, Truncated: The chunk at the present place is bad, or the source ended.
        """
        view = memoryview(buffer).cast("B")
        if self._place >= self._size or not view:
            return 0
        index, skip = divmod(self._place, CHUNK)
        whole = min(_BATCH, len(view) // CHUNK, self._size // CHUNK - index)
        if skip or whole < 1 or index == self._cached:
            self._load(index)
            part = self._plain[skip : skip + len(view)]
            view[: len(part)] = part
            count = len(part)
        else:
            count = self._open_many(index, whole, view)
        self._place += count
        return count

    def readall(self) -> bytes:
        """All from the present place to the end."""
        result = bytearray(max(0, self._size - self._place))
        view, done = memoryview(result), 0
        while count := self.readinto(view[done:]):
            done += count
        return bytes(result)

    def _open_many(self, index: int, count: int, view: memoryview) -> int:
        """Open whole chunks straight into the caller's buffer, up to the first bad one."""
        sealed = self._fetch(self._start + index * SEALED_CHUNK, count * SEALED_CHUNK, index)
        done = 0
        try:
            for place in range(count):
                part = sealed[place * SEALED_CHUNK : (place + 1) * SEALED_CHUNK]
                last = index + place == self._chunks - 1
                done += self._cipher.open(index + place, part, view[done : done + CHUNK], last=last)
        except CustodyError:
            if not done:
                raise
        return done

    def _load(self, index: int) -> None:
        """Have the plaintext of one chunk at hand."""
        if index == self._cached:
            return
        start = index * SEALED_CHUNK
        sealed = self._fetch(self._start + start, min(SEALED_CHUNK, self._sealed - start), index)
        plain = bytearray(len(sealed) - TAG_SIZE)
        self._cipher.open(index, sealed, memoryview(plain), last=index == self._chunks - 1)
        self._cached, self._plain = index, memoryview(plain)

    def _fetch(self, start: int, size: int, chunk: int) -> memoryview:
        """Exactly so many bytes of the source, in a buffer that the next call uses again."""
        self._source.seek(start)
        view, done = memoryview(self._scratch)[:size], 0
        into = getattr(self._source, "readinto", None)
        while done < size:
            if into is not None:
                count = into(view[done:]) or 0
            else:
                data = self._source.read(size - done) or b""
                count = len(data)
                view[done : done + count] = data
            if not count:
                raise Truncated(chunk + done // SEALED_CHUNK)
            done += count
        return view
