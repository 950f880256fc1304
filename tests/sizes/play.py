"""A hand-over of any size, on a store that discards, and the memory that each process had for it at most."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.client.conftest import Service
from tests.sizes.discarding import KEYS
from tests.sizes.measured import peak

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN = 60


class DiscardingService(Service):
    """The service with the store that discards."""

    def start(self, port=0):
        self.ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.sizes.discarding", "serve", "--state", self.state]
        self.log = (self.directory / "service.log").open("ab")
        self.process = subprocess.Popen(
            [*map(str, command), "--port", str(port), "--ready-file", str(self.ready)],
            stdout=self.log,
            stderr=self.log,
            cwd=ROOT,
            env=self.environment() | {KEYS: str(self.directory / "keys.json")},
        )
        until = time.monotonic() + READY_WITHIN
        while not self.ready.exists():
            assert self.process.poll() is None, (self.directory / "service.log").read_text()[-2000:]
            assert time.monotonic() < until, "the service does not start"
            time.sleep(0.05)
        self.facts = json.loads(self.ready.read_text())


@dataclass(frozen=True)
class Peaks:
    """Bytes of memory that each process had at most until the work of this size was done."""

    send: int
    receive: int
    verify: int
    server_after_upload: int
    server_after_download: int

    def less(self, smaller):
        return {name: value - getattr(smaller, name) for name, value in vars(self).items()}


class Play:
    """A service and two parties; `turn` hands one sparse file over. Close it at the end."""

    def __init__(self, root):
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.service = DiscardingService(root)
        try:
            with self.service.enrol("police.nl") as police, self.service.enrol("court.fr", "FR") as court:
                self.service.trust_each_other(police, court)
                self.exchange = police.open_exchange(["court.fr"])[0].id
                self.trust = court.profile.trust
        except BaseException:
            self.close()
            raise

    def close(self):
        self.service.stop()

    def begin_anew(self):
        """Another process for the same service: its peak is of what it does from here on."""
        self.service.stop()
        self.service.start(urlsplit(self.service.facts["url"]).port)

    def upload(self, size):
        """Send a file of zeros; (package, peak of the sender, peak of the service)."""
        source = self.root / f"{size}.dd"
        with source.open("wb") as file:
            file.truncate(size)
        words = ("send", source, "--exchange", self.exchange, "--to", "court.fr", "--json")
        said, used = self._run("police.nl", *words)
        source.unlink()
        return said["package"], used, peak(self.service.process.pid)

    def turn(self, size):
        """Send, receive and verify; needs its size on disk for a while."""
        package, sending, uploaded = self.upload(size)
        target = self.root / f"received-{size}"
        said, receiving = self._run("court.fr", "receive", package, "--to", target, "--keep-sealed", "--json")
        assert said["files"] == 1, said
        downloaded = peak(self.service.process.pid)
        shutil.rmtree(target / "evidence")
        bundle = self.root / f"{size}.zip"
        self._run("court.fr", "bundle", self.exchange, "--output", bundle, "--json")
        words = ("verify", bundle, "--trust", self.trust, "--items", target / "sealed", "--json")
        report, verifying = self._run("court.fr", *words)
        assert not [check for check in report["checks"] if check["status"] == "fail"], report
        shutil.rmtree(target)
        return Peaks(sending, receiving, verifying, uploaded, downloaded)

    def _run(self, profile, *words):
        """What `rogatory …` says, and its peak."""
        told = self.root / "peak"
        told.unlink(missing_ok=True)
        environment = self.service.environment() | {KEYS: str(self.root / "keys.json")}
        environment |= {"ROGATORY_HOME": str(self.root / "profiles"), "ROGATORY_PROFILE": profile}
        done = subprocess.run(
            [sys.executable, "-m", "tests.sizes.peak", str(told), *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env=environment | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "client")])},
        )
        assert told.exists(), done.stderr[-3000:]
        said = json.loads(done.stdout)
        assert "error" not in said, said
        return said, int(told.read_text())
