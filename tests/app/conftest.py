"""What the tests of the service share."""

import pytest

from tests.app.db.world import World


@pytest.fixture
def world(tmp_path):
    """A service's database and log, of its own."""
    made = World(tmp_path)
    yield made
    made.close()
