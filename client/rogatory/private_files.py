"""Files that nobody else may read: written once or replaced whole, durable when the call returns.

Mode 0600 is demanded on reading as on writing; on Windows, where modes say nothing, the profile directory's own
protection stands in for it.
"""

import os
import secrets
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from rogatory.errors import NotFound, Refused

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_POSIX = os.name == "posix"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class FileExposed(Refused):
    """A file with secrets can be read or changed by others."""

    code = "file-exposed"


class FileExists(Refused):
    """A file that would be made is there already; secrets are never overwritten."""

    code = "file-exists"


class FileMissing(NotFound):
    """A file that is needed is not there."""

    code = "file-missing"


def read(path: Path) -> bytes:
    """The bytes of a private file.

    Raises:
        FileMissing: It is not there.
        FileExposed: Group or others have any right to it.
    """
    try:
        with path.open("rb") as file:
            if _POSIX and os.fstat(file.fileno()).st_mode & _OTHERS:
                raise FileExposed(f"{path} can be read by others, expected mode 0600", hint=f"chmod 600 {path}")
            return file.read()
    except FileNotFoundError as error:
        raise FileMissing(f"{path} is not there") from error


def create(path: Path, data: bytes) -> None:
    """Write a new private file; durable when this returns, never half there under its name.

    Raises:
        FileExists: The name is taken; nothing was changed.
    """
    partial = _write_beside(path, data)
    try:
        os.link(partial, path)
    except FileExistsError as error:
        raise FileExists(f"{path} is there already, and is not overwritten") from error
    except OSError:  # a file system without hard links
        _create_exclusive(path, data)
    finally:
        partial.unlink()
    sync_directory(path.parent)


def replace(path: Path, data: bytes) -> None:
    """Write a private file under a name that may be taken: a reader sees the old bytes or the new."""
    _write_beside(path, data).replace(path)
    sync_directory(path.parent)


def make_directory(path: Path) -> Path:
    """A directory for private files, mode 0700 where it is made here."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def hold(path: Path, *, wait: bool = False) -> BinaryIO:
    """Take a lock file, made if it is not there; held until what is returned is closed or this process ends.

    Args:
        path: The lock file.
        wait: Wait for who holds it, instead of raising.

    Raises:
        BlockingIOError, PermissionError: Somebody else holds it, in this process or another one.
    """
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BaseException:
        file.close()
        raise
    return file


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    if not _POSIX:
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_beside(path: Path, data: bytes) -> Path:
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    _create_exclusive(partial, data)
    return partial


def _create_exclusive(path: Path, data: bytes) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    except FileExistsError as error:
        raise FileExists(f"{path} is there already, and is not overwritten") from error
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
