"""What a verifier found: a fixed list of checks, each PASS, FAIL or NOT CHECKED, and one verdict.

The word "verified" and exit code 0 appear only if every check that is demanded is PASS and none is FAIL. What was not
checked is said, with the reason. Specification: docs/spec/report.md.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from custody import canonical
from custody.errors import CustodyError, FormatError, UnsupportedError
from custody.schema import HASH, ORIGIN, TIME, ListOf, OneOf, Record, Text, Whole
from custody.trust import CHECKS

TITLES: Final = {
    "packing": "files are those of the packing list",
    "canonical": "canonical form and schema",
    "bodies": "entries hash to their leaves",
    "chain": "each entry names the one before it",
    "statements": "each act carries its own statement",
    "registries": "registries follow their rules",
    "signers": "signers were entitled, back to pinned keys",
    "signatures": "signatures",
    "rules": "the exchange follows its rules",
    "labels": "labels follow from the entries",
    "inclusion": "leaves stand under the checkpoint's root",
    "log": "the log signed the checkpoint",
    "quorum": "witnesses cosigned the checkpoint",
    "consistency": "no other history was shown",
    "completeness": "nothing follows, nothing was left out",
    "time": "times lie within their bounds",
    "timestamps": "timestamps by third parties",
    "conditions": "conditions were accepted before release",
    "digests": "digests agree from upload to receipt",
    "headers": "granted headers",
    "table": "the table shows the entries",
    "items": "items on disk",
}

EXITS: Final = {
    0: "verified", 3: "malformed", 20: "tampered", 21: "incomplete", 22: "signer or quorum", 23: "time",
    24: "unsupported", 25: "rollback",
}  # fmt: skip
_ORDER: Final = (3, 24, 20, 25, 22, 23, 21)
_TAMPERED, _MALFORMED, _UNSUPPORTED, _INCOMPLETE = 20, 3, 24, 21
_FAILED: Final = {
    "log": 22, "quorum": 22, "signers": 22, "signatures": 22, "time": 23, "timestamps": 23, "consistency": 25,
    "completeness": 21,
}  # fmt: skip
_UNMET: Final = {"log": 22, "signers": 22, "signatures": 22, "quorum": 22, "time": 23, "timestamps": 23}
_LONGEST: Final = 4000
_TEXT: Final = Text(longest=65_536)


class Status(StrEnum):
    """Outcome of one check."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands, as far as it is known.

    Attributes:
        file: In the bundle.
        line: From 1.
        offset: Of the line's first byte in the file, or of the byte itself.
        chain: `@exchange`, `@service`, or the authority whose registry it is.
        seq: Of the entry.
    """

    file: str | None = None
    line: int | None = None
    offset: int | None = None
    chain: str | None = None
    seq: int | None = None

    def fields(self) -> dict[str, Any]:
        """The members that are known."""
        found = {name: getattr(self, name) for name in ("file", "line", "offset", "chain", "seq")}
        return {name: value for name, value in found.items() if value is not None}

    def __str__(self) -> str:
        names = {"file": "", "line": "line ", "offset": "byte ", "chain": "chain ", "seq": "seq "}
        return ", ".join(f"{names[name]}{value}" for name, value in self.fields().items())


class Fault(Exception):
    """An error with its place, on its way into the report.

    Of the error stays what it says: its traceback, and those of the errors behind it, would hold through their frames
    all that is verified, which holds the fault.
    """

    def __init__(self, cause: CustodyError, place: Place) -> None:
        super().__init__(str(cause))
        self.cause, self.place = cause.with_traceback(None), place
        cause.__cause__ = cause.__context__ = None


class NotChecked(Exception):
    """A check could not be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report.

    Attributes:
        id: One of `custody.trust.CHECKS`.
        status: Its outcome.
        detail: What was found, or why nothing was checked.
        code: Code of the error, for FAIL.
        place: First bad entry or byte, for FAIL.
        exit_code: What a FAIL alone would end with.
    """

    id: str
    status: Status
    detail: str
    code: str | None = None
    place: Place | None = None
    exit_code: int = 0

    @classmethod
    def failed(cls, check_id: str, error: CustodyError, place: Place | None = None) -> "Check":
        """A FAIL; not understood and not supported are kept apart from what does not add up."""
        if isinstance(error, UnsupportedError):
            exit_code = _UNSUPPORTED
        elif isinstance(error, FormatError):
            exit_code = _MALFORMED
        else:
            exit_code = _FAILED.get(check_id, _TAMPERED)
        return cls(check_id, Status.FAIL, str(error)[:_LONGEST], error.code, place, exit_code)

    def fields(self) -> dict[str, Any]:
        """As it stands in the JSON twin."""
        found: dict[str, Any] = {"detail": self.detail or "-", "id": self.id, "status": self.status.value}
        if self.code is not None:
            found["code"] = self.code
        if self.place is not None and self.place.fields():
            found["place"] = self.place.fields()
        return found


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between which times the entries `first` to `last` (seq) of the chain were logged, by cosignatures; UTC."""

    first: int
    last: int
    not_before: str | None = None
    not_after: str | None = None

    def fields(self) -> dict[str, Any]:
        """The members that are known."""
        found = {name: getattr(self, name) for name in ("first", "last", "not_before", "not_after")}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Withheld:
    """Entries of a chain that are proven and not disclosed, by seq."""

    chain: str
    seqs: tuple[int, ...]


@dataclass(frozen=True)
class Report:
    """The outcome of a verification.

    Attributes:
        checks: All of `custody.trust.CHECKS`, in that order.
        demanded: Ids of the checks that had to be PASS.
        trusting: What the reader trusts, in plain words.
        times: Bounds of the entries' times.
        withheld: What was not disclosed.
        allow_withheld: Whether that was all right with the reader.
        kind, log, chain, size, root: Of the bundle and its checkpoint; absent where they could not be read.
        entries: Disclosed entries, of all chains.
    """

    checks: tuple[Check, ...]
    demanded: frozenset[str]
    trusting: tuple[str, ...]
    times: tuple[Bounds, ...] = ()
    withheld: tuple[Withheld, ...] = ()
    allow_withheld: bool = False
    kind: str | None = None
    log: str | None = None
    chain: str | None = None
    size: int | None = None
    root: str | None = None
    entries: int = 0

    @property
    def exit_code(self) -> int:
        """First that applies of 3, 24, 20, 25, 22, 23, 21, 0."""
        found = {check.exit_code for check in self.checks if check.status is Status.FAIL}
        found |= {_UNMET.get(check.id, _INCOMPLETE) for check in self.unmet}
        if self.withheld and not self.allow_withheld:
            found.add(_INCOMPLETE)
        return next((code for code in _ORDER if code in found), 0)

    @property
    def unmet(self) -> tuple[Check, ...]:
        """Checks that were demanded and not made."""
        return tuple(check for check in self.checks if check.status is Status.NOT_CHECKED and check.id in self.demanded)

    @property
    def verified(self) -> bool:
        """Whether the bundle is verified: exit code 0, nothing less."""
        return self.exit_code == 0

    @property
    def verdict(self) -> str:
        """One word or two for the exit code."""
        return EXITS[self.exit_code]

    def __getitem__(self, check_id: str) -> Check:
        """The check with this id."""
        return next(check for check in self.checks if check.id == check_id)

    @property
    def failed(self) -> tuple[Check, ...]:
        """Checks that are FAIL."""
        return tuple(check for check in self.checks if check.status is Status.FAIL)

    def to_json(self) -> bytes:
        """The canonical JSON twin; schema in docs/spec/schemas/report.json."""
        about = {name: getattr(self, name) for name in ("kind", "log", "chain", "size", "root")}
        fields: dict[str, Any] = {name: value for name, value in about.items() if value is not None} | {
            "allow_withheld": self.allow_withheld,
            "checks": [check.fields() for check in self.checks],
            "demanded": sorted(self.demanded),
            "entries": self.entries,
            "exit_code": self.exit_code,
            "times": [bounds.fields() for bounds in self.times],
            "trusting": list(self.trusting),
            "v": 1,
            "verdict": self.verdict,
            "verified": self.verified,
            "withheld": [{"chain": row.chain, "seqs": list(row.seqs)} for row in self.withheld],
        }
        return canonical.encode(fields)

    def text(self) -> str:
        """For a terminal: plain lines, everything from the bundle escaped."""
        lines = [escape(line) for line in (*self._heading(), "", *self._checklist(), "", *self._closing())]
        return "\n".join(lines) + "\n"

    def _heading(self) -> list[str]:
        about = {"kind": self.kind, "log": self.log, "chain": self.chain, "tree": self.size, "root": self.root}
        return [f"{name:8}{value}" for name, value in about.items() if value is not None]

    def _checklist(self) -> list[str]:
        words = {Status.PASS: "PASS", Status.FAIL: "FAIL", Status.NOT_CHECKED: "NOT CHECKED"}
        lines = []
        for check in self.checks:
            lines.append(f"{words[check.status]:12} {check.id:13} {TITLES[check.id]}")
            if check.detail:
                lines.append(f"{'':13}{check.detail}")
            if check.place is not None and str(check.place):
                lines.append(f"{'':13}at {check.place}")
        return lines

    def _closing(self) -> list[str]:
        lines = [f"You are trusting: {line}" for line in self.trusting]
        lines += [f"Withheld in {row.chain}: seq {_ranges(row.seqs)}" for row in self.withheld]
        if self.unmet:
            lines.append(f"Demanded and not checked: {', '.join(check.id for check in self.unmet)}")
        word = "VERIFIED" if self.verified else f"NOT OK: {self.verdict}"
        return [*lines, "", f"{word} (exit code {self.exit_code})"]


def escape(text: str) -> str:
    r"""Text with every character that could steer a terminal or reorder a line spelled out.

    Control, format (bidirectional overrides, zero-width), surrogate, private and unassigned characters and line and
    paragraph separators become `\u{…}`.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if character == " " or not _steers(character) else f"\\u{{{ord(character):x}}}" for character in text
    )


def _steers(character: str) -> bool:
    category = unicodedata.category(character)
    return category.startswith("C") or category in ("Zl", "Zp")


def _ranges(numbers: Sequence[int]) -> str:
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


_PLACE: Final = Record({}, {"chain": _TEXT, "file": _TEXT, "line": Whole(1), "offset": Whole(), "seq": Whole()})
REPORT: Final = Record(
    {
        "allow_withheld": OneOf(True, False),
        "checks": ListOf(
            Record(
                {"detail": _TEXT, "id": OneOf(*CHECKS), "status": OneOf(*(status.value for status in Status))},
                {"code": Text(r"[a-z0-9-]+", longest=64), "place": _PLACE},
            ),
            least=len(CHECKS),
            most=len(CHECKS),
        ),
        "demanded": ListOf(OneOf(*CHECKS), most=len(CHECKS), ordered=True),
        "entries": Whole(),
        "exit_code": OneOf(*EXITS),
        "times": ListOf(
            Record({"first": Whole(), "last": Whole()}, {"not_after": TIME, "not_before": TIME}), most=10_000_000
        ),
        "trusting": ListOf(_TEXT, most=64),
        "v": OneOf(1),
        "verdict": OneOf(*EXITS.values()),
        "verified": OneOf(True, False),
        "withheld": ListOf(
            Record({"chain": _TEXT, "seqs": ListOf(Whole(), least=1, most=10_000_000, ordered=True)}), most=4096
        ),
    },
    {"chain": HASH, "kind": OneOf("exchange", "export", "registry"), "log": ORIGIN, "root": HASH, "size": Whole(1)},
)
