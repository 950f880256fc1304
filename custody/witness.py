"""What a witness does with a checkpoint, and the bytes by which it is asked.

A witness remembers, for each log, the newest checkpoint it has cosigned, and cosigns another one only if that is of the
same history and not smaller. Nothing is kept here: the caller gives what is remembered, persists what comes back, and
answers only then, all of it one request at a time for each log.
Source: C2SP tlog-witness. Specification: docs/spec/witness.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, Final

from custody import merkle
from custody.checkpoint import open_checkpoint
from custody.checkpoint_text import Checkpoint
from custody.decimal import from_decimal
from custody.errors import CustodyError, FormatError, VerificationError
from custody.note import MAX_NOTE_SIZE, NotSigned, SignerKey, VerifierKey, add_signatures, encode_note, parse_note
from custody.text import from_base64, to_base64

MAX_PROOF: Final = 63
MAX_REQUEST: Final = MAX_NOTE_SIZE + 4096
"""Bytes: a note, 63 hashes, the first line."""

SIZE_TYPE: Final = "text/x.tlog.size"
"""Media type of the body of a 409."""

_EMPTY_ROOT: Final = sha256(b"").digest()


class RequestMalformed(FormatError):
    """Not an add-checkpoint request: its first line, a hash, more than 63 of them, no blank line, or no checkpoint."""

    code = "witness-request-malformed"


class WitnessRefusal(VerificationError):
    """A witness does not cosign. `status` is what its HTTP interface answers."""

    status: ClassVar[int]


class OriginUnknown(WitnessRefusal):
    """The checkpoint is of a log that this witness does not follow."""

    code, status = "origin-unknown", 404


class LogNotSigned(WitnessRefusal):
    """A key of the log has not signed the checkpoint, or a signature by one does not hold."""

    code, status = "log-not-signed", 403


class OldBeyond(WitnessRefusal):
    """The request names an old size beyond that of its checkpoint."""

    code, status = "old-beyond", 400


class OldDiffers(WitnessRefusal):
    """The old size is not that of the newest checkpoint cosigned; `size` is."""

    code, status = "old-differs", 409

    def __init__(self, *, old: int, size: int) -> None:
        super().__init__(f"the request goes on from size {old}, the newest checkpoint cosigned has size {size}")
        self.size = size


class NotContinued(WitnessRefusal):
    """The proof does not lead from the newest checkpoint cosigned to this one.

    `fork` is set where both have one size and different roots: two notes that the log has signed, which together prove
    to anybody that it keeps two books.
    """

    code, status = "not-continued", 422

    def __init__(self, message: str, *, fork: tuple[bytes, bytes] | None = None) -> None:
        super().__init__(message)
        self.fork = fork


@dataclass(frozen=True)
class AddCheckpoint:
    """A request to cosign.

    Attributes:
        old: Size of the newest checkpoint the witness is thought to have cosigned; 0 if none.
        proof: Consistency proof from there to the checkpoint; empty if `old` is 0.
        note: The checkpoint, signed by the log.
    """

    old: int
    proof: tuple[bytes, ...]
    note: bytes

    def encode(self) -> bytes:
        """The body of the request.

        Raises:
            RequestMalformed: More hashes than a request may have, or one that is not 32 bytes.
        """
        if len(self.proof) > MAX_PROOF or any(len(value) != merkle.HASH_SIZE for value in self.proof):
            raise RequestMalformed(
                f"{len(self.proof)} hashes, expected at most {MAX_PROOF} of {merkle.HASH_SIZE} bytes"
            )
        lines = "".join(f"{to_base64(value)}\n" for value in self.proof)
        return f"old {self.old}\n{lines}\n".encode() + self.note

    @classmethod
    def parse(cls, data: bytes) -> "AddCheckpoint":
        """Read a request; `result.encode() == data`.

        Raises:
            RequestMalformed: Not the form, or the note's text is no checkpoint.
        """
        if len(data) > MAX_REQUEST:
            raise RequestMalformed(f"a request of {len(data)} bytes, expected at most {MAX_REQUEST}")
        head, blank, note = data.partition(b"\n\n")
        first, *hashes = head.split(b"\n")
        if not blank or not first.startswith(b"old ") or len(hashes) > MAX_PROOF:
            raise RequestMalformed(f"a request without `old <size>`, at most {MAX_PROOF} hashes and a blank line")
        try:
            old = from_decimal(first.removeprefix(b"old ").decode("ascii"))
            proof = tuple(from_base64(line.decode("ascii"), merkle.HASH_SIZE) for line in hashes)
            Checkpoint.parse(parse_note(note).text)
        except (FormatError, UnicodeDecodeError) as error:
            raise RequestMalformed(f"a request that cannot be read: {error}") from error
        return cls(old, proof, note)


@dataclass(frozen=True)
class Remembered:
    """The newest checkpoint of a log that a witness has cosigned.

    Attributes:
        checkpoint: What it says.
        note: It, with the log's signatures and the witness's cosignatures; this is what is persisted.
    """

    checkpoint: Checkpoint
    note: bytes

    @classmethod
    def parse(cls, note: bytes) -> "Remembered":
        """From the witness's own memory; no signature is checked again.

        Raises:
            FormatError: No note, or not of a checkpoint.
        """
        return cls(Checkpoint.parse(parse_note(note).text), note)


def cosign(
    request: AddCheckpoint,
    *,
    logs: Mapping[str, Sequence[VerifierKey]],
    held: Remembered | None,
    signers: Iterable[SignerKey],
    time: int,
) -> tuple[Remembered, bytes]:
    """Decide on a request: what to remember from now on, and the signature lines to answer with.

    The caller holds the log's memory from before it reads `held` until the new one is durable, and answers after that.

    Args:
        request: As it came.
        logs: Keys of each log that is followed, by origin; every one of them must have signed.
        held: What is remembered of the request's log.
        signers: The witness's keys.
        time: POSIX seconds, at least 1.

    Raises:
        OriginUnknown, LogNotSigned, OldBeyond, OldDiffers, NotContinued: In this order, each with its `status`.
    """
    text = parse_note(request.note).text
    checkpoint = Checkpoint.parse(text)
    if checkpoint.origin not in logs:
        raise OriginUnknown(f"no log {checkpoint.origin} is followed here")
    keys = logs[checkpoint.origin]
    own = _log_lines(request.note, keys, checkpoint.origin)
    if request.old > checkpoint.size:
        raise OldBeyond(f"old size {request.old} of a checkpoint of size {checkpoint.size}")
    known = held.checkpoint.size if held else 0
    if request.old != known:
        raise OldDiffers(old=request.old, size=known)
    _check_continued(request, checkpoint, held)
    lines = [signer.sign(text, time) for signer in signers]
    note = encode_note(text, [*own, *lines])
    return Remembered(checkpoint, note), "".join(f"{line}\n" for line in lines).encode()


def read_answer(answer: bytes, *, text: str, keys: Iterable[VerifierKey]) -> dict[VerifierKey, tuple[str, int]]:
    """The cosignatures of a witness's answer that are by known keys and hold: key → (line, POSIX seconds).

    Raises:
        FormatError: The answer is no signature lines, or one is malformed.
        SignatureInvalid: A line of a known key does not hold.
        NotSigned: None is by a known key.
    """
    try:
        lines = answer.decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise RequestMalformed(f"an answer that is not UTF-8: {error}") from error
    note = encode_note(text, lines)
    return cosignatures(note, keys)


def cosignatures(note: bytes, keys: Iterable[VerifierKey]) -> dict[VerifierKey, tuple[str, int]]:
    """The cosignatures in a note by known keys: key → (line, POSIX seconds). All that are there must hold.

    Raises:
        NoteMalformed, VkeyMalformed, SignatureInvalid, NotSigned, FormatError: As for `custody.note.open_note`.
    """
    found = {}
    parsed = parse_note(note)
    for key in keys:
        for line in parsed.lines:
            if _is_by(line, key):
                time = key.verify(parsed.text, from_base64(line.rsplit(" ", 1)[1])[len(key.key_id) :])
                if time is not None:
                    found[key] = (line, time)
    if not found:
        raise NotSigned(f"none of {len(parsed.lines)} lines is a cosignature by a known key")
    return found


def merged(note: bytes, lines: Iterable[str]) -> bytes:
    """The note with those of the lines whose keys have not signed it yet."""
    there = {_signer(line) for line in parse_note(note).lines}
    new = {_signer(line): line for line in lines if _signer(line) not in there}
    return add_signatures(note, list(new.values())) if new else note


def _log_lines(note: bytes, keys: Sequence[VerifierKey], origin: str) -> list[str]:
    """The log's own signature lines; what others added is not remembered."""
    try:
        open_checkpoint(note, origin=origin, log=keys)
    except CustodyError as error:
        raise LogNotSigned(f"not signed by every key of the log {origin}: {error}") from error
    return [line for line in parse_note(note).lines if any(_is_by(line, key) for key in keys)]


def _check_continued(request: AddCheckpoint, checkpoint: Checkpoint, held: Remembered | None) -> None:
    if checkpoint.size == 0 and checkpoint.root != _EMPTY_ROOT:
        raise NotContinued(f"a checkpoint of size 0 with root {checkpoint.root.hex()}, which no empty tree has")
    if held is None or request.old == 0:
        if request.proof:
            raise NotContinued(f"{len(request.proof)} hashes from size 0, expected none")
        return
    if request.old == checkpoint.size and checkpoint.root != held.checkpoint.root:
        raise NotContinued(
            f"two roots of size {checkpoint.size}: {held.checkpoint.root.hex()} and {checkpoint.root.hex()}",
            fork=(held.note, request.note),
        )
    try:
        merkle.verify_consistency(
            size1=request.old, size2=checkpoint.size, root1=held.checkpoint.root, root2=checkpoint.root,
            path=request.proof,
        )  # fmt: skip
    except CustodyError as error:
        raise NotContinued(f"size {checkpoint.size} does not go on from size {request.old}: {error}") from error


def _signer(line: str) -> tuple[str, bytes]:
    name, payload = line.removeprefix("— ").split(" ")
    return name, from_base64(payload)[:4]


def _is_by(line: str, key: VerifierKey) -> bool:
    return _signer(line) == (key.name, key.key_id)
