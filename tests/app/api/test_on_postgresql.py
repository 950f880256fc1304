"""What only a PostgreSQL behind the service can show: transactions that truly run side by side, and a server that dies."""

import time
from contextlib import ExitStack, contextmanager, suppress
from threading import Barrier, Event, Thread
from types import SimpleNamespace

import httpx
import psycopg
import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import TimeoutError as PoolExhausted

from app.db import engine as engines
from app.db import ledger
from app.db.engine import connect
from app.db.log_models import LedgerRow
from app.db.unit_of_work import UnitOfWork, reading
from app.services import enrolment
from app.services.fsck import check
from tests.app.api.test_races import declaration, lodge, proven, uploaded
from tests.app.party import TUS
from tests.app.running import Running
from tests.backends import SERVERS, Backend, only
from tests.postgres import OWNER

pytestmark = only(SERVERS)

ACTORS, EACH = 4, 3


@contextmanager
def held(database, query, *parameters):
    """Inside, rows are locked by somebody else."""
    facts = {"host": str(database.server.directory), "user": OWNER, "dbname": database.name}
    with psycopg.connect(**facts) as connection:
        connection.execute(query, parameters)
        yield


def one_after_the_other(database, matter, *works):
    """All get as far as they can while the chain is held, in this order; what each gave."""
    given = {}
    threads = [Thread(target=lambda at=at, work=work: given.update({at: work()})) for at, work in enumerate(works)]
    with held(database, "SELECT FROM chains WHERE handle = %s FOR UPDATE", matter.handle):
        for count, thread in enumerate(threads, 1):
            thread.start()
            database.await_blocked(count)
    for thread in threads:
        thread.join()
    return [given[at] for at in range(len(works))]


def close(service, principal, matter):
    return lodge(
        service, principal, f"/v1/exchanges/{matter.id}/close", principal.act("exchange.closed", matter.handle)
    )


@pytest.mark.parametrize("what", ["seal", "declare", "upload"])
def test_what_comes_while_an_exchange_is_being_closed_is_refused(service, alice, bob, what):
    police, court = alice.authority, bob.authority
    matter = alice.open_exchange(court)
    package, manifest = uploaded(alice, matter, court)
    said = {"seal": manifest(), "declare": declaration(bob, matter, police)}
    works = {
        "seal": lambda: lodge(service, alice, f"/v1/packages/{package}/seal", said["seal"]),
        "declare": lambda: lodge(service, bob, f"/v1/exchanges/{matter.id}/packages", said["declare"]),
        "upload": lambda: (alice.create(package, "ab" * 16, 1000, expect=409).status_code, None),
    }
    closed, late = one_after_the_other(service.database, matter, lambda: close(service, bob, matter), works[what])
    assert (closed[0], late[0]) == (201, 409)
    assert service.events(matter.handle)[-1] == "exchange.closed"
    proven(service, alice, matter, police, court)


def test_a_seal_that_was_first_stands_before_the_close(service, alice, bob):
    police, court = alice.authority, bob.authority
    matter = alice.open_exchange(court)
    package, manifest = uploaded(alice, matter, court)
    said = manifest()
    sealing = lambda: lodge(service, alice, f"/v1/packages/{package}/seal", said)  # noqa: E731
    answers = one_after_the_other(service.database, matter, sealing, lambda: close(service, bob, matter))
    assert [status for status, _ in answers] == [201, 201]
    assert service.events(matter.handle)[-2:] == ["package.sealed", "exchange.closed"]
    proven(service, alice, matter, police, court)


def test_services_that_start_together_begin_one_log(service, postgres, tmp_path):
    made, started, wrong = postgres.database(), Barrier(2), []
    log = service.log_keys

    def start():
        engine = connect(made.url)
        runtime = SimpleNamespace(
            log_keys=log,
            settings=service.settings,
            origin=service.origin,
            reading=lambda: reading(engine),
            unit_of_work=lambda: UnitOfWork(engine),
        )
        try:
            started.wait(30)
            enrolment.begin(runtime, service.now())
            with reading(engine) as session:
                assert session.scalar(select(func.count()).select_from(LedgerRow)) == 1
        except Exception as error:  # noqa: BLE001 - raised below
            wrong.append(error)
        finally:
            engine.dispose()

    for _ in range(2):
        starting = [Thread(target=start) for _ in range(2)]
        for each in starting:
            each.start()
        for each in starting:
            each.join()
    made.drop()
    assert wrong == []


class Actor(Thread):
    """Declares packages; sends each again until it is acknowledged, as clients do."""

    def __init__(self, service, principal, matter, recipient):
        super().__init__(daemon=True)
        self.service, self.facts = service, (principal, matter, recipient)
        self.headers = principal.headers
        self.stopping, self.done, self.refused, self.wrong = Event(), [], 0, []
        self.start()

    def run(self):
        path = f"/v1/exchanges/{self.facts[1].id}/packages"
        with httpx.Client(base_url=str(self.service.http.base_url), timeout=60) as http:
            while not self.stopping.is_set() and not self.wrong:
                said = declaration(*self.facts)
                self.lodge(http, path, said)

    def lodge(self, http, path, said):
        while True:
            answer = http.post(path, json={"envelope": said.envelope.decode()}, headers=self.headers)
            if answer.status_code in {200, 201}:
                self.done.append(said.payload["subject"]["package"])
                return
            if answer.status_code != 503 or "Retry-After" not in answer.headers:
                self.wrong.append(answer.text)
                return
            self.refused += 1
            time.sleep(0.02)

    def act(self, count):
        """Return when so many more were acknowledged."""
        enough = len(self.done) + count
        while len(self.done) < enough:
            assert self.is_alive(), self.wrong
            time.sleep(0.01)


def immediate(database):
    database.server.restart()


def down_for_a_while(database):
    database.server.restart(down=0.3)


def sessions_cut(database):
    database.terminate(database.sessions())


def no_connection_left(database):
    with database.full():
        time.sleep(0.3)


def drained(service):
    """Wait until every entry that was committed stands in a signed checkpoint."""
    with service.runtime.reading() as session:
        last = session.scalar(select(func.max(LedgerRow.id)))
    ledger.wait_for_record(service.runtime.engine, last, timeout=30)


@pytest.mark.deep
def test_whatever_befalls_the_database_under_requests_costs_nothing_but_503(*, service, police, court, alice, effort):
    matter = alice.open_exchange(court)
    actors = [Actor(service, alice, matter, court) for _ in range(ACTORS)]
    befalls = [immediate, sessions_cut, down_for_a_while, no_connection_left]
    for turn in effort.turns(usual=len(befalls), full=400):
        for each in actors:
            each.act(EACH)
            each.headers = alice.headers
        befalls[turn % len(befalls)](service.database)
    for each in actors:
        each.act(EACH)
    for each in actors:
        each.stopping.set()
        each.join()
    drained(service)
    assert [each.wrong for each in actors] == [[]] * ACTORS
    assert all(each.refused for each in actors)
    there = [each.subject["package"] for each in service.entries(matter.handle) if each.event == "package.declared"]
    assert sorted(there) == sorted(package for each in actors for package in each.done)
    proven(service, alice, matter, police, court)
    assert service.http.get("/readyz").status_code == 200
    found = []
    check(service.runtime, found.append, objects=False)
    assert found == []


def test_a_server_without_free_connections_is_a_503_until_it_has_some(service, alice, court):
    matter = alice.open_exchange(court)
    path, headers = f"/v1/exchanges/{matter.id}", alice.headers
    with service.database.full():
        answer = service.http.get(path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "database-down")
        assert service.http.get("/readyz").status_code == 503
    assert service.http.get(path, headers=headers).status_code == 200


@pytest.fixture
def narrow(postgres, tmp_path, monkeypatch):
    """A service with few connections, and nobody who waits for one long."""
    for name, value in (("POSTGRESQL_CONNECTIONS", 4), ("_KEPT_OPEN", 4), ("_WAIT_FOR_CONNECTION", 0.1)):
        monkeypatch.setattr(engines, name, value)
    database = postgres.database()
    running = Running(tmp_path, Backend(database))
    yield running
    running.stop()
    database.drop()


def take_every_connection(service, stack):
    """The service must do nothing by itself meanwhile."""
    with suppress(PoolExhausted):
        while True:
            stack.enter_context(service.runtime.engine.connect())


@pytest.mark.usefixtures("backend_kind")
def test_a_request_that_finds_no_connection_free_is_refused_with_a_time_to_come_again(narrow):
    alice, court = narrow.authority().enrol(), narrow.authority()
    matter = alice.open_exchange(court)
    upload = alice.create(alice.declare(matter, court), "ab" * 16, 1000).headers["Location"]
    said = declaration(alice, matter, court).envelope.decode()
    http, facts = narrow.http, alice.headers
    refused = {
        "reading": lambda: http.get(f"/v1/exchanges/{matter.id}", headers=facts),
        "writing": lambda: http.post(f"/v1/exchanges/{matter.id}/packages", json={"envelope": said}, headers=facts),
        "upload": lambda: http.head(upload, headers=facts | TUS),
        "log": lambda: http.get("/log/checkpoint"),
    }
    beside = (narrow.service.sequencer, narrow.service.caretaker, narrow.service.witnesses)
    for each in beside:
        each.stop()
    with ExitStack() as all_of_them:
        take_every_connection(narrow, all_of_them)
        answers = {what: ask() for what, ask in refused.items()}
        assert [http.get(path).status_code for path in ("/livez", "/readyz")] == [200, 503]
    narrow.service.sequencer.start()
    assert {what: answer.status_code for what, answer in answers.items()} == dict.fromkeys(refused, 503)
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers.values())
    assert [ask().status_code // 100 for ask in refused.values()] == [2] * len(refused)
