"""Bundle vectors: archives that lie about their own size, and what a reader brings that is worth nothing."""

import struct
import zlib

from tests.custody.world import TAIL, World, packed, zipped
from tests.vectors.bundle_more import mirrored, no_parts, on_disk, with_older
from tests.vectors.bundle_table import archived, changed, deflated, of, raw_zip, row, slim, tiny

# ---------------------------------------------------------------- container


def end_of(data, *, start=0, size=0, count=0):
    """The archive with an end record that says so much more."""
    held, total, offset = struct.unpack_from("<HII", data, len(data) - 12)
    record = struct.pack("<HHIIH", held + count, held + count, total + size, offset + start, 0)
    return bytes(data[:-14]) + record


def between(data, *, after):
    """Four bytes before the central directory or after it, and an end record that counts them in."""
    start = struct.unpack_from("<I", data, len(data) - 6)[0]
    if after:
        return end_of(bytes(data[:-22]) + bytes(4) + bytes(data[-22:]), size=4)
    return end_of(bytes(data[:start]) + bytes(4) + bytes(data[start:]), start=4)


def long_name_at_the_end(data):
    """The last central header claims a longer name than is left."""
    start = struct.unpack_from("<I", data, len(data) - 6)[0]
    place = bytes(data).rindex(b"PK\1\2", start)
    data[place + 28 : place + 30] = struct.pack("<H", struct.unpack_from("<H", data, place + 28)[0] + 5)
    return bytes(data)


def renamed(files):
    return [*files, ("b" * 256, b"")]


def swollen(files):
    """A file that inflates to a thousand times what is stored."""
    return [(name, bytes(200_000) if name == "inclusion" else data) for name, data in files]


def by_hand(change, pack=None):
    def make():
        w = tiny()
        return of(w, raw_zip(change(list(slim(w.bundle("registry")).items())), pack=pack))

    return make


def deflate_all(_name, data):
    return 8, deflated(data)


def beyond():
    """The last file is said to begin after the archive's end, where the one before it would have to end."""
    w = tiny()
    *files, (name, last) = slim(w.bundle("registry")).items()
    body = central = b""
    for called, data in [*files, (name, last)]:
        claimed = len(data) + (10**6 if (called, data) == files[-1] else 0)
        meta = struct.pack("<HHHHHIII", 20, 0, 0, 0, 33, zlib.crc32(data), claimed, claimed)
        where = len(body) + (10**6 if called == name else 0)
        tail = struct.pack("<HHHHHII", len(called), 0, 0, 0, 0, 0, where)
        central += b"PK\1\2" + struct.pack("<H", 20) + meta + tail + called.encode()
        body += b"PK\3\4" + meta + struct.pack("<HH", len(called), 0) + called.encode() + data
    count = len(files) + 1
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(central), len(body), 0)
    return of(w, body + central + end)


for _name, _about, _make in [
    ("bytes-after-its-directory", "the central directory does not fill its place", archived(lambda data: between(data, after=True))),
    ("a-gap-before-its-directory", "bytes between the last file and the central directory", archived(lambda data: between(data, after=False))),
    ("a-file-less-than-counted", "the counts say one more", archived(lambda data: end_of(data, count=1))),
    ("a-last-name-that-is-cut", "the last name is longer than what is left", archived(long_name_at_the_end)),
    ("a-name-of-256-characters", "a name too long", by_hand(renamed)),
    ("a-file-that-swells", "more than 200 times its size", by_hand(swollen, deflate_all)),
    ("a-file-beyond-its-end", "a file of a size that the archive does not have", beyond),
]:  # fmt: skip
    row(f"zip-with-{_name}", _about, _make, "packing", code="archive-malformed", exit_code=3)

row("checkpoint-that-is-no-text", "not UTF-8", changed(checkpoint=lambda data: b"\xff" + data), "canonical", code="note-malformed", exit_code=3, file="checkpoint")  # fmt: skip
row("a-proof-of-another-kind", "its first line is another", changed(proof=b"rogatory/consistency/v2\n1\n6\n"), "canonical", code="batch-malformed", exit_code=3, file="consistency/1-6")  # fmt: skip

# ---------------------------------------------------------------- what a reader brings


def beside_a_mirror_and(note):
    def make():
        w = World(seen=False).opened()
        w.tick(TAIL)
        early = note(w)
        w.exported()
        made = mirrored(lambda _: w, later=True)()
        made.options["since"] = early
        return made

    return make


row("beside-a-mirror-and-its-checkpoint", "an older checkpoint without a proof, and the leaves that give it", beside_a_mirror_and(lambda w: w.checkpoint()))  # fmt: skip
row("beside-a-mirror-and-another-root", "an older checkpoint of another root than the leaves give", beside_a_mirror_and(lambda w: w.checkpoint(root=bytes(32))), "consistency", code="other-history", exit_code=25)  # fmt: skip
row("beside-a-mirror-and-garbage", "what the reader kept is nothing", beside_a_mirror_and(lambda w: b"garbage"), "consistency", status="not_checked", exit_code=21)  # fmt: skip


def spoilt(name):
    """An older bundle of which a file that is needed is malformed."""
    return with_older(lambda w: zipped(packed(slim(w.bundle()) | {name: b"garbage\n"})))


for _name in ("checkpoint", "leaves.jsonl"):
    row(f"beside-an-older-bundle-without-its-{_name.partition('.')[0]}", f"its {_name} is malformed", spoilt(_name), "consistency", status="not_checked", exit_code=21)  # fmt: skip
row("items-longer-without-lists-of-parts", "a byte more, found by the size of the whole", on_disk(lambda bodies, w: {name: data + b"x" for name, data in bodies.items()}, files=no_parts), "items", code="item-differs", exit_code=20)  # fmt: skip
