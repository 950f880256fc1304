"""The S3 store keeps the contract on a real server, and what only such a store can show."""

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest

from storage import s3_bucket
from storage.interface import (
    DigestMismatch,
    GridViolation,
    Locked,
    NotFound,
    StoreUnavailable,
    Superseded,
    Truncated,
    UploadIncomplete,
    UploadNotFound,
)
from storage.s3 import S3Store
from storage.s3_client import Limits
from tests.storage.contract import DAY, KEY, NOW, OTHER, StoreContract, described, everything, sha256

ROOT = Path(__file__).resolve().parents[2]
MIB = 1024 * 1024
LIMITS = Limits(connect=5, read=20, attempts=2)
BLOB = "headers/" + "0a" * 32
PARTS = [b"a" * (5 * MIB), b"tail"]


class TestS3(StoreContract):
    part_size = 5 * MIB
    lock_span = timedelta(seconds=2)

    @pytest.fixture
    def store(self, s3_store):
        return s3_store

    def reopen(self, store):
        return S3Store(store.address, limits=LIMITS, session=store.session)

    def now(self):
        return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)

    def wait_until(self, time_):
        time.sleep(max(0.0, (time_ - datetime.now(UTC)).total_seconds()) + 0.1)


class TestS3PassingThrough:
    """Parts that are not held in memory keep the same promises."""

    part_size = 5 * MIB
    piece, uploaded, published = StoreContract.piece, StoreContract.uploaded, StoreContract.published

    for _name in (
        "test_a_body_is_its_parts_in_order",
        "test_a_part_with_another_digest_does_not_count",
        "test_a_part_that_ends_early_or_late_does_not_count",
        "test_an_error_of_the_sender_passes_through_and_the_part_does_not_count",
        "test_a_part_put_again_counts_as_put_last",
        "test_of_two_writers_of_one_part_the_later_to_begin_wins",
        "test_a_writer_still_busy_when_the_upload_is_completed_changes_nothing",
        "test_pieces_are_read_back_and_fold_into_a_part",
        "test_a_fold_checks_the_digest_of_what_lies_there",
        "test_after_completion_no_writer_reaches_the_body",
    ):
        locals()[_name] = getattr(StoreContract, _name)

    @pytest.fixture
    def store(self, s3_store):
        return self.reopen(s3_store)

    def reopen(self, store):
        return S3Store(store.address, limits=LIMITS, session=store.session, stream_above=0)


def uploaded(store, parts=PARTS, key=KEY):
    upload = store.begin(key, part_size=5 * MIB)
    for number, part in enumerate(parts, start=1):
        store.put_part(upload, number, [part], size=len(part), sha256=sha256(part))
    return upload


def versions(store, below=""):
    """Every version and marker that the bucket has of the store's names."""
    prefix = f"{store.address.prefix}/{below}"
    found = store._bucket.client.list_object_versions(Bucket=store.address.bucket, Prefix=prefix)
    return [*found.get("Versions", ()), *found.get("DeleteMarkers", ())]


# ---- memory


GROWTH = """
import hashlib, resource, sys
import boto3
from storage.s3 import S3Store
from storage.s3_address import S3Address

MIB = 1024 * 1024
address, access, secret, checked = sys.argv[1:]
store = S3Store(S3Address.parse(address), session=boto3.Session(access, secret))
chunk = bytes(MIB)

def put(key, size):
    whole = hashlib.sha256()
    for _ in range(size):
        whole.update(chunk)
    upload = store.begin(key, part_size=256 * MIB)
    digest = whole.digest() if checked == "checked" else None
    found = store.put_part(upload, 1, (chunk for _ in range(size)), size=size * MIB, sha256=digest)
    assert found == whole.digest()
    store.abort(upload)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

small = put("bodies/small", 40)
print((put("bodies/large", 192) - small) // 1024)
"""


@pytest.mark.parametrize("checked", ["checked", "unchecked"])
def test_a_large_part_passes_through_without_being_held(seaweed, s3_store, checked):
    arguments = [str(s3_store.address), seaweed.access_key, seaweed.secret_key, checked]
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) <= 16


# ---- what lies in the bucket


def test_an_ended_upload_leaves_nothing_behind(s3_store):
    for end in (lambda upload: s3_store.complete(upload, described(PARTS)), s3_store.abort):
        upload = uploaded(s3_store, PARTS[:1])
        s3_store.put_piece(upload, 2, 0, b"other")
        s3_store.put_part(upload, 2, [b"tail"], size=4, sha256=None)
        assert versions(s3_store, "uploads/")
        end(upload)
        assert versions(s3_store, "uploads/") == []


def test_a_ping_leaves_nothing_behind(s3_store):
    s3_store.ping()
    assert versions(s3_store) == []


def test_a_deletion_leaves_nothing_behind(s3_store):
    s3_store.put(BLOB, b"header", sha256=sha256(b"header"))
    s3_store.delete(BLOB, now=NOW)
    assert versions(s3_store) == []


def test_what_somebody_else_deletes_is_still_read_by_its_version(s3_store):
    info = s3_store.put(BLOB, b"header", sha256=sha256(b"header"))
    name = f"{s3_store.address.prefix}/objects/{BLOB}"
    s3_store._bucket.client.delete_object(Bucket=s3_store.address.bucket, Key=name)
    with pytest.raises(NotFound):
        s3_store.stat(BLOB)
    assert s3_store.stat(BLOB, version=info.version) == info
    assert b"".join(s3_store.read(BLOB, version=info.version)) == b"header"
    s3_store.lock(BLOB, version=info.version, until=datetime.now(UTC) + DAY)
    assert s3_store.stat(BLOB, version=info.version).locked_until > datetime.now(UTC)


def test_what_is_longer_than_a_page_is_listed_whole_and_cleared_whole(s3_store, monkeypatch):
    monkeypatch.setattr(s3_bucket, "_PAGE", 2)
    names = [f"headers/{number:02d}" for number in range(5)]
    for name in names:
        s3_store.put(name, b"", sha256=sha256(b""))
    uploads = [s3_store.begin(f"bodies/{number}", part_size=5 * MIB) for number in range(5)]
    for offset in range(5):
        s3_store.put_piece(uploads[0], 1, offset, b"x")
    assert list(s3_store.keys("")) == names
    assert sorted(info.token for info in s3_store.uploads()) == sorted(uploads)
    assert b"".join(s3_store.read_pieces(uploads[0], 1, 5)) == b"xxxxx"
    for upload in uploads:
        s3_store.abort(upload)
    assert (versions(s3_store, "uploads/"), list(s3_store.uploads())) == ([], [])


# ---- what crashes leave


def test_an_upload_that_was_never_wholly_begun_can_be_dropped(s3_store):
    name = f"{s3_store.address.prefix}/objects/{KEY}"
    s3_store._bucket.client.create_multipart_upload(Bucket=s3_store.address.bucket, Key=name)
    (info,) = s3_store.uploads()
    assert info.key == KEY
    assert abs(info.begun - datetime.now(UTC)) < timedelta(minutes=5)
    with pytest.raises(UploadNotFound):
        s3_store.put_part(info.token, 1, [b"x"], size=1, sha256=None)
    s3_store.abort(info.token)
    assert list(s3_store.uploads()) == []


def test_a_piece_that_comes_after_the_end_is_listed_and_can_be_dropped(s3_store):
    upload = s3_store.begin(KEY, part_size=5 * MIB)
    s3_store.abort(upload)
    name = f"{s3_store.address.prefix}/uploads/{upload}/00001/00000001-00000000.piece.0.4"
    s3_store._bucket.create(name, b"late")
    assert [info.token for info in s3_store.uploads()] == [upload]
    s3_store.abort(upload)
    assert list(s3_store.uploads()) == []


def test_what_a_completion_did_not_clear_away_the_next_one_does(s3_store, monkeypatch):
    upload = uploaded(s3_store)

    def die(prefix):
        raise StoreUnavailable(prefix)

    with monkeypatch.context() as dying:
        dying.setattr(s3_store._bucket, "clear", die)
        with pytest.raises(StoreUnavailable):
            s3_store.complete(upload, described(PARTS))
    assert [info.token for info in s3_store.uploads()] == [upload]
    assert s3_store.complete(upload, described(PARTS)) == s3_store.stat(KEY)
    assert list(s3_store.uploads()) == []


def test_pieces_that_were_folded_are_still_there_for_whoever_did_not_hear_of_it(s3_store):
    upload = s3_store.begin(KEY, part_size=5 * MIB)
    s3_store.put_piece(upload, 1, 0, b"first ")
    s3_store.put_piece(upload, 1, 6, b"second")
    s3_store.fold(upload, 1, size=12, sha256=sha256(b"first second"))
    assert b"".join(s3_store.read_pieces(upload, 1, 6)) == b"first "
    s3_store.put_piece(upload, 1, 6, b"SECOND")
    s3_store.fold(upload, 1, size=12, sha256=sha256(b"first SECOND"))
    s3_store.complete(upload, described([b"first SECOND"]))
    assert everything(s3_store, KEY) == b"first SECOND"


def test_a_part_begun_anew_in_vain_no_longer_counts(s3_store):
    upload = uploaded(s3_store)
    for chunks, error in (([b"liat"], DigestMismatch), ([b"tai"], Truncated), ([b"tails"], GridViolation)):
        with pytest.raises(error):
            s3_store.put_part(upload, 2, chunks, size=4, sha256=sha256(b"tail"))
    with pytest.raises(UploadIncomplete):
        s3_store.complete(upload, described(PARTS))
    s3_store.put_part(upload, 2, [b"tail"], size=4, sha256=None)
    s3_store.complete(upload, described(PARTS))


def test_a_fold_that_is_overtaken_stops(s3_store, monkeypatch):
    upload = s3_store.begin(KEY, part_size=5 * MIB)
    s3_store.put_piece(upload, 1, 0, b"whole")
    read = s3_store._bucket.read

    def overtaken(*arguments, **named):
        s3_store.put_piece(upload, 1, 0, b"other")
        return read(*arguments, **named)

    monkeypatch.setattr(s3_store._bucket, "read", overtaken)
    with pytest.raises(Superseded):
        s3_store.fold(upload, 1, size=5, sha256=sha256(b"whole"))


# ---- locks


def test_a_lock_ends_no_earlier_than_asked_even_by_a_fraction(s3_store):
    s3_store.put(BLOB, b"header", sha256=sha256(b"header"))
    until = datetime.now(UTC).replace(microsecond=1) + DAY
    s3_store.lock(BLOB, until=until)
    assert timedelta(0) < s3_store.stat(BLOB).locked_until - until < timedelta(seconds=1)


def test_a_lock_until_a_time_that_has_passed_binds_nothing(s3_store):
    s3_store.put(BLOB, b"header", sha256=sha256(b"header"))
    s3_store.lock(BLOB, until=datetime(2020, 1, 1, tzinfo=UTC))
    assert s3_store.stat(BLOB).locked_until is None


def test_the_store_does_not_believe_who_says_that_the_lock_has_run_out(s3_store):
    info = s3_store.put(BLOB, b"header", sha256=sha256(b"header"))
    s3_store.lock(BLOB, until=datetime.now(UTC) + DAY)
    with pytest.raises(Locked):
        s3_store.delete(BLOB, now=datetime.now(UTC) + 2 * DAY)
    assert s3_store.stat(BLOB).version == info.version


def test_a_weaker_lock_is_none(s3_store):
    info = s3_store.put(BLOB, b"header", sha256=sha256(b"header"))
    s3_store._bucket.client.put_object_retention(
        Bucket=s3_store.address.bucket,
        Key=f"{s3_store.address.prefix}/objects/{BLOB}",
        VersionId=info.version,
        Retention={"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) + DAY},
    )
    assert s3_store.stat(BLOB).locked_until is None


# ---- who may


def test_credentials_come_from_where_boto3_looks(seaweed, s3_store, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweed.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweed.secret_key)
    S3Store(s3_store.address, limits=LIMITS).ping()


def test_without_credentials_the_store_is_unavailable(s3_store, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(StoreUnavailable):
        S3Store(s3_store.address, limits=LIMITS).ping()


def test_with_the_wrong_credentials_the_store_is_unavailable(seaweed, s3_store):
    store = S3Store(s3_store.address, limits=LIMITS, session=boto3.Session(seaweed.access_key, "wrong"))
    for call in (store.ping, lambda: store.stat(KEY), lambda: store.begin(OTHER, part_size=5 * MIB)):
        with pytest.raises(StoreUnavailable):
            call()
