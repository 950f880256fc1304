"""What breaks in the middle: the source, the line, the service, the disk, the user's patience. Nothing is lost."""

import os
import resource
import secrets
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from app.db.engine import connect
from app.db.models import Upload, UploadState
from app.db.unit_of_work import reading
from tests import backends
from tests.backends import EMBEDDED, only
from tests.e2e.theatre import PATIENCE, client_of, opened, refused
from tests.storage import liar

MIB = 1024 * 1024
ROOM = 640 * MIB
NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


class Scarce:
    """A directory that can be short of room: a small file system where one can be mounted, else a limit on files."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", path]
        self.mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
        self.settings, self.takes_nothing = {"ROGATORY_STORE": str(path)}, self.mounted

    def fill(self, process, left=MIB):
        """Leave next to nothing; where nothing is mounted, to this process only."""
        if self.mounted:
            with (self.path / "filler").open("wb") as file:
                while True:
                    free = os.statvfs(self.path)
                    taken = os.fstat(file.fileno()).st_blocks * 512
                    with suppress(OSError):  # the service goes on to write meanwhile
                        os.posix_fallocate(file.fileno(), 0, taken + free.f_bavail * free.f_frsize - left)
                        return
        else:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (12 * MIB, resource.RLIM_INFINITY))

    def make_room(self, process):
        if self.mounted:
            (self.path / "filler").unlink()
        else:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, NO_LIMIT)

    def close(self):
        if self.mounted:
            subprocess.run(["umount", self.path], check=True)


class ScarceBucket:
    """A bucket that can be short of room: what stands between it and the service says so."""

    takes_nothing = True

    def __init__(self, line, backend):
        self.line, self.settings = line, backend.environment

    def fill(self, _process, left=MIB):
        self.line.inject(
            lambda method, path: method == "PUT" and (left == 0 or liar.part_put(method, path)), before=liar.full
        )
        self.line.inject(lambda method, path: method == "POST" and left == 0, before=liar.full)

    def make_room(self, _process):
        self.line.heal()


@pytest.fixture(scope="module")
def scarce(tmp_path_factory, backend_kind, request):
    """A store that can be filled."""
    if backend_kind == EMBEDDED:
        found = Scarce(tmp_path_factory.mktemp("interrupted") / "store")
        yield found
        found.close()
        return
    upstream = request.getfixturevalue("seaweed").endpoint
    with liar.lying(upstream) as line, backends.backend(backend_kind, request, endpoint=line.endpoint) as backend:
        yield ScarceBucket(line, backend)


@pytest.fixture(scope="module")
def theatre(scarce, tmp_path_factory):
    with opened(tmp_path_factory.mktemp("theatre"), settings=scarce.settings) as found:
        yield found


@pytest.fixture
def source(theatre, tmp_path):
    """Enough to be sent for seconds."""
    path = tmp_path / "disk.dd"
    path.write_bytes(secrets.token_bytes(3 * MIB))
    return path


def packages(theatre):
    """Packages whose send is unfinished at the sender's desk."""
    return {path.parent.name for path in theatre.sender.home.glob("default/sends/*/state.jsonl")}


def open_uploads(theatre):
    """Package → id of its open upload, and bytes of it that are durable."""
    engine = connect(
        theatre.stage.settings.get("ROGATORY_DATABASE", f"sqlite:///{theatre.stage.state / 'rogatory.db'}")
    )
    try:
        with reading(engine) as session:
            rows = session.scalars(select(Upload).where(Upload.state == UploadState.OPEN))
            return {row.package_id: [row.id, row.offset] for row in rows}
    finally:
        engine.dispose()


def until(found):
    end = time.monotonic() + PATIENCE
    while not (answer := found()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return answer


def begin(theatre, source, rate="1M"):
    """A send that is under way: some of it has left."""
    before = open_uploads(theatre).keys()
    process = theatre.start(theatre.sender, *theatre.send_words(source), "--limit-rate", rate)
    package = until(lambda: open_uploads(theatre).keys() - before).pop()
    time.sleep(0.7)
    assert process.poll() is None
    return process, package


def arrives(theatre, package, source, name):
    """The package is received, byte for byte."""
    target = theatre.root / name
    theatre.receive(package, target)
    assert (target / "evidence" / source.name).read_bytes() == source.read_bytes()


def restart(theatre):
    theatre.stage.start_service(urlsplit(theatre.stage.url).port)


def test_an_interrupt_keeps_what_was_sent_and_says_how_to_go_on(theatre, source):
    process, package = begin(theatre, source)
    process.send_signal(signal.SIGINT)
    message = refused(theatre.ended(process, expect=130), 130)
    assert "rogatory send --resume" in message
    until(lambda: open_uploads(theatre)[package][1])
    said = theatre.run(theatre.sender, "send", "--resume", package[:8], "--json").json
    assert said["package"] == package
    assert not packages(theatre)
    arrives(theatre, package, source, "after-interrupt")


def test_a_client_that_is_killed_is_resumed(theatre, source):
    process, package = begin(theatre, source)
    process.kill()
    theatre.ended(process, expect=-signal.SIGKILL)
    theatre.run(theatre.sender, "send", "--resume")
    arrives(theatre, package, source, "after-kill")


def test_a_service_that_goes_and_comes_back_costs_the_sender_nothing_but_time(theatre, source):
    process, package = begin(theatre, source)
    theatre.stage.stop_service(signal.SIGKILL)
    time.sleep(0.3)
    restart(theatre)
    theatre.ended(process)
    arrives(theatre, package, source, "after-restart")


def test_a_send_given_up_while_the_service_is_down_is_resumed_when_it_is_back(theatre, source):
    process, package = begin(theatre, source)
    theatre.stage.stop_service(signal.SIGKILL)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    refused(theatre.ended(process, expect=130), 130)
    assert package in packages(theatre)
    restart(theatre)
    theatre.run(theatre.sender, "send", "--resume", package)
    arrives(theatre, package, source, "after-outage")


def test_a_source_that_changed_before_it_was_resumed_is_never_sealed(theatre, source):
    process, package = begin(theatre, source)
    process.send_signal(signal.SIGINT)
    theatre.ended(process, expect=130)
    until(lambda: open_uploads(theatre)[package][1])
    with source.open("r+b") as file:
        file.write(b"changed")
    for _ in range(2):
        said = theatre.run(theatre.sender, "send", "--resume", package, expect=7)
        assert "disk.dd" in refused(said, 7)
    assert not theatre.sealed(package)
    abandon(theatre, package)


@only(EMBEDDED)  # found by the client before anything is sealed, whatever the store
@pytest.mark.parametrize("change", ["grows", "shrinks", "is rewritten", "is replaced"])
def test_a_source_that_changes_while_it_is_sent_is_never_sealed(theatre, tmp_path, change):
    path = tmp_path / "live.log"
    with path.open("wb") as file:
        file.truncate(104 * MIB)  # the client reads up to 80 MiB ahead
    process, package = begin(theatre, path, rate="12M")
    if change == "grows":
        with path.open("ab") as file:
            file.write(b"one more line\n")
    elif change == "shrinks":
        os.truncate(path, 98 * MIB)
    elif change == "is rewritten":
        with path.open("r+b") as file:
            file.write(b"other")
    else:
        path.with_name("new").write_bytes(b"other")
        path.with_name("new").rename(path)
    said = theatre.ended(process, expect=7)
    assert "live.log" in refused(said, 7)
    assert not theatre.sealed(package)
    abandon(theatre, package)


def test_a_store_that_fills_up_is_waited_for_and_goes_on_without_a_restart(theatre, scarce, tmp_path):
    source = tmp_path / "large.dd"
    source.write_bytes(secrets.token_bytes(20 * MIB))
    process, package = begin(theatre, source, rate="10M")
    known = refusals(theatre)
    scarce.fill(theatre.stage.service)
    try:
        until(lambda: refusals(theatre) > known)
        assert process.poll() is None, theatre.ended(process, expect=None)
    finally:
        scarce.make_room(theatre.stage.service)
    theatre.ended(process)
    arrives(theatre, package, source, "after-full-store")


def test_a_sender_who_meets_a_full_store_is_told_how_to_go_on(theatre, scarce, tmp_path):
    source = tmp_path / "large.dd"
    source.write_bytes(secrets.token_bytes(20 * MIB))
    known = packages(theatre)
    scarce.fill(theatre.stage.service, left=0)
    try:
        process = theatre.start(theatre.sender, *theatre.send_words(source))
        if not scarce.takes_nothing:  # an empty file can be begun all the same, and is waited for
            until(lambda: packages(theatre) - known)
            time.sleep(2)
            process.send_signal(signal.SIGINT)
        message = refused(theatre.ended(process, expect=None), 5 if scarce.takes_nothing else 130)
        assert "rogatory send --resume" in message
    finally:
        scarce.make_room(theatre.stage.service)
    (package,) = packages(theatre) - known
    theatre.run(theatre.sender, "send", "--resume", package)
    arrives(theatre, package, source, "after-no-room-at-all")


def test_a_full_disk_of_the_receiver_ends_with_a_hint_and_the_same_command_goes_on(theatre, source):
    package = theatre.send(source)
    target = theatre.root / "tight"
    words = ["receive", package, "--to", str(target)]
    process = theatre.start(theatre.receiver, *words)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (2 * MIB, 2 * MIB))
    message = refused(theatre.ended(process, expect=5), 5)
    assert "no room left" in message
    assert "run the same command again" in message
    assert not (target / "evidence").exists()
    theatre.run(theatre.receiver, *words)
    assert (target / "evidence" / source.name).read_bytes() == source.read_bytes()


def refusals(theatre):
    """How often the service has said that it is full."""
    return theatre.stage.journal.read_text().count('"status": 507')


def abandon(theatre, package):
    """Forget a send that cannot go on: there and here."""
    with client_of(theatre.sender) as client:
        path = f"/v1/uploads/{open_uploads(theatre)[package][0]}"
        client.connection.request("DELETE", path, headers={"Tus-Resumable": "1.0.0"})
    shutil.rmtree(theatre.sender.home / "default" / "sends" / package)
