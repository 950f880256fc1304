"""Checkpoints as they travel: a note over three lines, signed by every key of the log.

Specification: docs/spec/log.md.
"""

from collections.abc import Iterable, Sequence

from custody.checkpoint_text import Checkpoint, CheckpointMalformed
from custody.errors import VerificationError
from custody.note import Note, NotSigned, SignerKey, VerifierKey, encode_note, open_note

__all__ = ["Checkpoint", "CheckpointMalformed", "NotSigned", "OriginMismatch", "open_checkpoint", "sign_checkpoint"]


class OriginMismatch(VerificationError):
    """A checkpoint, or a key said to be its log's, belongs to another log."""

    code = "origin-mismatch"


def sign_checkpoint(checkpoint: Checkpoint, signers: Iterable[SignerKey], time: int) -> bytes:
    """The note of a checkpoint, signed by each of the signers in order.

    Args:
        checkpoint: What is signed; sign only over leaves that are committed.
        signers: The log's keys, named like its origin; or any cosigners.
        time: POSIX seconds for the signatures that carry a time.
    """
    text = checkpoint.text()
    return encode_note(text, [signer.sign(text, time) for signer in signers])


def open_checkpoint(
    data: bytes, *, origin: str, log: Sequence[VerifierKey], witnesses: Iterable[VerifierKey] = ()
) -> tuple[Checkpoint, Note]:
    """The checkpoint of a note that every key of the log has signed, with all that was verified.

    The reader may conclude that the log of this origin committed to this size and root. Not that it showed
    everybody the same: that is what `witnesses` and a policy over `note.cosignatures()` are for.

    Args:
        data: The note.
        origin: The log's name.
        log: The log's keys, all of which must have signed; at least one.
        witnesses: Further keys whose signatures are verified where they stand.

    Raises:
        NotSigned: A key of the log has not signed, or `log` is empty.
        OriginMismatch: The checkpoint, or a key of the log, bears another name.
        SignatureInvalid: A signature by one of these keys does not hold.
        FormatError: The note or its text is malformed.
    """
    note = open_note(data, (*log, *witnesses))
    signed = {signature.verifier for signature in note.signatures}
    missing = [str(key.name) for key in log if key not in signed]
    if missing or not log:
        raise NotSigned(f"{len(missing)} of {len(log)} keys of the log {origin} did not sign the checkpoint")
    checkpoint = Checkpoint.parse(note.text)
    if {checkpoint.origin, *(key.name for key in log)} != {origin}:
        raise OriginMismatch(f"checkpoint of {checkpoint.origin}, expected one of {origin} by keys of that name")
    return checkpoint, note
