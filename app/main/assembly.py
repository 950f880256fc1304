"""The service, put together: settings, state, database, store, log, background work."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.db import migrate
from app.db.engine import connect
from app.errors import StateConflict
from app.jobs.caretaker import Caretaker
from app.jobs.sequencer import Sequencer
from app.jobs.stamps import Stamps
from app.jobs.witnesses import Witnesses, close
from app.services import enrolment, state, succession
from app.services.runtime import Runtime
from app.settings import Settings
from storage.interface import Store
from storage.local import LocalStore


@dataclass(frozen=True)
class Service:
    """A service that is put together and not running yet."""

    runtime: Runtime
    sequencer: Sequencer
    caretaker: Caretaker
    witnesses: Witnesses
    stamps: Stamps
    state: state.State

    @asynccontextmanager
    async def background(self) -> AsyncIterator[None]:
        """The log is kept and the house is kept for as long as this is entered."""
        self.sequencer.start()
        self.caretaker.start()
        self.witnesses.start()
        self.stamps.start()
        try:
            yield
        finally:
            await asyncio.to_thread(self.stamps.stop)
            await asyncio.to_thread(self.witnesses.stop)
            await asyncio.to_thread(self.caretaker.stop)
            await asyncio.to_thread(self._publish_all)
            await asyncio.to_thread(self.sequencer.stop)

    def _publish_all(self) -> None:
        """Give everything that is committed its place before the end, so that nobody waits for the next beginning."""
        with suppress(Exception):  # another process keeps the log, or the next one will heal what was in the way
            while self.sequencer.run_once():
                pass


def now() -> datetime:
    """The clock of the service."""
    return datetime.now(UTC)


def open_store(settings: Settings) -> Store:
    """The store that the settings name, of the kind that they name.

    Raises:
        StoreError: It cannot be opened.
    """
    if isinstance(settings.store, Path):
        return LocalStore(settings.store)
    from storage.s3 import S3Store

    return S3Store(settings.store)


def inspect(settings: Settings, clock: Callable[[], datetime] = now) -> Runtime:
    """What lies in a state, to be looked at: nothing is made, migrated or begun.

    Raises:
        StateConflict: There is no state, or its database is of another version.
        Refusal, CustodyError, StoreError: The state cannot be used.
    """
    if not state.is_made(settings):
        raise StateConflict(f"there is no state in {settings.state}", hint="name it with --state, or make it: `init`")
    kept = state.prepare(settings, clock())
    engine = connect(settings.database)
    if not migrate.is_current(engine):
        raise StateConflict("the database has another schema", hint="run `rogatory-server migrate`, with this version")
    return Runtime(
        settings=settings,
        origin=kept.origin,
        engine=engine,
        store=open_store(settings),
        token_keys=kept.token_keys,
        log_keys=tuple(signer.verifier for signer in kept.signers),
        now=clock,
    )


def assemble(settings: Settings, clock: Callable[[], datetime] = now) -> Service:
    """Make what is missing of the state, and put the service together.

    Raises:
        Refusal, CustodyError, StoreError: The state cannot be used.
    """
    kept = state.prepare(settings, clock())
    engine = connect(settings.database)
    migrate.upgrade(engine)
    store = open_store(settings)
    sequencer = Sequencer(engine, kept.origin, kept.signers, clock, cadence=settings.cadence)
    runtime = Runtime(
        settings=settings,
        origin=kept.origin,
        engine=engine,
        store=store,
        token_keys=kept.token_keys,
        log_keys=tuple(signer.verifier for signer in kept.signers),
        wake=sequencer.wake,
        now=clock,
        log_failure=lambda: sequencer.failure,
        ask_witnesses=lambda: witnesses.ask(),  # noqa: PLW0108 - made below
    )
    witnesses = Witnesses(runtime)
    close(runtime)
    if not enrolment.is_begun(runtime):
        witnesses.confirm()
    enrolment.begin(runtime, clock())
    if succession.is_ending(runtime):  # it died before its last entry had a place
        witnesses.confirm()
        sequencer.run_once()
        sequencer.stop()
    succession.stay_ended(runtime)
    return Service(runtime, sequencer, Caretaker(runtime), witnesses, Stamps(runtime), kept)
