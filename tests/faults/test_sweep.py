"""Each durable call of each act goes wrong once, in each way: nothing is lost, nothing half there, and it goes on."""

from collections import Counter

import pytest

from tests.faults.faults import DATABASE, STORE, Faults, kinds
from tests.faults.stage import ACTS

POINTS = 200


@pytest.fixture(scope="module")
def whole(cast):
    """For each act: the calls it makes when nothing goes wrong, and what there is then."""
    made = {}
    for act in ACTS:
        faults = Faults()
        found, picture = played(cast, act(cast), faults)
        made[act] = (faults.calls, found, picture)
    return made


def played(cast, act, faults):
    """The act made until it is done, by a service that lives on whatever goes wrong."""
    stage = cast.stage
    stage.put_back()

    def work():
        with faults.armed(stage.runtime.engine):
            act.finish()
            faults.reached("answer", lambda: None)
        return stage.findings(), stage.picture()

    return stage.live(work, migrating=False)


def killed(cast, act, faults):
    """The act ended by a kill, and gone on with by the next process."""
    stage = cast.stage
    stage.put_back()

    def first():
        with faults.armed(stage.runtime.engine):
            act.finish()
            faults.reached("answer", lambda: None)

    def second():
        found = stage.findings()
        check_lists(cast)
        act.finish()
        return found, stage.picture()

    assert stage.fork(first, migrating=False) is None, "it was not killed"
    return stage.live(second)


def check_lists(cast):
    """Whatever a recipient is shown is whole; whatever is published has its name in the record, or will be collected."""
    stage, bob = cast.stage, cast.bob
    headers = {"Authorization": f"Bearer {bob._token}"}
    assert stage.http.request("GET", "/readyz").status_code == 200
    for package in stage.http.request("GET", "/v1/packages", headers=headers).json()["packages"]:
        whole = package["state"] != "declared"
        assert whole == ("manifest" in package) == ("retain_until" in package)
        assert not whole or {item["state"] for item in package["items"]} == {"sealed"}


def test_every_act_is_done_and_found_sound_when_nothing_goes_wrong(whole):
    for act, (calls, found, _) in whole.items():
        assert found == [], act
        assert calls[-1] == "answer"
        assert "commit" in calls[:-1]


def test_the_acts_make_every_kind_of_call(whole):
    made = Counter(name for calls, _, _ in whole.values() for name in calls)
    assert set(made) == STORE | DATABASE | {"answer"}


@pytest.mark.deep(weight=3)
def test_whichever_call_goes_wrong_what_was_acknowledged_is_there_and_the_result_is_the_same(cast, whole, effort):
    points = [
        (act, at, kind) for act, (calls, _, _) in whole.items() for at, name in enumerate(calls) for kind in kinds(name)
    ]
    effort.random.shuffle(points)
    assert len(points) > POINTS
    for turn in effort.turns(usual=POINTS, full=len(points)):
        act, at, kind = points[turn]
        calls, _, picture = whole[act]
        play = played if kind in {"eio", "enospc"} else killed
        found, after = play(cast, act(cast), Faults(at, kind))
        assert found == [], (act, at, calls[at], kind)
        assert after == picture, (act, at, calls[at], kind)
