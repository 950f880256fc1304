"""How long after its commit an entry stands under a signed checkpoint, under 100 writers, with 100,000 chains open.

Each writer is a thread of one process: it appends an entry to a chain that none has written to since it was opened,
commits, notes the time, waits for the record with its proof, and goes on. So the figure holds the checkpoint, the
making of the proof and the wait for the interpreter, and is never less than what was promised of the checkpoint.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median, quantiles
from threading import Barrier
from time import perf_counter

from app.db import ledger
from app.db.unit_of_work import UnitOfWork
from bench import ledgers
from bench.series import Effort, Row, Series

WRITERS, RUNS = 100, 5


def to_checkpoint(effort: Effort, root: Path) -> Iterator[Row]:
    """On SQLite and on PostgreSQL, fsync on; the goal is held against the median of the runs' 99th percentiles."""
    for name in ("SQLite", "PostgreSQL"):
        with ledgers.databases(name, root) as fresh:
            made = fresh()
            chains = iter(ledgers.open_chains(made, effort.chains))
            made.sequencer.start()
            run(made, [next(chains) for _ in range(WRITERS)])
            count = max(effort.records // WRITERS, 1) * WRITERS
            turns = [run(made, [next(chains) for _ in range(count)]) for _ in range(RUNS)]
        middles, tails, rates = (Series(tuple(column)) for column in zip(*turns, strict=True))
        about = f"{WRITERS} writers, {effort.chains:,} chains, {name}"
        yield Row("latency", f"record after its commit, {about}: p50", "ms", middles)
        yield Row("latency", f"record after its commit, {about}: p99", "ms", tails, goal="<= 250")
        yield Row("latency", f"entries written and proven meanwhile, {about}", "/s", rates)


def run(made: ledgers.Made, chains: list[str]) -> tuple[float, float, float]:
    """Median and 99th percentile of the milliseconds from commit to record, and entries a second."""
    start = Barrier(WRITERS)

    def write(own: list[str]) -> list[float]:
        waits = []
        start.wait()
        for chain in own:
            with UnitOfWork(made.engine, made.sequencer.wake) as uow:
                entry = ledgers.append(uow, chain)
                uow.commit()
            committed = perf_counter()
            ledger.wait_for_record(made.engine, entry, timeout=60)
            waits.append((perf_counter() - committed) * 1000)
        return waits

    begun = perf_counter()
    with ThreadPoolExecutor(WRITERS) as pool:
        waits = [wait for found in pool.map(write, (chains[at::WRITERS] for at in range(WRITERS))) for wait in found]
    took = perf_counter() - begun
    return median(waits), quantiles(waits, n=100)[98], len(waits) / took
