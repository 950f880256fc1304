"""Bodies: any way of sealing gives the reference's bytes, any way of opening gives them back, nothing passes unnoticed."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody import sealing
from custody.errors import CustodyError
from custody.sealing.stream import SEALED_CHUNK
from tests.custody.sealing import age_reference as age

KEY, NONCE = bytes(range(16)), bytes(range(16, 32))
EDGES = [0, 1, 15, 16, 17, 65535, 65536, 65537, 131071, 131072, 131073, 17 * 65536, 17 * 65536 + 5]


def _plain(size: int) -> bytes:
    return (b"%015d\n" * (size // 16 + 1) % tuple(range(size // 16 + 1)))[:size]


def _body(size: int) -> bytes:
    return age.body(KEY, NONCE, _plain(size))


def _opened(body: bytes, step: int) -> bytes:
    opener = sealing.BodyOpener(KEY)
    return b"".join(opener.update(body[at : at + step]) for at in range(0, len(body), step)) + opener.finish()


def _reader(body: bytes, offset: int = 0) -> sealing.BodyReader:
    return sealing.BodyReader(io.BytesIO(b"?" * offset + body), KEY, size=len(body), offset=offset)


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("step", [7919, 65536, 65552, 1 << 20, 3 << 20])
def test_pushing_seals_and_opens_at_every_edge(size, step):
    sealer, plain = sealing.BodySealer(KEY, NONCE), _plain(size)
    body = b"".join(sealer.update(plain[at : at + step]) for at in range(0, size, step)) + sealer.finish()
    assert body == _body(size)
    assert _opened(body, step) == plain


@pytest.mark.parametrize("size", EDGES)
def test_the_reader_gives_the_whole_body_and_its_size(size):
    reader = _reader(_body(size), offset=5)
    assert reader.size == size
    assert reader.read() == _plain(size)
    assert reader.read() == b""


@pytest.mark.parametrize("size", EDGES)
def test_chunks_sealed_one_by_one_are_those_of_the_stream(size):
    sealer, plain = sealing.BodySealer(KEY, NONCE), _plain(size)
    parts = [plain[at : at + 65536] for at in range(0, size, 65536)] or [b""]
    chunks = [sealer.seal_chunk(at, part, at == len(parts) - 1) for at, part in reversed(list(enumerate(parts)))]
    assert NONCE + b"".join(reversed(chunks)) == _body(size)


@pytest.mark.parametrize("size", EDGES)
def test_sealing_into_a_buffer_gives_the_stream_too(size):
    sealer, target = sealing.BodySealer(KEY, NONCE), bytearray(sealing.body_size(size))
    assert sealer.seal_into(0, _plain(size), target, last=True) == sealing.body_size(size) - 16
    assert NONCE + target[:-16] == _body(size)


def test_resuming_at_a_chunk_continues_the_same_body():
    plain, target = _plain(5 * 65536 + 9), bytearray(6 * SEALED_CHUNK)
    sealer = sealing.BodySealer(KEY, NONCE)
    first = sealer.seal_into(0, plain[: 2 * 65536], target, last=False)
    head = bytes(target[:first])
    resumed = sealing.BodySealer(KEY, NONCE)
    rest = resumed.seal_into(2, plain[2 * 65536 :], target, last=True)
    assert NONCE + head + target[:rest] == _body(len(plain))


def test_small_pieces_are_the_same_body():
    sealer, plain = sealing.BodySealer(KEY, NONCE), _plain(700)
    body = b"".join(sealer.update(bytearray([byte])) for byte in plain) + sealer.finish()
    assert body == _body(700)
    assert _opened(body, 1) == plain


def test_each_body_has_its_own_nonce():
    nonces = {sealing.BodySealer(KEY).nonce for _ in range(50)}
    assert len(nonces) == 50
    assert {len(nonce) for nonce in nonces} == {16}


def test_a_finished_body_takes_nothing_more():
    for more in (lambda s: s.update(b"x" * 65537), lambda s: s.finish()):
        sealer = sealing.BodySealer(KEY)
        sealer.finish()
        with pytest.raises(sealing.ChunkMisplaced):
            more(sealer)


@pytest.mark.parametrize(
    ("counter", "size", "last"),
    [
        (0, 0, False),
        (1, 0, True),
        (0, 65535, False),
        (0, 65537, True),
        (-1, 1, True),
        (2**88, 1, True),
        (0, 131072, True),
    ],
)
def test_a_chunk_that_its_place_does_not_allow_is_not_sealed(counter, size, last):
    with pytest.raises(sealing.ChunkMisplaced):
        sealing.BodySealer(KEY).seal_chunk(counter, bytes(size), last)


def test_a_buffer_too_small_and_keys_of_other_sizes_are_refused():
    for action in (
        lambda: sealing.BodySealer(KEY).seal_into(0, bytes(5), bytearray(20), last=True),
        lambda: sealing.BodySealer(bytes(15)),
        lambda: sealing.BodySealer(KEY, bytes(12)),
        lambda: sealing.BodyOpener(bytes(32)).update(bytes(16)),
        lambda: sealing.BodyReader(io.BytesIO(_body(1)), bytes(32), size=33),
    ):
        with pytest.raises(sealing.ChunkMisplaced):
            action()


@given(st.integers(0, 2**62))
@settings(deadline=None)
def test_sizes_are_inverse(size):
    assert sealing.plain_size(sealing.body_size(size)) == size


def test_only_sizes_of_bodies_have_a_plain_size():
    real = {sealing.body_size(size) for size in range(2 * 65536 + 100)}
    for size in [*range(200), *range(65500, 65700), *range(131000, 131150)]:
        if size in real:
            assert sealing.body_size(sealing.plain_size(size)) == size
        else:
            with pytest.raises(sealing.BodySizeImpossible):
                sealing.plain_size(size)
    with pytest.raises(sealing.BodySizeImpossible):
        sealing.plain_size(-1)


SEEK_BODY, SEEK_PLAIN = _body(3 * 65536 + 100), _plain(3 * 65536 + 100)
_STEP = st.tuples(st.sampled_from(["set", "cur", "end", "read", "into"]), st.integers(-70000, 280000))


@given(st.lists(_STEP, max_size=12))
@settings(deadline=None, max_examples=150)
def test_seeking_and_reading_agree_with_a_plain_file(steps):
    ours, theirs = _reader(SEEK_BODY, offset=3), io.BytesIO(SEEK_PLAIN)
    for what, number in steps:
        if what == "read":
            assert io.BufferedReader(_reader(SEEK_BODY)).read(0) == b""
            size = abs(number)
            assert _read(ours, size) == theirs.read(size)
        elif what == "into":
            buffer = bytearray(abs(number) % 70000)
            count = ours.readinto(buffer)
            assert bytes(buffer[:count]) == theirs.read(count)
            assert count or not buffer or theirs.tell() >= len(SEEK_PLAIN)
        else:
            whence = {"set": 0, "cur": 1, "end": 2}[what]
            base = {"set": 0, "cur": theirs.tell(), "end": len(SEEK_PLAIN)}[what]
            place = max(0, base + number)
            assert ours.seek(place - base, whence) == theirs.seek(place)
        assert ours.tell() == theirs.tell()


def _read(reader: sealing.BodyReader, size: int) -> bytes:
    result = b""
    while size > len(result) and (data := reader.read(size - len(result))):
        result += data
    return result


def test_seeking_before_the_beginning_is_a_value_error():
    with pytest.raises(ValueError, match="at least 0"):
        _reader(_body(5)).seek(-1)


def test_a_source_without_readinto_and_with_short_reads_serves():
    class Slow:
        def __init__(self, data: bytes) -> None:
            self._data = io.BytesIO(data)

        def seek(self, offset, whence=0, /):
            return self._data.seek(offset, whence)

        def read(self, size=-1, /):
            return self._data.read(min(size, 1000))

    assert sealing.BodyReader(Slow(SEEK_BODY), KEY, size=len(SEEK_BODY)).read() == SEEK_PLAIN


def test_closing_the_reader_leaves_the_source_open():
    source = io.BytesIO(_body(1))
    sealing.BodyReader(source, KEY, size=33).close()
    assert not source.closed


@pytest.mark.parametrize("read", [lambda body: _opened(body, 100000), lambda body: _reader(body).read()])
def test_any_flipped_bit_of_a_small_body_is_noticed(read):
    body = bytearray(_body(20))
    for bit in range(8 * len(body)):
        body[bit // 8] ^= 1 << bit % 8
        with pytest.raises(sealing.ChunkForged) as caught:
            read(bytes(body))
        assert (caught.value.chunk, caught.value.offset) == (0, 16)
        body[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize("chunk", [0, 1, 2, 3])
def test_the_error_names_the_chunk_and_its_offset(chunk):
    body = bytearray(SEEK_BODY)
    body[16 + chunk * SEALED_CHUNK + 50] ^= 1
    for read in (lambda: _opened(bytes(body), 1 << 20), lambda: _reader(bytes(body)).read()):
        with pytest.raises(sealing.ChunkForged, match=f"chunk {chunk} at byte {16 + chunk * SEALED_CHUNK}") as caught:
            read()
        assert (caught.value.chunk, caught.value.offset) == (chunk, 16 + chunk * SEALED_CHUNK)


def test_chunks_before_a_bad_one_are_released_and_the_bad_one_fails_each_time():
    body = bytearray(SEEK_BODY)
    body[16 + 2 * SEALED_CHUNK] ^= 1
    reader, buffer = _reader(bytes(body)), bytearray(4 * 65536)
    assert reader.readinto(buffer) == 2 * 65536
    assert buffer[: 2 * 65536] == SEEK_PLAIN[: 2 * 65536]
    assert not any(buffer[2 * 65536 :])
    for _ in range(2):
        with pytest.raises(sealing.ChunkForged):
            reader.readinto(buffer)
    reader.seek(3 * 65536)
    assert reader.read() == SEEK_PLAIN[3 * 65536 :]


def test_swapped_doubled_and_dropped_chunks_are_noticed():
    nonce, chunks = (
        SEEK_BODY[:16],
        [SEEK_BODY[at : at + SEALED_CHUNK] for at in range(16, len(SEEK_BODY), SEALED_CHUNK)],
    )
    a, b, c, d = chunks
    for order in ([b, a, c, d], [a, a, c, d], [a, b, b, c, d], [a, c, d], [b, c, d], [d], [a, b, d]):
        body = nonce + b"".join(order)
        for read in (lambda body=body: _opened(body, 70000), lambda body=body: _reader(body).read()):
            with pytest.raises(sealing.ChunkForged):
                read()


@pytest.mark.parametrize("size", [0, 5, 65536, 65537, 131072, 140000])
def test_every_cut_is_noticed(size):
    body = _body(size)
    edges = {at + step for at in range(16, len(body), SEALED_CHUNK) for step in (-1, 0, 1, 15, 16, 17, 500)}
    for cut in sorted({*range(40), *edges, len(body) - 1} & set(range(len(body)))):
        for read in (_opened_at_once, lambda body: _reader(body).read()):
            with pytest.raises((sealing.Truncated, sealing.ChunkForged)):
                read(body[:cut])


def _opened_at_once(body: bytes) -> bytes:
    return _opened(body, 1 << 20)


def test_a_cut_between_chunks_is_told_from_forgery():
    for read in (_opened_at_once, lambda body: _reader(body).read()):
        with pytest.raises(sealing.Truncated) as caught:
            read(SEEK_BODY[: 16 + 2 * SEALED_CHUNK])
        assert caught.value.chunk == 2


def test_a_source_that_ends_early_is_truncated():
    reader = sealing.BodyReader(_Shrinking(SEEK_BODY), KEY, size=len(SEEK_BODY))
    reader._source.shrink(16 + SEALED_CHUNK + 5)
    with pytest.raises(sealing.Truncated):
        reader.read()


class _Shrinking(io.BytesIO):
    def shrink(self, size: int) -> None:
        self.truncate(size)


@pytest.mark.parametrize("size", [0, 5, 65536, 70000])
@pytest.mark.parametrize("more", [1, 16, 17, 65552, 70000])
def test_trailing_bytes_are_noticed(size, more):
    body = _body(size) + bytes(more)
    for read in (_opened_at_once, lambda body: _reader(body).read()):
        with pytest.raises(CustodyError):
            read(body)


def test_bytes_after_a_full_last_chunk_are_told_from_forgery():
    with pytest.raises(sealing.TrailingBytes) as caught:
        _opened_at_once(_body(65536) + b"x")
    assert caught.value.chunk == 0


def test_an_empty_last_chunk_is_refused_unless_it_is_the_first():
    key = age.hkdf(KEY, NONCE, b"payload")
    body = NONCE + age.chunk(key, 0, bytes(65536), last=False) + age.chunk(key, 1, b"", last=True)
    for read in (_opened_at_once, lambda body: _reader(body).read()):
        with pytest.raises(sealing.EmptyFinalChunk):
            read(body)


def test_after_a_failure_nothing_more_is_released():
    opener = sealing.BodyOpener(KEY)
    with pytest.raises(sealing.ChunkForged):
        opener.update(NONCE + bytes(SEALED_CHUNK) + SEEK_BODY[16 + SEALED_CHUNK :])
    for more in (lambda: opener.update(SEEK_BODY[16 + SEALED_CHUNK :]), opener.finish):
        with pytest.raises(CustodyError):
            more()


@given(st.binary(max_size=300), st.binary(max_size=16))
@settings(deadline=None)
def test_garbage_opens_to_nothing_but_typed_errors(data, key):
    for read in (_opened_at_once, lambda body: _reader(body).read()):
        with pytest.raises(CustodyError):
            read(data)
    if len(key) < 16:
        with pytest.raises(CustodyError):
            sealing.BodySealer(key)
