"""Writers of one process come one after the other, in the order in which they asked."""

import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.db.engine import connect
from app.db.turns import Turns
from app.db.unit_of_work import UnitOfWork


def asking(turns, order, number, **how):
    thread = threading.Thread(target=lambda: (turns.take(30, **how), order.append(number), turns.give()))
    waiting = len(turns._waiting)
    thread.start()
    while len(turns._waiting) == waiting and thread.is_alive():
        threading.Event().wait(0.001)
    return thread


def test_turns_come_in_the_order_in_which_they_were_asked_for():
    turns, order = Turns(), []
    assert turns.take(0)
    threads = [asking(turns, order, number) for number in range(20)]
    turns.give()
    for thread in threads:
        thread.join()
    assert order == list(range(20))
    assert turns.take(0)


def test_who_gives_up_waiting_is_passed_over():
    turns = Turns()
    assert turns.take(0)
    assert not turns.take(0.01)
    turns.give()
    assert turns.take(0)
    assert not turns.take(0)


@pytest.fixture
def engine(tmp_path):
    made = connect(f"sqlite:///{tmp_path}/turns.db")
    with made.begin() as connection:
        connection.execute(text("CREATE TABLE counted (n INTEGER)"))
    yield made
    made.dispose()


def test_a_turn_ends_however_its_transaction_ends(engine):
    with UnitOfWork(engine) as uow:
        uow.session.execute(text("INSERT INTO counted VALUES (1)"))
        uow.commit()
    with UnitOfWork(engine) as uow:
        uow.session.execute(text("INSERT INTO counted VALUES (2)"))  # and is rolled back
    with pytest.raises(OperationalError), UnitOfWork(engine) as uow:
        uow.session.execute(text("INSERT INTO absent VALUES (3)"))
    uow = UnitOfWork(engine)
    with uow:
        uow.session.execute(text("INSERT INTO counted VALUES (4)"))
        uow.session.connection().invalidate()  # as of a database that went away
    with UnitOfWork(engine) as uow:
        uow.session.execute(text("INSERT INTO counted VALUES (5)"))
        uow.commit()
        uow.session.execute(text("INSERT INTO counted VALUES (6)"))  # the same unit goes on
        uow.commit()
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT n FROM counted ORDER BY n")).all() == [1, 5, 6]


def test_no_writer_is_lost_or_starved_among_many(engine):
    def write(number):
        for _ in range(5):
            with UnitOfWork(engine) as uow:
                uow.session.execute(text("INSERT INTO counted VALUES (:n)"), {"n": number})
                uow.commit()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM counted")) == 120


@pytest.mark.parametrize("after", [0, 1, 3, 7])
def test_who_lets_some_by_goes_after_them_and_before_all_others(after):
    turns, order = Turns(), []
    assert turns.take(0)
    threads = [asking(turns, order, number) for number in range(3)]
    threads.append(asking(turns, order, "urgent", after=after))
    turns.give()
    for thread in threads:
        thread.join()
    expected = [0, 1, 2]
    expected.insert(after, "urgent")
    assert order == expected
