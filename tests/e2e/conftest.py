"""One service for all tests of a module."""

import pytest

from tests.e2e.theatre import opened


@pytest.fixture(scope="module")
def theatre(request, tmp_path_factory):
    """Two authorities on a service of this module's own; the module may say how in `THEATRE`."""
    with opened(tmp_path_factory.mktemp("theatre"), **getattr(request.module, "THEATRE", {})) as found:
        yield found
