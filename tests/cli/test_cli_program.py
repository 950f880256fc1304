"""Whatever happens ends in one result or one error, on the right stream, with the right code."""

import contextlib
import errno
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rogatory import errors
from rogatory.cli import program, version
from rogatory.cli.command import Command, Outcome
from rogatory.cli.tui import Progress, Terminal, columns, duration, escape, size

from custody.errors import FormatError, UnsupportedError, VerificationError
from custody.keys import SignatureInvalid
from tests.cli.conftest import ROOT, spawn

CODES = [
    (errors.UsageProblem("m"), 2),
    (errors.Malformed("m"), 3),
    (FormatError("m"), 3),
    (errors.AuthenticationFailed("m"), 4),
    (errors.Temporary("m"), 5),
    (OSError(errno.ENOSPC, "no space left"), 5),
    (OSError(errno.EIO, "input/output error"), 5),
    (errors.NotFound("m"), 6),
    (FileNotFoundError(errno.ENOENT, "no such file", "x"), 6),
    (errors.Refused("m"), 7),
    (PermissionError(errno.EACCES, "permission denied", "x"), 7),
    (FileExistsError(errno.EEXIST, "file exists", "x"), 7),
    (errors.Tampered("m"), 20),
    (VerificationError("m"), 20),
    (errors.SignerProblem("m"), 22),
    (SignatureInvalid("m"), 22),
    (errors.TimeProblem("m"), 23),
    (UnsupportedError("m"), 24),
    (errors.RolledBack("m"), 25),
    (KeyboardInterrupt(), 130),
    (RuntimeError("m"), 1),
]


@pytest.fixture
def fails(monkeypatch, run):
    """Make `version` end in an error."""

    def fails(error, *words):
        def raises(args, terminal):
            terminal.resumable = "run it again"
            raise error

        command = Command("version", "say it", raises)
        monkeypatch.setattr(program, "SECTIONS", {"all": (command,)})
        return run("version", *words)

    return fails


@pytest.mark.parametrize(("error", "code"), CODES, ids=repr)
def test_an_error_has_its_exit_code_and_no_traceback(fails, error, code):
    done = fails(error)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(("error", "code"), CODES, ids=repr)
def test_an_error_is_one_object_under_json(fails, error, code):
    done = fails(error, "--json")
    assert (done.code, done.err) == (code, "")
    assert set(done.json) == {"error"}
    assert {"code", "message"} <= set(done.json["error"]) <= {"code", "message", "hint"}


def test_what_can_be_resumed_is_said_on_interruption(fails):
    assert fails(KeyboardInterrupt()).err == "error: interrupted\nhint: run it again\n"


def test_the_traceback_appears_on_demand(fails, monkeypatch):
    monkeypatch.setenv("ROGATORY_DEBUG", "1")
    assert "Traceback" in fails(RuntimeError("m")).err


def test_a_hint_comes_with_the_error(fails):
    assert fails(errors.Refused("no", hint="ask")).err == "error: no\nhint: ask\n"


def test_errors_of_usage_are_objects_too_where_json_is_asked_for(run):
    done = run("keys", "show", "--json", "--no-such-option")
    assert done.code == 2
    assert done.json["error"]["code"] == "usage"
    assert run("nonsense", "--json").json["error"]["hint"].startswith("rogatory")


def test_hostile_text_in_an_error_cannot_steer_the_terminal(fails):
    done = fails(errors.Refused("a\x1b[2Jb\u202ec\nd"))
    assert done.err == "error: a\\u{1b}[2Jb\\u{202e}c\\u{a}d\n"
    assert "\u202e" not in fails(errors.Refused("a\u202eb"), "--json").out


@given(st.text())
def test_escaped_text_is_printable_and_the_same_where_it_was(text):
    shown = escape(text)
    assert shown.isprintable() or shown == ""
    if text.isprintable():
        assert shown == text


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=5))
def test_columns_are_lines_one_for_each_row(rows):
    assert len(columns(rows).split("\n")) == max(1, len(rows))


def test_a_line_nobody_reads_is_no_error_to_see():
    done = subprocess.run(
        f"{sys.executable} -m rogatory.cli completion bash --json | head -c 1 >/dev/null",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.stderr == ""


def test_an_interrupt_leaves_with_130():
    code = """
import sys, time
from rogatory.cli import program
from rogatory.cli.command import Command
def run(args, terminal):
    print("running", flush=True)
    time.sleep(60)
program.SECTIONS = {"all": (Command("wait", "wait", run),)}
sys.exit(program.main(["wait"]))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.startswith("error: interrupted\n")


def test_a_terminal_without_unicode_still_gets_the_text():
    done = spawn("snd", "\u00e4", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------- terminal


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_silent_where_nobody_watches(capsys):
    with Terminal().progress(100, "sending") as bar:
        time.sleep(0.21)
        bar.advance(50)
    assert capsys.readouterr() == ("", "")


def test_progress_shows_share_rate_and_time_left():
    clock = iter([0.0, 1.0])
    screen = Screen()
    with Progress(4 * 1024**2, "sending", screen, clock=lambda: next(clock)) as bar:
        bar.advance(1024**2)
    assert " 25%  1.0 MiB of 4.0 MiB  1.0 MiB/s  ETA 0:03" in screen.getvalue()
    assert screen.getvalue().endswith("\r")


def test_progress_without_a_total_shows_what_is_done():
    clock = iter([0.0, 1.0])
    screen = Screen()
    with Progress(None, "fetching", screen, clock=lambda: next(clock)) as bar:
        bar.advance(2048)
    assert "fetching  2.0 KiB  2.0 KiB/s" in screen.getvalue()


def test_sizes_and_durations_for_people():
    assert [size(n) for n in (0, 1023, 1024, 5 * 1024**4)] == ["0 B", "1023 B", "1.0 KiB", "5.0 TiB"]
    assert [duration(n) for n in (0, 59.6, 3661)] == ["0:00", "1:00", "1:01:01"]


def on_a_terminal(*words, env=None, answers=()):
    """What the program writes where a person sits, who answers each line that ends in a colon and a blank."""
    master, slave = pty.openpty()
    waiting = list(answers)
    with subprocess.Popen(
        [sys.executable, "-m", "rogatory.cli", *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    ) as process:
        os.close(slave)
        seen = b""
        with contextlib.suppress(OSError):
            while data := os.read(master, 65536):
                seen += data
                if seen.endswith((b": ", b"[yes/no] ")) and waiting:
                    os.write(master, waiting.pop(0))
    os.close(master)
    return process.returncode, seen.decode()


def test_colours_appear_on_a_terminal_and_not_under_no_color():
    assert "\x1b[31merror: \x1b[0m" in on_a_terminal("nonsense", env={"TERM": "xterm"})[1]
    assert "\x1b" not in on_a_terminal("nonsense", env={"TERM": "xterm", "NO_COLOR": "1"})[1]
    assert "\x1b" not in on_a_terminal("nonsense", env={"TERM": "dumb"})[1]


def test_a_result_is_printed_once(monkeypatch, run):
    command = Command("version", "say it", lambda args, terminal: Outcome({"a": 1}, "one\ntwo", 8))
    monkeypatch.setattr(version, "COMMANDS", (command,))
    monkeypatch.setattr(program, "SECTIONS", {"all": (command,)})
    assert (run("version").out, run("version").code) == ("one\ntwo\n", 8)
    assert run("version", "--json").out == json.dumps({"a": 1}) + "\n"
