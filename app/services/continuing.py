"""What goes on from the log before: written down as that log ends, and held to as its matters are begun again here.

A line for the log itself (`custody.succession.Predecessor`), one for each exchange, one for each registry. Readers
believe none of it: they hold what is noted of it to that log's own bundles (docs/spec/log.md, section 14).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.log_models import Chain, LedgerRow, LogLeaf, StatementRow
from app.db.models import Authority, Exchange, Part, Party
from app.errors import StateConflict, StatementRefused
from app.services.runtime import Runtime
from app.services.succession import PREDECESSOR, as_predecessor
from app.settings import Settings
from custody import canonical, statement
from custody import entry as entries
from custody.errors import CustodyError, FormatError
from custody.registry import FOREVER, Registry
from custody.schema import AUTHORITY_ID, HASH, ListOf, OneOf, Record, Text, Whole
from custody.statement import Statement
from custody.succession import Predecessor

_LONGEST: Final = 64 * 1024 * 1024
_NAMES = ListOf(AUTHORITY_ID, most=64)
_EXCHANGE = Record(
    {
        "auditors": _NAMES,
        "chain": HASH,
        "closed": OneOf(True, False),
        "hash": HASH,
        "parties": _NAMES,
        "seq": Whole(),
    }
)
_ROW = Record({"entry": Text(longest=entries.MAX_ENTRY), "envelope": Text(longest=_LONGEST), "index": Whole()})
_REGISTRY = Record({"authority": AUTHORITY_ID, "entries": ListOf(_ROW, least=1, most=1_000_000)})


@dataclass(frozen=True)
class Past:
    """The log before, and what stood in it.

    Attributes:
        origin: Its name.
        exchanges: By handle: last entry, parties, auditors, whether it was closed.
        registries: By authority: its entries with their envelopes and places.
    """

    origin: str
    exchanges: Mapping[str, Mapping[str, Any]]
    registries: Mapping[str, Sequence[Mapping[str, Any]]]

    @classmethod
    def parse(cls, data: bytes) -> "Past":
        """Read it.

        Raises:
            FormatError: The bytes are none.
        """
        first, *lines = data.split(b"\n")
        exchanges, registries = {}, {}
        for line in lines:
            fields = canonical.decode(line, max_bytes=_LONGEST)
            if "authority" in fields:
                _REGISTRY.check(fields)
                registries[fields["authority"]] = fields["entries"]
            else:
                _EXCHANGE.check(fields)
                exchanges[fields["chain"]] = fields
        return cls(Predecessor.parse(first).origin, exchanges, registries)


def written(runtime: Runtime) -> bytes:
    """The ended log and all that stood in it, for its successor."""
    with runtime.reading() as session:
        lines = [canonical.encode(fields) for fields in (*_exchanges(session), *_registries(session))]
    return b"\n".join([as_predecessor(runtime).encode(), *lines])


def of_exchange(settings: Settings, said: Statement) -> dict[str, Any]:
    """What the service notes of the past of an exchange that is opened: nothing if it has none.

    Raises:
        StateConflict: It was closed, or is opened by somebody else, or without somebody who stood in it.
    """
    past = _past(settings)
    row = past.exchanges.get(said.payload["chain"]) if past is not None else None
    if past is None or row is None:
        return {}
    if row["closed"]:
        raise StateConflict(f"the exchange was closed in {past.origin}", hint="open another")
    detail = said.payload["detail"]
    named = {*detail["parties"], *detail.get("auditors", ())}
    left_out = (set(row["parties"]) - set(detail["parties"])) | (set(row["auditors"]) - named)
    if said.authority not in row["parties"] or left_out:
        raise StateConflict(
            f"the exchange goes on from {past.origin}: a party of it opens it again and names all who stood in it",
            hint="`rogatory exchange open --continues BUNDLE` names them; without one of them it is another exchange",
        )
    return {"continues": {"hash": row["hash"], "origin": past.origin, "seq": row["seq"]}}


def of_registry(settings: Settings, said: Statement) -> dict[str, Any]:
    """What the service notes of the past of an authority's registry that is founded: nothing if it has none.

    Raises:
        StatementRefused: No key signed by which the authority could have spoken at the end of the log before.
    """
    past = _past(settings)
    rows = past.registries.get(said.authority) if past is not None else None
    if past is None or rows is None:
        return {}
    before = Registry(said.authority)
    try:
        for row in rows:
            last = entries.parse(row["entry"].encode())
            before.apply(last, statement.parse(row["envelope"].encode()), index=row["index"])
        for key in before.signers(said, event="authority.enrolled", at=FOREVER):
            said.verify(key)
    except CustodyError as error:
        raise StatementRefused(
            f"{said.authority} stood in {past.origin}, and the enrolment is not signed by it as it was there: {error}",
            hint="sign it also with an authority key of that log, or with its recovery key",
        ) from error
    return {"continues": {"hash": last.hash.hex(), "origin": past.origin, "seq": last.seq}}


def _past(settings: Settings) -> Past | None:
    path = settings.state / PREDECESSOR
    return _read(path, path.stat().st_mtime_ns) if path.exists() else None


@lru_cache(maxsize=2)
def _read(path: Path, changed: int) -> Past:  # noqa: ARG001 - a changed file is read anew
    try:
        return Past.parse(path.read_bytes())
    except FormatError as error:
        raise StateConflict(f"{path} is not what `rogatory-server succeed` wrote: {error}") from error


def _exchanges(session: Session) -> Iterator[dict[str, Any]]:
    query = select(Exchange, Chain).join(Chain, Chain.handle == Exchange.handle).order_by(Exchange.handle)
    for row, chain in session.execute(query):
        people = session.scalars(select(Party).where(Party.exchange_id == row.id).order_by(Party.authority)).all()
        yield {
            "auditors": [each.authority for each in people if each.part is Part.AUDITOR],
            "chain": row.handle,
            "closed": row.closed,
            "hash": (chain.head_hash or b"").hex(),
            "parties": [each.authority for each in people if each.part is Part.PARTY],
            "seq": chain.next_seq - 1,
        }


def _registries(session: Session) -> Iterator[dict[str, Any]]:
    for authority in session.scalars(select(Authority).order_by(Authority.id)):
        query = (
            select(LedgerRow.body, LogLeaf.idx, StatementRow.envelope)
            .join(LogLeaf, LogLeaf.ledger_id == LedgerRow.id)
            .join(StatementRow, StatementRow.id == LedgerRow.statement_id)
            .where(LedgerRow.chain == authority.handle)
            .order_by(LedgerRow.seq)
        )
        rows = [
            {"entry": body.decode(), "envelope": envelope.decode(), "index": index}
            for body, index, envelope in session.execute(query)
        ]
        yield {"authority": authority.id, "entries": rows}
