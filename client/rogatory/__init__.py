"""What agencies install: the SDK of Rogatory, and under `rogatory.cli` the command line.

Start with `Client` and `Profile`. Nothing heavy is imported before it is used, so that `rogatory --help` is instant.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rogatory.client import Client
    from rogatory.errors import ClientError
    from rogatory.profile import Profile, Title
    from rogatory.terms import Terms

__all__ = ["Client", "ClientError", "Profile", "Terms", "Title"]

_HOMES = {
    "Client": "rogatory.client",
    "ClientError": "rogatory.errors",
    "Profile": "rogatory.profile",
    "Terms": "rogatory.terms",
    "Title": "rogatory.profile",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - only when something is asked for

    return getattr(import_module(_HOMES[name]), name)
