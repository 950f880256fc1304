"""Time stamps over checkpoints, and the renewals that carry them over the years.

Specification: docs/spec/timestamps.md.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from custody.checklist.case import Case
from custody.checkpoint_text import Checkpoint
from custody.errors import CustodyError
from custody.merkle import RootMismatch
from custody.note import parse_note
from custody.renewal import MAX_RENEWAL, MAX_RENEWALS, Renewal, RenewalMalformed
from custody.report import Fault, NotChecked, Place
from custody.timestamp import (
    MAX_REPLY,
    MAX_VALIDATION,
    Reply,
    Stamp,
    TimestampInvalid,
    TimestampMalformed,
    TimestampStranger,
    Validation,
)
from custody.words import say

_STAMP: Final = re.compile(r"timestamps/(0|[1-9][0-9]{0,15})-(0|[1-9][0-9]{0,2})\.tsr")
_VALIDATION: Final = re.compile(r"validation/[0-9a-f]{64}\.der")
_RENEWAL: Final = re.compile(r"renewal/([1-9][0-9]?)(?:-([0-7])\.tsr|\.json)")
_MAX_STAMPS: Final = 1000


@dataclass(frozen=True)
class Layer:
    """Stamps over one thing, or over several of one age: those that count, and whose roots are not at hand."""

    counting: list[tuple[int, Stamp]] = field(default_factory=list)
    """(size of the stamped checkpoint, or 0 for a renewal; the stamp)"""

    strangers: list[str] = field(default_factory=list)

    def take(self, size: int, judged: Stamp | str) -> None:
        """Count a stamp, or note why it cannot be judged."""
        if isinstance(judged, str):
            self.strangers.append(judged)
        else:
            self.counting.append((size, judged))

    def holds(self, at: datetime | None) -> bool:
        """Whether a stamp's certificates last until then; the answer is yes where no clock counts."""
        return any(at is None or stamp.ends >= at for _, stamp in self.counting)

    @property
    def newest(self) -> datetime:
        """The newest time in it."""
        return max(stamp.at for _, stamp in self.counting)


@dataclass(frozen=True)
class Stamped:
    """What the stamps of a bundle prove, or why they prove nothing.

    Attributes:
        layers: Over checkpoints, then over each renewal.
        unheld: What no longer holds, and why; empty if every layer does.
        held: (size, latest time) of each stamp over a checkpoint, where every layer holds.
    """

    layers: list[Layer]
    unheld: str
    held: tuple[tuple[int, datetime], ...]

    @property
    def ends(self) -> datetime | None:
        """Until when the newest layer holds; None if no stamp in it counts."""
        return max((stamp.ends for _, stamp in self.layers[-1].counting), default=None)


def timestamps(case: Case) -> str:
    """Every stamp is right, at least one over a checkpoint counts, and renewals hold it up to now."""
    if not any(case.bundle.names(folder) for folder in ("timestamps/", "renewal/", "validation/")):
        raise NotChecked(say("reason.no-stamps"))
    if not case.trust.given:
        raise NotChecked(say("reason.no-trust-stamps"))
    found = stamped(case)
    strangers = [name for layer in found.layers for name in layer.strangers]
    if not found.layers or not found.layers[0].counting:
        raise NotChecked("; ".join(strangers[:3]) or say("reason.no-stamps"))
    if found.unheld:
        raise NotChecked(found.unheld)
    sizes = sorted({size for size, _ in found.layers[0].counting})
    names = sorted({stamp.authority for layer in found.layers for _, stamp in layer.counting})
    said = f"by {', '.join(names)}, over checkpoints of {', '.join(map(str, sizes[:5]))}"
    said += " …" if len(sizes) > 5 else ""
    if len(found.layers) > 1:
        said += f", renewed {len(found.layers) - 1} times"
    return said + (f"; not judged: {'; '.join(strangers[:3])}" if strangers else "")


def stamped(case: Case) -> Stamped:
    """What the stamps prove; judged once.

    Raises:
        Fault: One is malformed or invalid, or a renewal is broken.
        NotChecked: The checkpoint was not understood.
    """
    if case.stamped is None:
        case.stamped = _judge_all(case)
    return case.stamped


def _judge_all(case: Case) -> Stamped:
    _check_names(case)
    files = [_read(case, path, MAX_VALIDATION) for path in case.bundle.names("validation/")]
    try:
        validation = Validation.parse(files)
    except CustodyError as error:
        raise Fault(error, Place("validation/")) from error
    digests = {file.path: file.sha512 for file in case.bundle.packing.files}
    layers = [Layer()]
    for path, size in _stamps(case):
        if _is_of_this_log(case, size):
            layers[0].take(size, _judge(case, path, case.notes[size], validation))
        else:
            layers[0].strangers.append(f"{path}: no proof that checkpoints/{size} is of this log's history")
    for number in range(1, _renewals(case) + 1):
        path = f"renewal/{number}.json"
        data = _read(case, path, MAX_RENEWAL)
        _hold(path, data, number, digests)
        layers.append(Layer())
        for stamp in case.bundle.names(f"renewal/{number}-"):
            layers[-1].take(0, _judge(case, stamp, data, validation))
    unheld = _first_unheld(case, layers)
    held = () if unheld else tuple((size, stamp.latest) for size, stamp in layers[0].counting)
    return Stamped(layers, unheld, held)


def _judge(case: Case, path: str, data: bytes, validation: Validation) -> Stamp | str:
    """The stamp, if it counts; else whose it is that cannot be judged."""
    try:
        stamp = Reply(_read(case, path, MAX_REPLY)).judge(data, case.trust.tsa, validation)
        if case.now is not None and (stamp.at - case.now).total_seconds() > case.trust.skew_s:
            raise TimestampInvalid(f"stamped at {stamp.at:%Y-%m-%dT%H:%M:%SZ}, after the verifier's clock")
    except TimestampStranger as error:
        return f"{path}: {error}"
    except CustodyError as error:
        raise Fault(error, Place(path)) from error
    return stamp


def _hold(path: str, data: bytes, number: int, digests: dict[str, str]) -> None:
    try:
        renewal = Renewal.parse(data)
        if renewal.number != number:
            raise RenewalMalformed(f"renewal {renewal.number} under the name of {number}")
        renewal.check(digests)
    except CustodyError as error:
        raise Fault(error, Place(path)) from error


def _first_unheld(case: Case, layers: list[Layer]) -> str:
    """Why the stamps no longer prove anything; empty if they do."""
    until = case.now
    for number, layer in reversed(list(enumerate(layers))):
        what = f"renewal {number}" if number else "the checkpoints"
        if not layer.counting:
            return f"no stamp over {what} counts: {'; '.join(layer.strangers[:3]) or 'there is none'}"
        if not layer.holds(until):
            ends = max(stamp.ends for _, stamp in layer.counting)
            return (
                f"the certificates of the stamps over {what} ended on {ends:%Y-%m-%d}, and nothing renewed them before"
            )
        until = layer.newest
    return ""


def _is_of_this_log(case: Case, size: int) -> bool:
    """Whether that checkpoint is one of the bundle's history; a stamp over another says nothing about its entries."""
    checkpoint = case.need_checkpoint()
    note = Checkpoint.parse(parse_note(case.notes[size]).text)
    if note.size == checkpoint.size:
        if note.root != checkpoint.root:
            place = Place(f"checkpoints/{size}")
            raise Fault(RootMismatch(expected=checkpoint.root, found=note.root), place)
        return True
    return (min(size, checkpoint.size), max(size, checkpoint.size)) in case.consistency


def _stamps(case: Case) -> Iterator[tuple[str, int]]:
    names = case.bundle.names("timestamps/")
    if len(names) > _MAX_STAMPS:
        raise Fault(TimestampMalformed(f"{len(names)} stamps, expected at most {_MAX_STAMPS}"), Place("timestamps/"))
    for path in names:
        found = _STAMP.fullmatch(path)
        assert found is not None
        size = int(found[1])
        if size not in case.notes:
            raise Fault(TimestampMalformed(f"checkpoints/{size} is not there or was not understood"), Place(path))
        yield path, size


def _renewals(case: Case) -> int:
    """How many renewals there are, numbered from 1 without gap."""
    names = case.bundle.names("renewal/")
    numbers = sorted(int(path[len("renewal/") : -len(".json")]) for path in names if path.endswith(".json"))
    stamped_ones = {int(path[len("renewal/") :].split("-")[0]) for path in names if path.endswith(".tsr")}
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) > MAX_RENEWALS or stamped_ones - set(numbers):
        raise Fault(RenewalMalformed("renewals are not numbered from 1 without gap"), Place("renewal/"))
    return len(numbers)


def _check_names(case: Case) -> None:
    for folder, form in (("timestamps/", _STAMP), ("validation/", _VALIDATION), ("renewal/", _RENEWAL)):
        for path in case.bundle.names(folder):
            if not form.fullmatch(path):
                raise Fault(TimestampMalformed(f"{path} has no name of such a file"), Place(path))


def _read(case: Case, path: str, most: int) -> bytes:
    data = case.bundle.read(path)
    if len(data) > most:
        raise Fault(TimestampMalformed(f"{path} has {len(data)} bytes, expected at most {most}"), Place(path))
    return data
