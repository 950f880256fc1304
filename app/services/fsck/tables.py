"""The tables of the matter, held to what the chains make them say.

What cannot be derived and is not compared: how far an open upload has come (but for its own consistency), headers
that no grant names, spent tokens, idempotency keys, the sequencer's term.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Row, Select, Table, func, select
from sqlalchemy.orm import Session

from app.db.models import (
    Acceptance,
    Authority,
    Base,
    Download,
    Exchange,
    Grant,
    GrantHeader,
    GrantRecipient,
    Item,
    Package,
    Party,
    PutHeader,
    Receipt,
    Recipient,
    RegisteredKey,
    Release,
    Upload,
    UploadPart,
    UploadState,
    UploadWay,
)
from app.services.exchanges import exchange_id
from app.services.fsck.chains import Registries
from app.services.fsck.findings import Findings
from app.services.fsck.matter import Matter, Rows
from custody.digest import composite
from custody.text import from_time
from storage.parts import part_sizes

_AT_ONCE: Final = 256
_WHOLE: Final = (Exchange, Party, Package, Recipient, Item, Grant, GrantHeader, GrantRecipient, Acceptance, Receipt)
"""Tables whose rows all follow from the chains, as do those of releases."""


class Tables:
    """The tables of one snapshot; counts the rows it has seen, so that what belongs to nothing is found at the end."""

    def __init__(self, session: Session, findings: Findings) -> None:
        self._session, self._findings = session, findings
        self._seen: Counter[type[Base]] = Counter()

    def check_exchange(self, matter: Matter, owner: str) -> None:
        """Hold every row that belongs to an exchange to its chain."""
        self._findings.expect("chains.owner", f"exchange {owner}", exchange_id(matter.handle), owner)
        for model in (*_WHOLE, Release):
            with self._findings.guarded(_name(model), f"exchange {matter.id}"):
                self._compare(model, matter.table(model), self._rows(model, matter.id))
        for check in (self._check_downloads, self._check_uploads, self._check_put_headers):
            with self._findings.guarded(check.__name__.removeprefix("_check_"), f"exchange {matter.id}"):
                check(matter)

    def check_authorities(self, known: Registries) -> None:
        """Hold the authorities and the keys that are registered to the registries."""
        rows: Rows = {}
        for authority, first in known.enrolled.items():
            assert first.statement is not None
            payload = first.statement.payload
            rows[authority,] = {
                "name": payload["name"],
                "country": payload["country"],
                "handle": first.entry.chain,
                "admitted_at": from_time(first.entry.fields["time"]),
                "suspended": False,
            }
        keys: Rows = {
            (key,): dict(zip(("authority", "holder", "use"), facts, strict=True)) for key, facts in known.keys.items()
        }
        for model, wanted in ((Authority, rows), (RegisteredKey, keys)):
            with self._findings.guarded(_name(model), "registries"):
                self._compare(model, wanted, self._stream(select(_table(model))))

    def check_rest(self) -> None:
        """Tell of rows that belong to no exchange and no registry."""
        for model in (*_WHOLE, Release, Download, Upload, UploadPart, PutHeader, Authority, RegisteredKey):
            there = self._session.scalar(select(func.count()).select_from(_table(model)))
            self._findings.expect(_name(model), "rows that belong to something", self._seen[model], there)

    def _compare(self, model: type[Base], wanted: Rows, rows: Iterator[Row[Any]]) -> None:
        missing = dict(wanted)
        names = [column.name for column in _table(model).primary_key]
        for row in rows:
            self._seen[model] += 1
            key = tuple(getattr(row, name) for name in names)
            columns = missing.pop(key, None)
            if columns is None:
                self._findings.add(_name(model), _spelt(key), "no such row by the record", "a row")
                continue
            for name, value in columns.items():
                self._findings.expect(f"{_name(model)}.{name}", _spelt(key), value, getattr(row, name))
        for key in missing:
            self._findings.add(_name(model), _spelt(key), "a row", None)

    def _check_downloads(self, matter: Matter) -> None:
        missing = dict(matter.table(Download))
        for row in self._rows(Download, matter.id):
            self._seen[Download] += 1
            where = f"opened by {row.opened_hash}"
            columns = missing.pop((row.opened_hash,), None)
            if columns is None:
                self._findings.add("downloads", where, "an entry download.opened of its own", "a row")
                continue
            for name, value in columns.items():
                self._findings.expect(f"downloads.{name}", where, value, getattr(row, name))
            told = matter.sent.get(row.opened_hash, 0)
            if row.bytes_out < told:
                self._findings.add("downloads.bytes_out", where, f"at least {told}", row.bytes_out)
        for (opened,) in missing:
            self._findings.add("downloads", f"opened by {opened}", "a row", None)

    def _check_uploads(self, matter: Matter) -> None:
        arrived = dict(matter.table(Item))
        ended = {each: Counter(counts) for each, counts in matter.aborted.items()}
        parts = groupby(self._parts(matter.id), key=attrgetter("upload_id"))
        upload_id, group = next(parts, ("", iter(())))
        for row in self._stream(self._query(Upload, matter.id).order_by(Upload.id)):
            self._seen[Upload] += 1
            digests: list[bytes] = []
            sizes: list[int] = []
            while upload_id and upload_id < row.id:
                upload_id, group = next(parts, ("", iter(())))
            if upload_id == row.id:
                for number, part in enumerate(group, start=1):
                    self._findings.expect("upload_parts.number", f"upload {row.id}", number, part.number)
                    digests.append(part.sha256)
                    sizes.append(part.size)
            self._check_upload(row, sizes, matter)
            key: tuple[str, str] = (row.package_id, row.item_id)
            if row.state is UploadState.COMPLETE:
                self._check_arrived(row, digests, arrived.pop(key, None))
            elif row.state is UploadState.ABORTED:
                ended.setdefault(key, Counter())[row.offset] -= 1
            elif key in matter.table(Item):
                self._findings.add("uploads.state", f"upload {row.id}", "complete or aborted", row.state)
        for _, item in arrived:
            self._findings.add("uploads", f"item {item}", "the upload it arrived by", None)
        for (_, item), counts in ended.items():
            if any(counts.values()):
                self._findings.add("uploads.offset", f"ended uploads of item {item}", "as upload.aborted says", counts)

    def _check_upload(self, row: Row[Any], sizes: list[int], matter: Matter) -> None:
        """The parts on record are those that the offset has passed."""
        where, expect = f"upload {row.id}", self._findings.expect
        package = matter.table(Package).get((row.package_id,), {})
        expect("uploads.authority", where, package.get("sender"), row.authority)
        if row.state is UploadState.OPEN and (package.get("manifest_id") or matter.replay.closed):
            self._findings.add("uploads.state", where, "not open: its package is sealed or its exchange closed", "open")
        if not 0 <= row.offset <= row.length:
            self._findings.add("uploads.offset", where, f"0 to {row.length}", row.offset)
            return
        if row.state is UploadState.ABORTED and row.way is not UploadWay.WHOLE:
            return  # what came by partial uploads has no parts of its own; the offset is what came in all
        grid = part_sizes(row.length, row.part_size)
        full = len(grid) if row.offset == row.length else row.offset // row.part_size
        expect("upload_parts.size", where, grid[:full], sizes)

    def _check_arrived(self, row: Row[Any], digests: list[bytes], item: dict[str, Any] | None) -> None:
        where, expect = f"upload {row.id}", self._findings.expect
        if item is None:
            self._findings.add("uploads.state", where, "an item that arrived by it", "complete")
            return
        expect("uploads.length", where, item["size"], row.length)
        expect("uploads.offset", where, item["size"], row.offset)
        expect("uploads.part_size", where, item["part_size"], row.part_size)
        expect("upload_parts.sha256", where, item["parts"], composite(digests).hex())

    def _check_put_headers(self, matter: Matter) -> None:
        """Every header that a grant names was put by whoever signed the grant, with that size."""
        grants, replay = matter.table(Grant), matter.replay
        wanted: dict[tuple[str, str, str], tuple[int, str, int]] = {}
        for key, header in matter.table(GrantHeader).items():
            grant = grants[key[0],]
            said = replay.packages[grant["package_id"]].releases[str(key[0])].statement.payload
            count = sum(len(recipient["keys"]) for recipient in said["recipients"])
            facts = (header["size"], said["sealing"], count)
            wanted[grant["package_id"], header["sha256"], grant["authority"]] = facts
        for row in self._rows(PutHeader, matter.id):
            self._seen[PutHeader] += 1
            expected = wanted.pop((row.package_id, row.sha256, row.authority), None)
            found = (row.size, row.sealing, row.stanzas)
            self._findings.expect("put_headers", f"header {row.sha256}", expected or found, found)
        for _, sha256, authority in wanted:
            self._findings.add("put_headers", f"header {sha256}", f"put by {authority}", None)

    def _parts(self, exchange: str) -> Iterator[Row[Any]]:
        query = select(_table(UploadPart)).join(Upload, Upload.id == UploadPart.upload_id)
        query = query.join(Package, Package.id == Upload.package_id).where(Package.exchange_id == exchange)
        for row in self._stream(query.order_by(UploadPart.upload_id, UploadPart.number)):
            self._seen[UploadPart] += 1
            yield row

    def _rows(self, model: type[Base], exchange: str) -> Iterator[Row[Any]]:
        return self._stream(self._query(model, exchange))

    def _query(self, model: type[Any], exchange: str) -> Select[Any]:
        """The rows of a table that belong to an exchange: by themselves, by their package, or by their grant."""
        query, columns = select(_table(model)), _table(model).columns
        if model is Exchange:
            return query.where(Exchange.id == exchange)
        if "exchange_id" in columns:
            return query.where(model.exchange_id == exchange)
        if "grant_id" in columns:
            query = query.join(Grant, Grant.statement_id == model.grant_id)
            return query.join(Package, Package.id == Grant.package_id).where(Package.exchange_id == exchange)
        return query.join(Package, Package.id == model.package_id).where(Package.exchange_id == exchange)

    def _stream(self, query: Select[Any]) -> Iterator[Row[Any]]:
        with closing(self._session.execute(query.execution_options(yield_per=_AT_ONCE))) as rows:
            yield from rows


def _table(model: type[Base]) -> Table:
    found = model.__table__
    assert isinstance(found, Table)
    return found


def _name(model: type[Base]) -> str:
    return _table(model).name


def _spelt(key: tuple[object, ...]) -> str:
    return " ".join(map(str, key))
