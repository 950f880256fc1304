"""Bundle vectors: deflated streams that break the rules of RFC 1951, one rule each, and trust files that do not fit."""

from custody.note import SignerKey
from tests.vectors.bundle_more import trusting
from tests.vectors.bundle_table import deflated, only, row, spoilt_zip

ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
"""In which order a dynamic block gives the lengths of the codes for lengths."""


def bits(*parts):
    """Bytes of (value, width), least significant bit first; a string is a Huffman code as it stands."""
    text = "".join(part if isinstance(part, str) else format(part[0], f"0{part[1]}b")[::-1] for part in parts)
    text += "0" * (-len(text) % 8 + 32)
    return bytes(int(text[place : place + 8][::-1], 2) for place in range(0, len(text), 8))


def dynamic(lengths, *more, literals=0, distances=0):
    """A dynamic block with these lengths (symbol → length) for the code of lengths."""
    return bits(
        "1", (2, 2), (literals, 5), (distances, 5), (15, 4), *((lengths.get(each, 0), 3) for each in ORDER), *more
    )


STREAMS = {
    "that-is-cut": lambda data: deflated(data)[: len(data) // 2],
    "that-gives-more": lambda data: deflated(data + b"x"),
    "of-a-block-without-its-length": lambda data: b"\x01\x05\x00\x00\x00hello",
    "of-a-stored-block-that-is-cut": lambda data: b"\x01\xff\x00\x00\xffhello",
    "of-a-block-of-no-type": lambda data: bits("1", (3, 2)),
    "from-before-the-beginning": lambda data: bits("1", (1, 2), "0000001", "00000", "0000000"),
    "with-a-length-that-is-none": lambda data: bits("1", (1, 2), "11000110"),
    "with-a-distance-that-is-none": lambda data: bits("1", (1, 2), "00110000", "0000001", "11110"),
    "of-too-many-codes": lambda data: dynamic({}, literals=31),
    "of-codes-that-overlap": lambda data: dynamic(dict.fromkeys(range(19), 1)),
    "of-codes-with-a-gap": lambda data: dynamic({0: 2, 1: 2}),
    "that-repeats-nothing": lambda data: dynamic({0: 1, 16: 1}, "1", (0, 2)),
    "without-an-end-of-block": lambda data: dynamic({1: 1, 18: 1}, "1", (127, 7), "1", (106, 7), "0"),
    "of-lengths-that-do-not-fit": lambda data: dynamic({1: 1, 18: 1}, "1", (127, 7), "1", (127, 7)),
    "with-a-code-that-is-none": lambda data: dynamic({1: 1}, "0", "1" * 300),
}
for _name, _pack in STREAMS.items():
    row(
        f"zip-with-a-stream-{_name}", f"a deflated file {_name.replace('-', ' ')}",
        spoilt_zip(only("inclusion", lambda data, pack=_pack: (8, pack(data)))),
        "canonical", code="archive-malformed", exit_code=3, file="inclusion",
    )  # fmt: skip


def sized(packed_as):
    """An archive whose file claims sizes that its data cannot have."""
    return spoilt_zip(only("inclusion", packed_as))


row("zip-with-a-stored-file-of-two-sizes", "a stored file has one size", sized(lambda data: (0, data + b"x")), "packing", code="archive-malformed", exit_code=3)  # fmt: skip


def log_of_another(data):
    key = SignerKey.generate("evidence.example.org/log", 0x01).verifier
    return data.replace(b"quorum none\\n", f"log {key}\\nquorum none\\n".encode(), 1)


def kept_of_another(data):
    root = "A" * 43 + "="
    note = f"evidence.example.net/log\\n1\\n{root}\\n\\n— x AAAAAAAA\\n".encode()
    return data.replace(b'"log":[', b'"checkpoint":"' + note + b'","log":[', 1)


for _name, _about, _change in [
    ("with-a-policy-of-another-log", "its policy names a key that is not the log's", log_of_another),
    ("with-a-checkpoint-of-another-log", "the checkpoint it holds is another log's", kept_of_another),
]:
    row(f"trust-file-{_name}", _about, trusting(_change), "@trust", code="trust-malformed", exit_code=3)
