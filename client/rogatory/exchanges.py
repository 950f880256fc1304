"""Exchanges and packages as the service shows them to us: list, open, close, find by a short id.

What the service says here is for finding one's way; nothing of it is evidence. What counts is in records and bundles.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from custody import entry, statement
from custody.entry import Entry
from custody.statement import Statement
from rogatory.connection import AnswerMalformed, Connection
from rogatory.continuing import Before
from rogatory.errors import Tampered
from rogatory.ids import exchange_id, resolve
from rogatory.lodging import Lodge, Lodged
from rogatory.statements import Speaker


@dataclass(frozen=True)
class Exchange:
    """An exchange we are a party or auditor of."""

    id: str
    handle: str
    opened_at: str
    closed: bool
    parties: tuple[str, ...]
    auditors: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @classmethod
    def of(cls, fields: Any) -> "Exchange":
        """As the service tells it, its id checked against its handle.

        Raises:
            AnswerMalformed: It is not of this shape.
        """
        try:
            found = cls(
                id=fields["id"],
                handle=fields["handle"],
                opened_at=fields["opened_at"],
                closed=bool(fields["closed"]),
                parties=tuple(fields["parties"]),
                auditors=tuple(fields.get("auditors", ())),
                packages=tuple(fields.get("packages", ())),
            )
            fits = exchange_id(found.handle) == found.id
        except (KeyError, TypeError, ValueError) as error:
            raise AnswerMalformed("the service describes an exchange otherwise than its interface says") from error
        if not fits:
            raise AnswerMalformed(f"the service gives exchange {found.id[:40]} a handle that is not its own")
        return found


@dataclass(frozen=True)
class LogPage:
    """Some entries of a chain with their log indices, and the statements they carry; nothing is proven."""

    entries: tuple[tuple[int, Entry], ...]
    statements: tuple[Statement, ...]


class AnotherShown(Tampered):
    """The service shows another thing than it was asked for, as if it were that one."""

    code = "another-shown"


class Exchanges:
    """The exchanges and packages behind a connection."""

    def __init__(self, connection: Connection, lodge: Lodge, speaker: Speaker) -> None:
        self._connection, self._lodge, self._speaker = connection, lodge, speaker

    def list(self) -> list[Exchange]:
        """All that we may see."""
        return [Exchange.of(fields) for fields in self._connection.pages("/v1/exchanges", "exchanges")]

    def get(self, text: str) -> Exchange:
        """The exchange whose id begins with `text`.

        Raises:
            AnotherShown: The service shows another.
        """
        if len(text) == 32:
            shown = Exchange.of(self._connection.get_json(f"/v1/exchanges/{text}"))
            _check_asked(text, shown.id, "exchange")
            return shown
        found = {exchange.id: exchange for exchange in self.list()}
        return found[resolve(text, found)]

    def open(
        self, parties: Sequence[str], *, auditors: Sequence[str] = (), before: Before | None = None
    ) -> tuple[Exchange, Lodged]:
        """Open an exchange between our authority and others; the handle is random and ours to choose.

        One that stood in the log before goes on under the handle that it had, with all who stood in it.

        Raises:
            ContinuedOtherwise: The service lets it go on from something else.
        """
        handle = before.handle if before is not None else secrets.token_hex(32)
        if before is not None:
            parties = [*parties, *before.parties]
            auditors = [name for name in (*auditors, *before.auditors) if name not in parties]
        everybody = sorted({*parties, self._speaker.authority})
        detail: dict[str, Any] = {"parties": everybody}
        if auditors:
            detail["auditors"] = sorted(set(auditors))
        said = self._speaker.act("exchange.opened", handle, detail=detail)
        lodged = self._lodge.lodge("/v1/exchanges", said, event="exchange.opened")
        if before is not None:
            before.check(lodged.entry)
        time = str(lodged.entry.fields["time"])
        opened = Exchange(exchange_id(handle), handle, time, closed=False, parties=tuple(everybody))
        return opened, lodged

    def close(self, exchange: Exchange, *, reason: str | None = None) -> Lodged:
        """Close an exchange: afterwards nothing new is sent in it."""
        detail = {"reason": reason} if reason else None
        said = self._speaker.act("exchange.closed", exchange.handle, detail=detail)
        return self._lodge.lodge(f"/v1/exchanges/{exchange.id}/close", said, event="exchange.closed")

    def add_party(self, exchange: Exchange, authority: str, *, role: str = "party") -> Lodged:
        """Let another authority in, as `party` or as `auditor` (who sees the log and no packages)."""
        said = self._speaker.act("party.added", exchange.handle, subject={"authority": authority}, detail={"as": role})
        return self._lodge.lodge(f"/v1/exchanges/{exchange.id}/parties", said, event="party.added")

    def packages(self, *, state: str | None = None) -> Iterator[dict[str, Any]]:
        """Packages sent and received, as the service tells them."""
        return self._connection.pages("/v1/packages", "packages", state=state)

    def package(self, text: str) -> dict[str, Any]:
        """The package whose id begins with `text`, as the service tells it.

        Raises:
            AnotherShown: The service shows another.
        """
        if len(text) != 32:
            text = resolve(text, [row["id"] for row in self.packages()])
        shown = self._connection.get_json(f"/v1/packages/{text}")
        _check_asked(text, str(shown.get("id")), "package")
        return shown

    def log(self, exchange: Exchange) -> Iterator[LogPage]:
        """The chain of an exchange as the service shows it; reading it is noted there. Proofs are in bundles."""
        cursor: str | None = None
        while True:
            page = self._connection.get_json(f"/v1/exchanges/{exchange.id}/log", cursor=cursor)
            try:
                entries = tuple((int(row["index"]), entry.parse(row["entry"].encode())) for row in page["entries"])
                said = tuple(statement.parse(envelope.encode()) for envelope in page.get("statements", ()))
            except (KeyError, TypeError, AttributeError) as error:
                raise AnswerMalformed("a page of the log is not of its shape") from error
            yield LogPage(entries, said)
            cursor = page.get("next")
            if not cursor:
                return


def _check_asked(asked: str, shown: str, what: str) -> None:
    if shown != asked.lower():
        raise AnotherShown(f"the service shows {what} {shown[:64]}, asked for was {asked}")
