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
from custody.words import DEFAULT, Phrase, in_language, text

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
_RUNS: Final = 40  # of entries between the same bounds: more are no longer read in a terminal
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

    def text(self, language: str = DEFAULT) -> str:
        """The members that are known, in words."""
        return ", ".join(text(language, f"place.{name}", value=value) for name, value in self.fields().items())

    def __str__(self) -> str:
        return self.text()


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
    """A check could not be made; says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report.

    Attributes:
        id: One of `custody.trust.CHECKS`.
        status: Its outcome.
        detail: What was found, or why nothing was checked.
        code: Code of the error, for FAIL; of the reason, for NOT CHECKED, where it has one.
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

    @classmethod
    def left(cls, check_id: str, why: NotChecked) -> "Check":
        """A NOT CHECKED."""
        code = why.reason.code if isinstance(why.reason, Phrase) else None
        return cls(check_id, Status.NOT_CHECKED, why.reason, code)

    def lines(self, language: str = DEFAULT) -> list[str]:
        """What there is to say of it; for FAIL what that means, then the finding itself in English, with its code."""
        found = in_language(language, self.detail)
        lines = [found] if found else []
        if self.status is Status.FAIL:
            lines = [text(language, f"fail.{self.id}"), f"{self.code}: {found}"]
        if self.place is not None and self.place.fields():
            lines.append(text(language, "report.at", place=self.place.text(language)))
        return lines

    def fields(self) -> dict[str, Any]:
        """As it stands in the JSON twin."""
        found: dict[str, Any] = {"detail": str(self.detail) or "-", "id": self.id, "status": self.status.value}
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

    def text(self, language: str = DEFAULT) -> str:
        """In words; empty where neither bound is known."""
        known = {side: _whole(time) for side, time in (("low", self.not_before), ("high", self.not_after)) if time}
        if not known:
            return ""
        key = "both" if len(known) > 1 else next(iter(known))
        seqs = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return text(language, f"report.bound-{key}", seqs=seqs, **known)


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
            "trusting": [str(line) for line in self.trusting],
            "v": 1,
            "verdict": self.verdict,
            "verified": self.verified,
            "withheld": [{"chain": row.chain, "seqs": list(row.seqs)} for row in self.withheld],
        }
        return canonical.encode(fields)

    def text(self, language: str = DEFAULT) -> str:
        """For a terminal: plain lines in a language of `custody.words`, everything from the bundle escaped."""
        said = [
            *self._heading(language), "", *self._checklist(language), "", *self._closing(language),
        ]  # fmt: skip
        return "\n".join(map(escape, said)) + "\n"

    @property
    def first_bad(self) -> Place | None:
        """The first byte that does not hold, in the order of the checks; else the first file."""
        places = [check.place for check in self.failed if check.place is not None and check.place.fields()]
        return next((place for place in places if place.offset is not None), places[0] if places else None)

    def _heading(self, language: str) -> list[str]:
        about = {name: getattr(self, name) for name in ("kind", "log", "chain", "size", "root")}
        return [f"{text(language, f'head.{name}'):8}{value}" for name, value in about.items() if value is not None]

    def _checklist(self, language: str) -> list[str]:
        width = max(len(text(language, f"status.{status.value}")) for status in Status) + 1
        lines = []
        for check in self.checks:
            status = text(language, f"status.{check.status.value}")
            lines.append(f"{status:{width}} {check.id:13} {text(language, f'check.{check.id}')}")
            lines += [f"{'':{width}} {line}" for line in check.lines(language)]
        return lines

    def _bounds(self, language: str) -> list[str]:
        lines = [line for row in self.times[:_RUNS] if (line := row.text(language))]
        more = len(self.times) - _RUNS
        return [*lines, text(language, "report.bounds-more", count=more)] if more > 0 else lines

    def _closing(self, language: str) -> list[str]:
        lines = self._bounds(language)
        lines += [text(language, "report.trusting", what=line) for line in self.trusting]
        lines += [
            text(language, "report.withheld", chain=row.chain, seqs=_ranges(row.seqs)) for row in self.withheld
        ]  # fmt: skip
        if self.unmet:
            lines.append(text(language, "report.unmet", checks=[check.id for check in self.unmet]))
        if self.first_bad is not None:
            lines.append(text(language, "report.first", place=self.first_bad.text(language)))
        verdict, code = text(language, f"verdict.{self.exit_code}"), self.exit_code
        if self.verified:
            return [*lines, "", text(language, "report.verified", code=code)]
        return [*lines, "", text(language, "report.not-verified", verdict=verdict, code=code)]


def escape(said: str) -> str:
    r"""Text with every character that could steer a terminal or reorder a line spelled out.

    Control, format (bidirectional overrides, zero-width), surrogate, private and unassigned characters and line and
    paragraph separators become `\u{…}`.
    """
    if said.isascii() and said.isprintable():
        return said
    return "".join(
        character if character == " " or not _steers(character) else f"\\u{{{ord(character):x}}}" for character in said
    )


def _steers(character: str) -> bool:
    category = unicodedata.category(character)
    return category.startswith("C") or category in ("Zl", "Zp")


def _whole(time: str) -> str:
    """A time of the format for people, where it is of a whole second, as those of cosignatures are."""
    return f"{time[:10]} {time[11:19]} UTC" if time.endswith(".000000Z") else time


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
