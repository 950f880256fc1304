"""The real service on a free port of this machine, and authorities that use it through the SDK."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pytest
from rogatory import Client, Profile, Terms, enrolment, trust_file
from rogatory.keyring import Keyring

from app import main
from tests.backends import Backend

SERVER = Path(sys.executable).with_name("rogatory-server")


class Service:
    """A running service of its own, with its state below a directory."""

    def __init__(self, directory, backend=None):
        self.directory, self.backend = directory, backend or Backend()
        self.state, self.ready = directory / "state", directory / "ready.json"
        self.process = None
        self.authorities = {}
        self.start()

    def start(self, port=0):
        self.ready.unlink(missing_ok=True)
        command = [SERVER, "serve", "--state", self.state, "--port", str(port), "--ready-file", self.ready]
        self.log = (self.directory / "service.log").open("ab")
        self.process = subprocess.Popen(
            [str(part) for part in command], stdout=self.log, stderr=subprocess.STDOUT, env=self.environment()
        )
        until = time.monotonic() + 60
        while not self.ready.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"the service does not start:\n{(self.directory / 'service.log').read_text()[-4000:]}")
            time.sleep(0.05)
        self.facts = json.loads(self.ready.read_text())

    def environment(self):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ROGATORY_")}
        return kept | self.backend.environment

    def stop(self, how=signal.SIGTERM):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(timeout=30)
        self.log.close()
        self.process = None

    def operator(self, *words):
        """Run `rogatory-server …` in this process, which imports once what a process of its own would each time."""
        said = io.StringIO()
        with (
            mock.patch.dict(os.environ, self.environment(), clear=True),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            pytest.raises(SystemExit) as ended,
        ):
            main.cli([*map(str, words), "--state", str(self.state)])
        assert ended.value.code == 0, said.getvalue()

    def profile(self, name, authority, *, keys=None):
        return Profile.at(
            self.directory / "profiles" / name,
            server=self.facts["url"],
            origin=self.facts["origin"],
            authority=authority,
            ca_file=Path(self.facts["ca"]),
            keys=keys,
        )

    def enrol(self, authority, country="NL", *, kind="x25519", roles=("approver", "receiver", "requester", "sender")):
        """An authority with a principal of these roles; returns its client, which trusts all enrolled before it."""
        profile = self.profile(authority, authority)
        ring = Keyring(profile.keys)
        keys = ring.generate_authority(kind=kind)
        said = enrolment.enrol_authority(
            keys, origin=profile.origin, authority=authority, name=authority, country=country, at=datetime.now(UTC)
        )
        path = self.directory / f"{authority}.enrolment.json"
        path.write_bytes(said.envelope)
        self.operator("enrol", path, "--fingerprint", enrolment.authority_fingerprint(said))
        self.authorities[authority] = keys.authority.public.id
        with Client(profile) as founder:
            trust_file.save(trust_file.begin(founder.service()), profile.trust)
            principal = founder.enrol_principal(keys, ring.generate_principal(), roles=roles)
        profile = replace(profile, principal=principal)
        profile.save()
        return Client(profile)

    def trust_each_other(self, *clients):
        for client in clients:
            trust = trust_file.load(client.profile.trust)
            for name, key in self.authorities.items():
                trust = trust_file.pin(trust, name, key)
            trust_file.save(trust, client.profile.trust)
            for name in ("trust", "records", "lodge", "speaker", "directory", "exchanges"):
                client.__dict__.pop(name, None)


@pytest.fixture(scope="module")
def service(tmp_path_factory, backend):
    running = Service(tmp_path_factory.mktemp("service"), backend)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def police(service):
    with service.enrol("police.nl", kind="mlkem768x25519") as client:
        yield client


@pytest.fixture(scope="module")
def court(service, police):
    with service.enrol("court.fr", "FR", kind="mlkem768x25519") as client:
        service.trust_each_other(police, client)
        yield client


@pytest.fixture
def exchange(police, court):
    return police.open_exchange(["court.fr"])[0]


@pytest.fixture
def terms():
    return Terms(retain_until=datetime.now(UTC) + timedelta(days=30))
