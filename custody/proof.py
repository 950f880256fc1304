"""The proof that travels with one entry: place, path and checkpoint in one text file.

Source: C2SP tlog-proof, with the entry's label and salt as its extra data. Specification: docs/spec/log.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from custody import leaf, merkle
from custody.checkpoint import Checkpoint, open_checkpoint
from custody.decimal import from_decimal
from custody.errors import FormatError, VerificationError
from custody.note import MAX_NOTE_SIZE, VerifierKey
from custody.text import from_base64, to_base64

HEADER = "c2sp.org/tlog-proof@v1"
EXTRA_SIZE = 64
MAX_PATH = 63
_LABEL_SIZE = 32
_HASH_SIZE = 32
_LINES_BEFORE_HASHES = 3


class TlogProofMalformed(FormatError):
    """Not a tlog-proof with 64 bytes of extra data, an index and hashes before a note."""

    code = "tlog-proof-malformed"


class LabelMismatch(VerificationError):
    """The proof's extra data name another label than the leaf bears."""

    code = "label-mismatch"


@dataclass(frozen=True, slots=True)
class TlogProof:
    """That some leaf stands in a log. Nothing is known until `verify` returns.

    Args:
        extra: The entry's label, then its salt, 64 bytes. Not signed: what makes them true is that label and
            salt with the entry give the leaf that is proven.
        index: Place of the leaf.
        path: Sibling hashes from the leaf upwards, at most 63.
        note: The checkpoint with its signatures, exact bytes.

    Raises:
        TlogProofMalformed: One of them is out of bounds.
    """

    extra: bytes
    index: int
    path: tuple[bytes, ...]
    note: bytes

    def __post_init__(self) -> None:
        if len(self.extra) != EXTRA_SIZE:
            raise TlogProofMalformed(f"{len(self.extra)} bytes of extra data, expected label and salt, {EXTRA_SIZE}")
        if not 0 <= self.index < merkle.MAX_SIZE or len(self.path) > MAX_PATH or len(self.note) > MAX_NOTE_SIZE:
            raise TlogProofMalformed(f"index {self.index}, path of {len(self.path)}, note of {len(self.note)} bytes")
        if any(len(value) != _HASH_SIZE for value in self.path):
            raise TlogProofMalformed(f"a hash that is not {_HASH_SIZE} bytes")

    @property
    def label(self) -> bytes:
        """The label that the proof claims for the entry."""
        return self.extra[:_LABEL_SIZE]

    @property
    def salt(self) -> bytes:
        """The salt that the proof claims for the entry."""
        return self.extra[_LABEL_SIZE:]

    def leaf_data(self, entry_hash: bytes) -> bytes:
        """The leaf data of the entry with this hash, if label and salt are right; give it to `verify`."""
        return leaf.entry_leaf(self.label, leaf.commitment(self.salt, entry_hash))

    def encode(self) -> bytes:
        """The bytes of a `.tlog-proof` file."""
        lines = [HEADER, f"extra {to_base64(self.extra)}", f"index {self.index}", *map(to_base64, self.path)]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.note

    @classmethod
    def parse(cls, data: bytes) -> "TlogProof":
        """The proof of its only spelling; `result.encode() == data`. The note is not looked into.

        Raises:
            TlogProofMalformed: Anything `encode` does not write.
            DecimalMalformed: The index is not a canonical decimal number.
            TextMalformed: A hash or the extra data are not canonical base64 of their size.
        """
        head, blank, note = data.partition(b"\n\n")
        if not blank or not head.isascii():
            raise TlogProofMalformed(f"{len(head)} bytes before the first blank line, expected a proof's lines")
        lines = head.decode("ascii").split("\n")
        if len(lines) < _LINES_BEFORE_HASHES or lines[0] != HEADER:
            raise TlogProofMalformed(f"begins with {lines[0][:80]!r}, expected {HEADER} and two more lines")
        extra, index = (_member(line, name) for line, name in zip(lines[1:3], ("extra", "index"), strict=True))
        return cls(
            extra=from_base64(extra, EXTRA_SIZE),
            index=from_decimal(index),
            path=tuple(from_base64(line, _HASH_SIZE) for line in lines[_LINES_BEFORE_HASHES:]),
            note=note,
        )

    def verify(self, *, leaf_data: bytes, origin: str, log: Sequence[VerifierKey]) -> Checkpoint:
        """Check that a leaf stands at `index` under a checkpoint that every key of the log signed.

        The reader may conclude that the log committed to this leaf data at this place, by this checkpoint,
        which is returned. Compute the data from the entry itself (`leaf_data`), never take them from the log.

        Raises:
            LeafMalformed: `leaf_data` are no leaf's.
            LabelMismatch: An entry leaf with another label than the proof's.
            ProofMalformed: The path's length does not fit index and size.
            RootMismatch: The leaf does not stand there.
            VerificationError, FormatError: As for `open_checkpoint`.
        """
        said = leaf.parse(leaf_data)
        if isinstance(said, leaf.EntryLeaf) and said.label != self.label:
            raise LabelMismatch(f"the proof names label {self.label.hex()}, the leaf bears {said.label.hex()}")
        checkpoint, _ = open_checkpoint(self.note, origin=origin, log=log)
        merkle.verify_inclusion(
            index=self.index,
            size=checkpoint.size,
            leaf=merkle.leaf_hash(leaf_data),
            path=self.path,
            root=checkpoint.root,
        )
        return checkpoint


def _member(line: str, name: str) -> str:
    found, _, value = line.partition(" ")
    if found != name:
        raise TlogProofMalformed(f"line {line[:80]!r}, expected one that begins with {name!r} and a space")
    return value
