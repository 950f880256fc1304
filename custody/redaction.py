"""Disclosing a part of a chain: entries are withheld, and everything still proves.

A withheld entry keeps its line in `leaves.jsonl` (hash, salt, label, place), so chain, inclusion and completeness are
checked across it; its nonce keeps the hash from being guessed. What only withheld entries speak of goes with them:
their statements, and the headers and parts lists of their packages. Registries are never redacted: who was entitled to
sign must always be seen. Specification: docs/spec/bundle.md, section "Redaction".
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from custody import entry, packing, statement
from custody.archive import Source
from custody.bundle import Bundle, BundleMalformed, repacked_files
from custody.entry import Entry
from custody.packing import HEADER_LINE, PARTS_LINE
from custody.table import table

_FRAME: Final = frozenset({"exchange.opened", "exchange.closed", "party.added"})
"""What belongs to no package and is needed to read any: who the parties are, and whether it is over."""


def only(*packages: str) -> Callable[[Entry], bool]:
    """Disclose what speaks of these packages, besides who the parties are and whether the exchange is closed."""
    return lambda made: made.event in _FRAME or made.subject.get("package") in packages


def without(*seqs: int) -> Callable[[Entry], bool]:
    """Disclose all but the entries with these `seq`."""
    return lambda made: made.seq not in seqs


def redacted_files(bundle: Bundle, disclosed: Callable[[Entry], bool]) -> Iterator[tuple[str, Source]]:
    """Name and source of each file of the redacted bundle, the packing list first.

    Renewals are left out: they list files that are no longer the same. Have the redacted bundle renewed instead.

    Args:
        bundle: The whole bundle, or one that is redacted already; verify it first.
        disclosed: Which entries of the exchange are shown.

    Raises:
        BundleMalformed: The bundle is of a registry.
        FormatError: A file of it is malformed.
    """
    if bundle.packing.kind == "registry":
        raise BundleMalformed("a registry is never redacted")
    kept = [made for line in _lines(bundle, "entries.jsonl") if disclosed(made := entry.parse(line))]
    entries = [made.data for made in kept]
    statements = _statements(bundle, {made.statement_id for made in kept} | _carried(bundle))
    headers, items = _named(statements)
    changed: dict[str, bytes | None] = {
        "entries.jsonl": _joined(entries),
        "statements.jsonl": _joined([said.envelope for said in statements]),
    }
    changed |= dict.fromkeys(bundle.names("renewal/"))
    changed |= {name: None for name in bundle.names("headers/") if name.rpartition("/")[2] not in headers}
    changed |= {name: None for name in bundle.names("parts/") if name.rpartition("/")[2] not in items}
    for name, schema, key, value, wanted in (
        ("headers.jsonl", HEADER_LINE, "sha256", "header", headers),
        ("parts.jsonl", PARTS_LINE, "item", "parts", items),
    ):
        if name in bundle:
            rows = packing.parse_named(schema, key, value, bundle.read(name)).items()
            shown = [(row, data) for row, data in rows if row in wanted]
            changed[name] = b"".join(packing.encode_named(schema, key, value, shown))
    if bundle.packing.kind == "export":
        changed["entries.csv"] = b"".join(table(entries))
    yield from repacked_files(bundle, changed)


def _carried(bundle: Bundle) -> set[str | None]:
    """Ids of the statements of every registry and of the service's chain, which stay."""
    names = [name for name in bundle.names() if name.endswith("/entries.jsonl")]
    return {entry.parse(line).statement_id for name in names for line in _lines(bundle, name)}


def _statements(bundle: Bundle, ids: set[str | None]) -> list[statement.Statement]:
    found = (statement.parse(line) for line in _lines(bundle, "statements.jsonl"))
    return [said for said in found if said.id in ids]


def _named(statements: list[statement.Statement]) -> tuple[set[str], set[str]]:
    """Digests of the headers, and ids of the items, that disclosed manifests and grants name."""
    named: list[dict[str, Any]] = []
    items: set[str] = set()
    for said in statements:
        if said.kind in ("manifest", "grant"):
            named += said.payload["items"]
        if said.kind == "manifest":
            named.append(said.payload["inventory"])
            items |= {member["id"] for member in (*said.payload["items"], said.payload["inventory"])}
    return {member["header"]["sha256"] for member in named}, items


def _lines(bundle: Bundle, name: str) -> list[bytes]:
    return packing.split_lines(bundle.read(name))


def _joined(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)
