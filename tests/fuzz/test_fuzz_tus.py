"""Row 10, headers of tus: whatever stands in one is read, or refused as the client's mistake; nothing else happens."""

import base64
from contextlib import suppress
from types import SimpleNamespace

import pytest

from app.api import uploads
from app.errors import BadRequest, TooLarge
from tests.fuzz.fuzz_custody import mutated

READERS = {
    "Upload-Length": lambda text: uploads._number("Upload-Length", text),
    "Upload-Checksum": uploads._checksum,
    "Upload-Concat": uploads._named,
    "Content-Length": lambda text: uploads._check_length(request(text), offset=7, length=1000),
}
SEEDS = {
    "Upload-Length": [b"0", b"1048576", b"9007199254740993"],
    "Upload-Checksum": [name.encode() + b" " + base64.b64encode(bytes(size)) for name, size in uploads.ALGORITHMS.items()],
    "Upload-Concat": [b"final;/v1/uploads/" + b"ab" * 16, b"final;https://h/v1/uploads/" + b"cd" * 16 + b" /v1/uploads/" + b"ef" * 16],
    "Content-Length": [b"1", b"993"],
}  # fmt: skip


def request(length):
    return SimpleNamespace(headers={"content-length": length})


def laws(name, text, found):
    """What a value that was taken must be."""
    if name == "Upload-Length":
        assert str(found) == text
    elif name == "Upload-Checksum":
        assert len(found.expected) == uploads.ALGORITHMS[found.algorithm]
    elif name == "Upload-Concat":
        assert len(found) == len(text.partition(";")[2].split())
        assert all(len(each) == 32 and set(each) <= set("0123456789abcdef") for each in found)


@pytest.mark.deep
def test_a_header_of_tus_is_read_or_refused(effort):
    taken = dict.fromkeys(READERS, 0)
    for name, seeds in SEEDS.items():
        for seed in seeds:
            laws(name, seed.decode(), READERS[name](seed.decode()))
    for _ in effort.turns(usual=4000, full=2_000_000):
        name = effort.random.choice(list(READERS))
        text = mutated(effort.random, effort.random.choice(SEEDS[name])).decode("latin-1")  # as the server gives it
        with suppress(BadRequest, TooLarge):
            laws(name, text, READERS[name](text))
            taken[name] += 1
    assert all(taken.values()), "nothing but refusals tells nothing"
