"""The table of an export: the entries as CSV, for people with a spreadsheet.

A deterministic function of the entries' bytes, so that a verifier computes it again and compares. Every cell is
quoted; a cell that a spreadsheet would take for a formula gets an apostrophe in front. The table proves nothing by
itself. Specification: docs/spec/bundle.md, section "Export".
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any, Final

import orjson

COLUMNS: Final = (
    "seq", "time", "event", "authority", "principal", "key", "package", "item", "request", "subject", "statement",
    "envelope", "noted", "nonce", "prev", "sha256",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")


def table(entries: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of entries.csv, the first names the columns; UTF-8, each ends with CR LF.

    Args:
        entries: Exact bytes of entries that were parsed before (`custody.entry.parse`).
    """
    yield _line(COLUMNS)
    for data in entries:
        yield _line(_cells(data))


def _cells(data: bytes) -> Iterator[str]:
    fields: dict[str, Any] = orjson.loads(data)
    actor, subject, statement = fields["actor"], dict(fields.get("subject", {})), fields.get("statement", {})
    yield from (str(fields["seq"]), fields["time"], fields["event"])
    yield from (actor.get(name, "") for name in ("authority", "principal", "key"))
    yield from (subject.pop(name, "") for name in ("package", "item", "request"))
    yield " ".join(f"{name}={value}" for name, value in sorted(subject.items()))
    yield from (statement.get("id", ""), statement.get("envelope", ""))
    yield orjson.dumps(fields["noted"], option=orjson.OPT_SORT_KEYS).decode() if "noted" in fields else ""
    yield from (fields["nonce"], fields["prev"], sha256(data).hexdigest())


def _line(cells: Iterable[str]) -> bytes:
    return (",".join(map(_cell, cells)) + "\r\n").encode()


def _cell(text: str) -> str:
    guarded = f"'{text}" if text.startswith(_FORMULA) else text
    return '"' + guarded.replace('"', '""') + '"'
