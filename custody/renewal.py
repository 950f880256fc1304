"""Renewals: lists of a bundle's files, to be stamped before what was stamped first grows old.

Specification: docs/spec/timestamps.md.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from custody import canonical
from custody.errors import FormatError, UnsupportedError, VerificationError
from custody.schema import TIME, Hex, ListOf, OneOf, Record, Text, Whole
from custody.text import to_time

MAX_RENEWALS: Final = 64
MAX_RENEWAL: Final = 64 * 1024 * 1024
_FILE = Record({"digest": Hex(64), "path": Text(r"[a-z0-9._/-]+", longest=255)})
RENEWAL: Final = Record(
    {
        "files": ListOf(_FILE, least=1, most=100_000, ordered=("path",)),
        "hash": OneOf("sha512"),
        "kind": OneOf("renewal"),
        "n": Whole(1, MAX_RENEWALS),
        "time": TIME,
        "v": OneOf(1),
    }
)
_OWN = re.compile(r"renewal/([1-9][0-9]?)(?:-[0-7]\.tsr|\.json)")


class RenewalMalformed(FormatError):
    """A renewal under another number, or one that is not of the bundle's files."""

    code = "renewal-malformed"


class RenewalUnsupported(UnsupportedError):
    """A renewal of another version or hash."""

    code = "renewal-unsupported"


class RenewalBroken(VerificationError):
    """A file of the bundle that a renewal does not list, or lists with another digest."""

    code = "renewal-broken"


@dataclass(frozen=True)
class Renewal:
    """One renewal: its number, its maker's word for the time, and path → SHA-512, hex."""

    number: int
    time: str
    files: Mapping[str, str]

    @classmethod
    def of(cls, number: int, at: datetime, digests: Mapping[str, str]) -> "Renewal":
        """A renewal of a bundle whose packing list gives these SHA-512 digests."""
        files = {path: digest for path, digest in sorted(digests.items()) if _covers(number, path)}
        return cls(number, to_time(at), files)

    @classmethod
    def parse(cls, data: bytes) -> "Renewal":
        """Read a renewal; `result.encode() == data`.

        Raises:
            NotCanonical, SchemaMismatch: The bytes are none.
            RenewalUnsupported: Another version or hash.
        """
        fields = canonical.decode(data, max_bytes=MAX_RENEWAL)
        for name, known in (("v", 1), ("hash", "sha512")):
            if type(fields.get(name)) is type(known) and fields[name] != known:
                raise RenewalUnsupported(f"renewal with {name} {fields[name]}, this verifier knows {known}")
        RENEWAL.check(fields)
        return cls(fields["n"], fields["time"], {row["path"]: row["digest"] for row in fields["files"]})

    def encode(self) -> bytes:
        """The bytes that are stamped."""
        files: list[Any] = [{"digest": digest, "path": path} for path, digest in sorted(self.files.items())]
        fields = {"files": files, "hash": "sha512", "kind": "renewal", "n": self.number, "time": self.time, "v": 1}
        RENEWAL.check(fields)
        return canonical.encode(fields)

    def check(self, digests: Mapping[str, str]) -> None:
        """Hold it to the digests of the bundle's files.

        Files of `validation/` that it does not list came later; whatever else it does not list was not covered.

        Raises:
            RenewalBroken: A listed file is gone or another, or one that was there is not listed.
        """
        for path, digest in self.files.items():
            if digests.get(path) != digest:
                found = "is gone" if path not in digests else "is another"
                raise RenewalBroken(f"{path} {found} since renewal {self.number}")
        for path in digests:
            if path not in self.files and _covers(self.number, path) and not path.startswith("validation/"):
                raise RenewalBroken(f"{path} is not covered by renewal {self.number}")


def _covers(number: int, path: str) -> bool:
    """Whether a renewal of that number speaks of a file; not of itself, of later ones and of their stamps."""
    own = _OWN.fullmatch(path)
    return own is None or int(own[1]) < number
