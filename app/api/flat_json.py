"""Bodies of requests: one object of texts, read in a time and memory that follow from its size alone.

A general reader of JSON makes millions of objects of a body of brackets, or fails on its depth. No body of this
service holds anything but texts, so anything else is refused where it begins.
"""

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined] # CPython's own, in C; what json.loads reads texts with
from typing import Final

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_MOST: Final = 16
"""Members read; no schema here has as many."""


class NotFlat(ValueError):
    """JSON perhaps, and no object of texts."""


def parse(data: bytes) -> dict[str, str]:
    """The object that a body spells.

    Raises:
        json.JSONDecodeError: It spells no JSON.
        NotFlat: It holds something else than texts, a member twice, or many members.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise json.JSONDecodeError("not UTF-8", "", error.start) from error
    at = _expect(text, 0, "{")
    found: dict[str, str] = {}
    at, end = _end(text, at, "}")
    while not end:
        name, at = scanstring(text, _expect(text, at, '"'), True)
        at = _expect(text, at, ":")
        value, at = scanstring(text, _expect(text, at, '"'), True)
        if name in found or len(found) == _MOST:
            raise NotFlat("a member stands there twice, or there are many")
        found[name] = value
        at, end = _end(text, at, "}")
        if not end:
            at = _expect(text, at, ",")
    if _after_space(text, at) != len(text):
        raise json.JSONDecodeError("more than one value", "", at)
    return found


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()


def _end(text: str, at: int, mark: str) -> tuple[int, bool]:
    at = _after_space(text, at)
    return (at + 1, True) if text[at : at + 1] == mark else (at, False)


def _expect(text: str, at: int, mark: str) -> int:
    """The place behind a mark."""
    at = _after_space(text, at)
    found = text[at : at + 1]
    if found == mark:
        return at + 1
    if mark in '{"' and found and found in '[{"-0123456789tfn':
        raise NotFlat(f"{found} where {mark} was expected")
    raise json.JSONDecodeError(f"expected {mark}", "", at)
