"""How many entries a second the sequencer places when it alone has work, and how long a lone entry waits.

The figures are of the disk that holds the database. The first counts from a full queue to the signed checkpoint over
all of it; the second from the commit of one entry to its record.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter

from app.db import ledger
from app.db.unit_of_work import UnitOfWork
from bench import ledgers
from bench.series import Effort, Row, Series

ALONE = 100
IN_ONE = 500


def alone(effort: Effort, root: Path) -> Iterator[Row]:
    """On SQLite and on PostgreSQL, fsync on."""
    for name in ("SQLite", "PostgreSQL"):
        with ledgers.databases(name, root) as fresh:
            turns = [_measured(fresh(), effort.entries) for _ in range(effort.repeat)]
        appended, placed, waits = (Series(tuple(column)) for column in zip(*turns, strict=True))
        yield Row("sequencer", f"entries placed in the log, {name}", "/s", placed, goal=">= 20000")
        yield Row("sequencer", f"entries appended to a chain, {IN_ONE} in a transaction, {name}", "/s", appended)
        yield Row("sequencer", f"record of a lone entry after its commit, {name}: p50", "ms", waits)


def _measured(made: ledgers.Made, count: int) -> tuple[float, float, float]:
    chain = secrets.token_hex(32)
    with UnitOfWork(made.engine) as uow:
        ledger.open_chain(uow.session, chain, "exchange", "bench")
        uow.commit()
    made.place()
    usual, ledger.LONGEST_WAIT = ledger.LONGEST_WAIT, ledger.LONGEST_WAIT * 1000
    try:
        started = perf_counter()
        _fill(made, chain, count)
        appended = count / (perf_counter() - started)
        started = perf_counter()
        made.place()
        placed = count / (perf_counter() - started)
        return appended, placed, median(_lone(made, chain))
    finally:
        ledger.LONGEST_WAIT = usual
        made.sequencer.stop()


def _lone(made: ledgers.Made, chain: str) -> list[float]:
    made.sequencer.start()
    waits = []
    for _ in range(ALONE):
        with UnitOfWork(made.engine, made.sequencer.wake) as uow:
            entry = ledgers.append(uow, chain)
            uow.commit()
        started = perf_counter()
        ledger.wait_for_record(made.engine, entry)
        waits.append((perf_counter() - started) * 1000)
    return waits


def _fill(made: ledgers.Made, chain: str, count: int) -> None:
    for start in range(0, count, IN_ONE):
        with UnitOfWork(made.engine) as uow:
            for _ in range(min(IN_ONE, count - start)):
                ledgers.append(uow, chain)
            uow.commit()
