"""What proofs weigh and cost when the log grows: of an entry, of the end of its chain, and of a batch of new ones.

A log is led from size to size (see `bench.ledgers`: entries among dummy leaves); at each the proofs of the same number
of entries are made from the database, as for a request that comes late, and checked as a client checks them, every
signature on the checkpoint included.
"""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import TypeVar

from sqlalchemy import select

from app.db import ledger, tails
from app.db.log_models import LedgerRow
from app.db.log_reader import LogReader
from app.db.records import Record, record_of
from app.db.unit_of_work import UnitOfWork, reading
from bench import ledgers
from bench.series import Effort, Row, Series
from custody import leaf, tail
from custody.entry import parse
from custody.proof import TlogProof

ENTRIES = 100

_Thing = TypeVar("_Thing")
_Result = TypeVar("_Result")


def at_sizes(effort: Effort, root: Path) -> Iterator[Row]:
    """On SQLite; made from the tables, checked with all signatures of the checkpoint."""
    with ledgers.databases("SQLite", root) as fresh:
        made = fresh()
        for size in effort.leaves:
            ledgers.grow(made, size - ENTRIES - 1)
            placed = _place(made)
            with reading(made.engine) as session:
                last = LogReader(session).size
                assert last == size, (last, size)
                found = session.scalars(select(LedgerRow.id).order_by(LedgerRow.id.desc()).limit(ENTRIES)).all()
            yield Row("proofs", f"{ENTRIES} entries placed and signed in a log of {size:,}", "ms", Series((placed,)))
            yield from _entries(made, list(found), size)
            yield from _ends(made, list(found), size)


def _place(made: ledgers.Made) -> float:
    """Milliseconds of the batch that holds the last entries of this size."""
    chains = [secrets.token_hex(32) for _ in range(ENTRIES)]
    with UnitOfWork(made.engine) as uow:
        for chain in chains:
            ledger.open_chain(uow.session, chain, "exchange", chain[:32])
            ledgers.append(uow, chain)
        uow.commit()
    begun = perf_counter()
    made.place()
    return (perf_counter() - begun) * 1000


def _entries(made: ledgers.Made, ids: list[int], size: int) -> Iterator[Row]:
    def make(entry: int) -> Record:
        with reading(made.engine) as session:
            return record_of(session, entry)

    log = [signer.verifier for signer in made.signers]

    def check(record: Record) -> None:
        proof = TlogProof.parse(record.proof.encode())
        proof.verify(leaf_data=proof.leaf_data(parse(record.entry).hash), origin=ledgers.ORIGIN, log=log)

    records, making = _each(make, ids)
    _, checking = _each(check, records)
    weights = Series(tuple(float(len(record.proof)) for record in records))
    paths = Series(tuple(32.0 * len(TlogProof.parse(record.proof.encode()).path) for record in records))
    yield Row("proofs", f"proof of an entry in a log of {size:,}: with checkpoint", "B", weights)
    yield Row("proofs", f"proof of an entry in a log of {size:,}: hashes alone", "B", paths)
    yield Row("proofs", f"proof of an entry in a log of {size:,}: made", "ms", making)
    yield Row("proofs", f"proof of an entry in a log of {size:,}: checked, both signatures", "ms", checking)


def _ends(made: ledgers.Made, ids: list[int], size: int) -> Iterator[Row]:
    with reading(made.engine) as session:
        rows = session.execute(select(LedgerRow.salt, LedgerRow.hash).where(LedgerRow.id.in_(ids))).all()
    labels = [leaf.next_label(row.salt, row.hash) for row in rows]

    def make(label: bytes) -> tuple[bytes, tail.TailProof]:
        with reading(made.engine) as session:
            return label, tails.prove(session, label, size=size)

    proofs, making = _each(make, labels)
    _, checking = _each(lambda made: tail.verify_absent(made[1], made[0]), proofs)
    weights = Series(tuple(32.0 * (1 + len(proof.bucket) + len(proof.path)) for _, proof in proofs))
    yield Row("proofs", f"proof that nothing follows in a log of {size:,}: its hashes", "B", weights)
    yield Row("proofs", f"proof that nothing follows in a log of {size:,}: made", "ms", making)
    yield Row("proofs", f"proof that nothing follows in a log of {size:,}: checked", "ms", checking)


def _each(work: Callable[[_Thing], _Result], things: list[_Thing]) -> tuple[list[_Result], Series]:
    """What the work gives for each, and its milliseconds; the first one warms up and does not count."""
    work(things[0])
    made, took = [], []
    for thing in things:
        begun = perf_counter()
        made.append(work(thing))
        took.append((perf_counter() - begun) * 1000)
    return made, Series(tuple(took))
