"""The sequencer's process is killed at each thing it does: the log goes on, whole, and never shorter."""

import gc
import os
import signal
import time
from collections import Counter

import pytest
from sqlalchemy import event, select

from app.db.engine import connect
from app.db.fresh import Board
from app.db.log_models import LogLeaf
from app.db.unit_of_work import UnitOfWork
from app.errors import NotFound
from app.jobs import sequencer as sequencing
from app.jobs.sequencer import NotElected
from custody import merkle
from tests.app.jobs.test_sequencer import check_everything, newest

PATIENCE = 30
BATCH = 4
"""Most entries of a batch here, so that a turn has two."""

SHOULD_MEET = {
    "INSERT log_leaves",
    "UPDATE tiles",
    "DELETE pending",
    "INSERT checkpoints",
    "UPDATE sequencer_term",
    *(f"{when} {what}" for when in ("before", "after") for what in ("commit", "sign", "publish")),
}
"""Election; pending → leaves, tiles; checkpoint signed, kept, told to those who wait."""


class Points:
    """Counts what the sequencer does, and kills the process at the point with a number; writes are points before them."""

    def __init__(self, at, told):
        self.at, self.told, self.count = at, told, 0

    def __call__(self, name):
        os.write(self.told, f"{name}\n".encode())
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1

    def watch(self, engine, patch):
        """Let them be met in this process."""

        def around(owner, name, said):
            found = getattr(owner, name)

            def between(*args, **more):
                self(f"before {said}")
                made = found(*args, **more)
                self(f"after {said}")
                return made

            patch.setattr(owner, name, between)

        around(UnitOfWork, "commit", "commit")
        around(sequencing, "sign_checkpoint", "sign")
        around(Board, "put_up", "publish")
        event.listen(engine, "before_cursor_execute", self._before)

    def _before(self, _connection, _cursor, statement, *_):
        if name := _writes(statement):
            self(name)


def _writes(statement):
    """What a statement writes to, if it does."""
    words = statement.replace('"', "").split()
    if words[0] not in {"INSERT", "UPDATE", "DELETE"}:
        return None
    return f"{words[0]} {words[1] if words[0] == 'UPDATE' else words[2]}"


def play(world, at):
    """A process keeps the log until nothing waits, or it is killed: whether it was, and what it met."""
    receive, send = os.pipe()
    gc.freeze()
    pid = os.fork()
    if pid == 0:
        os.close(receive)
        _keep_log(world, Points(at, send))
    os.close(send)
    with os.fdopen(receive) as said:
        met = said.read().splitlines()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in {0, -signal.SIGKILL}, status
    return status != 0, met


def _keep_log(world, points):
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sequencing, "_MOST", BATCH)
            engine = connect(world.database.url)
            points.watch(engine, patch)
            elected(world.another_sequencer(engine))
        os._exit(0)
    finally:
        os._exit(1)


def elected(sequencer):
    """Keep the log until nothing waits; whoever was killed may seem alive for a moment."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            while sequencer.run_once():
                pass
        except NotElected:
            time.sleep(0.005)
        else:
            return
    raise AssertionError("nobody is elected")


def leaves(world):
    with world.reading() as session:
        return list(session.scalars(select(LogLeaf.data).order_by(LogLeaf.idx)))


def signed(world):
    """Size and root of the newest checkpoint."""
    try:
        shown, _ = newest(world)
    except NotFound:
        return 0, merkle.root([])
    return shown.size, shown.root


def test_killed_at_any_point_the_log_goes_on_and_nothing_is_lost_or_doubled(world):
    chains, met, at, killed = [world.open_chain() for _ in range(2)], Counter(), 0, True
    elected(world.sequencer)
    kept = leaves(world)
    shown = signed(world)
    while killed:
        for chain in chains:
            world.note(chain, 3)
        world.close()
        killed, passed = play(world, at)
        met.update(passed[-1:])
        at += 1
        died = signed(world)
        assert died[0] >= shown[0]
        world.restart()
        elected(world.sequencer)
        whole, shown = leaves(world), signed(world)
        assert whole[: len(kept)] == kept
        assert merkle.root(map(merkle.leaf_hash, whole[: died[0]])) == died[1]
        assert merkle.root(map(merkle.leaf_hash, whole)) == shown[1]
        check_everything(world)
        kept = whole
    assert set(met) >= SHOULD_MEET
