"""One service for all tests of a module."""

import pytest

from tests.e2e.theatre import opened


@pytest.fixture(scope="module")
def theatre(request, tmp_path_factory, backend):
    """Two authorities on a service of this module's own; the module may set more for it in `SETTINGS`."""
    settings = backend.environment | getattr(request.module, "SETTINGS", {})
    with opened(tmp_path_factory.mktemp("theatre"), settings=settings) as found:
        yield found
