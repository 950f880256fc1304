import hashlib
import io
import random

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from custody import digest
from custody.digest import Digester, DigestMalformed, Digests, GridDigester, OffGrid, composite, digest_stream
from storage import parts as storage_parts

MIB = 1024 * 1024
SIZES = [0, 1, 16 * MIB, 16 * MIB * 10_000, 16 * MIB * 10_000 + 1, 5 * 1024**4, 10_000 * 4 * 1024**3]


def cut(data, lengths):
    for length in lengths:
        yield data[:length]
        data = data[length:]
    yield data


def expected(data):
    return Digests(size=len(data), sha256=hashlib.sha256(data).digest(), blake3=blake3(data).digest())


@given(st.binary(max_size=400), st.lists(st.integers(0, 90)))
def test_digests_do_not_depend_on_how_the_stream_is_cut(data, lengths):
    digester = Digester()
    for chunk in cut(data, lengths):
        digester.update(chunk)
    assert digester.finish() == expected(data)


@given(st.binary(max_size=400), st.lists(st.integers(0, 90)), st.integers(1, 64), st.booleans())
def test_part_digests_are_those_of_the_plain_slices(data, lengths, part_size, whole):
    digester = GridDigester(part_size, whole=whole)
    for chunk in cut(data, lengths):
        digester.update(chunk)
    slices = [data[at : at + part_size] for at in range(0, len(data), part_size)]
    assert digester.finish() == [hashlib.sha256(each).digest() for each in slices]
    assert digester.parts == [hashlib.sha256(each).digest() for each in slices if len(each) == part_size]
    assert digester.size == len(data)
    assert digester.body == (expected(data) if whole else None)


def test_large_chunks_hashed_in_threads_give_the_same_digests():
    data = random.Random(7).randbytes(3 * MIB + 5)
    grid_digester, digester = GridDigester(MIB, whole=True), Digester()
    for target in (grid_digester, digester):
        target.update(memoryview(data)[: 2 * MIB])
        target.update(bytearray(data[2 * MIB :]))
    slices = [data[at : at + MIB] for at in range(0, len(data), MIB)]
    assert digester.finish() == grid_digester.body == expected(data)
    assert grid_digester.finish() == [hashlib.sha256(each).digest() for each in slices]


def test_a_buffer_may_be_reused_as_soon_as_update_returns():
    buffer, digester = bytearray(MIB), Digester()
    for value in range(8):
        buffer[:] = bytes([value]) * MIB
        digester.update(buffer)
        buffer[:] = b"\xff" * MIB
    assert digester.finish() == expected(b"".join(bytes([value]) * MIB for value in range(8)))


@pytest.mark.parametrize("make", [Digester, lambda: GridDigester(3 * MIB // 2, whole=True)])
def test_two_buffers_in_turn_are_enough_to_hash_while_the_next_one_fills(make):
    buffers, digester, data = (bytearray(MIB), bytearray(MIB)), make(), []
    for value in range(12):
        buffer = buffers[value % 2]
        buffer[:] = bytes([value]) * MIB
        (digester.follow if value % 4 else digester.update)(buffer)
        data.append(bytes(buffer))
    digester.follow(b"a little more")
    whole = b"".join(data) + b"a little more"
    if isinstance(digester, GridDigester):
        assert (digester.size, digester.body) == (len(whole), expected(whole))
        slices = [whole[at : at + 3 * MIB // 2] for at in range(0, len(whole), 3 * MIB // 2)]
        assert digester.finish() == [hashlib.sha256(each).digest() for each in slices]
    else:
        assert digester.finish() == expected(whole)


def test_finish_changes_nothing():
    digester = GridDigester(4, whole=True)
    digester.update(b"abcdef")
    assert digester.finish() == digester.finish()
    digester.update(b"gh")
    assert digester.finish() == [hashlib.sha256(b"abcd").digest(), hashlib.sha256(b"efgh").digest()]
    assert digester.body == expected(b"abcdefgh")


def test_a_view_of_wide_items_counts_bytes():
    digester = Digester()
    digester.update(memoryview(b"12345678").cast("I"))
    assert digester.finish() == expected(b"12345678")


class Dribble(io.RawIOBase):
    """A stream that gives less than asked for."""

    def __init__(self, data):
        self._inner = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self._inner.readinto(memoryview(buffer)[:7])


@given(st.binary(max_size=300))
def test_a_stream_is_read_to_its_end_however_little_it_gives_at_once(data):
    assert digest_stream(Dribble(data)) == expected(data)


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=20))
def test_composite_is_the_digest_of_the_concatenation(parts):
    assert composite(parts) == hashlib.sha256(b"".join(parts)).digest()


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=2, max_size=8, unique=True), st.randoms())
def test_composite_commits_to_the_order(parts, rng):
    shuffled = list(parts)
    rng.shuffle(shuffled)
    assert (composite(shuffled) == composite(parts)) == (shuffled == parts)


@pytest.mark.parametrize("wrong", [b"", b"x" * 31, b"x" * 33, b"x" * 64])
def test_composite_refuses_what_is_no_digest(wrong):
    with pytest.raises(DigestMalformed):
        composite([bytes(32), wrong])


@given(st.integers(0, 10_000 * 4 * 1024**3))
def test_both_statements_of_the_grid_agree(size):
    assert digest.grid(size) == storage_parts.grid(size)


@pytest.mark.parametrize("size", SIZES)
def test_both_statements_of_the_grid_agree_at_the_edges(size):
    assert digest.grid(size) == storage_parts.grid(size)


def test_both_statements_of_the_grid_have_the_same_bounds():
    ours = (digest.MIN_PART, digest.MAX_PART, digest.MAX_PARTS)
    assert ours == (storage_parts.MIN_PART, storage_parts.MAX_PART, storage_parts.MAX_PARTS)


@pytest.mark.parametrize("size", [-1, 10_000 * 4 * 1024**3 + 1])
def test_a_size_that_no_grid_holds_is_refused(size):
    with pytest.raises(OffGrid):
        digest.grid(size)


@pytest.mark.parametrize("part_size", [0, -1, 4 * 1024**3 + 1])
def test_a_part_size_outside_the_bounds_is_refused(part_size):
    with pytest.raises(OffGrid):
        GridDigester(part_size)
