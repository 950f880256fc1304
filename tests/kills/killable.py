"""`rogatory-server serve` in a process that kills itself inside a window, at the nth time it gets there.

The process of this module imports everything once, and for each line `window count log arguments…` on its input forks
the server that runs them. It says `pid N` when the server was forked, the server says `died WINDOW PLACE` before it does,
and this process `ended STATUS` afterwards. Nothing of this is reachable in production code: it is done to classes here.
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
from storage.local import LocalStore

DURABLE, COMMITTED, SENT = WINDOWS = ("bytes-durable", "row-committed", "answer-sent")
DURABLE_AFTER = ("put", "begin", "put_piece", "put_part", "fold", "complete", "lock")
"""Calls of the store that promise durable bytes when they return."""


class Fuse:
    """Counts how often a window was reached, and kills the process at the time that was drawn."""

    def __init__(self, window, count):
        self.window, self.left, self._guard = window, count, Lock()

    def reached(self, window, place):
        with self._guard:
            self.left -= window == self.window
            if self.left <= 0 and window == self.window:
                os.write(1, f"died {window} {place}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)


def after(owner, name, window, fuse):
    found = getattr(owner, name)

    @wraps(found)
    def reaching(*args, **more):
        made = found(*args, **more)
        fuse.reached(window, sys._getframe(1).f_code.co_name if name == "commit" else name)
        return made

    setattr(owner, name, reaching)


def arm(fuse):
    for name in DURABLE_AFTER:
        after(LocalStore, name, DURABLE, fuse)
    after(UnitOfWork, "commit", COMMITTED, fuse)
    send = RequestResponseCycle.send

    async def sending(self, message):
        await send(self, message)
        if self.response_complete and self.scope["method"] != "GET":  # who looks is promised nothing
            path = re.sub("[0-9a-f]{32,}", "…", self.scope["path"])
            fuse.reached(SENT, f"{self.scope['method']}{path.removeprefix('/v1')}")

    RequestResponseCycle.send = sending


def serve(window, count, log, arguments):
    arm(Fuse(window, int(count)))
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - the fuse writes to the descriptor
    try:
        main.cli(["serve", *arguments])
    except SystemExit as ended:
        os._exit(int(ended.code or 0))
    finally:
        os._exit(1)


def forking():
    for line in sys.stdin:
        window, count, log, *arguments = line.split()
        pid = os.fork()
        if pid == 0:
            serve(window, count, log, arguments)
        os.write(1, f"pid {pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        os.write(1, f"ended {os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    forking()
