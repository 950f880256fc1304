"""Canaries: words planted where evidence and secrets are, and a search for them in every form they could leak in.

A text canary is a random core of letters and digits inside ordinary words; its core survives JSON, percent and most other
escaping, so the core is what is searched. Of secret bytes (keys) all of them are searched. Forms: as they are, UTF-16 of
both orders, hex of both cases, base64 at its three alignments in both alphabets, and wholly percent-encoded.
"""

import base64
import secrets
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

MOST = 64 * 1024 * 1024


@dataclass(frozen=True)
class Canary:
    """Something that must not be found.

    Attributes:
        name: What it is, for people.
        text: As it is planted.
        core: What is searched for.
    """

    name: str
    text: str | bytes
    core: bytes = field(default=b"", repr=False)

    @classmethod
    def grow(cls, name, pattern="{}"):
        """A text with a random core in it."""
        core = "kanari" + secrets.token_hex(8)
        return cls(name, pattern.format(core), core.encode())

    @property
    def sought(self):
        return self.core or (self.text if isinstance(self.text, bytes) else self.text.encode())


def forms(data):
    """Form → bytes to look for; each found wherever `data` stands, at whatever offset, inside something longer."""
    found = {"as it is": data, "hex": data.hex().encode(), "HEX": data.hex().upper().encode()}
    text = data.decode("latin-1")
    found |= {"utf-16-le": text.encode("utf-16-le"), "utf-16-be": text.encode("utf-16-be")}
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + data)
        sure = whole[(shift * 8 + 5) // 6 : (shift + len(data)) * 8 // 6]
        found[f"base64+{shift}"] = sure
        found[f"base64url+{shift}"] = sure.replace(b"+", b"-").replace(b"/", b"_")
    percent = "".join(f"%{byte:02x}" for byte in data)
    found |= {"percent": percent.encode(), "PERCENT": percent.upper().encode()}
    found["url"] = quote(data, safe="").encode()
    return found


def planted(canary):
    """Form → bytes as somebody careless would write the whole of a canary in it; what a search must find."""
    whole = canary.text if isinstance(canary.text, bytes) else canary.text.encode()
    text = whole.decode("latin-1") if isinstance(canary.text, bytes) else canary.text
    found = {
        "utf-8": whole,
        "utf-16-le": text.encode("utf-16-le"),
        "utf-16-be": text.encode("utf-16-be"),
        "hex": whole.hex().encode(),
        "HEX": whole.hex().upper().encode(),
        "url": quote(whole, safe="").encode(),
        "percent": "".join(f"%{byte:02X}" for byte in whole).encode(),
    }
    for shift in range(3):
        found[f"base64+{shift}"] = base64.b64encode(b"-" * shift + whole)
        found[f"base64url+{shift}"] = base64.urlsafe_b64encode(b"-" * shift + whole)
        found[f"base64mime+{shift}"] = base64.encodebytes(b"-" * shift + whole)
    return found


def search(places, canaries):
    """Every (place, canary, form) that is found in files and below directories, names of files and databases included."""
    sought = [(canary.name, form, needle) for canary in canaries for form, needle in forms(canary.sought).items()]
    return [
        (where, name, form)
        for place in places
        for where, data in _texts(Path(place))
        for name, form, needle in sought
        if needle in data
    ]


def search_text(where, text, canaries):
    """The same in something that was printed."""
    data = text.encode("utf-8", "surrogateescape")
    return [
        (where, canary.name, form)
        for canary in canaries
        for form, needle in forms(canary.sought).items()
        if needle in data
    ]


def _texts(place):
    """Bytes to search, each with the place it is from."""
    paths = sorted(place.rglob("*")) if place.is_dir() else [place]
    yield f"names below {place}", b"\n".join(str(path).encode("utf-8", "surrogateescape") for path in paths)
    for path in paths:
        if not path.is_file() or path.is_symlink():
            continue
        size = path.stat().st_size
        assert size <= MOST, f"{path} has {size} bytes, too many to search at once"
        data = path.read_bytes()
        yield str(path), data
        if b"\n" in data:
            yield f"{path}, lines joined", data.replace(b"\r", b"").replace(b"\n", b"")
        if data.startswith(b"SQLite format 3\0"):
            yield f"cells of {path}", _cells(path)


def _cells(path):
    """Every cell of a database: in the file a long one is cut by pages."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        database.text_factory = bytes
        tables = [row[0].decode() for row in database.execute("select name from sqlite_master where type = 'table'")]
        cells = []
        for table in tables:
            for row in database.execute(f'select * from "{table}"'):
                cells += [cell if isinstance(cell, bytes) else str(cell).encode() for cell in row]
    database.close()
    return b"\n".join(cells)
