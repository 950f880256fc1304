"""What the use cases stand on: the things of one running service, put together once in `app.main`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app.auth.tokens import TokenKeys
from app.db import ledger
from app.db.unit_of_work import UnitOfWork, reading
from app.errors import NotEntitled
from app.services.desk import Desk
from app.services.policies import PolicyFile
from app.settings import Settings
from custody.note import VerifierKey
from storage.interface import Store

_FROM_SETTINGS: Final[Any] = None


def _nobody() -> None:
    pass


def _well() -> None:
    return None


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Runtime:
    """One running service.

    Attributes:
        settings: As read at the start.
        origin: The log's; as kept in the state, not as set.
        engine: The database.
        store: Where ciphertext lives.
        token_keys: For access tokens.
        log_keys: Public keys that sign checkpoints.
        wake: Called after each commit; wakes the sequencer.
        now: The clock; aware UTC.
        log_failure: What the sequencer's last pass ended with, if it failed.
        desk: Who is writing which upload in this process.
        ask_witnesses: Called by who waits for cosignatures.
        witnesses: Who cosigns, and how many must; from the settings' file.
        auditors: Who recomputes every leaf before it cosigns; likewise.
    """

    settings: Settings
    origin: str
    engine: Engine
    store: Store
    token_keys: TokenKeys
    log_keys: tuple[VerifierKey, ...]
    wake: Callable[[], None] = _nobody
    now: Callable[[], datetime] = _now
    log_failure: Callable[[], Exception | None] = _well
    desk: Desk = field(default_factory=Desk)
    ask_witnesses: Callable[[], None] = _nobody

    witnesses: PolicyFile = field(default=_FROM_SETTINGS)
    auditors: PolicyFile = field(default=_FROM_SETTINGS)

    def __post_init__(self) -> None:
        for name, path in (("witnesses", self.settings.policy), ("auditors", self.settings.auditors)):
            if getattr(self, name) is _FROM_SETTINGS:
                object.__setattr__(self, name, PolicyFile(path))

    def unit_of_work(self) -> UnitOfWork:
        """A new writing transaction."""
        return UnitOfWork(self.engine, self.wake)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that writes nothing."""
        with reading(self.engine) as session:
            yield session

    @contextmanager
    def acting(self) -> Iterator[UnitOfWork]:
        """A unit of work for a party's act; a denial inside it is noted in the exchange it concerns, then raised."""
        try:
            with self.unit_of_work() as uow:
                yield uow
        except Denied as denied:
            self._note(denied)
            raise

    def _note(self, denied: "Denied") -> None:
        with self.unit_of_work() as uow:
            ledger.append(
                uow.session,
                chain=denied.chain,
                event="access.denied",
                at=self.now(),
                origin=self.origin,
                subject=denied.subject,
                noted=denied.noted,
            )
            uow.commit()


class Denied(NotEntitled):
    """A caller may see a thing of an exchange and may not do this with it; the attempt goes on record there.

    Attributes:
        chain: Handle of the exchange.
        subject: The package or item it was about, where it was about one.
        noted: The action, who, and from where.
    """

    def __init__(self, message: str, *, chain: str, subject: dict[str, str], noted: dict[str, object]) -> None:
        super().__init__(message, hint="ask your authority which of its principals holds the role")
        self.chain, self.subject, self.noted = chain, subject, noted
