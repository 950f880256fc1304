"""For the whole suite."""

import gc
import os
import signal
from pathlib import Path

import hypothesis
import pytest

from tests import backends
from tests.effort import MINUTES, SEED, Effort
from tests.postgres import Server
from tests.storage import seaweed as s3

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine decides no test
hypothesis.settings.load_profile("untimed")
os.environ["LC_ALL"] = "C.UTF-8"  # whatever is spoken here, the suite reads English

HERE = Path(__file__).parent
_LONG = ("sizes", "kills", "e2e", "edge", "faults", "records", "outage", "verifier", "client", "cli", "app")
LONG_FIRST = {folder: place for place, folder in enumerate(_LONG)}

# Whoever starts the suite in the background starts it with SIGINT ignored, and every child inherits that: no command
# under test could then be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres():
    """One PostgreSQL server for the session, begun when it is first asked for."""
    server = Server()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def seaweed():
    """One S3 server for the session, begun when it is first asked for."""
    with s3.running() as server:
        yield server


@pytest.fixture(scope="session")
def credentialed_bucket(seaweed):
    """A bucket that services reach; from here on boto3 finds its credentials in the environment of this process."""
    bucket = backends.Bucket(seaweed)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in bucket.secrets.items():
            patch.setenv(name, value)
        yield bucket


@pytest.fixture(scope="session", params=backends.KINDS)
def backend_kind(request):
    """Runs whatever stands on it twice: see `tests.backends`."""
    return request.param


@pytest.fixture(scope="module")
def backend(backend_kind, request):
    """Database and store of the file's own, for one service."""
    with backends.backend(backend_kind, request) as made:
        yield made


@pytest.fixture
def effort(request):
    """How hard this test tries: see `tests.effort`."""
    weights = [
        mark.kwargs.get("weight", 1) for item in request.session.items if (mark := item.get_closest_marker("deep"))
    ]
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    mark = request.node.get_closest_marker("deep")
    weight = mark.kwargs.get("weight", 1) if mark else 1
    made = Effort(request.node.name, MINUTES * 60 * workers * weight / max(sum(weights), 1))
    yield made
    request.node.user_properties.append(("effort", "; ".join(made.told)))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Folders of long files come first: whole files go to the workers, and a long one at the end would keep one waiting.

    What scales may take its share of the time in a deep run; the limit is then a guard against hanging only.
    """
    items.sort(key=lambda item: LONG_FIRST.get(item.path.relative_to(HERE).parts[0], len(LONG_FIRST)))
    if MINUTES:
        for item in items:
            item.add_marker(pytest.mark.timeout(MINUTES * 60 + 900))


def pytest_terminal_summary(terminalreporter):
    """How far the tests that scale came; reports of teardown have it, which are shown nowhere else."""
    told = [(each.nodeid, dict(each.user_properties).get("effort")) for each in terminalreporter.getreports("")]
    if any(text for _, text in told):
        terminalreporter.section(f"effort, seed {SEED}")
        for nodeid, text in told:
            if text:
                terminalreporter.write_line(f"{nodeid}: {text}")


def pytest_collection_finish():
    """What was collected stays to the end: no search for cycles need go over these million objects again."""
    gc.collect()
    gc.freeze()


def pytest_report_header():
    """The seed that makes a run again."""
    return f"effort: seed {SEED}, {MINUTES:g} deep minutes"
