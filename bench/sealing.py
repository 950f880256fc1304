"""Sealing and opening against the `age` command, which computes no digests; file to file in memory, and to nowhere.

    python -m bench.sealing {seal|open|send} KEYS SOURCE TARGET

does the work once, in a process of its own, and prints the seconds it took without the interpreter's start.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from rogatory.pipeline import Sealing
from rogatory.resume import ItemState, SendState
from rogatory.source import sources

from bench.series import MIB, Effort, Row, in_turns
from custody.digest import Digester
from custody.sealing import (
    CHUNK,
    BodyOpener,
    BodySealer,
    build_header,
    new_file_key,
    parse_identity_file,
    read_header,
    unwrap,
)

_WINDOW = 64 * CHUNK
_NOWHERE = Path(os.devnull)


def against_age(effort: Effort, root: Path) -> Iterator[Row]:
    """Seal: encrypt and take both digests of the body. Open: decrypt and check them. Age does neither digest."""
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 5 * effort.size else root
    with tempfile.TemporaryDirectory(prefix="bench-", dir=place) as name:
        here = Path(name)
        keys, plain, sealed, made = (here / each for each in ("keys", "plain", "sealed", "made"))
        subprocess.run(["age-keygen", "-o", keys], check=True, capture_output=True)
        recipient = parse_identity_file(keys.read_text())[0].recipient
        with plain.open("wb") as file:
            for _ in range(0, effort.size, 8 * MIB):
                file.write(os.urandom(8 * MIB))
        _age("-r", str(recipient), "-o", sealed, plain)
        for target, where in ((made, "file to file in memory"), (_NOWHERE, "to nowhere")):
            note = "" if target is made else "bounded by SHA-256, which age does not compute"
            for verb, source, words, goal in (
                ("seal", plain, ("-r", str(recipient)), ">= 1.0 x"),
                ("open", sealed, ("-d", "-i", keys), ">= 1.3 x"),
            ):
                found = in_turns(
                    effort.repeat,
                    ours=lambda verb=verb, source=source, target=target: (
                        effort.size / MIB / _ours(verb, keys, source, target)
                    ),
                    age=lambda words=words, source=source, target=target: (
                        effort.size / MIB / _age(*words, "-o", target, source)
                    ),
                )
                work = f"{verb}, {where}: with both digests"
                wanted = goal if target is made else ""
                yield Row("sealing", work, "MiB/s", found["ours"], found["age"], "age, no digests", wanted, note)
        whole = in_turns(effort.repeat, ours=lambda: effort.size / MIB / _ours("send", keys, plain, _NOWHERE))
        note = "all that `send` does but sending: digests of plaintext, body and parts, resume state synced"
        yield Row("sealing", "seal as `rogatory send` does", "MiB/s", whole["ours"], note=note)


def _age(*words: str | Path) -> float:
    started = perf_counter()
    subprocess.run(["age", *map(str, words)], check=True)
    return perf_counter() - started


def _ours(*words: str | Path) -> float:
    done = subprocess.run([sys.executable, "-m", "bench.sealing", *map(str, words)], check=True, capture_output=True)
    return float(done.stdout)


def seal(keys: Path, source: Path, target: Path) -> None:
    identity = parse_identity_file(keys.read_text())[0]
    key, digester = new_file_key(), Digester()
    sealer, window, number = BodySealer(key), bytearray(_WINDOW), 0
    bodies, size = (bytearray(_WINDOW + 16 * 64), bytearray(_WINDOW + 16 * 64)), source.stat().st_size
    with source.open("rb", buffering=0) as file, target.open("wb", buffering=0) as out:
        out.write(build_header(key, [identity.recipient]) + sealer.nonce)
        digester.update(sealer.nonce)
        while count := file.readinto(window):
            body = bodies[number // 64 % 2]
            last = file.tell() == size
            made = memoryview(body)[: sealer.seal_into(number, memoryview(window)[:count], body, last=last)]
            digester.follow(made)
            out.write(made)
            number += 64
    digester.finish()


def open_(keys: Path, source: Path, target: Path) -> None:
    identity = parse_identity_file(keys.read_text())[0]
    digester = Digester()
    with source.open("rb", buffering=0) as file, target.open("wb", buffering=0) as out:
        header = read_header(file)
        opener = BodyOpener(unwrap(header.raw, [identity]))
        file.seek(len(header.raw))
        while data := file.read(_WINDOW):
            digester.follow(data)
            out.write(opener.update(data))
        out.write(opener.finish())
    digester.finish()


def send(_keys: Path, source: Path, _target: Path) -> None:
    """The client's own pipeline up to the wire."""
    with tempfile.TemporaryDirectory() as name:
        state = SendState.begin(Path(name) / "sends" / "p", {"package": "p"})
        state.begin_item(0, ItemState("ab" * 16, new_file_key(), os.urandom(16), source.stat().st_size))
        sealing = Sealing(sources([source])[0], state, 0, 16 * MIB)
        for _ in sealing.body():
            pass
        sealing.result()
        state.close()


if __name__ == "__main__":
    verb, *paths = sys.argv[1:]
    started = perf_counter()
    {"seal": seal, "open": open_, "send": send}[verb](*map(Path, paths))
    print(perf_counter() - started)
