"""Faults at the nth durable call of a try: an error of the disk, half a write, or the end of the process.

Counted are the calls of the store that change something, every statement that writes to the database, each commit, and
the answer. Armed in a process that ends with the try.
"""

import errno
import os
import signal
import sqlite3
from contextlib import contextmanager
from threading import Lock

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from app.db.unit_of_work import UnitOfWork
from storage.syscalls import Syscalls

CHANGING = (os.pwrite, os.fsync, os.link, os.replace, os.ftruncate, os.unlink, os.mkdir, os.rmdir)
NUMBERS = {"eio": errno.EIO, "enospc": errno.ENOSPC}
SAID = {"eio": "disk I/O error", "enospc": "database or disk is full"}
WRITES = ("INSERT", "UPDATE", "DELETE")
STORE, DATABASE = {call.__name__ for call in CHANGING}, {"write", "commit"}


def kinds(name):
    """What can go wrong with a call."""
    if name == "answer":
        return ("kill",)
    if name == "write":
        return ("eio", "enospc", "kill")
    return ("eio", "enospc", "kill", "killed after", *(["torn"] if name == "pwrite" else []))


class Faults:
    """Counts calls; the one with the number `at` goes wrong in the way of `kind`."""

    def __init__(self, at=-1, kind="none"):
        self.at, self.kind, self.calls = at, kind, []
        self._guard = Lock()

    @contextmanager
    def armed(self, engine):
        """Inside, calls count and go wrong."""
        faults, perform, commit = self, Syscalls.perform, UnitOfWork.commit

        def performing(system, function, /, *args, **more):
            if function not in CHANGING:
                return perform(system, function, *args, **more)
            return faults.reached(function.__name__, lambda: perform(system, function, *args, **more), args)

        def committing(uow):
            return faults.reached("commit", lambda: commit(uow))

        event.listen(engine, "before_cursor_execute", self._statement)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Syscalls, "perform", performing)
            patch.setattr(UnitOfWork, "commit", committing)
            yield
        event.remove(engine, "before_cursor_execute", self._statement)

    def _statement(self, _connection, _cursor, statement, *_):
        if statement.startswith(WRITES):
            self.reached("write", lambda: None)

    def reached(self, name, go, args=()):
        with self._guard:
            here = len(self.calls) == self.at
            self.calls.append(name)
        if here and self.kind in NUMBERS:
            raise self._error(name)
        if here and self.kind == "torn":
            fd, data, offset = args
            os.pwrite(fd, data[: len(data) // 2], offset)
        if here and self.kind in {"kill", "torn"}:
            os.kill(os.getpid(), signal.SIGKILL)
        made = go()
        if here and self.kind == "killed after":
            os.kill(os.getpid(), signal.SIGKILL)
        return made

    def _error(self, name):
        if name in STORE:
            return OSError(NUMBERS[self.kind], os.strerror(NUMBERS[self.kind]))
        return OperationalError(name, {}, sqlite3.OperationalError(SAID[self.kind]))
