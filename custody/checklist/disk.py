"""Check of items on disk: size, every part, both digests, and for a whole age file that its header was granted."""

import hashlib
import io
from pathlib import Path
from typing import Any, Final

from custody import sealing
from custody.checklist import evidence
from custody.checklist.case import Case
from custody.digest import GridDigester
from custody.errors import CustodyError, VerificationError
from custody.report import Fault, NotChecked, Place
from custody.words import say

_READ: Final = 1024 * 1024


class ItemDiffers(VerificationError):
    """A body on disk is not the one that was sealed; the place names the first part that differs."""

    code = "item-differs"


def items(case: Case) -> str:
    """Every body in the directory is, part for part and as a whole, the one in the manifest."""
    chain = case.need_exchange()
    if case.items is None:
        raise NotChecked(say("reason.no-directory"))
    sealed = evidence.sealed_items(case, chain)
    named = evidence.named_headers(case, chain)
    found = 0
    for item_id, item in sorted(sealed.items()):
        path = next((path for path in _candidates(case.items, item_id) if path.is_file()), None)
        if path is None:
            continue
        headers = {digest for digest, rows in named.items() if any(row.item == item_id for row in rows)}
        _check_file(case, path, item, headers)
        found += 1
    if found < len(sealed):
        raise NotChecked(say("reason.items-missing", missing=len(sealed) - found, count=len(sealed)))
    return say("detail.items", count=found)


def _candidates(directory: Path, item_id: str) -> tuple[Path, Path]:
    return directory / f"{item_id}.age", directory / item_id


def _check_file(case: Case, path: Path, item: dict[str, Any], headers: set[str]) -> None:
    with path.open("rb") as file:
        try:
            offset = _check_own_header(file, headers) if path.suffix == ".age" else 0
        except CustodyError as error:
            raise Fault(error, Place(path.name)) from error
        grid = GridDigester(item["part_size"], whole=True)
        while grid.size <= item["size"] and (piece := file.read(_READ)):
            grid.update(piece)
    parts = grid.finish()
    sealed = evidence.split(case.parts.get(item["id"], b""))
    for part, digest in enumerate(sealed):
        if part >= len(parts) or parts[part] != digest:
            differs = ItemDiffers(f"part {part + 1} of {len(sealed)} of item {item['id']} differs from what was sealed")
            raise Fault(differs, Place(path.name, offset=offset + part * item["part_size"]))
    body = grid.body
    assert body is not None
    known = {"size": body.size, "sha256": body.sha256.hex(), "blake3": body.blake3.hex()}
    for name, value in known.items():
        if item[name] != value:
            raise Fault(
                ItemDiffers(f"{name} of item {item['id']} is {value}, sealed was {item[name]}"), Place(path.name)
            )


def _check_own_header(file: io.BufferedReader, headers: set[str]) -> int:
    """Size of the header of a whole age file, which a manifest or grant must name for this item."""
    header = sealing.read_header(file).raw
    digest = hashlib.sha256(header).hexdigest()
    if digest not in headers:
        raise ItemDiffers(f"the file's header {digest} was granted by no manifest or grant here for this item")
    return len(header)
