"""A service at rest that is put back before each try, and processes that play one try each.

A try runs in a fork of this process: what is done to classes there dies with it, a kill is a real one, and what the
parent sees afterwards is what a new process would see. Requests go to the application itself; the record is kept by a
sequencer in the same thread, so that the nth call of a try is the same call each time, or by its own thread.
"""

import asyncio
import gc
import os
import pickle
import secrets
import shutil
import signal
import time
import traceback
from abc import ABC, abstractmethod
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from select import select as ready

import httpx
import pytest
from sqlalchemy import func, select

from app.api import application
from app.db.models import Base, LedgerRow, Package, Pending
from app.main import assembly
from app.services import enrolment
from app.services.fsck import check
from app.settings import Settings, Tls
from custody.kinds import PART_SIZE
from tests.app import party

PATIENCE = 60
SMALL = 4096
"""Part size of what is uploaded in parts here; the service would not take less than 16 MiB."""

LARGE = {"part_size": 16 * party.MIB}
"""Grid of a body that comes in pieces: one that would hold as much as may come so."""


class Direct:
    """Requests to an application without a socket between."""

    def __init__(self, application_):
        self._transport = httpx.ASGITransport(application_, raise_app_exceptions=False)

    def request(self, method, path, **more):
        return asyncio.run(self._ask(method, path, more))

    def post(self, path, **more):
        return self.request("POST", path, **more)

    def close(self):
        pass

    async def _ask(self, method, path, more):
        async with httpx.AsyncClient(transport=self._transport, base_url="http://stage", trust_env=False) as client:
            return await client.request(method, path, **more)


@contextmanager
def small_parts():
    """Inside, the record takes small parts too."""
    kept = PART_SIZE._allowed
    PART_SIZE._allowed = kept | {(int, SMALL)}
    try:
        yield
    finally:
        PART_SIZE._allowed = kept


class Stage:
    """A state directory that acts are tried on, and the parties to them."""

    def __init__(self, directory):
        self.directory, self.state, self.kept = directory, directory / "state", directory / "kept"
        facts = {"tls": Tls.BEHIND_PROXY, "origin": "evidence.example.org/log", "public_url": "https://localhost:8443"}
        self.settings = Settings.from_environment({}, state=self.state, **facts)
        object.__setattr__(self.settings, "min_part_size", SMALL)
        self.origin, self.url = self.settings.origin, self.settings.public_url
        self._began = time.monotonic()
        self._date = datetime.now(UTC)
        self._engine = self.app = None
        self.open()

    def now(self):
        """Each try happens at the same time: tokens made for all of them do not expire."""
        return self._date + timedelta(seconds=time.monotonic() - self._began)

    def open(self, *, threaded=False, migrating=True):
        """Start the service on what lies there, as a new process would; only what is compiled of queries and routes is kept."""
        with pytest.MonkeyPatch.context() as patch:
            if self._engine is not None:
                patch.setattr(assembly, "connect", lambda _: self._engine)
            if not migrating:
                patch.setattr(assembly.migrate, "upgrade", lambda _: None)
            self.service = assembly.assemble(self.settings, self.now)
        self._engine = self.service.runtime.engine
        self.runtime, self.log_keys = self.service.runtime, list(self.service.runtime.log_keys)
        if threaded:
            self.service.sequencer.start()
        else:
            object.__setattr__(self.runtime, "wake", self._keep_log)
            self._keep_log()
        self.app = self.app or application.build(self.runtime)
        self.app.state.runtime = self.runtime
        self.http = Direct(self.app)

    def _keep_log(self):
        """What the sequencer's thread does: it tries again, whatever it is."""
        for _ in range(10):
            try:
                while self.service.sequencer.run_once():
                    pass
            except Exception:  # noqa: BLE001 - as the thread does
                continue
            return

    def close(self):
        self.http.close()
        self.service.sequencer.stop()
        self.runtime.engine.dispose()

    def keep(self):
        """Take what lies there now for the beginning of each try."""
        self.close()
        self._date = self.now()
        shutil.rmtree(self.kept, ignore_errors=True)
        shutil.copytree(self.state, self.kept)

    def put_back(self):
        """Let it be as it was kept."""
        shutil.rmtree(self.state)
        shutil.copytree(self.kept, self.state)
        self._began = time.monotonic()

    def live(self, work, **how):
        """What `work` gives once the service has been started on what lies there; it is stopped again."""
        self.open(**how)
        try:
            return work()
        finally:
            self.close()

    def fork(self, work, **how):
        """What `work` gives in a process of its own that has started the service; None if it was killed."""
        receive, send = os.pipe()
        gc.freeze()
        pid = os.fork()
        if pid == 0:
            os.close(receive)
            self._play(work, send, how)
        os.close(send)
        try:
            said = _read(receive)
        finally:
            os.close(receive)
            os.kill(pid, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if not said:
            assert status == -signal.SIGKILL, status
            return None
        well, made = pickle.loads(said)
        assert well, made
        return made

    def _play(self, work, send, how):
        try:
            gc.disable()
            self.open(**how)
            said = (True, work())
        except BaseException:  # noqa: BLE001 - told by the parent
            said = (False, traceback.format_exc())
        data = pickle.dumps(said)
        while data:
            data = data[os.write(send, data) :]
        os._exit(0)

    # ------------------------------------------------------------ what the parties' tools need

    def authority(self, name):
        made = party.Authority(self, name)
        enrolment.admit(self.runtime.unit_of_work(), made.founding(), origin=self.origin, at=self.now())
        return made

    def post(self, path, said, *, expect, headers=None):
        answer = self.http.post(path, json={"envelope": said.envelope.decode()}, headers=headers or {})
        assert answer.status_code == expect, (path, answer.status_code, answer.text)
        return answer

    # ------------------------------------------------------------ what there is

    def findings(self, *, objects=True):
        found = []
        check(self.runtime, found.append, objects=objects)
        return found

    def picture(self):
        """All that must be the same however it came about: nothing random, no time, no count of attempts.

        Entries have found their places in the log by then.
        """
        self._settle()
        with self.runtime.reading() as session:
            rows = {
                name: session.scalar(select(func.count()).select_from(table))
                for name, table in Base.metadata.tables.items()
                if name not in {"log_leaves", "checkpoints", "tiles", "tail_heads", "spent_tokens"}
            }
            events = session.execute(select(LedgerRow.chain, LedgerRow.seq, LedgerRow.statement_id)).all()
            packages = dict(session.execute(select(Package.id, Package.state)).all())
        store = self.runtime.store
        bodies = {key: b"".join(store.read(key)) for key in store.keys("")}
        return {"rows": rows, "events": sorted(map(str, events)), "packages": packages, "bodies": bodies}

    def _settle(self):
        end = time.monotonic() + PATIENCE
        while True:
            with self.runtime.reading() as session:
                if not session.scalar(select(func.count()).select_from(Pending)):
                    return
            assert time.monotonic() < end, "the log does not go on"
            time.sleep(0.02)


def _read(descriptor):
    """All that a child says, within the time it has; whoever calls ends the child."""
    data, end = b"", time.monotonic() + PATIENCE
    while ready([descriptor], [], [], max(0, end - time.monotonic()))[0]:
        more = os.read(descriptor, 1 << 20)
        if not more:
            return data
        data += more
    raise AssertionError("a try does not end")


# ---------------------------------------------------------------- the acts


class Act(ABC):
    """One act of a party that is made until it is done, and what it is called."""

    def __init__(self, cast):
        self.cast, self.stage = cast, cast.stage
        self.name = type(self).__name__.lower()

    def ask(self, who, method, path, **more):
        headers = {"Authorization": f"Bearer {who._token}", **more.pop("headers", {})}
        return self.stage.http.request(method, path, headers=headers, **more)

    def lodge(self, who, path, said):
        answer = self.ask(who, "POST", path, json={"envelope": said.envelope.decode()})
        if answer.status_code in {200, 201}:
            party.check_record(self.stage, answer.json()["record"])
        return answer

    @abstractmethod
    def attempt(self):
        """Ask once for what is missing; the answer."""

    def done(self, answer):
        return answer.status_code in {200, 201}

    def finish(self):
        """Go on until it is done, as a client would; every answer is one that the API promises."""
        for _ in range(5):
            answer = self.attempt()
            if self.done(answer):
                return
            assert answer.status_code in {409, 500, 503, 507}, (answer.status_code, answer.text)
        raise AssertionError((answer.status_code, answer.text))


class Begin(Act):
    """An upload is begun."""

    def attempt(self):
        path = f"/v1/packages/{self.cast.package}/items/{'ab' * 16}/uploads"
        return self.ask(self.cast.alice, "POST", path, headers={**party.TUS, "Upload-Length": "1000"})


class Piece(Act):
    """Some more of a part that stays unfinished."""

    END = 2000

    def attempt(self):
        seen = self.where()
        at = int(seen.headers.get("Upload-Offset", self.END))
        return seen if at >= self.END or not seen.is_success else self.bring(at, self.END)

    def done(self, answer):
        return answer.is_success and answer.headers["Upload-Offset"] == str(self.END)

    def where(self):
        """Where the upload stands; nothing that was acknowledged is missing."""
        seen = self.ask(self.cast.alice, "HEAD", self.cast.begun.location, headers=party.TUS)
        if seen.is_success:
            assert self.cast.begun.acknowledged <= int(seen.headers["Upload-Offset"]) <= len(self.cast.begun.item.body)
        return seen

    def bring(self, at, end):
        headers = {**party.TUS, **party.BYTES, "Upload-Offset": str(at)}
        content = self.cast.begun.item.body[at:end]
        return self.ask(self.cast.alice, "PATCH", self.cast.begun.location, headers=headers, content=content)


class Patch(Piece):
    """The rest of a body: of a part that was begun, one that is whole, and the last."""

    END = 2 * SMALL + 700


class Header(Act):
    """A header is brought."""

    def attempt(self):
        header = self.cast.begun.item.header
        path = f"/v1/packages/{self.cast.package}/headers/{self.cast.begun.item.member['header']['sha256']}"
        octets = {"Content-Type": "application/octet-stream"}
        return self.ask(self.cast.alice, "PUT", path, content=header, headers=octets)


class Append(Act):
    """An act that stands in the record only."""

    def attempt(self):
        return self.lodge(self.cast.alice, f"/v1/exchanges/{self.cast.matter.id}/packages", self.cast.declaration)


class Seal(Act):
    """A package is sealed; an upload that is open ends with it."""

    def attempt(self):
        return self.lodge(self.cast.alice, f"/v1/packages/{self.cast.ready}/seal", self.cast.manifest)


class Grant(Act):
    """A header is granted to a third."""

    def attempt(self):
        return self.lodge(self.cast.bob, f"/v1/packages/{self.cast.sent.package}/grants", self.cast.grant)


class Release(Act):
    """Headers leave."""

    def attempt(self):
        answer = self.lodge(self.cast.bob, f"/v1/packages/{self.cast.sent.package}/release", self.cast.release)
        if self.done(answer):
            given = {item: bytes(header) for item, header in party.headers_of(answer).items()}
            assert given == {item.id: item.header for item in self.cast.sent.items}
        return answer


class Pieces(Act):
    """Pieces become a body; one more that was begun beside them is no part of it."""

    def attempt(self):
        beside = self.cast.partial(self.ask, self.cast.pieced.id, 10, params=LARGE)
        if beside.status_code not in {201, 409}:  # nothing more is taken when they are being joined
            return beside
        return self.cast.join(self.ask, self.cast.pieced.id, *self.cast.pieces)


class Windows(Act):
    """A body comes in a window, which is joined by the name of its upload."""

    def attempt(self):
        item = self.cast.windowed
        window = {"Rogatory-Start": "0", "Rogatory-Item-Length": str(len(item.body))}
        begun = self.cast.partial(self.ask, item.id, len(item.body), item.body, headers=window)
        if begun.status_code == 409:
            return self.ask(self.cast.alice, "GET", f"/v1/packages/{self.cast.package}/items/{item.id}/parts")
        if not begun.is_success:
            return begun
        at = int(begun.headers["Upload-Offset"])
        if at < len(item.body):
            headers = party.TUS | party.BYTES | {"Upload-Offset": str(at)}
            location = begun.headers["Location"]
            sent = self.ask(self.cast.alice, "PATCH", location, headers=headers, content=item.body[at:])
            if not sent.is_success:
                return sent
        return self.cast.join(self.ask, item.id, begun.headers["Rogatory-Upload"])


ACTS = (Begin, Piece, Patch, Header, Append, Seal, Grant, Release)
SIDE_BY_SIDE = (Pieces, Windows)
"""Acts that change rows and bytes as `ACTS` do, and meet a few points of their own."""


class Begun:
    """An upload that stands within its first part, and how far it was acknowledged."""

    def __init__(self, alice, package, item):
        self.item = item
        self.location = alice.create(package, item.id, len(item.body), part_size=SMALL).headers["Location"]
        alice.patch(self.location, 0, item.body[:1500])
        self.acknowledged = 1500
        store = alice.service.runtime.store
        [token] = [each.token for each in store.uploads() if each.key.endswith(item.id)]
        last = -(-len(item.body) // SMALL)
        store.put_piece(token, last, 800, b"what a writer left that was thought dead")


class Cast:
    """Parties, and a matter in which each of the acts is the next."""

    def __init__(self, stage):
        self.stage = stage
        police, court, third = (stage.authority(name) for name in ("police.nl", "court.de", "third.fr"))
        alice, bob = self.alice, self.bob = police.enrol(), court.enrol()
        self.matter = matter = alice.open_exchange(court, third)
        self.sent = self._send(court)
        self._prepare_grant(third)
        self.release = bob.act(
            "key.released", matter.handle, {"package": self.sent.package}, {"grant": self.sent.manifest.id}
        )
        self.package = alice.declare(matter, court)
        self.begun = Begun(alice, self.package, self._item(court, 2 * SMALL + 700 - 32))
        detail = {"recipients": [court.id]}
        self.declaration = alice.act("package.declared", matter.handle, {"package": party.token()}, detail)
        self.ready, items = self._upload(court)
        self.manifest = alice.manifest(matter, self.ready, items, [court])
        Begun(alice, self.ready, self._item(court, SMALL))
        self.windowed, self.pieced = self._item(court), self._item(court)
        halves = self.pieced.body[:300], self.pieced.body[300:]
        begun = [self.partial(self._asked, self.pieced.id, len(each), each, params=LARGE) for each in halves]
        self.pieces = [each.headers["Location"] for each in begun]

    def _asked(self, who, method, path, **more):
        return who.request(method, path, 201, **more)

    def partial(self, ask, item, length, data=b"", *, headers=None, params=None):
        """Begin a partial upload, and bring its bytes along if there are any."""
        said = {**party.TUS, "Upload-Concat": "partial", "Upload-Length": str(length)}
        said |= (party.BYTES if data else {}) | (headers or {})
        path = f"/v1/packages/{self.package}/items/{item}/uploads"
        return ask(self.alice, "POST", path, headers=said, content=data, params=params)

    def join(self, ask, item, *named):
        """Make partial uploads the body of an item."""
        path = f"/v1/packages/{self.package}/items/{item}/uploads"
        return ask(self.alice, "POST", path, headers=party.TUS | {"Upload-Concat": f"final;{' '.join(named)}"})

    def _item(self, court, size=1000):
        return party.Item(secrets.token_bytes(size), [court.identity.recipient])

    def _upload(self, court):
        package = self.alice.declare(self.matter, court)
        items = [self._item(court) for _ in range(2)]
        for item in items:
            made = self.alice.create(package, item.id, len(item.body), part_size=16 * party.MIB)
            self.alice.patch(made.headers["Location"], 0, item.body)
            self.alice.put_header(package, item.header)
        return package, items

    def _send(self, court):
        package, items = self._upload(court)
        manifest = self.alice.manifest(self.matter, package, items, [court])
        self.alice.post(f"/v1/packages/{package}/seal", manifest)
        return party.Sent(self.matter, package, items, manifest, None)

    def _prepare_grant(self, third):
        item, sent = self.sent.items[0], self.sent
        header = party.sealing.build_header(item.key, [third.identity.recipient])
        self.bob.put_header(sent.package, header)
        digest = party.hashlib.sha256(header).hexdigest()
        named = {"id": item.id, "header": {"sha256": digest, "size": len(header)}}
        members = {"manifest": sent.manifest.id, "recipients": party.receivers([third]), "sealing": "x25519"}
        self.grant = self.bob.say("grant", sent.matter.handle, **members, items=[named])
