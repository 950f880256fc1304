"""A store that is down, slow, full, or lying: nothing acknowledged is lost, every lie is found."""

import secrets
import socket
from datetime import UTC, datetime

import pytest

from storage.interface import (
    DigestMismatch,
    GridViolation,
    LockShortened,
    NotFound,
    StoreFull,
    StoreUnavailable,
    UploadIncomplete,
    UploadNotFound,
)
from storage.s3 import S3Store
from storage.s3_address import S3Address
from storage.s3_client import Limits, StoreLied
from tests.storage import liar
from tests.storage.contract import DAY, KEY, described, everything, sha256

MIB = 1024 * 1024
BLOB = "headers/" + "0a" * 32
PARTS = [b"a" * (5 * MIB), b"tail"]
QUICK = Limits(connect=1, read=1, attempts=1)


@pytest.fixture
def line(seaweed):
    with liar.lying(seaweed.endpoint) as found:
        yield found


@pytest.fixture
def honest(s3_store):
    return s3_store


def through(line, honest, limits=QUICK, **more):
    """The same store by way of the proxy."""
    address = S3Address(honest.address.bucket, honest.address.prefix, line.endpoint)
    return S3Store(address, limits=limits, session=honest.session, **more)


def uploaded(store, parts=PARTS):
    upload = store.begin(KEY, part_size=5 * MIB)
    for number, part in enumerate(parts, start=1):
        store.put_part(upload, number, [part], size=len(part), sha256=sha256(part))
    return upload


# ---- down


def test_a_store_that_refuses_connections_is_unavailable(honest):
    with socket.socket() as taken:
        taken.bind((liar.HOST, 0))
        address = S3Address(honest.address.bucket, "", f"http://{liar.HOST}:{taken.getsockname()[1]}")
        store = S3Store(address, limits=QUICK, session=honest.session)
        for call in (store.ping, lambda: store.stat(KEY), lambda: list(store.keys("")), lambda: list(store.uploads())):
            with pytest.raises(StoreUnavailable):
                call()


def test_without_a_bucket_nothing_looks_empty(seaweed):
    address = S3Address(f"absent-{secrets.token_hex(4)}", "", seaweed.endpoint)
    store = S3Store(address, limits=QUICK, session=seaweed.session)
    calls = (
        lambda: store.stat(KEY),
        lambda: store.read(KEY),
        lambda: list(store.keys("")),
        lambda: list(store.uploads()),
    )
    for call in calls:
        with pytest.raises(StoreUnavailable):
            call()


def test_a_passing_overload_is_ridden_out(line, honest):
    store = through(line, honest, Limits(connect=1, read=5, attempts=3))
    fault = line.inject(liar.anything, before=liar.busy, times=1)
    info = store.put(BLOB, b"header", sha256=sha256(b"header"))
    assert (fault.met, everything(honest, BLOB)) == (1, b"header")
    assert honest.stat(BLOB) == info


@pytest.mark.parametrize("what", [liar.part_put, liar.completion, liar.piece_put, liar.object_put])
def test_an_outage_costs_nothing_that_was_acknowledged(line, honest, what):
    store = through(line, honest)
    upload = uploaded(store, PARTS[:1])
    store.put_piece(upload, 2, 0, b"ta")

    def rest():
        store.put(BLOB, b"header", sha256=sha256(b"header"))
        store.put_piece(upload, 2, 2, b"il")
        store.fold(upload, 2, size=4, sha256=sha256(b"tail"))
        store.put_part(upload, 1, [PARTS[0]], size=len(PARTS[0]), sha256=sha256(PARTS[0]))
        return store.complete(upload, described(PARTS))

    fault = line.inject(what, before=liar.busy)
    with pytest.raises(StoreUnavailable):
        rest()
    assert fault.met
    line.heal()
    assert rest() == honest.stat(KEY)
    assert everything(honest, KEY) == b"".join(PARTS)


def test_a_store_that_stalls_is_down_in_bounded_time(line, honest):
    store = through(line, honest)
    line.inject(liar.anything, before=lambda: line.gone.wait(20) and None)
    with pytest.raises(StoreUnavailable):
        store.stat(KEY)
    with pytest.raises(StoreUnavailable):
        store.put(BLOB, b"header", sha256=sha256(b"header"))


@pytest.mark.parametrize("what", [liar.part_put, liar.piece_put])
def test_a_full_store_says_so(line, honest, what):
    store = through(line, honest)
    upload = uploaded(store, PARTS[:1])
    line.inject(what, before=liar.full)
    with pytest.raises(StoreFull):  # noqa: PT012 - one of the two calls
        store.put_piece(upload, 2, 0, b"ta")
        store.put_part(upload, 2, [b"tail"], size=4, sha256=None)


@pytest.mark.parametrize("above", [0, 32 * MIB])
@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("what", [liar.object_put, liar.piece_put, liar.part_put])
def test_bytes_damaged_on_the_way_are_never_kept_and_nobody_is_blamed(line, honest, what, checked, above):
    store = through(line, honest, stream_above=above)
    upload = store.begin(KEY, part_size=5 * MIB)
    digest = sha256(b"tail") if checked else None

    def everything_once():
        store.put(BLOB, b"header", sha256=sha256(b"header"))
        store.put_piece(upload, 1, 0, b"ta")
        store.put_part(upload, 2, iter([b"ta", b"il"]), size=4, sha256=digest)

    line.inject(what, asked=liar.with_a_bit_flipped)
    # a checked stream is hashed by the store alone, so that nobody can tell who is to blame
    expected = DigestMismatch if what is liar.part_put and checked and not above else StoreUnavailable
    with pytest.raises(expected):
        everything_once()
    line.heal()
    everything_once()
    assert everything(honest, BLOB) == b"header"
    assert b"".join(honest.read_pieces(upload, 1, 2)) == b"ta"


# ---- answers that are lost


def test_a_blob_whose_answer_was_lost_is_put_again(line, honest):
    store = through(line, honest)
    line.inject(liar.object_put, after=liar.lost, times=1)
    with pytest.raises(StoreUnavailable):
        store.put(BLOB, b"header", sha256=sha256(b"header"))
    assert store.put(BLOB, b"header", sha256=sha256(b"header")) == honest.stat(BLOB)


def test_a_completion_whose_answer_was_lost_is_made_again(line, honest):
    store = through(line, honest)
    upload = uploaded(store)
    line.inject(liar.completion, after=liar.lost, times=1)
    with pytest.raises(StoreUnavailable):
        store.complete(upload, described(PARTS))
    assert store.complete(upload, described(PARTS)) == honest.stat(KEY)
    assert list(honest.uploads()) == []


def test_a_lock_whose_answer_was_lost_is_made_again(line, honest):
    store = through(line, honest)
    store.put(BLOB, b"header", sha256=sha256(b"header"))
    until = datetime.now(UTC).replace(microsecond=0) + DAY
    line.inject(liar.retention, after=liar.lost, times=1)
    with pytest.raises(StoreUnavailable):
        store.lock(BLOB, until=until)
    store.lock(BLOB, until=until)
    assert honest.stat(BLOB).locked_until == until


# ---- lies


@pytest.mark.parametrize("attempts", [1, 2])
def test_an_error_behind_the_status_of_success_is_no_completion(line, honest, attempts):
    store = through(line, honest, Limits(connect=1, read=5, attempts=attempts))
    upload = uploaded(store)
    fault = line.inject(liar.completion, before=liar.error_in_success)
    with pytest.raises(StoreUnavailable):
        store.complete(upload, described(PARTS))
    assert fault.met == attempts
    with pytest.raises(NotFound):
        honest.stat(KEY)
    line.heal()
    assert store.complete(upload, described(PARTS)) == honest.stat(KEY)


def test_a_completion_that_was_not_made_is_found_out(line, honest):
    store = through(line, honest)
    upload = uploaded(store)
    line.inject(liar.completion, before=liar.empty_success)
    with pytest.raises(StoreUnavailable):
        store.complete(upload, described(PARTS))
    line.heal()
    assert store.complete(upload, described(PARTS)) == honest.stat(KEY)


@pytest.mark.parametrize("what", [liar.object_put, liar.piece_put, liar.part_put])
def test_what_is_told_to_be_kept_and_was_not_is_found_out(line, honest, what):
    store = through(line, honest)
    upload = store.begin(KEY, part_size=5 * MIB)
    line.inject(what, before=liar.empty_success)
    with pytest.raises(StoreLied):  # noqa: PT012 - one of the three calls
        store.put(BLOB, b"header", sha256=sha256(b"header"))
        store.put_piece(upload, 1, 0, b"ta")
        store.put_part(upload, 1, [b"tail"], size=4, sha256=None)


@pytest.mark.parametrize("what", [liar.object_put, liar.piece_put, liar.part_put])
def test_another_digest_than_was_sent_is_found_out(line, honest, what):
    store = through(line, honest)
    upload = store.begin(KEY, part_size=5 * MIB)
    line.inject(what, after=liar.telling(x_amz_checksum_sha256="A" * 43 + "="))
    with pytest.raises(StoreLied):  # noqa: PT012 - one of the three calls
        store.put(BLOB, b"header", sha256=sha256(b"header"))
        store.put_piece(upload, 1, 0, b"ta")
        store.put_part(upload, 1, [b"tail"], size=4, sha256=None)


def test_a_wrong_etag_of_a_part_is_found_out_before_the_body_counts(line, honest):
    store = through(line, honest)
    line.inject(liar.part_put, after=liar.telling(etag='"00000000000000000000000000000000"'), times=1)
    upload = uploaded(store)
    with pytest.raises(StoreLied):
        store.complete(upload, described(PARTS))
    assert list(honest.keys("")) == []
    store.put_part(upload, 1, [PARTS[0]], size=len(PARTS[0]), sha256=sha256(PARTS[0]))
    store.complete(upload, described(PARTS))
    assert everything(honest, KEY) == b"".join(PARTS)


@pytest.mark.parametrize("headers", [{"content_length": "7"}, {"x_amz_checksum_sha256": "A" * 43 + "=-2"}])
def test_a_published_body_of_another_size_or_digest_is_found_out(line, honest, headers):
    store = through(line, honest)
    upload = uploaded(store)
    line.inject(liar.object_head, after=liar.telling(**headers))
    with pytest.raises(StoreLied):
        store.complete(upload, described(PARTS))


@pytest.mark.parametrize("lie", [liar.flipped, liar.shortened, liar.cut])
def test_a_read_of_a_whole_object_never_ends_well_with_other_bytes(line, honest, lie):
    store = through(line, honest)
    honest.complete(uploaded(honest), described(PARTS))
    honest.put(BLOB, b"header", sha256=sha256(b"header"))
    for key, size in ((KEY, 5 * MIB + 4), (BLOB, 6)):
        line.inject(liar.object_get, after=lie)
        found = 0
        with pytest.raises(StoreUnavailable):  # noqa: PT012 - wherever it comes
            for chunk in store.read(key):
                found += len(chunk)
        assert found < size
        line.heal()


@pytest.mark.parametrize("lie", [liar.shortened, liar.telling(content_range="bytes 0-9/10")])
def test_a_range_that_is_not_the_one_asked_for_is_found_out(line, honest, lie):
    honest.complete(uploaded(honest), described(PARTS))
    line.inject(liar.object_get, after=lie)
    with pytest.raises(StoreLied):
        list(through(line, honest).read(KEY, start=100, length=1000))


def test_a_read_is_taken_up_where_the_line_broke(line, honest):
    honest.complete(uploaded(honest), described(PARTS))
    fault = line.inject(liar.object_get, after=liar.cut, times=2)
    assert everything(through(line, honest), KEY) == b"".join(PARTS)
    assert fault.met == 2


def test_a_flipped_piece_is_never_folded(line, honest):
    store = through(line, honest)
    upload = store.begin(KEY, part_size=5 * MIB)
    store.put_piece(upload, 1, 0, b"tail")
    line.inject(lambda method, path: method == "GET" and ".piece." in path, after=liar.flipped)
    with pytest.raises(StoreLied):
        store.fold(upload, 1, size=4, sha256=sha256(b"tail"))
    line.heal()
    store.fold(upload, 1, size=4, sha256=sha256(b"tail"))


def test_a_lock_that_was_not_set_is_found_out(line, honest):
    store = through(line, honest)
    store.put(BLOB, b"header", sha256=sha256(b"header"))
    line.inject(liar.retention, before=liar.empty_success)
    with pytest.raises(StoreLied):
        store.lock(BLOB, until=datetime.now(UTC) + DAY)


def test_a_lock_that_was_not_lengthened_is_found_out(line, honest):
    store = through(line, honest)
    store.put(BLOB, b"header", sha256=sha256(b"header"))
    store.lock(BLOB, until=datetime.now(UTC) + DAY)
    line.inject(liar.retention, before=liar.empty_success)
    with pytest.raises(StoreLied):
        store.lock(BLOB, until=datetime.now(UTC) + 2 * DAY)


@pytest.mark.parametrize(
    "headers",
    [
        {"x_amz_object_lock_retain_until_date": "2030-01-01T00:00:00Z"},
        {"x_amz_object_lock_mode": "GOVERNANCE"},
        {"x_amz_object_lock_mode": None},
    ],
)
def test_a_shortened_or_weakened_lock_is_found_out(line, honest, headers):
    store = through(line, honest)
    store.put(BLOB, b"header", sha256=sha256(b"header"))
    line.inject(liar.object_head, after=liar.telling(**headers))
    with pytest.raises(StoreLied):
        store.lock(BLOB, until=datetime(2040, 1, 1, tzinfo=UTC))


def test_another_version_than_was_asked_for_is_found_out(line, honest):
    store = through(line, honest)
    info = store.put(BLOB, b"header", sha256=sha256(b"header"))
    line.inject(liar.object_head, after=liar.telling(x_amz_version_id="another"))
    with pytest.raises(StoreLied):
        store.stat(BLOB, version=info.version)


def test_an_upload_that_the_store_forgot_is_not_found(line, honest):
    store = through(line, honest)
    upload = uploaded(store)
    honest.abort(upload)
    with pytest.raises(UploadNotFound):
        store.complete(upload, described(PARTS))
    assert list(honest.uploads()) == []


def test_a_blob_that_is_told_to_be_another_after_it_was_put_is_found_out(line, honest):
    line.inject(liar.object_head, after=liar.telling(content_length="7"))
    with pytest.raises(StoreLied):
        through(line, honest).put(BLOB, b"header", sha256=sha256(b"header"))


def test_a_body_that_is_gone_when_it_was_completed_is_found_out(line, honest):
    store = through(line, honest)
    upload = uploaded(store)
    line.inject(lambda method, path: method == "HEAD" and "versionId=" in path, before=liar.absent)
    with pytest.raises(StoreLied):
        store.complete(upload, described(PARTS))
    line.heal()
    assert store.complete(upload, described(PARTS)) == honest.stat(KEY)


def test_a_completion_that_tells_of_other_parts_is_found_out(line, honest):
    def of_three(answer):
        return liar.Answer(
            answer.status, answer.headers, answer.body.replace(b"-2</ChecksumSHA256>", b"-3</ChecksumSHA256>")
        )

    store = through(line, honest)
    upload = uploaded(store)
    line.inject(liar.completion, after=of_three)
    with pytest.raises(StoreLied):
        store.complete(upload, described(PARTS))


def test_an_upload_that_the_store_dropped_by_itself_is_not_found(honest):
    upload = uploaded(honest)
    bucket, prefix = honest.address.bucket, honest.address.prefix
    client = honest._bucket.client
    (found,) = client.list_multipart_uploads(Bucket=bucket, Prefix=f"{prefix}/")["Uploads"]
    client.abort_multipart_upload(Bucket=bucket, Key=found["Key"], UploadId=found["UploadId"])
    with pytest.raises(UploadNotFound):
        honest.complete(upload, described(PARTS))


def test_another_range_after_a_broken_line_is_found_out(line, honest):
    honest.complete(uploaded(honest), described(PARTS))
    line.inject(liar.object_get, after=liar.cut, times=1)
    line.inject(liar.object_get, after=liar.telling(content_range="bytes 0-9/10"))
    with pytest.raises(StoreLied):
        list(through(line, honest).read(KEY))


def test_an_answer_without_a_date_is_no_answer(line, honest):
    honest.put(BLOB, b"header", sha256=sha256(b"header"))
    line.inject(liar.object_head, after=liar.telling(date=None))
    with pytest.raises(StoreLied):
        through(line, honest).stat(BLOB)


def test_a_deletion_that_is_refused_without_a_lock_is_told_as_it_is(line, honest):
    honest.put(BLOB, b"header", sha256=sha256(b"header"))
    line.inject(lambda method, _path: method == "DELETE", before=liar.forbidden)
    with pytest.raises(StoreUnavailable):
        through(line, honest).delete(BLOB, now=datetime.now(UTC))
    assert everything(honest, BLOB) == b"header"


def test_a_lock_that_is_longer_than_was_told_is_not_shortened(line, honest):
    honest.put(BLOB, b"header", sha256=sha256(b"header"))
    until = datetime.now(UTC).replace(microsecond=0) + 2 * DAY
    honest.lock(BLOB, until=until)
    line.inject(liar.object_head, after=liar.telling(x_amz_object_lock_mode=None), times=1)
    with pytest.raises(LockShortened):
        through(line, honest).lock(BLOB, until=until - DAY)
    assert honest.stat(BLOB).locked_until == until


def test_a_part_with_a_chunk_too_many_never_counts(honest):
    upload = honest.begin(KEY, part_size=5 * MIB)
    with pytest.raises(GridViolation):
        honest.put_part(upload, 1, iter([b"tail", b"", b"s"]), size=4, sha256=None)
    with pytest.raises(UploadIncomplete):
        honest.complete(upload, described([b"tail"]))
