"""The whole service in a thread of the test process, over real sockets on loopback, with a clock of its own."""

import asyncio
import secrets
import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn
from sqlalchemy import select

from app import main
from app.api import application
from app.api.protocol import GuardedProtocol
from app.db.models import LedgerRow
from app.services import enrolment
from app.settings import Settings, Tls
from custody import entry as entries
from custody.trust import USUAL, Trust
from custody.verify import verify_bundle
from tests.app import party
from tests.backends import Backend

ROOT = Path(__file__).resolve().parents[2]
DEMANDED = tuple(name for name in USUAL if name != "time")
"""Nobody cosigns here, so nothing bounds the times."""


class Clock:
    """Real time, moved by hand."""

    def __init__(self):
        self.ahead = timedelta(0)

    def __call__(self):
        return datetime.now(UTC) + self.ahead


class Running:
    """A running service; on SQLite and disk unless it is given a `tests.backends.Backend`."""

    def __init__(self, directory, backend=None, **facts):
        self.directory, self.backend, self.now = directory, backend or Backend(), Clock()
        self.database = self.backend.database
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        facts = {"port": self.port, "tls": Tls.BEHIND_PROXY, "origin": "evidence.example.org/log"} | facts
        facts |= self.backend.facts
        self.settings = Settings.from_environment({}, state=directory / "state", **facts)
        self.origin, self.url = self.settings.origin, self.settings.public_url
        self.service = main.assemble(self.settings, self.now)
        self.runtime, self.log_keys = self.service.runtime, list(self.service.runtime.log_keys)
        self.app = application.build(self.runtime, self.service.background)
        config = uvicorn.Config(
            self.app,
            http=GuardedProtocol,
            loop="asyncio",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            timeout_keep_alive=30,  # as the service's own: a client that gives up a line after 5 s never meets its end
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.http = party.client(f"http://127.0.0.1:{self.port}")

    def _run(self):
        asyncio.run(self.server.serve(sockets=[self.listener]))

    def stop(self):
        self.http.close()
        self.server.should_exit = True
        self.thread.join()
        self.listener.close()
        self.runtime.engine.dispose()

    def authority(self, name=None, kind="x25519"):
        """An authority that was admitted."""
        made = party.Authority(self, name or f"a-{secrets.token_hex(4)}", kind)
        enrolment.admit(self.runtime.unit_of_work(), made.founding(), origin=self.origin, at=self.now())
        return made

    def post(self, path, said, *, expect, headers=None, **more):
        body = {"envelope": said.envelope.decode() if hasattr(said, "envelope") else said}
        answer = self.http.post(path, json=body, headers=headers or {}, **more)
        assert expect in {None, answer.status_code}, (path, answer.status_code, answer.text)
        if answer.status_code < 300 and "json" in answer.headers["content-type"]:
            party.check_record(self, answer.json()["record"])
        return answer

    def entries(self, chain):
        """The entries of a chain, as they lie in the ledger, oldest first."""
        with self.runtime.reading() as session:
            query = select(LedgerRow.body).where(LedgerRow.chain == chain).order_by(LedgerRow.seq)
            return [entries.parse(body) for body in session.scalars(query)]

    def events(self, chain):
        return [each.event for each in self.entries(chain)]

    def verify(self, data, *authorities):
        """The offline verifier's report on a bundle, under a trust file that pins these authorities."""
        path = self.directory / f"{secrets.token_hex(8)}.zip"
        path.write_bytes(data)
        pins = {each.id: frozenset({each.key.public.id}) for each in authorities}
        trust = Trust(self.origin, tuple(self.log_keys), f"log {self.log_keys[0]}\nquorum none\n", pins, DEMANDED)
        return verify_bundle(path, trust)
