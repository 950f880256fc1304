"""Eight writers and two who check the log, while processes and databases die: nothing lost, nothing twice, no fork."""

import hashlib
from collections import Counter
from statistics import median

import pytest
from sqlalchemy import func, select

from app.db.models import LedgerRow, LogLeaf
from tests.backends import Backend
from tests.kills.service import Killable
from tests.records.crowd import Reader, Writer, leaves_and_roots
from tests.records.disasters import Disasters

WRITERS, READERS = 8, 2
IN_DEEP = 1000
EACH = {False: 2, True: 125}
"""Records that each writer makes in a round at least; in the further rounds of a deep run a thousand for all of them."""

ROUNDS = {"sqlite": 3, "postgresql": 5}


@pytest.fixture(params=["sqlite", "postgresql"])
def service(request, tmp_path):
    """One process on SQLite; two on PostgreSQL, one of which keeps the log."""
    if request.param == "sqlite":
        made = Killable(tmp_path)
        yield made
        made.close()
        return
    database = request.getfixturevalue("postgres").database()
    made = Killable(tmp_path, Backend(database), processes=2)
    yield made
    made.close()
    database.drop()


def progress(writers, workers, count):
    """Return when each writer has had so many more acknowledged."""
    wanted = {each: len(each.records) + count for each in writers}
    while any(len(each.records) < enough for each, enough in wanted.items()):
        assert [each.wrong for each in workers if each.wrong] == []
        each = next(each for each, enough in wanted.items() if len(each.records) < enough)
        each.turned.clear()
        each.turned.wait(1)
    assert [each.wrong for each in workers if each.wrong] == []


def check_record(service, writers, readers, directory):
    """All that was acknowledged is there, once and where it was; all that was ever signed is of one log."""
    there = service.places()
    digests = {index: hashlib.sha256(body).digest() for index, body in there.items()}
    with service.runtime.reading() as session:
        leaves = session.scalars(select(LogLeaf.data).order_by(LogLeaf.idx)).all()
        said = Counter(session.scalars(select(LedgerRow.statement_id).where(LedgerRow.statement_id.is_not(None))))
        rows = session.scalar(select(func.count()).select_from(LedgerRow))
    signed = [each.roots for each in [*writers, *readers]]
    hashes, roots = leaves_and_roots(leaves, {size for each in signed for size in each})
    for each in signed:
        assert {size: roots[size] for size in each} == each
    for each in writers:
        found = {index: (digests.get(index), hashes[index]) for index in each.records}
        assert found == each.records
        assert {said[statement] for statement in each.statements} == {1}
    assert len(there) == rows
    with_tails = readers[0].mirror(directory)
    assert (with_tails.size, with_tails.complete) == (len(leaves), True)
    service.sound(objects=True)


@pytest.mark.deep(weight=3)
def test_what_was_acknowledged_is_on_record_once_whatever_dies(service, tmp_path, effort):
    backend = "postgresql" if service.backend.database else "sqlite"
    police, court = service.authority("police.nl"), service.authority("court.de")
    disasters = Disasters(service, effort.random)
    for each in service.processes:
        each.start()
    for each in service.processes:
        each.ready()
    alice = police.enrol()
    shared = alice.open_exchange(court)
    writers = [Writer(service, number, alice, court, shared) for number in range(WRITERS)]
    readers = [Reader(service, number, effort.random) for number in range(READERS)]
    workers = [*writers, *readers]
    try:
        for each in workers:
            each.start()
        for turn in effort.turns(usual=ROUNDS[backend], full=IN_DEEP):
            kind = disasters.kinds[turn % len(disasters.kinds)]
            disasters.befall(kind, workers)
            progress(writers, workers, EACH[turn >= ROUNDS[backend]])
            disasters.mended(workers)
        for each in workers:
            each.end()
        assert [each.wrong for each in workers if each.wrong] == []
        check_record(service, writers, readers, tmp_path / "mirror")
    finally:
        for each in workers:
            each.stopping.set()
            each.line.http.close()
        records = sum(len(each.records) for each in writers)
        told = f"{records} records, {sum(each.again for each in writers)} asked for again, "
        told += f"{[len(each.roots) for each in readers]} checkpoints seen; ready again after (times, median s, most): "
        told += ", ".join(f"{kind} {len(s)}, {median(s):.1f}, {max(s):.1f}" for kind, s in disasters.ready.items())
        effort.tell(told)
