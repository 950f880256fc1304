"""An item of tens of gigabytes, checked by `verifier.html` in a browser: verdict, time, memory.

    python bench/vast_item.py [--gigabytes 50] [--browser chromium|firefox]

The bundle is honest and small, its item a sparse file whose digests are right: the page reads every byte of it, and
the disk holds hardly any. Memory is that of all the browser's processes together, what they share counted once, looked
at each second. Exit code 1 unless the page says that everything holds.
"""

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from custody import sealing
from custody.digest import GridDigester, grid
from custody.manifest import sealed_item
from tests.custody import world
from tests.custody.sealed import Item
from tests.verifier.browsers import BROWSERS
from tests.verifier.test_browsers import PAGE

_CHUNK: Final = 65_536 + 16
_WINDOW: Final = 16 * 1024 * 1024
_START: Final = """
(() => {
  const start = document.getElementById("start");
  new MutationObserver(() => { window.ended = !start.disabled; }).observe(start, { attributes: true });
  start.click();
})()
"""


class Vast(Item):  # type: ignore[misc]
    """An item whose body is zeros, of about the wanted size."""

    wanted = 0

    def __init__(self, plaintext: bytes, recipients: list[Any]) -> None:
        super().__init__(plaintext, recipients)
        if plaintext != b"vast":
            return
        self.size = 16 + self.wanted // _CHUNK * _CHUNK
        digester = GridDigester(grid(self.size), whole=True)
        zeros = bytes(_WINDOW)
        for place in range(0, self.size, _WINDOW):
            digester.update(memoryview(zeros)[: self.size - place])
        parts, whole = digester.finish(), digester.body
        assert whole is not None
        self.parts = b"".join(parts)
        self.member = sealed_item(
            item_id=self.id,
            header=self.header,
            header_sha256=bytes.fromhex(self.member["header"]["sha256"]),
            key_commitment=sealing.key_commitment(self.key, bytes.fromhex(self.id)),
            part_size=digester.part_size,
            parts=parts,
            size=self.size,
            sha256=whole.sha256,
            blake3=whole.blake3,
        )


def main() -> int:
    """Make the item, let the page check it, say what came of it."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--gigabytes", type=int, default=50, help="size of the item, in 10^9 bytes")
    parser.add_argument("--browser", choices=sorted(BROWSERS), default="chromium")
    asked = parser.parse_args()
    Vast.wanted = asked.gigabytes * 10**9
    world.Item = Vast  # type: ignore[misc]
    made = world.World(seen=False).opened().sealed(plaintexts=(b"vast",)).received().exported()
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        item = made.items[0]
        evidence = home / f"{item.id}.age"
        with evidence.open("wb") as file:
            file.write(item.header)
            file.truncate(len(item.header) + item.size)
        (home / "bundle.zip").write_bytes(world.zipped(made.bundle()))
        (home / "trust.json").write_bytes(made.trust().encode())
        return _judge(asked.browser, home, evidence, item.size)


def _judge(name: str, home: Path, evidence: Path, size: int) -> int:
    browser = BROWSERS[name](home)
    peak, stop = [0], threading.Event()
    looking = threading.Thread(target=_look, args=(browser._process.pid, peak, stop))  # noqa: SLF001
    looking.start()
    try:
        browser.open(PAGE)
        for field, path in (("bundle", home / "bundle.zip"), ("trust", home / "trust.json"), ("items", evidence)):
            browser.put(f"#{field}", [path])
        begun = time.monotonic()
        browser.evaluate(_START)
        while not browser.evaluate("Boolean(window.ended)"):
            time.sleep(1)
        took = time.monotonic() - begun
        said = browser.evaluate("document.getElementById('status').textContent")
        items = browser.evaluate("[...document.querySelectorAll('#report tbody tr')].map(r => r.innerText).join('\\n')")
    finally:
        stop.set()
        looking.join()
        browser.close()
    print(items)
    rate = f"{size / took / 2**20:.0f} MiB/s"
    print(f"{name}: {size} bytes, {said}, {took:.0f} s, {rate}, at most {peak[0] / 2**20:.0f} MiB resident")
    return 0 if "exit code 0" in str(said) else 1


def _look(root: int, peak: list[int], stop: threading.Event) -> None:
    while not stop.wait(1):
        peak[0] = max(peak[0], sum(map(_resident, _family(root))))


def _family(root: int) -> set[int]:
    parents: dict[int, int] = {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(each.parent.name)] = int(each.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {root}
    while new := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= new
    return found


def _resident(pid: int) -> int:
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(row.split()[1]) for row in rows if row.startswith("Pss:"))


if __name__ == "__main__":
    sys.exit(main())
