"""Memory does not depend on the size of what is handed over: sealed, uploaded, downloaded, opened, verified."""

import shutil

import pytest

from tests.sizes.play import Play

MIB, GIB = 2**20, 2**30
SMALL, GROWTH = 64 * MIB, 64 * MIB


@pytest.fixture(scope="module")
def play(tmp_path_factory):
    made = Play(tmp_path_factory.mktemp("sizes"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def small(play):
    """The peaks of a small hand-over: imports, threads, buffers."""
    return play.turn(SMALL)


@pytest.mark.deep
def test_neither_sender_nor_service_needs_more_memory_for_a_body_beyond_any_disk(play, small, effort):
    _, sender, service = play.upload(effort.size(2 * GIB, 50 * GIB))
    assert sender - small.send <= GROWTH
    assert service - small.server_after_upload <= GROWTH


@pytest.mark.deep
def test_no_process_needs_more_memory_for_more_bytes(play, small, effort):
    size = effort.size(384 * MIB, 10 * GIB)
    size = min(size, max(384 * MIB, shutil.disk_usage(play.root).free // 4))  # received, sealed and plain
    grown = play.turn(size).less(small)
    assert {name: growth for name, growth in grown.items() if growth > GROWTH} == {}
