"""`fsck` and `collect` as the operator types them."""

import json
import os
import sqlite3
import time

import pytest

from storage import keys
from storage.local import LocalStore
from tests.app.test_main import Served, run


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    made = tmp_path_factory.mktemp("upkeep") / "state"
    Served(made).stop()
    return made


def test_a_sound_state_is_said_to_be_sound_beside_a_service_and_without_one(state):
    assert ": 0 findings" in run("fsck", "--state", state).stdout
    served = Served(state)
    try:
        assert "read back: 0 findings" in run("fsck", "--objects", "--state", state).stdout
    finally:
        served.stop()


def test_what_does_not_add_up_is_told_and_ends_with_20(state):
    database = sqlite3.connect(state / "rogatory.db")
    query = "UPDATE chains SET next_seq = next_seq + {}"
    database.execute(query.format(1))
    database.commit()
    try:
        said = run("fsck", "--state", state, expect=20).stdout
        lines = run("fsck", "--json", "--state", state, expect=20).stdout.splitlines()
    finally:
        database.execute(query.format(-1))
        database.commit()
        database.close()
    assert said.startswith("chains.next_seq: service @service\n  expected 1\n  found    2\n")
    finding, summary = map(json.loads, lines)
    assert finding == {"what": "chains.next_seq", "where": "service @service", "expected": "1", "found": "2"}
    assert summary["findings"] == 1


@pytest.mark.parametrize("command", ["fsck", "collect"])
def test_where_there_is_no_state_none_is_made(tmp_path, command):
    assert "no state" in run(command, "--state", tmp_path / "none", expect=7).stderr
    assert not (tmp_path / "none").exists()


def test_orphans_are_told_of_and_then_removed(state):
    store = LocalStore(state / "store")
    upload = store.begin(keys.body("01" * 16, "02" * 16), part_size=1 << 24)
    assert run("collect", "--state", state).stdout == "removed: nothing\n"
    old = time.time() - 7200
    os.utime(state / "store" / "uploads" / upload, (old, old))
    for dry in (True, False):
        options = ["--older-than", "1h", *(["--dry-run"] if dry else [])]
        said = run("collect", *options, "--state", state).stdout
        assert upload in said
        assert said.endswith(f"{'would remove' if dry else 'removed'}: 1 × upload\n")
        assert len(list(store.uploads())) == int(dry)


@pytest.mark.parametrize("age", ["59min", "x", "-1h"])
def test_an_age_that_could_hit_what_is_in_use_is_refused(state, age):
    assert "--older-than" in run("collect", f"--older-than={age}", "--state", state, expect=2).stderr
