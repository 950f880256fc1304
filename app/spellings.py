"""What an operator may write where no quantity is meant: names, paths, choices, addresses."""

import enum
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from storage.s3_address import S3Address

_MOST, _LONGEST = 8, 512
_SWITCH: Final = {"on": True, "off": False}


def text(value: str) -> str:
    """Printable text.

    Raises:
        ValueError: As for all of these: says what was expected.
    """
    if not value or not value.isprintable():
        raise ValueError("printable text")
    return value


def path(value: str) -> Path:
    """A path, of a home directory too."""
    if not value or "\0" in value:
        raise ValueError("a path")
    return Path(value).expanduser()


def store_place(value: str) -> Path | S3Address:
    """A directory, or a place in a bucket."""
    if value.lower().startswith("s3:"):
        return S3Address.parse(value)
    if "://" in value:
        raise ValueError("a path, or s3://bucket/prefix")
    return path(value)


def names(value: str) -> tuple[str, ...]:
    """Names, separated by commas."""
    found = tuple(name.strip() for name in value.split(","))
    if not all(found):
        raise ValueError("names separated by commas")
    return found


def choice(kind: type[enum.StrEnum]) -> Callable[[str], enum.StrEnum]:
    """One of the values of an enumeration."""

    def parse(value: str) -> enum.StrEnum:
        try:
            return kind(value)
        except ValueError:
            raise ValueError(f"one of {', '.join(kind)}") from None

    return parse


def switch(value: str) -> bool:
    """`on` or `off`."""
    if value not in _SWITCH:
        raise ValueError("on or off")
    return _SWITCH[value]


def addresses(value: str) -> tuple[str, ...]:
    """A few addresses of HTTP, separated by blanks; none of them holds a password."""
    found = tuple(value.split())
    if len(set(found)) != len(found) or len(found) > _MOST or not all(map(_is_address, found)):
        raise ValueError(
            f"at most {_MOST} addresses of http:// or https://, each once, without a password, "
            f"of at most {_LONGEST} characters"
        )
    return found


def _is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        fit = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return fit and "@" not in parts.netloc and not parts.fragment and len(value) <= _LONGEST
