"""The same check on PostgreSQL and a bucket, where cursors stream from the server, and collection beside its locks."""

import hashlib
import secrets
from datetime import timedelta

import pytest

from app.jobs import fixity, orphans
from storage import keys
from tests.app.fsck.conftest import findings, live
from tests.app.party import Item
from tests.app.running import Running
from tests.backends import SERVERS, only

pytestmark = only(SERVERS)


@pytest.fixture(scope="module")
def lived(tmp_path_factory, backend):
    running = Running(tmp_path_factory.mktemp("service"), backend)
    running.service.caretaker.stop()
    live(running)
    fixity.run(running.runtime, lambda: False)
    yield running
    running.stop()


def edit(lived, change):
    """As somebody for whom no trigger and no key counts."""
    lived.database.server.execute(f"SET session_replication_role = replica; {change}", None, lived.database.name)


def test_what_the_service_has_made_is_found_sound(lived):
    assert findings(lived.runtime, objects=True) == []


THERE_AND_BACK = [
    "UPDATE ledger SET salt = set_byte(salt, 0, 255 - get_byte(salt, 0)) WHERE id = 3",
    "UPDATE log_leaves SET data = set_byte(data, 1, 255 - get_byte(data, 1)) WHERE idx = 2",
    "UPDATE statements SET envelope = set_byte(envelope, 40, 255 - get_byte(envelope, 40))",
    "UPDATE packages SET state = CASE state WHEN 'sealed' THEN 'recalled' WHEN 'recalled' THEN 'sealed' ELSE state END",
    "UPDATE receipts SET outcome = CASE outcome WHEN 'accepted' THEN 'rejected' ELSE 'accepted' END",
    "UPDATE exchanges SET closed = NOT closed",
]


@pytest.mark.parametrize("change", THERE_AND_BACK, ids=lambda change: change.split()[1])
def test_an_edit_is_found(lived, change):
    edit(lived, change)
    assert findings(lived.runtime) != []
    edit(lived, change)
    assert findings(lived.runtime) == []


def test_a_header_that_was_never_put_on_record_goes_and_the_others_stay(lived):
    header = Item(secrets.token_bytes(10), [lived.authority().identity.recipient]).header
    digest = hashlib.sha256(header).digest()
    lived.runtime.store.put(keys.header(digest), header, sha256=digest)
    found = [each.name for each in orphans.collect(lived.runtime, older_than=-timedelta(minutes=1))]
    assert [name for name in found if name.startswith("headers/")] == [keys.header(digest)]
    assert findings(lived.runtime) == []
