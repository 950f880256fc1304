"""Whole age files, header and body together: what `age -d` opens and what foreign tools send."""

import io
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from custody.sealing.filekey import build_header, new_file_key, open_header
from custody.sealing.header import Readable, read_header
from custody.sealing.reader import BodyReader
from custody.sealing.recipients import Identity, Recipient
from custody.sealing.stream import CHUNK, SEALED_CHUNK, BodyOpener, BodySealer

_READ = 16 * CHUNK


def seal(source: BinaryIO, target: BinaryIO, recipients: Iterable[Recipient]) -> None:
    """Read `source` to its end and write it to `target` as one age file, in bounded memory.

    Raises:
        RecipientsRefused: None, too many, one twice, or of two kinds; nothing was written.
    """
    file_key = new_file_key()
    target.write(build_header(file_key, recipients))
    sealer = BodySealer(file_key)
    while data := source.read(_READ):
        target.write(sealer.update(data))
    target.write(sealer.finish())


def open_sealed(source: Readable, identities: Sequence[Identity]) -> io.BufferedReader:
    """The plaintext of an age file, from the source's present place to its end; verified as it is read.

    Seekable where the source is: then the last chunk is verified at once, and the length is authentic. Otherwise
    only the read that returns nothing, or `read()` to the end, says that the file is whole. What concerns a bad
    chunk is raised when it is read. Closing the result leaves the source open.

    Raises:
        HeaderMalformed, HeaderUnsupported, NoMatchingIdentity, HeaderMacMismatch: The header does not open.
        Truncated, ChunkForged, EmptyFinalChunk: Of a seekable source: its end is bad.
    """
    header = read_header(source)
    file_key = open_header(header, identities)
    if not isinstance(source, io.IOBase) or not source.seekable():
        return io.BufferedReader(_Arriving(source, file_key), CHUNK)
    offset = source.tell()
    size = source.seek(0, io.SEEK_END) - offset
    return io.BufferedReader(BodyReader(source, file_key, size=size, offset=offset), CHUNK)


class _Arriving(io.RawIOBase):
    """The plaintext of a body that can be read only once, from its beginning."""

    def __init__(self, source: Readable, file_key: bytes) -> None:
        super().__init__()
        self._source, self._opener = source, BodyOpener(file_key)
        self._ready, self._ended = memoryview(b""), False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview | bytearray, /) -> int:  # type: ignore[override] # Buffer has no name in 3.11
        view = memoryview(buffer).cast("B")
        while not self._ready and not self._ended:
            data = self._source.read(SEALED_CHUNK)
            self._ready = memoryview(self._opener.update(data) if data else self._opener.finish())
            self._ended = not data
        part = self._ready[: len(view)]
        view[: len(part)] = part
        self._ready = self._ready[len(part) :]
        return len(part)
