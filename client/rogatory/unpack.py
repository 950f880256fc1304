"""From plaintext to files: every digest of the inventory is checked while the plaintext passes by, once.

What an item is follows from the inventory: one file that fills it, or an archive whose files lie at the extents named.
Archives are unpacked only on request, and then from the extents: no archive is ever parsed here, and nothing that an
archive says becomes a path. Names become paths by `names.safe_join` alone; links are made last, and only such as stay
inside.
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, Self

from custody.digest import Digester
from custody.inventory import Line
from custody.text import from_time
from rogatory.errors import Tampered
from rogatory.names import NameRefused, flags, link_stays_inside, safe_join, shown

_FSYNC_FROM = 1024 * 1024
_NO_PLACE = {errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG}
"""What the file system says of a name that it cannot give."""


class PlaintextDiffers(Tampered):
    """A file is not the one the inventory describes, though its item is intact: the sender's word is wrong."""

    code = "plaintext-differs"


@dataclass(frozen=True)
class Segment:
    """Where a file lies in an item's plaintext."""

    offset: int
    size: int
    line: Line


@dataclass(frozen=True)
class Layout:
    """What an item is.

    Attributes:
        item: Id.
        size: Bytes of plaintext.
        kind: `file`, `archive`, or `opaque` where the inventory does not say in a way that can be followed.
        name: What the item is called on disk while it stays in one piece; raw bytes, one part.
        segments: Files in it, ascending, not overlapping; none if opaque.
    """

    item: str
    size: int
    kind: str
    name: bytes
    segments: tuple[Segment, ...] = ()

    @property
    def checked(self) -> bool:
        """Whether the inventory lets the plaintext be checked."""
        return self.kind != "opaque"


@dataclass
class Delivered:
    """What lies in the directory now.

    Attributes:
        sums: (name below the directory, hex SHA-256) of each file written.
        files: Files of the inventory whose digests were checked.
        flagged: (name as shown, why it could mislead).
        skipped: (name as shown, why it was not made): links that lead out, names that cannot be paths.
    """

    sums: list[tuple[bytes, str]] = field(default_factory=list)
    files: int = 0
    flagged: list[tuple[str, list[str]]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def layouts(lines: Iterable[Line], sizes: Mapping[str, int]) -> dict[str, Layout]:
    """What each item (id → bytes of plaintext) is, as the inventory's lines tell."""
    found: dict[str, list[Segment]] = {item: [] for item in sizes}
    opaque: set[str] = set()
    for line in lines:
        for item, offset, size in line.extents:
            if len(line.extents) > 1 or item not in found:
                opaque.update(extent[0] for extent in line.extents)
            else:
                found[item].append(Segment(offset, size, line))
    return {item: _layout(item, sizes[item], segments, opaque=item in opaque) for item, segments in found.items()}


class Delivery:
    """Writes one item's plaintext below a directory while it is checked.

    Args:
        root: Directory of the evidence.
        layout: What the item is.
        unpack: Whether an archive becomes its files.
        into: Told what was written.
    """

    def __init__(self, root: Path, layout: Layout, *, unpack: bool, into: Delivered) -> None:
        self._root, self._layout, self._into = root, layout, into
        self._apart = unpack and layout.kind == "archive"
        self._pending: Iterator[Segment] = iter(layout.segments)
        self._segment: Segment | None = next(self._pending, None)
        self._digester: Digester | None = None
        self._place = 0
        self._whole: BinaryIO | None = None
        self._whole_digest = Digester() if layout.kind != "file" else None
        self._whole_sha256 = b""
        self._file: BinaryIO | None = None
        if not self._apart:
            self._whole = self._create(_part_name(layout))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._whole, self._file):
            if file is not None:
                file.close()

    def write(self, data: bytes) -> None:
        """Take the next bytes of plaintext; they are hashed while they are written, and beyond: leave them as they are.

        Raises:
            PlaintextDiffers: A file that ends in them is not the inventory's.
            NameRefused: A file cannot be made under its name.
            OSError: It cannot be written.
        """
        if self._whole_digest is not None and not self._apart:
            self._whole_digest.follow(data)
        view = memoryview(data)
        end = self._place + len(view)
        while self._segment is not None and self._segment.offset <= end:
            segment = self._segment
            if self._digester is None:
                if segment.offset == end and segment.size:
                    break
                self._begin(segment)
            start = max(segment.offset, self._place) - self._place
            part = view[start : segment.offset + segment.size - self._place]
            assert self._digester is not None
            self._digester.follow(part)
            if self._file is not None:
                self._file.write(part)
            if segment.offset + segment.size > end:
                break
            self._end(segment)
        if self._whole is not None:
            self._whole.write(data)
        self._place = end

    def finish(self) -> None:
        """The plaintext is complete.

        Raises:
            PlaintextDiffers: It is shorter than the inventory's extents.
        """
        self.write(b"")
        if self._segment is not None:
            raise PlaintextDiffers(f"item {self._layout.item} ends before {shown(self._segment.line.path)!r}")
        if self._whole is not None:
            _settle(self._whole)
            self._whole = None
            name = b"evidence/" + _part_name(self._layout)
            if self._whole_digest is not None:
                self._whole_sha256 = self._whole_digest.finish().sha256
            self._into.sums.append((name, self._whole_sha256.hex()))
            if self._layout.kind == "file":
                _set_time(safe_join(self._root, _part_name(self._layout)), self._layout.segments[0].line.mtime)

    def _begin(self, segment: Segment) -> None:
        self._digester = Digester()
        if self._apart:
            try:
                self._file = self._create(segment.line.path)
            except NameRefused as error:
                self._into.skipped.append((shown(segment.line.path), str(error)))

    def _end(self, segment: Segment) -> None:
        assert self._digester is not None
        found, line = self._digester.finish(), segment.line
        if self._file is not None:
            if found.size >= _FSYNC_FROM:
                _settle(self._file)
            else:
                self._file.close()
            self._file = None
            _set_time(safe_join(self._root, line.path), line.mtime)
            self._into.sums.append((b"evidence/" + line.path, found.sha256.hex()))
        if (found.size, found.sha256, found.blake3) != (line.size, line.sha256, line.blake3):
            raise PlaintextDiffers(
                f"{shown(line.path)!r} has SHA-256 {found.sha256.hex()}, the inventory says "
                f"{(line.sha256 or b'').hex()}: the sender's inventory does not describe what was sent",
                hint="reject the package with reason digest_mismatch",
            )
        self._into.files += 1
        self._whole_sha256 = found.sha256
        self._digester, self._segment = None, next(self._pending, None)

    def _create(self, name: bytes) -> BinaryIO:
        path = safe_join(self._root, name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("xb")
        except (FileExistsError, NotADirectoryError) as error:
            raise NameRefused(
                f"{shown(name)!r} stands where another name of the package stands already here"
            ) from error
        except (ValueError, UnicodeError) as error:
            raise NameRefused(f"{shown(name)!r} cannot be a name on this file system") from error
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise NameRefused(f"{shown(name)!r} is too long for this file system") from error


def finish_tree(root: Path, lines: Iterable[Line], into: Delivered, *, unpack: bool) -> None:
    """Flag names; if archives were unpacked, make directories and links, links last, then directories' times."""
    listed = list(lines)
    for line in listed:
        why = flags(line.path)
        if why:
            into.flagged.append((shown(line.path), why))
    if not unpack:
        return
    for line in listed:
        if line.type == "directory":
            _attempt(lambda path: path.mkdir(parents=True, exist_ok=True), root, line, into)
    for line in listed:
        if line.type == "symlink" and line.target is not None:
            if link_stays_inside(line.path, line.target):
                target = os.fsdecode(line.target)
                _attempt(partial(_link, target), root, line, into)
            else:
                into.skipped.append((shown(line.path), f"a link that leads out, to {shown(line.target)!r}"))
    for line in reversed(listed):
        if line.type == "directory":
            _attempt(partial(_set_time, mtime=line.mtime), root, line, into)


def _attempt(make: Callable[[Path], object], root: Path, line: Line, into: Delivered) -> None:
    try:
        path = safe_join(root, line.path)
        _refuse_below_link(root, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
    except (NameRefused, ValueError) as error:
        into.skipped.append((shown(line.path), str(error)))
    except OSError as error:
        if error.errno not in _NO_PLACE:
            raise
        into.skipped.append((shown(line.path), os.strerror(error.errno)))


def _refuse_below_link(root: Path, path: Path) -> None:
    """Nothing is made through a link, wherever it leads; nor is anything looked at through one."""
    below = path.relative_to(root)
    above = root
    for step in below.parts[:-1]:
        above /= step
        if above.is_symlink():
            raise NameRefused(f"{shown(os.fsencode(below))!r} stands below a link")


def _layout(item: str, size: int, segments: list[Segment], *, opaque: bool) -> Layout:
    ordered = sorted(segments, key=lambda segment: (segment.offset, segment.size))
    place = 0
    for segment in ordered:
        if segment.offset < place or segment.offset + segment.size > size:
            opaque = True
        place = segment.offset + segment.size
    if opaque:
        return Layout(item, size, "opaque", f"item-{item}.bin".encode())
    if len(ordered) == 1 and ordered[0].offset == 0 and ordered[0].size == size:
        return Layout(item, size, "file", ordered[0].line.path, tuple(ordered))
    return Layout(item, size, "archive", f"item-{item[:8]}.tar".encode(), tuple(ordered))


def _part_name(layout: Layout) -> bytes:
    """A name for the item in one piece: the file's own where that can be a path, else the item's id."""
    if layout.kind == "file":
        try:
            safe_join(Path(), layout.name)
            os.fsdecode(layout.name).encode("utf-8", "surrogateescape")
        except (NameRefused, ValueError):
            return f"item-{layout.item}.bin".encode()
    return layout.name


def _link(target: str, path: Path) -> None:
    path.symlink_to(target)


def _settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()


def _set_time(path: Path, mtime: str | None) -> None:
    if mtime is None:
        return
    at = from_time(mtime)
    try:
        os.utime(path, (at.timestamp(), at.timestamp()))
    except (OSError, OverflowError, ValueError):
        return
