"""A service of one or more processes that die and come back, and what their database says of them."""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager

import httpx
from sqlalchemy import select

from app.db.models import LedgerRow, LogLeaf
from app.jobs.sequencer import Sequencer
from app.main import assembly
from app.services import enrolment
from app.services.fsck import check
from app.settings import Settings, Tls
from tests.app import party
from tests.app.running import ROOT
from tests.backends import Backend
from tests.kills.killable import NEVER

PATIENCE = 60


class Process:
    """One process of a service, by its name; the last that was forked."""

    def __init__(self, service, name):
        self.service, self.name = service, name
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = service.directory / f"log-{name}"
        self.pid = None

    def start(self, window=NEVER, count=1):
        """Fork a server that kills itself when it gets to the window for the nth time; its id."""
        arguments = ["--state", str(self.service.state), "--port", str(self.port), "--behind-proxy"]
        self.service.tell(" ".join([self.name, window, str(count), str(self.log), *arguments]))
        self.pid = int(self.said("pid"))
        return self.pid

    def said(self, word):
        """What the next line about this process says."""
        try:
            line = self.service.lines[self.name].get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError((word, self._told())) from None
        assert line[:1] == [word], (line, self._told())
        if word == "ended":
            self.pid = None
        return " ".join(line[1:])

    def kill(self):
        """End it now, wherever it is; the window in which it died by itself before that, if it did."""
        os.kill(self.pid, signal.SIGKILL)
        return self.gone()

    def gone(self):
        """Return when it has died: the window and place that it named, if it was by itself."""
        line = self.service.lines[self.name].get(timeout=PATIENCE)
        place = None
        if line[0] == "died":
            place = " ".join(line[1:])
            line = self.service.lines[self.name].get(timeout=PATIENCE)
        assert line == ["ended", str(-signal.SIGKILL)], (line, self._told())
        self.pid = None
        return place

    def ready(self):
        """Return when it is; how many seconds that took."""
        began = time.monotonic()
        while True:
            try:
                if httpx.get(f"{self.address}/readyz", timeout=10).status_code == 200:
                    return time.monotonic() - began
            except httpx.TransportError:
                pass
            assert time.monotonic() < began + PATIENCE, self._told()
            time.sleep(0.02)

    def _told(self):
        return self.log.read_text()[-3000:] if self.log.exists() else "nothing"


class Killable:
    """A state, and the processes that serve it until their fuses burn down."""

    def __init__(self, directory, backend=None, processes=1):
        self.directory, self.state, self.backend = directory, directory / "state", backend or Backend()
        self.processes = [Process(self, f"p{number}") for number in range(processes)]
        first = self.processes[0]
        self.addresses = [each.address for each in self.processes]
        self.url = f"https://localhost:{first.port}"
        facts = {"port": first.port, "tls": Tls.BEHIND_PROXY, "public_url": self.url, **self.backend.facts}
        self.settings = Settings.from_environment({}, state=self.state, **facts)
        self.now = assembly.now
        made = assembly.assemble(self.settings)
        self.origin, self.log_keys, self.runtime = made.state.origin, made.runtime.log_keys, made.runtime
        self.signers = made.state.signers
        self.http = party.client(first.address)
        self.lines = defaultdict(queue.SimpleQueue)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ROGATORY_")}
        self.forker = subprocess.Popen(
            [sys.executable, "-m", "tests.kills.killable"], cwd=ROOT, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=kept | self.backend.environment | {"ROGATORY_PUBLIC_URL": self.url},
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.forker.stdout:
            name, *said = line.split()
            self.lines[name].put(said)

    def tell(self, line):
        self.forker.stdin.write(line + "\n")

    def authority(self, name):
        made = party.Authority(self, name)
        enrolment.admit(self.runtime.unit_of_work(), made.founding(), origin=self.origin, at=self.now())
        sequencer = Sequencer(self.runtime.engine, self.origin, self.signers, self.now)
        sequencer.run_once()
        sequencer.stop()
        return made

    def post(self, path, said, *, expect, headers=None):
        answer = self.http.post(path, json={"envelope": said.envelope.decode()}, headers=headers or {})
        assert answer.status_code == expect, answer.text
        return answer

    @contextmanager
    def served(self):
        """Servers that nobody kills."""
        with ExitStack() as ending:
            for each in self.processes:
                each.start()
                ending.callback(self._end, each)
            for each in self.processes:
                each.ready()
            yield

    @staticmethod
    def _end(process):
        os.kill(process.pid, signal.SIGTERM)
        assert process.said("ended") == "0"

    def close(self):
        """End what a failed test has left running; the forker ends with its input, a keeper with its server."""
        self.http.close()
        self.forker.stdin.close()
        for each in self.processes:
            if each.pid is not None:
                os.kill(each.pid, signal.SIGKILL)
        self.forker.wait(10)
        self._reader.join(10)
        self.forker.stdout.close()
        self.runtime.engine.dispose()

    # ------------------------------------------------------------ what there is

    def sound(self, *, objects=False):
        """The check of everything finds nothing."""
        found = []
        check(self.runtime, found.append, objects=objects)
        assert found == []

    def places(self):
        """Index → entry, as the log has it."""
        with self.runtime.reading() as session:
            rows = session.execute(
                select(LogLeaf.idx, LedgerRow.body).join(LedgerRow, LedgerRow.id == LogLeaf.ledger_id)
            )
            return {row.idx: row.body for row in rows}
