"""Of the writers of one upload never two write at once, whoever comes when."""

import hashlib
import threading

import pytest

from app.errors import StoreDown, UploadSuperseded
from app.services import desk
from app.services.desk import Desk, fresh_hash


def test_the_newcomer_waits_for_the_write_in_progress_and_no_other_begins():
    floor = Desk()
    older, writing, order = floor.enter("u", 1), threading.Event(), []

    def write():
        with older:
            writing.set()
            order.append("begun")
            threading.Event().wait(0.1)
            order.append("ended")

    thread = threading.Thread(target=write)
    thread.start()
    writing.wait()
    floor.enter("u", 2)
    assert order == ["begun", "ended"]
    thread.join()
    with pytest.raises(UploadSuperseded), older:
        order.append("never")


def test_a_third_waits_for_the_first_too():
    """The second may still be waiting for the first when the third comes."""
    floor = Desk()
    first, writing, go = floor.enter("u", 1), threading.Event(), threading.Event()
    entered = []

    def write():
        with first:
            writing.set()
            go.wait()

    def come(fence):
        floor.enter("u", fence)
        entered.append(fence)

    threads = [threading.Thread(target=write)]
    threads[0].start()
    writing.wait()
    for fence in (2, 3):
        threads.append(threading.Thread(target=come, args=(fence,)))
        threads[-1].start()
    threading.Event().wait(0.1)
    assert entered == []
    go.set()
    for thread in threads:
        thread.join()
    assert sorted(entered) in ([2, 3], [3])


def test_of_two_newcomers_the_one_with_the_higher_fence_stays():
    floor = Desk()
    floor.enter("u", 3)
    with pytest.raises(UploadSuperseded):
        floor.enter("u", 2)


def test_a_write_that_hangs_keeps_everybody_out_until_it_ends(monkeypatch):
    monkeypatch.setattr(desk, "_PATIENCE", 0.02)
    floor = Desk()
    first = floor.enter("u", 1)
    with first:
        for fence in (2, 3):
            with pytest.raises(StoreDown):
                floor.enter("u", fence)
    with floor.enter("u", 4):
        pass


def test_a_hash_is_recalled_for_its_offset_only_and_does_not_grow_in_the_shelf():
    floor, running = Desk(), fresh_hash()
    running.update(b"abc")
    floor.remember("u", 3, running)
    running.update(b"def")
    recalled = floor.recall("u", 3)
    recalled.update(b"x")
    assert floor.recall("u", 3).digest() == hashlib.sha256(b"abc").digest()
    assert floor.recall("u", 6) is None
    assert floor.recall("other", 3) is None
