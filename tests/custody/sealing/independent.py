"""Implementations of age that are not ours: the distribution's `age` and npm's `age-encryption`.

Their absence fails a test and never skips it: what is not checked must not look checked.
"""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest

_NODE = Path(__file__).parents[2] / "node"


def program(name: str) -> str:
    """The path of a program that `make system` installs."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not installed: run `make system`")
    return found


def node(script: str, data: bytes = b"") -> object:
    """The JSON that a script of tests/node answers."""
    if not (_NODE / "node_modules" / "age-encryption").is_dir():
        pytest.fail("tests/node/node_modules is absent: run `make system`, then `make test`, which fetches it")
    done = subprocess.run(
        [program("node"), script], input=data, capture_output=True, cwd=_NODE, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def npm(*jobs: dict[str, object]) -> list:
    """Results of jobs done by npm's age-encryption, in order; bytes are base64 both ways."""
    results = node("age.mjs", json.dumps(jobs).encode())
    assert isinstance(results, list)
    return results


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def data(text: str) -> bytes:
    return base64.b64decode(text)
