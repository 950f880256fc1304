"""The log rebuilt from its leaves: tree, tiles, tails, checkpoints; held to what is stored and signed."""

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import Any, Final

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from app.db.log_models import CheckpointRow, LedgerRow, LogLeaf, TailHead, TileRow
from app.db.log_reader import TILE_HEIGHT
from app.services.fsck.findings import Findings
from custody import leaf, merkle
from custody.checkpoint import open_checkpoint
from custody.note import VerifierKey
from custody.tail import TailTree, bucket_of
from custody.tiles import WIDTH

_AT_ONCE: Final = 1024


class Rebuilt:
    """The tree, tiles and tail heads over the leaves so far; of the tiles only the last of each level.

    Args:
        session: The snapshot.
        findings: Where to tell.
    """

    def __init__(self, session: Session, findings: Findings) -> None:
        self._session, self._findings = session, findings
        self._tree, self.tail = merkle.CompactRange(), TailTree()
        self._edges: dict[int, tuple[int, bytearray]] = {}
        self.tiles = 0
        self.ends_in_tail = True

    @property
    def size(self) -> int:
        """Leaves so far."""
        return self._tree.size

    def root(self) -> bytes:
        """Root over them."""
        return self._tree.root()

    def take(self, row: Row[Any]) -> None:
        """The next leaf: its data must follow from its entry, or from all labels before it, or stand for nothing."""
        where, expect = f"leaf {row.idx}", self._findings.expect
        label = _label_of_a_dummy(row)
        if label is not None:
            expect("log_leaves.bucket", where, bucket_of(label), row.bucket)
            self.tail.add(label)
        elif row.ledger_id is None:
            expect("log_leaves.data", where, leaf.tail_leaf(self.tail.root()), row.data)
            expect("log_leaves.bucket", where, None, row.bucket)
        elif row.hash is None:
            self._findings.add("log_leaves.ledger_id", where, "an entry of the ledger", row.ledger_id)
        else:
            expect("log_leaves.data", where, leaf.entry_leaf(row.label, leaf.commitment(row.salt, row.hash)), row.data)
            expect("log_leaves.bucket", where, bucket_of(row.label), row.bucket)
            self.tail.add(row.label)
        self.ends_in_tail = row.ledger_id is None and label is None
        self._grow(merkle.leaf_hash(row.data))

    def _grow(self, hash_: bytes) -> None:
        for level, index, found in self._tree.append(hash_):
            tile_level, within = divmod(level, TILE_HEIGHT)
            if within:
                continue
            n, place = divmod(index, WIDTH)
            if place == 0:
                self._edges[tile_level] = (n, bytearray())
            data = self._edges[tile_level][1]
            data += found
            if place == WIDTH - 1:
                self._check_tile(tile_level, n, bytes(self._edges.pop(tile_level)[1]))

    def end(self) -> None:
        """Check the tiles that are not full, and the heads of all buckets."""
        for level, (n, data) in self._edges.items():
            self._check_tile(level, n, bytes(data))
        there = self._session.scalar(select(func.count()).select_from(TileRow))
        self._findings.expect("tiles", "number of tiles", self.tiles, there)
        kept = {row.bucket: row.head for row in self._session.execute(select(TailHead.bucket, TailHead.head))}
        wanted = self.tail.heads()
        for bucket in sorted(wanted.keys() | kept.keys()):
            self._findings.expect("tail_heads.head", f"bucket {bucket}", wanted.get(bucket), kept.get(bucket))

    def _check_tile(self, level: int, n: int, data: bytes) -> None:
        self.tiles += 1
        found = self._session.scalar(select(TileRow.data).where(TileRow.level == level, TileRow.n == n))
        self._findings.expect("tiles.data", f"level {level} tile {n}", data, found)


def _label_of_a_dummy(row: Row[Any]) -> bytes | None:
    """The label of an entry leaf that belongs to no entry; None of any other leaf."""
    if row.ledger_id is not None or row.bucket is None:
        return None
    with suppress(leaf.LeafMalformed):
        found = leaf.parse(row.data)
        return found.label if isinstance(found, leaf.EntryLeaf) else None
    return None


def check(session: Session, origin: str, keys: Sequence[VerifierKey], findings: Findings) -> int:
    """Rebuild the log, hold what is stored to it and every checkpoint to its signatures; how many leaves there are.

    Leaves behind the newest checkpoint are what a crash may leave before it is signed, and are no finding. Nor can a
    log that was cut off at its end, with everything that depends on it, be told from one that was never longer: that
    takes a witness, or anybody who has seen a later checkpoint.
    """
    rebuilt = Rebuilt(session, findings)
    with findings.guarded("log_leaves", "the log"):
        notes = _checkpoints(session)
        note = next(notes, None)
        for row in _leaves(session):
            if not findings.expect("log_leaves.idx", f"leaf {rebuilt.size}", rebuilt.size, row.idx):
                break
            rebuilt.take(row)
            while note is not None and note.size <= rebuilt.size:
                with findings.guarded("checkpoints.note", f"checkpoint {note.size}"):
                    _check_note(note, rebuilt, origin, keys, findings)
                note = next(notes, None)
        if note is not None:
            findings.add("checkpoints.size", f"checkpoint {note.size}", f"at most {rebuilt.size} leaves", note.size)
        if not rebuilt.ends_in_tail:
            findings.add("log_leaves", "the end of the log", "a tail leaf", "an entry leaf")
        rebuilt.end()
    return rebuilt.size


def _leaves(session: Session) -> Iterator[Any]:
    query = (
        select(
            LogLeaf.idx,
            LogLeaf.data,
            LogLeaf.bucket,
            LogLeaf.ledger_id,
            LedgerRow.hash,
            LedgerRow.salt,
            LedgerRow.label,
        )
        .outerjoin(LedgerRow, LedgerRow.id == LogLeaf.ledger_id)
        .order_by(LogLeaf.idx)
    )
    with closing(session.execute(query.execution_options(yield_per=_AT_ONCE))) as rows:
        yield from rows


def _checkpoints(session: Session) -> Iterator[Any]:
    query = select(CheckpointRow.size, CheckpointRow.root, CheckpointRow.signed_at, CheckpointRow.note)
    with closing(session.execute(query.order_by(CheckpointRow.size).execution_options(yield_per=_AT_ONCE))) as rows:
        yield from rows


def _check_note(row: Row[Any], rebuilt: Rebuilt, origin: str, keys: Sequence[VerifierKey], findings: Findings) -> None:
    where, expect = f"checkpoint {row.size}", findings.expect
    expect("checkpoints.size", where, rebuilt.size, row.size)
    expect("checkpoints.root", where, rebuilt.root(), row.root)
    if not rebuilt.ends_in_tail:
        findings.add("checkpoints.size", where, "a size that ends in a tail leaf", row.size)
    signed, note = open_checkpoint(row.note, origin=origin, log=keys)
    expect("checkpoints.note size", where, row.size, signed.size)
    expect("checkpoints.note root", where, row.root, signed.root)
    for _, time in note.cosignatures():
        expect("checkpoints.signed_at", where, time, int(row.signed_at.timestamp()))
