"""A ledger of a given size, made in bulk: what the measures at 100,000 chains or a million leaves begin with.

Chains come by the hundred thousand: their first entries are built by `custody`, stored by plain statements in rows like
those of `app.db.ledger`, and then placed by the real sequencer. Leaves beyond them are the dummy leaves that a log with
a cadence shows, made by the sequencer's own `GrowingLog` in batches of the usual size, without entries behind them.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, func, insert, select

from app.db import ledger, migrate
from app.db.engine import connect
from app.db.log_models import Chain, ChainKind, LedgerRow, Pending
from app.db.unit_of_work import UnitOfWork
from app.jobs.growing_log import GrowingLog, write
from app.jobs.sequencer import Sequencer
from bench.records import Synced
from custody import entry as entries
from custody import leaf
from custody.note import KeyType, SignerKey
from custody.text import to_time

ORIGIN = "evidence.example.org/log"
_BATCH = 4096


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Made:
    """A migrated database with a sequencer over it; who wants it to work by itself starts it."""

    engine: Engine
    sequencer: Sequencer
    signers: tuple[SignerKey, ...]

    def place(self) -> int:
        """Let the sequencer place all that waits; how many entries that were."""
        placed = 0
        while count := self.sequencer.run_once():
            placed += count
        return placed

    def close(self) -> None:
        self.sequencer.stop()
        self.engine.dispose()


@contextmanager
def databases(name: str, root: Path) -> Iterator[Callable[[], Made]]:
    """What makes an empty ledger on `SQLite` or on `PostgreSQL`, both with syncs on; all are closed at the end."""
    with ExitStack() as stack:
        server = stack.enter_context(Synced()) if name == "PostgreSQL" else None

        def fresh() -> Made:
            made = _made(server.database().owner_url if server else f"sqlite:///{root}/{secrets.token_hex(4)}.db")
            stack.callback(made.close)
            return made

        yield fresh


def _made(url: str) -> Made:
    engine = connect(url)
    migrate.upgrade(engine)
    signers = (SignerKey.generate(ORIGIN, KeyType.ED25519), SignerKey.generate(ORIGIN, KeyType.COSIGN_MLDSA44))
    return Made(engine, Sequencer(engine, ORIGIN, signers, now), signers)


def append(uow: UnitOfWork, chain: str) -> entries.Entry:
    """One entry as the service writes it."""
    return ledger.append(
        uow.session, chain=chain, event="access.denied", at=now(), origin=ORIGIN, noted={"action": "read"}
    )


def open_chains(made: Made, count: int) -> list[str]:
    """So many chains of one entry each, placed and signed; their handles."""
    handles: list[str] = []
    for start in range(0, count, _BATCH):
        rows = [_first() for _ in range(min(_BATCH, count - start))]
        with UnitOfWork(made.engine) as uow:
            connection = uow.session.connection()
            last = uow.session.scalar(select(func.max(LedgerRow.id))) or 0
            connection.execute(insert(Chain), [row[0] for row in rows])
            connection.execute(insert(LedgerRow), [row[1] for row in rows])
            new = select(LedgerRow.id).where(LedgerRow.id > last)
            connection.execute(insert(Pending).from_select(["ledger_id"], new))
            uow.commit()
        handles += [row[0]["handle"] for row in rows]
        made.place()
    return handles


def grow(made: Made, size: int) -> None:
    """Lead the log on to so many leaves by dummy leaves, and sign it. The sequencer must not be running."""
    made.sequencer.stop()
    with UnitOfWork(made.engine) as uow:
        log = GrowingLog.load(uow.session)
    while log.size < size:
        with UnitOfWork(made.engine) as uow:
            write(uow.session, log.extend([], min(_BATCH, size - log.size - 1)))
            uow.commit()
    made.place()


def _first() -> tuple[dict, dict]:
    handle, salt, at = secrets.token_hex(32), secrets.token_bytes(leaf.SALT_SIZE), now()
    made = entries.build(
        log=ORIGIN,
        chain=handle,
        seq=0,
        prev=entries.ZERO,
        time=to_time(at),
        event="access.denied",
        nonce=secrets.token_hex(16),
        actor={"authority": entries.SERVICE},
        noted={"action": "read"},
    )
    head = {"next_seq": 1, "head_hash": made.hash, "head_salt": salt}
    chain = {"handle": handle, "kind": ChainKind.EXCHANGE, "owner": handle[:32], **head}
    row = {"chain": handle, "seq": 0, "body": made.data, "hash": made.hash, "salt": salt, "recorded_at": at}
    return chain, {**row, "label": leaf.first_label(ORIGIN, bytes.fromhex(handle)), "statement_id": None}
