"""Writing a bundle anew: as one file, durable under its name or not there at all."""

import os
from collections.abc import Iterable
from pathlib import Path

from custody.archive import Source, write_archive
from rogatory.bodies import room_error
from rogatory.private_files import FileExists, sync_directory


def write_container(files: Iterable[tuple[str, Source]], target: Path) -> None:
    """Write a bundle's files, the packing list first, as one ZIP.

    Raises:
        FileExists: The target is there already.
        ArchiveTooLarge: They do not fit into one file.
        DiskFull: Nothing is left under the target's name.
    """
    if target.exists():
        raise FileExists(f"{target} is there already, and is not overwritten")
    partial = target.with_name(f".{target.name}.partial")
    try:
        with partial.open("wb") as file:
            write_archive(file, files, compress=False)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(target)
        sync_directory(target.absolute().parent)
    except OSError as error:
        raise room_error(error, target) from error
    finally:
        partial.unlink(missing_ok=True)
