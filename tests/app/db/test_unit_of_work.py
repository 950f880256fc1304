"""What is the database's fault, and what is ours."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError


def test_a_wrong_statement_of_ours_is_not_a_database_that_is_down(world):
    with pytest.raises(DBAPIError), world.reading() as session:
        session.execute(text("SELECT nothing FROM nowhere"))
    with pytest.raises(DBAPIError), world.unit_of_work() as uow:
        uow.session.execute(text("UPDATE nowhere SET nothing = 1"))
