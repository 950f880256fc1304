"""How long the offline verifier takes for a long chain, everything but signatures, on one core.

    python -m bench.verify_entries [--entries 100000] [--acts 10] [--profile]

Makes an exchange whose entries are, for every hundred, `--acts` signed acts (downloads) and for the rest what the
service says (closed downloads, fixity checks), writes the bundle, verifies it, and prints the seconds, and the ratio
to the least anybody must do: `json.loads` and SHA-256 of the same lines.
"""

import argparse
import cProfile
import hashlib
import json
import pstats
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.series import Effort, Row, Series
from custody.bundle import write_bundle
from custody.verify import verify_bundle
from tests.custody.world import World


def build(count: int, acts: int) -> World:
    world = World(seen=False).opened().sealed()
    about, item = {"package": world.package}, world.items[0].member
    checked = {name: item[name] for name in ("sha256", "blake3", "size")}
    while len(world.chains[world.handle]) < count - 1:
        opened = [world.act(world.court, "download.opened", about).hash.hex() for _ in range(acts)]
        for _ in range(100 - 2 * acts):
            world.note("fixity.checked", about | {"item": item["id"]}, checked)
        for download in opened:
            world.note("download.closed", about, {"opened": download, "bytes": 500, "outcome": "closed"})
    return world.exported()


def floor(path: Path) -> float:
    started = time.perf_counter()
    for line in path.read_bytes().split(b"\n")[:-1]:
        json.loads(line)
        hashlib.sha256(line).digest()
    return time.perf_counter() - started


def offline(effort: Effort, root: Path) -> Iterator[Row]:
    """Bodies hashed again, chain, tree; against `json.loads` and SHA-256 of the same lines."""
    count = effort.entries * 5
    world = build(count, 10)
    path, lines = root / "bundle.zip", root / "entries.jsonl"
    with path.open("wb") as file:
        write_bundle(file, world.contents())
    lines.write_bytes(b"".join(made.data + b"\n" for made in world.chains[world.handle]))
    trust, took, least = world.trust(), [], []
    del world
    for _ in range(effort.repeat):
        least.append(floor(lines) * 100_000 / count)
        started = time.perf_counter()
        report = verify_bundle(path, trust, check_signatures=False)
        took.append((time.perf_counter() - started) * 100_000 / count)
        assert not report.failed, report.text()
    work = f"offline check of 100,000 entries, without signatures (taken with {count:,})"
    yield Row("verify", work, "s", Series(tuple(took)), Series(tuple(least)), "json.loads and SHA-256 alone", "<= 1")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--acts", type=int, default=10)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    world = build(given.entries, given.acts)
    with tempfile.TemporaryDirectory() as name:
        path, lines = Path(name) / "bundle.zip", Path(name) / "entries.jsonl"
        with path.open("wb") as file:
            write_bundle(file, world.contents())
        lines.write_bytes(b"".join(made.data + b"\n" for made in world.chains[world.handle]))
        trust, least = world.trust(), min(floor(lines) for _ in range(3))
        del world
        profile = cProfile.Profile()
        if given.profile:
            profile.enable()
        started = time.perf_counter()
        report = verify_bundle(path, trust, check_signatures=False)
        took = time.perf_counter() - started
        profile.disable()
        assert not report.failed, report.text()
        print(f"{report.entries} entries, {path.stat().st_size / 1e6:.0f} MB: {took:.2f} s without signatures")
        print(f"json.loads and SHA-256 of the same lines: {least:.2f} s, ratio {took / least:.2f}")
        if given.profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
