"""What a served request asks of the kernel, seen by strace, and the law that its order must keep."""

import codecs
import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import PurePosixPath
from typing import NamedTuple

import uvicorn

from app.api import uploads
from app.db import engine as engines
from storage.syscalls import Syscalls
from tests.app import party

CALLS = "pwrite64,fsync,fdatasync,link,linkat,rename,renameat,renameat2,mkdir,unlink,unlinkat,rmdir,ftruncate,openat,write,writev,sendto,sendmsg"
LINE = re.compile(r"(?P<pid>\d+) +(?P<call>\w+)\((?P<rest>.*)")
RESUMED = re.compile(r"(?P<pid>\d+) +<\.\.\. (?P<call>\w+) resumed>(?P<rest>.*)")
FILE = re.compile(r"\d+<(?P<path>[^>]*)>")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
ANSWER = re.compile(r'"HTTP/1\.1 (\d)')
SENDS = {"write", "writev", "sendto", "sendmsg"}
BEGIN = SENDS | {"pwrite64"}
PASSING = {"temp", "guards"}
FRAME = 24
"""Bytes of a header in SQLite's write-ahead log; the second four say that a transaction ends here."""
ANY_TRACER = 0x59616D61, -1
"""prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY): a system may let only a process's parents look at it."""
DIE_WITH_PARENT = 1, signal.SIGKILL
PATIENCE = 30


class Event(NamedTuple):
    """A durable call, or the answer: who made it (`log`: the sequencer), what, in which room, on which path."""

    actor: str
    call: str
    room: str
    path: str
    other: str = ""


class Law:
    """Keeps account of what a loss of power would take."""

    def __init__(self):
        self.files, self.names, self.wal, self.wrong = set(), {}, set(), []
        self.committed = False

    def wrongs(self, events):
        """What is wrong with the durable calls of one request; its answer is the last of them."""
        for event in events:
            getattr(self, event.call)(event)
        if events[-1].call != "answer":
            self.wrong.append(f"{events[-1]} after the answer")
        return self.wrong

    def _quiet(self, event):
        if event.actor in self.wal:
            self.wrong.append(f"{event.call} of {event.path} while a commit is not on the disk")

    def write(self, event):
        if event.room == "wal":
            if event.actor == "request" and (self.files or self.names):
                self.wrong.append(f"a commit before {self.files or self.names} is on the disk")
            if self.committed and event.other != "page":
                self.wrong.append("a transaction after one that is not on the disk")
            self.committed = self.committed or event.other == "commit"
            self.wal.add(event.actor)
            return
        self._quiet(event)
        self.files.add(event.path)

    def name(self, event):
        """A new name: what it names is synced before, and every directory that leads to it after."""
        self._quiet(event)
        if event.other in self.files:
            self.wrong.append(f"{event.path} names bytes that are not on the disk")
        where = PurePosixPath(event.path).parent
        if not event.other:
            self.files.add(event.path)
        self.names[event.path] = {str(each) for each in (where, *where.parents) if event.room in each.parts}

    def gone(self, event):
        self._quiet(event)
        for path in [path for path in self.files | self.names.keys() if PurePosixPath(path).is_relative_to(event.path)]:
            self.files.discard(path)
            self.names.pop(path, None)
        self.names[event.path] = {str(PurePosixPath(event.path).parent)}

    def sync(self, event):
        if event.room == "wal":
            self.wal.clear()
            self.committed = False
        self.files.discard(event.path)
        for name in list(self.names):
            self.names[name].discard(event.path)
            if not self.names[name]:
                del self.names[name]

    def answer(self, _event):
        if self.files or self.names or self.wal:
            self.wrong.append(f"an answer before {self.files or self.names or self.wal} is on the disk")


class Traced:
    """The service in a process of its own, under strace; `stage.http` talks to it."""

    def __init__(self, stage, *, synchronous="FULL", lazy=False):
        self.stage, self.synchronous, self.lazy = stage, synchronous, lazy
        self.strace = None
        self.out, self._read, self._open = stage.directory / "strace", 0, {}

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            ready, said = os.pipe()
            told, go = os.pipe()
            self.pid = os.fork()
            if self.pid == 0:
                self._serve(listener, said, told)
        self.log_thread = int(os.read(ready, 20))
        options = ["-f", "-y", "-s", "24", "-e", f"trace={CALLS}", "-o", self.out, "-p", str(self.pid)]
        self.strace = subprocess.Popen(["strace", *options], stderr=subprocess.PIPE, text=True)
        assert "attached" in self.strace.stderr.readline()
        os.write(go, b"!")
        for each in (ready, said, told, go):
            os.close(each)
        self.stage.http = party.client(f"http://127.0.0.1:{self.port}")
        self.until_answered(recorded=False, asked=self.stage.http.get("/readyz"))

    def __exit__(self, *_):
        self.stage.http.close()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        if self.strace is not None:
            self.strace.wait(PATIENCE)
            self.strace.stderr.close()

    def _serve(self, listener, said, told):
        try:
            for option in (ANY_TRACER, DIE_WITH_PARENT):
                ctypes.CDLL(None).prctl(*option)
            uploads._AHEAD = (
                0  # the law is about one part at a time; tests/app/api/test_parts_side_by_side.py has the rest
            )
            engines._SETTINGS = tuple(each.replace("=FULL", f"={self.synchronous}") for each in engines._SETTINGS)
            if self.lazy:
                perform = Syscalls.perform
                Syscalls.perform = lambda *call, **more: None if call[1] is os.fsync else perform(*call, **more)
            self.stage.open(threaded=True)
            [thread] = [each for each in threading.enumerate() if each.name == "sequencer"]
            os.write(said, str(thread.native_id).encode())
            os.read(told, 1)
            config = uvicorn.Config(self.stage.app, ws="none", lifespan="off", log_config=None, access_log=False)
            uvicorn.Server(config).run(sockets=[listener])
        except BaseException as error:  # noqa: BLE001 - the parent sees a server that is not there
            sys.__stderr__.write(f"{error!r}\n")
        finally:
            os._exit(1)

    def until_answered(self, *, recorded, asked=None):
        """The durable calls since the last time, up to the last answer; the sequencer's if they count."""
        assert asked is None or asked.status_code == 200, asked.text
        end, events = time.monotonic() + PATIENCE, []
        while not any(event.call == "answer" for event in events):
            assert time.monotonic() < end, "strace saw no answer"
            time.sleep(0.05)
            events += self._new()
        time.sleep(0.1)
        events += self._new()
        *before, _ = (at for at, event in enumerate(events) if event.call == "answer")
        counted = [event for at, event in enumerate(events) if at not in before and (recorded or event.actor != "log")]
        while counted[-1].actor == "log":  # what the sequencer does next is promised to nobody
            counted.pop()
        return counted

    def _new(self):
        with self.out.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
            self._read += len(whole) + len(newline)
        return [event for line in whole.decode().splitlines() for event in self._events(line)]

    def _events(self, line):
        """A write counts when it begins, a sync or a name when it has been made."""
        match, resumed = LINE.match(line), RESUMED.match(line)
        if match is None and resumed is None:
            return
        pid, call, rest = (match or resumed).group("pid", "call", "rest")
        if match and rest.endswith("<unfinished ...>"):
            self._open[pid] = rest.removesuffix("<unfinished ...>")
            rest = self._open[pid] if call in BEGIN else ""
        elif resumed:
            begun = self._open.pop(pid)
            rest = "" if call in BEGIN else begun + rest
        if rest:
            yield from self._event(int(pid), call, rest)

    def _event(self, pid, call, rest):
        actor = "log" if pid == self.log_thread else "request"
        if " = -1 " in rest:
            return
        if call in SENDS:
            if ANSWER.search(rest):
                yield Event(actor, "answer", "", "")
            return
        file = FILE.match(rest)
        names = QUOTED.findall(rest)
        path = file["path"] if file else ""
        if call in {"pwrite64", "ftruncate"}:
            yield from self._on(actor, "write", path, _frame(names[0]) if f'", {FRAME}, ' in rest else "page")
        elif call in {"fsync", "fdatasync"}:
            yield from self._on(actor, "sync", path)
        elif call == "openat":
            if "O_EXCL" in rest:
                yield from self._on(actor, "name", names[0])
        elif call in {"unlink", "unlinkat", "rmdir"}:
            yield from self._on(actor, "gone", names[0])
        elif call == "mkdir":
            yield from self._on(actor, "name", names[0], names[0])
        else:
            yield from self._on(actor, "name", names[1], names[0])

    def _on(self, actor, call, path, other=""):
        if path.endswith("-wal"):
            yield Event(actor, call, "wal", path, other)
            return
        try:
            room = PurePosixPath(path).relative_to(self.stage.settings.store).parts[0]
        except (ValueError, IndexError):
            return
        if room not in PASSING:
            yield Event(actor, call, room, path, other)


def _frame(shown):
    """Whether a frame ends a transaction, by its header."""
    return "commit" if any(codecs.escape_decode(shown)[0][4:8]) else "frame"
