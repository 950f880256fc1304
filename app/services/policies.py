"""Policies of the service: two files of its state, in the text form that verifiers read too.

The operator's commands change them, and put each change on the service's chain.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from custody.errors import CustodyError
from custody.note import VerifierKey
from custody.policy import Policy

NO_POLICY: Final = "quorum none\n"
_log = logging.getLogger("rogatory.witnesses")


@dataclass(frozen=True)
class Member:
    """An authority that cosigns.

    Attributes:
        name: Of its group in the policy, or of its only key.
        keys: Any of which stands for it.
        url: Where it is asked; empty where it fetches.
    """

    name: str
    keys: tuple[VerifierKey, ...]
    url: str = ""


class PolicyFile:
    """A policy in a file, read again when it changes; what cannot be read leaves what was."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._stamp: tuple[int, int] | None = None
        self._text, self._policy = NO_POLICY, Policy.parse(NO_POLICY)

    @property
    def text(self) -> str:
        """As it stands in the file."""
        self._look()
        return self._text

    @property
    def policy(self) -> Policy:
        """What it says."""
        self._look()
        return self._policy

    def members(self) -> list[Member]:
        """The authorities it names."""
        return members(self.policy)

    def _look(self) -> None:
        with self._lock:
            try:
                found = self.path.stat()
                stamp = (found.st_mtime_ns, found.st_ino)
                if stamp == self._stamp:
                    return
                text = self.path.read_text(encoding="utf-8")
                self._policy, self._text, self._stamp = Policy.parse(text), text, stamp
            except FileNotFoundError:
                if self._stamp is not None:
                    self._policy, self._text, self._stamp = Policy.parse(NO_POLICY), NO_POLICY, None
            except (OSError, UnicodeDecodeError, CustodyError):
                _log.exception("a policy cannot be read, the one before it stays")


def members(policy: Policy) -> list[Member]:
    """The authorities of a policy, those that its quorum does not count too."""
    grouped = {name: group.members for name, group in policy.groups.items() if group.members[0] in policy.witnesses}
    alone = {name: (name,) for name in policy.witnesses if not any(name in each for each in grouped.values())}
    found = []
    for name, keys in {**grouped, **alone}.items():
        verifiers = tuple(policy.witnesses[key] for key in keys)
        urls = [policy.urls[key.full_id] for key in verifiers if key.full_id in policy.urls]
        found.append(Member(name, verifiers, urls[0] if urls else ""))
    return sorted(found, key=lambda member: member.name)
