"""A service and some authorities on this machine, driven through their real commands.

The demo plays on it aloud; the end-to-end tests and the benches play on it silently. Everything happens in one
directory; the service listens on a free loopback port and is ended by its own process id.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_READY_WITHIN = 60
_ENDS_WITHIN = 20
_SPELT = re.compile(r"^ +((?:[0-9a-f]{4} ){15}[0-9a-f]{4})$", re.MULTILINE)
_LONG, _SHOWN = re.compile(r"\S{100,}"), 50
"""A key of a post-quantum kind takes thousands of characters; nobody reads them."""

_POLICY = re.compile(r"(?:policy  |auditors) +[0-9a-f]{4} ")
ROLES = ("approver", "auditor", "receiver", "requester", "sender")


class CommandFailed(Exception):
    """A command ended otherwise than the play expects."""


@dataclass
class Said:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its one object on stdout, for commands run with `--json`."""
        return json.loads(self.out)


@dataclass
class Party:
    """An authority at its own desk: a home directory of its own, and the commands run there."""

    stage: "Stage"
    authority: str
    country: str
    name: str
    home: Path
    fingerprint: str = ""

    def run(self, *words: str | Path, expect: int | None = 0, show: bool = True, stdin: str | None = None) -> Said:
        """Run `rogatory …` as this authority."""
        label = f"{self.country} $"
        environment = {"ROGATORY_HOME": str(self.home)}
        return self.stage.run("rogatory", *words, label=label, expect=expect, show=show, more=environment, stdin=stdin)

    def ask(self, *words: str | Path) -> Any:
        """Run with `--json`, silently, and give what it says."""
        return self.run(*words, "--json", show=False).json

    @property
    def trust(self) -> Path:
        """Its trust file."""
        return self.home / "default" / "trust.json"


@dataclass
class Stage:
    """The directory of the play, the service in it, and how loud it is.

    Attributes:
        root: Empty directory for everything.
        tell: Called with each line to show; None for silence.
        settings: Environment of the service beside what the play sets.
    """

    root: Path
    tell: Callable[[str], None] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    _service: subprocess.Popen[bytes] | None = None
    _log_keys: list[str] = field(default_factory=list)
    _beside: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_service()
        self.stop_witnesses()

    @property
    def state(self) -> Path:
        """The service's state."""
        return self.root / "service"

    @property
    def journal(self) -> Path:
        """What the service writes to its standard streams."""
        return self.root / "service.log"

    @property
    def ca(self) -> Path:
        """The certificate authority that clients pin."""
        return self.state / "tls" / "ca.pem"

    @property
    def service(self) -> subprocess.Popen[bytes]:
        """The running service."""
        assert self._service is not None, "the service was not started"
        return self._service

    def start_service(self, port: int = 0) -> None:
        """Start `rogatory-server serve` and wait until it takes connections."""
        ready = self.root / "ready.json"
        ready.unlink(missing_ok=True)
        words = [
            "rogatory-server",
            "serve",
            "--state",
            str(self.state),
            "--port",
            str(port),
            "--ready-file",
            str(ready),
        ]
        self._show("service $", words)
        with self.journal.open("ab") as journal:
            command = [str(_program(words[0])), *words[1:]]
            self._service = subprocess.Popen(  # noqa: S603 - our own program
                command, stdout=journal, stderr=journal, env=self._environment(self.settings), cwd=self.root
            )
        self._await(ready, self._service)
        self.url = json.loads(ready.read_text())["url"]

    def stop_service(self, how: signal.Signals = signal.SIGTERM) -> int | None:
        """End the service; its exit code."""
        if self._service is None:
            return None
        service, self._service = self._service, None
        with suppress(ProcessLookupError):
            service.send_signal(how)
        try:
            return service.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            service.kill()
            return service.wait()

    def witness(self, party: Party) -> None:
        """Let an authority cosign: it makes its keys and answers; the operator, told the keys, asks it from now on."""
        ready = self.root / f"{party.authority}.witness"
        party.run("witness", "init")
        keys = party.ask("witness", "show")["keys"]
        words = ["witness", "serve", "--behind-proxy", "--listen", "127.0.0.1:0", "--ready-file", str(ready)]
        self._show(f"{party.country} $", ["rogatory", *words])
        environment = self._environment({"ROGATORY_HOME": str(party.home)})
        with self.journal.open("ab") as journal:
            command = [str(_program("rogatory")), *words]
            self._beside.append(
                subprocess.Popen(command, stdout=journal, stderr=journal, env=environment, cwd=self.root)  # noqa: S603
            )
        self._await(ready, self._beside[-1])
        url = ready.read_text().strip()
        self._admit(["--url", url, party.authority, *keys])

    def auditor(self, party: Party) -> None:
        """Let an authority audit the log, with keys of their own."""
        party.run("witness", "init", "--auditor")
        keys = party.ask("witness", "show", "--auditor")["keys"]
        self._admit(["--auditor", party.authority, *keys])

    def _admit(self, words: list[str]) -> None:
        """Let the operator add who cosigns; what that says is long, and is said again when policies are taken."""
        command = ["witness", "add", "--state", str(self.state), *words]
        self._show("operator $", ["rogatory-server", *command])
        self.operator(*command, show=False)

    def take_policies(self, *parties: Party) -> None:
        """Let each demand the cosignatures from now on, the policies compared by telephone."""
        said = self.operator("witness", "list", "--state", self.state)
        digests = ["".join(line.split()[1:]) for line in said.out.splitlines() if _POLICY.match(line)]
        for party in parties:
            party.run("trust", "policy", *(word for digest in digests for word in ("--accept", digest)))

    def stop_witnesses(self) -> None:
        """End those that answer."""
        while self._beside:
            each = self._beside.pop()
            each.send_signal(signal.SIGINT)
            try:
                each.wait(_ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()

    def party(
        self, authority: str, country: str, name: str, *, roles: tuple[str, ...] = ROLES, kind: str = ""
    ) -> Party:
        """Enrol an authority from its first key to its first client, with the commands a person would use."""
        party = Party(self, authority, country, name, self.root / authority)
        party.home.mkdir()
        party.run("profile", "create", "--server", self.url, "--ca-file", self.ca, "--authority", authority)
        party.run("keys", "generate", "authority", *(["--kind", kind] if kind else []))
        enrolment = party.home / "enrolment.json"
        said = party.run("enrolment", "authority", "--name", name, "--country", country, "-o", enrolment)
        party.fingerprint = _SPELT.findall(said.out)[0]
        self.operator("enrol", "--state", self.state, "--fingerprint", party.fingerprint, enrolment)
        keys = [word for key in self.log_key_ids() for word in ("--fingerprint", key)]
        party.run("trust", "init", *keys)
        party.run("keys", "generate", "principal")
        party.run("enrolment", "principal", *(word for role in roles for word in ("--role", role)))
        return party

    def introduce(self, *parties: Party) -> None:
        """Let each pin the others' authority keys, as compared by telephone."""
        for party in parties:
            for other in parties:
                if other is not party:
                    party.run("trust", "pin", other.authority, other.fingerprint.replace(" ", ""))

    def log_key_ids(self) -> list[str]:
        """Ids of the log's keys, as the operator reads them aloud."""
        if not self._log_keys:
            said = self.operator("init", "--state", self.state)
            self._log_keys = [line.replace(" ", "") for line in _SPELT.findall(said.out)]
        return self._log_keys

    def operator(self, *words: str | Path, expect: int | None = 0, show: bool = True) -> Said:
        """Run `rogatory-server …`."""
        return self.run("rogatory-server", *words, label="operator $", expect=expect, show=show, more=self.settings)

    def run(
        self,
        program: str,
        *words: str | Path,
        label: str = "$",
        expect: int | None = 0,
        show: bool = True,
        more: Mapping[str, str] | None = None,
        stdin: str | None = None,
    ) -> Said:
        """Run a command in the stage's directory, shown as it runs.

        Raises:
            CommandFailed: It ended with another exit code than `expect` (None: any will do).
        """
        command = [str(_program(program)), *map(str, words)]
        if show:
            self._show(label, [program, *map(str, words)])
        done = subprocess.run(  # noqa: S603 - our own programs, and sha256sum
            command, input=stdin, stdin=subprocess.DEVNULL if stdin is None else None, capture_output=True, text=True,
            check=False, cwd=self.root, env=self._environment(more or {}),
        )  # fmt: skip
        if show and self.tell:
            for line in (done.stdout + done.stderr).rstrip().splitlines():
                self.tell(f"    {_LONG.sub(_begin, line)}")
        if expect is not None and done.returncode != expect:
            raise CommandFailed(
                f"{program} {' '.join(map(str, words))}: exit code {done.returncode}, expected {expect}\n"
                f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
            )
        return Said(done.returncode, done.stdout, done.stderr)

    def _await(self, ready: Path, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                self.stop_service()
                raise CommandFailed(f"it did not start:\n{self.journal.read_text()[-2000:]}")
            time.sleep(0.05)

    def _show(self, label: str, words: list[str]) -> None:
        if self.tell:
            line = shlex.join(word.removeprefix(f"{self.root}/") for word in words)
            self.tell(f"\n{label} {_LONG.sub(_begin, line)}")

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ROGATORY_")}
        return {**kept, "NO_COLOR": "1", **more}


def _begin(word: re.Match[str]) -> str:
    return f"{word[0][:_SHOWN]}…"


def _program(name: str) -> str | Path:
    ours = Path(sys.executable).parent / name
    return ours if ours.exists() else name
