"""The part grid: where a body is cut, and how large each part is.

A body is cut into parts of one size, the last may be shorter. Parts count from 1, offsets and sizes are
bytes. The rule is the manifest's (docs/spec/digests.md) and fits S3 multipart uploads, which take at most
10,000 parts. `custody.digest.grid` states the same rule for clients.
"""

from storage.interface import GridViolation

MIN_PART = 16 * 1024 * 1024
MAX_PART = 4 * 1024 * 1024 * 1024
MAX_PARTS = 10_000


def grid(size: int, *, minimum: int = MIN_PART) -> int:
    """The part size for a body: the smallest power of two that needs at most 10,000 parts.

    Args:
        size: Of the body.
        minimum: Smallest part size, a power of two; anything but the default is for tests.

    Raises:
        GridViolation: Larger than 10,000 parts of 4 GiB, or negative.
    """
    if not 0 <= size <= MAX_PARTS * MAX_PART:
        raise GridViolation(f"size {size}, expected 0 to {MAX_PARTS * MAX_PART}")
    part_size = minimum
    while part_size * MAX_PARTS < size:
        part_size *= 2
    return part_size


def part_sizes(size: int, part_size: int) -> list[int]:
    """The size of each part of a body; they add up to `size`, and only the last may be below `part_size`.

    Raises:
        GridViolation: The body does not fit into 10,000 such parts, or is negative.
    """
    if not 0 <= size <= MAX_PARTS * part_size:
        raise GridViolation(f"size {size}, expected 0 to {MAX_PARTS} parts of {part_size}")
    full, rest = divmod(size, part_size)
    return [part_size] * full + ([rest] if rest else [])
