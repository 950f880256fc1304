"""For the whole suite."""

import os
import signal

import pytest

from tests.effort import MINUTES, SEED, Effort

# Whoever starts the suite in the background starts it with SIGINT ignored, and every child inherits that: no command
# under test could then be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def effort(request):
    """How hard this test tries: see `tests.effort`."""
    marked = sum(item.get_closest_marker("deep") is not None for item in request.session.items)
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = MINUTES * 60 * workers / max(marked, 1)
    return Effort(request.node.name, share)


def pytest_collection_modifyitems(items):
    """What scales may take its share of the time in a deep run; the limit is then a guard against hanging only."""
    if MINUTES:
        for item in items:
            item.add_marker(pytest.mark.timeout(MINUTES * 60 + 900))


def pytest_report_header():
    """The seed that makes a run again."""
    return f"effort: seed {SEED}, {MINUTES:g} deep minutes"
