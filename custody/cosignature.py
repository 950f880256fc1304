"""What a cosigner signs: a checkpoint, at a time.

Two kinds. The Ed25519 one covers the time and the text; the ML-DSA-44 one also the cosigner's name, and is
made so that it could speak of a part of the tree (never here: it begins at leaf 0). Both say that at that
time this was the largest consistent tree of the origin that the cosigner knew.
Source: C2SP tlog-cosignature. Specification: docs/spec/log.md.
"""

from custody.checkpoint_text import Checkpoint
from custody.decimal import MAX_DECIMAL
from custody.errors import FormatError

TIME_SIZE = 8


class CosignatureMalformed(FormatError):
    """A time outside 1 to 2^63 - 1, or a payload too short to hold one."""

    code = "cosignature-malformed"


def ed25519_message(*, time: int, text: str) -> bytes:
    """The bytes that an Ed25519 cosignature (type 0x04) signs.

    Args:
        time: POSIX seconds, at least 1.
        text: The checkpoint's text.

    Raises:
        CosignatureMalformed: The time is out of bounds.
        CheckpointMalformed: The text is not a checkpoint (or another FormatError of its parts).
    """
    _check_time(time)
    return f"cosignature/v1\ntime {time}\n{Checkpoint.parse(text).text()}".encode()


def mldsa44_message(*, cosigner: str, time: int, text: str) -> bytes:
    """The bytes that an ML-DSA-44 cosignature (type 0x06, empty context) signs.

    Args:
        cosigner: The key's name, 1 to 255 bytes of ASCII.
        time: POSIX seconds, at least 1.
        text: The checkpoint's text.

    Raises:
        CosignatureMalformed: The time is out of bounds.
        CheckpointMalformed: The text is not a checkpoint (or another FormatError of its parts).
    """
    _check_time(time)
    checkpoint = Checkpoint.parse(text)
    start_and_end = bytes(8) + checkpoint.size.to_bytes(8, "big")
    return b"".join(
        (
            b"subtree/v1\n\x00",
            _counted(cosigner),
            time.to_bytes(TIME_SIZE, "big"),
            _counted(checkpoint.origin),
            start_and_end,
            checkpoint.root,
        )
    )


def encode(*, time: int, signature: bytes) -> bytes:
    """What stands after the key id in a cosignature's line: the time, then the signature."""
    _check_time(time)
    return time.to_bytes(TIME_SIZE, "big") + signature


def parse(payload: bytes) -> tuple[int, bytes]:
    """The time in POSIX seconds and the signature of what stands after the key id.

    Raises:
        CosignatureMalformed: Too short, or a time of 0 (which would state nothing) or above 2^63 - 1.
    """
    if len(payload) <= TIME_SIZE:
        raise CosignatureMalformed(f"{len(payload)} bytes hold no time and signature")
    time = int.from_bytes(payload[:TIME_SIZE], "big")
    _check_time(time)
    return time, payload[TIME_SIZE:]


def _check_time(time: int) -> None:
    if not 1 <= time <= MAX_DECIMAL:
        raise CosignatureMalformed(f"time {time} of a cosignature, expected 1 to 2^63 - 1")


def _counted(name: str) -> bytes:
    data = name.encode()
    return bytes([len(data)]) + data
