"""An answer is sent when all it promises is on the disk: the order of the system calls of real requests, as strace sees it.

SIGKILL does not test this, the page cache outlives the process. The law, held over every request: bytes are synced
before a name is given to them; what the store holds is synced, with all names that lead to it, before the database
commits; the write-ahead log is synced before anything else is done; and only then is there an answer.
"""

import pytest

from tests.faults.stage import ACTS
from tests.faults.trace import Law, Traced

RECORDED = {"append", "seal", "grant", "release"}
"""Acts that are answered with a place in the log: for these the sequencer's calls count too."""


@pytest.fixture(scope="module")
def traces(cast):
    """Act → the durable calls of one real request, the answer last."""
    return traced(cast)


def traced(cast, **changes):
    stage, found = cast.stage, {}
    stage.put_back()
    with Traced(stage, **changes) as server:
        for kind in ACTS:
            act = kind(cast)
            act.finish()
            found[act.name] = server.until_answered(recorded=act.name in RECORDED)
    return found


def test_every_request_syncs_before_it_answers(traces):
    for name, events in traces.items():
        assert Law().wrongs(events) == [], name


def test_what_is_seen_is_the_whole_of_it(traces):
    """The law would hold of requests that do nothing."""
    for name, events in traces.items():
        seen = {(event.call, event.room) for event in events}
        assert {("write", "wal"), ("sync", "wal"), ("answer", "")} <= seen, name
    calls = {(event.call, event.room) for events in traces.values() for event in events}
    wanted = {("write", "uploads"), ("sync", "uploads"), ("name", "objects"), ("sync", "objects"), ("name", "records")}
    assert wanted <= calls


def test_no_sync_of_any_request_could_be_left_out(traces):
    missed = []
    for name, events in traces.items():
        for at, event in enumerate(events):
            before, after = events[:at], events[at + 1 :]
            if event.call == "sync" and not Law().wrongs(before + after):
                missed.append((name, at, event, before, after))
    assert [each[:3] for each in missed if not made_twice(*each[2:])] == []


def made_twice(sync, before, after):
    """Whether a thing is synced again before anything depends on it, or was already.

    A piece that fills its part is folded at once, and a fold cannot know who synced what it finds.
    """
    if sync.room == "wal":
        return False
    law = Law()
    law.wrongs(before or [sync])
    if sync.path not in law.files.union(*law.names.values()):
        return any(event.path == sync.path for event in before)
    again = [at for at, event in enumerate(after) if (event.call, event.path) == ("sync", sync.path)]
    between = [event for event in after[: again[0]] if event.actor == "request"] if again else after
    return not any(event.room in {"wal", ""} or event.other == sync.path for event in between)


def test_no_answer_could_come_sooner(traces):
    for name, (*before, answer) in traces.items():
        sooner = [[*before[:at], answer, *before[at:]] for at in range(len(before))]
        assert [at for at, events in enumerate(sooner) if not Law().wrongs(events)] == [], name


@pytest.mark.parametrize("change", ["a lazy database", "a lazy store"])
def test_a_service_that_leaves_syncs_out_is_found_out(cast, change):
    changes = {"a lazy database": {"synchronous": "NORMAL"}, "a lazy store": {"lazy": True}}
    found = traced(cast, **changes[change])
    assert [name for name, events in found.items() if Law().wrongs(events)] != []
