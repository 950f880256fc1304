"""A sample that looks like a seizure: folders, documents, a small disk image with a file system. All invented.

Everything is made from a fixed seed, so two runs send the same bytes. The image is a raw disk with one FAT16
partition, written here so that the demo needs no system package; any forensic tool opens it.
"""

import random
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path

SECTOR = 512
_CLUSTER = 4 * SECTOR
_START = 2048
_SECTORS = 32_768
_RESERVED, _FATS, _ROOT_ENTRIES = 1, 2, 512
_FAT_SECTORS = 32
_WORDS = ("meet", "pay", "ship", "crate", "port", "night", "boat", "later", "call", "burn", "note")


def make(target: Path) -> Path:
    """Write the sample under `target` and return the folder."""
    rng = random.Random(20261122)  # noqa: S311 - reproducible prose, nothing secret
    for name, data in _documents(rng).items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (target / "exhibit-07-usb-stick").mkdir(exist_ok=True)
    files = {
        "LEDGER  CSV": _ledger(rng),
        "NOTE    TXT": b"the meeting is moved to thursday\r\n",
        "PLAN    BIN": rng.randbytes(900_000),
    }
    (target / "exhibit-07-usb-stick" / "usb-stick.dd").write_bytes(disk_image(files))
    return target


def disk_image(files: dict[str, bytes]) -> bytes:
    """A raw disk: MBR, one FAT16 partition, the given files (8.3 names, padded) in its root directory."""
    fat = [0xFFF8, 0xFFFF]
    root = bytearray()
    data = bytearray()
    for name, content in files.items():
        first = len(fat)
        count = max(1, -(-len(content) // _CLUSTER))
        fat += [*range(first + 1, first + count), 0xFFFF]
        root += struct.pack("<11sB10xHHHI", name.encode("ascii"), 0x20, 0x6000, 0x5D76, first, len(content))
        data += content.ljust(count * _CLUSTER, b"\0")
    table = struct.pack(f"<{len(fat)}H", *fat).ljust(_FAT_SECTORS * SECTOR, b"\0")
    volume = _boot_sector() + table * _FATS + bytes(root).ljust(_ROOT_ENTRIES * 32, b"\0") + bytes(data)
    partition = struct.pack("<B3sB3sII", 0, b"\x20\x21\x00", 0x06, b"\xfe\xff\xff", _START, _SECTORS)
    mbr = bytes(446) + partition + bytes(48) + b"\x55\xaa"
    return (mbr.ljust(_START * SECTOR, b"\0") + volume).ljust((_START + _SECTORS) * SECTOR, b"\0")


def _boot_sector() -> bytes:
    head = struct.pack(
        "<3s8sHBHBHHBHHHIIBBBI11s8s",
        b"\xeb\x3c\x90", b"ROGATORY", SECTOR, _CLUSTER // SECTOR, _RESERVED, _FATS, _ROOT_ENTRIES,
        _SECTORS, 0xF8, _FAT_SECTORS, 63, 255, _START, 0, 0x80, 0, 0x29, 0x20261122, b"EXHIBIT 07 ", b"FAT16   ",
    )  # fmt: skip
    return head.ljust(510, b"\0") + b"\x55\xaa"


def _documents(rng: random.Random) -> dict[str, bytes]:
    mails = "".join(_mail(rng, number) for number in range(40))
    return {
        "exhibit-01-phone/call-records.csv": _calls(rng),
        "exhibit-01-phone/photos/IMG_0001.png": _picture(rng, 160, 120),
        "exhibit-01-phone/photos/IMG_0002.png": _picture(rng, 200, 200),
        "exhibit-02-laptop/Documents/Verträge/Entwurf (final).txt": "Vertrag über die Lieferung …\n".encode() * 50,
        "exhibit-02-laptop/Documents/empty.txt": b"",
        "exhibit-02-laptop/Mail/inbox.mbox": mails.encode(),
        "exhibit-02-laptop/hiberfil.part": rng.randbytes(3_000_000),
        "seizure-report.txt": b"Seizure report 2026/0417\nPhone, laptop, USB stick. All names invented.\n",
    }


def _calls(rng: random.Random) -> bytes:
    lines = ["start,number,seconds"]
    for _ in range(500):
        at = datetime.fromtimestamp(1_760_000_000 + rng.randrange(10**7), UTC)
        lines.append(f"{at:%Y-%m-%d %H:%M:%S},+00 555 {rng.randrange(10**6):06},{rng.randrange(900)}")
    return ("\n".join(lines) + "\n").encode()


def _ledger(rng: random.Random) -> bytes:
    return b"".join(b"%d;%d,%02d\r\n" % (row, rng.randrange(90_000), rng.randrange(100)) for row in range(4_000))


def _mail(rng: random.Random, number: int) -> str:
    words = " ".join(rng.choice(_WORDS) for _ in range(60))
    return f"From a{number % 5}@example.invalid Sat Jan 03 01:05:34 2026\nSubject: re {number}\n\n{words}\n\n"


def _picture(rng: random.Random, width: int, height: int) -> bytes:
    rows = b"".join(b"\0" + bytes((x * y + rng.randrange(16)) & 0xFF for x in range(width)) for y in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
