"""Two authorities on a running service, an exchange between them, and what the tests of this folder do there."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from rogatory import Client, Profile
from rogatory.cli import program

from app import main
from demo.stage import CommandFailed, Party, Said, Stage

ROOT = Path(__file__).resolve().parents[2]
ROGATORY = Path(sys.executable).with_name("rogatory")
PATIENCE = 120


class Rehearsal(Stage):
    """A stage whose commands run in this process, which has imported everything: what a command would import anew
    costs more than most of them do. `alone` gives one a process of its own, for what only a process has.

    The demo plays all of them as processes (`test_demo.py`), and `Theatre.start` begins those that are to be killed.
    """

    def run(self, program, *words, expect=0, more=None, stdin=None, alone=False, **how):
        if alone or stdin is not None or program == "sha256sum":
            return super().run(program, *words, expect=expect, more=more, stdin=stdin, **how)
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self._environment(more or {}), clear=True),
            contextlib.chdir(self.root),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            said = Said(_in_process(program, [str(word) for word in words]), out.getvalue(), err.getvalue())
        if expect is not None and said.code != expect:
            raise CommandFailed(f"{program} {words}: {said}")
        return said


def _in_process(name, words):
    if name == "rogatory":
        return program.main(words)
    with pytest.raises(SystemExit) as ended:
        main.cli(words)
    return ended.value.code


class Theatre:
    """A stage with a sender and a receiver; `exchange` is open between them.

    Attributes:
        said: Every result of a command run by `run`, for whoever searches what was printed.
    """

    def __init__(self, root, *, kind="", sender_kind="", settings=None):
        self.stage = Rehearsal(root, settings=settings or {})
        self.said = []
        with self.stage:
            pass
        self.stage.start_service()
        self.sender = self.stage.party("nl.police", "NL", "Politie", kind=sender_kind)
        self.receiver = self.stage.party("fr.court", "FR", "Tribunal", kind=kind)
        self.stage.introduce(self.sender, self.receiver)
        self.exchange = self.open_exchange()

    def open_exchange(self, *more):
        said = self.sender.run("exchange", "open", "--with", self.receiver.authority, *more, "--json")
        return said.json["exchange"]

    @property
    def root(self):
        return self.stage.root

    def run(self, party, *words, expect=0, more=None, alone=False):
        """Run `rogatory …` as a party, with more in its environment; `alone` in a process of its own."""
        environment = {"ROGATORY_HOME": str(party.home), **(more or {})}
        said = self.stage.run("rogatory", *words, expect=expect, more=environment, alone=alone)
        self.said.append(said)
        return said

    def start(self, party, *words, more=None):
        """Begin `rogatory …` as a party; the process."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ROGATORY_")}
        return subprocess.Popen(
            [str(ROGATORY), *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=self.root,
            env={**kept, "ROGATORY_HOME": str(party.home), "NO_COLOR": "1", **(more or {})},
        )

    def ended(self, process, expect=0):
        """Wait for a begun command; what it said."""
        out, err = process.communicate(timeout=PATIENCE)
        said = Said(process.returncode, out, err)
        self.said.append(said)
        assert expect is None or said.code == expect, said
        return said

    def send_words(self, *paths, exchange=None):
        return ["send", *paths, "--exchange", exchange or self.exchange, "--to", self.receiver.authority]

    def send(self, *paths, options=(), exchange=None):
        """Send to the receiver; the package."""
        words = self.send_words(*paths, exchange=exchange)
        return self.run(self.sender, *words, *options, "--json").json["package"]

    def receive(self, package, target, *options):
        """Receive what was sent; what the command says."""
        return self.run(self.receiver, "receive", package, "--to", target, *options, "--json").json

    def events(self, exchange=None, *, options=()):
        """The chain as the service shows it: (event, package) of each entry."""
        said = self.run(self.sender, "log", exchange or self.exchange, "--json", *options).json
        return [(row["event"], row.get("subject", {}).get("package")) for row in said["entries"]]

    def sealed(self, package):
        return ("package.sealed", package) in self.events()


def client_of(party: Party) -> Client:
    """The SDK, speaking as a party's principal."""
    return Client(Profile.load(home=party.home))


def problem(said):
    """(code of the JSON error, message, hint); holds that nothing else was printed."""
    error = said.json["error"]
    assert "Traceback" not in said.out + said.err
    return error


def refused(said, code):
    """Holds that a refused command ended with `code` and said so in one `error:` line, with at most one hint."""
    assert said.code == code, said
    lines = said.err.splitlines()
    assert "Traceback" not in said.out + said.err
    assert [line for line in lines if line.startswith("error: ")], said
    assert re.fullmatch(r"(?s)(.*\n)?error: [^\n]+\n(hint: [^\n]+\n)?", said.err), said.err
    return said.err


def tool(name):
    """A program of the system; without it the test fails, since nothing else can stand in for it."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        pytest.fail(f"{name} is missing: run `make system`")
    return found


@contextmanager
def opened(root, **how):
    """A theatre that is closed at the end."""
    theatre = Theatre(root, **how)
    try:
        yield theatre
    finally:
        theatre.stage.stop_service()


def twin(party, name):
    """The same party at another desk: a copy of its home, to be spoilt."""
    home = party.stage.root / name
    shutil.copytree(party.home, home)
    profile = home / "default" / "profile.json"
    profile.write_text(profile.read_text().replace(f"{party.home}/", f"{home}/"))
    return replace(party, home=home)
