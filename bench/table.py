"""The table of all figures, as text: for the terminal while they arrive, and docs/bench.md at the end."""

import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from statistics import median

from bench.series import GIB, Effort, Row, Series

HEADINGS = {
    "sealing": "Sealing and opening",
    "transfer": "Whole bodies through the service",
    "records": "Records over HTTP",
    "sequencer": "The sequencer alone",
    "latency": "From commit to checkpoint",
    "proofs": "Proofs as the log grows",
    "verify": "Offline verification",
    "memory": "Memory",
}
FINDINGS = Path(__file__).with_name("findings.md")
_BOUND = re.compile(r"^- \*\*(.+?)\*\*: ((?:.+\n)(?:  .+\n)*)", re.MULTILINE)
_VERDICTS = {True: "met", False: "**not met**", None: ""}


def line(row: Row) -> str:
    """One row for the terminal."""
    ratio = f"  {_span(row.ours.over(row.anchor), 2)} x {row.by}" if row.anchor else ""
    goal = f"  [{row.goal}: {_VERDICTS[row.met].strip('*')}]" if row.goal else ""
    return f"{row.work:<70} {_span(row.ours)} {row.unit}{ratio}{goal}"


def page(rows: Sequence[Row], failures: Mapping[str, str], effort: Effort) -> str:
    """docs/bench.md, whole."""
    parts = [_heading(rows, effort)]
    for group, found in groupby(sorted(rows, key=lambda row: list(HEADINGS).index(row.group)), lambda row: row.group):
        listed = list(found)
        parts += [f"## {HEADINGS[group]}\n", _table(listed), "", *_missed(listed)]
    if failures:
        parts += ["## What could not be measured\n", *(f"- {name}: {why}" for name, why in failures.items()), ""]
    parts += [FINDINGS.read_text(encoding="utf-8").rstrip(), ""]
    return "\n".join(parts)


def _missed(rows: Sequence[Row]) -> list[str]:
    """For each goal not met a line that says by how much, and what bounds it."""
    lines = []
    for row in rows:
        if row.met is False:
            found = row.ours.over(row.anchor) if row.goal.endswith(" x") and row.anchor else row.ours
            said = f"- Not met: {row.work}, {_span(found, 2)} where {_goal(row)} is wanted. {bound(row.work)}"
            lines.append(said if said.endswith(".") else f"{said}.")
    return [*lines, ""] if lines else []


def bound(work: str) -> str:
    """What bounds a measure: the first line `- **beginning of its name**: why` of bench/findings.md that fits."""
    for beginning, why in _BOUND.findall(FINDINGS.read_text(encoding="utf-8")):
        if work.startswith(beginning):
            said = " ".join(str(why).split())
            return said[0].upper() + said[1:]
    return "What bounds it was not looked into"


def _goal(row: Row) -> str:
    return row.goal.replace(">=", "≥").replace("<=", "≤").replace(" x", " ×")


def _heading(rows: Sequence[Row], effort: Effort) -> str:
    noise = [row.anchor.spread for row in rows if row.anchor] or [0.0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return (
        "# Bench\n\n"
        "Written by `make bench`; edit bench/findings.md, not this page. Absolute figures are of one machine on one "
        "day and drift by a third; what was measured alternately, the ratios, holds. Each figure is the median of "
        f"{effort.repeat} runs after one that does not count, with the lowest and the highest behind it; of proofs, of "
        "a hundred; from commit to checkpoint, of five runs.\n\n"
        f"- machine: {_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}\n"
        f"- date: {datetime.now(UTC):%Y-%m-%d}, load before: {os.getloadavg()[0]:.1f}\n"
        f"- code: {_commit()}\n"
        f"- noise: the others' own repeated runs spread by {median(noise):.0%} of their median "
        f"({min(noise):.0%} to {max(noise):.0%}); smaller differences mean nothing\n"
        f"- bodies of {effort.size / GIB:g} GiB of random bytes; files and databases on one disk\n"
    )


def _table(rows: Sequence[Row]) -> str:
    compared = any(row.anchor for row in rows)
    noted = any(row.note for row in rows)
    heads = ["work", "ours", *(["they", "who", "ratio"] if compared else []), "goal", "", *(["note"] if noted else [])]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for row in rows:
        theirs = (
            [f"{_span(row.anchor)} {row.unit}", row.by, _span(row.ours.over(row.anchor), 2)] if row.anchor else [""] * 3
        )
        cells = [row.work, f"{_span(row.ours)} {row.unit}", *(theirs if compared else [])]
        cells += [_goal(row), _VERDICTS[row.met]]
        lines.append("| " + " | ".join([*cells, *([row.note] if noted else [])]) + " |")
    return "\n".join(lines)


def _span(series: Series, digits: int | None = None) -> str:
    places = digits if digits is not None else 0 if series.middle >= 100 else 1 if series.middle >= 10 else 2
    middle, low, high = (f"{value:,.{places}f}" for value in (series.middle, min(series.values), max(series.values)))
    return middle if len(series.values) == 1 else f"{middle} ({low} to {high})"


def _processor() -> str:
    for said in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if said.startswith("model name"):
            return said.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
