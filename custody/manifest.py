"""The manifest's own arithmetic: what its numbers must be among themselves.

A manifest is a statement (`custody.statement`, kind `manifest`); its closed schema stands in `custody.kinds`. Here are
the rules a schema cannot say: the part grid, the least body, one id for one item. Nothing is compared with what was
uploaded; that is the exchange's rule. Specification: docs/spec/statements.md.
"""

from collections.abc import Sequence
from typing import Any

from custody.digest import MAX_PARTS, composite
from custody.errors import FormatError
from custody.sealing import plain_size


class ManifestMalformed(FormatError):
    """Numbers of a manifest that cannot be of one body."""

    code = "manifest-malformed"


def sealed_item(
    *,
    item_id: str,
    header: bytes,
    header_sha256: bytes,
    key_commitment: bytes,
    part_size: int,
    parts: Sequence[bytes],
    size: int,
    sha256: bytes,
    blake3: bytes,
    category: str | None = None,
) -> dict[str, Any]:
    """An item's member of a manifest.

    Args:
        item_id: 32 hex digits.
        header: The age header, exact bytes.
        header_sha256: Its SHA-256.
        key_commitment: `custody.sealing.key_commitment` of its file key, 32 bytes.
        part_size: Grid, bytes.
        parts: SHA-256 of each part, raw.
        size: Body, bytes.
        sha256: Of the body.
        blake3: Of the body.
        category: Data category, a code.
    """
    item = {
        "id": item_id,
        "header": {"size": len(header), "sha256": header_sha256.hex()},
        "key_commitment": key_commitment.hex(),
        "size": size,
        "part_size": part_size,
        "parts": composite(parts).hex(),
        "sha256": sha256.hex(),
        "blake3": blake3.hex(),
    }
    return item | ({"category": category} if category else {})


def check(payload: dict[str, Any]) -> None:
    """Hold the numbers of a manifest's items to each other; its schema is known to hold.

    Raises:
        ManifestMalformed: A grid of more than 10,000 parts, a size no body can have.
    """
    for item in [*payload["items"], payload["inventory"]]:
        count = part_count(item["size"], item["part_size"])
        if count > MAX_PARTS:
            raise ManifestMalformed(f"item {item['id']} has {count} parts, expected at most {MAX_PARTS}")
        try:
            plain_size(item["size"])
        except FormatError as error:
            raise ManifestMalformed(f"item {item['id']}: {error}") from error


def part_count(size: int, part_size: int) -> int:
    """Parts of a body of `size` bytes on a grid of `part_size`."""
    return -(-size // part_size)
