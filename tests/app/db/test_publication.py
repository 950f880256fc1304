"""Who waits for a record is woken when it can be there, not by each that comes before."""

import threading

from app.db.publication import Bell


def waiter(bell, mark):
    thread = threading.Thread(target=bell.await_mark, args=(mark, 60), daemon=True)
    thread.start()
    return thread


def test_a_mark_wakes_those_it_reaches_and_lets_the_others_wait():
    bell = Bell()
    bell.ring(1)
    near, far = waiter(bell, 5), waiter(bell, 9)
    bell.ring(7)
    near.join(30)
    assert not near.is_alive()
    assert far.is_alive()
    bell.ring(3)  # an older one takes nothing back
    bell.ring(9)
    far.join(30)
    assert not far.is_alive()


def test_nobody_waits_for_a_mark_where_none_was_ever_set():
    bell = Bell()
    bell.ring()
    waiter(bell, 5).join(30)
    bell.await_mark(5, 0)
