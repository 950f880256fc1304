"""The right edge of the log in memory: what is needed to append, and nothing that grows with the log.

`extend` turns waiting entries into a batch of rows; `write` stores the batch in one transaction. If that fails the
object is ahead of the database and must be thrown away and loaded again.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self, cast

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from app.db import tails
from app.db.fresh import Edge, Place, Published
from app.db.log_models import CheckpointRow, LedgerRow, LogLeaf, Pending, TailHead, TileRow
from app.db.log_reader import TILE_HEIGHT, TileReader, committed_size
from custody import leaf, merkle
from custody.tail import NO_HEAD, TailTree, bucket_of
from custody.tiles import WIDTH

_NOISE = 64
"""Random bytes of a dummy leaf."""

_RANDOM = secrets.SystemRandom()


class LogDamaged(Exception):
    """What the database holds of the log does not fit together; nothing may be signed over it."""


class Waiting(NamedTuple):
    """An entry without a place."""

    ledger_id: int
    hash: bytes
    salt: bytes
    label: bytes


@dataclass
class Batch:
    """Rows to be written, named like their columns."""

    leaves: list[dict[str, object]] = field(default_factory=list)
    tiles: dict[tuple[int, int], bytearray] = field(default_factory=dict)
    begun: set[tuple[int, int]] = field(default_factory=set)
    """Those of `tiles` that no row has yet."""
    heads: dict[int, bytes] = field(default_factory=dict)
    first: set[int] = field(default_factory=set)
    """Those of `heads` that no row has yet."""
    placed: list[int] = field(default_factory=list)


def waiting(session: Session, most: int) -> list[Waiting]:
    """The entries that wait for a place, oldest row first."""
    query = (
        select(LedgerRow.id, LedgerRow.hash, LedgerRow.salt, LedgerRow.label)
        .join(Pending, Pending.ledger_id == LedgerRow.id)
        .order_by(Pending.ledger_id)
        .limit(most)
    )
    return [Waiting(*row) for row in session.execute(query)]


def is_anything_waiting(session: Session) -> bool:
    """Whether some entry waits for a place."""
    return session.scalar(select(Pending.ledger_id).limit(1)) is not None


class GrowingLog:
    """The tree's right edge, the tail tree, and the tiles that are not full yet."""

    def __init__(self, tree: merkle.CompactRange, tail: TailTree, edges: dict[int, bytearray]) -> None:
        self._tree, self._tail, self._edges = tree, tail, edges

    @property
    def size(self) -> int:
        """Leaves so far."""
        return self._tree.size

    def root(self) -> bytes:
        """Root over them."""
        return self._tree.root()

    @classmethod
    def load(cls, session: Session) -> Self:
        """The log as it is committed, after a look whether it fits together.

        Raises:
            LogDamaged: The last leaf is not the tail leaf over all labels, a tile is short, or the tiles do not
                lead to the root that was signed last.
        """
        size, tiles = committed_size(session), TileReader(session)
        try:
            tree = merkle.CompactRange(size, _perfect_subtrees(size, tiles))
            edges = {level: _edge(session, level, size) for level in range(_tile_levels(size))}
        except LookupError as error:
            raise LogDamaged(f"the tiles do not cover {size} leaves: {error}") from error
        tail = tails.load(session, size=size)
        if size:
            _check_end(session, size, tail)
            _check_signed(session, tiles)
        return cls(tree, tail, edges)

    def extend(self, entries: Sequence[Waiting], dummies: int = 0) -> Batch:
        """Give each entry its place, with so many dummy leaves among them, and end with a tail leaf over all labels."""
        batch = Batch()
        places = set(_RANDOM.sample(range(len(entries) + dummies), dummies))
        coming = iter(entries)
        for place in range(len(entries) + dummies):
            if place in places:
                noise = secrets.token_bytes(_NOISE)
                self._enter(batch, noise[: leaf.SALT_SIZE], leaf.dummy_leaf(noise), None)
                continue
            entry = next(coming)
            data = leaf.entry_leaf(entry.label, leaf.commitment(entry.salt, entry.hash))
            self._enter(batch, entry.label, data, entry.ledger_id)
            batch.placed.append(entry.ledger_id)
        self._append(batch, leaf.tail_leaf(self._tail.root()), None, None)
        for bucket in batch.heads:
            batch.heads[bucket] = self._tail.head(bucket)
        return batch

    def edge(self, batch: Batch) -> Edge:
        """Tiles enough to prove the leaves of the batch that was made last."""
        tiles = {key: bytes(data) for key, data in batch.tiles.items()}
        for level, data in self._edges.items():
            if data:
                tiles[level, ((self.size >> level * TILE_HEIGHT) - 1) // WIDTH] = bytes(data)
        return Edge(tiles)

    def _enter(self, batch: Batch, label: bytes, data: bytes, ledger_id: int | None) -> None:
        bucket = bucket_of(label)
        if self._tail.head(bucket) == NO_HEAD:
            batch.first.add(bucket)
        self._tail.add(label)
        batch.heads[bucket] = b""
        self._append(batch, data, bucket, ledger_id)

    def _append(self, batch: Batch, data: bytes, bucket: int | None, ledger_id: int | None) -> None:
        batch.leaves.append({"idx": self.size, "data": data, "bucket": bucket, "ledger_id": ledger_id})
        for level, index, found in self._tree.append(merkle.leaf_hash(data)):
            tile_level, within = divmod(level, TILE_HEIGHT)
            if within:
                continue
            n, place = divmod(index, WIDTH)
            if place == 0:
                self._edges[tile_level] = bytearray()
                batch.begun.add((tile_level, n))
            edge = self._edges[tile_level]
            edge += found
            batch.tiles[tile_level, n] = edge


def published(log: GrowingLog, batch: Batch, entries: Sequence[Waiting], note: bytes) -> Published:
    """What who waits for these entries needs; `batch` is the log's last one, `note` the checkpoint over it."""
    at = {leaf["ledger_id"]: leaf["idx"] for leaf in batch.leaves}
    places = {entry.hash: Place(entry.label + entry.salt, cast("int", at[entry.ledger_id])) for entry in entries}
    return Published(log.size, note, places, log.edge(batch))


def write(session: Session, batch: Batch) -> None:
    """Store a batch; a fact when the caller commits."""
    connection = session.connection()
    connection.execute(insert(LogLeaf), batch.leaves)
    tiles = {key: {"level": key[0], "n": key[1], "data": bytes(data)} for key, data in batch.tiles.items()}
    heads = {bucket: {"bucket": bucket, "head": head} for bucket, head in batch.heads.items()}
    if new := [row for key, row in tiles.items() if key in batch.begun]:
        connection.execute(insert(TileRow), new)
    if grown := [_named(row) for key, row in tiles.items() if key not in batch.begun]:
        same = (TileRow.level == bindparam("at_level"), TileRow.n == bindparam("at_n"))
        connection.execute(update(TileRow).where(*same).values(data=bindparam("at_data")), grown)
    if first := [row for bucket, row in heads.items() if bucket in batch.first]:
        connection.execute(insert(TailHead), first)
    if led_on := [_named(row) for bucket, row in heads.items() if bucket not in batch.first]:
        query = update(TailHead).where(TailHead.bucket == bindparam("at_bucket")).values(head=bindparam("at_head"))
        connection.execute(query, led_on)
    if batch.placed:
        gone = [{"at_id": placed} for placed in batch.placed]
        connection.execute(delete(Pending).where(Pending.ledger_id == bindparam("at_id")), gone)


def _named(row: dict[str, object]) -> dict[str, object]:
    return {f"at_{name}": value for name, value in row.items()}


def _perfect_subtrees(size: int, tiles: TileReader) -> list[bytes]:
    found, start = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            found.append(tiles.node(level, start >> level))
            start += 1 << level
    return found


def _tile_levels(size: int) -> int:
    return -(-size.bit_length() // TILE_HEIGHT)


def _edge(session: Session, level: int, size: int) -> bytearray:
    """The last tile of a level if it is not full; an empty one else, which the next hash begins."""
    n, width = divmod(size >> (level * TILE_HEIGHT), WIDTH)
    if not width:
        return bytearray()
    data = session.scalar(select(TileRow.data).where(TileRow.level == level, TileRow.n == n)) or b""
    if len(data) != width * merkle.HASH_SIZE:
        raise LookupError(f"tile {n} of level {level} has {len(data)} bytes, expected {width} hashes")
    return bytearray(data)


def _check_end(session: Session, size: int, tail: TailTree) -> None:
    last = session.scalar(select(LogLeaf.data).where(LogLeaf.idx == size - 1))
    if last != leaf.tail_leaf(tail.root()):
        raise LogDamaged(f"leaf {size - 1} is not the tail leaf over all labels before it")


def _check_signed(session: Session, tiles: TileReader) -> None:
    signed = session.scalar(select(CheckpointRow).order_by(CheckpointRow.size.desc()).limit(1))
    if signed is not None and merkle.subtree_root(0, signed.size, tiles.node) != signed.root:
        raise LogDamaged(f"the tiles do not lead to the root that was signed for size {signed.size}")
