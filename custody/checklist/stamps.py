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
_FORMS: Final = {
    "timestamps": (_STAMP, MAX_REPLY),
    "validation": (_VALIDATION, MAX_VALIDATION),
    "renewal": (_RENEWAL, MAX_REPLY),
}
"""Folder → the form of its files' names, and how large they may be; a renewal itself may be larger."""


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
    if not found.layers[0].counting:
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
    sizes = dict(_stamps(case))
    of_log = {path: _is_of_this_log(case, path, size) for path, size in sizes.items()}
    renewals = _renewals(case)
    validation = _validation(case)
    layers = [Layer()]
    for path, size in sizes.items():
        if of_log[path]:
            layers[0].take(size, _judge(case, path, case.notes[size], validation))
        else:
            layers[0].strangers.append(f"{path}: no proof that checkpoints/{size} is of this log's history")
    for number, data in enumerate(renewals, 1):
        layers.append(Layer())
        for path in case.bundle.names(f"renewal/{number}-"):
            layers[-1].take(0, _judge(case, path, data, validation))
    unheld = _first_unheld(case, layers)
    held = () if unheld else tuple((size, stamp.latest) for size, stamp in layers[0].counting)
    return Stamped(layers, unheld, held)


def _validation(case: Case) -> Validation:
    try:
        return Validation.parse([case.bundle.read(path) for path in case.bundle.names("validation/")])
    except CustodyError as error:
        raise Fault(error, Place("validation/")) from error


def _judge(case: Case, path: str, data: bytes, validation: Validation) -> Stamp | str:
    """The stamp, if it counts; else whose it is that cannot be judged."""
    try:
        stamp = Reply(case.bundle.read(path)).judge(data, case.trust.tsa, validation)
        if case.now is not None and (stamp.at - case.now).total_seconds() > case.trust.skew_s:
            raise TimestampInvalid(f"stamped at {stamp.at:%Y-%m-%dT%H:%M:%SZ}, after the verifier's clock")
    except TimestampStranger as error:
        return f"{path}: {error}"
    except CustodyError as error:
        raise Fault(error, Place(path)) from error
    return stamp


def _held(path: str, data: bytes, number: int, digests: dict[str, str]) -> bytes:
    """The bytes of a renewal that every file agrees with."""
    try:
        renewal = Renewal.parse(data)
        if renewal.number != number:
            raise RenewalMalformed(f"renewal {renewal.number} under the name of {number}")
        renewal.check(digests)
    except CustodyError as error:
        raise Fault(error, Place(path)) from error
    return data


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


def _is_of_this_log(case: Case, path: str, size: int) -> bool:
    """Whether that checkpoint is one of the bundle's history; a stamp over another says nothing about its entries."""
    checkpoint = case.need_checkpoint()
    note = Checkpoint.parse(parse_note(case.notes[size]).text)
    if note.size == checkpoint.size:
        if note.root != checkpoint.root:
            raise Fault(RootMismatch(expected=checkpoint.root, found=note.root), Place(path))
        return True
    return (min(size, checkpoint.size), max(size, checkpoint.size)) in case.consistency


def _stamps(case: Case) -> Iterator[tuple[str, int]]:
    names = case.bundle.names("timestamps/")
    if len(names) > _MAX_STAMPS:
        raise Fault(TimestampMalformed(f"{len(names)} stamps, expected at most {_MAX_STAMPS}"), Place("timestamps/"))
    for path in names:
        size = int(path[len("timestamps/") :].split("-")[0])
        if size not in case.notes:
            raise Fault(TimestampMalformed(f"checkpoints/{size} is not there or was not understood"), Place(path))
        yield path, size


def _renewals(case: Case) -> list[bytes]:
    """The renewals in their order, numbered from 1 without gap; every file agrees with them."""
    names = case.bundle.names("renewal/")
    numbers = sorted(int(path[len("renewal/") : -len(".json")]) for path in names if path.endswith(".json"))
    stamped_ones = {int(path[len("renewal/") :].split("-")[0]) for path in names if path.endswith(".tsr")}
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) > MAX_RENEWALS or stamped_ones - set(numbers):
        raise Fault(RenewalMalformed("renewals are not numbered from 1 without gap"), Place("renewal/"))
    digests = {file.path: file.sha512 for file in case.bundle.packing.files}
    paths = {number: f"renewal/{number}.json" for number in numbers}
    return [_held(path, case.bundle.read(path), number, digests) for number, path in paths.items()]


def _check_names(case: Case) -> None:
    """Each file has a name and a size that one of its kind can have; what validates is named by its digest."""
    for file in case.bundle.packing.files:
        folder = file.path.partition("/")[0]
        if folder not in _FORMS or "/" not in file.path:
            continue
        form, most = _FORMS[folder]
        if not form.fullmatch(file.path) or (folder == "validation" and file.sha256 not in file.path):
            raise Fault(TimestampMalformed(f"{file.path} has no name of such a file"), Place(file.path))
        if file.size > (MAX_RENEWAL if file.path.endswith(".json") else most):
            raise Fault(TimestampMalformed(f"{file.path} has {file.size} bytes, which is too many"), Place(file.path))
