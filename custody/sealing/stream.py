"""The body of a sealed file: a nonce, then 64 KiB chunks of ChaCha20-Poly1305, the last one marked as last.

    body  = nonce (16) ‖ chunk 0 ‖ chunk 1 ‖ … ‖ last chunk
    chunk = ChaCha20-Poly1305(key, counter as 11 bytes big-endian ‖ 01 if last else 00, plaintext) ‖ tag (16)
    key   = HKDF-SHA256(file key, salt nonce, info "payload", 32 bytes)

Every chunk but the last has 65,536 bytes of plaintext; the last has 1 to 65,536, or none if the file is empty. What
is released was verified: that it stands at its place, unchanged, written by someone who had the file key. Only at
the end does one know that nothing is missing. Offsets in errors count from the first byte of the body.

One key and counter must never seal two plaintexts: whoever resumes has to know that the plaintext is the same.

Source: age v1 format (c2sp.org/age), docs/spec/sealing.md.
"""

import io
import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from custody.errors import FormatError, VerificationError
from custody.sealing.header import FILE_KEY_SIZE

CHUNK = 65536
TAG_SIZE = 16
NONCE_SIZE = 16
SEALED_CHUNK = CHUNK + TAG_SIZE
_COUNTER_SIZE = 11
_MAX_COUNTER = 2 ** (8 * _COUNTER_SIZE) - 1

Data = bytes | bytearray | memoryview


class BodySizeImpossible(FormatError):
    """No body has this size: it was cut, or is none."""

    code = "body-size"


class ChunkMisplaced(FormatError):
    """A chunk was handed over for sealing that its place does not allow: wrong length, or counter out of range."""

    code = "chunk-misplaced"


class EmptyFinalChunk(FormatError):
    """The last chunk is authentic and empty, though others precede it: a second spelling of the same plaintext."""

    code = "body-empty-final-chunk"


class _AtChunk(VerificationError):
    """A failure at one chunk; `chunk` is its index, `offset` its first byte in the body."""

    said = ""

    def __init__(self, chunk: int) -> None:
        self.chunk, self.offset = chunk, NONCE_SIZE + chunk * SEALED_CHUNK
        super().__init__(f"chunk {chunk} at byte {self.offset} of the body {self.said}")


class ChunkForged(_AtChunk):
    """A chunk is not what was sealed at its place: changed, moved, cut short, or of another key."""

    code = "chunk-forged"
    said = "does not authenticate"


class Truncated(_AtChunk):
    """The body ends before its last chunk."""

    code = "body-truncated"
    said = "is where the body ends, expected more up to a chunk marked as last"


class TrailingBytes(_AtChunk):
    """A chunk marked as last is followed by further bytes."""

    code = "body-trailing-bytes"
    said = "is marked as last, expected nothing after it"


def body_size(plain_size: int) -> int:
    """Bytes of the body of so many bytes of plaintext."""
    return NONCE_SIZE + plain_size + TAG_SIZE * max(1, -(-plain_size // CHUNK))


def plain_size(body_size: int) -> int:
    """Bytes of plaintext of a body of so many bytes; what an attacker cut is not noticed here.

    Raises:
        BodySizeImpossible: No body has this size.
    """
    chunks, rest = divmod(body_size - NONCE_SIZE, SEALED_CHUNK)
    least = TAG_SIZE if chunks == 0 else TAG_SIZE + 1
    if chunks < 0 or (rest and rest < least) or (not rest and not chunks):
        raise BodySizeImpossible(f"{body_size} bytes, a size that no body has")
    return body_size - NONCE_SIZE - TAG_SIZE * (chunks + (rest > 0))


class ChunkCipher:
    """The cipher of one body, chunk by chunk and in any order; the ground of all readers and writers here."""

    def __init__(self, file_key: bytes, nonce: bytes) -> None:
        """Derive the key of a body from its file key (16 bytes) and nonce (16 bytes).

        Raises:
            ChunkMisplaced: Either has another length.
        """
        if len(file_key) != FILE_KEY_SIZE or len(nonce) != NONCE_SIZE:
            raise ChunkMisplaced(f"file key of {len(file_key)} and nonce of {len(nonce)} bytes, expected 16 and 16")
        key = HKDF(algorithm=hashes.SHA256(), length=32, salt=nonce, info=b"payload").derive(file_key)
        self._aead = ChaCha20Poly1305(key)

    def seal(self, counter: int, plaintext: memoryview, target: memoryview, *, last: bool) -> int:
        """Seal consecutive chunks into `target`; only the last of all may be short. Returns bytes written."""
        done = 0
        for start in range(0, max(1, len(plaintext)), CHUNK):
            part = plaintext[start : start + CHUNK]
            final = last and start + CHUNK >= len(plaintext)
            size = len(part) + TAG_SIZE
            self._aead.encrypt_into(_nonce(counter, final), part, None, target[done : done + size])
            counter, done = counter + 1, done + size
        return done

    def open(self, counter: int, sealed: memoryview, target: memoryview, *, last: bool) -> int:
        """Open consecutive whole chunks into `target`, in order; `last` if the last one ends the body.

        Each chunk has at least the 16 bytes of its tag; callers see to it.

        Returns bytes written. On failure the bytes of the bad chunk's place in `target` are zero, those
        of the chunks before it are good.

        Raises:
            ChunkForged, Truncated, TrailingBytes, EmptyFinalChunk: Found at the first bad chunk.
        """
        done = 0
        for start in range(0, len(sealed), SEALED_CHUNK):
            part = sealed[start : start + SEALED_CHUNK]
            final = last and start + SEALED_CHUNK >= len(sealed)
            self._open_one(counter, part, target[done : done + len(part) - TAG_SIZE], last=final)
            counter, done = counter + 1, done + len(part) - TAG_SIZE
        return done

    def _open_one(self, counter: int, part: memoryview, target: memoryview, *, last: bool) -> None:
        try:
            self._aead.decrypt_into(_nonce(counter, last), part, None, target)
        except InvalidTag as error:
            target[:] = bytes(len(target))
            raise self._judge(counter, part, last=last) from error
        if last and counter and len(part) == TAG_SIZE:
            raise EmptyFinalChunk(f"chunk {counter} is the last and empty, expected at least one byte")

    def _judge(self, counter: int, part: memoryview, *, last: bool) -> VerificationError:
        """Why a chunk fails: it is authentic under the other mark, or not at all."""
        try:
            self._aead.decrypt(_nonce(counter, not last), part, None)
        except InvalidTag:
            return ChunkForged(counter)
        return Truncated(counter + 1) if last else TrailingBytes(counter)


class BodySealer:
    """Seals a body: in one go (`update`, `finish`), or chunk by chunk at any place, for resuming (`seal_chunk`).

    Do not mix the two on one object, and never seal two plaintexts at one counter.
    """

    def __init__(self, file_key: bytes, nonce: bytes | None = None) -> None:
        """Begin a body; give `nonce` only to resume the body that has it.

        Raises:
            ChunkMisplaced: Key or nonce is not 16 bytes.
        """
        self.nonce = os.urandom(NONCE_SIZE) if nonce is None else nonce
        self._cipher = ChunkCipher(file_key, self.nonce)
        self._held = _HoldBack(CHUNK)
        self._counter = 0
        self._prefix = self.nonce
        self._finished = False

    def seal_chunk(self, counter: int, plaintext: Data, last: bool) -> bytes:  # noqa: FBT001 - agreed interface
        """The sealed bytes of chunk `counter`; without the nonce.

        Raises:
            ChunkMisplaced: Not 65,536 bytes (the last: 1 to 65,536, none if it is the first), or a counter
                outside 0 to 2^88 - 1.
        """
        if len(plaintext) > CHUNK:
            raise ChunkMisplaced(f"chunk {counter} of {len(plaintext)} bytes, expected at most {CHUNK}")
        return _written(len(plaintext) + TAG_SIZE, lambda out: self.seal_into(counter, plaintext, out, last=last))

    def seal_into(self, counter: int, plaintext: Data, target: memoryview | bytearray, *, last: bool) -> int:
        """Seal consecutive chunks from `counter` on into a buffer the caller uses again; the fastest way.

        Args:
            counter: Index of the first chunk.
            plaintext: Whole chunks of 65,536 bytes; with `last` the final one may be shorter.
            target: At least 16 bytes for each chunk longer than the plaintext.
            last: Whether the body ends with this plaintext.

        Returns:
            Bytes written to `target`.

        Raises:
            ChunkMisplaced: A length or a counter that does not fit, or `target` is too small.
        """
        view, out = _view(plaintext), _view(target)
        chunks = max(1, -(-len(view) // CHUNK))
        if (not last and (not view or len(view) % CHUNK)) or (last and not view and counter):
            raise ChunkMisplaced(f"{len(view)} bytes at chunk {counter}, expected whole chunks up to the last one")
        if not 0 <= counter <= _MAX_COUNTER - chunks:
            raise ChunkMisplaced(f"counter {counter}, expected 0 to {_MAX_COUNTER - chunks}")
        if len(out) < len(view) + chunks * TAG_SIZE:
            raise ChunkMisplaced(f"room for {len(out)} bytes, expected {len(view) + chunks * TAG_SIZE}")
        return self._cipher.seal(counter, view, out, last=last)

    def update(self, data: Data) -> bytes:
        """The next bytes of the body, the nonce first; up to 64 KiB of plaintext are held back.

        Raises:
            ChunkMisplaced: The body is finished; going on could use a counter twice.
        """
        return self._seal(self._held.feed(_view(data)), last=False)

    def finish(self) -> bytes:
        """The rest of the body; the object is spent.

        Raises:
            ChunkMisplaced: The body is finished already.
        """
        rest = self._seal([memoryview(self._held.data)], last=True)
        self._finished = True
        return rest

    def _seal(self, pieces: list[memoryview], *, last: bool) -> bytes:
        if self._finished:
            raise ChunkMisplaced("data for a body that is finished")
        sizes = sum(len(piece) + TAG_SIZE * max(1, -(-len(piece) // CHUNK)) for piece in pieces)

        def write(out: memoryview) -> None:
            done = len(self._prefix)
            out[:done] = self._prefix
            for piece in pieces:
                done += self._cipher.seal(self._counter, piece, out[done:], last=last)
                self._counter += -(-len(piece) // CHUNK)

        result = _written(len(self._prefix) + sizes, write)
        self._prefix = b""
        return result


class BodyOpener:
    """Opens a body that arrives in pieces of any size; releases only what was verified.

    Until `finish` has returned, what was released may be the beginning of a longer text: keep it apart till then.
    """

    def __init__(self, file_key: bytes) -> None:
        self._file_key = file_key
        self._cipher: ChunkCipher | None = None
        self._held = _HoldBack(SEALED_CHUNK)
        self._counter = 0

    def update(self, ciphertext: Data) -> bytes:
        """The plaintext of every chunk that is now complete and not the last.

        An error leaves the object unusable, and plaintext of the same call is not released.

        Raises:
            ChunkForged, TrailingBytes: At the first bad chunk.
            ChunkMisplaced: The file key is not 16 bytes.
        """
        view = _view(ciphertext)
        if self._cipher is None:
            held = self._held.data
            missing = NONCE_SIZE - len(held)
            held += view[:missing]
            view = view[missing:]
            if len(held) < NONCE_SIZE:
                return b""
            self._cipher = ChunkCipher(self._file_key, bytes(held))
            held.clear()
        return self._open(self._cipher, self._held.feed(view), last=False)

    def finish(self) -> bytes:
        """The plaintext of the last chunk; the reader may conclude that the body is whole.

        Raises:
            Truncated: The bytes so far are not all of it.
            ChunkForged, EmptyFinalChunk: The last chunk is bad.
        """
        if self._cipher is None or len(self._held.data) < TAG_SIZE:
            raise Truncated(self._counter)
        return self._open(self._cipher, [memoryview(self._held.data)], last=True)

    def _open(self, cipher: ChunkCipher, pieces: list[memoryview], *, last: bool) -> bytes:
        size = sum(len(piece) - TAG_SIZE * -(-len(piece) // SEALED_CHUNK) for piece in pieces)

        def write(out: memoryview) -> None:
            done = 0
            for piece in pieces:
                done += cipher.open(self._counter, piece, out[done:], last=last)
                self._counter += -(-len(piece) // SEALED_CHUNK)

        if size == 0 and pieces:
            write(memoryview(bytearray()))
        return _written(size, write) if size else b""


class _HoldBack:
    """Regroups pieces into whole units and keeps the final 1 to `unit` bytes, which may be the last chunk."""

    def __init__(self, unit: int) -> None:
        self._unit = unit
        self.data = bytearray()

    def feed(self, view: memoryview) -> list[memoryview]:
        """What is now known not to be the last: at most two pieces of whole units."""
        held, pieces = self.data, []
        if len(held) + len(view) <= self._unit:
            held += view
            return []
        if held:
            missing = self._unit - len(held)
            held += view[:missing]
            pieces.append(memoryview(held))
            view = view[missing:]
        whole = (len(view) - 1) // self._unit * self._unit
        if whole:
            pieces.append(view[:whole])
        self.data = bytearray(view[whole:])
        return pieces


def _nonce(counter: int, last: bool) -> bytes:  # noqa: FBT001 - twice a chunk, hence positional
    return counter.to_bytes(_COUNTER_SIZE, "big") + (b"\x01" if last else b"\x00")


def _view(data: Data) -> memoryview:
    return memoryview(data).cast("B")


def _written(size: int, write: Callable[[memoryview], object]) -> bytes:
    """Bytes filled in place: `BytesIO` hands out its buffer without a copy, which `bytes(bytearray)` would make."""
    if not size:
        return b""
    buffer = io.BytesIO()
    buffer.seek(size - 1)
    buffer.write(b"\0")
    with buffer.getbuffer() as out:
        write(out)
    return buffer.getvalue()
