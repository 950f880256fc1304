"""The batches that this process's sequencer published last, kept in memory for whoever waits for a record.

A request whose entry stands here is answered without asking the database: the rightmost tiles and the note give the
whole proof. Nothing is here that is not committed, and nothing depends on it: other processes publish too, and what
is no longer here is read from the tables (`app.db.records`).
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event, Lock
from time import monotonic
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy.pool import Pool

from app.db.publication import Bell
from custody import merkle
from custody.proof import TlogProof
from custody.tiles import WIDTH

KEPT: Final = 16
"""Batches that are kept for those who come late."""

_TILE_HEIGHT: Final = 8


class Place(NamedTuple):
    """An entry's own part of its proof: label and salt, and the place of its leaf in the log."""

    extra: bytes
    at: int


class Edge:
    """Hashes of perfect subtrees out of the tiles at the log's right edge; each is computed once.

    Args:
        tiles: By level and number, those that hold the leaves asked for and everything right of them, and the last
            of each level above.
    """

    def __init__(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        self._tiles = tiles
        self._known: dict[tuple[int, int], bytes] = {}

    def node(self, level: int, index: int) -> bytes:
        """See `custody.merkle.Node`.

        Raises:
            LookupError: It is none of these tiles that has it.
        """
        found = self._known.get((level, index))
        if found is None:
            found = self._known[level, index] = self._computed(level, index)
        return found

    def _computed(self, level: int, index: int) -> bytes:
        tile_level, within = divmod(level, _TILE_HEIGHT)
        if within:
            return merkle.node_hash(self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1))
        n, place = divmod(index, WIDTH)
        at = place * merkle.HASH_SIZE
        found = self._tiles[tile_level, n][at : at + merkle.HASH_SIZE]
        if len(found) != merkle.HASH_SIZE:
            raise LookupError(f"no subtree at level {level}, index {index}")
        return found


@dataclass(frozen=True)
class Published:
    """What a checkpoint added to the one before.

    Attributes:
        size: The checkpoint's.
        note: Its exact bytes.
        places: Of its entries, by entry hash.
        edge: Tiles enough for the proof of each.
    """

    size: int
    note: bytes
    places: Mapping[bytes, Place]
    edge: Edge

    def proof(self, entry: bytes) -> TlogProof:
        """The proof of an entry of this batch.

        Args:
            entry: Its hash.

        Raises:
            LookupError: It is not in this batch, or the tiles do not reach.
        """
        place = self.places[entry]
        path = merkle.inclusion_path(index=place.at, size=self.size, node=self.edge.node)
        return TlogProof(extra=place.extra, index=place.at, path=tuple(path), note=self.note)


@dataclass(eq=False)
class _Waiter:
    came: Event = field(default_factory=Event)
    batch: Published | None = None


class Board:
    """Where batches are put up, and where those who wait for one look.

    Attributes:
        bell: Rings with each batch.
    """

    def __init__(self) -> None:
        self.bell = Bell()
        self._guard = Lock()
        self._batches: deque[Published] = deque()
        self._found: dict[bytes, Published] = {}
        self._waiting: dict[bytes, list[_Waiter]] = {}
        self._last = 0.0

    def put_up(self, batch: Published) -> None:
        """Tell what was published, and wake who waits for it."""
        with self._guard:
            self._last = monotonic()
            self._batches.append(batch)
            self._found.update(dict.fromkeys(batch.places, batch))
            for entry in batch.places.keys() & self._waiting.keys():
                for waiter in self._waiting.pop(entry):
                    waiter.batch = batch
                    waiter.came.set()
            while len(self._batches) > KEPT:
                for entry in self._batches.popleft().places:
                    del self._found[entry]
        self.bell.ring()

    def call(self) -> None:
        """Let everybody look in the tables: something was published that is not put up here."""
        with self._guard:
            for waiters in self._waiting.values():
                for waiter in waiters:
                    waiter.came.set()
        self.bell.ring()

    def is_in_use(self, within: float) -> bool:
        """Whether a batch was put up in the last so many seconds."""
        return bool(self._last) and monotonic() - self._last <= within

    def find(self, entry: bytes, timeout: float) -> Published | None:
        """The batch with an entry, as soon as it is put up; None after `timeout` seconds, or when called.

        Args:
            entry: Its hash.
            timeout: Seconds.
        """
        with self._guard:
            found = self._found.get(entry)
            if found is not None or timeout <= 0:
                return found
            waiter = _Waiter()
            self._waiting.setdefault(entry, []).append(waiter)
        waiter.came.wait(timeout)
        with self._guard:
            others = self._waiting.get(entry, [])
            if waiter in others:
                others.remove(waiter)
                if not others:
                    del self._waiting[entry]
        return waiter.batch


_boards: WeakKeyDictionary[Pool, Board] = WeakKeyDictionary()
_lock = Lock()


def board(pool: Pool) -> Board:
    """The board of this process for the database of a pool."""
    with _lock:
        return _boards.setdefault(pool, Board())
