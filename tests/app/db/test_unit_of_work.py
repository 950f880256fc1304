"""What is the database's fault, and what is ours."""

from contextlib import ExitStack

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.api.application import THREADS
from app.db.engine import connect

BESIDE = 24
"""Threads that run beside the requests and may ask the database at the same time: log, upkeep, witnesses, stamps."""


def test_a_wrong_statement_of_ours_is_not_a_database_that_is_down(world):
    with pytest.raises(DBAPIError), world.reading() as session:
        session.execute(text("SELECT nothing FROM nowhere"))
    with pytest.raises(DBAPIError), world.unit_of_work() as uow:
        uow.session.execute(text("UPDATE nowhere SET nothing = 1"))


def test_a_file_has_a_connection_for_every_request_that_works_at_once(tmp_path):
    engine = connect(f"sqlite:///{tmp_path / 'a.db'}")
    with ExitStack() as taken:
        for _ in range(THREADS + BESIDE):
            taken.enter_context(engine.connect())
    engine.dispose()
