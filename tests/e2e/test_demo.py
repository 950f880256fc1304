"""The demo is what a newcomer sees first: it ends well, in the right words, and leaves what it says it leaves."""

import os
import re
import subprocess
import sys

import pytest

from demo import __main__ as demo
from tests.e2e.theatre import PATIENCE, ROOT, Rehearsal


def play(directory, *more):
    return subprocess.run(
        [sys.executable, "-m", "demo", "--directory", str(directory), *map(str, more)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=2 * PATIENCE,
        env={name: value for name, value in os.environ.items() if not name.startswith("ROGATORY_")},
    )


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    directory = tmp_path_factory.mktemp("demo") / "demo-run"
    return play(directory), directory


def test_the_demo_ends_well_and_says_nothing_on_stderr(played):
    done, _ = played
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert done.stderr == ""


def test_it_proves_with_the_service_switched_off_and_shows_the_flipped_bit(played):
    before, _, after = played[0].stdout.partition("service stopped")
    assert "VERIFIED" not in before
    assert after.count("VERIFIED (exit code 0)") == 2
    for check in ("quorum", "consistency", "completeness", "time"):
        assert f"PASS         {check} " in after
    assert "cosigned by fr.parquet.lyon, nl.police.zeeland" in after
    bounds = re.findall(r"Logged not before (.*) UTC and not after (.*) UTC, by .*: seq (\d+)", after)
    assert bounds[0][2] == "0"
    assert all(before <= until for before, until, _ in bounds)
    verdict = after.partition("Somebody flips one bit")[2]
    assert "FAIL         bodies" in verdict
    assert "at entries.jsonl, line " in verdict
    assert "NOT OK: tampered (exit code 20)" in verdict


def test_each_path_it_ends_with_is_there(played):
    done, directory = played
    paths = [line.strip() for line in done.stdout.partition("Look at it")[2].splitlines() if line.startswith("  /")]
    assert len(paths) == 8
    assert paths[0] == str(ROOT / "verifier" / "verifier.html")
    assert all(path.startswith(str(directory)) for path in paths[1:])
    assert all(os.path.exists(path) for path in paths)  # noqa: PTH110 - as printed


def test_what_it_tells_to_try_works(played):
    command = played[0].stdout.partition("\nTry:  ")[2].splitlines()[0]
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done
    assert "VERIFIED" in done.stdout


def test_a_file_of_ones_own_is_handed_over(tmp_path, monkeypatch, capsys):
    evidence = tmp_path / "own evidence.bin"
    evidence.write_bytes(os.urandom(100_000))
    monkeypatch.setattr(demo, "Stage", Rehearsal)  # the play above has shown the commands as processes of their own
    monkeypatch.setattr(sys, "argv", ["demo", "--directory", str(tmp_path / "run"), "--evidence", str(evidence)])
    code = demo.main()
    said = capsys.readouterr()
    assert (code, said.err) == (0, ""), said.err + said.out[-2000:]
    received = tmp_path / "run" / "received" / "evidence" / evidence.name
    assert received.read_bytes() == evidence.read_bytes()


def test_a_directory_that_is_not_of_a_demo_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    done = play(tmp_path / "mine")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_evidence_that_is_not_there_is_told_before_anything_starts(tmp_path):
    done = play(tmp_path / "run", "--evidence", tmp_path / "nothing")
    assert done.returncode == 2
    assert "hint: " in done.stderr
    assert not (tmp_path / "run").exists()
