"""A disk that is full, read-only or broken, under store and database of a running service on SQLite and disk.

Nothing here needs a file system of its own: the store's calls to the system fail with the system's errors, SQLite is
held to the pages it has or to reading, and a limit on the size of files makes its own writes fail.
"""

import errno
import os
import resource
import secrets
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from app.services.fsck import check
from storage import keys
from storage.syscalls import Syscalls
from tests.app.party import MIB, Item
from tests.app.running import Running

PART = 16 * MIB
WRITES = {os.pwrite, os.write, os.fsync, os.mkdir, os.link, os.rename, os.replace}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("service"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def court(service):
    return service.authority()


@pytest.fixture(scope="module")
def alice(service):
    return service.authority().enrol()


@pytest.fixture(scope="module")
def matter(alice, court):
    return alice.open_exchange(court)


def sound(service):
    found = []
    check(service.runtime, found.append, objects=True)
    assert found == []


@contextmanager
def failing(monkeypatch, number):
    """Inside, whatever the store writes fails with this error of the system."""
    perform = Syscalls.perform

    def performing(self, function, /, *args, **more):
        if function in WRITES:
            raise OSError(number, os.strerror(number))
        return perform(self, function, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Syscalls, "perform", performing)
        yield


@pytest.mark.parametrize(
    ("number", "status"), [(errno.ENOSPC, 507), (errno.EDQUOT, 507), (errno.EROFS, 503), (errno.EIO, 503)]
)
def test_a_disk_that_takes_nothing_is_told_and_costs_nothing(
    *, service, alice, court, matter, monkeypatch, number, status
):
    package, item = alice.declare(matter, court), Item(secrets.token_bytes(PART + 1000), [court.identity.recipient])
    location = alice.create(package, item.id, len(item.body)).headers["Location"]
    alice.patch(location, 0, item.body[:1000])
    with failing(monkeypatch, number):
        for refusal in (
            alice.patch(location, 1000, item.body[1000:], None),
            alice.put_header(package, item.header, None),
        ):
            assert (refusal.status_code, "Retry-After" in refusal.headers) == (status, True)
        assert alice.offset(location) == 1000
    alice.patch(location, 1000, item.body[1000:])
    alice.put_header(package, item.header)
    assert b"".join(service.runtime.store.read(keys.body(package, item.id))) == item.body
    sound(service)


def held_to(engine, *settings):
    """From now on every connection has these settings; what takes them away again."""

    def set_up(connection, _record):
        for setting in settings:
            connection.execute(setting).close()

    event.listen(engine, "connect", set_up)
    engine.dispose()
    return lambda: event.remove(engine, "connect", set_up)


@contextmanager
def no_pages(service):
    """Inside, the database has no room for one page more."""
    undo = held_to(service.runtime.engine, "PRAGMA max_page_count=1")
    try:
        yield
    finally:
        undo()
        service.runtime.engine.dispose()


@contextmanager
def read_only(service):
    """Inside, the database can be read only."""
    undo = held_to(service.runtime.engine, "PRAGMA query_only=ON")
    try:
        yield
    finally:
        undo()
        service.runtime.engine.dispose()


@contextmanager
def broken(service):
    """Inside, no file of this process can be written to beyond its first bytes: SQLite meets errors of input and output."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("befalls", [no_pages, read_only, broken])
def test_a_database_that_takes_nothing_is_a_503_and_comes_back(*, service, alice, court, matter, befalls):
    assert alice.headers, "logged in before"
    refused, done = 0, []
    with befalls(service):
        for _ in range(60):
            package = secrets.token_hex(16)
            said = alice.act("package.declared", matter.handle, {"package": package}, {"recipients": [court.id]})
            answer = alice.post(f"/v1/exchanges/{matter.id}/packages", said, None)
            if answer.status_code == 201:
                done.append(package)
                continue
            assert answer.status_code == 503, answer.text
            assert "Retry-After" in answer.headers
            refused += 1
            if refused == 3:
                break
    assert refused
    done.append(alice.declare(matter, court))
    there = [each.subject["package"] for each in service.entries(matter.handle) if each.event == "package.declared"]
    assert set(done) <= set(there)
    assert len(there) == len(set(there))
    sound(service)
