"""Registries of authorities as the ledger's own bytes give them: who may sign what, now.

An entry that has no index yet counts as later than every one that has; it is given one in order of `seq` beyond all
real ones, so that questions asked "as of now" (`FOREVER`) see it. Whoever decides by a registry holds its chain's row
until the commit: otherwise a revocation could get its place between the check and the entry.
"""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from threading import Lock
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, Row, bindparam, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

from app.db.log_models import Chain, ChainKind, LedgerRow, LogLeaf, StatementRow
from app.errors import NotFound
from custody import entry as entries
from custody import statement as statements
from custody.entry import Entry
from custody.registry import FOREVER, Registry
from custody.statement import Statement

_PROVISIONAL = FOREVER // 2


_CHAINS = Chain.__table__.c
_SEEN = select(_CHAINS.handle, _CHAINS.next_seq).where(
    _CHAINS.kind == ChainKind.REGISTRY, _CHAINS.owner == bindparam("of")
)
_HELD = _SEEN.with_for_update(key_share=True)
_HOLD = (
    select(_CHAINS.handle)
    .where(_CHAINS.kind == ChainKind.REGISTRY, _CHAINS.owner.in_(bindparam("of", expanding=True)))
    .order_by(_CHAINS.handle)
    .with_for_update(key_share=True)
)


@dataclass
class _Cache:
    """Replays of the placed part of each registry; an object in here is never changed again."""

    replays: dict[str, Registry] = field(default_factory=dict)


_caches: WeakKeyDictionary[Pool, _Cache] = WeakKeyDictionary()
_guard = Lock()


def registry(session: Session, authority: str, *, hold: bool = True) -> Registry:
    """The registry of an authority, all committed entries applied. Shared: ask it, never apply to it.

    Signatures were verified when each entry was taken and are not verified again here.

    Args:
        session: Of a unit of work if `hold`, else any.
        authority: Its id.
        hold: Keep the registry as it is until the transaction ends. False only where nothing is decided for good.

    Raises:
        NotFound: No such authority here.
    """
    chain = session.connection().execute(_HELD if hold else _SEEN, {"of": authority}).one_or_none()
    if chain is None:
        raise NotFound(f"no authority {authority}")
    cache = _cache_of(session)
    placed = cache.replays.get(authority)
    if placed is not None and placed.length == chain.next_seq:
        return placed
    rows = _rows_after(session, chain.handle, placed.length if placed else 0)
    grown = deepcopy(placed) if placed else Registry(authority)
    news = [row for row in rows if row.idx is not None]
    for row in news:
        _apply(grown, row, row.idx)
    if news:
        cache.replays[authority] = grown
        grown = deepcopy(grown) if len(rows) > len(news) else grown
    for row in rows[len(news) :]:
        _apply(grown, row, _PROVISIONAL + row.seq)
    return grown


def hold(session: Session, authorities: Iterable[str]) -> None:
    """Keep several registries as they are until the transaction ends; in one order, so that no two wait for each other.

    Args:
        session: Of a unit of work.
        authorities: Their ids; strangers among them are passed over.
    """
    session.connection().execute(_HOLD, {"of": sorted(set(authorities))}).all()


def rehearse(session: Session, authority: str, entry: Entry, statement: Statement) -> None:
    """Check that an entry may be the next of a registry, signatures included; return only if so.

    Raises:
        CustodyError: The registry's rules refuse it.
    """
    before = Registry(authority) if entry.seq == 0 else deepcopy(registry(session, authority))
    before.apply(entry, statement, index=_PROVISIONAL + entry.seq)


def actor(session: Session, statement: Statement) -> dict[str, str]:
    """The signer of a statement as an entry names it: of several signing keys the first that speaks for the signer."""
    ids = [key_id for key_id, _ in statement.signatures]
    chosen = ids[0]
    if len(ids) > 1:
        holder = statement.principal or statement.authority
        speaking = {"authority", "recovery", "statement"}
        chosen = next((key for key in ids if _use_of(session, statement, key, holder) in speaking), chosen)
    found = {"authority": statement.authority, "key": chosen}
    return found | ({"principal": statement.principal} if statement.principal else {})


def _use_of(session: Session, statement: Statement, key_id: str, holder: str) -> str | None:
    if statement.kind == "enrolment" and "principal" not in statement.payload:
        keys = {fields["id"]: fields for fields in statement.payload["keys"]}
        return str(keys[key_id]["use"]) if key_id in keys else None
    try:
        record = registry(session, statement.authority, hold=False).known_key(key_id)
    except NotFound:
        return None
    return record.use if record is not None and record.holder == holder else None


def _apply(replay: Registry, row: Row[tuple[int, bytes, bytes, int | None]], index: int) -> None:
    replay.apply(entries.parse(row.body), statements.parse(row.envelope), index=index, verify=False)


def _rows_after(session: Session, handle: str, seq: int) -> list[Row[tuple[int, bytes, bytes, int | None]]]:
    query = (
        select(LedgerRow.seq, LedgerRow.body, StatementRow.envelope, LogLeaf.idx)
        .join(StatementRow, StatementRow.id == LedgerRow.statement_id)
        .outerjoin(LogLeaf, LogLeaf.ledger_id == LedgerRow.id)
        .where(LedgerRow.chain == handle, LedgerRow.seq >= seq)
        .order_by(LedgerRow.seq)
    )
    return list(session.execute(query))


def _cache_of(session: Session) -> _Cache:
    bind = session.get_bind()
    pool = (bind if isinstance(bind, Engine) else bind.engine).pool
    with _guard:
        return _caches.setdefault(pool, _Cache())
