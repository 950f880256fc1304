"""The log as of one signed checkpoint, read from one snapshot of the database.

Everything here is what a verifier will check; nothing here is trusted by one. Rows beyond the checkpoint (committed,
not yet signed) are not looked at.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db import cosignatures, tails
from app.db.log_models import CheckpointRow, LogLeaf, TileRow
from app.errors import NotFound
from custody import batch, merkle, witness
from custody.checkpoint import Checkpoint
from custody.tail import TailProof
from custody.tiles import WIDTH, encode_entries

TILE_HEIGHT: Final = 8


class TileReader:
    """Hashes of perfect subtrees, from tiles; each tile is read once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tiles: dict[tuple[int, int], bytes] = {}

    def node(self, level: int, index: int) -> bytes:
        """Hash of the perfect subtree over leaves [index << level, (index + 1) << level).

        Raises:
            LookupError: The log is not that large.
        """
        tile_level, within = divmod(level, TILE_HEIGHT)
        n, place = divmod(index << within, WIDTH)
        data = self._tile(tile_level, n)
        width = 1 << within
        start, end = place * merkle.HASH_SIZE, (place + width) * merkle.HASH_SIZE
        if len(data) < end:
            raise LookupError(f"no subtree at level {level}, index {index}")
        return merkle.root(data[at : at + merkle.HASH_SIZE] for at in range(start, end, merkle.HASH_SIZE))

    def _tile(self, level: int, n: int) -> bytes:
        found = self._tiles.get((level, n))
        if found is None:
            query = select(TileRow.data).where(TileRow.level == level, TileRow.n == n)
            found = self._tiles[level, n] = self._session.scalar(query) or b""
        return found


class LogReader:
    """Proofs in the newest checkpoint that the session sees, or in the one of a size.

    Raises:
        NotFound: There is no checkpoint yet, or none of this size.
    """

    def __init__(self, session: Session, size: int | None = None) -> None:
        query = select(CheckpointRow).order_by(CheckpointRow.size.desc()).limit(1)
        row = session.scalar(query if size is None else query.where(CheckpointRow.size == size))
        if row is None:
            raise NotFound("the log has no checkpoint yet")
        self._session = session
        self._tiles = TileReader(session)
        self.size, self.root, self.note = row.size, row.root, row.note

    def cosigned(self) -> bytes:
        """The note with all cosignatures at hand."""
        return witness.merged(self.note, cosignatures.lines(self._session, self.size))

    def root_at(self, size: int) -> bytes:
        """Root over the first `size` leaves, from tiles; `size` is at least 1 and at most the checkpoint's."""
        return merkle.subtree_root(0, size, self.node)

    def checkpoint(self, origin: str) -> Checkpoint:
        """What the note says."""
        return Checkpoint(origin, self.size, self.root)

    def node(self, level: int, index: int) -> bytes:
        """See `custody.merkle.Node`."""
        return self._tiles.node(level, index)

    def inclusion(self, index: int) -> list[bytes]:
        """Path of a leaf to the checkpoint's root."""
        return merkle.inclusion_path(index=index, size=self.size, node=self.node)

    def consistency(self, old_size: int, new_size: int | None = None) -> list[bytes]:
        """Path from the tree of `old_size` leaves to the checkpoint's, or to the one of `new_size`.

        Raises:
            ProofMalformed: Not 1 ≤ old ≤ new ≤ the checkpoint's size.
        """
        new_size = self.size if new_size is None else new_size
        if new_size > self.size:
            raise merkle.ProofMalformed(f"size {new_size} is beyond the checkpoint's {self.size}")
        return merkle.consistency_path(size1=old_size, size2=new_size, node=self.node)

    def batch(self, indices: Sequence[int]) -> list[bytes]:
        """Hashes for `custody.batch.verify_batch`, for these places (ascending) and the checkpoint's tail leaf."""
        places = sorted({*indices, self.size - 1})
        return batch.batch_proof(places, self.size, self.node)

    def tail(self, label: bytes) -> TailProof:
        """The labels of the bucket of `label` as of the checkpoint, with their path to the root in its tail leaf."""
        return tails.prove(self._session, label, size=self.size)


def root_of(session: Session, size: int) -> bytes | None:
    """Root of the checkpoint of this size, if this log ever signed one; for judging a statement's `seen`."""
    return session.scalar(select(CheckpointRow.root).where(CheckpointRow.size == size))


def newest_note(session: Session) -> bytes:
    """The newest checkpoint with all cosignatures at hand.

    Raises:
        NotFound: There is none yet.
    """
    return LogReader(session).cosigned()


def tile(session: Session, *, level: int, n: int, width: int) -> bytes:
    """The first `width` hashes of a tile.

    Raises:
        NotFound: There are not that many.
    """
    data = session.scalar(select(TileRow.data).where(TileRow.level == level, TileRow.n == n)) or b""
    wanted = width * merkle.HASH_SIZE
    if len(data) < wanted:
        raise NotFound(f"tile {n} of level {level} has {len(data) // merkle.HASH_SIZE} hashes, not {width}")
    return data[:wanted]


def entry_bundle(session: Session, *, n: int, width: int) -> bytes:
    """The data of `width` leaves from leaf 256 × n on, as an entry bundle.

    Raises:
        NotFound: There are not that many.
    """
    first = n * WIDTH
    query = select(LogLeaf.data).where(LogLeaf.idx >= first, LogLeaf.idx < first + width).order_by(LogLeaf.idx)
    leaves = session.scalars(query).all()
    if len(leaves) < width:
        raise NotFound(f"entry bundle {n} has {len(leaves)} leaves, not {width}")
    return encode_entries(leaves)


def committed_size(session: Session) -> int:
    """Leaves that are committed, signed or not."""
    last = session.scalar(select(func.max(LogLeaf.idx)))
    return 0 if last is None else last + 1
