"""Memory does not depend on the size of what is handed over: sealed, uploaded, downloaded, opened, verified."""

import shutil

import pytest

from tests.sizes.play import Play

MIB, GIB = 2**20, 2**30
SMALL, GROWTH = 64 * MIB, 64 * MIB


@pytest.fixture
def play(tmp_path):
    made = Play(tmp_path / "play")
    yield made
    made.close()


@pytest.mark.deep
def test_no_process_needs_more_memory_for_more_bytes(play, effort):
    size = effort.size(2 * GIB, 10 * GIB)
    size = min(size, max(2 * GIB, shutil.disk_usage(play.root).free // 4))  # received, sealed and plain
    small = play.turn(SMALL)
    grown = play.turn(size).less(small)
    assert {name: growth for name, growth in grown.items() if growth > GROWTH} == {}


@pytest.mark.deep
def test_neither_sender_nor_service_needs_more_memory_for_a_body_beyond_any_disk(play, effort):
    _, sender, service = play.upload(SMALL)
    _, sender_then, service_then = play.upload(effort.size(128 * MIB, 50 * GIB))
    assert sender_then - sender <= GROWTH
    assert service_then - service <= GROWTH
