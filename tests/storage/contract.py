"""What every store promises, as tests. A store's own test inherits `StoreContract` and says how to open one.

Nothing here looks inside a store. What only some stores can show (order of system calls, crash points)
stands in the store's own test.
"""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from storage.interface import (
    AlreadyExists,
    DigestMismatch,
    GridViolation,
    KeyMalformed,
    Locked,
    LockShortened,
    NotFound,
    ObjectInfo,
    PartDigest,
    StoreError,
    Superseded,
    Truncated,
    UploadIncomplete,
    UploadNotFound,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = "bodies/" + "01" * 16 + "/" + "02" * 16
OTHER = "bodies/" + "01" * 16 + "/" + "03" * 16


def sha256(data):
    return hashlib.sha256(data).digest()


def described(parts):
    return [PartDigest(size=len(part), sha256=sha256(part)) for part in parts]


def everything(store, key):
    return b"".join(store.read(key))


def in_parallel(calls):
    """Results or store errors of calls that start at the same moment."""
    gate = threading.Barrier(len(calls), timeout=30)  # should the test be interrupted before all have started

    def run(call):
        gate.wait()
        try:
            return call()
        except StoreError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


class StoreContract:
    """The promises. A subclass brings a fixture `store`, and `reopen(store)`: the same as another process sees it."""

    part_size = 4096
    lock_span = DAY
    """How long a lock lasts that a test waits for."""

    def now(self):
        """The time for locks: any, for a store that goes by the time it is given; the true one for others."""
        return NOW

    def wait_until(self, time):
        """Let the store's own clock come to `time`, if it has one."""

    # ---- what a test is made of

    def piece(self, letter, size=None):
        return letter.encode() * (self.part_size if size is None else size)

    def uploaded(self, store, parts, key=KEY):
        upload = store.begin(key, part_size=self.part_size)
        for number, part in enumerate(parts, start=1):
            store.put_part(upload, number, [part], size=len(part), sha256=sha256(part))
        return upload

    def published(self, store, parts, key=KEY):
        return store.complete(self.uploaded(store, parts, key), described(parts))

    # ---- blobs

    @pytest.mark.parametrize("data", [b"", b"x", b"header" * 1000])
    def test_a_blob_comes_out_as_it_went_in(self, store, data):
        info = store.put("headers/aa", data, sha256=sha256(data))
        assert info == ObjectInfo(
            key="headers/aa", version=info.version, size=len(data), locked_until=None, written=info.written
        )
        again = self.reopen(store)
        assert everything(again, "headers/aa") == data
        assert again.stat("headers/aa") == info
        assert b"".join(again.read("headers/aa", version=info.version)) == data

    def test_a_blob_with_another_digest_is_refused_and_leaves_nothing(self, store):
        with pytest.raises(DigestMismatch):
            store.put("headers/aa", b"one", sha256=sha256(b"two"))
        with pytest.raises(NotFound):
            store.stat("headers/aa")
        assert list(store.keys("")) == []

    def test_the_same_blob_again_succeeds(self, store):
        first = store.put("headers/aa", b"one", sha256=sha256(b"one"))
        assert store.put("headers/aa", b"one", sha256=sha256(b"one")) == first

    @pytest.mark.parametrize("other", [b"", b"two", b"one and more"])
    def test_a_key_is_never_overwritten(self, store, other):
        store.put("headers/aa", b"one", sha256=sha256(b"one"))
        with pytest.raises(AlreadyExists):
            store.put("headers/aa", other, sha256=sha256(other))
        assert everything(store, "headers/aa") == b"one"

    def test_of_many_blobs_for_one_key_exactly_one_is_kept(self, store):
        blobs = [f"blob {number}".encode() for number in range(8)]
        found = in_parallel([lambda each=each: store.put("headers/aa", each, sha256=sha256(each)) for each in blobs])
        winners = [blob for blob, result in zip(blobs, found, strict=True) if isinstance(result, ObjectInfo)]
        assert [everything(store, "headers/aa")] == winners
        assert sum(isinstance(result, AlreadyExists) for result in found) == 7

    def test_of_equal_blobs_for_one_key_all_succeed(self, store):
        call = lambda: store.put("headers/aa", b"same", sha256=sha256(b"same"))  # noqa: E731
        assert in_parallel([call] * 8) == [store.stat("headers/aa")] * 8

    @pytest.mark.parametrize(
        "key", ["", "..", "../x", "a/../b", "a//b", "/a", "a/", "A", "a\n", "a b", ".a", "é", "a" * 201]
    )
    def test_an_unsafe_key_is_refused_everywhere(self, store, key):
        for call in (
            lambda: store.put(key, b"", sha256=sha256(b"")),
            lambda: store.begin(key, part_size=self.part_size),
            lambda: store.read(key),
            lambda: store.stat(key),
            lambda: store.lock(key, until=NOW),
            lambda: store.delete(key, now=NOW),
        ):
            with pytest.raises(KeyMalformed):
                call()

    # ---- reading

    @pytest.mark.parametrize(
        ("start", "length"), [(0, None), (0, 0), (0, 1), (5, None), (4095, 2), (4096, 10), (100, 9000)]
    )
    def test_ranges_are_slices(self, store, start, length):
        data = bytes(range(256)) * 64
        store.put("headers/aa", data, sha256=sha256(data))
        end = None if length is None else start + length
        assert b"".join(store.read("headers/aa", start=start, length=length)) == data[start:end]

    def test_an_empty_range_at_the_end_is_empty(self, store):
        store.put("headers/aa", b"one", sha256=sha256(b"one"))
        assert list(store.read("headers/aa", start=3)) == []

    @pytest.mark.parametrize(("start", "length"), [(0, 4), (3, 1), (4, None), (4, 0), (-1, None), (-1, 2), (2, -1)])
    def test_a_range_outside_is_refused_before_the_first_byte(self, store, start, length):
        store.put("headers/aa", b"one", sha256=sha256(b"one"))
        with pytest.raises(Truncated):
            store.read("headers/aa", start=start, length=length)

    def test_what_is_not_there_is_refused_before_the_first_byte(self, store):
        store.put("headers/aa", b"one", sha256=sha256(b"one"))
        for key, version in (
            ("headers/bb", ""),
            ("headers", ""),
            ("headers/aa/bb", ""),
            ("headers/aa", "nosuchversion"),
        ):
            for call in (store.read, store.stat):
                with pytest.raises(NotFound):
                    call(key, version=version)
            with pytest.raises(NotFound):
                store.lock(key, version=version, until=NOW)
            with pytest.raises(NotFound):
                store.delete(key, version=version, now=NOW)

    # ---- bodies in parts

    def test_a_body_is_its_parts_in_order(self, store):
        parts = [self.piece("a"), self.piece("b"), self.piece("c", 7)]
        upload = store.begin(KEY, part_size=self.part_size)
        for number in (3, 1, 2):
            part = parts[number - 1]
            halves = [part[: len(part) // 2], b"", part[len(part) // 2 :]]
            assert store.put_part(upload, number, halves, size=len(part), sha256=None) == sha256(part)
        info = store.complete(upload, described(parts))
        assert (info.key, info.size, info.locked_until) == (KEY, 2 * self.part_size + 7, None)
        assert everything(self.reopen(store), KEY) == b"".join(parts)
        assert store.stat(KEY) == info

    def test_an_unfinished_upload_is_seen_by_no_reader(self, store):
        upload = self.uploaded(store, [self.piece("a")])
        assert list(store.keys("")) == []
        with pytest.raises(NotFound):
            store.stat(KEY)
        with pytest.raises(NotFound):
            store.read(KEY)
        assert [(info.token, info.key) for info in store.uploads()] == [(upload, KEY)]

    def test_an_upload_says_when_it_was_begun_and_is_gone_when_complete(self, store):
        before = datetime.now(UTC) - timedelta(seconds=5)
        upload = self.uploaded(store, [self.piece("a")])
        assert [before <= info.begun <= before + timedelta(minutes=1) for info in store.uploads()] == [True]
        store.complete(upload, described([self.piece("a")]))
        assert list(store.uploads()) == []

    def test_another_process_takes_an_upload_up(self, store):
        upload = self.uploaded(store, [self.piece("a")])
        again = self.reopen(store)
        again.put_part(upload, 2, [b"tail"], size=4, sha256=None)
        again.complete(upload, described([self.piece("a"), b"tail"]))
        assert everything(store, KEY) == self.piece("a") + b"tail"

    def test_a_part_with_another_digest_does_not_count(self, store):
        upload = self.uploaded(store, [self.piece("a")])
        with pytest.raises(DigestMismatch):
            store.put_part(upload, 2, [b"damaged"], size=7, sha256=sha256(b"genuine"))
        for claimed in (b"damaged", b"genuine"):
            with pytest.raises(UploadIncomplete):
                store.complete(upload, described([self.piece("a"), claimed]))
        assert list(store.keys("")) == []
        store.put_part(upload, 2, [b"genuine"], size=7, sha256=sha256(b"genuine"))
        store.complete(upload, described([self.piece("a"), b"genuine"]))
        assert everything(store, KEY) == self.piece("a") + b"genuine"

    def test_a_part_that_ends_early_or_late_does_not_count(self, store):
        upload = store.begin(KEY, part_size=self.part_size)
        with pytest.raises(Truncated):
            store.put_part(upload, 1, [b"12345"], size=6, sha256=None)
        with pytest.raises(GridViolation):
            store.put_part(upload, 1, [b"1234", b"567"], size=6, sha256=None)
        for claimed in (b"12345", b"1234567", b"123456"):
            with pytest.raises(UploadIncomplete):
                store.complete(upload, described([claimed]))

    def test_an_error_of_the_sender_passes_through_and_the_part_does_not_count(self, store):
        def broken():
            yield b"1234"
            raise ConnectionResetError

        upload = store.begin(KEY, part_size=self.part_size)
        with pytest.raises(ConnectionResetError):
            store.put_part(upload, 1, broken(), size=6, sha256=None)
        with pytest.raises(UploadIncomplete):
            store.complete(upload, described([b"123456"]))

    def test_a_part_put_again_counts_as_put_last(self, store):
        upload = self.uploaded(store, [self.piece("a"), b"first tail"])
        store.put_part(upload, 2, [b"tail"], size=4, sha256=None)
        with pytest.raises(DigestMismatch):
            store.complete(upload, described([self.piece("a"), b"first tail"]))
        store.complete(upload, described([self.piece("a"), b"tail"]))
        assert everything(store, KEY) == self.piece("a") + b"tail"

    def test_of_two_writers_of_one_part_the_later_to_begin_wins(self, store):
        upload = store.begin(KEY, part_size=self.part_size)

        def overtaken():
            yield b"stale"
            store.put_part(upload, 1, [b"fresh part"], size=10, sha256=None)
            yield b"stale"

        with pytest.raises(Superseded):
            store.put_part(upload, 1, overtaken(), size=10, sha256=None)
        store.complete(upload, described([b"fresh part"]))
        assert everything(store, KEY) == b"fresh part"

    def test_a_writer_still_busy_when_the_upload_is_completed_changes_nothing(self, store):
        upload = self.uploaded(store, [b"whole body"])

        def overtaken():
            yield b"stale"
            store.put_part(upload, 1, [b"whole body"], size=10, sha256=None)
            store.complete(upload, described([b"whole body"]))
            yield b"stale"

        with pytest.raises((Superseded, UploadNotFound)):
            store.put_part(upload, 1, overtaken(), size=10, sha256=None)
        assert everything(store, KEY) == b"whole body"

    def test_after_completion_no_writer_reaches_the_body(self, store):
        upload = self.uploaded(store, [b"whole body"])
        store.complete(upload, described([b"whole body"]))
        for call in (
            lambda: store.put_piece(upload, 1, 0, b"stale"),
            lambda: store.put_part(upload, 1, [b"stale"], size=5, sha256=None),
            lambda: store.fold(upload, 1, size=10, sha256=sha256(b"whole body")),
            lambda: store.read_pieces(upload, 1, 1),
        ):
            with pytest.raises(UploadNotFound):
                call()
        assert everything(store, KEY) == b"whole body"

    @pytest.mark.parametrize("part", [0, -1, 10_001])
    def test_a_part_outside_the_grid_is_refused(self, store, part):
        upload = store.begin(KEY, part_size=self.part_size)
        with pytest.raises(GridViolation):
            store.put_part(upload, part, [b"x"], size=1, sha256=None)
        with pytest.raises(GridViolation):
            store.put_piece(upload, part, 0, b"x")

    def test_a_size_outside_the_part_is_refused(self, store):
        upload = store.begin(KEY, part_size=self.part_size)
        for size in (0, self.part_size + 1):
            with pytest.raises(GridViolation):
                store.put_part(upload, 1, [self.piece("a", size)], size=size, sha256=None)
        for offset, size in ((-1, 2), (self.part_size, 1), (0, self.part_size + 1)):
            with pytest.raises(GridViolation):
                store.put_piece(upload, 1, offset, self.piece("a", size))
        for part_size in (0, 4 * 1024**3 + 1):
            with pytest.raises(GridViolation):
                store.begin(KEY, part_size=part_size)

    # ---- pieces

    def test_pieces_are_read_back_and_fold_into_a_part(self, store):
        upload = self.uploaded(store, [self.piece("a")])
        store.put_piece(upload, 2, 0, b"first ")
        store.put_piece(upload, 2, 6, b"second")
        again = self.reopen(store)
        assert b"".join(again.read_pieces(upload, 2, 12)) == b"first second"
        assert b"".join(again.read_pieces(upload, 2, 3)) == b"fir"
        again.fold(upload, 2, size=12, sha256=sha256(b"first second"))
        again.complete(upload, described([self.piece("a"), b"first second"]))
        assert everything(store, KEY) == self.piece("a") + b"first second"

    def test_a_piece_lies_over_what_a_stale_writer_left(self, store):
        upload = store.begin(KEY, part_size=self.part_size)
        store.put_piece(upload, 1, 0, b"a stale writer's long piece")
        store.put_piece(upload, 1, 0, b"fresh")
        store.put_piece(upload, 1, 5, b"er")
        assert b"".join(store.read_pieces(upload, 1, 7)) == b"fresher"
        store.fold(upload, 1, size=7, sha256=sha256(b"fresher"))
        info = store.complete(upload, described([b"fresher"]))
        assert (info.size, everything(store, KEY)) == (7, b"fresher")

    def test_pieces_do_not_count_before_they_are_folded(self, store):
        upload = store.begin(KEY, part_size=self.part_size)
        store.put_piece(upload, 1, 0, b"whole")
        with pytest.raises(UploadIncomplete):
            store.complete(upload, described([b"whole"]))

    def test_a_fold_checks_the_digest_of_what_lies_there(self, store):
        upload = store.begin(KEY, part_size=self.part_size)
        store.put_piece(upload, 1, 0, b"damaged")
        with pytest.raises(DigestMismatch):
            store.fold(upload, 1, size=7, sha256=sha256(b"genuine"))
        with pytest.raises(UploadIncomplete):
            store.complete(upload, described([b"genuine"]))

    def test_a_fold_of_fewer_bytes_than_promised_is_refused(self, store):
        upload = store.begin(KEY, part_size=self.part_size)
        store.put_piece(upload, 1, 0, b"short")
        with pytest.raises(Truncated):
            store.read_pieces(upload, 1, 6)
        with pytest.raises(Truncated):
            store.fold(upload, 1, size=6, sha256=sha256(b"short\0"))

    def test_a_piece_in_a_whole_part_makes_it_unfinished(self, store):
        upload = self.uploaded(store, [b"whole body"])
        store.put_piece(upload, 1, 0, b"other")
        for claimed in (b"whole body", b"other body"):
            with pytest.raises(UploadIncomplete):
                store.complete(upload, described([claimed]))

    def test_pieces_before_a_whole_part_leave_no_trace(self, store):
        upload = store.begin(KEY, part_size=self.part_size)
        store.put_piece(upload, 1, 0, b"pieces of more bytes than the part")
        store.put_part(upload, 1, [b"part"], size=4, sha256=None)
        store.complete(upload, described([b"part"]))
        assert everything(store, KEY) == b"part"

    # ---- completion

    def test_completion_again_succeeds_and_says_the_same(self, store):
        parts = [self.piece("a"), b"tail"]
        upload = self.uploaded(store, parts)
        first = store.complete(upload, described(parts))
        assert self.reopen(store).complete(upload, described(parts)) == first

    def test_a_body_is_confirmed_by_its_own_parts_only(self, store):
        parts = [self.piece("a"), self.piece("b", 7)]
        version = self.published(store, parts).version
        store.confirm(KEY, described(parts), version=version)
        for other in ([self.piece("a")], [self.piece("a"), self.piece("c", 7)], [self.piece("a"), self.piece("b", 8)]):
            with pytest.raises(DigestMismatch):
                store.confirm(KEY, described(other), version=version)
        with pytest.raises(NotFound):
            store.confirm(OTHER, described(parts))

    def test_an_object_says_when_its_last_byte_came(self, store):
        before = datetime.now(UTC) - timedelta(seconds=2)
        written = self.published(store, [self.piece("a", 7)]).written
        assert before <= written <= datetime.now(UTC) + timedelta(seconds=2)

    def test_completion_again_with_other_parts_is_refused(self, store):
        parts = [self.piece("a"), b"tail"]
        upload = self.uploaded(store, parts)
        store.complete(upload, described(parts))
        for other in ([self.piece("a")], [self.piece("a"), b"liat"], [self.piece("b"), b"tail"]):
            with pytest.raises((UploadNotFound, AlreadyExists)):
                store.complete(upload, described(other))
        assert everything(store, KEY) == b"".join(parts)

    def test_a_completion_names_exactly_the_parts_kept(self, store):
        a, b = self.piece("a"), self.piece("b")
        upload = self.uploaded(store, [a, b])
        with pytest.raises(DigestMismatch):
            store.complete(upload, described([b, a]))
        with pytest.raises(UploadIncomplete):
            store.complete(upload, described([a, b, b"more"]))
        with pytest.raises(GridViolation):
            store.complete(upload, [])
        assert list(store.keys("")) == []

    def test_only_the_last_part_may_be_short(self, store):
        upload = self.uploaded(store, [b"short", b"tail"])
        with pytest.raises(GridViolation):
            store.complete(upload, described([b"short", b"tail"]))

    def test_parts_behind_those_named_are_no_bytes_of_the_body(self, store):
        upload = self.uploaded(store, [self.piece("a"), self.piece("b")])
        info = store.complete(upload, described([self.piece("a")]))
        assert (info.size, everything(store, KEY)) == (self.part_size, self.piece("a"))

    def test_a_key_that_is_taken_refuses_another_body(self, store):
        self.published(store, [b"first"])
        upload = self.uploaded(store, [b"second"])
        with pytest.raises(AlreadyExists):
            store.complete(upload, described([b"second"]))
        assert everything(store, KEY) == b"first"

    def test_of_many_bodies_for_one_key_exactly_one_is_published(self, store):
        bodies = [[f"body {number}".encode()] for number in range(6)]
        uploads = [self.uploaded(store, parts) for parts in bodies]
        calls = [lambda u=u, p=p: store.complete(u, described(p)) for u, p in zip(uploads, bodies, strict=True)]
        found = in_parallel(calls)
        winners = [parts[0] for parts, result in zip(bodies, found, strict=True) if isinstance(result, ObjectInfo)]
        assert [everything(store, KEY)] == winners
        assert sum(isinstance(result, AlreadyExists) for result in found) == 5

    def test_of_equal_completions_at_once_all_succeed(self, store):
        parts = [self.piece("a"), b"tail"]
        upload = self.uploaded(store, parts)
        found = in_parallel([lambda: store.complete(upload, described(parts))] * 6)
        assert found == [store.stat(KEY)] * 6

    def test_parts_may_come_at_the_same_time(self, store):
        parts = [self.piece(letter) for letter in "abcdef"]
        upload = store.begin(KEY, part_size=self.part_size)
        put = lambda number, part: store.put_part(upload, number, [part], size=len(part), sha256=sha256(part))  # noqa: E731
        in_parallel([lambda n=n, p=p: put(n, p) for n, p in enumerate(parts, start=1)])
        store.complete(upload, described(parts))
        assert everything(store, KEY) == b"".join(parts)

    # ---- abort

    def test_an_aborted_upload_is_gone(self, store):
        upload = self.uploaded(store, [self.piece("a")])
        store.abort(upload)
        store.abort(upload)
        assert list(store.uploads()) == []
        for call in (
            lambda: store.put_piece(upload, 1, 0, b"x"),
            lambda: store.put_part(upload, 1, [b"x"], size=1, sha256=None),
            lambda: store.complete(upload, described([self.piece("a")])),
        ):
            with pytest.raises(UploadNotFound):
                call()

    def test_abort_after_completion_changes_nothing(self, store):
        upload = self.uploaded(store, [b"body"])
        store.complete(upload, described([b"body"]))
        store.abort(upload)
        assert everything(store, KEY) == b"body"

    @pytest.mark.parametrize("token", ["", "..", "../objects", "nonsense", "a~" + "0" * 32])
    def test_a_token_never_given_names_no_upload(self, store, token):
        store.abort(token)
        for call in (
            lambda: store.put_piece(token, 1, 0, b"x"),
            lambda: store.read_pieces(token, 1, 1),
            lambda: store.complete(token, described([b"x"])),
        ):
            with pytest.raises(UploadNotFound):
                call()

    # ---- locks

    def test_a_locked_object_cannot_be_deleted_before_its_time(self, store):
        self.published(store, [b"body"])
        start = self.now()
        end = start + self.lock_span
        store.lock(KEY, until=end)
        for now in (start, end - timedelta(microseconds=1)):
            with pytest.raises(Locked):
                self.reopen(store).delete(KEY, now=now)
        assert (store.stat(KEY).locked_until, everything(store, KEY)) == (end, b"body")
        self.wait_until(end)
        store.delete(KEY, now=end)
        with pytest.raises(NotFound):
            store.stat(KEY)

    def test_a_lock_is_lengthened_never_shortened(self, store):
        now = self.now()
        store.put("headers/aa", b"one", sha256=sha256(b"one"))
        store.lock("headers/aa", until=now + DAY)
        with pytest.raises(LockShortened):
            store.lock("headers/aa", until=now + DAY - timedelta(seconds=1))
        store.lock("headers/aa", until=now + DAY)
        assert store.stat("headers/aa").locked_until == now + DAY
        store.lock("headers/aa", until=now + 2 * DAY)
        assert store.stat("headers/aa").locked_until == now + 2 * DAY

    def test_of_many_locks_at_once_the_longest_holds(self, store):
        now = self.now()
        self.published(store, [b"body"])
        in_parallel([lambda days=days: store.lock(KEY, until=now + days * DAY) for days in range(1, 9)])
        assert store.stat(KEY).locked_until == now + 8 * DAY

    def test_completion_again_keeps_the_lock(self, store):
        now = self.now()
        upload = self.uploaded(store, [b"body"])
        store.complete(upload, described([b"body"]))
        store.lock(KEY, until=now + DAY)
        assert store.complete(upload, described([b"body"])).locked_until == now + DAY

    def test_a_time_without_a_zone_is_no_lock(self, store):
        self.published(store, [b"body"])
        with pytest.raises(ValueError, match="zone"):
            store.lock(KEY, until=NOW.replace(tzinfo=None))
        assert store.stat(KEY).locked_until is None

    def test_a_deleted_key_is_free_and_inherits_no_lock(self, store):
        self.published(store, [b"body"])
        store.lock(KEY, until=NOW)
        store.delete(KEY, now=NOW)
        assert list(store.keys("")) == []
        info = store.put(KEY, b"another", sha256=sha256(b"another"))
        assert (info.size, info.locked_until) == (7, None)

    # ---- lists

    def test_keys_are_listed_by_prefix_in_order(self, store):
        names = ["a-b", "a.c", "a/b", "a/b-c/d", "a/b.c", "a/c/d", "a0", "b/a"]
        for name in reversed(names):
            store.put(name, b"", sha256=sha256(b""))
        names.sort()
        for prefix in ["", "a", "a/", "a/b", "a/b-", "a/c/d", "a/c/d/", "b", "c", "a0"]:
            assert list(store.keys(prefix)) == [name for name in names if name.startswith(prefix)]

    @pytest.mark.parametrize("prefix", ["../", "/", "A", "a//"])
    def test_a_prefix_that_begins_no_key_is_refused(self, store, prefix):
        with pytest.raises(KeyMalformed):
            list(store.keys(prefix))

    def test_several_uploads_to_one_key_are_listed_apart(self, store):
        tokens = {store.begin(KEY, part_size=self.part_size), store.begin(KEY, part_size=self.part_size)}
        tokens.add(store.begin(OTHER, part_size=self.part_size))
        assert {info.token for info in store.uploads()} == tokens
        assert sorted(info.key for info in store.uploads()) == [KEY, KEY, OTHER]

    def test_a_healthy_store_answers_a_ping_and_keeps_nothing_of_it(self, store):
        store.ping()
        assert (list(store.keys("")), list(store.uploads())) == ([], [])
