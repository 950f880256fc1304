"""Archives that lie in any field, also in both headers alike: refused, or read as they were, and for little work."""

import io
import struct
import zlib

import pytest

from custody import archive as archives
from custody.archive import FREE_INFLATION, MAX_RATIO, ArchiveMalformed, _end, _Member, open_archive
from tests.custody.world import folder

STORED, DEFLATED = 0, 8
FIELDS = ("method", "crc", "packed", "size", "offset")
ZIP64 = struct.pack("<HHQQQ", 1, 24, 2**40, 2**40, 0)
END64 = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 2**40, 2**40)
LOCATOR = struct.pack("<4sIQI", b"PK\x06\x07", 0, 0, 1)


class Work:
    """Counts what reading an archive costs."""

    def __init__(self, patch):
        self.read = self.inflated = 0
        at, inflater = archives.ZipArchive._at, zlib.decompressobj
        work = self

        class Inflater:
            def __init__(self, bits):
                self.inner = inflater(bits)

            def decompress(self, packed, most):
                made = self.inner.decompress(packed, most)
                work.inflated += len(made)
                return made

            def __getattr__(self, name):
                return getattr(self.inner, name)

        def reading(archive, offset, size):
            found = at(archive, offset, size)
            work.read += len(found)
            return found

        patch.setattr(archives.ZipArchive, "_at", reading)
        patch.setattr(archives.zlib, "decompressobj", Inflater)


def read(data, patch):
    """Its files, or None where it is refused; and what it cost."""
    with patch.context() as inside:
        work = Work(inside)
        try:
            with folder(data) as path:
                opened = open_archive(path)
                try:
                    return {name: opened.read(name) for name in opened.names}, work
                finally:
                    opened.close()
        except ArchiveMalformed:
            return None, work


def deflated(data):
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(data) + packer.flush()


def drawn(random):
    """A few files, packed; their members and bytes."""
    files, members, offset = [], [], 0
    for number in range(random.randrange(1, 5)):
        data = random.choice([random.randbytes(random.randrange(400)), bytes(random.randrange(1, 150)) * 20])
        method = random.choice([STORED, DEFLATED])
        packed = deflated(data) if method == DEFLATED else data
        name = b"f%d" % number
        files.append((name, packed, data))
        members.append(_Member(method, zlib.crc32(data), len(packed), len(data), offset))
        offset += len(members[-1].local(name)) + len(packed)
    return files, members


def built(files, members, shown=None, *, extra=b"", tail=b""):
    """The archive of these members; `shown` stands in its central directory, and in the local headers if they agree."""
    body, directory = io.BytesIO(), io.BytesIO()
    for (name, packed, _), member in zip(files, members, strict=True):
        body.write(member.local(name) + packed)
    for (name, _, _), member in zip(files, shown or members, strict=True):
        directory.write(member.central(name) + extra)
    where = body.tell()
    whole = body.getvalue() + directory.getvalue() + tail
    return whole + _end(len(files), directory.tell(), where)


def lied(random, member):
    """The same member with one field that is another."""
    facts = {field: getattr(member, field) for field in FIELDS}
    field = random.choice(FIELDS)
    odd = [0, 1, 2**16 - 1, 2**32 - 2, 2**32 - 1, facts[field] + 1, max(0, facts[field] - 1), facts[field] * 2 + 3]
    facts[field] = random.choice([9, 12, 14, 99]) if field == "method" else random.choice(odd) % 2**32
    return _Member(**facts)


@pytest.mark.deep
def test_a_lie_in_any_field_is_refused_or_costs_nothing(monkeypatch, effort):
    """In the central directory alone, or in both headers alike; a CRC that lies is told when the file is read."""
    random, refused = effort.random, 0
    for _ in effort.turns(usual=400, full=200_000):
        files, members = drawn(random)
        at = random.randrange(len(members))
        lie = lied(random, members[at])
        told = [lie if number == at else member for number, member in enumerate(members)]
        data = built(files, told if random.random() < 0.5 else members, told)
        found, work = read(data, monkeypatch)
        assert found in (None, {name.decode(): plain for name, _, plain in files})
        assert work.read <= 3 * len(data)
        assert work.inflated <= MAX_RATIO * len(data)
        refused += found is None
    assert refused


@pytest.mark.deep
def test_files_that_overlap_are_refused_before_anything_is_inflated(monkeypatch, effort):
    random = effort.random
    for _ in effort.turns(usual=100, full=50_000):
        files, members = drawn(random)
        if len(files) < 2:
            continue
        at = random.randrange(1, len(members))
        where = random.randrange(members[at].offset)
        members[at] = _Member(*(where if field == "offset" else getattr(members[at], field) for field in FIELDS))
        found, work = read(built(files, members), monkeypatch)
        assert found is None
        assert work.inflated == 0


@pytest.mark.parametrize("where", ["an extra field", "an end of its own"])
def test_zip64_is_refused_before_anything_is_inflated(monkeypatch, where, effort):
    files, members = drawn(effort.random)
    extra, tail = (ZIP64, b"") if where == "an extra field" else (b"", END64 + LOCATOR)
    found, work = read(built(files, members, extra=extra, tail=tail), monkeypatch)
    assert (found, work.inflated) == (None, 0)


@pytest.mark.parametrize("said", ["all of it", "as much as is allowed", "one byte less"])
def test_a_bomb_is_inflated_to_no_more_than_it_says_and_one_byte(monkeypatch, said):
    plain = bytes(64 * 1024 * 1024)
    packed = deflated(plain)
    size = {"all of it": len(plain), "as much as is allowed": MAX_RATIO * len(packed), "one byte less": 1000}[said]
    files, member = [(b"bomb", packed, plain)], _Member(DEFLATED, 0, len(packed), size, 0)
    found, work = read(built(files, [member]), monkeypatch)
    assert found is None
    assert work.inflated <= min(size + 1, FREE_INFLATION)
