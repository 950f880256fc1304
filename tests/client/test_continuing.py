"""An exchange is opened again from its bundle of the log before, and the service is held to that bundle."""

from types import SimpleNamespace

import pytest
from rogatory import continuing
from rogatory.exchanges import Exchanges

from tests.custody.successor import NEXT, Successor, before, ended
from tests.custody.world import packed, zipped


@pytest.fixture(scope="module")
def old():
    return ended(before(auditors=["audit.eu"]))


@pytest.fixture
def kept(old, tmp_path):
    path = tmp_path / "old.zip"
    path.write_bytes(zipped(old.bundle()))
    return path


def opened_by(world):
    """The client's exchanges in a service that records what is lodged as the world does."""
    act = lambda event, handle, detail: world.say(world.police, "act", handle, event=event, detail=detail)  # noqa: E731
    lodge = lambda path, said, event: SimpleNamespace(entry=world.lodge(event, said))  # noqa: E731
    return Exchanges(None, SimpleNamespace(lodge=lodge), SimpleNamespace(authority="police.nl", act=act))


def test_an_exchange_goes_on_with_its_handle_and_all_who_stood_in_it(old, kept):
    found = continuing.read(kept)
    assert (found.ended, found.parties, found.auditors) == (True, ("court.fr", "police.nl"), ("audit.eu",))
    world = Successor(old)
    exchange, _ = opened_by(world).open([], before=found)
    assert (exchange.handle, exchange.parties) == (old.handle, found.parties)
    assert world.exported().verify(before=kept, before_trust=old.trust(require=())).verified


@pytest.mark.parametrize("said", [{"seq": 5}, {"hash": "11" * 32}, {"origin": NEXT}, None])
def test_a_service_that_goes_on_from_something_else_is_caught_at_once(old, kept, said):
    world = Successor(old, says=lambda name, continues: said and continues | said)
    with pytest.raises(continuing.ContinuedOtherwise):
        opened_by(world).open([], before=continuing.read(kept))


def test_a_bundle_from_before_the_end_allows_for_what_came_later(tmp_path):
    world = before()
    path = tmp_path / "earlier.zip"
    path.write_bytes(zipped(world.bundle()))
    exchange, _ = opened_by(Successor(ended(world.exported()))).open([], before=continuing.read(path))
    assert exchange.handle == world.handle


def test_what_is_closed_or_no_exchange_does_not_go_on(old, tmp_path):
    closed = before()
    closed.act(closed.police, "exchange.closed")
    path = tmp_path / "bundle.zip"
    nothing_placed = {"leaves.jsonl": b"", "tail.json": b""}
    for files in (closed.bundle(), old.bundle("registry"), packed(old.bundle() | nothing_placed)):
        path.write_bytes(zipped(files))
        with pytest.raises(continuing.NothingToContinue):
            continuing.read(path)
