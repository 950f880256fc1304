"""What hostile archives cost: refused or not, a verifier stays within its bound of memory."""

import gc
import itertools
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from custody import archive
from custody.packing import LeafLine, encode_leaf
from tests.custody.in_memory import verify_files, without_hex
from tests.custody.world import World, packed, zipped

ROOT = Path(__file__).resolve().parents[2]
WORLD = World(seen=False).exchange()
FILES = WORLD.bundle()
BOUND = 256 * 1024 * 1024
FULL = archive.FREE_INFLATION - 200_000
MEASURE = """
import sys
from pathlib import Path
from custody.trust import Trust
from custody.verify import verify_bundle
report = verify_bundle(Path(sys.argv[1]), Trust.parse(Path(sys.argv[2]).read_bytes()))
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(report.exit_code, int(status["VmHWM"].split()[0]) * 1024)
"""


def repeated(line, size=FULL):
    return line * (size // len(line))


def leaves():
    rows = (LeafLine(seq, seq, bytes(32), bytes(32), bytes(32)) for seq in itertools.count())
    return b"".join(map(encode_leaf, itertools.islice(rows, FULL // 260)))


LINES = FILES["entries.jsonl"].splitlines(keepends=True)
HOSTILE = {
    "empty lines": lambda: {"entries.jsonl": repeated(b"\n")},
    "one entry again and again": lambda: {"entries.jsonl": repeated(min(LINES, key=len))},
    "lines that are nothing": lambda: {"leaves.jsonl": repeated(b"{}\n")},
    "leaves of nothing": lambda: {"leaves.jsonl": leaves()},
    "empty lines of a proof": lambda: {"inclusion": FILES["inclusion"][:40] + repeated(b"\n")},
    "a tail of nothing": lambda: {"tail.json": b'{"bucket":[' + repeated(b'"",')[:-1] + b"]}"},
    "nested arrays": lambda: {"tail.json": repeated(b"[")},
    "empty arrays": lambda: {"statements.jsonl": b"[" + repeated(b"[],", 12 * 2**20) + b"[]]\n"},
    "a note of lines": lambda: {"checkpoint": repeated(b"a\n")},
    "a table of zeros": lambda: {"headers.jsonl": repeated(b"0" * 500 + b"\n")},
}
"""What each brings, made when its turn comes: hundreds of MiB in all."""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_takes_little_memory(name, tmp_path):
    bundle, trust = tmp_path / "bundle.zip", tmp_path / "trust"
    bundle.write_bytes(zipped(packed(FILES | HOSTILE[name]()), compress=True))
    trust.write_bytes(WORLD.trust().encode())
    command = [sys.executable, "-c", MEASURE, str(bundle), str(trust)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    exit_code, peak = map(int, done.stdout.split())
    sys.stdout.write(f"{name}: {peak / 2**20:.0f} MiB\n")
    assert exit_code in {3, 20, 21}
    assert peak <= BOUND, f"{peak / 2**20:.0f} MiB"


def test_an_archive_that_inflates_beyond_its_share_is_malformed():
    noise = random.Random(7)
    thin = b"".join(noise.randbytes(64) + bytes(8000) for _ in range(archive.FREE_INFLATION // 16_000))
    bombs = {f"headers/{number:064x}": thin for number in range(3)}
    report = WORLD.verify(zipped(packed(FILES | bombs), compress=True))
    assert report.exit_code == 3
    assert "inflate" in json.loads(report.to_json())["checks"][0]["detail"]


@pytest.mark.parametrize("name", sorted(FILES.keys() - {"bundle.json"}), ids=without_hex)
def test_what_was_verified_is_let_go_of_at_once_whatever_was_found(name):
    gc.collect()
    verify_files(FILES | {name: b"!" + FILES[name][1:]}, WORLD.trust())
    assert gc.collect() == 0
