"""The packing list of a bundle and the spelling of its small files.

`bundle.json` says what the container holds, so that damage on the way is named at once. It is no evidence: whoever
changes a bundle changes its packing list too. Specification: docs/spec/bundle.md.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, NoReturn

from custody import canonical
from custody.batch import BatchMalformed
from custody.canonical import MAX_INTEGER
from custody.decimal import from_decimal
from custody.errors import FormatError, UnsupportedError
from custody.schema import HASH, ORIGIN, Hex, ListOf, OneOf, Record, Text, Whole
from custody.tail import TailProof
from custody.text import from_base64, to_base64

PACKING_LIST: Final = "bundle.json"
KINDS: Final = ("exchange", "export", "registry")
MANY: Final = 20_000
"""Above so many headers and parts lists together they lie in one file each."""

_FILE = Record({"path": Text(r"[a-z0-9._/-]+", longest=255), "sha256": HASH, "sha512": Hex(64), "size": Whole()})
PACKING: Final = Record(
    {
        "chain": HASH,
        "files": ListOf(_FILE, least=1, most=100_000, ordered=("path",)),
        "kind": OneOf(*KINDS),
        "log": ORIGIN,
        "size": Whole(1),
        "v": OneOf(1),
    }
)
TAIL: Final = Record(
    {
        "bucket": ListOf(HASH, most=1_000_000),
        "path": ListOf(HASH, least=16, most=16),
        "root": HASH,
        "v": OneOf(1),
    }
)
LEAF: Final = Record({"hash": HASH, "index": Whole(), "label": HASH, "salt": HASH, "seq": Whole()})
HEADER_LINE: Final = Record({"header": Text(r"[A-Za-z0-9+/]+={0,2}", longest=700_000), "sha256": HASH})
PARTS_LINE: Final = Record({"item": Hex(16), "parts": Text(r"[A-Za-z0-9+/]+={0,2}", longest=430_000)})

_MAX_LINE: Final = 64 * 1024 * 1024
_LEAF_LINE = re.compile(
    r'^\{"hash":"([0-9a-f]{64})","index":(0|[1-9][0-9]{0,15}),"label":"([0-9a-f]{64})","salt":"([0-9a-f]{64})",'
    r'"seq":(0|[1-9][0-9]{0,15})\}\n',
    re.MULTILINE,
)
"""A line as a whole: a file with as many of them as it has line feeds, the last at its end, holds nothing else."""
_new: Final = tuple.__new__
_SHORTEST, _SHORT_LINES = 32, 16
"""No file has more than a few lines as short as this; millions of empty ones would take much memory to refuse."""
_CONSISTENCY = b"rogatory/consistency/v1"


class LinesMalformed(FormatError):
    """A file of lines that does not end with a line end, or a line that is not of its kind.

    Attributes:
        line: Number of the line, from 1.
    """

    code = "lines-malformed"

    def __init__(self, message: str, *, line: int) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


class PackingUnsupported(UnsupportedError):
    """A bundle of another version, or of a kind unknown here."""

    code = "bundle-unsupported"


class LeafLine(NamedTuple):
    """A line of leaves.jsonl: what places an entry in the log, whether or not its bytes are disclosed.

    `hash` (of the entry), `label` and `salt` are 32 bytes each; `index` is the leaf's place in the log.
    """

    seq: int
    index: int  # type: ignore[assignment] # a leaf's index is of more use than tuple.index
    hash: bytes
    label: bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A line of the packing list; digests in hex."""

    path: str
    size: int
    sha256: str
    sha512: str


@dataclass(frozen=True, slots=True)
class PackingList:
    """bundle.json, as it stands.

    Attributes:
        kind: `exchange`, `export` or `registry`.
        log: Origin.
        chain: Handle of the chain it is about, hex.
        size: Of its checkpoint's tree.
        files: Sorted by path.
    """

    kind: str
    log: str
    chain: str
    size: int
    files: tuple[PackedFile, ...]

    def encode(self) -> bytes:
        """The bytes of bundle.json."""
        files = [{"path": f.path, "sha256": f.sha256, "sha512": f.sha512, "size": f.size} for f in self.files]
        fields = {"chain": self.chain, "files": files, "kind": self.kind, "log": self.log, "size": self.size, "v": 1}
        PACKING.check(fields)
        return canonical.encode(fields)

    @classmethod
    def parse(cls, data: bytes) -> "PackingList":
        """Read bundle.json.

        Raises:
            NotCanonical, SchemaMismatch: It is none.
            PackingUnsupported: Of another version or kind.
        """
        fields = canonical.decode(data, max_bytes=_MAX_LINE)
        version, kind = fields.get("v"), fields.get("kind")
        if type(version) is int and version != 1:
            raise PackingUnsupported(f"bundle of version {version}, this verifier knows 1")
        if type(kind) is str and kind not in KINDS:
            raise PackingUnsupported(f"bundle of kind {kind[:80]!r}, this verifier knows {', '.join(KINDS)}")
        PACKING.check(fields)
        files = tuple(PackedFile(**file) for file in fields["files"])
        return cls(fields["kind"], fields["log"], fields["chain"], fields["size"], files)


def split_lines(data: bytes) -> list[bytes]:
    """The lines of a file, each without its line feed; the last must have one too.

    Raises:
        LinesMalformed: It has none, or many lines are shorter than any of the format.
    """
    if not data:
        return []
    if data.count(b"\n") > _SHORT_LINES + len(data) // _SHORTEST:
        raise LinesMalformed(f"{len(data)} bytes in lines of less than {_SHORTEST} on average", line=1)
    lines = data.split(b"\n")
    if lines.pop():
        raise LinesMalformed("no line feed at the end of the file", line=len(lines) + 1)
    return lines


def encode_leaf(leaf: LeafLine) -> bytes:
    """A line of leaves.jsonl, line feed included."""
    return b'{"hash":"%b","index":%d,"label":"%b","salt":"%b","seq":%d}\n' % (
        leaf.hash.hex().encode(),
        leaf.index,
        leaf.label.hex().encode(),
        leaf.salt.hex().encode(),
        leaf.seq,
    )


def parse_leaves(data: bytes) -> list[LeafLine]:
    """The lines of leaves.jsonl; the pattern of a line is its schema and its only spelling at once.

    Raises:
        LinesMalformed: A line is spelled otherwise, an integer is too large, or seq does not ascend.
    """
    unhex = bytes.fromhex
    rows = _LEAF_LINE.findall(data.decode("ascii", "replace"))
    if len(rows) != data.count(b"\n") or data[-1:] not in (b"", b"\n"):
        _refuse_leaf(data)
    leaves: list[LeafLine] = []
    last = -1
    for entry_hash, place, label, salt, number in rows:
        seq, index = int(number), int(place)
        if not last < seq <= MAX_INTEGER or index > MAX_INTEGER:
            raise LinesMalformed(f"seq {seq} at index {index} stands after seq {last}", line=len(leaves) + 1)
        leaves.append(_new(LeafLine, (seq, index, unhex(entry_hash), unhex(label), unhex(salt))))
        last = seq
    return leaves


def _refuse_leaf(data: bytes) -> NoReturn:
    for number, line in enumerate(split_lines(data), start=1):
        if not _LEAF_LINE.fullmatch(line.decode("ascii", "replace") + "\n"):
            raise LinesMalformed(f"{line[:80]!r} is not {{hash,index,label,salt,seq}}", line=number)
    raise AssertionError("lines that all match fill their file")


def encode_tail(proof: TailProof) -> bytes:
    """The bytes of tail.json."""
    return canonical.encode(
        {
            "bucket": [label.hex() for label in proof.bucket],
            "path": [value.hex() for value in proof.path],
            "root": proof.root.hex(),
            "v": 1,
        }
    )


def parse_tail(data: bytes) -> TailProof:
    """Read tail.json.

    Raises:
        NotCanonical, SchemaMismatch: It is none.
        PackingUnsupported: Of another version.
    """
    fields = canonical.decode(data, max_bytes=_MAX_LINE)
    if type(fields.get("v")) is int and fields["v"] != 1:
        raise PackingUnsupported(f"tail proof of version {fields['v']}, this verifier knows 1")
    TAIL.check(fields)
    bucket, path = (tuple(map(bytes.fromhex, fields[name])) for name in ("bucket", "path"))
    return TailProof(root=bytes.fromhex(fields["root"]), bucket=bucket, path=path)


def encode_consistency(old: int, new: int, path: Sequence[bytes]) -> bytes:
    """The bytes of a file consistency/<old>-<new>."""
    return b"%b\n%d\n%d\n" % (_CONSISTENCY, old, new) + b"".join(to_base64(value).encode() + b"\n" for value in path)


def parse_consistency(data: bytes) -> tuple[int, int, list[bytes]]:
    """Older size, newer size and the proof's hashes.

    Raises:
        BatchMalformed, LinesMalformed, TextMalformed, DecimalMalformed: Anything `encode_consistency` does not write.
    """
    lines = [line.decode("ascii", "replace") for line in split_lines(data)]
    if len(lines) < 3 or lines[0].encode() != _CONSISTENCY:
        raise BatchMalformed(f"not {_CONSISTENCY.decode()} with two sizes and hashes in lines")
    return from_decimal(lines[1]), from_decimal(lines[2]), [from_base64(line, 32) for line in lines[3:]]


def encode_named(schema: Record, name: str, value: str, rows: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """Lines of headers.jsonl or parts.jsonl: `{<name>: …, <value>: base64}` in the order given."""
    for key, data in rows:
        fields: dict[str, Any] = {name: key, value: to_base64(data)}
        schema.check(fields)
        yield canonical.dump(fields) + b"\n"


def parse_named(schema: Record, name: str, value: str, data: bytes) -> dict[str, bytes]:
    """The rows of headers.jsonl or parts.jsonl, which must ascend by `name`, none twice.

    Raises:
        LinesMalformed: A line is not of the schema, or out of order.
    """
    rows: dict[str, bytes] = {}
    last = ""
    for number, line in enumerate(split_lines(data), start=1):
        try:
            fields = canonical.load(line, max_bytes=1024 * 1024)
            schema.check(fields)
            content = from_base64(fields[value])
        except FormatError as error:
            raise LinesMalformed(str(error), line=number) from error
        if fields[name] <= last:
            raise LinesMalformed(f"{fields[name]} stands after {last}", line=number)
        last = fields[name]
        rows[last] = content
    return rows
