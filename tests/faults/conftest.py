"""One stage for all tests of a module."""

import pytest

from tests.faults.stage import Cast, Stage, small_parts


@pytest.fixture(scope="module")
def cast(tmp_path_factory):
    """Every act is the next; nothing runs."""
    with small_parts():
        stage = Stage(tmp_path_factory.mktemp("stage"))
        made = Cast(stage)
        assert stage.findings() == []
        stage.keep()
        yield made
