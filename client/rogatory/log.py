"""The public log, read by anyone: its checkpoint, its tiles, and a mirror that checks every leaf.

Nothing here needs a login. A mirror is the log's own files on our disk, in the layout of C2SP tlog-tiles, so that
a later verification can show by itself that no chain was cut, forked or hidden. Specification: docs/spec/log.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from custody import leaf, merkle, tiles
from custody.checkpoint import Checkpoint, open_checkpoint
from custody.tail import TailTree
from rogatory import private_files
from rogatory.connection import AnswerMalformed, Connection
from rogatory.errors import NotFound, RolledBack, Tampered
from rogatory.records import LogRolledBack, LogTrust

_CACHED_TILES = 512
_TILE_LEVELS = 8
_OK, _CONFLICT = 200, 409


class LogWrong(Tampered):
    """The log's leaves do not add up: a label twice, a wrong tail, a root that is not that of the leaves."""

    code = "log-wrong"


class LogAhead(RolledBack):
    """The service lacks leaves that its own log keys have signed: its database is an old or another one."""

    code = "log-ahead"


class LeavesMissing(NotFound):
    """The log does not serve a file that its checkpoint implies."""

    code = "leaves-missing"


@dataclass(frozen=True)
class MirrorReport:
    """What a mirror run found, everything in it checked.

    Attributes:
        size: Leaves mirrored, all of them.
        before: Leaves there were already.
        entries: Entry leaves, dummies among them.
        tails: Tail leaves, each recomputed.
        complete: Whether the last leaf is a tail, so that it speaks of every label before it.
    """

    size: int
    before: int
    entries: int
    tails: int
    complete: bool


class PublicLog:
    """The files of a log behind a connection."""

    def __init__(self, connection: Connection, origin: str) -> None:
        self._connection = connection
        self._prefix = "/" + origin.partition("/")[2].strip("/")
        self._tile = lru_cache(maxsize=_CACHED_TILES)(self._fetch_tile)

    def checkpoint(self) -> bytes:
        """The newest signed note; nothing about it is checked."""
        return self._connection.request("GET", f"{self._prefix}/checkpoint", authenticated=False).content

    def cosigned_by(self, key: str) -> bytes | None:
        """The newest note that a key (full id) cosigned, if it has cosigned any; nothing about it is checked."""
        found = self.text(f"cosigned/{key}")
        return found.encode() if found is not None else None

    def text(self, name: str) -> str | None:
        """A text that the service shows, as `policy` or `auditors`, if it does; nothing about it is checked."""
        answer = self._connection.request("GET", f"{self._prefix}/{name}", authenticated=False, allow=frozenset({404}))
        return answer.text if answer.status_code == _OK else None

    def steps(self) -> list[Any]:
        """Records of the entries by which what is trusted of this log may change; nothing about them is checked."""
        answer = self._connection.get_json(f"{self._prefix}/steps", authenticated=False)
        found = answer.get("records")
        if not isinstance(found, list):
            raise AnswerMalformed("the log does not show its steps in the shape of its interface")
        return found

    def stamped(self) -> dict[str, Any] | None:
        """What the service says of its newest stamp by a third party: `size`, `time`, `published`; unchecked."""
        answer = self._connection.request("GET", f"{self._prefix}/stamped", authenticated=False, allow=frozenset({404}))
        found: dict[str, Any] | None = answer.json() if answer.status_code == _OK else None
        return found

    def hand_back(self, note: bytes) -> None:
        """Give the service a checkpoint that we have cosigned; giving it again changes nothing.

        Raises:
            LogAhead: The service lacks leaves of it.
            ServiceRefusal: It knows none of our keys.
        """
        answer = self._connection.request(
            "POST",
            f"{self._prefix}/cosignatures",
            content=note,
            headers={"Content-Type": "text/plain; charset=utf-8"},
            authenticated=False,
            allow=frozenset({_CONFLICT}),
        )
        if answer.status_code == _CONFLICT:
            raise LogAhead(
                "the service lacks leaves that its own keys have signed, so it runs on an old or another database",
                hint="tell its operator; it takes no entries until then",
            )

    def entries(self, n: int, width: int) -> bytes:
        """Entry bundle `n` with exactly `width` leaves, as bytes.

        Raises:
            LeavesMissing: The log has no such file.
            TileMalformed: What it has is none.
        """
        data = self._get(tiles.entries_path(n, width), tiles.entries_path(n))
        place = 0
        for _ in range(width):
            place += 2 + int.from_bytes(data[place : place + 2], "big")
        tiles.parse_entries(data[:place], width)
        return data[:place]

    def consistency(self, size1: int, size2: int) -> list[bytes]:
        """The path between two sizes, from tiles; proves itself to whoever has both roots."""
        return merkle.consistency_path(
            size1=size1, size2=size2, node=lambda level, index: self.node(level, index, size2)
        )

    def node(self, level: int, index: int, size: int) -> bytes:
        """Hash of a perfect subtree of the tree of `size` leaves."""
        tile_level, rest = divmod(level, _TILE_LEVELS)
        n, offset = divmod(index << rest, tiles.WIDTH)
        width = min(tiles.WIDTH, (size >> (tile_level * _TILE_LEVELS)) - n * tiles.WIDTH)
        hashes = list(self._tile(tile_level, n, width)[offset : offset + (1 << rest)])
        if len(hashes) != 1 << rest:
            raise LeavesMissing(f"tile {tile_level}/{n} of the log is too narrow for a tree of {size} leaves")
        return merkle.root(hashes)

    def _fetch_tile(self, level: int, n: int, width: int) -> tuple[bytes, ...]:
        data = self._get(tiles.tile_path(level, n, width), tiles.tile_path(level, n))
        return tuple(tiles.parse_hashes(data[: width * merkle.HASH_SIZE], width))

    def _get(self, *paths: str) -> bytes:
        """The first of these files that is there: a partial one may have given way to the full one."""
        for path in dict.fromkeys(paths):
            answer = self._connection.request(
                "GET", f"{self._prefix}/{path}", authenticated=False, allow=frozenset({404, 410})
            )
            if answer.status_code == _OK:
                return answer.content
        raise LeavesMissing(f"the log serves no {paths[0]}")


class Mirror:
    """A directory with the leaves of a log, each of them checked.

    Args:
        directory: `checkpoint` and `tile/entries/…`; made if it is not there.
        trust: Whose keys must have signed the checkpoint.
    """

    def __init__(self, directory: Path, trust: LogTrust) -> None:
        self._directory, self._trust = directory, trust

    @property
    def origin(self) -> str:
        """Whose leaves these are."""
        return self._trust.origin

    def held(self) -> Checkpoint | None:
        """The checkpoint this mirror was last brought to."""
        path = self._directory / "checkpoint"
        return self._open(path.read_bytes()) if path.exists() else None

    def note(self) -> bytes:
        """The note of that checkpoint, with whatever signatures it came with."""
        return (self._directory / "checkpoint").read_bytes()

    def update(self, log: PublicLog) -> MirrorReport:
        """Bring the mirror to the log's newest checkpoint; persisted only if every leaf, label and tail is right.

        Raises:
            LogRolledBack: The log is shorter than the mirror, or has another past.
            LogWrong: A label stands twice, a tail is not that of the labels before it, or the root is not the leaves'.
            LeafMalformed, TileMalformed: The log's files are no log's.
        """
        note = log.checkpoint()
        shown, held = self._open(note), self.held()
        before = held.size if held else 0
        if shown.size < before:
            raise LogRolledBack(f"the log shows {shown.size} leaves, this mirror has checked {before}")
        check = _Leaves(held)
        for number, data in self._bundles(log, shown.size):
            for place, leaf_data in enumerate(data):
                check.take(number * tiles.WIDTH + place, leaf_data)
        if check.range.root() != shown.root:
            raise LogWrong(
                f"the log's {shown.size} leaves have root {check.range.root().hex()}, it signed {shown.root.hex()}"
            )
        self._write("checkpoint", note)
        return MirrorReport(shown.size, before, check.entries, check.tails, check.ends_in_tail)

    def _bundles(self, log: PublicLog, size: int) -> Iterator[tuple[int, list[bytes]]]:
        for number in range(-(-size // tiles.WIDTH)):
            width = min(tiles.WIDTH, size - number * tiles.WIDTH)
            name = tiles.entries_path(number, width)
            path = self._directory / name
            if path.exists():
                data = path.read_bytes()
            else:
                data = log.entries(number, width)
                self._write(name, data)
            yield number, tiles.parse_entries(data, width)

    def _open(self, note: bytes) -> Checkpoint:
        return open_checkpoint(note, origin=self._trust.origin, log=self._trust.log)[0]

    def _write(self, name: str, data: bytes) -> None:
        path = self._directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        private_files.replace(path, data)


class _Leaves:
    """What all leaves so far amount to."""

    def __init__(self, held: Checkpoint | None) -> None:
        self.range = merkle.CompactRange()
        self.entries = self.tails = 0
        self.ends_in_tail = False
        self._held = held
        self._labels: set[bytes] = set()
        self._tail = TailTree()

    def take(self, index: int, data: bytes) -> None:
        said = leaf.parse(data)
        self.range.append(merkle.leaf_hash(data))
        self.ends_in_tail = isinstance(said, leaf.TailLeaf)
        if isinstance(said, leaf.EntryLeaf):
            if said.label in self._labels:
                raise LogWrong(f"leaf {index} bears label {said.label.hex()} a second time: a chain is forked")
            self._labels.add(said.label)
            self._tail.add(said.label)
            self.entries += 1
        else:
            if said.root != self._tail.root():
                raise LogWrong(f"tail leaf {index} holds {said.root.hex()}, its labels make {self._tail.root().hex()}")
            self.tails += 1
        held = self._held
        if held is not None and self.range.size == held.size and self.range.root() != held.root:
            raise LogRolledBack(f"the log's first {held.size} leaves are not those this mirror has checked")
