"""A real acquired image, handed over whole: sizes, times, and whether all digests agree.

    python bench/acquire.py [--size 2GiB] [--segment 640MiB] [--from DIR …] [--directory DIR]

Files of this machine are put into an ext4 file system of the given size, which `ewfacquirestream` acquires to E01
segments without compression; those go through a running service with the real commands. Digests are computed here
on their own at both ends, and compared with the inventory and with what the image says of itself. Needs about five
times the size on disk; removed at the end. Exit code 1 if anything differs.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from blake3 import blake3

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from demo.stage import Stage

UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
TREES = ("/usr/share", "/usr/lib", "/usr/bin", sys.prefix)
FULL = 0.9  # of the file system may be files
PIECE = 4 * 2**20


def size(text: str) -> int:
    number, unit = text[:-3], text[-3:]
    if unit not in UNITS or not number.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no size, expected one like 2GiB")
    return int(number) * UNITS[unit]


def tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not found:
        sys.exit(f"error: {name} is missing\nhint: make system")
    return found


@contextmanager
def timed(what: str, count: int) -> Iterator[None]:
    begun = time.monotonic()
    yield
    took = time.monotonic() - begun
    print(f"{what:<34}{took:8.1f} s {count / took / 2**20:10.0f} MiB/s", flush=True)


def files_of(trees: list[Path]) -> Iterator[tuple[Path, Path]]:
    """Each regular file below the trees, with its name in the image."""
    for number, tree in enumerate(trees):
        for folder, _, names in os.walk(tree):
            for name in names:
                path = Path(folder, name)
                if path.is_file() and not path.is_symlink():
                    yield path, Path(str(number), path.relative_to(tree))


def gather(trees: list[Path], target: Path, room: int) -> tuple[int, int]:
    """Put files under `target` until `room` bytes are used; how many, and how many bytes."""
    count = used = 0
    for path, name in files_of(trees):
        length = path.stat().st_size
        cost = -(-length // 4096) * 4096 + 512  # blocks and an inode
        if used + cost > room:
            continue
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with suppress(PermissionError):
            try:
                os.link(path, place)
            except OSError:
                shutil.copyfile(path, place)
            count, used = count + 1, used + cost
        if used > room * 0.98:
            break
    return count, used


def acquire(root: Path, wanted: int, segment: int, trees: list[Path]) -> tuple[list[Path], dict[str, str]]:
    """The segments, and the digests of the raw image they hold."""
    with timed("files gathered", wanted):
        count, used = gather(trees, root / "tree", int(wanted * FULL))
    print(f"  {count} files, {used / 2**30:.2f} GiB in blocks")
    raw = root / "disk.raw"
    with timed("ext4 made (mke2fs)", wanted):
        made = [tool("mke2fs"), "-q", "-F", "-t", "ext4", "-m", "0", "-N", str(count * 2 + 4096), "-d", root / "tree"]
        subprocess.run([*made, raw, f"{wanted // 1024}k"], check=True, capture_output=True)
    shutil.rmtree(root / "tree")
    with timed("raw image hashed here", wanted):
        stated = digests(raw, "md5", "sha1")
    with timed("acquired (ewfacquirestream)", wanted), raw.open("rb") as disk:
        command = [tool("ewfacquirestream"), "-q", "-f", "encase6", "-c", "none", "-S", str(segment), "-d", "sha1"]
        subprocess.run([*command, "-t", root / "disk"], stdin=disk, check=True, capture_output=True)
    raw.unlink()
    return sorted(root.glob("disk.E*")), stated


def digests(path: Path, *names: str) -> dict[str, str]:
    found = {name: blake3() if name == "blake3" else hashlib.new(name, usedforsecurity=False) for name in names}
    with path.open("rb") as file:
        while data := file.read(PIECE):
            for digest in found.values():
                digest.update(data)
    return {name: digest.hexdigest() for name, digest in found.items()}


def hand_over(root: Path, first: Path, count: int) -> Path:
    """Send and receive with the real commands; where it was received."""
    with Stage(root / "stage") as stage:
        stage.start_service()
        police, court = stage.party("nl.police", "NL", "Politie"), stage.party("fr.court", "FR", "Tribunal")
        stage.introduce(police, court)
        exchange = police.run("exchange", "open", "--with", court.authority, "--json").json["exchange"]
        with timed("sent (sealed, hashed, uploaded)", count):
            words = ("send", first, "--exchange", exchange, "--to", court.authority, "--json")
            package = police.run(*words).json["package"]
        with timed("received (checked, opened, checked)", count):
            court.run("receive", package, "--to", root / "received", "--unpack")
        court.run("receipt", "accept", package)
    return root / "received"


def compare(segments: list[Path], stated: dict[str, str], received: Path) -> bool:
    head, *rows = [json.loads(line) for line in (received / "inventory.jsonl").read_bytes().splitlines()]
    listed = {row["path"]: row for row in rows}
    good = sorted(listed) == [path.name for path in segments]
    for path in segments:
        source = digests(path, "sha256", "blake3")
        arrived = digests(next((received / "evidence").rglob(path.name)), "sha256", "blake3")
        named = {name: listed[path.name][name] for name in source}
        same = source == named == arrived
        good = good and same
        print(f"{path.name}  {path.stat().st_size} bytes  sha256 {source['sha256']}  {'same' if same else 'DIFFERS'}")
    for row in head["acquisition"]["source_digests"]:
        same = stated[row["algorithm"]] == row["value"] and row["how"] == "read"
        good = good and same
        print(
            f"{row['algorithm']:<5} {row['value']}  stored in the image, {row['how']}: {'same' if same else 'DIFFERS'}"
        )
    return good and len(head["acquisition"]["source_digests"]) == len(stated)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--size", type=size, default=size("2GiB"), help="of the file system")
    parser.add_argument("--segment", type=size, default=size("640MiB"), help="of the image")
    parser.add_argument("--from", dest="trees", type=Path, nargs="*", default=[Path(tree) for tree in TREES])
    parser.add_argument("--directory", type=Path, help="where to work (default: a temporary one)")
    choice = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rogatory-acquire-", dir=choice.directory) as place:
        root = Path(place)
        segments, stated = acquire(root, choice.size, choice.segment, choice.trees)
        count = sum(path.stat().st_size for path in segments)
        print(f"{len(segments)} segments, {count} bytes ({count / 2**30:.2f} GiB)")
        good = compare(segments, stated, hand_over(root, segments[0], count))
    print("all digests agree" if good else "DIGESTS DIFFER")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
