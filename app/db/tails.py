"""Tail proofs: that nothing follows, as of one checkpoint.

A proof needs hashes over all 65,536 bucket heads as they were at the checkpoint's size. One tree is kept for each
database and led forward by the labels that came since; a reader whose checkpoint is older than the kept tree, or
much younger, makes one of its own from the stored heads (about 0.2 s).
"""

from dataclasses import dataclass
from threading import Lock
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

from app.db.log_models import LogLeaf, TailHead
from custody import leaf
from custody.tail import NO_HEAD, TailProof, TailTree, bucket_of, next_head

_LABEL = slice(1, 1 + leaf.SALT_SIZE)
_LEAD_AT_MOST = 20_000


@dataclass
class _Kept:
    tree: TailTree
    size: int


_kept: WeakKeyDictionary[Pool, _Kept] = WeakKeyDictionary()
_guard = Lock()


def prove(session: Session, label: bytes, *, size: int) -> TailProof:
    """The labels of the bucket of `label` among the first `size` leaves, and the path to the tail root over them all.

    Args:
        session: Sees at least `size` leaves.
        label: Whose bucket.
        size: Of the checkpoint, whose last leaf is the tail leaf with this root.
    """
    bucket = bucket_of(label)
    members = tuple(_labels(session, bucket, size))
    with _guard:
        kept = _tree(session, size)
        return TailProof(root=kept.root(), bucket=members, path=tuple(kept.path(bucket)))


def load(session: Session, *, size: int) -> TailTree:
    """The tree over all labels of the first `size` leaves, from the stored heads."""
    heads = {row.bucket: row.head for row in session.execute(select(TailHead.bucket, TailHead.head))}
    later = select(LogLeaf.bucket).where(LogLeaf.idx >= size, LogLeaf.bucket.is_not(None)).distinct()
    for bucket in session.scalars(later).all():
        assert bucket is not None
        head = NO_HEAD
        for member in _labels(session, bucket, size):
            head = next_head(head, member)
        heads[bucket] = head
    return TailTree({bucket: head for bucket, head in heads.items() if head != NO_HEAD})


def _tree(session: Session, size: int) -> TailTree:
    bind = session.get_bind()
    pool = (bind if isinstance(bind, Engine) else bind.engine).pool
    kept = _kept.get(pool)
    if kept is not None and kept.size > size:
        return load(session, size=size)
    if kept is None or size - kept.size > _LEAD_AT_MOST:
        kept = _kept[pool] = _Kept(load(session, size=size), size)
    elif kept.size < size:
        news = (
            select(LogLeaf.data)
            .where(LogLeaf.idx >= kept.size, LogLeaf.idx < size, LogLeaf.bucket.is_not(None))
            .order_by(LogLeaf.idx)
        )
        for data in session.scalars(news).all():
            kept.tree.add(data[_LABEL])
        kept.size = size
    return kept.tree


def _labels(session: Session, bucket: int, size: int) -> list[bytes]:
    query = select(LogLeaf.data).where(LogLeaf.bucket == bucket, LogLeaf.idx < size).order_by(LogLeaf.idx)
    return [data[_LABEL] for data in session.scalars(query)]
