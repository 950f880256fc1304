"""Files with private keys: written whole, durable before anybody relies on them, readable by their owner alone.

A key file that others can read is refused rather than repaired: who has read it by then nobody knows.
"""

import os
import secrets
import stat
from pathlib import Path

from custody.errors import VerificationError


class PrivateFileExposed(VerificationError):
    """A private key file is open to others than its owner, or is not a plain file."""

    code = "private-file-exposed"

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(f"{path} is {found}, expected a regular file of mode 0600")
        self.path, self.found = path, found


def read_private(path: Path) -> bytes:
    """The bytes of a private file.

    Raises:
        PrivateFileExposed: Any permission for group or others, a symbolic link, or no regular file.
        FileNotFoundError: No such file.
    """
    if path.is_symlink():
        raise PrivateFileExposed(path, "a symbolic link")
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise PrivateFileExposed(path, "no regular file")
        if stat.S_IMODE(mode) & 0o077:
            raise PrivateFileExposed(path, f"of mode {stat.S_IMODE(mode):04o}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def private_directory(directory: Path) -> None:
    """Make a directory (0700) unless it is there; its parents too."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def write(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Put a file in place, replacing what was there; a crash leaves the old or the new file, whole."""
    scratch = _scratch(path, data, mode)
    try:
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def write_new(path: Path, data: bytes) -> bool:
    """Put a private file in place unless one is there; False if another process was first."""
    scratch = _scratch(path, data, 0o600)
    try:
        os.link(scratch, path)
    except FileExistsError:
        return False
    finally:
        scratch.unlink(missing_ok=True)
        _sync_directory(path.parent)
    return True


def move(source: Path, target: Path) -> None:
    """Rename within one directory, replacing `target`; durable when it returns."""
    source.replace(target)
    _sync_directory(target.parent)


def _scratch(path: Path, data: bytes, mode: int) -> Path:
    """A durable file beside `path` under a name nobody else uses."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    return scratch


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
