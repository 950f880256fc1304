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


# ---------------------------------------------------------------- the bucket


CHANGES = {
    "flipped": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "truncated": lambda data: data[:-1],
    "lengthened": lambda data: data + b"\0",
    "emptied": lambda data: b"",
}


class Object:
    """An object of the store, and what somebody with the bucket's keys does to it."""

    def __init__(self, lived, client, key):
        address, self.key, self.client = lived.runtime.store.address, key, client
        self.at = {"Bucket": address.bucket, "Key": f"{address.prefix}/objects/{key}"}
        self.data = self.client.get_object(**self.at)["Body"].read()

    def replaced(self, data):
        """The newest version has other bytes; its name."""
        return self.client.put_object(**self.at, Body=data, ChecksumAlgorithm="SHA256")["VersionId"]

    def without(self, version):
        self.client.delete_object(**self.at, VersionId=version)


@pytest.fixture(scope="module")
def client(seaweed):
    made = seaweed.client()
    yield made
    made.close()


@pytest.fixture
def unlocked(lived, client):
    """A body that has arrived and its header: no seal protects them yet."""
    alice, court = lived.authority().enrol(), lived.authority()
    package, item = alice.declare(alice.open_exchange(court), court), Item(b"x" * 5000, [court.identity.recipient])
    alice.upload(package, item)
    alice.put_header(package, item.header)
    digest = hashlib.sha256(item.header).digest()
    return Object(lived, client, keys.body(package, item.id)), Object(lived, client, keys.header(digest)), item


@pytest.mark.parametrize("how", CHANGES)
def test_an_object_replaced_in_the_bucket_is_named_without_reading_it(lived, unlocked, how):
    body, header, item = unlocked
    kept = lived.runtime.store.stat(body.key).version
    spoilt = body.replaced(CHANGES[how](body.data))
    assert findings(lived.runtime) == [], "the version on record is there as it was"
    edit(lived, f"UPDATE items SET version = '{spoilt}' WHERE id = '{item.id}'")
    assert item.id in " ".join(each.where for each in findings(lived.runtime))
    edit(lived, f"UPDATE items SET version = '{kept}' WHERE id = '{item.id}'")
    body.without(spoilt)
    spoilt = header.replaced(CHANGES[how](header.data))
    digest = hashlib.sha256(item.header).hexdigest()
    assert digest in " ".join(each.where for each in findings(lived.runtime, objects=True))
    header.without(spoilt)
    assert findings(lived.runtime, objects=True) == []


def test_an_object_deleted_from_the_bucket_is_named(lived, unlocked):
    body, header, item = unlocked
    marker = header.client.delete_object(**header.at)["VersionId"]
    digest = hashlib.sha256(item.header).hexdigest()
    assert digest in " ".join(each.where for each in findings(lived.runtime))
    header.without(marker)
    assert findings(lived.runtime) == []
    body.without(lived.runtime.store.stat(body.key).version)
    assert item.id in " ".join(each.where for each in findings(lived.runtime))
