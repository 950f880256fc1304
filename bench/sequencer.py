"""How many entries a second the sequencer places when it alone has work, and how long a lone entry waits.

    python -m bench.sequencer [ENTRIES]

The figures are of the disk that holds the database. The first counts from a full queue to the signed checkpoint over
all of it; the second from the commit of one entry to its record.
"""

import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

from app.db import ledger, migrate
from app.db.engine import connect
from app.db.unit_of_work import UnitOfWork
from app.jobs.sequencer import Sequencer
from bench.records import Synced
from bench.series import Effort, Row, Series
from custody.note import KeyType, SignerKey

ORIGIN = "evidence.example.org/log"
ALONE = 100
IN_ONE = 500


def alone(effort: Effort, root: Path) -> Iterator[Row]:
    """On SQLite and on PostgreSQL, fsync on."""
    for name in ("SQLite", "PostgreSQL"):
        with _databases(name, root) as fresh:
            turns = [_measured(fresh(), effort.entries) for _ in range(effort.repeat)]
        appended, placed, waits = (Series(tuple(column)) for column in zip(*turns, strict=True))
        yield Row("sequencer", f"entries placed in the log, {name}", "/s", placed, goal=">= 20000")
        yield Row("sequencer", f"entries appended to a chain, {IN_ONE} in a transaction, {name}", "/s", appended)
        yield Row("sequencer", f"record of a lone entry after its commit, {name}: p50", "ms", waits)


@contextmanager
def _databases(name: str, root: Path):
    """What gives the address of a fresh database."""
    if name == "SQLite":
        yield lambda: f"sqlite:///{root}/{secrets.token_hex(4)}.db"
        return
    with Synced() as server:
        yield lambda: server.database().owner_url


def _measured(url: str, count: int) -> tuple[float, float, float]:
    engine = connect(url)
    migrate.upgrade(engine)
    signers = [SignerKey.generate(ORIGIN, KeyType.ED25519), SignerKey.generate(ORIGIN, KeyType.COSIGN_MLDSA44)]
    sequencer = Sequencer(engine, ORIGIN, signers, _now)
    chain = secrets.token_hex(32)
    with UnitOfWork(engine) as uow:
        ledger.open_chain(uow.session, chain, "exchange", "bench")
        uow.commit()
    sequencer.run_once()
    usual, ledger.LONGEST_WAIT = ledger.LONGEST_WAIT, ledger.LONGEST_WAIT * 1000
    try:
        started = perf_counter()
        _fill(engine, chain, count)
        appended = count / (perf_counter() - started)
        started = perf_counter()
        while sequencer.run_once():
            pass
        placed = count / (perf_counter() - started)
        return appended, placed, median(_lone(engine, sequencer, chain))
    finally:
        ledger.LONGEST_WAIT = usual
        sequencer.stop()
        engine.dispose()


def _lone(engine, sequencer: Sequencer, chain: str) -> list[float]:
    sequencer.start()
    waits = []
    for _ in range(ALONE):
        with UnitOfWork(engine, sequencer.wake) as uow:
            made = _append(uow, chain)
            uow.commit()
        started = perf_counter()
        ledger.wait_for_record(engine, made)
        waits.append((perf_counter() - started) * 1000)
    return waits


def _fill(engine, chain: str, count: int) -> None:
    for start in range(0, count, IN_ONE):
        with UnitOfWork(engine) as uow:
            for _ in range(min(IN_ONE, count - start)):
                _append(uow, chain)
            uow.commit()


def _append(uow: UnitOfWork, chain: str):
    return ledger.append(
        uow.session, chain=chain, event="access.denied", at=_now(), origin=ORIGIN, noted={"action": "read"}
    )


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    entries = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory() as name:
        for row in alone(Effort(0, 1, 0, entries, ()), Path(name)):
            print(f"{row.work}: {row.ours.middle:,.1f} {row.unit}")
