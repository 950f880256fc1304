"""What lies in the store and belongs to nothing: remains of crashes between "bytes first" and "fact second".

Uploads that no open row names, bodies whose item never became a fact, headers that were never put on record, and the
store's own debris. Nothing is touched that a row names, that is younger than the age, or that is locked.

A name without a row may get one while it is looked at: an old header may be put again, an item uploaded anew. So the
last look and the deletion are one transaction that keeps such a row from coming into being (`_alone`).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.db.models import GrantHeader, Item, Package, PartialUpload, PutHeader, Upload, UploadState
from app.services.runtime import Runtime
from storage import keys
from storage.interface import Locked, NotFound
from storage.local import LocalStore

AGE: Final = timedelta(days=1)
"""Younger ones may be about to get their row; no request lasts as long."""

_AT_ONCE: Final = 256
_BODY: Final = 3


_Named = Callable[[Session, Iterable[str]], set[str]]
"""Those of some keys that a row names, or may come to name."""


@dataclass(frozen=True)
class Orphan:
    """One thing that belongs to nothing: `upload`, `body`, `header` or `debris`; where it lies, and since when."""

    kind: str
    name: str
    since: datetime


def run(runtime: Runtime, stopping: Callable[[], bool]) -> int:
    """Remove all that is old enough; how many there were. As the caretaker does it."""
    return sum(1 for _ in collect(runtime, stopping=stopping))


def collect(
    runtime: Runtime, *, older_than: timedelta = AGE, dry_run: bool = False, stopping: Callable[[], bool] = bool
) -> Iterator[Orphan]:
    """Remove what belongs to nothing, and tell of each; with `dry_run` tell only.

    Args:
        runtime: The service; it may be at work.
        older_than: What the store took later is left alone. Keep it longer than any request lasts.
        dry_run: Remove nothing.
        stopping: Asked before each removal.

    Raises:
        StoreError: The store does not answer; what was told of so far is gone.
    """
    task = _Task(runtime, runtime.now() - older_than, dry_run, stopping)
    yield from _uploads(task)
    yield from _objects(task, "body", "bodies/", _bodies_named)
    yield from _objects(task, "header", "headers/", _headers_named)
    if isinstance(runtime.store, LocalStore) and not stopping():
        for _ in range(runtime.store.sweep(task.before, dry_run=dry_run)):
            yield Orphan("debris", "temp", task.before)


@dataclass(frozen=True)
class _Task:
    runtime: Runtime
    before: datetime
    dry_run: bool
    stopping: Callable[[], bool]


def _uploads(task: _Task) -> Iterator[Orphan]:
    """Unfinished uploads whose row never came or has ended; a row comes within seconds of its upload."""
    store = task.runtime.store
    for found in store.uploads():
        if task.stopping():
            return
        if found.begun >= task.before:
            continue
        with task.runtime.reading() as session:
            if _is_open(session, found.token):
                continue
        if not task.dry_run:
            store.abort(found.token)
        yield Orphan("upload", found.token, found.begun)


def _is_open(session: Session, token: str) -> bool:
    """Whether an open upload, or a piece of one, is kept under this token."""
    open_ = select(Upload.id).where(Upload.state == UploadState.OPEN)
    piece = open_.join(PartialUpload, PartialUpload.upload_id == Upload.id).where(PartialUpload.store_token == token)
    return any(session.scalar(each.limit(1)) is not None for each in (open_.where(Upload.store_token == token), piece))


def _objects(
    task: _Task, kind: str, prefix: str, named: Callable[[Session, Iterable[str]], set[str]]
) -> Iterator[Orphan]:
    """Published objects that no row names and, for bodies, no upload that is open can come to name."""
    names = task.runtime.store.keys(prefix)
    while page := list(islice(names, _AT_ONCE)):
        with task.runtime.reading() as session:
            there = named(session, page)
        for key in page:
            if task.stopping():
                return
            if key not in there:
                with suppress(NotFound, Locked):
                    yield from _object(task, kind, key, named)


def _object(task: _Task, kind: str, key: str, named: _Named) -> Iterator[Orphan]:
    store, now = task.runtime.store, task.runtime.now()
    info = store.stat(key)
    if info.written >= task.before or (info.locked_until is not None and info.locked_until > now):
        return
    with _alone(task.runtime, key) as session:
        if named(session, [key]):
            return
        if not task.dry_run:
            store.delete(key, version=info.version, now=now)
    yield Orphan(kind, key, info.written)


@contextmanager
def _alone(runtime: Runtime, key: str) -> Iterator[Session]:
    """A transaction beside which no row can come to name the key.

    Whoever begins an upload holds its package, and whoever puts a header on record writes to its table before it
    puts the bytes a last time. On SQLite there is one writer at a time anyway.
    """
    with runtime.unit_of_work() as uow:
        if key.startswith("bodies/"):
            package = key.split("/")[1]
            uow.session.execute(select(Package.id).where(Package.id == package).with_for_update()).all()
        elif uow.session.get_bind().dialect.name == "postgresql":
            uow.session.execute(text("LOCK TABLE put_headers IN SHARE MODE"))
        yield uow.session


def _bodies_named(session: Session, names: Iterable[str]) -> set[str]:
    ids = [tuple(key.split("/")[1:]) for key in names if key.count("/") == _BODY - 1]
    packages = {package for package, _ in ids}
    found = set()
    for model, item in ((Item, Item.id), (Upload, Upload.item_id)):
        query = select(model.package_id, item).where(model.package_id.in_(packages))
        if model is Upload:
            query = query.where(Upload.state == UploadState.OPEN)
        found |= {(row[0], row[1]) for row in session.execute(query)}
    return {keys.body(package, item) for package, item in ids if (package, item) in found}


def _headers_named(session: Session, names: Iterable[str]) -> set[str]:
    digests = [key.removeprefix("headers/") for key in names]
    found: set[str] = set()
    for model in (PutHeader, GrantHeader):
        found |= set(session.scalars(select(model.sha256).where(model.sha256.in_(digests))))
    return {f"headers/{digest}" for digest in found}
