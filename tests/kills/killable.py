"""`rogatory-server serve` in processes that kill themselves inside a window, at the nth time they get there.

The process of this module imports everything once, and for each line `name window count log arguments…` on its input
forks the server that runs them, and a keeper that waits for it. Lines on its output begin with the name: `pid N` when
the server was forked, `died WINDOW PLACE` said by the server before it kills itself, `ended STATUS` by its keeper
afterwards. Nothing of this is reachable in production code: it is done to classes here.
"""

import os
import re
import signal
import sys
from functools import wraps
from threading import Lock

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app import main
from app.db.unit_of_work import UnitOfWork
from app.main import assembly, server
from storage.local import LocalStore
from storage.s3 import S3Store

DURABLE, COMMITTED, SENT = WINDOWS = ("bytes-durable", "row-committed", "answer-sent")
IMPORTED = (assembly, server)
"""What a command would import only when it is called: once, here."""

NEVER = "none"
DURABLE_AFTER = ("put", "begin", "put_piece", "put_part", "fold", "complete", "lock")
"""Calls of a store that promise durable bytes when they return."""


class Fuse:
    """Counts how often a window was reached, and kills the process at the time that was drawn."""

    def __init__(self, name, window, count):
        self.name, self.window, self.left, self._guard = name, window, count, Lock()

    def reached(self, window, place):
        with self._guard:
            self.left -= window == self.window
            if self.left <= 0 and window == self.window:
                say(self.name, "died", window, place)
                os.kill(os.getpid(), signal.SIGKILL)


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def after(owner, name, window, fuse):
    found = getattr(owner, name)

    @wraps(found)
    def reaching(*args, **more):
        made = found(*args, **more)
        fuse.reached(window, sys._getframe(1).f_code.co_name if name == "commit" else name)
        return made

    setattr(owner, name, reaching)


def arm(fuse):
    for store in (LocalStore, S3Store):
        for name in DURABLE_AFTER:
            after(store, name, DURABLE, fuse)
    after(UnitOfWork, "commit", COMMITTED, fuse)
    send = RequestResponseCycle.send

    async def sending(self, message):
        await send(self, message)
        if self.response_complete and self.scope["method"] != "GET":  # who looks is promised nothing
            path = re.sub("[0-9a-f]{32,}", "…", self.scope["path"])
            fuse.reached(SENT, f"{self.scope['method']}{path.removeprefix('/v1')}")

    RequestResponseCycle.send = sending


def serve(fuse, log, arguments):
    arm(fuse)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - the fuse writes to the descriptor
    try:
        main.cli(["serve", *arguments])
    except SystemExit as ended:
        os._exit(int(ended.code or 0))
    finally:
        os._exit(1)


def keep(name, window, count, log, arguments):
    """Fork a server and wait for its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        serve(Fuse(name, window, int(count)), log, arguments)
    say(name, "pid", pid)
    _, status = os.waitpid(pid, 0)
    say(name, "ended", os.waitstatus_to_exitcode(status))
    os._exit(0)


def forking():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    for line in sys.stdin:
        name, window, count, log, *arguments = line.split()
        if os.fork() == 0:
            keep(name, window, count, log, arguments)


if __name__ == "__main__":
    forking()
