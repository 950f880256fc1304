"""What the measures run against: the service in a process of its own, stores, databases, a tus server of others.

Everything lies in one scratch directory, listens on loopback, and is ended by its own process id.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from custody.note import VerifierKey
from tests.app import party
from tests.sizes.discarding import KEYS

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
_PATIENCE = 60
_UNHINDERED = {
    "ROGATORY_LOG_LEVEL": "warning",
    "ROGATORY_AUTHORITY_REQUESTS": "0",  # one party plays many
    "ROGATORY_STRANGER_REQUESTS": "0",
    "ROGATORY_AUTHORITY_AT_ONCE": "1000",
}


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings of the service, and these beside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROGATORY_")}
    return {**kept, **(more or {})}


@contextmanager
def ending(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended when this is left."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Service:
    """A running service and what a party needs to speak to it (see `tests.app.party`)."""

    def __init__(self, directory: Path, facts: dict[str, Any], settings: Mapping[str, str]) -> None:
        self.directory, self.pid, self._settings = directory, int(facts["pid"]), settings
        self.origin, self.url = facts["origin"], facts["url"]
        self.port = int(self.url.rpartition(":")[2])
        self.log_keys = [VerifierKey.parse(key) for key in facts["log_keys"]]
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def cpu(self) -> float:
        """Seconds of processor time that it used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def authority(self, name: str) -> party.Authority:
        made = party.Authority(self, name)
        path = self.directory / f"{name}.json"
        said = made.founding()
        path.write_bytes(said.envelope)
        command = [BIN / "rogatory-server", "enrol", "--state", self.directory / "state", path]
        subprocess.run(
            [*command, "--fingerprint", made.key.public.id],
            check=True,
            capture_output=True,
            env=environment(self._settings),
        )
        return made

    def post(self, path: str, said: Any, *, expect: int, headers: Mapping[str, str] | None = None, **more: Any) -> Any:
        answer = self.http.post(path, json={"envelope": said.envelope.decode()}, headers=dict(headers or {}), **more)
        assert answer.status_code == expect, (path, answer.status_code, answer.text)
        return answer


@contextmanager
def service(
    directory: Path, settings: Mapping[str, str] | None = None, *, discarding: bool = False
) -> Iterator[Service]:
    """The service over plain HTTP on a free port, as it would stand behind a proxy; or one that keeps no bodies."""
    directory.mkdir(parents=True, exist_ok=True)
    ready, more = directory / "ready.json", {**_UNHINDERED, **(settings or {})}
    command = [sys.executable, "-m", "tests.sizes.discarding"] if discarding else [BIN / "rogatory-server"]
    kept = {KEYS: str(directory / "keys.json")} if discarding else {}
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "serve", "--behind-proxy", "--port", "0", "--state", directory / "state", "--ready-file", ready],
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env=environment(more | kept),
        )
    with ending(process):
        _await(ready, process, directory / "log")
        running = Service(directory, json.loads(ready.read_text()), more)
        try:
            yield running
        finally:
            running.http.close()


@contextmanager
def tus_server(directory: Path, *words: str) -> Iterator[str]:
    """`@tus/server` from npm over plain HTTP; where uploads are created. `words` say which store (bench/node)."""
    ready = directory.with_suffix(".port")
    ready.unlink(missing_ok=True)
    with directory.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen(
            ["node", ROOT / "bench" / "node" / "server.mjs", ready, *words], stdout=log, stderr=log
        )
    with ending(process, signal.SIGKILL):
        _await(ready, process, directory.with_suffix(".log"))
        yield f"http://127.0.0.1:{ready.read_text()}/files"


def _await(ready: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)


def scratch_name() -> str:
    return secrets.token_hex(4)
