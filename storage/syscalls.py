"""The system calls of the local store, behind one seam, and the few durable steps made of them.

Tests put another `Syscalls` in to record the order of the calls, to fail any one of them, and to stop the
world before or after it. Closing a descriptor is the one call outside the seam: the kernel does it too
when a process dies, so it must never matter.
"""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar

from storage.interface import StoreError, StoreFull, StoreUnavailable, Truncated

CHUNK = 1024 * 1024
FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

P = ParamSpec("P")
R = TypeVar("R")


class Syscalls:
    """Makes system calls and turns what the kernel refuses into typed errors."""

    def perform(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Make one call; what tests replace."""
        return function(*args, **kwargs)

    def __call__(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Make one call that has no good reason to fail.

        Raises:
            StoreFull: No space, the quota is used up, or a file may not grow further.
            StoreUnavailable: Whatever else the kernel says.
        """
        try:
            return self.perform(function, *args, **kwargs)
        except OSError as error:
            raise _typed(error) from error

    def attempt(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Make one call that may find a name missing or taken, and say so in the built-in errors."""
        try:
            return self.perform(function, *args, **kwargs)
        except (FileNotFoundError, FileExistsError, NotADirectoryError):
            raise
        except OSError as error:
            raise _typed(error) from error


def _typed(error: OSError) -> StoreError:
    kind = StoreFull if error.errno in _FULL else StoreUnavailable
    return kind(f"{errno.errorcode.get(error.errno or 0, 'error')}: {os.strerror(error.errno or 0).lower()}")


def write_at(system: Syscalls, fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of the data, however little the kernel takes at once; not yet durable."""
    view = memoryview(data).cast("B")
    while view:
        written = system(os.pwrite, fd, view, offset)
        view, offset = view[written:], offset + written


def create_durably(system: Syscalls, path: Path, data: bytes) -> None:
    """Make a new file with these bytes and sync them; its name is durable only once the directory is synced."""
    fd = system(os.open, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        write_at(system, fd, data, 0)
        system(os.fsync, fd)
    finally:
        os.close(fd)


def make_directories(system: Syscalls, directory: Path, root: Path) -> None:
    """Make a directory and those between it and `root`, which exists; not yet durable."""
    if directory == root:
        return
    make_directories(system, directory.parent, root)
    try:
        system.attempt(os.mkdir, directory, DIRECTORY_MODE)
    except FileExistsError:
        return


def sync_directories(system: Syscalls, directory: Path, root: Path) -> None:
    """Make the names in a directory durable, and those that lead to it from `root`.

    All of them each time: a directory that exists may have been made by a process that died before it synced.
    """
    while True:
        fd = system(os.open, directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            system(os.fsync, fd)
        finally:
            os.close(fd)
        if directory == root:
            return
        directory = directory.parent


class Reader(Iterator[bytes]):
    """A range of a file, in chunks; owns the descriptor and closes it at the end or when dropped."""

    def __init__(self, system: Syscalls, fd: int, *, start: int, length: int) -> None:
        self._system, self._fd = system, fd
        self._at, self._left = start, length

    def __next__(self) -> bytes:
        if not self._left or self._fd < 0:
            self.close()
            raise StopIteration
        chunk = self._system(os.pread, self._fd, min(CHUNK, self._left), self._at)
        if not chunk:
            self.close()
            raise Truncated(f"file ends at byte {self._at}, expected {self._left} more")
        self._at += len(chunk)
        self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        """Give the descriptor back; nothing more is read."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()
