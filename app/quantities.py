"""Numbers, sizes and durations as people write them."""

import re
from datetime import timedelta
from typing import Final

MIB: Final = 2**20
GIB: Final = 2**30
_UNITS: Final = {"": 1, "KiB": 2**10, "MiB": MIB, "GiB": GIB, "TiB": 2**40}
_SPANS: Final = {"ms": 0.001, "": 1, "s": 1, "min": 60, "h": 3600, "d": 86_400}
_QUANTITY: Final = re.compile(r"(0|[1-9][0-9]{0,17}) ?([A-Za-z]*)\Z")


def number(value: str) -> int:
    """The whole number that a text spells.

    Raises:
        ValueError: It spells none; says what was expected.
    """
    if not re.fullmatch(r"0|[1-9][0-9]{0,9}", value, re.ASCII):
        raise ValueError("a whole number")
    return int(value)


def size(value: str) -> int:
    """The bytes that a text such as `16MiB` spells.

    Raises:
        ValueError: It spells none; says what was expected.
    """
    match = _QUANTITY.match(value)
    if not match or match[2] not in _UNITS:
        raise ValueError("bytes such as 16777216, 16MiB or 4GiB")
    return int(match[1]) * _UNITS[match[2]]


def duration(value: str) -> timedelta:
    """The span that a text such as `7d` spells.

    Raises:
        ValueError: It spells none; says what was expected.
    """
    match = _QUANTITY.match(value)
    if not match or match[2] not in _SPANS or len(match[1]) > 9:  # longer ones overflow a timedelta
        raise ValueError("a duration such as 250ms, 60s, 10min, 24h or 7d")
    return timedelta(seconds=int(match[1]) * _SPANS[match[2]])
