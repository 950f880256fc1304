"""Making and changing a trust file: the few lines in which its holder says whom to believe.

`begin` takes the log's keys from the service itself: on first use that is all there is, so what it returns must be
compared by another way (a letter, the telephone, another member) before the file is relied on.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from custody.note import VerifierKey
from custody.policy import Policy
from custody.trust import ALWAYS, CHECKS, USUAL, Trust
from rogatory import private_files
from rogatory.connection import AnswerMalformed
from rogatory.errors import UsageProblem

_NO_WITNESSES = "quorum none\n"


class OriginDiffers(UsageProblem):
    """The service speaks for another log than the profile or the trust file names."""

    code = "origin-differs"


class DemandRefused(UsageProblem):
    """A check that is to be demanded or not is unknown, or demanded whatever a trust file says."""

    code = "demand-refused"


def begin(service: Mapping[str, Any]) -> Trust:
    """A trust file's first state from what a service says of itself (`GET /v1/service`): its log, and nobody else.

    Raises:
        AnswerMalformed: The service names no log keys.
        FormatError: A key it names is malformed.
    """
    keys, origin = service.get("log_keys"), service.get("origin")
    if not isinstance(keys, list) or not keys or not isinstance(origin, str):
        raise AnswerMalformed("the service does not say its origin and its log's keys")
    log = tuple(VerifierKey.parse(str(text)) for text in keys)
    trust = Trust(origin=origin, log=log, policy=_NO_WITNESSES, authorities={}, require=USUAL)
    trust.check()
    return trust


def take_policies(trust: Trust, *, policy: str, auditors: str) -> Trust:
    """The same, with these witnesses and auditors, whose keys somebody has compared by another way.

    Where the policy names a quorum, it is demanded from now on; auditors vouch for completeness where they cosigned.

    Raises:
        PolicyMalformed: One is no policy.
        TrustMalformed: One names another log key than the trust file's.
    """
    found = replace(trust, policy=policy, auditors=None if Policy.parse(auditors).is_none else auditors)
    found.check()
    demanded = set(trust.require) - {"quorum"} | (set() if found.witnesses.is_none else {"quorum"})
    return replace(found, require=tuple(sorted(demanded)))


def pin(trust: Trust, authority: str, key: str) -> Trust:
    """The same with an authority pinned to a founding key (64 hex), beside those it is pinned to already."""
    pins = {**trust.authorities, authority: trust.authorities.get(authority, frozenset()) | {key}}
    return replace(trust, authorities=pins)


def demand(trust: Trust, checks: Collection[str], dropped: Collection[str]) -> Trust:
    """The same, demanding these checks (ids) besides, and those others no longer.

    Raises:
        DemandRefused: An id is of no check; or of one that is demanded of every bundle, or added at once.
    """
    if unknown := {*checks, *dropped} - {*CHECKS}:
        raise DemandRefused(f"there is no check {min(unknown)[:64]!r}", hint=f"checks are {', '.join(CHECKS)}")
    if fixed := {*dropped} & (ALWAYS | {*checks}):
        raise DemandRefused(f"{min(fixed)} cannot be dropped", hint=f"always demanded are {', '.join(sorted(ALWAYS))}")
    return replace(trust, require=tuple(sorted({*trust.require, *checks} - {*dropped})))


def unpin(trust: Trust, authority: str) -> Trust:
    """The same without an authority."""
    return replace(trust, authorities={name: keys for name, keys in trust.authorities.items() if name != authority})


def load(path: Path) -> Trust:
    """The trust file at a path.

    Raises:
        FileMissing: There is none.
        FormatError: It is not one.
    """
    try:
        return Trust.parse(path.read_bytes())
    except FileNotFoundError as error:
        raise private_files.FileMissing(f"there is no trust file at {path}", hint="rogatory trust init") from error


def save(trust: Trust, path: Path) -> None:
    """Write it, replacing what is there."""
    private_files.make_directory(path.absolute().parent)
    private_files.replace(path, trust.encode())
