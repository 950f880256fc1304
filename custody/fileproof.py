"""One file of a package, proven out of its inventory: for a court, without any key and without another name.

The proof holds the file's line, the digest of the inventory's head, and the path from the line to the commitment that
the manifest fixes. With a verified bundle, which holds the manifest, it shows what the sender said of the file when it
sealed the package; with the file itself, that this is it. Specification: docs/spec/inventory.md, section "One file".
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from custody import canonical
from custody.digest import Readable, digest_stream
from custody.errors import UnsupportedError, VerificationError
from custody.inventory import LINE, InventoryMismatch, InventoryReader, Line, commitment_of, line_of
from custody.merkle import inclusion_path, leaf_hash, root, root_of_path
from custody.schema import HASH, ID, ORIGIN, ListOf, OneOf, Record, Whole

MAX_PROOF: Final = 1024 * 1024
FILE_PROOF: Final = Record(
    {
        "count": Whole(1),
        "head": HASH,
        "index": Whole(),
        "kind": OneOf("file-proof"),
        "line": LINE,
        "log": ORIGIN,
        "manifest": HASH,
        "package": ID,
        "path": ListOf(HASH, most=64),
        "v": OneOf(1),
    }
)


class UnknownFileProof(UnsupportedError):
    """A proof of another version."""

    code = "unknown-version"


class NotInInventory(VerificationError):
    """The inventory has no line of that path."""

    code = "not-in-inventory"


class FileDiffers(VerificationError):
    """A file is not the one that the line speaks of."""

    code = "file-differs"


@dataclass(frozen=True)
class FileProof:
    """A proof, read and not yet believed: `check` holds it to the manifest, `check_file` a file to it.

    Attributes:
        log, manifest, package: Where the manifest stands that fixes the commitment; its statement id, and the package.
        head: SHA-256 of the inventory's line 0, hex.
        count: Lines of the inventory besides line 0.
        index: The line's place among them, from 0.
        line: The line, as members.
        path: Sibling hashes from the line upwards.
    """

    log: str
    manifest: str
    package: str
    head: str
    count: int
    index: int
    line: Mapping[str, Any]
    path: tuple[bytes, ...]

    @property
    def file(self) -> Line:
        """What the sender says of the file."""
        return line_of(self.line)

    @classmethod
    def of(cls, inventory: BinaryIO, path: bytes, *, log: str, manifest: str) -> "FileProof":
        """Take the proof of one file out of an inventory that was checked against the manifest.

        Raises:
            NotInInventory: It has no file of that path.
            FormatError: It is no inventory.
        """
        head = inventory.readline()
        inventory.seek(0)
        reader = InventoryReader(inventory)
        hashes: list[bytes] = []
        found: tuple[int, bytes] | None = None
        for number, (data, line) in enumerate(reader.raw_lines()):
            hashes.append(leaf_hash(data))
            if line.path == path:
                found = number, data
        if found is None:
            raise NotInInventory(f"the inventory has no file {path[:200]!r}")
        siblings = inclusion_path(
            index=found[0], size=len(hashes), node=lambda level, at: root(hashes[at << level : (at + 1) << level])
        )
        members, first = canonical.decode(found[1]), hashlib.sha256(head[:-1]).hexdigest()
        return cls(log, manifest, reader.head["package"], first, len(hashes), found[0], members, tuple(siblings))

    @classmethod
    def parse(cls, data: bytes) -> "FileProof":
        """Read a proof; `result.encode() == data`.

        Raises:
            NotCanonical, SchemaMismatch, InventoryMalformed: The bytes are none.
            UnknownFileProof: Another version.
        """
        fields = canonical.decode(data, max_bytes=MAX_PROOF)
        if type(fields.get("v")) is int and fields["v"] != 1:
            raise UnknownFileProof(f"file proof of version {fields['v']}, this code knows 1")
        FILE_PROOF.check(fields)
        line_of(fields["line"])
        names = ("log", "manifest", "package", "head", "count", "index", "line")
        return cls(**{name: fields[name] for name in names}, path=tuple(map(bytes.fromhex, fields["path"])))

    def encode(self) -> bytes:
        """The bytes of the proof."""
        names = ("log", "manifest", "package", "head", "count", "index", "line")
        fields = {name: getattr(self, name) for name in names}
        return canonical.encode(fields | {"v": 1, "kind": "file-proof", "path": [each.hex() for each in self.path]})

    def check(self, commitment: str) -> None:
        """Hold the proof to the commitment of the manifest that it names; the caller has verified that manifest.

        Raises:
            InventoryMismatch: The line does not stand in that inventory.
            ProofMalformed: The path does not fit place and count.
        """
        leaf = leaf_hash(canonical.encode(dict(self.line)))
        top = root_of_path(index=self.index, size=self.count, leaf=leaf, path=self.path)
        found = commitment_of(bytes.fromhex(self.head), self.count, top).hex()
        if found != commitment:
            raise InventoryMismatch(f"the proof leads to commitment {found}, the manifest names {commitment}")

    def check_file(self, source: Readable) -> None:
        """Hold a file to the line.

        Raises:
            FileDiffers: Its size or a digest is another, or the line is of a directory or link.
        """
        line = self.file
        if line.size is None or line.sha256 is None or line.blake3 is None:
            raise FileDiffers(f"the line is of a {line.type}, which has no bytes")
        found = digest_stream(source)
        wanted = (line.size, line.sha256, line.blake3)
        if (found.size, found.sha256, found.blake3) != wanted:
            raise FileDiffers(
                f"the file has {found.size} bytes, SHA-256 {found.sha256.hex()}; "
                f"the line says {line.size} bytes, SHA-256 {line.sha256.hex()}"
            )
