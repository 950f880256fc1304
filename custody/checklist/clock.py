"""Checks of time: entries in order, statements near their entries, all inside what cosignatures and stamps say."""

import math
from bisect import bisect_right
from datetime import UTC, datetime
from itertools import groupby
from typing import Final

from custody.checklist import chains, stamps
from custody.checklist.case import Case, Chain
from custody.errors import VerificationError
from custody.report import Bounds, Fault, NotChecked
from custody.text import TextMalformed, to_time
from custody.words import say

LODGED_WITHIN_S: Final = 600
"""How far a statement's time may be from the service's when it is lodged, in seconds."""


class TimeOutside(VerificationError):
    """A time lies outside its bounds by more than the skew."""

    code = "time-outside"


def times(case: Case) -> str:
    """Entry times do not fall back, fit their statements', and lie inside the bounds of verified cosignatures."""
    case.need_statements()
    if not case.trust.given:
        raise NotChecked(say("reason.no-trust-times"))
    if case.cosigned is None or case.cosigned.note is None:
        raise NotChecked(say("reason.log-unproven"))
    bounds = _Brackets(case)
    _check_checkpoint(case, bounds)
    for chain in case.chains.values():
        _check_order(case, chain)
        _check_statements(case, chain)
        _check_bounds(case, chain, bounds)
    bounding = [say("detail.by-cosignatures")] if not case.trust.witnesses.is_none else []
    bounding += [say("detail.by-stamps")] if bounds.stamps else []
    if not bounding:
        return say("detail.unbounded")
    return say("detail.bounded", by=bounding)


def brackets(case: Case) -> tuple[Bounds, ...]:
    """Bounds of the main chain's entries, neighbours with the same bounds together."""
    chain = case.exchange or next(iter(case.registries.values()), None)
    if chain is None or case.cosigned is None or case.cosigned.note is None:
        return ()
    found: list[Bounds] = []
    bounds = _Brackets(case)
    if case.trust.witnesses.is_none and not bounds.stamps:
        return ()
    for (low, high), lines in groupby(chain.leaves, lambda line: bounds.at(line.index)):
        first, *others = lines
        found.append(Bounds(first.seq, (others or [first])[-1].seq, _text(low), _text(high)))
    return tuple(found)


class _Brackets:
    """(not before, not after) in POSIX seconds by log index; the same between two cosigned sizes."""

    def __init__(self, case: Case) -> None:
        assert case.cosigned is not None
        assert case.cosigned.note is not None
        self._policy, self._times = case.trust.witnesses, case.cosigned.times
        self.stamps = _stamps(case)
        self._sizes = sorted({size for size, _ in (*self._times, *self.stamps)})
        self._known: dict[int, tuple[int | None, int | None]] = {}
        self._limits: dict[int, tuple[str, str]] = {}
        self._skew = case.trust.skew_s
        log = {key.full_id for key in case.trust.log}
        own = [time for key_id, time in case.cosigned.note.cosignatures() if key_id in log]
        self.log_time = max(own) if own else None
        self._now = math.ceil(case.now.timestamp()) if case.now is not None else None

    def at(self, index: int) -> tuple[int | None, int | None]:
        place = bisect_right(self._sizes, index)
        if place not in self._known:
            low, high = (None, None) if self._policy.is_none else self._policy.bounds(index, self._times)
            stamped = [at for size, at in self.stamps if size > index]
            self._known[place] = low, min([*stamped, *([high] if high is not None else [])], default=None)
        return self._known[place]

    def limits(self, index: int) -> tuple[str, str]:
        """Least and most time of an entry, skew allowed for, as text that sorts like the times do."""
        place = bisect_right(self._sizes, index)
        if place not in self._limits:
            low, high = self.at(index)
            ceilings = [value for value in (high, self.log_time, self._now) if value is not None]
            least = _text(low - self._skew) if low is not None else None
            most = _text(min(ceilings) + self._skew) if ceilings else None
            self._limits[place] = least or "", most or "~"
        return self._limits[place]


def _stamps(case: Case) -> list[tuple[int, int]]:
    """(size, latest second) of the stamps that count; none where `timestamps` finds fault with one."""
    try:
        return [(size, math.ceil(at.timestamp())) for size, at in stamps.stamped(case).held]
    except (Fault, NotChecked):
        return []


def _check_checkpoint(case: Case, bounds: _Brackets) -> None:
    if case.now is not None and bounds.log_time is not None:
        ahead = bounds.log_time - case.now.timestamp()
        if ahead > case.trust.skew_s:
            raise TimeOutside(f"the log signed {ahead:.0f} s in the future of the verifier's clock")


def _check_order(case: Case, chain: Chain) -> None:
    """Times of one width sort as text, so only one that falls back is computed with."""
    latest = ""
    for number, item in enumerate(chain.entries):
        text = item.time
        if text >= latest:
            latest = text
        elif seconds(latest) - seconds(text) > case.trust.skew_s:
            error = TimeOutside(f"entry {item.seq} at {text} follows one at {latest}")
            raise Fault(error, chain.place(number))


def _check_statements(case: Case, chain: Chain) -> None:
    limit = LODGED_WITHIN_S + case.trust.skew_s
    expires: dict[str, str] = {}
    for act in chains.acts(case, chain):
        number, item, statement = act.number, act.entry, act.statement
        if statement.kind == "approval":
            expires[statement.payload["act"]] = statement.payload["expires"]
        said, at = statement.payload["time"], item.time
        if statement.id in expires:
            if seconds(at) - seconds(expires[statement.id]) > case.trust.skew_s:
                error = TimeOutside(f"entry {item.seq} at {at}, its approval expired at {expires[statement.id]}")
                raise Fault(error, chain.place(number))
        elif abs(seconds(at) - seconds(said)) > limit:
            error = TimeOutside(f"entry {item.seq} at {at}, signed at {said}: more than {limit} s apart")
            raise Fault(error, chain.place(number))


def _check_bounds(case: Case, chain: Chain, bounds: _Brackets) -> None:
    for number, (item, line) in enumerate(zip(chain.entries, chain.lines, strict=True)):
        if line is None:
            continue
        time, (least, most) = item.time, bounds.limits(line.index)
        if least <= time <= most:
            continue
        when = f"known to exist before {most}" if time > most else f"known not to exist at {least}"
        message = f"entry {item.seq} at {time}, {when}"
        raise Fault(TimeOutside(f"{message} (skew of {case.trust.skew_s} s allowed for)"), chain.place(number))


def seconds(text: str) -> float:
    """POSIX seconds of a time whose shape the schema has checked.

    Raises:
        TextMalformed: There is no such day or hour.
    """
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise TextMalformed(f"{text!r} is not a time: {error}") from error


def _text(at: int | None) -> str | None:
    if at is None:
        return None
    try:
        return to_time(datetime.fromtimestamp(at, UTC))
    except (OverflowError, ValueError, OSError):
        return None
