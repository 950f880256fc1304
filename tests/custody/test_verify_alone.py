"""What an agency installs verifies a bundle: the two wheels and their libraries, no service, no network."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.custody.world import World, zipped

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("_cffi_backend", "blake3", "cffi", "cryptography", "orjson", "pycparser", "rfc3161_client")
"""All that offline verification needs besides Python itself."""
NO_SOCKETS = """
import socket

def refuse(*args, **options):
    raise AssertionError("a socket was asked for")

socket.socket.__init__ = socket.socketpair = socket.create_connection = socket.getaddrinfo = refuse
"""


def pip(*words):
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    command = [sys.executable, "-m", "pip", "--quiet", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | quiet, check=False)
    assert done.returncode == 0, done.stderr


def wheels(path):
    """Wheels of the two packages, built from a copy so that nothing is left beside the source."""
    litter = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    for name in ("custody", "client"):
        shutil.copytree(ROOT / name, path / "source" / name, ignore=litter)
        pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", path / "wheels", path / "source" / name)
    return sorted((path / "wheels").glob("*.whl"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Environment variables and directory of an installation with nothing but the wheels and their libraries."""
    path = tmp_path_factory.mktemp("alone")
    made = wheels(path)
    assert [file.name.split("-")[0] for file in made] == ["rogatory", "rogatory_custody"]
    venv.create(path / "venv", with_pip=False, symlinks=True)
    pip("--python", path / "venv" / "bin" / "python", "install", "--no-index", "--no-deps", "--no-compile", *made)
    libraries = path / "libraries"
    libraries.mkdir()
    (libraries / "sitecustomize.py").write_text(NO_SOCKETS)
    for place in Path(sysconfig.get_path("platlib")).iterdir():
        if place.name.split(".")[0] in LIBRARIES:
            (libraries / place.name).symlink_to(place)
    home = path / "home"
    home.mkdir()
    return path, {"PATH": os.defpath, "HOME": str(home), "PYTHONPATH": str(libraries), "LC_ALL": "C.UTF-8"}


def run(alone, *words):
    path, environment = alone
    program, *rest = map(str, words)
    command = [path / "venv" / "bin" / program, *rest]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=path, check=False)


@pytest.mark.parametrize("module", ["app", "storage", "fastapi", "sqlalchemy", "boto3", "httpx"])
def test_neither_the_service_nor_its_libraries_are_there(alone, module):
    assert "ModuleNotFoundError" in run(alone, "python", "-c", f"import {module}").stderr


def test_no_socket_can_be_opened(alone):
    assert "a socket was asked for" in run(alone, "python", "-c", "import socket; socket.socket()").stderr


@pytest.mark.parametrize("changed", [False, True])
def test_a_bundle_is_verified_without_service_and_network(alone, changed):
    world = World().exchange()
    if changed:
        world.forge(9, noted__bytes=0)
    bundle, trust = alone[0] / "bundle.zip", alone[0] / "trust.json"
    bundle.write_bytes(zipped(world.bundle()))
    trust.write_bytes(world.trust().encode())
    done = run(alone, "rogatory", "verify", bundle, "--trust", trust)
    assert (done.returncode, done.stderr) == (25 if changed else 0, "")
    assert done.stdout.endswith("NOT OK: rollback (exit code 25)\n" if changed else "VERIFIED (exit code 0)\n")
