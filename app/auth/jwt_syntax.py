"""Our own strict reading of a compact JWS: what text is a token at all, before any library sees it.

Common decoders take white space, padding, stray bits, duplicate members, fractions, NaN and any depth; each
is a way for two readers to see two tokens in one text. Everything here has one reading or is refused.
Nothing here proves anything about who wrote the token: that is the signature's business (`app.auth.tokens`).

Source: RFC 7515 sections 3.1 and 5.2, RFC 4648 section 5, docs/spec/tokens.md.
"""

import base64
import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from custody.errors import VerificationError

MAX_TOKEN_BYTES = 8 * 1024
MAX_DEPTH = 4
SIGNATURE_BYTES = 64
# The order of P-256's base point (FIPS 186-5, SEC 2 section 2.4.2): r and s of a signature lie in 1 … n − 1.
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_PART = re.compile(r"[A-Za-z0-9_-]+\Z")
# Sixteen digits hold every integer JavaScript can; longer ones are nobody's time or count.
_INTEGER = re.compile(r"(?:0|-?[1-9][0-9]{0,15})\Z")
_STRUCTURE = re.compile(r"""\\.|["{}\[\]]""", re.DOTALL)


class TokenRefused(VerificationError):
    """A token or assertion is not accepted. Whoever sent it learns this much and no more.

    `reason` is a short word for the service's own log; it never contains any part of the token.
    """

    code = "token-refused"

    def __init__(self, reason: str) -> None:
        super().__init__("token found invalid, expected one this service accepts")
        self.reason = reason


class TokenExpired(TokenRefused):
    """Well-formed, and its time is over. The presenter knew `exp`, so saying so gives nothing away."""

    code = "token-expired"


@dataclass(frozen=True)
class Unverified:
    """The parts of a token as we read them. Say nothing about who wrote it."""

    header: dict[str, Any]
    claims: dict[str, Any]
    payload: bytes
    signature: bytes


def parse(token: object) -> Unverified:
    """Read a compact JWS with an ES256-shaped signature.

    The reader may conclude that the text has exactly one reading, and that `signature` is 64 bytes of r ‖ s
    with both inside 1 … n − 1; not that it verifies.

    Raises:
        TokenRefused: Over 8 KiB, not three canonical base64url parts, or not strict JSON of depth ≤ 4.
    """
    if type(token) is not str or not token.isascii() or len(token) > MAX_TOKEN_BYTES:
        raise TokenRefused("size-or-alphabet")
    parts = token.split(".", 4)
    if len(parts) != 3:
        raise TokenRefused("parts")
    header, payload, signature = (_from_base64url(part) for part in parts)
    _check_signature_shape(signature)
    return Unverified(header=parse_object(header), claims=parse_object(payload), payload=payload, signature=signature)


def parse_object(data: bytes) -> dict[str, Any]:
    """One JSON object: UTF-8, depth ≤ 4, no duplicate member, no fraction, NaN or huge integer.

    White space between tokens is allowed, since the bytes themselves are what is signed.

    Raises:
        TokenRefused: Anything else.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise TokenRefused("utf-8") from None
    _check_depth(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_int=_integer,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except ValueError:  # its `doc` holds the token's text: it must not travel on as a cause
        raise TokenRefused("json") from None
    if type(value) is not dict:
        raise TokenRefused("json")
    return value


def _from_base64url(part: str) -> bytes:
    """Bytes of unpadded base64url in its only spelling."""
    if not _PART.match(part) or len(part) % 4 == 1:
        raise TokenRefused("base64url")
    data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii") != part:
        raise TokenRefused("base64url")
    return data


def _check_signature_shape(signature: bytes) -> None:
    """64 bytes, r and s in range: neither DER nor the zeros that broken verifiers took for anybody's signature."""
    if len(signature) != SIGNATURE_BYTES:
        raise TokenRefused("signature-shape")
    for half in (signature[:32], signature[32:]):
        if not 0 < int.from_bytes(half, "big") < _P256_ORDER:
            raise TokenRefused("signature-shape")


def _check_depth(text: str) -> None:
    """Bound the nesting before the recursive parser runs. Text that is no JSON may pass; the parser refuses it."""
    depth, inside_string = 0, False
    for match in _STRUCTURE.finditer(text):
        mark = match.group()
        if mark == '"':
            inside_string = not inside_string
        elif not inside_string and mark in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise TokenRefused("depth")
        elif not inside_string and mark in "}]":
            depth -= 1


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise TokenRefused("duplicate-member")
    return members


def _integer(token: str) -> int:
    if not _INTEGER.match(token):
        raise TokenRefused("number")
    return int(token)


def _refuse_number(_token: str) -> NoReturn:
    raise TokenRefused("number")
