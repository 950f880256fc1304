"""A home of its own for each test, and the program run in this process or in one of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rogatory.cli.program import main

from tests.custody.world import World, zipped

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    place = tmp_path / "home"
    monkeypatch.setenv("ROGATORY_HOME", str(place))
    for name in ("ROGATORY_PROFILE", "ROGATORY_DEBUG", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return place


@pytest.fixture
def run(capsys):
    """Run the program here: code, stdout, stderr, and stdout as JSON where it is."""

    def run(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        found = json.loads(out) if "--json" in words else None
        return SimpleNamespace(code=code, out=out, err=err, json=found)

    return run


def spawn(*words, env=None, code=None, **options):
    """Run the program, or other Python code, in a process of its own."""
    start = ["-c", code] if code else ["-m", "rogatory.cli"]
    return subprocess.run(
        [sys.executable, *start, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=options.pop("cwd", ROOT),
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}", **(env or {})},
        **options,
    )


@pytest.fixture(scope="session")
def world():
    return World().exchange()


@pytest.fixture
def bundle(world, tmp_path):
    path = tmp_path / "bundle.zip"
    path.write_bytes(zipped(world.bundle()))
    return path


@pytest.fixture
def trust(world, tmp_path):
    path = tmp_path / "trust-of-a-court.json"
    path.write_bytes(world.trust().encode())
    return path
