"""Custody records that anyone can check: log formats, statements, sealing, and the offline verifier.

Pure: no network, no database, no clock, no environment. The names here and those of docs/spec/api.md are stable.
"""

from typing import TYPE_CHECKING, Any

from custody.errors import CustodyError, FormatError, UnsupportedError, VerificationError

if TYPE_CHECKING:
    from custody.bundle import BundleContents, ChainFiles, LeafLine, open_bundle, write_bundle
    from custody.report import Report
    from custody.trust import Trust
    from custody.verify import verify_bundle

__all__ = [
    "BundleContents",
    "ChainFiles",
    "CustodyError",
    "FormatError",
    "LeafLine",
    "Report",
    "Trust",
    "UnsupportedError",
    "VerificationError",
    "open_bundle",
    "verify_bundle",
    "write_bundle",
]

_HOMES = {
    "BundleContents": "custody.bundle",
    "ChainFiles": "custody.bundle",
    "LeafLine": "custody.bundle",
    "open_bundle": "custody.bundle",
    "write_bundle": "custody.bundle",
    "Report": "custody.report",
    "Trust": "custody.trust",
    "verify_bundle": "custody.verify",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that importing one module of the package does not import all."""
    from importlib import import_module  # noqa: PLC0415

    if name not in _HOMES:
        raise AttributeError(f"module 'custody' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
