"""What befalls a service that keeps a record: each is over when the service is ready again."""

import sqlite3
import time
from collections import defaultdict
from contextlib import closing

from tests.kills.killable import COMMITTED, SENT

TABLES = ("ledger", "statements", "pending", "log_leaves", "checkpoints")
PATIENCE = 60
MISTAKE = 500

ONE_FAILS = """
CREATE SEQUENCE nth;
CREATE FUNCTION nth() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
    IF nextval('nth') = {nth} THEN
        RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER nth BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION nth();
"""
NONE_FAILS = "DROP TRIGGER nth ON {table}; DROP FUNCTION nth(); DROP SEQUENCE nth;"

ALL_FAIL = """
CREATE TRIGGER nth BEFORE INSERT ON {table} WHEN (SELECT count(*) FROM {table}) >= {count}
BEGIN SELECT RAISE(ABORT, 'no room'); END
"""


def _has_struck(database, table, count):
    """Whether a table has all the rows it may get. Leaves come many at a time, and all of them go back: entries wait."""
    if table != "log_leaves":
        return database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] >= count
    oldest = "SELECT min(ledger_id) FROM pending"
    [(waiting,)] = database.execute(oldest)
    time.sleep(1)
    return waiting is not None and database.execute(oldest).fetchone()[0] == waiting


class Disasters:
    """Of one service.

    Attributes:
        ready: What happened → seconds from its end until all processes were ready, each time.
    """

    def __init__(self, service, random):
        self.service, self.random, self.ready = service, random, defaultdict(list)
        self.database = service.backend.database
        common = [self.killed, self.burnt]
        of_servers = [self.restarted, self.cut_off, self.one_insert_fails]
        self.kinds = common + (of_servers if self.database else [self.inserts_fail])

    def befall(self, kind, workers):
        """Let one of them happen."""
        kind(workers)
        self.ready[kind.__name__].append(max(each.ready() for each in self.service.processes))

    @staticmethod
    def mended(workers):
        """What was begun while inserts failed has been answered: from here on a 500 is one."""
        for each in workers:
            each.retried.discard(MISTAKE)

    def killed(self, _workers):
        """A process, at whatever it is doing."""
        process = self.random.choice(self.service.processes)
        process.kill()
        process.start()

    def burnt(self, _workers):
        """A process, right after a commit of its sequencer or of a request, or after an answer."""
        process = self.random.choice(self.service.processes)
        process.kill()
        process.start(self.random.choice([COMMITTED, SENT]), self.random.randrange(1, 30))
        assert process.gone()
        process.start()

    def restarted(self, _workers):
        """The database server, at once and without goodbyes."""
        self.database.server.restart(down=self.random.choice([0.0, 0.3]))

    def cut_off(self, _workers):
        """All sessions of the database."""
        self.database.terminate(self.database.sessions())

    def one_insert_fails(self, _workers):
        """The nth insert into a table, as if the disk were full."""
        table, nth = self.random.choice(TABLES), self.random.randrange(1, 8)
        server, name = self.database.server, self.database.name
        server.execute(ONE_FAILS.format(table=table, nth=nth), None, name)
        try:
            end = time.monotonic() + PATIENCE
            while server.execute("SELECT last_value FROM nth", None, name)[0][0] < nth:
                assert time.monotonic() < end, table
                time.sleep(0.02)
        finally:
            server.execute(NONE_FAILS.format(table=table), None, name)

    def inserts_fail(self, workers):
        """All inserts into a table from the nth on, until it is mended; SQLite knows no other error than our mistake."""
        table, nth = self.random.choice(TABLES), self.random.randrange(1, 8)
        for each in workers:
            each.retried.add(MISTAKE)
        with closing(sqlite3.connect(self.service.state / "rogatory.db", isolation_level=None, timeout=30)) as database:
            [(count,)] = database.execute(f"SELECT count(*) FROM {table}")
            database.execute(ALL_FAIL.format(table=table, count=count + nth))
            try:
                end = time.monotonic() + PATIENCE
                while not _has_struck(database, table, count + nth):
                    assert time.monotonic() < end, table
                    time.sleep(0.02)
            finally:
                database.execute("DROP TRIGGER nth")
