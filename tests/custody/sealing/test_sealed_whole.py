"""Whole files: ours open elsewhere, theirs open here, and any change is noticed."""

import io
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody import sealing
from custody.errors import CustodyError
from tests.custody.sealing import independent

KINDS = (sealing.HYBRID, sealing.X25519)
IDENTITIES = {kind: sealing.generate_identity(kind) for kind in KINDS}
SIZES = [0, 1, 65535, 65536, 65537, 200_001]


def _plain(size: int) -> bytes:
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def _sealed(plain: bytes, *identities: sealing.Identity) -> bytes:
    target = io.BytesIO()
    sealing.seal(io.BytesIO(plain), target, [identity.recipient for identity in identities])
    return target.getvalue()


class Pipe(io.RawIOBase):
    """A source that cannot seek."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self._data.readinto(memoryview(buffer)[:5000])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_what_is_sealed_opens_again_from_files_and_from_pipes(kind, size):
    file = _sealed(_plain(size), IDENTITIES[kind])
    for source in (io.BytesIO(file), Pipe(file)):
        assert sealing.open_sealed(source, [IDENTITIES[kind]]).read() == _plain(size)


def test_the_result_is_seekable_where_the_source_is():
    file = _sealed(_plain(200_000), IDENTITIES[sealing.X25519])
    opened = sealing.open_sealed(io.BytesIO(file), [IDENTITIES[sealing.X25519]])
    assert opened.seekable()
    assert opened.seek(-5, io.SEEK_END) == 199_995
    assert opened.read() == _plain(200_000)[-5:]
    assert not sealing.open_sealed(Pipe(file), [IDENTITIES[sealing.X25519]]).seekable()


def test_reading_begins_where_the_source_stands_and_leaves_it_open():
    source = io.BytesIO(b"before" + _sealed(b"text", IDENTITIES[sealing.X25519]))
    source.seek(6)
    with sealing.open_sealed(source, [IDENTITIES[sealing.X25519]]) as opened:
        assert opened.read() == b"text"
    assert not source.closed


def test_nothing_is_written_when_there_is_no_recipient():
    target = io.BytesIO()
    with pytest.raises(sealing.RecipientsRefused):
        sealing.seal(io.BytesIO(b"text"), target, [])
    assert target.getvalue() == b""


def test_sealing_twice_gives_different_bytes_throughout():
    first, second = (_sealed(bytes(100), IDENTITIES[sealing.X25519]) for _ in range(2))
    bodies = [file[len(sealing.read_header(file).raw) :] for file in (first, second)]
    assert bodies[0][:16] != bodies[1][:16]
    assert bodies[0][16:] != bodies[1][16:]


def test_another_header_for_the_same_file_key_opens_the_same_body():
    first, second = sealing.generate_identity(), sealing.generate_identity()
    file = _sealed(b"text", first)
    header = sealing.read_header(file).raw
    later = sealing.build_header(sealing.unwrap(header, [first]), [second.recipient])
    assert sealing.open_sealed(io.BytesIO(later + file[len(header) :]), [second]).read() == b"text"


def test_any_flipped_bit_of_a_small_file_is_noticed():
    identity = IDENTITIES[sealing.X25519]
    file = bytearray(_sealed(b"evidence", identity))
    for bit in range(8 * len(file)):
        file[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CustodyError):
            sealing.open_sealed(io.BytesIO(file), [identity]).read()
        file[bit // 8] ^= 1 << bit % 8


BASE = _sealed(_plain(300), IDENTITIES[sealing.X25519])


@given(st.integers(0, len(BASE)), st.integers(0, len(BASE)), st.binary(max_size=20))
@settings(deadline=None, max_examples=200)
def test_any_splice_is_noticed(start, end, new):
    file = BASE[:start] + new + BASE[max(start, end) :]
    for source in (io.BytesIO(file), Pipe(file)):
        try:
            plain = sealing.open_sealed(source, [IDENTITIES[sealing.X25519]]).read()
        except CustodyError:
            continue
        assert file == BASE
        assert plain == _plain(300)


@given(st.binary(max_size=200).map(lambda tail: b"age-encryption.org/v1\n" + tail) | st.binary(max_size=200))
@settings(deadline=None)
def test_garbage_opens_to_nothing_but_typed_errors(data):
    for source in (io.BytesIO(data), Pipe(data)):
        with pytest.raises(CustodyError):
            sealing.open_sealed(source, list(IDENTITIES.values())).read()


@pytest.mark.parametrize("size", SIZES)
def test_age_of_the_distribution_opens_ours(size, tmp_path):
    identity = IDENTITIES[sealing.X25519]
    (tmp_path / "key").write_text(f"{identity}\n")
    command = [independent.program("age"), "-d", "-i", tmp_path / "key"]
    done = subprocess.run(command, input=_sealed(_plain(size), identity), capture_output=True, check=True)
    assert done.stdout == _plain(size)


@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_age_of_the_distribution_seals(size):
    identity = IDENTITIES[sealing.X25519]
    command = [independent.program("age"), "-r", str(identity.recipient)]
    done = subprocess.run(command, input=_plain(size), capture_output=True, check=True)
    assert sealing.open_sealed(io.BytesIO(done.stdout), [identity]).read() == _plain(size)
    sealing.check_header(sealing.read_header(done.stdout).raw, kind=sealing.X25519, count=1)


def test_identity_files_of_age_keygen_are_understood(tmp_path):
    subprocess.run([independent.program("age-keygen"), "-o", tmp_path / "key"], capture_output=True, check=True)
    text = (tmp_path / "key").read_text()
    [identity] = sealing.parse_identity_file(text)
    assert f"# public key: {identity.recipient}\n" in text


@pytest.mark.parametrize("kind", KINDS)
def test_npm_opens_ours(kind):
    other = sealing.generate_identity(kind)
    jobs = [
        {
            "do": "open",
            "file": independent.text(_sealed(_plain(size), other, IDENTITIES[kind])),
            "identity": str(identity),
        }
        for size in SIZES
        for identity in (other, IDENTITIES[kind])
    ]
    expected = [independent.text(_plain(size)) for size in SIZES for _ in range(2)]
    assert independent.npm(*jobs) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_we_open_what_npm_seals(kind):
    other = sealing.generate_identity(kind)
    recipients = [str(other.recipient), str(IDENTITIES[kind].recipient)]
    files = independent.npm(
        *({"do": "seal", "plain": independent.text(_plain(size)), "recipients": recipients} for size in SIZES)
    )
    for size, file in zip(SIZES, map(independent.data, files), strict=True):
        sealing.check_header(sealing.read_header(file).raw, kind=kind, count=2)
        for identity in (other, IDENTITIES[kind]):
            assert sealing.open_sealed(io.BytesIO(file), [identity]).read() == _plain(size)
