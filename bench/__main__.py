"""All measures in one run: `make bench`, or `python -m bench [--quick] [--only NAME …]`.

Each measure runs in a process of its own with a limit of time; one that fails is reported as such, the others go on,
and the exit code at the end is 1. Everything lies in a temporary directory.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import latency, memory, proofs, records, sealing, sequencer, table, transfer, verify_entries
from bench.series import GIB, MIB, Effort, Row

MEASURES: dict[str, Callable[[Effort, Path], Iterator[Row]]] = {
    "sealing": sealing.against_age,
    "local": transfer.local,
    "s3": transfer.s3,
    "records": records.over_http,
    "sequencer": sequencer.alone,
    "latency": latency.to_checkpoint,
    "proofs": proofs.at_sizes,
    "verify": verify_entries.offline,
    "memory": memory.of_processes,
    "vast": memory.vast,
}
_ASKED_FOR = {"vast"}
"""Only measured when asked for."""
PAGE = Path(__file__).resolve().parents[1] / "docs" / "bench.md"
_LIMIT = {True: 300, False: 1800}
"""Seconds for one measure."""


def effort_of(choice: argparse.Namespace) -> Effort:
    if choice.quick:
        return Effort(
            size=256 * MIB,
            repeat=3,
            records=200,
            entries=1500,
            memory=(64 * MIB, 512 * MIB),
            vast=GIB,
            bundle=7_500,
            chains=5_000,
            leaves=(1_000, 20_000),
        )
    return Effort(
        size=GIB,
        repeat=3,
        records=2000,
        entries=10_000,
        memory=(64 * MIB, 2 * GIB),
        vast=10 * GIB,
        bundle=100_000,
        chains=100_000,
        leaves=(1_000, 100_000, 1_000_000),
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, some minutes")
    usual = [name for name in MEASURES if name not in _ASKED_FOR]
    parser.add_argument("--only", nargs="*", choices=MEASURES, default=usual, help="these measures alone")
    parser.add_argument("--vast", action="store_true", help="memory at 10 GiB too, some minutes more")
    parser.add_argument("--output", type=Path, default=PAGE, help="where the page is written (default: docs/bench.md)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    choice = parser.parse_args()
    if choice.child:
        return _measure(choice)
    rows: list[Row] = []
    failures: dict[str, str] = {}
    for name in [*choice.only, *(["vast"] if choice.vast else [])]:
        print(f"\n{name}: {(MEASURES[name].__doc__ or '').strip()}", flush=True)
        found, why = _in_process(name, quick=choice.quick)
        rows += found
        if why:
            failures[name] = why
            print(f"FAILED: {why}", flush=True)
    choice.output.write_text(table.page(rows, failures, effort_of(choice)), encoding="utf-8")
    missed = [row.work for row in rows if row.met is False]
    print(f"\n{choice.output} written; {len(missed)} goals not met, {len(failures)} measures failed")
    return 1 if failures else 0


def _in_process(name: str, *, quick: bool) -> tuple[list[Row], str]:
    """What a measure yielded, and why it ended early, if it did."""
    rows: list[Row] = []
    command = [sys.executable, "-m", "bench", "--child", name, *(["--quick"] if quick else [])]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)
        previous = signal.signal(signal.SIGALRM, lambda *_: os.killpg(process.pid, signal.SIGKILL))
        signal.alarm(_LIMIT[quick])
        assert process.stdout is not None
        try:
            for said in process.stdout:
                row = Row.of(json.loads(said))
                rows.append(row)
                print(table.line(row), flush=True)
            code = process.wait()
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, previous)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        if code == -signal.SIGKILL:
            return rows, f"took longer than {_LIMIT[quick]} s"
        errors.seek(0)
        return rows, errors.read().strip().rpartition("\n")[2][:300] or f"exit code {code}" if code else ""


def _measure(choice: argparse.Namespace) -> int:
    """One measure in this process, its rows as JSON lines."""
    with tempfile.TemporaryDirectory(prefix="rogatory-bench-") as place:
        for row in MEASURES[choice.child](effort_of(choice), Path(place)):
            print(json.dumps(row.fields()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
