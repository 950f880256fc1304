"""How many entries a second the sequencer places when it alone has work, and how long a lone entry waits.

    python bench/sequencer.py [ENTRIES]

Writes to a temporary directory: the figures are of the disk that holds it. The first counts from a full queue to the
signed checkpoint over all of it; the second from the commit of one entry to its record.
"""

import secrets
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.db import ledger, migrate
from app.db.engine import connect
from app.db.unit_of_work import UnitOfWork
from app.jobs.sequencer import Sequencer
from custody.note import KeyType, SignerKey

ORIGIN = "evidence.example.org/log"
ALONE = 200
IN_ONE = 500


def now():
    return datetime.now(UTC)


def append(uow, chain):
    return ledger.append(
        uow.session, chain=chain, event="access.denied", at=now(), origin=ORIGIN, noted={"action": "read"}
    )


def fill(engine, chain, count):
    for start in range(0, count, IN_ONE):
        with UnitOfWork(engine) as uow:
            for _ in range(min(IN_ONE, count - start)):
                append(uow, chain)
            uow.commit()


def main(count):
    with tempfile.TemporaryDirectory() as directory:
        engine = connect(f"sqlite:///{directory}/bench.db")
        migrate.upgrade(engine)
        signers = [SignerKey.generate(ORIGIN, KeyType.ED25519), SignerKey.generate(ORIGIN, KeyType.COSIGN_MLDSA44)]
        sequencer = Sequencer(engine, ORIGIN, signers, now)
        chain = secrets.token_hex(32)
        with UnitOfWork(engine) as uow:
            ledger.open_chain(uow.session, chain, "exchange", "bench")
            uow.commit()
        sequencer.run_once()
        ledger.LONGEST_WAIT = ledger.LONGEST_WAIT * 1000
        started = perf_counter()
        fill(engine, chain, count)
        print(f"appended  {count} entries, {count / (perf_counter() - started):,.0f} a second")
        started = perf_counter()
        while sequencer.run_once():
            pass
        print(f"sequenced {count} entries, {count / (perf_counter() - started):,.0f} a second")
        sequencer.start()
        waits = []
        for _ in range(ALONE):
            with UnitOfWork(engine, sequencer.wake) as uow:
                made = append(uow, chain)
                uow.commit()
            started = perf_counter()
            ledger.wait_for_record(engine, made)
            waits.append((perf_counter() - started) * 1000)
        print(
            f"record of a lone entry after {median(waits):.1f} ms (median), {quantiles(waits, n=100)[98]:.1f} ms (99 %)"
        )
        sequencer.stop()
        engine.dispose()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
