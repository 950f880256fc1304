"""How long the offline verifier takes for a long chain, everything but signatures, on one core.

    python -m bench.verify_entries [--entries 100000] [--acts 10] [--profile]

Makes an exchange whose entries are, for every hundred, `--acts` signed acts (downloads) and for the rest what the
service says (closed downloads, fixity checks), writes the bundle, verifies it, and prints the seconds, and the ratio
to the least anybody must do: `json.loads` and SHA-256 of the same lines.
"""

import argparse
import cProfile
import gc
import hashlib
import json
import pstats
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from bench.series import MIB, Effort, Row, Series, in_turns
from custody.bundle import BundleContents, open_bundle, write_bundle
from custody.checklist import chains, proving
from custody.checklist.case import Case, load
from custody.trust import Trust
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
    """On one core without signatures, against `json.loads` and SHA-256 of the same lines; signatures on all cores."""
    count = effort.bundle
    world = build(count, 10)
    path, lines = root / "bundle.zip", root / "entries.jsonl"
    contents = world.contents()
    scale, about = 100_000 / count, f"(taken with {count:,}, a tenth of them signed)"
    writing = [_seconds(lambda: _write(path, contents)) * scale for _ in range(effort.repeat)]  # noqa: F821 - until gone
    lines.write_bytes(b"".join(made.data + b"\n" for made in world.chains[world.handle]))
    trust = world.trust()
    del world, contents  # what remains in memory slows down what is measured
    yield Row("verify", f"bundle of 100,000 entries {about}", "MiB", Series((path.stat().st_size * scale / MIB,)))
    yield Row("verify", "the same, written", "s", Series(tuple(writing)))

    def check(*, signatures: bool) -> None:
        report = verify_bundle(path, trust, check_signatures=signatures)
        assert not report.failed, report.text()

    found = in_turns(
        effort.repeat,
        least=lambda: floor(lines) * scale,
        some=lambda: _seconds(lambda: _least_of_it(path, trust)) * scale,
        most=lambda: _seconds(lambda: check(signatures=False)) * scale,
        all=lambda: _seconds(lambda: check(signatures=True)) * scale,
    )
    least, who = found["least"], "json.loads and SHA-256 alone"
    yield Row("verify", "the same, checked: everything but signatures", "s", found["most"], least, who, "<= 2")
    yield Row("verify", "of that, reading, bodies, chain, tree", "s", found["some"], least, who, "<= 1")
    yield Row("verify", "the same, checked: everything, signatures on all cores", "s", found["all"], least, who)


def _write(path: Path, contents: BundleContents) -> None:
    with path.open("wb") as file:
        write_bundle(file, contents)


def _least_of_it(path: Path, trust: Trust) -> None:
    """What the goal of one second was set for, and the reading of every line; without gc, as `verify_bundle`."""
    gc.disable()
    with closing(open_bundle(path)) as bundle:
        case = Case(bundle, trust, check_signatures=False)
        load(case)
        for check in (chains.bodies, chains.links, proving.inclusion):
            check(case)
        del case
    gc.enable()


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


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
