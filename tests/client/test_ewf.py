"""Reading the digests that an acquisition tool stored, from real images and from hostile ones."""

import hashlib
import io
import os
import shutil
import struct
import subprocess
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rogatory import ewf
from rogatory.source import SourceUnsendable, sources


@pytest.fixture(scope="session")
def acquired(tmp_path_factory):
    """A medium and its acquisition in three segments."""
    if shutil.which("ewfacquire") is None:
        pytest.fail("ewfacquire is missing: run `make system` once")
    place = tmp_path_factory.mktemp("ewf")
    medium = place / "medium.dd"
    medium.write_bytes(os.urandom(2_621_440))
    options = ["-u", "-q", "-t", str(place / "image"), "-d", "sha1", "-S", "1MiB", "-f", "encase6", "-c", "none"]
    subprocess.run(["ewfacquire", *options, str(medium)], check=True, capture_output=True)
    return medium, place / "image.E01"


def test_stored_digests_are_those_of_the_medium(acquired):
    medium, image = acquired
    data = medium.read_bytes()
    found = {digest.algorithm: digest.value for digest in ewf.stored_digests(ewf.segments_of(image))}
    assert found == {"md5": hashlib.md5(data).hexdigest(), "sha1": hashlib.sha1(data).hexdigest()}


def test_a_segment_set_is_one_source_however_it_is_named(acquired):
    _, image = acquired
    segments = ewf.segments_of(image)
    assert [path.suffix for path in segments] == [".E01", ".E02", ".E03"]
    for given_paths in ([image], segments, segments[::-1], [segments[1]]):
        [one] = sources(given_paths)
        b"".join(one.pieces())
        assert [line.path for line in one.lines("ab" * 16)] == [b"image.E01", b"image.E02", b"image.E03"]


def test_read_digests_go_into_the_acquisition_facts_as_read(acquired):
    [one] = sources([acquired[1]])
    assert [(row["algorithm"], row["how"], row["source"]) for row in one.source_digests()] == [
        ("md5", "read", "image.E01"),
        ("sha1", "read", "image.E01"),
    ]


def test_any_damage_to_the_last_segment_gives_no_wrong_digest(acquired):
    _, image = acquired
    last = ewf.segments_of(image)[-1]
    data = last.read_bytes()
    right = set(ewf.read_segment(io.BytesIO(data), len(data)))
    assert right
    for place in range(len(data) - 600, len(data)):
        changed = bytearray(data)
        changed[place] ^= 0x01
        assert set(ewf.read_segment(io.BytesIO(changed), len(changed))) <= right


def descriptor(kind, following, size):
    raw = struct.pack("<16sQQ40s", kind, following, size, bytes(40))
    return raw + zlib.adler32(raw).to_bytes(4, "little")


@pytest.mark.parametrize("following", [0, 13, 1, 12, 2**64 - 1], ids=str)
def test_a_section_that_leads_back_or_out_ends_the_walk(following):
    data = ewf.SIGNATURE + bytes(5) + descriptor(b"hash", following, 2**63) + bytes(100)
    assert ewf.read_segment(io.BytesIO(data), len(data)) == []


@given(st.binary(max_size=400))
@settings(max_examples=200)
def test_garbage_after_the_signature_gives_nothing(garbage):
    data = ewf.SIGNATURE + bytes(5) + garbage
    assert list(ewf.read_segment(io.BytesIO(data), len(data))) == []
    assert list(ewf.read_segment(io.BytesIO(garbage), len(garbage))) == []


def test_segments_of_two_images_under_one_name_are_refused(acquired, tmp_path):
    _, image = acquired
    stray = tmp_path / "image.E02"
    stray.write_bytes(b"another")
    with pytest.raises(SourceUnsendable, match=r"image\.E02"):
        sources([image, stray])
