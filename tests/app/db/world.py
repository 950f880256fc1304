"""A small service without HTTP: a migrated database, a log, chains that the service itself writes to."""

import atexit
import secrets
import shutil
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from sqlalchemy import text

from app.db import ledger, migrate
from app.db.engine import connect, writing
from app.db.unit_of_work import UnitOfWork, reading
from app.jobs.sequencer import Sequencer
from custody import leaf
from custody.note import KeyType, SignerKey

ORIGIN = "evidence.example.org/log"
SERVICE_CHAIN = leaf.registry_handle(ORIGIN, leaf.SERVICE).hex()
START = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
SIGNERS = [SignerKey.generate(ORIGIN, KeyType.ED25519), SignerKey.generate(ORIGIN, KeyType.COSIGN_MLDSA44)]
LOG_KEYS = [signer.verifier for signer in SIGNERS]


@cache
def _migrated():
    """A database as the migrations make it, made once; in a directory that goes with the process."""
    path = Path(mkdtemp()) / "empty.db"
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    engine = connect(f"sqlite:///{path}")
    migrate.upgrade(engine)
    engine.dispose()
    return path


class Clock:
    """A clock that stands until it is told to move."""

    def __init__(self):
        self.at = START

    def __call__(self):
        return self.at

    def move(self, seconds):
        self.at += timedelta(seconds=seconds)


class SqliteFile:
    """A migrated SQLite database in a directory; its user is its owner."""

    def __init__(self, directory):
        self.path = directory / "rogatory.db"
        shutil.copy(_migrated(), self.path)
        self.url = self.owner_url = f"sqlite:///{self.path}"


class World:
    """A database and its sequencer, at a fixed time."""

    def __init__(self, database, cadence=None):
        self.database, self.clock, self.cadence = database, Clock(), cadence
        self.engine = connect(database.url)
        self.sequencer = self.another_sequencer()

    def another_sequencer(self, engine=None):
        return Sequencer(engine or self.engine, ORIGIN, SIGNERS, self.clock, cadence=self.cadence)

    def restart(self):
        """The process dies and another begins: nothing is left but the database."""
        self.close()
        self.engine = connect(self.database.url)
        self.sequencer = self.another_sequencer()

    def meddle(self, change, **values):
        """Somebody with every right changes the tables."""
        engine = connect(self.database.owner_url)
        try:
            with writing(engine).begin() as connection:
                connection.execute(text(change), values)
        finally:
            engine.dispose()

    def close(self):
        self.sequencer.stop()
        self.engine.dispose()

    def unit_of_work(self):
        return UnitOfWork(self.engine, self.sequencer.wake)

    def reading(self):
        return reading(self.engine)

    def open_chain(self):
        handle = secrets.token_hex(32)
        with self.unit_of_work() as uow:
            ledger.open_chain(uow.session, handle, "exchange", secrets.token_hex(16))
            uow.commit()
        return handle

    def note(self, chain, times=1):
        """The service says something in an exchange, each time in a transaction of its own; the entries."""
        made = []
        for _ in range(times):
            with self.unit_of_work() as uow:
                made.append(self.append(uow, chain))
                uow.commit()
        return made

    def append(self, uow, chain, **changes):
        facts = {"event": "access.denied", "at": self.clock(), "origin": ORIGIN, "noted": {"action": "read"}}
        return ledger.append(uow.session, chain=chain, **(facts | changes))
