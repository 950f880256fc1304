"""The inventory: what the sender says the plaintext is.

JSON lines inside a sealed item: line 0 describes the acquisition, the others one file each, sorted by raw path bytes.
Each line carries its own salt, and the commitment in the manifest is a Merkle root over the lines: one file can later
be proven to a court without any key and without the other names. Names are the sender's and hostile until checked;
nothing here turns one into a path on disk. Specification: docs/spec/inventory.md.
"""

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from custody import canonical
from custody.errors import FormatError, UnsupportedError, VerificationError
from custody.merkle import CompactRange, leaf_hash
from custody.schema import BASE64, CODE, HASH, ID, TIME, ListOf, OneOf, Record, Text, Whole
from custody.text import from_base64, to_base64

MAX_LINE: Final = 64 * 1024
_DOMAIN: Final = b"rogatory/inventory/v1\0"
_SALT = HASH
_LONG = Text(longest=MAX_LINE)
SOURCE_DIGEST = Record(
    {"algorithm": CODE, "how": OneOf("read", "recomputed"), "value": Text(r"(?:[0-9a-f]{2}){8,64}", longest=128)},
    {"source": _LONG},
)
ACQUISITION = Record(
    {},
    {
        "device": _LONG,
        "examiner": _LONG,
        "finished": TIME,
        "notes": _LONG,
        "serial": _LONG,
        "source_digests": ListOf(SOURCE_DIGEST, least=1, most=256),
        "started": TIME,
        "tool": _LONG,
        "version": _LONG,
    },
)
EXHIBIT = Record({"number": _LONG}, {"description": _LONG})
HEAD = Record(
    {"count": Whole(), "kind": OneOf("inventory"), "package": ID, "salt": _SALT, "v": OneOf(1)},
    {"acquisition": ACQUISITION, "exhibits": ListOf(EXHIBIT, least=1, most=256)},
)
EXTENT = Record({"item": ID, "offset": Whole(), "size": Whole()})
LINE = Record(
    {"salt": _SALT, "type": OneOf("device", "directory", "file", "symlink")},
    {
        "blake3": HASH,
        "extents": ListOf(EXTENT, least=1, most=256),
        "mtime": TIME,
        "path": _LONG,
        "path_b64": BASE64,
        "sha256": HASH,
        "size": Whole(),
        "target": _LONG,
        "target_b64": BASE64,
    },
)


class InventoryMalformed(FormatError):
    """Not an inventory: order, count or a member that does not fit its type."""

    code = "inventory-malformed"


class UnknownInventory(UnsupportedError):
    """An inventory of another version."""

    code = "unknown-version"


class InventoryMismatch(VerificationError):
    """An inventory is not the one the manifest commits to."""

    code = "inventory-mismatch"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One file, directory, link or device of the source.

    Attributes:
        path: Raw bytes, relative, `/` between its parts; as found, not normalised.
        type: `file`, `directory`, `symlink` or `device`.
        size: Plaintext bytes; with digests and extents present exactly for files and devices.
        extents: (item id, offset, size) in the plaintext of items, in the file's order.
        target: Raw bytes of a link's target.
        mtime: As written in the source, UTC.
    """

    path: bytes
    type: str
    size: int | None = None
    sha256: bytes | None = None
    blake3: bytes | None = None
    extents: Sequence[tuple[str, int, int]] = ()
    target: bytes | None = None
    mtime: str | None = None

    def fields(self, salt: bytes) -> dict[str, Any]:
        """As it stands in the inventory."""
        fields: dict[str, Any] = {"type": self.type, "salt": salt.hex(), **_text("path", self.path)}
        if self.size is not None:
            fields["size"] = self.size
        if self.sha256 is not None and self.blake3 is not None:
            fields |= {"sha256": self.sha256.hex(), "blake3": self.blake3.hex()}
        if self.extents:
            fields["extents"] = [{"item": item, "offset": at, "size": size} for item, at, size in self.extents]
        if self.target is not None:
            fields |= _text("target", self.target)
        if self.mtime is not None:
            fields["mtime"] = self.mtime
        return fields


class InventoryWriter:
    """Writes an inventory line by line and computes its commitment."""

    def __init__(
        self,
        target: BinaryIO,
        *,
        package: str,
        count: int,
        acquisition: Mapping[str, Any] | None = None,
        exhibits: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        head: dict[str, Any] = {"v": 1, "kind": "inventory", "package": package, "count": count}
        head["salt"] = secrets.token_hex(32)
        if acquisition:
            head["acquisition"] = dict(acquisition)
        if exhibits:
            head["exhibits"] = [dict(exhibit) for exhibit in exhibits]
        HEAD.check(head)
        self._target = target
        self._count = count
        self._before = b""
        self._tree = CompactRange()
        self._head = self._write(head)

    def add(self, line: Line) -> None:
        """The next file. Paths must ascend by raw bytes, none twice.

        Raises:
            InventoryMalformed: Out of order, or members that do not fit the type.
        """
        _check_order(self._before, line.path)
        fields = line.fields(secrets.token_bytes(32))
        LINE.check(fields)
        _check_line(fields, line)
        self._before = line.path
        self._tree.append(leaf_hash(self._write(fields)))

    def finish(self) -> bytes:
        """The commitment, 32 bytes.

        Raises:
            InventoryMalformed: Fewer or more lines than said in line 0.
        """
        return _commitment(self._head, self._count, self._tree)

    def _write(self, fields: dict[str, Any]) -> bytes:
        data = canonical.encode(fields)
        if len(data) > MAX_LINE:
            raise InventoryMalformed(f"inventory line of {len(data)} bytes, expected at most {MAX_LINE}")
        self._target.write(data + b"\n")
        return data


class InventoryReader:
    """Reads an inventory line by line; `commitment` is there once `lines` is exhausted.

    Nothing read may be relied on before the commitment was compared with the manifest's: see `check`.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._head = self._read()
        head = canonical.decode(self._head, max_bytes=MAX_LINE)
        if type(head.get("v")) is int and head["v"] != 1:
            raise UnknownInventory(f"inventory of version {head['v']}, this code knows 1")
        HEAD.check(head)
        self.head = head
        self._tree = CompactRange()

    def lines(self) -> Iterator[Line]:
        """Every line, held to the schema, the order and the count.

        Raises:
            NotCanonical, SchemaMismatch, InventoryMalformed: It is no inventory.
        """
        return (line for _, line in self.raw_lines())

    def raw_lines(self) -> Iterator[tuple[bytes, Line]]:
        """The same, each with its bytes, LF excluded.

        Raises:
            NotCanonical, SchemaMismatch, InventoryMalformed: It is no inventory.
        """
        before = b""
        for _ in range(self.head["count"]):
            data = self._read()
            fields = canonical.decode(data, max_bytes=MAX_LINE)
            LINE.check(fields)
            line = line_of(fields)
            _check_order(before, line.path)
            before = line.path
            self._tree.append(leaf_hash(data))
            yield data, line
        if self._source.read(1):
            raise InventoryMalformed(f"bytes follow the {self.head['count']} lines of the inventory")

    def check(self, commitment: str, *, package: str) -> None:
        """Compare with the manifest, after `lines` is exhausted.

        Raises:
            InventoryMismatch: Another inventory, or of another package.
        """
        if self.head["package"] != package:
            raise InventoryMismatch(f"inventory is of package {self.head['package']}, expected {package}")
        found = _commitment(self._head, self.head["count"], self._tree).hex()
        if found != commitment:
            raise InventoryMismatch(f"inventory has commitment {found}, the manifest names {commitment}")

    def _read(self) -> bytes:
        line = self._source.readline(MAX_LINE + 1)
        if not line.endswith(b"\n"):
            raise InventoryMalformed("inventory ends within a line, or a line is too long")
        return line[:-1]


def commitment_of(head: bytes, count: int, root: bytes) -> bytes:
    """The commitment over the SHA-256 of line 0, the number of lines after it and their root; 32 bytes."""
    return hashlib.sha256(_DOMAIN + head + count.to_bytes(8, "big") + root).digest()


def _commitment(head: bytes, count: int, tree: CompactRange) -> bytes:
    if tree.size != count:
        raise InventoryMalformed(f"inventory has {tree.size} lines, line 0 says {count}")
    return commitment_of(hashlib.sha256(head).digest(), count, tree.root())


def _text(name: str, raw: bytes) -> dict[str, str]:
    try:
        return {name: raw.decode()}
    except UnicodeDecodeError:
        return {f"{name}_b64": to_base64(raw)}


def _raw(name: str, fields: Mapping[str, Any]) -> bytes | None:
    if name in fields:
        return str(fields[name]).encode()
    if f"{name}_b64" not in fields:
        return None
    raw = from_base64(fields[f"{name}_b64"])
    if _text(name, raw).keys() == {name}:
        raise InventoryMalformed(f"{name}_b64 holds valid text, expected it as {name}")
    return raw


def line_of(fields: Mapping[str, Any]) -> Line:
    """A line from members that fit LINE.

    Raises:
        InventoryMalformed: They do not fit each other.
    """
    path = _raw("path", fields)
    if path is None or {"path", "path_b64"} <= fields.keys() or {"target", "target_b64"} <= fields.keys():
        raise InventoryMalformed("a line has exactly one of path and path_b64, at most one of target and target_b64")
    digests = [bytes.fromhex(fields[name]) if name in fields else None for name in ("sha256", "blake3")]
    line = Line(
        path=path,
        type=fields["type"],
        size=fields.get("size"),
        sha256=digests[0],
        blake3=digests[1],
        extents=[(extent["item"], extent["offset"], extent["size"]) for extent in fields.get("extents", ())],
        target=_raw("target", fields),
        mtime=fields.get("mtime"),
    )
    _check_line(fields, line)
    return line


def _check_line(fields: Mapping[str, Any], line: Line) -> None:
    holds_bytes = line.type in ("device", "file")
    if b"\0" in line.path:
        raise InventoryMalformed(f"path {line.path[:80]!r} holds a NUL")
    given = {"blake3", "sha256", "size"} & fields.keys()
    if len(given) != (3 if holds_bytes else 0) or (line.extents and not holds_bytes):
        raise InventoryMalformed(f"a {line.type} {'needs' if holds_bytes else 'has no'} size and both digests")
    if (line.type == "symlink") != (line.target is not None):
        raise InventoryMalformed(f"a {line.type} {'needs' if line.type == 'symlink' else 'has no'} target")
    if sum(size for _, _, size in line.extents) != (line.size or 0):
        raise InventoryMalformed(f"extents of {line.path[:80]!r} do not make up its size")


def _check_order(before: bytes, path: bytes) -> None:
    if not before < path:
        raise InventoryMalformed(f"path {path[:80]!r} stands after {before[:80]!r}, expected ascending order")
