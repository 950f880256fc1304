"""Sizes, indices and times as text: decimal, without sign or leading zeros, below 2^63."""

import re

from custody.errors import FormatError

MAX_DECIMAL = 2**63 - 1
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,18})\Z")


class DecimalMalformed(FormatError):
    """Not the one spelling of a number from 0 to 2^63 - 1."""

    code = "decimal-malformed"


def from_decimal(text: str) -> int:
    """The number of its only spelling.

    Raises:
        DecimalMalformed: Not digits without a leading zero, or 2^63 and more.
    """
    if not _DECIMAL.match(text) or int(text) > MAX_DECIMAL:
        raise DecimalMalformed(f"{text[:40]!r} is not a decimal number below 2^63")
    return int(text)
