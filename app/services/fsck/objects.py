"""The store, held to the rows that name what lies in it.

Each page of rows is a snapshot of its own, and the store is asked when nothing is held open: reading a large body
back takes hours. What was found wrong of an upload that moves meanwhile is looked at again before it is told.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Row, Select, select, tuple_
from sqlalchemy.orm import Session

from app.db.models import (
    Fixity,
    Item,
    LedgerRow,
    Package,
    PackageState,
    PartialPart,
    PartialUpload,
    PutHeader,
    Upload,
    UploadPart,
    UploadWay,
)
from app.db.models import UploadState as Stands
from app.errors import Refusal
from app.services import headers
from app.services.fsck.findings import Findings
from app.services.packages import FIRST_LOCK
from app.services.places import Place, place_in
from app.services.runtime import Runtime
from custody.digest import GridDigester
from custody.errors import CustodyError
from storage import keys
from storage.interface import (
    DigestMismatch,
    KeyMalformed,
    NotFound,
    PartDigest,
    StoreUnavailable,
    Truncated,
)
from storage.local import LocalStore
from storage.parts import part_sizes

_PAGE: Final = 256
_GRACE: Final = timedelta(hours=1)
"""After a seal the locks of its bodies may still be lengthened for so long."""


def check_objects(runtime: Runtime, findings: Findings, *, deep: bool) -> int:
    """Every body, header and open upload that a row names lies in the store as the row says; how many bodies.

    Args:
        runtime: The service.
        findings: Where to tell.
        deep: Read everything back and hash it; else the store's own word is held to the rows.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    store = _Store(runtime, findings, deep=deep)
    bodies = 0
    for row in _pages(runtime, select(Item.package_id, Item.id), (Item.package_id, Item.id)):
        bodies += 1
        store.check_body(row.package_id, row.id)
    query = select(PutHeader.sha256, PutHeader.package_id, PutHeader.authority, PutHeader.size)
    query = query.add_columns(PutHeader.sealing, PutHeader.stanzas)
    for row in _pages(runtime, query, (PutHeader.sha256, PutHeader.package_id, PutHeader.authority)):
        store.check_header(row)
    open_ = select(Upload.id).where(Upload.state == Stands.OPEN)
    for (upload,) in _pages(runtime, open_, (Upload.id,)):
        store.check_upload(upload)
    return bodies


def _pages(runtime: Runtime, query: Select[*tuple[Any, ...]], by: tuple[Any, ...]) -> Iterator[Any]:
    """The rows of a query whose first columns are its order, page by page, with nothing open between."""
    last: tuple[Any, ...] | None = None
    while True:
        with runtime.reading() as session:
            page = query if last is None else query.where(tuple_(*by) > tuple_(*last))
            rows = session.execute(page.order_by(*by).limit(_PAGE)).all()
        yield from rows
        if len(rows) < _PAGE:
            return
        last = tuple(rows[-1][: len(by)])


class _Store:
    """The store, and what is said of it."""

    def __init__(self, runtime: Runtime, findings: Findings, *, deep: bool) -> None:
        self._runtime, self._store, self._findings, self._deep = runtime, runtime.store, findings, deep
        self._uploads: dict[str, str] = {}

    def check_body(self, package_id: str, item_id: str) -> None:
        """A body is there, of its parts, and locked as long as was promised."""
        with self._runtime.reading() as session:
            item = session.get_one(Item, (package_id, item_id))
            package = session.get(Package, package_id)
            if package is None:
                self._findings.add("items.package_id", f"item {item_id}", "a package", None)
                return
            sealed = session.scalar(select(LedgerRow.recorded_at).where(LedgerRow.statement_id == package.manifest_id))
            parts = _parts(session, Upload.package_id == package_id, Upload.item_id == item_id)
        if package.state is PackageState.DESTROYED:
            return
        where = f"body {item.key}"
        with self._damage("body", where):
            info = self._store.stat(item.key, version=item.version)
            self._findings.expect("body size", where, item.size, info.size)
            self._store.confirm(item.key, parts, version=item.version)
            if sealed is not None and package.retain_until is not None:
                until = package.retain_until
                if item.fixity is None and self._runtime.now() - sealed < _GRACE:
                    until = min(until, sealed + FIRST_LOCK)
                if info.locked_until is None or info.locked_until < until:
                    self._findings.add("lock", where, f"until {until.isoformat()}", info.locked_until)
            if self._deep and item.fixity is not Fixity.FAILED:
                self._read_body(item, parts, where)

    def _read_body(self, item: Item, parts: list[PartDigest], where: str) -> None:
        digester = GridDigester(item.part_size)
        for chunk in self._store.read(item.key, version=item.version):
            digester.update(chunk)
        found = digester.finish()
        wanted = [part.sha256 for part in parts]
        self._findings.expect("body parts", where, len(wanted), len(found))
        for number, (one, two) in enumerate(zip(wanted, found, strict=False), start=1):
            self._findings.expect("body bytes", f"{where} part {number}", one, two)

    def check_header(self, row: Row[Any]) -> None:
        """A header is there and, read back, is of its digest and shape."""
        where = f"header {row.sha256}"
        with self._damage("header", where):
            key = keys.header(bytes.fromhex(row.sha256))
            self._findings.expect("header size", where, row.size, self._store.stat(key).size)
            if not self._deep:
                return
            data = b"".join(self._store.read(key))
            if self._findings.expect("header bytes", where, row.sha256, hashlib.sha256(data).hexdigest()):
                self._findings.expect("header shape", where, (row.sealing, row.stanzas), headers.shape(data))

    def check_upload(self, upload_id: str) -> None:
        """An open upload has all bytes that it has acknowledged; looked at again if it moves meanwhile."""
        while True:
            with self._runtime.reading() as session:
                row = session.get_one(Upload, upload_id)
                parts, came = _parts(session, Upload.id == upload_id), _came(session, row)
            if row.state is not Stands.OPEN:
                return
            wrong = self._wrong_with(row, parts)
            if not came and row.way is not UploadWay.WHOLE and row.offset != row.length:
                wrong = "no partial upload by which its bytes could come"
            for place, full in came:
                wrong = wrong or self._wrong_in(row, place, full)
            if wrong is None:
                return
            with self._runtime.reading() as session:
                again = session.get_one(Upload, upload_id)
                moved = _came(session, again) != came
            if not moved and (again.state, again.fence, again.offset) == (row.state, row.fence, row.offset):
                self._findings.add("upload", f"upload {upload_id}", f"{row.offset} bytes kept", wrong)
                return

    def _wrong_with(self, row: Upload, parts: list[PartDigest]) -> str | None:
        key, within = keys.body(row.package_id, row.item_id), row.offset % row.part_size
        try:
            if row.offset == row.length and self._is_published(key, parts):
                return None  # the fact is still to come; of the upload any part may be gone already
            if self._key_of(row.store_token) != key:
                return f"no such upload of {key} in the store"
            self._read_parts(row.store_token, list(enumerate(parts, start=1)))
            if within and row.offset < row.length:
                self._read_tail(row.store_token, len(parts) + 1, within)
        except (DigestMismatch, NotFound, Truncated) as error:
            return str(error)
        return None

    def _wrong_in(self, row: Upload, place: Place, full: list[tuple[int, PartDigest]]) -> str | None:
        """What is wrong with a partial upload of an open upload: its place, its parts, or what the store has of it."""
        key, first, end = (
            keys.body(row.package_id, row.item_id),
            place.start // place.part_size,
            place.start + place.length,
        )
        if not 0 <= place.offset <= place.length:
            return f"partial upload {place.id} stands at {place.offset} of {place.length} bytes"
        within = (place.start + place.offset) % place.part_size
        if not place.loose:
            grid = part_sizes(row.length, row.part_size)
            if place.start % row.part_size or end > row.length or (end % row.part_size and end != row.length):
                return f"window {place.id} lies off the grid, from {place.start} to {end}"
            whole = place.offset == place.length
            last = -(-end // row.part_size) if whole else (place.start + place.offset) // row.part_size
            if [(number, part.size) for number, part in full] != list(enumerate(grid, start=1))[first:last]:
                return f"window {place.id} has other parts on record than the {place.offset} bytes it has acknowledged"
            within = 0 if whole else within
        try:
            if self._key_of(place.token) != key:
                return f"no such upload of {key} in the store"
            self._read_parts(place.token, full)
            if within:
                self._read_tail(place.token, first + len(full) + 1, within)
        except (DigestMismatch, NotFound, Truncated) as error:
            return str(error)
        return None

    def _is_published(self, key: str, parts: list[PartDigest]) -> bool:
        """Whether the body lies there, whole; one of other parts is damage, an absent one is not."""
        with suppress(NotFound):
            self._store.confirm(key, parts)
            return True
        return False

    def _key_of(self, token: str) -> str | None:
        """The key that an open upload of the store is for; the list is fetched again for a token it lacks."""
        if token not in self._uploads:
            self._uploads = {each.token: each.key for each in self._store.uploads()}
        return self._uploads.get(token)

    def _read_tail(self, token: str, number: int, size: int) -> None:
        """Read what has come of an unfinished part; if it is not read deeply, only whether it is there."""
        for _ in self._store.read_pieces(token, number, size):
            if not self._deep:
                break

    def _read_parts(self, token: str, parts: list[tuple[int, PartDigest]]) -> None:
        """Read the full parts back, where the store shows them; a bucket shows none before the whole is published."""
        if not isinstance(self._store, LocalStore):
            return
        for number, part in parts:
            digest = hashlib.sha256()
            for chunk in self._store.read_pieces(token, number, part.size):
                if not self._deep:
                    break
                digest.update(chunk)
            if self._deep and digest.digest() != part.sha256:
                raise DigestMismatch(f"part {number} reads {digest.hexdigest()}, expected {part.sha256.hex()}")

    @contextmanager
    def _damage(self, what: str, where: str) -> Iterator[None]:
        """What the store says is wrong with one object; a store that does not answer at all is none."""
        try:
            yield
        except (NotFound, DigestMismatch, Truncated, KeyMalformed, CustodyError, Refusal) as error:
            self._findings.add(what, where, "as it was kept", f"{error.code}: {error}")
        except StoreUnavailable as error:
            self._store.ping()
            self._findings.add(what, where, "as it was kept", f"{error.code}: {error}")


def _came(session: Session, row: Upload) -> list[tuple[Place, list[tuple[int, PartDigest]]]]:
    """Partial uploads that bytes still come by, with their full parts; of joined windows the parts are the upload's."""
    found = []
    query = select(PartialUpload).where(PartialUpload.upload_id == row.id).order_by(PartialUpload.id)
    for partial in session.scalars(query):
        place = place_in(row, partial)
        if partial.place is None or place.loose:
            parts = select(PartialPart).where(PartialPart.partial_id == partial.id).order_by(PartialPart.number)
            full = [(part.number, PartDigest(part.size, part.sha256)) for part in session.scalars(parts)]
            found.append((place, full))
    return found


def _parts(session: Any, *which: Any) -> list[PartDigest]:
    """The parts of an upload, or of the one by which an item has arrived."""
    query = select(UploadPart.size, UploadPart.sha256).join(Upload, Upload.id == UploadPart.upload_id).where(*which)
    if len(which) > 1:
        query = query.where(Upload.state == Stands.COMPLETE)
    return [PartDigest(row.size, row.sha256) for row in session.execute(query.order_by(UploadPart.number))]
