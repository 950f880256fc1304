"""The operator's commands, as processes: what they make, what they say, how they end."""

import io
import json
import os
import signal
import ssl
import stat
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from unittest import mock

import httpx
import pytest

from app import main
from custody.note import VerifierKey
from tests.app import party
from tests.app.running import ROOT

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("ROGATORY_")}


@dataclass
class Done:
    """What a command said."""

    stdout: str
    stderr: str


def run(*arguments, expect=0, **environment):
    """A command in this process, as far as it can tell alone in the world and without a terminal."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, CLEAN | environment, clear=True),
        mock.patch.object(sys, "stdin", io.StringIO()),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main.cli([*map(str, arguments)])
    assert (ended.value.code or 0) == expect, (out.getvalue(), err.getvalue())
    return Done(out.getvalue(), err.getvalue())


class Served:
    """A server process, seen from outside."""

    def __init__(self, state, *arguments):
        self.ready = state.parent / "ready"
        self.ready.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app.main", "serve", "--state", state, "--port", "0", "--ready-file", self.ready, *arguments],
            cwd=ROOT, env=CLEAN, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        end = time.monotonic() + 30
        while not self.ready.exists():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end
            time.sleep(0.02)
        self.facts = json.loads(self.ready.read_text())
        self.url, self.origin = self.facts["url"], self.facts["origin"]
        self.log_keys = [VerifierKey.parse(key) for key in self.facts["log_keys"]]
        self.http = httpx.Client(base_url=self.url, verify=ssl.create_default_context(cafile=self.facts["ca"]))

    def now(self):
        return datetime.now(UTC)

    def post(self, path, said, *, expect, headers=None):
        answer = self.http.post(path, json={"envelope": said.envelope.decode()}, headers=headers or {})
        assert answer.status_code == expect, answer.text
        return answer

    def stop(self, how=signal.SIGTERM):
        self.http.close()
        self.process.send_signal(how)
        self.output = self.process.communicate(timeout=30)
        return self.process.returncode


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def test_init_makes_a_state_and_says_what_and_where_and_again_nothing(state):
    first = run("init", "--state", state)
    for what in ("log/ed25519.pem", "log/mldsa44.pem", "origin", "tokens", "tls/ca.pem"):
        assert str(state / what) in first.stdout
    before = {path: path.read_bytes() for path in state.rglob("*.pem")}
    again = run("init", "--state", state)
    assert "nothing was missing" in again.stdout
    assert {path: path.read_bytes() for path in state.rglob("*.pem")} == before
    for path in state.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert path.name.startswith(("ca.pem", "server.pem")) or mode & 0o077 == 0, path


def test_the_origin_is_fixed_once(state):
    run("init", "--state", state, ROGATORY_ORIGIN="evidence.example.org/log")
    run("init", "--state", state)
    refused = run("init", "--state", state, expect=7, ROGATORY_ORIGIN="other.example.org/log")
    assert refused.stderr.startswith("error: ")
    assert "\nhint: " in refused.stderr


def test_a_log_that_began_gets_no_new_key(state):
    run("init", "--state", state)
    (state / "log" / "ed25519.pem").unlink()
    assert "restore it from your backup" in run("init", "--state", state, expect=7).stderr


def test_an_exposed_key_is_refused(state):
    run("init", "--state", state)
    (state / "log" / "ed25519.pem").chmod(0o644)
    assert "0600" in run("check-config", "--state", state, expect=2).stderr


def test_a_setting_that_cannot_be_is_named(state):
    refused = run("check-config", "--state", state, expect=2, ROGATORY_PORT="x")
    assert "ROGATORY_PORT" in refused.stderr


def test_check_config_finds_a_misspelt_variable_and_a_good_state(state):
    run("init", "--state", state)
    assert "all is well" in run("check-config", "--state", state).stdout
    assert "ROGATORY_PROT" in run("check-config", "--state", state, expect=2, ROGATORY_PROT="1").stderr


def test_migrate_is_repeatable(state):
    run("init", "--state", state)
    assert "current" in run("migrate", "--state", state).stdout


def test_usage_is_told():
    assert "serve" in run("--help").stdout
    run("nothing", expect=2)
    assert "--fingerprint" in run("enrol", "--help").stdout


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_serve_on_an_empty_directory_works_over_tls_and_ends_in_order(state, how):
    served = Served(state)
    assert served.http.get("/readyz").json() == {"ready": True, "missing": []}
    assert served.http.get("/log/checkpoint").text.split("\n")[0] == served.origin
    assert served.stop(how) == 0
    assert str(state / "tls" / "ca.pem") in served.output[0]
    for line in served.output[1].splitlines():
        assert json.loads(line)["level"] in {"info", "warning"}


def enrol(state, authority, path, expect=0, fingerprint=None):
    path.write_bytes(authority.founding().envelope)
    return run("enrol", path, "--state", state, "--fingerprint", fingerprint or authority.key.public.id, expect=expect)


def test_an_authority_is_enrolled_while_the_server_runs_and_can_act_at_once(state, tmp_path):
    served = Served(state)
    try:
        court = party.Authority(served, "court.nl")
        said = enrol(state, court, tmp_path / "file").stdout
        assert "Office court.nl" in said
        assert "NL" in said
        assert court.key.public.id[:4] + " " + court.key.public.id[4:8] in said
        assert court.enrol().get("/v1/authorities").json()["authorities"][0]["id"] == "court.nl"
    finally:
        served.stop()


def test_an_authority_is_enrolled_while_no_server_runs(state, tmp_path):
    run("init", "--state", state)
    first = Served(state)
    first.stop()
    court = party.Authority(first, "court.nl")
    assert "enrolled: entry" in enrol(state, court, tmp_path / "file").stdout
    again = run("enrol", tmp_path / "file", "--state", state, "--fingerprint", court.key.public.id)
    assert "was enrolled before" in again.stdout


def test_another_fingerprint_admits_nobody(state, tmp_path):
    first = Served(state)
    first.stop()
    court = party.Authority(first, "court.nl")
    assert "fingerprint" in enrol(state, court, tmp_path / "file", expect=7, fingerprint="00" * 32).stderr
    enrol(state, court, tmp_path / "other")


def test_a_fingerprint_is_demanded_where_nobody_can_type_it(state, tmp_path):
    first = Served(state)
    first.stop()
    court = party.Authority(first, "court.nl")
    (tmp_path / "file").write_bytes(court.founding().envelope)
    run("enrol", tmp_path / "file", "--state", state, expect=7)


def test_a_file_that_is_no_enrolment_is_refused(state, tmp_path):
    run("init", "--state", state)
    (tmp_path / "file").write_text("nothing")
    assert "error: " in run("enrol", tmp_path / "file", "--state", state, "--fingerprint", "x", expect=7).stderr
    run("enrol", tmp_path / "absent", "--state", state, "--fingerprint", "x", expect=2)


def test_a_port_that_is_taken_is_told_before_anything_is_made(state):
    served = Served(state)
    try:
        port = served.url.rpartition(":")[2]
        refused = run("serve", "--state", state.parent / "other", "--port", port, expect=2)
    finally:
        served.stop()
    assert "cannot listen" in refused.stderr
    assert not (state.parent / "other").exists()


def test_plain_http_is_spoken_behind_a_proxy_only(state):
    process = subprocess.Popen(
        [sys.executable, "-m", "app.main", "serve", "--state", state, "--port", "0", "--ready-file", state.parent / "ready", "--behind-proxy"],
        cwd=ROOT, env=CLEAN, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        while not (state.parent / "ready").exists():
            assert process.poll() is None
            time.sleep(0.02)
        facts = json.loads((state.parent / "ready").read_text())
        assert "ca" not in facts
        port = facts["url"].rpartition(":")[2]
        assert httpx.get(f"http://127.0.0.1:{port}/livez").status_code == 200
    finally:
        process.terminate()
        process.communicate(timeout=30)
    served = Served(state)
    try:
        port = served.url.rpartition(":")[2]
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/livez")
    finally:
        served.stop()
