"""The state of a running send: what must survive a crash so that it can go on safely.

It holds file keys, so every file is of mode 0600, in a directory that is removed when the package is sealed. Before
the first byte of a 16 MiB window of plaintext leaves, its digest is on disk; on resume a window is read again and
compared, and only then encrypted: one key and counter never seal two plaintexts. For the same reason a state belongs
to one process at a time: two that went on with it together would each know only what they read themselves.

    lock            held by whoever goes on with the send
    state.jsonl      line 0 the plan, then one line for each item begun, window admitted, statement signed
    <item>.json      a finished item: its member of the manifest, its lines of the inventory
    inventory.jsonl  the inventory, once it is whole
"""

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

from custody.inventory import Line
from custody.text import from_base64, to_base64
from rogatory import private_files
from rogatory.errors import Malformed
from rogatory.source import SourceChanged
from rogatory.tus import UploadTakenOver

WINDOW = 16 * 1024 * 1024
_STATE, _LOCK = "state.jsonl", "lock"
INVENTORY = "inventory.jsonl"


class ResumeStateBroken(Malformed):
    """The state of a send cannot be understood."""

    code = "resume-state"


@dataclass
class ItemState:
    """What is secret and what is known of an item being sent; `repr` shows neither.

    Attributes:
        id: Of the item.
        file_key: 16 bytes.
        nonce: 16 bytes, of the body.
        size: Plaintext bytes.
        windows: Digest of each window that may have left.
    """

    id: str
    file_key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    size: int
    windows: list[bytes] = field(default_factory=list, repr=False)


class SendState:
    """The state of one send, on disk and in memory alike."""

    def __init__(self, directory: Path, plan: dict[str, Any], items: dict[int, ItemState], lock: BinaryIO) -> None:
        self.directory, self.plan, self.items = directory, plan, items
        self.said: dict[str, bytes] = {}
        self._lock, self._turn = lock, threading.Lock()
        self._file = (directory / _STATE).open("ab")  # made before, with mode 0600

    @classmethod
    def begin(cls, directory: Path, plan: dict[str, Any]) -> Self:
        """A new state; `plan` is whatever the sender needs to go on."""
        private_files.make_directory(directory)
        lock = _hold(directory)
        private_files.create(directory / _STATE, json.dumps(plan).encode() + b"\n")
        return cls(directory, plan, {}, lock)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """The state of a send that was interrupted; a line cut short by the crash is dropped.

        Raises:
            FileMissing: There is none.
            UploadTakenOver: Another process works with it.
            ResumeStateBroken: It is not one.
        """
        with ExitStack() as undo:
            lock = undo.enter_context(_hold(directory))
            data = private_files.read(directory / _STATE)
            whole = data[: data.rfind(b"\n") + 1]
            if len(whole) != len(data):
                private_files.replace(directory / _STATE, whole)
            try:
                plan, *rows = [json.loads(line) for line in whole.splitlines()]
                state = cls(directory, plan, {}, lock)
                undo.callback(state.close)
                for row in rows:
                    state._take(row)
            except (ValueError, KeyError, TypeError, IndexError) as error:
                raise ResumeStateBroken(f"{directory / _STATE} is not the state of a send") from error
            undo.pop_all()
        return state

    @property
    def package(self) -> str:
        """Id of the package."""
        return str(self.plan["package"])

    def begin_item(self, place: int, item: ItemState) -> ItemState:
        """Note a new item's id and secrets before anything of it leaves."""
        secret = {"key": item.file_key.hex(), "nonce": item.nonce.hex()}
        self._append({"item": place, "id": item.id, "size": item.size, **secret})
        self.items[place] = item
        return item

    def admit(self, place: int, number: int, plaintext: memoryview, name: str) -> None:
        """Let a window be encrypted: a new one is put down, one that may have left must be the same.

        Raises:
            SourceChanged: It is not; nothing of it may be encrypted under the old key.
        """
        digest = hashlib.sha256(plaintext).digest()
        known = self.items[place].windows
        if number < len(known):
            if known[number] != digest:
                raise SourceChanged(
                    f"{name} is not what was sent before, between bytes {number * WINDOW} and "
                    f"{number * WINDOW + len(plaintext)}",
                    hint="begin a new package; rogatory send --abandon gives the old one up",
                )
            return
        self._append({"window": place, "n": number, "sha256": digest.hex()})
        known.append(digest)

    def say(self, name: str, envelope: bytes) -> None:
        """Put a signed statement down before it is lodged, so that it is never said twice in two ways."""
        self._append({"said": name, "envelope": envelope.decode()})
        self.said[name] = envelope

    def finish_item(self, item: str, sealed: dict[str, Any], lines: list[Line]) -> None:
        """Keep what the manifest and the inventory need of an item that is wholly uploaded."""
        rows = [[to_base64(line.path), line.type, _without_path(line)] for line in lines]
        private_files.replace(self.directory / f"{item}.json", json.dumps({"sealed": sealed, "lines": rows}).encode())

    def finished(self, item: str) -> tuple[dict[str, Any], list[Line]] | None:
        """What `finish_item` kept, or None."""
        path = self.directory / f"{item}.json"
        if not path.exists():
            return None
        found = json.loads(private_files.read(path))
        return found["sealed"], [_line(*row) for row in found["lines"]]

    def close(self) -> None:
        """Let go of the files; the state stays."""
        self._file.close()
        self._lock.close()

    def remove(self) -> None:
        """Forget the send: keys, digests and all."""
        self.close()
        shutil.rmtree(self.directory)
        private_files.sync_directory(self.directory.parent)

    def _append(self, row: dict[str, Any]) -> None:
        with self._turn:
            self._file.write(json.dumps(row).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def _take(self, row: dict[str, Any]) -> None:
        if "item" in row:
            item = ItemState(row["id"], bytes.fromhex(row["key"]), bytes.fromhex(row["nonce"]), int(row["size"]))
            self.items[int(row["item"])] = item
        elif "window" in row:
            known = self.items[row["window"]].windows
            if row["n"] != len(known):
                raise ValueError("windows out of order")
            known.append(bytes.fromhex(row["sha256"]))
        else:
            self.said[row["said"]] = row["envelope"].encode()


def _hold(directory: Path) -> BinaryIO:
    try:
        return private_files.hold(directory / _LOCK)
    except FileNotFoundError as error:
        raise private_files.FileMissing(f"{directory} is not there") from error
    except (BlockingIOError, PermissionError) as error:
        raise UploadTakenOver(
            f"another process goes on with the send of package {directory.name[:8]}", hint="let that one finish"
        ) from error


def unfinished(sends: Path) -> Iterator[str]:
    """Packages whose send was begun and neither sealed nor abandoned."""
    for path in sorted(sends.glob(f"*/{_STATE}")):
        yield path.parent.name


def _without_path(line: Line) -> dict[str, Any]:
    found: dict[str, Any] = {"extents": [list(extent) for extent in line.extents], "mtime": line.mtime}
    if line.size is not None and line.sha256 is not None and line.blake3 is not None:
        found |= {"size": line.size, "sha256": line.sha256.hex(), "blake3": line.blake3.hex()}
    if line.target is not None:
        found["target"] = to_base64(line.target)
    return found


def _line(path: str, kind: str, more: dict[str, Any]) -> Line:
    return Line(
        path=from_base64(path),
        type=kind,
        size=more.get("size"),
        sha256=bytes.fromhex(more["sha256"]) if "sha256" in more else None,
        blake3=bytes.fromhex(more["blake3"]) if "blake3" in more else None,
        extents=[(item, at, size) for item, at, size in more["extents"]],
        target=from_base64(more["target"]) if "target" in more else None,
        mtime=more["mtime"],
    )
