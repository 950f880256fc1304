"""Names of files, which are evidence on the one side and hostile input on the other.

A name is raw bytes with `/` between its parts, as found. It is shown only escaped, and becomes a path on this machine
only through `safe_join`, which lets nothing leave the directory. What could mislead a reader is flagged, never silently
changed.
"""

import os
import unicodedata
from pathlib import Path

from rogatory.errors import Refused

_OVERRIDES = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_WINDOWS_CHARACTERS = frozenset('<>:"|?*\\')
_WINDOWS_NAMES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$", *(f"{name}{n}" for name in ("com", "lpt") for n in range(10))]
)
_WINDOWS = os.name == "nt"
_LONGEST_PART = 255


class NameRefused(Refused):
    """A name that cannot be used as a path below a directory here."""

    code = "name-refused"


def shown(raw: bytes) -> str:
    """A name for people, on one line: whatever does not print, could reorder text or is no text at all is escaped."""
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(_escaped(character) for character in text)


def flags(raw: bytes) -> list[str]:
    """What about a name could mislead a reader: `control`, `override`, `not-text`, `not-nfc`, `backslash`, `spaces`."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return ["not-text"]
    found = []
    if any(unicodedata.category(character) == "Cc" for character in text):
        found.append("control")
    if any(character in _OVERRIDES for character in text):
        found.append("override")
    if unicodedata.normalize("NFC", text) != text:
        found.append("not-nfc")
    if "\\" in text:
        found.append("backslash")
    if any(part != part.strip() for part in text.split("/")):
        found.append("spaces")
    return found


def safe_join(root: Path, raw: bytes) -> Path:
    """The path of a name below `root`; nothing on disk is looked at or changed.

    The reader may conclude that the path is inside `root` as long as no link stands in the way: make links last.

    Raises:
        NameRefused: Absolute, empty, with `.`, `..`, an empty part, a NUL, a part too long, or what this platform
            reads as something else (drives, devices, trailing dots).
    """
    parts = raw.split(b"/")
    for part in parts:
        if part in (b"", b".", b"..") or b"\0" in part or len(part) > _LONGEST_PART:
            raise NameRefused(
                f"the name {shown(raw)!r} cannot be a path below {root}", hint="receive without unpacking"
            )
    if _WINDOWS:
        for part in parts:
            _refuse_on_windows(part, raw)
    return root.joinpath(*(os.fsdecode(part) for part in parts))


def link_stays_inside(link: bytes, target: bytes) -> bool:
    """Whether a symbolic link at name `link` with this target leads to a name below the same root.

    That holds whatever else is linked below the root, as long as no link stands above this one and every other was
    let pass by this rule too: `..` may stand only at the beginning of a target, where real directories are above it.
    After a name it could climb from wherever that name leads.
    """
    if not target or target.startswith(b"/") or b"\0" in target or b"\\" in target or b":" in target:
        return False
    depth, named = link.count(b"/"), False
    for part in target.split(b"/"):
        if part == b"..":
            depth -= 1
            if named or depth < 0:
                return False
        elif part not in (b"", b"."):
            named = True
    return True


def sums_line(digest: str, name: bytes) -> bytes:
    """A line of a checksum file as `sha256sum` writes and reads it, names with line ends or backslashes escaped."""
    escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return (b"\\" if escaped != name else b"") + digest.encode() + b"  " + escaped + b"\n"


def _escaped(character: str) -> str:
    if character.isprintable() and character not in _OVERRIDES:
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()


def _refuse_on_windows(part: bytes, raw: bytes) -> None:
    text = part.decode("utf-8", "replace")
    stem = text.partition(".")[0].rstrip(" ").lower()
    reserved = stem in _WINDOWS_NAMES or text[-1] in ". "
    if reserved or any(character in _WINDOWS_CHARACTERS or ord(character) < 32 for character in text):
        raise NameRefused(f"the name {shown(raw)!r} means something else on Windows", hint="receive without unpacking")
