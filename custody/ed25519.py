"""Ed25519 with one answer: every verifier that follows these rules accepts the same signatures.

RFC 8032 leaves room, and libraries differ on odd points. Here: A and R are canonical encodings and not of
small order, S < L, and the encoding of [S]B - [k]A equals R byte for byte (no cofactor). OpenSSL does the
last two; the comparisons before it do the rest. At enrolment a key must also lie in the prime-order group.
Specification: docs/spec/log.md.
"""

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from custody.errors import FormatError, VerificationError

PUBLIC_SIZE = 32
SIGNATURE_SIZE = 64

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)
_SIGN = 1 << 255
_CACHED_KEYS = 4096

Point = tuple[int, int, int, int]
"""Extended coordinates (X, Y, Z, T) of the point (X/Z, Y/Z), with T = XY/Z."""

_NEUTRAL: Point = (0, 1, 1, 0)

_Y_OF_ORDER_8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_SMALL_ORDER_Y = frozenset({0, 1, _P - 1, _Y_OF_ORDER_8, _P - _Y_OF_ORDER_8})
"""The y of the eight points whose order divides 8; each but 1 and -1 stands for two, by the sign of x."""


class SignatureInvalid(VerificationError):
    """A signature does not belong to this message and key, or is of a kind that verifiers could disagree on."""

    code = "signature-invalid"


class PublicKeyRefused(FormatError):
    """32 bytes that are no public key of the prime-order group in its canonical encoding."""

    code = "public-key-refused"


def verify(public: bytes, signature: bytes, message: bytes) -> None:
    """Check a signature strictly; return only if it holds.

    The reader may conclude that whoever holds the private key of `public` signed exactly this message.

    Args:
        public: A, 32 bytes.
        signature: R and S, 64 bytes.
        message: The signed bytes.

    Raises:
        SignatureInvalid: Anything but a signature that every strict verifier accepts.
    """
    key = _known(public)
    if key is None:
        raise SignatureInvalid(f"public key {public.hex()[:80]} is not canonical or of small order")
    if len(signature) != SIGNATURE_SIZE or not _is_plain(signature[:32]):
        raise SignatureInvalid("signature is not 64 bytes, or its R not canonical or of small order")
    if int.from_bytes(signature[32:], "little") >= _L:
        raise SignatureInvalid("S of the signature is not below the group order")
    try:
        key.verify(signature, message)
    except InvalidSignature as error:
        raise SignatureInvalid(f"signature does not belong to the message and key {public.hex()}") from error


@lru_cache(maxsize=_CACHED_KEYS)
def check_public(public: bytes) -> None:
    """Check that 32 bytes may be enrolled as a public key: canonical, on the curve, of prime order.

    Milliseconds, once per key; `verify` does not repeat it.

    Raises:
        PublicKeyRefused: They may not.
    """
    if len(public) != PUBLIC_SIZE or not _is_plain(public):
        raise PublicKeyRefused(f"{public.hex()[:80]} is not a canonical public key, or of small order")
    point = _decode(public)
    if point is None:
        raise PublicKeyRefused(f"{public.hex()} is no point of the curve")
    x, y, z, _ = _multiply(_L, point)
    if x % _P or (y - z) % _P:
        raise PublicKeyRefused(f"{public.hex()} has a component of small order")


@lru_cache(maxsize=_CACHED_KEYS)
def _known(public: bytes) -> Ed25519PublicKey | None:
    if len(public) != PUBLIC_SIZE or not _is_plain(public):
        return None
    return Ed25519PublicKey.from_public_bytes(public)


def _is_plain(encoding: bytes) -> bool:
    """Whether 32 bytes encode a y below p that is not of a small-order point (a sign bit changes neither)."""
    y = int.from_bytes(encoding, "little") & (_SIGN - 1)
    return y < _P and y not in _SMALL_ORDER_Y


def _decode(encoding: bytes) -> Point | None:
    """The point with this canonical y and sign of x; none if no such point exists. Source: RFC 8032 section 5.1.3."""
    value = int.from_bytes(encoding, "little")
    y, sign = value & (_SIGN - 1), value >> 255
    x = _square_root((y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P)
    if x is None or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _square_root(square: int) -> int | None:
    root = pow(square, (_P + 3) // 8, _P)
    if root * root % _P != square:
        root = root * _ROOT_OF_MINUS_ONE % _P
    return root if root * root % _P == square else None


def _add(left: Point, right: Point) -> Point:
    """Sum of two points, complete: also for equal and neutral ones. Source: RFC 8032 section 5.1.4."""
    a = (left[1] - left[0]) * (right[1] - right[0]) % _P
    b = (left[1] + left[0]) * (right[1] + right[0]) % _P
    c = 2 * _D * left[3] * right[3] % _P
    d = 2 * left[2] * right[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(scalar: int, point: Point) -> Point:
    """Of public values only: its time depends on the scalar."""
    total = _NEUTRAL
    while scalar:
        if scalar & 1:
            total = _add(total, point)
        point = _add(point, point)
        scalar >>= 1
    return total
