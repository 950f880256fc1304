"""Vectors: our own, one fact a file, and the community's; each ends as it says and no other way."""

import hashlib
import io
import json
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from custody import sealing
from custody.errors import CustodyError, FormatError, VerificationError
from tests.custody.sealing import age_reference as age
from tests.custody.sealing import independent

DIRECTORY = Path(__file__).parents[2] / "vectors" / "sealing"
OWN = sorted(path.stem for path in DIRECTORY.glob("*.json"))


def _of(prefix: str) -> list[str]:
    return [name for name in OWN if name.startswith(prefix)]


def _vector(name: str) -> dict:
    return json.loads((DIRECTORY / f"{name}.json").read_text())


def _code(action) -> str:
    try:
        action()
    except CustodyError as error:
        return error.code
    return "ok"


def _open(vector: dict) -> bytes:
    return sealing.open_sealed(
        io.BytesIO(bytes.fromhex(vector["file"])), [sealing.Identity.parse(vector["identity"])]
    ).read()


def test_the_generator_writes_exactly_the_vectors_that_are_there(tmp_path):
    subprocess.run([sys.executable, DIRECTORY / "generate.py", tmp_path], check=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in DIRECTORY.glob("*.json")
    }


@pytest.mark.parametrize("name", _of("header-"))
def test_a_header_is_judged_without_a_key_as_the_vector_says(name):
    vector = _vector(name)
    header = vector["header"].encode()
    assert _code(lambda: sealing.check_header(header, kind=vector["kind"], count=vector["count"])) == vector["expect"]


@pytest.mark.parametrize("name", _of("file-"))
def test_a_file_opens_or_fails_as_the_vector_says(name):
    vector = _vector(name)
    assert _code(lambda: _open(vector)) == vector["expect"]
    if vector["expect"] == "ok":
        assert hashlib.sha256(_open(vector)).hexdigest() == vector["plaintext_sha256"]


@pytest.mark.parametrize("name", _of("commitment-"))
def test_a_commitment_binds_one_key_to_one_item(name):
    file_key, item, commitment = (bytes.fromhex(_vector(name)[part]) for part in ("file_key", "item", "commitment"))
    assert _code(lambda: sealing.check_commitment(file_key, item, commitment)) == _vector(name)["expect"]


@pytest.mark.parametrize("name", _of("faces-"))
def test_one_body_with_two_faces_opens_to_both_and_the_commitment_tells(name, tmp_path):
    vector = _vector(name)
    header, body, item = vector["header"].encode(), bytes.fromhex(vector["body"]), bytes.fromhex(vector["item"])
    (tmp_path / "key").write_text(vector["identity"] + "\n")
    (tmp_path / "file").write_bytes(header + body)
    stock = [independent.program("age"), "-d", "-i", tmp_path / "key", tmp_path / "file"]
    shown = subprocess.run(stock, capture_output=True, check=True).stdout
    assert vector["shows"].encode() in shown
    identity = sealing.Identity.parse(vector["identity"])
    assert sealing.open_sealed(io.BytesIO(header + body), [identity]).read() == shown
    file_key = sealing.unwrap(header, [identity])
    assert (
        _code(lambda: sealing.check_commitment(file_key, item, bytes.fromhex(vector["commitment"]))) == vector["expect"]
    )


def test_the_two_faces_are_of_one_body():
    assert _vector("faces-first")["body"] == _vector("faces-second")["body"]
    assert _vector("faces-first")["commitment"] == _vector("faces-second")["commitment"]


class CommunityVector:
    """One file of the community's set; https://c2sp.org/CCTV/age describes its form."""

    def __init__(self, data: bytes) -> None:
        head, _, self.file = data.partition(b"\n\n")
        pairs = [line.split(": ", 1) for line in head.decode().split("\n")]
        self.facts = dict(pairs)
        self.identities = [sealing.Identity.parse(value) for key, value in pairs if key == "identity"]
        if self.facts.get("compressed") == "zlib":
            self.file = zlib.decompress(self.file)

    @property
    def known_here(self) -> bool:
        """Armour and passphrases are not: whoever uses them is refused."""
        return "armored" not in self.facts and "passphrase" not in self.facts


@cache
def community() -> dict[str, CommunityVector]:
    files = independent.node("vectors.mjs")
    assert isinstance(files, dict)
    return {name: CommunityVector(independent.data(text)) for name, text in files.items()}


BRANCH = {
    "no match": sealing.NoMatchingIdentity,
    "HMAC failure": sealing.HeaderMacMismatch,
    "header failure": FormatError,
    "payload failure": CustodyError,
}
# The header ends well and the body is cut inside the nonce: theirs counts the nonce as header, ours as body.
NONCE_CUT = {"stream_no_nonce", "stream_short_nonce"}
# A whole chunk that is authentic and bears the wrong mark for its place: theirs is released before the place is known,
# ours never. The test opens it by the reference, so that the rest of what was released is compared all the same.
HELD_BACK = {"stream_no_final_full", "stream_no_final_two_chunks_full"}


class Once(io.RawIOBase):
    """A source that cannot seek, as a pipe or a response."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self._data.readinto(buffer)


def _drain(reader) -> tuple[bytes, CustodyError | None]:
    released = bytearray()
    try:
        while data := reader.read(65536):
            released += data
    except CustodyError as error:
        return bytes(released), error
    return bytes(released), None


def _chunk(vector: CommunityVector, counter: int, *, last: bool) -> bytes:
    body = vector.file[len(sealing.read_header(vector.file).raw) :]
    key = age.hkdf(bytes.fromhex(vector.facts["file key"]), body[:16], b"payload")
    sealed = body[16 + counter * 65552 :][:65552]
    return ChaCha20Poly1305(key).decrypt(counter.to_bytes(11, "big") + bytes([last]), sealed, None)


def _names(wanted) -> list[str]:
    return sorted(name for name, vector in community().items() if wanted(vector))


def test_the_community_set_is_complete():
    assert len(community()) == 143


def test_community_successes_open_to_the_right_bytes():
    names = _names(lambda v: v.known_here and v.facts["expect"] == "success")
    assert len(names) == 18
    for name in names:
        vector = community()[name]
        for source in (io.BytesIO(vector.file), Once(vector.file)):
            released, error = _drain(sealing.open_sealed(source, vector.identities))
            assert error is None, name
            assert hashlib.sha256(released).hexdigest() == vector.facts["payload"], name


def test_community_failures_fail_in_their_branch():
    names = _names(lambda v: v.known_here and v.facts["expect"] in ("no match", "HMAC failure", "header failure"))
    assert len(names) > 40
    for name in names:
        vector = community()[name]
        branch = VerificationError if name in NONCE_CUT else BRANCH[vector.facts["expect"]]
        with pytest.raises(branch):
            sealing.open_sealed(io.BytesIO(vector.file), vector.identities).read()


def test_community_bad_bodies_release_what_was_verified_and_then_fail():
    names = _names(lambda v: v.known_here and v.facts["expect"] == "payload failure")
    assert len(names) > 15
    for name in names:
        vector = community()[name]
        released, error = _drain(sealing.open_sealed(Once(vector.file), vector.identities))
        assert error is not None, name
        if name in HELD_BACK:
            assert isinstance(error, sealing.Truncated), name
            released += _chunk(vector, error.chunk - 1, last=False)
        if isinstance(error, sealing.TrailingBytes):
            released += _chunk(vector, error.chunk, last=True)
        assert hashlib.sha256(released).hexdigest() == vector.facts["payload"], name


def test_community_bad_bodies_are_found_by_random_access_too():
    for name in _names(lambda v: v.known_here and v.facts["expect"] == "payload failure"):
        vector = community()[name]
        with pytest.raises(CustodyError):
            sealing.open_sealed(io.BytesIO(vector.file), vector.identities).read()


def test_armour_and_passphrases_are_refused_and_nothing_else_happens():
    names = _names(lambda v: not v.known_here)
    assert len(names) > 50
    for name in names:
        vector = community()[name]
        with pytest.raises(CustodyError):
            sealing.open_sealed(io.BytesIO(vector.file), vector.identities).read()


def test_every_community_header_that_is_read_is_written_the_same_again():
    for vector in community().values():
        try:
            header = sealing.read_header(vector.file)
        except FormatError:
            continue
        assert vector.file.startswith(header.raw)
        assert sealing.header.encode_header(header.stanzas, header.mac) == header.raw
