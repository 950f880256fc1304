"""Ids as people type them: any unambiguous beginning, or an alias of the profile, stands for the whole."""

import hashlib
from collections.abc import Iterable

from rogatory.errors import NotFound, UsageProblem

SHORTEST = 8


class AmbiguousId(UsageProblem):
    """More than one id begins like this."""

    code = "ambiguous-id"


class UnknownId(NotFound):
    """No id that we can see begins like this."""

    code = "unknown-id"


def resolve(text: str, known: Iterable[str]) -> str:
    """The one known id that begins with `text`.

    Raises:
        UnknownId: None does.
        AmbiguousId: Several do.
    """
    wanted = text.strip().lower()
    found = sorted({member for member in known if member.startswith(wanted)}) if wanted else []
    if wanted in found:
        return wanted
    if not found:
        raise UnknownId(f"nothing you can see begins with {text[:64]!r}")
    if len(found) > 1:
        shown = ", ".join(member[: len(wanted) + 4] for member in found[:5])
        raise AmbiguousId(f"{text[:64]!r} begins {len(found)} ids: {shown}", hint="type more of it")
    return found[0]


def short(whole: str, among: Iterable[str] = ()) -> str:
    """The shortest beginning, of at least eight digits, that tells an id from its like."""
    others = [member for member in among if member != whole]
    length = SHORTEST
    while length < len(whole) and any(member.startswith(whole[:length]) for member in others):
        length += 1
    return whole[:length]


def exchange_id(handle: str) -> str:
    """The id that stands for an exchange in addresses: computed from its handle (64 hex), never the other way."""
    return hashlib.sha256(b"rogatory/exchange-id/v1\0" + bytes.fromhex(handle)).hexdigest()[:32]
