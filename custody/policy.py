"""Who must have cosigned a checkpoint, and what their times say about an entry's.

A policy names keys of witnesses and groups of them. All keys of one authority stand in one group that any
of them satisfies, and only such groups stand in higher ones: a quorum counts authorities, not keys.
Source: C2SP tlog-policy, narrowed. Specification: docs/spec/log.md.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from custody.errors import FormatError
from custody.note import KeyType, VerifierKey

NONE = "none"
"""The quorum of a policy that demands no witness: nothing is satisfied, nothing is failed, NOT CHECKED."""

MAX_POLICY_SIZE = 1024 * 1024
"""Bytes of UTF-8."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COUNT = re.compile(r"[1-9][0-9]{0,5}\Z")
_LOG_TYPES = frozenset({KeyType.ED25519, KeyType.COSIGN_MLDSA44})
_WITNESS_TYPES = frozenset({KeyType.COSIGN_ED25519, KeyType.COSIGN_MLDSA44})

Cosignatures = Iterable[tuple[str, int]]
"""(full key id, POSIX seconds) of verified cosignatures of one checkpoint; see `Note.cosignatures`."""


class PolicyMalformed(FormatError):
    """Not a policy: a line that cannot be read, a name used before it is defined, a key or member twice, no quorum."""

    code = "policy-malformed"


@dataclass(frozen=True, slots=True)
class Group:
    """Satisfied when at least `threshold` of its members are."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """A parsed policy.

    Args:
        log: The keys of `log` lines.
        witnesses: Witness keys by name.
        groups: Groups by name, each after its members.
        quorum: Name of the witness or group that must be satisfied, or `NONE`.
        urls: Where a key's holder is reached, by full key id, for those that say so.
    """

    log: tuple[VerifierKey, ...]
    witnesses: Mapping[str, VerifierKey]
    groups: Mapping[str, Group]
    quorum: str
    urls: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """Read a policy's text.

        Raises:
            PolicyMalformed: The text is no policy, or one whose quorum could count an authority twice.
            FormatError: A vkey in it is malformed, refused or of an unsupported type.
        """
        if len(text.encode("utf-8", "replace")) > MAX_POLICY_SIZE or _CONTROL.search(text):
            raise PolicyMalformed(f"a policy over {MAX_POLICY_SIZE} bytes, or with control characters")
        reader = _Reader()
        for number, line in enumerate(text.split("\n"), start=1):
            words = [word for word in re.split(r"[ \t]+", line) if word]
            if words and not words[0].startswith("#"):
                reader.read(number, words)
        return reader.policy()

    @property
    def is_none(self) -> bool:
        """Whether no witness is demanded, so that a report must say NOT CHECKED."""
        return self.quorum == NONE

    def satisfied(self, keys: AbstractSet[str]) -> bool:
        """Whether keys (full ids) make up the quorum. Never where `is_none`: ask that first.

        Give only keys whose cosignatures of one checkpoint were verified.
        """
        if self.is_none:
            return False
        met = {name: key.full_id in keys for name, key in self.witnesses.items()}
        for name, group in self.groups.items():
            met[name] = sum(met[member] for member in group.members) >= group.threshold
        return met[self.quorum]

    def who(self) -> dict[str, frozenset[str]]:
        """The authorities that the quorum counts, by the name of their group (or lone key), with their full key ids."""
        found: dict[str, frozenset[str]] = {}
        pending = [] if self.is_none else [self.quorum]
        while pending:
            name = pending.pop()
            members = self.groups[name].members if name in self.groups else (name,)
            if members[0] in self.witnesses:
                found[name] = frozenset(self.witnesses[member].full_id for member in members)
            else:
                pending.extend(reversed(members))
        return found

    def upper(self, cosignatures: Cosignatures) -> int | None:
        """Smallest t such that the cosignatures with time <= t satisfy the policy; none if all do not.

        The reader may conclude: by then, a quorum had seen the checkpoint, so its leaves existed.
        """
        return self._reached(sorted(cosignatures, key=_time))

    def lower(self, cosignatures: Cosignatures) -> int | None:
        """Largest t such that the cosignatures with time >= t satisfy the policy; none if all do not.

        The reader may conclude: at t, a quorum knew no larger tree, so leaves beyond it came later.
        """
        return self._reached(sorted(cosignatures, key=_time, reverse=True))

    def bounds(
        self, index: int, checkpoints: Iterable[tuple[int, Sequence[tuple[str, int]]]]
    ) -> tuple[int | None, int | None]:
        """(not before, not after) of the entry at `index`, from checkpoints as (size, cosignatures).

        Not after `upper` of the smallest checkpoint with size > index that satisfies the policy; not before
        `lower` of the largest with size <= index that does. None where there is no such checkpoint.
        """
        not_before = not_after = None
        for size, cosignatures in sorted(checkpoints, key=lambda item: item[0]):
            if size <= index:
                lower = self.lower(cosignatures)
                not_before = not_before if lower is None else lower
            elif not_after is None:
                not_after = self.upper(cosignatures)
        return not_before, not_after

    def _reached(self, ordered: Iterable[tuple[str, int]]) -> int | None:
        keys: set[str] = set()
        for key, time in ordered:
            keys.add(key)
            if self.satisfied(keys):
                return time
        return None


class _Reader:
    """What the lines so far have defined."""

    def __init__(self) -> None:
        self.log: list[VerifierKey] = []
        self.witnesses: dict[str, VerifierKey] = {}
        self.groups: dict[str, Group] = {}
        self.urls: dict[str, str] = {}
        self.quorum: str | None = None
        self.materials: set[bytes] = set()
        self.group_of: dict[str, str] = {}

    def read(self, number: int, words: list[str]) -> None:
        """Take in one line that is neither empty nor a comment."""
        match words:
            case ["log", vkey, *url] if len(url) <= 1:
                self.log.append(self._key(number, vkey, url, _LOG_TYPES))
            case ["witness", name, vkey, *url] if len(url) <= 1:
                self._define(number, name)
                self.witnesses[name] = self._key(number, vkey, url, _WITNESS_TYPES)
            case ["group", name, count, _, *_]:
                self._define(number, name)
                self.groups[name] = self._group(number, name, count, words[3:])
            case ["quorum", name] if self.quorum is None and (name == NONE or self._is_defined(name)):
                self.quorum = name
            case _:
                raise PolicyMalformed(f"line {number} of the policy: {' '.join(words)[:80]!r} cannot be read here")

    def policy(self) -> Policy:
        if self.quorum is None:
            raise PolicyMalformed("a policy without a quorum line")
        self._check_holders()
        return Policy(
            log=tuple(self.log), witnesses=self.witnesses, groups=self.groups, quorum=self.quorum, urls=self.urls
        )

    def _key(self, number: int, vkey: str, url: list[str], types: AbstractSet[KeyType]) -> VerifierKey:
        key = VerifierKey.parse(vkey)
        if key.type not in types:
            raise PolicyMalformed(f"line {number} of the policy: a key of type 0x{key.type:02x} cannot stand there")
        if key.public in self.materials:
            raise PolicyMalformed(f"line {number} of the policy: the public key of {key.name} a second time")
        self.materials.add(key.public)
        if url:
            self.urls[key.full_id] = url[0]
        return key

    def _group(self, number: int, name: str, count: str, members: list[str]) -> Group:
        for member in members:
            if not self._is_defined(member) or member in self.group_of:
                raise PolicyMalformed(f"line {number} of the policy: {member[:80]!r} is undefined, or a member already")
            self.group_of[member] = name
        named = {"any": 1, "all": len(members)}
        threshold = named[count] if count in named else int(count) if _COUNT.match(count) else 0
        if not 1 <= threshold <= len(members):
            raise PolicyMalformed(f"line {number} of the policy: {count[:80]!r} of {len(members)} members")
        keys = [member for member in members if member in self.witnesses]
        if keys and (len(keys) != len(members) or threshold != 1):
            raise PolicyMalformed(
                f"line {number} of the policy: keys stand only in an 'any' group of one authority, and by themselves"
            )
        return Group(threshold=threshold, members=tuple(members))

    def _define(self, number: int, name: str) -> None:
        if name == NONE or self._is_defined(name):
            raise PolicyMalformed(f"line {number} of the policy: the name {name[:80]!r} is taken")

    def _is_defined(self, name: str) -> bool:
        return name in self.witnesses or name in self.groups

    def _check_holders(self) -> None:
        """Refuse keys of one name in two groups: their holder would count twice."""
        group_of_holder: dict[str, str] = {}
        for name, key in self.witnesses.items():
            group = self.group_of.get(name)
            if group is not None and group_of_holder.setdefault(key.name, group) != group:
                raise PolicyMalformed(f"keys of {key.name} stand in two groups, so a quorum could count it twice")


def _time(cosignature: tuple[str, int]) -> int:
    return cosignature[1]
