"""Resuming a send: one key and counter never seal two plaintexts."""

import os
import stat

import pytest
from rogatory import private_files
from rogatory.pipeline import Sealing
from rogatory.resume import WINDOW, ItemState, SendState, unfinished
from rogatory.source import SourceChanged, sources

from custody.inventory import Line

GRID = 16 * 1024 * 1024
ITEM = "ab" * 16


def begin(tmp_path, size):
    state = SendState.begin(tmp_path / "sends" / "p", {"package": "p"})
    state.begin_item(0, ItemState(ITEM, bytes(16), b"n" * 16, size))
    return state


def sealed(state, path):
    made = Sealing(sources([path])[0], state, 0, GRID)
    return b"".join(bytes(piece) for piece in made.body()), made.result()


@pytest.fixture
def evidence(tmp_path):
    path = tmp_path / "disk.dd"
    path.write_bytes(os.urandom(2 * WINDOW + 12345))
    return path


def test_a_resumed_body_is_the_same_body(tmp_path, evidence):
    state = begin(tmp_path, evidence.stat().st_size)
    body, result = sealed(state, evidence)
    state.close()
    again = SendState.load(tmp_path / "sends" / "p")
    assert sealed(again, evidence) == (body, result)
    again.close()


def test_every_window_is_on_disk_before_any_of_it_is_sealed(tmp_path, evidence):
    state = begin(tmp_path, evidence.stat().st_size)
    body = Sealing(sources([evidence])[0], state, 0, GRID).body()
    next(body)  # the nonce
    for number in range(3):
        next(body)
        assert (tmp_path / "sends" / "p" / "state.jsonl").read_bytes().count(b'"window"') > number
    body.close()
    state.close()


@pytest.mark.parametrize("place", [0, WINDOW - 1, WINDOW, 2 * WINDOW + 12344])
def test_a_changed_window_is_never_encrypted_again(tmp_path, evidence, place):
    state = begin(tmp_path, evidence.stat().st_size)
    body, _ = sealed(state, evidence)
    state.close()
    with evidence.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 1]))
    again, left = SendState.load(tmp_path / "sends" / "p"), []
    with pytest.raises(SourceChanged, match="not what was sent before"):
        left.extend(map(bytes, Sealing(sources([evidence])[0], again, 0, GRID).body()))
    again.close()
    assert body.startswith(b"".join(left))


def test_a_crash_in_the_middle_of_a_line_loses_that_line_only(tmp_path):
    state = begin(tmp_path, 5)
    state.admit(0, 0, memoryview(b"first"), "x")
    state.close()
    path = tmp_path / "sends" / "p" / "state.jsonl"
    whole = path.read_bytes()
    for cut in range(whole.rindex(b"\n", 0, -1) + 2, len(whole)):
        path.write_bytes(whole[:cut])
        again = SendState.load(tmp_path / "sends" / "p")
        assert again.items[0].windows == []
        again.admit(0, 0, memoryview(b"first"), "x")
        again.close()
        assert path.read_bytes() == whole


def test_the_state_is_private_and_gone_when_removed(tmp_path):
    state = begin(tmp_path, 5)
    state.finish_item(ITEM, {"id": ITEM}, [])
    assert {stat.S_IMODE(path.stat().st_mode) for path in state.directory.iterdir()} == {0o600}
    assert list(unfinished(tmp_path / "sends")) == ["p"]
    state.remove()
    assert list(unfinished(tmp_path / "sends")) == []
    assert not state.directory.exists()


def test_a_state_that_others_can_read_is_refused(tmp_path):
    begin(tmp_path, 5).close()
    (tmp_path / "sends" / "p" / "state.jsonl").chmod(0o640)
    with pytest.raises(private_files.FileExposed):
        SendState.load(tmp_path / "sends" / "p")


def test_finished_items_come_back_as_they_were(tmp_path):
    lines = [
        Line(path=b"\xff", type="symlink", target=b"\xfe", mtime=None),
        Line(path=b"x", type="file", size=1, sha256=b"1" * 32, blake3=b"2" * 32, extents=[(ITEM, 0, 1)], mtime=None),
    ]
    state = begin(tmp_path, 1)
    state.finish_item(ITEM, {"id": ITEM, "size": 33}, lines)
    sealed_fields, found = state.finished(ITEM)
    state.close()
    assert (sealed_fields, [line.fields(b"") for line in found]) == (
        {"id": ITEM, "size": 33},
        [line.fields(b"") for line in lines],
    )


def test_no_secret_shows_in_a_repr():
    shown = repr(ItemState(ITEM, b"secret-file-key!", b"n" * 16, 1))
    assert "secret" not in shown


@pytest.mark.parametrize("size", [0, 1, 65536, WINDOW - 1, WINDOW, WINDOW + 1])
def test_a_body_opens_to_its_plaintext(tmp_path, size):
    import io

    from custody.sealing import BodyReader, body_size

    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    state = begin(tmp_path, size)
    body, result = sealed(state, path)
    state.close()
    assert len(body) == result.digests.size == body_size(size)
    with BodyReader(io.BytesIO(body), bytes(16), size=len(body)) as reader:
        assert reader.readall() == path.read_bytes()
