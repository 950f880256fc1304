"""Memory does not depend on the size of what is handed over: sealed, uploaded, downloaded, opened, verified."""

import shutil
import time

import pytest

from tests.sizes.play import Play

MIB, GIB = 2**20, 2**30
SMALL, GROWTH = 64 * MIB, 64 * MIB
SPARE = 2 * GIB


@pytest.fixture(scope="module")
def play(tmp_path_factory):
    made = Play(tmp_path_factory.mktemp("sizes"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def small(play):
    """The peaks of a small hand-over: imports, threads, buffers."""
    return play.turn(SMALL)


def grown(effort, work, usual, full):
    """What work of the usual size gives; in a deep run, of the full size or what the time left is enough for."""
    began = time.monotonic()
    found = work(usual)
    if effort.deep:
        return work(effort.size(usual, full, each_s=(time.monotonic() - began) / usual))
    return found


@pytest.mark.deep(weight=5)
def test_neither_sender_nor_service_needs_more_memory_for_a_body_beyond_any_disk(play, small, effort):
    _, sender, service = grown(effort, play.upload, 2 * GIB, 10 * GIB)
    effort.tell(
        f"sender {(sender - small.send) // MIB}, service {(service - small.server_after_upload) // MIB} MiB more"
    )
    assert sender - small.send <= GROWTH
    assert service - small.server_after_upload <= GROWTH


@pytest.mark.deep(weight=5)
def test_no_process_needs_more_memory_for_more_bytes(play, small, effort):
    play.begin_anew()  # or the service's peak would be that of the upload before
    usual = GIB if effort.deep else 384 * MIB
    room = max(usual, shutil.disk_usage(play.root).free - SPARE)
    more = grown(effort, play.turn, usual, min(10 * GIB, room)).less(small)
    effort.tell(f"{ {name: growth // MIB for name, growth in more.items()} } MiB more")
    assert {name: growth for name, growth in more.items() if growth > GROWTH} == {}
