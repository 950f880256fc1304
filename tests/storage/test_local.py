import errno
import fcntl
import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from storage.interface import (
    AlreadyExists,
    NotFound,
    StoreError,
    StoreFull,
    StoreUnavailable,
    Truncated,
    UploadIncomplete,
    UploadNotFound,
)
from storage.local import LocalStore
from storage.syscalls import Syscalls
from tests.storage.contract import DAY, KEY, NOW, StoreContract, described, everything, sha256

BLOB = "headers/" + "0a" * 32
PART = 64
PARTS = [b"a" * PART, b"b" * PART, b"tail"]


class TestLocal(StoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        return LocalStore(tmp_path / "store")

    def reopen(self, store):
        return LocalStore(store._objects.parent)


# ---- one life of a store, step by step


class Life:
    """Steps that use every durable call, with what must hold once each has been acknowledged."""

    def __init__(self, root):
        self.root, self.store, self.upload = root, None, ""
        self.done, self.begun = [], []

    def open(self, system):
        self.store = LocalStore(self.root, system=system)

    def put(self):
        self.store.put(BLOB, b"header", sha256=sha256(b"header"))

    def put_again(self):
        self.put()

    def begin(self):
        self.upload = self.store.begin(KEY, part_size=PART)

    def piece(self):
        self.store.put_piece(self.upload, 1, 0, PARTS[0][:40])

    def second_piece(self):
        self.store.put_piece(self.upload, 1, 40, PARTS[0][40:])

    def fold(self):
        self.store.fold(self.upload, 1, size=PART, sha256=sha256(PARTS[0]))

    def part(self):
        assert self.store.put_part(self.upload, 2, [b"z" * 20, b"z" * 10], size=30, sha256=None) == sha256(b"z" * 30)

    def part_again(self):
        self.store.put_part(self.upload, 2, [PARTS[1][:20], PARTS[1][20:]], size=PART, sha256=sha256(PARTS[1]))

    def stale_piece(self):
        self.store.put_piece(self.upload, 3, 0, b"a stale writer's piece")

    def last_part(self):
        self.store.put_part(self.upload, 3, [PARTS[2]], size=len(PARTS[2]), sha256=None)

    def complete(self):
        info = self.store.complete(self.upload, described(PARTS))
        assert info.size == 2 * PART + 4

    def complete_again(self):
        self.complete()

    def lock(self):
        self.store.lock(KEY, until=NOW + DAY)

    def begin_another(self):
        self.another = self.store.begin(KEY, part_size=PART)

    def abort(self):
        self.store.abort(self.another)

    def delete(self):
        try:
            self.store.delete(KEY, now=NOW + DAY)
        except NotFound:  # cut off after it was done, and made again
            assert "delete" in self.begun

    STEPS = (
        *(
            "put",
            "put_again",
            "begin",
            "piece",
            "second_piece",
            "fold",
            "part",
            "part_again",
            "stale_piece",
            "last_part",
        ),
        *("complete", "complete_again", "lock", "begin_another", "abort", "delete"),
    )

    def run(self, name):
        self.begun = [*self.done, name]
        getattr(self, name)()
        self.done.append(name)

    def check(self):
        """What holds after a crash, for a reader who sees only what a fresh process sees."""
        store = LocalStore(self.root)
        keys, done = set(store.keys("")), set(self.done)
        assert keys <= {BLOB, KEY}
        assert "put" not in done or BLOB in keys
        for key, whole in ((BLOB, b"header"), (KEY, b"".join(PARTS))):
            assert key not in keys or everything(store, key) == whole
        assert "complete" not in done or KEY in keys or "delete" in self.begun
        assert KEY not in keys or "complete" in self.begun
        if "lock" in done and KEY in keys:
            assert store.stat(KEY).locked_until == NOW + DAY
        self.check_upload(store, done)

    def check_upload(self, store, done):
        if "complete" in self.begun:
            return
        if "piece" in done:
            assert b"".join(store.read_pieces(self.upload, 1, 40)) == PARTS[0][:40]
        if "fold" in done or "second_piece" in done:
            assert b"".join(store.read_pieces(self.upload, 1, PART)) == PARTS[0]
        if "part_again" in done:
            assert b"".join(store.read_pieces(self.upload, 2, PART)) == PARTS[1]

    def clear(self):
        """The duties of a collector; nothing may be left after them but whole objects and their records."""
        for info in self.store.uploads():
            self.store.abort(info.token)
        self.store.sweep(datetime.now(UTC) + timedelta(hours=1))
        if "delete" in self.begun:
            self.delete()
        left = {path for path in self.root.rglob("*") if path.is_file() and path.parent.name != "guards"}
        objects, records = self.root / "objects", self.root / "records"
        assert left <= {objects / BLOB, objects / KEY, records / KEY}
        assert records / KEY not in left or objects / KEY in left


class Killed(BaseException):
    """The process dies here; not an Exception, so that no handler lives on."""


class Faulty(Syscalls):
    """Fails call number `at`: `before` or `after` it is made by dying, or with an errno."""

    def __init__(self, at=-1, how="before"):
        self.at, self.how, self.count, self.dead = at, how, 0, False

    def perform(self, function, /, *args, **kwargs):
        if self.dead:
            raise Killed
        here, self.count = self.count == self.at, self.count + 1
        if here and isinstance(self.how, int):
            raise OSError(self.how, os.strerror(self.how))
        if here and self.how == "before":
            self.dead = True
            raise Killed
        try:
            return None if function is os.fsync else function(*args, **kwargs)  # the page cache outlives the process
        finally:
            if here:
                self.dead = True
                raise Killed


def live(life, system):
    life.open(system)
    for name in Life.STEPS[len(life.done) :]:
        life.run(name)


def calls_of_a_life(root):
    system = Faulty()
    live(Life(root), system)
    return system.count


@pytest.mark.parametrize("how", ["before", "after"])
def test_whenever_the_process_dies_what_was_acknowledged_holds_and_the_rest_can_be_made_again(tmp_path, how):
    for at in range(calls_of_a_life(tmp_path / "whole")):
        life = Life(tmp_path / str(at))
        with pytest.raises(Killed):
            live(life, Faulty(at, how))
        life.check()
        live(life, Faulty())
        life.check()
        life.clear()


@pytest.mark.parametrize("how", ["before", "after"])
def test_what_a_dead_process_left_can_be_collected(tmp_path, how):
    for at in range(calls_of_a_life(tmp_path / "whole")):
        life = Life(tmp_path / str(at))
        with pytest.raises(Killed):
            live(life, Faulty(at, how))
        life.open(Faulty())
        life.clear()


@pytest.mark.parametrize(("number", "kind"), [(errno.EIO, StoreUnavailable), (errno.ENOSPC, StoreFull)])
def test_whichever_call_fails_the_error_is_typed_and_the_same_store_recovers(tmp_path, number, kind):
    for at in range(calls_of_a_life(tmp_path / "whole")):
        life = Life(tmp_path / str(at))
        try:
            live(life, Faulty(at, number))
        except StoreError as error:
            assert type(error) is kind  # noqa: PT017
        if life.store is None:
            continue
        life.check()
        for name in Life.STEPS[len(life.done) :]:
            life.run(name)
        life.check()
        life.clear()


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "store-full"),
        (errno.EDQUOT, "store-full"),
        (errno.EIO, "store-unavailable"),
        (errno.EROFS, "store-unavailable"),
        (errno.EACCES, "store-unavailable"),
        (errno.EMFILE, "store-unavailable"),
    ],
)
def test_a_ping_tells_full_from_unavailable(tmp_path, number, code):
    system = Faulty()
    store = LocalStore(tmp_path, system=system)
    store.ping()
    before, system.count = system.count, 0
    assert before
    for call in range(3):  # open, write, sync
        system.count, system.at, system.how = 0, call, number
        with pytest.raises(StoreError) as caught:
            store.ping()
        assert caught.value.code == code


# ---- durability is the order of system calls: SIGKILL does not test it, the page cache survives


class Disk(Syscalls):
    """Keeps account of what a loss of power would take, and of names made for bytes not yet synced."""

    def __init__(self, root, omit=-1):
        self.root, self.omit, self.syncs = root, omit, 0
        self.files, self.directories, self.uncounting, self.wrong = set(), set(), set(), []
        self.names = {}

    def perform(self, function, /, *args, **kwargs):
        if function is os.fsync:
            self.syncs += 1
            if self.syncs - 1 != self.omit:
                self._sync(*args)
            return None
        note = getattr(self, f"_{function.__name__}", None)
        if note and function is not os.open:
            note(*args)
        result = function(*args, **kwargs)
        if function is os.open:
            self._open(result, *args)
        return result

    def _open(self, fd, path, flags, mode=0):
        self.names[fd] = path
        if flags & os.O_EXCL:
            self.files.add(os.fstat(fd).st_ino)
            self.directories.add(path.parent)

    def _sync(self, fd):
        self.files.discard(os.fstat(fd).st_ino)
        self.directories.discard(self.names[fd])
        self.uncounting.discard(self.names[fd].parent)

    def _pwrite(self, fd, data, offset):
        path, inode = self.names[fd], os.fstat(fd).st_ino
        if path.name == "body" and path.parent in self.uncounting:
            self.wrong.append("a part changes that would still count after a loss of power")
        if path.name == "parts" and offset:
            counts = bool(any(bytes(data)[:8]))
            if counts and (path.parent / "body").stat().st_ino in self.files:
                self.wrong.append("a part counts before its bytes are durable")
            if any(os.pread(fd, 8, offset)) and not counts:
                self.uncounting.add(path.parent)
            if not counts and path.parent not in self.uncounting:
                return  # one unfinished state instead of another
        self.files.add(inode)

    def _ftruncate(self, fd, size):
        self.files.add(os.fstat(fd).st_ino)

    def _link(self, source, target):
        if source.stat().st_ino in self.files:
            self.wrong.append(f"{target} names bytes that are not durable")
        self.directories.add(target.parent)

    _replace = _link

    def _mkdir(self, path, mode):
        self.directories.add(path.parent)

    def _unlink(self, path):
        if path.exists():
            self.directories.add(path.parent)
            if path.stat().st_nlink == 1:
                self.files.discard(path.stat().st_ino)

    def _rmdir(self, path):
        self.directories.add(path.parent)
        self.directories.discard(path)

    def expect(self, *paths):
        """Count these as not yet durable: a process that died here may have left them so."""
        for path in paths:
            if path.is_dir():
                self.directories.add(path)
            else:
                self.files.add(path.stat().st_ino)

    def settle(self, step):
        passing = {self.root / "temp", self.root / "guards"}
        if self.files or self.directories - passing or self.uncounting:
            self.wrong.append(f"{step} returned before all was durable")


def debris(life, step):
    """What a dead process may have left unsynced that a step relies on."""
    root = life.root
    found = {
        "put_again": [(root / "objects" / BLOB).parent, root / "objects"],
        "complete_again": [(root / "objects" / KEY).parent, root / "objects" / "bodies", root / "objects"],
        "fold": [root / "uploads" / life.upload / "body"],
        "abort": [root / "uploads"],
    }
    return found.get(step, [])


def wrongs(root, omit=-1):
    disk, life = Disk(root, omit), Life(root)
    life.open(disk)
    disk.settle("open")
    for name in Life.STEPS:
        disk.expect(*debris(life, name))
        life.run(name)
        disk.settle(name)
    return disk


def test_every_call_is_durable_when_it_returns(tmp_path):
    disk = wrongs(tmp_path / "store")
    assert disk.wrong == []
    assert disk.syncs > 40


def test_no_sync_can_be_left_out(tmp_path):
    syncs = wrongs(tmp_path / "whole").syncs
    unnoticed = [at for at in range(syncs) if not wrongs(tmp_path / str(at), omit=at).wrong]
    assert unnoticed == []


# ---- what is on the disk


def test_files_and_directories_are_the_services_alone(tmp_path):
    os.umask(os.umask(0))
    life = Life(tmp_path / "store")
    life.open(Syscalls())
    for name in Life.STEPS[: Life.STEPS.index("delete")]:
        life.run(name)
        for path in [life.root, *life.root.rglob("*")]:
            assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


def test_an_object_is_a_plain_file_of_its_bytes(tmp_path):
    life = Life(tmp_path / "store")
    life.open(Syscalls())
    for name in Life.STEPS[: Life.STEPS.index("lock")]:
        life.run(name)
    assert (tmp_path / "store" / "objects" / KEY).read_bytes() == b"".join(PARTS)


@pytest.fixture
def kept(tmp_path):
    """A store with one locked body in it."""
    life = Life(tmp_path / "store")
    life.open(Syscalls())
    for name in Life.STEPS[: Life.STEPS.index("begin_another")]:
        life.run(name)
    return life.store


def test_bytes_that_the_disk_lost_are_missed(kept):
    reader = kept.read(KEY)
    os.truncate(kept._objects / KEY, 70)
    assert kept.stat(KEY).size == 132
    assert b"".join(kept.read(KEY, length=70)) == b"".join(PARTS)[:70]
    for length in (None, 71):
        with pytest.raises(Truncated):
            kept.read(KEY, length=length)
    with pytest.raises(Truncated):
        list(reader)


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b"\xff", b'{"size":1,"parts":"","locked_until":"soon"}'])
def test_a_damaged_record_locks_rather_than_frees(kept, damage):
    (kept._records / KEY).write_bytes(damage)
    with pytest.raises(StoreUnavailable):
        kept.delete(KEY, now=NOW + 10 * DAY)
    assert (kept._objects / KEY).exists()


def test_a_store_that_is_gone_does_not_look_empty(kept):
    kept._objects.rename(kept._objects.with_name("elsewhere"))
    for call in (lambda: kept.stat(KEY), lambda: kept.read(KEY), lambda: kept.put(BLOB, b"", sha256=sha256(b""))):
        with pytest.raises(StoreUnavailable):
            call()


def test_a_link_in_the_place_of_an_object_is_not_followed(kept, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    (kept._objects / "headers" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(NotFound):
        kept.read("headers/link")


def test_a_torn_slot_counts_as_unfinished(tmp_path):
    life = Life(tmp_path / "store")
    life.open(Syscalls())
    for name in Life.STEPS[: Life.STEPS.index("complete")]:
        life.run(name)
    slots = life.root / "uploads" / life.upload / "parts"
    whole = slots.read_bytes()
    for at in range(64, 256, 7):
        slots.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(UploadIncomplete):
            life.complete()
    slots.write_bytes(whole)
    life.complete()


def test_a_list_of_parts_that_is_none_is_refused_and_can_be_aborted(tmp_path):
    life = Life(tmp_path / "store")
    life.open(Syscalls())
    life.begin()
    slots = life.root / "uploads" / life.upload / "parts"
    for damage, kind in ((b"", UploadNotFound), (bytes(64), StoreUnavailable)):
        slots.write_bytes(damage)
        with pytest.raises(kind):
            life.piece()
    life.store.abort(life.upload)
    assert list(life.store.uploads()) == []


def test_a_body_that_lost_bytes_is_not_published(tmp_path):
    life = Life(tmp_path / "store")
    life.open(Syscalls())
    for name in Life.STEPS[: Life.STEPS.index("complete")]:
        life.run(name)
    os.truncate(life.root / "uploads" / life.upload / "body", 131)
    with pytest.raises(UploadIncomplete):
        life.complete()
    assert list(life.store.keys("bodies")) == []


def test_sweep_leaves_what_is_young(tmp_path):
    store = LocalStore(tmp_path)
    (tmp_path / "temp" / "debris").write_bytes(b"x")
    assert store.sweep(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert store.sweep(datetime.now(UTC) + timedelta(hours=1)) == 1


class Stopped(Syscalls):
    """Stops before a kind of call, as if the process were suspended, and runs something else meanwhile."""

    def __init__(self, meanwhile, *, at):
        self.meanwhile, self.at = meanwhile, at

    def perform(self, function, /, *args, **kwargs):
        if function is self.at and self.meanwhile:
            run, self.meanwhile = self.meanwhile, None
            run()
        return function(*args, **kwargs)


def test_a_writer_suspended_before_its_write_cannot_touch_a_published_body(tmp_path):
    life = Life(tmp_path)
    life.open(Syscalls())
    for name in Life.STEPS[: Life.STEPS.index("complete")]:
        life.run(name)
    stale = LocalStore(tmp_path, system=Stopped(life.complete, at=fcntl.flock))
    with pytest.raises(UploadNotFound):
        stale.put_piece(life.upload, 1, 0, b"stale")
    assert everything(life.store, KEY) == b"".join(PARTS)


def test_a_writer_cannot_touch_a_published_body_whose_upload_a_crash_has_left(tmp_path):
    life = Life(tmp_path)
    life.open(Syscalls())
    for name in Life.STEPS[: Life.STEPS.index("complete")]:
        life.run(name)
    target = tmp_path / "objects" / KEY
    target.parent.mkdir(parents=True)
    os.link(tmp_path / "uploads" / life.upload / "body", target)
    for call in (life.piece, life.part, life.fold):
        with pytest.raises(UploadNotFound):
            call()
    assert target.read_bytes()[: 2 * PART] == b"".join(PARTS[:2])


def test_an_object_deleted_while_it_is_opened_is_not_found(tmp_path):
    store = LocalStore(tmp_path)
    store.put("headers/aa", b"one", sha256=sha256(b"one"))
    reader = LocalStore(tmp_path)
    reader._system = Stopped(lambda: store.delete("headers/aa", now=NOW), at=os.open)
    with pytest.raises(NotFound):
        reader.read("headers/aa")


RACER = """
import hashlib, sys
from pathlib import Path
from storage.interface import AlreadyExists
from storage.local import LocalStore
store, body = LocalStore(Path(sys.argv[1])), sys.argv[2].encode()
sys.stdin.readline()
try:
    store.put("headers/aa", body, sha256=hashlib.sha256(body).digest())
except AlreadyExists:
    print("refused")
else:
    print("kept")
"""


def test_of_several_processes_exactly_one_takes_a_key(tmp_path):
    command = [sys.executable, "-c", RACER, str(tmp_path / "store")]
    racers = [
        subprocess.Popen([*command, f"body {n}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(4)
    ]
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.communicate()[0].strip() for racer in racers]
    assert sorted(said) == ["kept", "refused", "refused", "refused"]
    with pytest.raises(AlreadyExists):
        LocalStore(tmp_path / "store").put("headers/aa", b"late", sha256=hashlib.sha256(b"late").digest())
    assert everything(LocalStore(tmp_path / "store"), "headers/aa") == f"body {said.index('kept')}".encode()
