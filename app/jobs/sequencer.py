"""The sequencer: gives committed entries their places in the log and signs checkpoints over them.

Order of work, and what a crash leaves behind at each step:

1. leaves, tiles, tail heads written and the entries no longer pending, in one commit: nothing, or all of it;
2. a checkpoint signed over what is committed: at worst committed leaves without a checkpoint, signed at the next start;
3. the checkpoint stored, and everybody woken who waits.

Every batch ends in a tail leaf, so every checkpoint does: docs/adr/0003-every-batch-ends-in-a-tail-leaf.md.
"""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Event, Lock, Thread

from sqlalchemy import Engine, select

from app.db.engine import at_once
from app.db.fresh import board
from app.db.guard import guard
from app.db.log_models import CheckpointRow
from app.db.publication import Bell
from app.db.unit_of_work import UnitOfWork, reading
from app.errors import ReadOnly
from app.jobs.election import Election, NotElected
from app.jobs.growing_log import Batch, GrowingLog, Waiting, is_anything_waiting, published, waiting, write
from custody.checkpoint import Checkpoint, sign_checkpoint
from custody.note import SignerKey

__all__ = ["NotElected", "Sequencer"]

_MOST = 4096
_POLL = 0.2
"""Seconds between looks for entries that other processes committed."""

_LET_BY = 16
"""Writers of this process that go before a batch is placed: what they write is in it, and its cost is shared."""

_PAUSE = 0.5
"""Seconds after a failure, or between attempts to be elected."""

FILLED = 4
"""Entry leaves of the smallest batch where batches come at a cadence."""

_SIGN_AGAIN = timedelta(seconds=60)
"""A checkpoint older than this is signed again with a new time: a quiet log must not look like a dead one."""

_log = logging.getLogger(__name__)


class Sequencer:
    """A thread that keeps the log; at work in one process at a time, standing by in the others.

    Args:
        engine: The database.
        origin: The log's name.
        signers: The log's keys, each named like the origin.
        now: The clock, aware UTC.
        cadence: Where outsiders shall not see how much there is to record: a batch so often, no more and no less,
            each filled up with dummy leaves to FILLED or a power of two above.
    """

    def __init__(
        self,
        engine: Engine,
        origin: str,
        signers: Sequence[SignerKey],
        now: Callable[[], datetime],
        *,
        cadence: timedelta | None = None,
    ) -> None:
        self._engine, self._origin, self._signers, self._now = engine, origin, tuple(signers), now
        self._cadence = cadence.total_seconds() if cadence else None
        self._election, self._guard = Election(engine), guard(engine)
        self._bell = Bell()
        self._stopping = Event()
        self._turn = Lock()
        self._thread: Thread | None = None
        self._log: GrowingLog | None = None
        self._signed: tuple[int, datetime] | None = None
        self.failure: Exception | None = None
        """What the last pass ended with, if it failed; for the readiness probe."""

    @property
    def elected(self) -> bool:
        """Whether this process keeps the log."""
        return self._election.won

    def start(self) -> None:
        """Begin; returns at once. The first pass heals what a crash has left."""
        self._stopping.clear()
        self._thread = Thread(target=self._run, name="sequencer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the batch under way, and let another process take over."""
        self._stopping.set()
        self._bell.ring()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._turn:
            self._forget()
            self._election.stand_back()

    def wake(self) -> None:
        """Look now: something was committed."""
        self._bell.ring()

    def run_once(self) -> int:
        """Place one batch if entries wait, sign if there is something to sign; how many entries were placed.

        Raises:
            NotElected: Another process keeps the log.
            ReadOnly: No witness has confirmed the log yet, or one has shown another.
            LogDamaged: The database's log does not fit together.
        """
        with self._turn:
            try:
                self._guard.check()
                self._election.stand()
                return self._advance()
            except ReadOnly:
                self._forget()
                self._election.stand_back()
                raise
            except BaseException:
                self._forget()
                raise

    def _run(self) -> None:
        while not self._stopping.is_set():
            rings = self._bell.rings
            try:
                placed = self.run_once()
            except NotElected:
                self.failure = None  # whatever it was, the log is in other hands now
                self._stopping.wait(_PAUSE)
                continue
            except ReadOnly as error:
                self.failure = error
                self._stopping.wait(_PAUSE)
                continue
            except Exception as error:  # noqa: BLE001 - whatever it is, the log must go on when it has passed
                self.failure = error
                _log.exception("the sequencer failed and will try again")
                self._stopping.wait(_PAUSE)
                continue
            self.failure = None
            if self._cadence is not None:
                self._stopping.wait(self._cadence - time.monotonic() % self._cadence)
            elif not placed:
                self._bell.wait(rings, _POLL)

    def _advance(self) -> int:
        log = self._log or self._load()
        entries, batch = self._place(log)
        at = self._now()
        if log.size and (self._signed is None or self._signed[0] != log.size or at - self._signed[1] >= _SIGN_AGAIN):
            note = self._sign(log, at)
            self._publish(log, note, at)
            if batch is None:
                board(self._engine.pool).call()
            else:
                board(self._engine.pool).put_up(published(log, batch, entries, note))
        return len(entries)

    def _load(self) -> GrowingLog:
        with reading(self._engine) as session:
            self._log = GrowingLog.load(session)
            newest = session.execute(
                select(CheckpointRow.size, CheckpointRow.signed_at).order_by(CheckpointRow.size.desc()).limit(1)
            ).one_or_none()
        self._signed = (newest.size, newest.signed_at) if newest else None
        return self._log

    def _place(self, log: GrowingLog) -> tuple[list[Waiting], Batch | None]:
        """The entries that were given places, and the batch they were written in, if there is one."""
        if self._cadence is None:
            with reading(self._engine) as session:
                if not is_anything_waiting(session):
                    return [], None
        with UnitOfWork(at_once(self._engine, after=_LET_BY)) as uow:
            self._election.confirm(uow.session)
            entries = waiting(uow.session, _MOST)  # looked for now that it is our turn: those who came meanwhile too
            dummies = 0 if self._cadence is None else _filled(len(entries)) - len(entries)
            if not entries and not dummies:
                return [], None
            batch = log.extend(entries, dummies)
            write(uow.session, batch)
            uow.commit()
        return entries, batch

    def _sign(self, log: GrowingLog, at: datetime) -> bytes:
        return sign_checkpoint(Checkpoint(self._origin, log.size, log.root()), self._signers, int(at.timestamp()))

    def _publish(self, log: GrowingLog, note: bytes, at: datetime) -> None:
        with UnitOfWork(at_once(self._engine)) as uow:
            self._election.confirm(uow.session)
            uow.session.merge(CheckpointRow(size=log.size, root=log.root(), signed_at=at, note=note))
            uow.commit()
        self._signed = (log.size, at)

    def _forget(self) -> None:
        """Memory may be ahead of the database: read it again before the next batch."""
        self._log = self._signed = None


def _filled(entries: int) -> int:
    """How many entry leaves a batch shows that holds so many entries."""
    return max(FILLED, 1 << (entries - 1).bit_length() if entries else 0)
