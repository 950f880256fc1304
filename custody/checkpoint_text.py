"""The three lines that a log signs: who it is, how many leaves it has, and their root.

Apart from `custody.checkpoint` so that signatures over them can be understood without knowing notes.
Specification: docs/spec/log.md.
"""

import re
from dataclasses import dataclass

from custody.decimal import MAX_DECIMAL, from_decimal
from custody.errors import FormatError
from custody.text import from_base64, to_base64

ROOT_SIZE = 32
_LINES = 4
_NAME = re.compile(r"[!-*,-~]{1,255}\Z")


class CheckpointMalformed(FormatError):
    """Not the three lines of a checkpoint, or a name, size or root outside their bounds."""

    code = "checkpoint-malformed"


def is_name(text: str) -> bool:
    """Whether a text can name a key or an origin: 1 to 255 printable ASCII characters but space and plus."""
    return bool(_NAME.match(text))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says about itself. Nothing is known of it until its note's signatures are verified.

    Raises:
        CheckpointMalformed: The origin is no name, the size not 0 to 2^63 - 1, or the root not 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not is_name(self.origin) or not 0 <= self.size <= MAX_DECIMAL or len(self.root) != ROOT_SIZE:
            raise CheckpointMalformed(f"no checkpoint of {self.origin[:80]!r}, size {self.size}")

    def text(self) -> str:
        """The signed text: three lines with their ends."""
        return f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """The checkpoint of its only spelling; `result.text() == text`.

        Raises:
            CheckpointMalformed: Not three lines, or an origin that is no name.
            DecimalMalformed: The size is not a canonical decimal number.
            TextMalformed: The root is not canonical base64 of 32 bytes.
        """
        lines = text.split("\n")
        if len(lines) != _LINES or lines[-1]:
            raise CheckpointMalformed(f"{len(lines) - 1} line ends in a checkpoint, expected three lines")
        return cls(origin=lines[0], size=from_decimal(lines[1]), root=from_base64(lines[2], ROOT_SIZE))
