"""What a bundle carries of chains, read from the database while it is written: a chain may be longer than memory.

Held are numbers and names only: for each entry its place in the log, for each statement its id and size. All is read
in one transaction (`app.db.unit_of_work.reading`), and what is read twice is the same twice.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.db.log_models import LedgerRow, LogLeaf, StatementRow
from app.db.log_reader import LogReader
from custody.packing import LeafLine

_AT_ONCE: Final = 256
_BYTES: Final = 1024 * 1024
"""Of statements that are asked for together; one alone may have more."""

T = TypeVar("T")


class Rows(Generic[T]):
    """What a query gives, asked for anew by whoever iterates, some rows at a time."""

    def __init__(self, session: Session, query: Select[*tuple[Any, ...]], make: Callable[[Any], T]) -> None:
        self._session, self._make = session, make
        self._query = query.execution_options(yield_per=_AT_ONCE)

    def __iter__(self) -> Iterator[T]:
        with closing(self._session.execute(self._query)) as rows:
            for row in rows:
                yield self._make(row)


class Statements:
    """Envelopes in the order of their ids, read anew by whoever iterates.

    Args:
        session: A reading session.
        named: Id and size of each, in any order.
    """

    def __init__(self, session: Session, named: Iterable[tuple[str, int]]) -> None:
        self._session, self._named = session, sorted(named)

    def __iter__(self) -> Iterator[bytes]:
        for ids in self._pages():
            query = select(StatementRow.id, StatementRow.envelope).where(StatementRow.id.in_(ids))
            found = {row.id: row.envelope for row in self._session.execute(query)}
            yield from (found[each] for each in ids)

    def _pages(self) -> Iterator[Sequence[str]]:
        page: list[str] = []
        total = 0
        for each, size in self._named:
            if page and (total + size > _BYTES or len(page) == _AT_ONCE):
                yield page
                page, total = [], 0
            page.append(each)
            total += size
        if page:
            yield page


@dataclass(frozen=True, slots=True)
class ChainFiles:
    """What a bundle carries of one chain, as of one checkpoint.

    Attributes:
        entries: Exact bytes, from seq 0.
        leaves: A line for each entry, from seq 0.
        indices: Places of the leaves, ascending.
        statements: Id and size of each envelope that an entry carries, in their order.
        last: The last of the leaves; None of a chain that has none there.
    """

    entries: Iterable[bytes]
    leaves: Iterable[LeafLine]
    indices: Sequence[int]
    statements: Sequence[tuple[str, int]]
    last: LeafLine | None


def chain_files(session: Session, chain: str, size: int | None = None) -> ChainFiles:
    """All that a checkpoint covers of a chain; empty for a chain without entries there.

    Args:
        session: A reading session, so that everything taken from it is of one moment.
        chain: Handle, hex.
        size: Of the checkpoint; the newest if None.
    """
    end = LogReader(session).size if size is None else size
    covered = LedgerRow.chain == chain, LogLeaf.idx < end
    in_log = LogLeaf.ledger_id == LedgerRow.id
    lines = select(LedgerRow.seq, LogLeaf.idx, LedgerRow.hash, LedgerRow.label, LedgerRow.salt)
    lines = lines.join(LogLeaf, in_log).where(*covered)
    last = session.execute(lines.order_by(LedgerRow.seq.desc()).limit(1)).one_or_none()
    indices = select(LogLeaf.idx).join(LedgerRow, in_log).where(*covered).order_by(LedgerRow.seq)
    carried = (
        select(StatementRow.id, func.length(StatementRow.envelope))
        .join(LedgerRow, LedgerRow.statement_id == StatementRow.id)
        .join(LogLeaf, in_log)
        .where(*covered)
        .order_by(LedgerRow.seq)
    )
    bodies = select(LedgerRow.body).join(LogLeaf, in_log).where(*covered).order_by(LedgerRow.seq)
    return ChainFiles(
        entries=Rows(session, bodies, lambda row: bytes(row.body)),
        leaves=Rows(session, lines.order_by(LedgerRow.seq), lambda row: LeafLine(*row)),
        indices=list(session.scalars(indices)),
        statements=[(name, length) for name, length in session.execute(carried)],
        last=None if last is None else LeafLine(*last),
    )
