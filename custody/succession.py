"""A log that another one succeeds: what the successor says of it, and the second hash of all its leaves.

A log's checkpoint rests on SHA-256. The successor's first entry binds the same leaves by SHA3-512, so that the old log
stays bound to its leaves though SHA-256 should fall. Specification: docs/spec/log.md, docs/spec/events.md.
"""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Final

from custody import canonical
from custody.errors import VerificationError
from custody.schema import HASH, ORIGIN, Hex, Record, Whole

_MAX: Final = 4096
PREDECESSOR: Final = Record({"origin": ORIGIN, "root": HASH, "sha3_512": Hex(64), "size": Whole()})


class PredecessorMismatch(VerificationError):
    """The leaves, or the checkpoint, of a log are not those that its successor names."""

    code = "predecessor-mismatch"


class LeavesDigest:
    """SHA3-512 over u16 length ‖ data of every leaf of a log, in order: the entry bundles one after the other."""

    def __init__(self) -> None:
        self._hash = hashlib.sha3_512()

    def add(self, bundle: bytes) -> None:
        """The next entry bundle, as tlog-tiles has it (`tile/entries/…`)."""
        self._hash.update(bundle)

    def hex(self) -> str:
        """So far, 128 hex digits."""
        return self._hash.hexdigest()


@dataclass(frozen=True)
class Predecessor:
    """The log before: its origin, the size and root of its last checkpoint (hex), and the digest of its leaves."""

    origin: str
    size: int
    root: str
    sha3_512: str

    @classmethod
    def parse(cls, data: bytes) -> "Predecessor":
        """Read it from canonical JSON; `result.encode() == data`.

        Raises:
            NotCanonical, SchemaMismatch: The bytes are none.
        """
        fields = canonical.decode(data, max_bytes=_MAX)
        PREDECESSOR.check(fields)
        return cls(**fields)

    def fields(self) -> dict[str, Any]:
        """As `log.started` notes it."""
        return asdict(self)

    def encode(self) -> bytes:
        """Canonical JSON."""
        return canonical.encode(self.fields())

    def check(self, *, origin: str, size: int, root: bytes, leaves: LeavesDigest) -> None:
        """Hold it to the old log's last checkpoint, opened with that log's own keys, and to all its leaves.

        Raises:
            PredecessorMismatch: They are not those that are named.
        """
        found = Predecessor(origin, size, root.hex(), leaves.hex())
        for name, value in found.fields().items():
            if self.fields()[name] != value:
                raise PredecessorMismatch(
                    f"{name} of the log before is {value}, its successor names {self.fields()[name]}"
                )
