"""Gathering what proves a chain offline, as of the newest checkpoint, all from one snapshot of the database."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, BinaryIO, Final, cast

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from app.db.chain_files import ChainFiles as Gathered
from app.db.chain_files import Statements, chain_files
from app.db.log_models import LedgerRow, LogLeaf
from app.db.log_reader import LogReader
from app.db.models import Authority, Exchange, Grant, GrantHeader, Item, Package, PutHeader, Release
from app.errors import NotFound
from app.services import brackets, headers, uploads
from app.services.runtime import Runtime
from custody import entry, leaf, statement
from custody.bundle import BundleContents, ChainFiles, write_bundle
from custody.entry import Entry
from custody.packing import LeafLine

_SPOOL: Final = 8 * 1024 * 1024
_AT_ONCE: Final = 256


def spooled(write: Callable[[BinaryIO], None]) -> BinaryIO:
    """What `write` writes, as a temporary file at its beginning; whoever takes it closes it."""
    target = cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=_SPOOL))  # noqa: SIM115 - closed by its reader
    try:
        write(target)
        target.seek(0)
    except BaseException:
        target.close()
        raise
    return target


def write_registry(session: Session, target: BinaryIO, authority: str, *, origin: str, size: int | None = None) -> None:
    """One authority's registry, as a bundle of the kind `registry`, in the newest checkpoint or that of a size.

    Raises:
        NotFound: No such authority, or the newest checkpoint does not cover it yet.
    """
    row = session.get(Authority, authority)
    if row is None:
        raise NotFound(f"no authority {authority}")
    log = LogReader(session, size)
    gathered = {authority: _gather(session, row.handle, log.size)}
    service = _service(session, origin, log.size)
    contents = BundleContents(
        kind="registry",
        chain=leaf.registry_handle(origin, authority),
        checkpoint=log.cosigned(),
        inclusion=log.batch(_indices([*gathered.values(), *service])),
        entries=None,
        registries={name: _chain(log, files) for name, files in gathered.items()},
        statements=_statements(session, gathered.values()),
        service=next((ChainFiles(each.entries, each.leaves) for each in service), None),
    )
    write_bundle(target, contents)


def write_exchange(
    session: Session,
    target: BinaryIO,
    chain: str,
    *,
    kind: str,
    authority: str,
    runtime: Runtime,
    size: int | None = None,
) -> None:
    """An exchange's chain with the registries of all it names, as a bundle or an auditor's export.

    Args:
        session: A reading session.
        target: Where to.
        chain: Handle of the exchange.
        kind: `exchange` or `export`.
        authority: For whom; a bundle holds the headers that this authority brought or was handed, no others.
        runtime: The service.
        size: Of the checkpoint that everything is proven in; the newest if None.
    """
    log = LogReader(session, size)
    exchange = _gather(session, chain, log.size)
    registries = _registries(session, exchange, log.size)
    gathered = [exchange, *registries.values()]
    service = _service(session, runtime.origin, log.size)
    packages = list(session.scalars(select(Package.id).join(Exchange).where(Exchange.handle == chain)))
    envelopes = _statements(session, gathered)
    policy = runtime.witnesses
    stamped = brackets.stamped(session, _indices(gathered), log.size)
    around = brackets.around(session, policy.policy, _indices([exchange]), log.size)
    checkpoints = around | stamped.checkpoints  # a note that was stamped stays as it was
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL) as scratch:
        contents = BundleContents(
            kind=kind,
            chain=bytes.fromhex(chain),
            checkpoint=log.cosigned(),
            inclusion=log.batch(_indices([*gathered, *service])),
            entries=_chain(log, exchange),
            registries={name: _chain(log, files) for name, files in registries.items()},
            statements=envelopes,
            headers=_Headers(session, packages, authority, runtime, scratch) if kind == "exchange" else {},
            parts=_parts(session, packages),
            service=next((ChainFiles(each.entries, each.leaves) for each in service), None),
            policy=None if policy.policy.is_none else policy.text,
            checkpoints=checkpoints,
            consistency=_consistency(log, envelopes, checkpoints),
            stamps=stamped.files,
        )
        write_bundle(target, contents)


def _gather(session: Session, handle: str, size: int) -> Gathered:
    files = chain_files(session, handle, size)
    if files.last is None:
        raise NotFound("the checkpoint does not cover this chain yet")
    return files


def _chain(log: LogReader, files: Gathered) -> ChainFiles:
    """The chain with the proof that nothing follows its last entry."""
    assert files.last is not None
    label = leaf.next_label(files.last.salt, files.last.hash)
    return ChainFiles(files.entries, files.leaves, log.tail(label))


def _service(session: Session, origin: str, size: int) -> list[Gathered]:
    """Of the service's own chain how the log began after another, and how it ended; empty where it did neither."""
    chain = leaf.registry_handle(origin, leaf.SERVICE).hex()
    newest = select(func.max(LedgerRow.seq)).where(LedgerRow.chain == chain).scalar_subquery()
    query = (
        select(LedgerRow.body, LedgerRow.seq, LogLeaf.idx, LedgerRow.hash, LedgerRow.label, LedgerRow.salt)
        .join(LogLeaf, LogLeaf.ledger_id == LedgerRow.id)
        .where(LedgerRow.chain == chain, LogLeaf.idx < size, or_(LedgerRow.seq == 0, LedgerRow.seq == newest))
        .order_by(LedgerRow.seq)
    )
    rows = [row for row in session.execute(query) if _matters(entry.parse(row.body))]
    lines = [LeafLine(*row[1:]) for row in rows]
    found = Gathered([bytes(row.body) for row in rows], lines, [line.index for line in lines], [], None)
    return [found] if rows else []


def _matters(found: Entry) -> bool:
    return found.event == "log.succeeded" or "predecessor" in found.noted


def _indices(chains: Iterable[Gathered]) -> list[int]:
    return sorted(index for files in chains for index in files.indices)


def _statements(session: Session, chains: Iterable[Gathered]) -> Statements:
    return Statements(session, (each for files in chains for each in files.statements))


def _registries(session: Session, exchange: Gathered, size: int) -> dict[str, Gathered]:
    """The registry of every authority that the chain names: signers, parties, auditors, recipients."""
    names: set[str] = set()
    for envelope in _statements(session, [exchange]):
        payload = statement.parse(envelope).payload
        detail = payload.get("detail", {})
        names |= {payload["signer"]["authority"], *detail.get("parties", ()), *detail.get("auditors", ())}
        names |= {recipient["authority"] for recipient in payload.get("recipients", ())}
        names |= {payload.get("subject", {}).get("authority", "")}
    rows = session.scalars(select(Authority).where(Authority.id.in_(names)).order_by(Authority.id))
    return {row.id: _gather(session, row.handle, size) for row in rows}


class _Headers(Mapping[str, bytes]):
    """Headers of grants that this authority brought or was handed: a bundle hands out no other.

    Each is read from the store once, into a temporary file; held are their digests and where they lie there.
    """

    def __init__(
        self, session: Session, packages: list[str], authority: str, runtime: Runtime, scratch: IO[bytes]
    ) -> None:
        self._scratch = scratch
        self._places: dict[str, tuple[int, int]] = {}
        end = 0
        for sha256 in session.scalars(_handed(packages, authority).execution_options(yield_per=_AT_ONCE)):
            size = scratch.write(headers.read(runtime, sha256))
            self._places[sha256] = (end, size)
            end += size

    def __getitem__(self, name: str) -> bytes:
        place, size = self._places[name]
        self._scratch.seek(place)
        return self._scratch.read(size)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _handed(packages: list[str], authority: str) -> Select[str]:
    brought = select(PutHeader.sha256).where(PutHeader.package_id.in_(packages), PutHeader.authority == authority)
    handed = (
        select(GrantHeader.sha256)
        .join(Release, (Release.grant_id == GrantHeader.grant_id) & (Release.item_id == GrantHeader.item_id))
        .where(Release.authority == authority)
    )
    return (
        select(GrantHeader.sha256)
        .join(Grant, Grant.statement_id == GrantHeader.grant_id)
        .where(Grant.package_id.in_(packages), Grant.destroyed.is_(False))
        .where(GrantHeader.sha256.in_(brought) | GrantHeader.sha256.in_(handed))
        .distinct()
        .order_by(GrantHeader.sha256)
    )


def _parts(session: Session, packages: list[str]) -> dict[str, bytes]:
    query = select(Item.package_id, Item.id).where(Item.package_id.in_(packages), Item.role.is_not(None))
    return {item: uploads.part_digests(session, package, item) for package, item in session.execute(query)}


def _consistency(
    log: LogReader, envelopes: Iterable[bytes], others: Iterable[int]
) -> dict[tuple[int, int], list[bytes]]:
    """That the bundle's checkpoint follows from the newest that each signer says it saw, and from these others."""
    newest: dict[tuple[str, str | None], int] = {}
    for envelope in envelopes:
        said = statement.parse(envelope)
        seen = said.payload.get("seen", {}).get("size", 0)
        signer = (said.authority, said.principal)
        newest[signer] = max(newest.get(signer, 0), seen)
    sizes = {size for size in (*newest.values(), *others) if 0 < size < log.size}
    return {(size, log.size): log.consistency(size) for size in sorted(sizes)}
