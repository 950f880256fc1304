"""What is made for somebody of many items is made piece by piece: memory grows by their names, not by what they hold."""

import hashlib
import secrets
import tempfile
import tracemalloc
from types import SimpleNamespace

import pytest
from sqlalchemy import insert

from app.api.models import ReleaseOut
from app.db import chain_files as files_of
from app.db.chain_files import Statements, chain_files
from app.db.log_models import LedgerRow, LogLeaf, StatementRow
from app.db.log_reader import LogReader
from app.db.models import (
    Authority,
    Exchange,
    Grant,
    GrantHeader,
    GrantKind,
    Package,
    PutHeader,
)
from app.db.records import Record
from app.services import bundles, grants, headers
from app.services.records import Lodged
from custody import bundle, statement
from custody.bundle import BundleContents, ChainFiles, write_bundle
from tests.app.db.world import START
from tests.custody import parties

FEW, MANY = 100, 500
HEADER = 4000
ENTRY, SAID = b"{" + b"e" * 1500 + b"}", "s" * 60
GROWTH = 1024
"""Bytes for each item: its names, and where what it holds lies. An item here holds more than six times as much."""


def said(police):
    payload = police.common("act", event="package.declared", subject={"package": secrets.token_hex(16)})
    return statement.sign(payload | {"purpose": SAID}, [police.key])


class Matter:
    """An exchange of many items, each with an entry, a statement and a header, as rows; and a store that has all."""

    def __init__(self, world, count):
        police = parties.Authority(f"police-{count}.nl")
        self.name, self.package = police.id, secrets.token_hex(16)
        self.chain, self.log, registry = world.open_chain(), world.open_chain(), world.open_chain()
        world.note(self.log)
        world.sequencer.run_once()
        *envelopes, granting = rows = [said(police) for _ in range(count + 1)]
        self.grant, exchange = granting.id, secrets.token_hex(16)
        with world.unit_of_work() as uow:
            session = uow.session
            session.execute(insert(StatementRow), [{"id": each.id, "envelope": each.envelope} for each in rows])
            session.add(Authority(id=self.name, name="P", country="NL", handle=registry, admitted_at=START))
            session.add(Exchange(id=exchange, handle=self.chain, opened_at=START))
            session.flush()
            session.add(Package(id=self.package, exchange_id=exchange, sender=self.name, created_at=START))
            session.flush()
            session.add(
                Grant(
                    statement_id=self.grant,
                    package_id=self.package,
                    kind=GrantKind.GRANT,
                    authority=self.name,
                )
            )
            session.flush()
            self._add_entries(session, envelopes)
            self._add_headers(session, count)
            uow.commit()
        self.runtime = SimpleNamespace(store=self)

    def _add_entries(self, session, envelopes):
        first = 10**6 * len(envelopes)
        entries = [
            {
                "id": first + seq,
                "chain": self.chain,
                "seq": seq,
                "body": ENTRY,
                "hash": secrets.token_bytes(32),
                "salt": secrets.token_bytes(32),
                "label": secrets.token_bytes(32),
                "statement_id": each.id,
                "recorded_at": START,
            }
            for seq, each in enumerate(envelopes)
        ]
        session.execute(insert(LedgerRow), entries)
        leaves = [{"idx": each["id"], "data": bytes(65), "ledger_id": each["id"]} for each in entries]
        session.execute(insert(LogLeaf), leaves)
        self.end = first + len(entries)

    def _add_headers(self, session, count):
        names = [hashlib.sha256(self.bytes_of(number)).hexdigest() for number in range(count)]
        self._numbers = {name: number for number, name in enumerate(names)}
        common = {"package_id": self.package, "authority": self.name, "size": HEADER, "sealing": "x25519", "stanzas": 1}
        session.execute(insert(PutHeader), [{"sha256": name, **common} for name in names])
        rows = [{"item_id": f"{at:032x}", "sha256": name, "size": HEADER} for at, name in enumerate(names)]
        session.execute(insert(GrantHeader), [{"grant_id": self.grant, **row} for row in rows])

    def bytes_of(self, number):
        return (b"%d of " % number + self.package.encode()).ljust(HEADER, b".")

    def read(self, key):
        """As a store does."""
        yield self.bytes_of(self._numbers[key.rpartition("/")[2]])

    # ------------------------------------------------------------ what is made of it

    def bundle(self, session, target):
        files = chain_files(session, self.chain, self.end)
        with tempfile.SpooledTemporaryFile(max_size=1) as scratch:
            contents = BundleContents(
                kind="exchange",
                chain=bytes.fromhex(self.chain),
                checkpoint=LogReader(session).note,
                inclusion=[],
                entries=ChainFiles(files.entries, files.leaves),
                statements=Statements(session, files.statements),
                headers=bundles._Headers(session, [self.package], self.name, self.runtime, scratch),
            )
            write_bundle(target, contents)

    def release(self, session, target):
        grant = session.get_one(Grant, self.grant)
        wanted = grants._wanted(session, grant, None)
        given = ((item, headers.read(self.runtime, sha256)) for item, sha256 in wanted)
        lodged = Lodged(Record(b"{}", 0, "c2sp.org/tlog-proof@v1"), fresh=True)
        target.writelines(ReleaseOut.spelled(grants.Released(lodged, given)))


def peak(world, work):
    """Bytes that Python held at most while it was done, besides those before."""
    with world.reading() as session, tempfile.TemporaryFile() as target:
        tracemalloc.start()
        try:
            work(session, target)
            return tracemalloc.get_traced_memory()[1], target.tell()
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("what", ["bundle", "release"])
def test_memory_does_not_grow_with_what_the_items_hold(sqlite_world, monkeypatch, what):
    monkeypatch.setattr(bundle, "MANY", 1)
    for module, name in ((bundle, "_BLOCK"), (files_of, "_BYTES")):  # full with a few items already
        monkeypatch.setattr(module, name, 16 * 1024)
    for module in (files_of, bundles, grants):
        monkeypatch.setattr(module, "_AT_ONCE", 16)
    matters = [Matter(sqlite_world, count) for count in (FEW, MANY)]
    peak(sqlite_world, getattr(matters[0], what))  # what is made once and kept
    peaks = [peak(sqlite_world, getattr(each, what)) for each in matters]
    (few, written), (many, wrote) = peaks
    assert (wrote - written) / (MANY - FEW) > HEADER
    assert (many - few) / (MANY - FEW) < GROWTH
