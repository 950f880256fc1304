"""All rows of bundle vectors."""

from tests.vectors import bundle_checks, bundle_more, bundle_rest, bundle_stamps, bundle_streams, bundle_succession
from tests.vectors.bundle_table import ROWS

__all__ = [
    "ROWS",
    "bundle_checks",
    "bundle_more",
    "bundle_rest",
    "bundle_stamps",
    "bundle_streams",
    "bundle_succession",
]
