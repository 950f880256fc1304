"""The real server process, behind plain HTTP on loopback, with authorities admitted beside it."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from app.main.assembly import inspect
from app.services import enrolment
from app.settings import Settings, Tls
from tests.app import party
from tests.app.running import ROOT

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("ROGATORY_")}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


class ServerProcess:
    """`rogatory-server serve`, as an operator starts it behind a proxy."""

    def __init__(self, directory, **settings):
        self.state, self.ready = directory / "state", directory / "ready"
        self.log = directory / "log"
        environment = CLEAN | {f"ROGATORY_{name.upper()}": str(value) for name, value in settings.items()}
        self.port = settings.get("port") or free_port()
        command = [sys.executable, "-m", "app.main", "serve", "--behind-proxy", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--state", self.state, "--ready-file", self.ready],
                cwd=ROOT, env=environment, stdout=log, stderr=log,
            )  # fmt: skip
        end = time.monotonic() + 60
        while not self.ready.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end
            time.sleep(0.02)
        facts = json.loads(self.ready.read_text())
        self.url, self.origin = facts["url"], facts["origin"]
        self.http = party.client(f"http://127.0.0.1:{self.port}")
        given = Settings.from_environment({}, state=self.state, tls=Tls.BEHIND_PROXY, port=self.port)
        self.runtime = inspect(given)

    def now(self):
        return datetime.now(UTC)

    def authority(self):
        made = party.Authority(self, f"a-{secrets.token_hex(4)}")
        enrolment.admit(self.runtime.unit_of_work(), made.founding(), origin=self.origin, at=self.now())
        return made

    def post(self, path, said, *, expect, headers=None, **more):
        answer = self.http.post(path, json={"envelope": said.envelope.decode()}, headers=headers or {}, **more)
        assert answer.status_code == expect, (path, answer.status_code, answer.text)
        return answer

    def memory(self):
        """Bytes that the process holds in memory now."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def end(self, how=signal.SIGTERM):
        """Tell it to end; its code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.code()

    def code(self):
        found = self.process.wait(timeout=60)
        self.http.close()
        self.runtime.engine.dispose()
        return found
