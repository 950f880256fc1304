"""What a state of a send must withstand besides a crash: somebody else who goes on with it."""

import json
import subprocess
import sys

import pytest
from rogatory.resume import ItemState, ResumeStateBroken, SendState
from rogatory.tus import UploadTakenOver

ITEM = "ab" * 16
LOAD = "import pathlib, sys; from rogatory.resume import SendState; SendState.load(pathlib.Path(sys.argv[1])).close()"


@pytest.fixture
def running(tmp_path):
    state = SendState.begin(tmp_path / "p", {"package": "p"})
    state.begin_item(0, ItemState(ITEM, bytes(16), b"n" * 16, 5))
    yield state
    state.close()


def elsewhere(state):
    command = [sys.executable, "-c", LOAD, str(state.directory)]
    return subprocess.run(command, check=False, capture_output=True, text=True).stderr


def test_two_never_go_on_with_one_send(running):
    with pytest.raises(UploadTakenOver):
        SendState.load(running.directory)
    assert "UploadTakenOver" in elsewhere(running)


def test_a_send_that_ended_can_be_gone_on_with(running):
    running.close()
    assert elsewhere(running) == ""
    SendState.load(running.directory).close()


def test_what_was_admitted_before_the_lock_was_had_is_known(running):
    running.admit(0, 0, memoryview(b"first"), "x")
    running.close()
    again = SendState.load(running.directory)
    assert len(again.items[0].windows) == 1
    again.close()


def test_a_broken_state_lets_go_of_its_lock(running):
    path = running.directory / "state.jsonl"
    path.write_bytes(path.read_bytes() + json.dumps({"window": 7}).encode() + b"\n")
    running.close()
    for _ in range(2):
        with pytest.raises(ResumeStateBroken):
            SendState.load(running.directory)
