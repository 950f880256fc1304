"""Bech32 as age spells keys with it: a prefix, `1`, five bits a character, a checksum of six characters.

The 90-character limit of the original is lifted, as age does: a hybrid recipient has 1,959 characters.
The checksum then no longer promises to find every four wrong characters, only all but one in 2^30.
Strict on the way in: one case throughout, unused bits zero, so that bytes have one spelling in each case.

Source: BIP 173.
"""

from custody.errors import FormatError

MAX_LENGTH = 4096
_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUE = {character: value for value, character in enumerate(_ALPHABET)}
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_LENGTH = 6


class Bech32Malformed(FormatError):
    """Not Bech32. The message never repeats the text: it may be a secret key with a typing error."""

    code = "bech32-malformed"


def encode(prefix: str, data: bytes) -> str:
    """The lower-case spelling of bytes under a lower-case prefix of printable ASCII."""
    words = _to_words(data)
    remainder = _polymod([*_spread(prefix), *words, *[0] * _CHECKSUM_LENGTH]) ^ 1
    checksum = [(remainder >> (5 * (5 - place))) & 31 for place in range(_CHECKSUM_LENGTH)]
    return f"{prefix}1{''.join(_ALPHABET[word] for word in words + checksum)}"


def decode(text: str) -> tuple[str, bytes]:
    """Prefix, in lower case, and bytes of a spelling all in one case.

    Raises:
        Bech32Malformed: Mixed case, a foreign character, a wrong checksum, stray bits, over 4,096 characters.
    """
    if len(text) > MAX_LENGTH:
        raise Bech32Malformed(f"{len(text)} characters, expected at most {MAX_LENGTH}")
    if text not in (text.lower(), text.upper()) or not text.isascii():
        raise Bech32Malformed("upper and lower case are mixed, or a character is not ASCII")
    prefix, separator, tail = text.lower().rpartition("1")
    if not separator or not prefix or len(tail) < _CHECKSUM_LENGTH:
        raise Bech32Malformed("no separator 1 between a prefix and at least six characters")
    if not all("!" <= character <= "~" for character in prefix) or not all(c in _VALUE for c in tail):
        raise Bech32Malformed("a character outside the alphabet")
    words = [_VALUE[character] for character in tail]
    if _polymod([*_spread(prefix), *words]) != 1:
        raise Bech32Malformed("wrong checksum: a character is wrong, missing or too many")
    return prefix, _from_words(words[:-_CHECKSUM_LENGTH])


def _spread(prefix: str) -> list[int]:
    codes = prefix.encode("ascii")
    return [code >> 5 for code in codes] + [0] + [code & 31 for code in codes]


def _polymod(words: list[int]) -> int:
    remainder = 1
    for word in words:
        top = remainder >> 25
        remainder = ((remainder & 0x1FFFFFF) << 5) ^ word
        for place, generator in enumerate(_GENERATORS):
            if top >> place & 1:
                remainder ^= generator
    return remainder


def _to_words(data: bytes) -> list[int]:
    count = -(-len(data) * 8 // 5)
    number = int.from_bytes(data, "big") << (count * 5 - len(data) * 8)
    return [number >> (5 * (count - 1 - place)) & 31 for place in range(count)]


def _from_words(words: list[int]) -> bytes:
    size, stray = divmod(len(words) * 5, 8)
    number = 0
    for word in words:
        number = number << 5 | word
    if stray >= 5 or number & ((1 << stray) - 1):
        raise Bech32Malformed("unused bits at the end are not zero")
    return (number >> stray).to_bytes(size, "big")
