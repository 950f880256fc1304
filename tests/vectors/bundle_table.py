"""Bundle vectors: what was done to a bundle, and by hand what a verifier must find.

Each row is a function that makes the bundle and the one finding it must lead to. The world in memory
(`tests.custody.world`) makes bundles, honest or forged by an operator who holds the log's key; no row takes what it
expects from a verifier.
"""

import struct
import zlib
from dataclasses import dataclass, field

from tests.custody import test_verify_mutations as single
from tests.custody.world import World, packed, zipped

LEFT_OUT = frozenset({"verify.md", "policy"})
"""For people; left out of most vectors, so that these stay small."""


@dataclass(frozen=True)
class Made:
    """What a verifier is given: files or the bytes of an archive, the trust file, and what the reader brings."""

    bundle: dict | bytes
    trust: object
    options: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A vector before it is made."""

    about: str
    make: object
    expect: dict


ROWS: dict[str, Row] = {}


def row(name, about, make, check=None, *, code=None, exit_code=0, status="fail", **place):
    """Add a vector; without a check the bundle verifies."""
    assert name not in ROWS, name
    expect = {"exit_code": exit_code}
    if check:
        expect |= {"check": check, "status": status}
    if code:
        expect["code"] = code
    if place:
        expect["place"] = place
    ROWS[name] = Row(about, make, expect)


def vector(about, check=None, **expect):
    """As `row`, for the function below it."""

    def add(make):
        row(make.__name__.replace("_", "-"), about, make, check, **expect)
        return make

    return add


def slim(files):
    """The files without those for people, packed again."""
    return packed({name: data for name, data in files.items() if name not in LEFT_OUT})


def tiny(**options):
    """The smallest world: two authorities enrolled, nothing else."""
    return World(seen=False, **options)


def of(world, files=None, *, kind="registry", require=(), trust=None, **options):
    files = slim(world.bundle(kind)) if files is None else files
    return Made(files, world.trust(require=require, **(trust or {})), options)


def changed(**how):
    """A registry's bundle with files changed, under a packing list made again. Keys use `__` for a slash."""

    def make():
        w = tiny()
        files = slim(w.bundle("registry"))
        for name, change in how.items():
            path = NAMES[name]
            data = change(files[path]) if callable(change) else change
            files = {key: value for key, value in files.items() if key != path}
            if data is not None:
                files[path] = data
        return of(w, packed(files))

    return make


FOLDER = "registry/police.nl/"
NAMES = {
    "entries": FOLDER + "entries.jsonl", "leaves": FOLDER + "leaves.jsonl", "tail": FOLDER + "tail.json",
    "statements": "statements.jsonl", "inclusion": "inclusion", "checkpoint": "checkpoint", "policy": "policy",
    "note": "checkpoints/7", "proof": "consistency/1-6", "listing": "headers.jsonl", "header": "headers/x",
    "stamp": "timestamps/6-0.tsr", "renewal": "renewal/1.json", "validation": "validation/x.der",
    "stamp_of_nothing": "timestamps/7-0.tsr", "late_renewal": "renewal/2.json",
}  # fmt: skip


def lines(change):
    """A change of a file's lines."""
    return lambda data: b"".join(change(data.splitlines(keepends=True)))


# ---------------------------------------------------------------- honest

row("honest-registry", "the registry of one authority", lambda: of(tiny()))


@vector("an exchange of one package, whole")
def honest_exchange():
    w = single.quiet()
    return of(w, slim(w.bundle()), require=("conditions", "digests", "headers", "rules"))


@vector("two witnesses of two kinds cosigned, and one auditor vouches for completeness")
def honest_with_quorum():
    w = tiny(witnesses=2, auditors=1)
    return of(w, require=("completeness",))


@vector("an export with its table")
def honest_export():
    w = World(seen=False).opened().exported("export")
    return of(w, slim(w.bundle("export")), require=("table",))


@vector("an entry withheld, and the reader allows it")
def honest_with_an_entry_withheld():
    w = World(seen=False).opened().exported()
    return of(w, slim(w.bundle(withheld={1})), allow_withheld=True)


@vector("an entry withheld, and the reader does not allow it", exit_code=21)
def withheld_without_leave():
    w = World(seen=False).opened().exported()
    return of(w, slim(w.bundle(withheld={1})))


# ---------------------------------------------------------------- container (docs/spec/bundle.md)


def archived(change):
    """A registry's bundle as an archive of stored files, changed."""

    def make():
        w = tiny()
        return of(w, change(bytearray(zipped(slim(w.bundle("registry"))))))

    return make


def at(place, value):
    def change(data):
        data[place : place + len(value)] = value
        return bytes(data)

    return change


def of_end(offset, value):
    return lambda data: at(len(data) - 22 + offset, value)(data)


def of_central(offset, value, number=0):
    """Change the header of a file in the central directory."""

    def change(data):
        place = struct.unpack_from("<I", data, len(data) - 6)[0]
        for _ in range(number):
            place += 46 + struct.unpack_from("<H", data, place + 28)[0]
        return at(place + offset, value)(data)

    return change


def of_both(local, central, value):
    return lambda data: of_central(central, value)(bytearray(at(local, value)(data)))


CONTAINER = {
    "bytes-before": ("a byte before the first file", lambda data: b"x" + bytes(data)),
    "bytes-after": ("a byte after the end record", lambda data: bytes(data) + b"x"),
    "cut": ("the last byte is missing", lambda data: bytes(data[:-1])),
    "nothing": ("four bytes that begin like an archive", lambda data: b"PK\x05\x06"),
    "a-comment": ("the end record announces a comment", of_end(20, b"\1\0")),
    "a-disk": ("the end record speaks of a second disk", of_end(4, b"\1\0")),
    "counts-that-differ": ("one count of the end record is another", of_end(8, b"\1\0")),
    "a-directory-elsewhere": ("the end record gives another offset", of_end(16, b"\0\0\0\0")),
    "a-directory-of-another-size": ("the end record gives another size", of_end(12, b"\0\0\0\0")),
    "another-version": ("version needed 45", of_both(4, 6, b"\x2d\0")),
    "another-maker": ("made by version 63 of unix", of_central(4, b"\x3f\3")),
    "a-flag": ("the flag for names in UTF-8", of_both(6, 8, b"\0\x08")),
    "another-method": ("method 14", of_both(8, 10, b"\x0e\0")),
    "a-time": ("a time of day", of_both(10, 12, b"\1\0")),
    "an-extra-field": ("a local header announces an extra field", at(28, b"\4\0")),
    "attributes": ("external attributes", of_central(38, b"\xff\xff\0\0")),
    "a-comment-of-a-file": ("the central directory announces a comment", of_central(32, b"\1\0")),
    "an-offset-elsewhere": ("the second file is said to begin where the first does", of_central(42, b"\0\0\0\0", 1)),
    "sizes-that-differ": ("the central directory gives another size", of_central(24, b"\1\0\0\0")),
    "another-name": ("the local header bears another name", at(30, b"c")),
    "a-name-in-capitals": ("a name outside the profile", of_both(30, 46, b"B")),
}
for _name, (_about, _change) in CONTAINER.items():
    row(f"zip-with-{_name}", _about, archived(_change), "packing", code="archive-malformed", exit_code=3)


def raw_zip(files, name_of=lambda name: name, pack=None):
    """An archive of files under any names, packed as one likes."""
    body, central = b"", b""
    for name, data in files:
        method, stored = pack(name, data) if pack else (0, data)
        meta = struct.pack("<HHHHHIII", 20, 0, method, 0, 33, zlib.crc32(data), len(stored), len(data))
        called = name_of(name).encode()
        where = struct.pack("<HHHHHII", len(called), 0, 0, 0, 0, 0, len(body))
        central += b"PK\1\2" + struct.pack("<H", 20) + meta + where + called
        body += b"PK\3\4" + meta + struct.pack("<HH", len(called), 0) + called + stored
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, len(files), len(files), len(central), len(body), 0)
    return body + central + end


def deflated(data, more=b""):
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush() + more


def spoilt_zip(pack=None, rename=lambda name: name, twice=False):
    def make():
        w = tiny()
        files = list(slim(w.bundle("registry")).items())
        return of(w, raw_zip([*files, files[-1]] if twice else files, rename, pack))

    return make


row("zip-by-hand", "an archive of the profile made by other hands", spoilt_zip())
for _name, _about, _make in [
    ("a-name-twice", "two files of one name", spoilt_zip(twice=True)),
    ("a-path-upwards", "a name that leads out of the bundle", spoilt_zip(rename=lambda name: f"../{name}")),
    ("an-absolute-path", "a name that begins at the root", spoilt_zip(rename=lambda name: f"/{name}")),
]:
    row(f"zip-with-{_name}", _about, _make, "packing", code="archive-malformed", exit_code=3)


def only(path, pack):
    return lambda name, data: pack(data) if name == path else (0, data)


row(
    "zip-with-a-stream-that-goes-on", "bytes follow a deflated file's stream",
    spoilt_zip(only("inclusion", lambda data: (8, deflated(data, b"\0")))),
    "canonical", code="archive-malformed", exit_code=3, file="inclusion",
)  # fmt: skip
row(
    "zip-with-a-broken-stream", "a deflated file that is none",
    spoilt_zip(only("inclusion", lambda data: (8, b"\xff" * 40))),
    "canonical", code="archive-malformed", exit_code=3, file="inclusion",
)  # fmt: skip
row(
    "zip-with-a-short-stream", "a deflated file of fewer bytes than announced",
    spoilt_zip(only("inclusion", lambda data: (8, deflated(data[:-1])))),
    "canonical", code="archive-malformed", exit_code=3, file="inclusion",
)  # fmt: skip


def wrong_crc():
    w = tiny()
    files = list(slim(w.bundle("registry")).items())
    data = bytearray(raw_zip(files))
    place = bytes(data).index(b"inclusionrogatory")
    crc = bytes(data[place - 16 : place - 12])
    return of(w, bytes(data).replace(crc, bytes(4)))


row(
    "zip-with-another-crc", "a CRC-32 that is not the file's", wrong_crc,
    "packing", code="file-damaged", exit_code=20, file="inclusion",
)  # fmt: skip


# ---------------------------------------------------------------- packing list


def listed(change):
    """A registry's bundle whose packing list, or whose files beside it, changed."""

    def make():
        w = tiny()
        return of(w, change(slim(w.bundle("registry"))))

    return make


def without(name):
    return lambda files: {path: data for path, data in files.items() if path != name}


def relisted(old, new, count=1):
    return lambda files: files | {"bundle.json": files["bundle.json"].replace(old, new, count)}


for _name, _about, _change, _code, _exit in [
    ("missing", "there is none", without("bundle.json"), "bundle-malformed", 3),
    ("of-a-missing-file", "it lists a file that is not there", without("inclusion"), "bundle-malformed", 3),
    ("without-a-file", "a file it does not list", lambda files: files | {"policy": b"quorum none\n"}, "bundle-malformed", 3),
    ("of-another-size", "a file is longer", lambda files: files | {"inclusion": files["inclusion"] + b"\n"}, "bundle-malformed", 3),
    ("of-an-unknown-file", "no bundle has such a file", lambda files: packed(files | {"notes.txt": b"x"}), "bundle-malformed", 3),
    ("of-an-unknown-folder", "no bundle has such a folder", lambda files: packed(files | {"more/notes": b"x"}), "bundle-malformed", 3),
    ("of-an-exchanges-file", "a registry's bundle with a table", lambda files: packed(files | {"entries.csv": b""}), "bundle-malformed", 3),
    ("of-version-2", "a version to come", relisted(b'"v":1}', b'"v":2}'), "bundle-unsupported", 24),
    ("of-another-kind", "a kind to come", relisted(b'"registry"', b'"archived"'), "bundle-unsupported", 24),
    ("with-a-space", "another spelling", relisted(b'"v":1}', b'"v": 1}'), "not-canonical", 3),
    ("with-a-stranger", "a member no schema knows", relisted(b'"v":1}', b'"v":1,"x":1}'), "schema", 3),
]:  # fmt: skip
    row(f"packing-list-{_name}", _about, listed(_change), "packing", code=_code, exit_code=_exit)


def misdigested(member):
    """The packing list with the first digit of the first such digest changed."""

    def change(files):
        before, name, after = files["bundle.json"].partition(b'"%b":"' % member)
        return files | {"bundle.json": before + name + (b"1" if after[:1] == b"0" else b"0") + after[1:]}

    return listed(change)


for _name in ("sha256", "sha512"):
    row(
        f"packing-list-with-{_name}-of-something-else", f"another {_name}", misdigested(_name.encode()),
        "packing", code="file-damaged", exit_code=20, file="checkpoint",
    )  # fmt: skip
for _name, _about, _old, _new in [
    ("size", "it speaks of another size than the checkpoint", b'"registry","log":"evidence.example.org/log","size":6', b'"registry","log":"evidence.example.org/log","size":5'),
    ("log", "it speaks of another log than the checkpoint", b'"log":"evidence.example.org/log"', b'"log":"evidence.example.net/log"'),
]:  # fmt: skip
    row(
        f"packing-list-beside-another-{_name}",
        _about,
        listed(relisted(_old, _new)),
        "canonical",
        code="misnamed",
        exit_code=3,
    )


def of_no_registry(files):
    data = files["bundle.json"]
    return files | {"bundle.json": data[:10] + (b"00" if data[10:12] != b"00" else b"11") + data[12:]}


row("packing-list-of-another-chain", "it is about none of the registries", listed(of_no_registry), "canonical", code="misnamed", exit_code=3, file="bundle.json")  # fmt: skip
