"""The trust file: what its holder takes for granted, and nothing else is.

Names the log by its keys, the authorities by pinned founding keys, the witnesses that must have cosigned, and the
checks that must pass. Nothing inside a bundle is ever trusted in its stead. Specification: docs/spec/trust-file.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from cryptography import x509

from custody import canonical
from custody.checkpoint_text import Checkpoint
from custody.errors import FormatError, UnsupportedError
from custody.note import VerifierKey, parse_note
from custody.policy import Policy
from custody.schema import AUTHORITY_ID, HASH, ORIGIN, ListOf, OneOf, Record, Text, Whole
from custody.text import from_base64, to_base64

MAX_TRUST: Final = 4 * 1024 * 1024
CHECKS: Final = (
    "packing", "canonical", "bodies", "chain", "statements", "registries", "signers", "signatures", "rules", "labels",
    "inclusion", "log", "quorum", "consistency", "completeness", "succession", "time", "timestamps", "conditions",
    "digests", "headers", "table", "items",
)  # fmt: skip
"""Ids of all checks in the order in which they are made and reported. They never change their meaning."""

ALWAYS: Final = frozenset({"packing", "canonical", "bodies", "statements", "labels", "inclusion", "log"})
"""Demanded whatever a trust file says: without one of these, nothing at all is known about a bundle."""

USUAL: Final = tuple(sorted(ALWAYS | {
    "chain", "registries", "signers", "signatures", "rules", "time", "conditions", "digests",
}))  # fmt: skip
"""A sensible `require` for a log without witnesses and auditors yet."""

_VKEY = Text(r"[!-*,-~]{1,255}\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+", longest=4096)
_POLICY = Text(longest=1024 * 1024)
TRUST: Final = Record(
    {
        "authorities": ListOf(
            Record({"id": AUTHORITY_ID, "keys": ListOf(HASH, least=1, most=64, ordered=True)}),
            most=4096,
            ordered=("id",),
        ),
        "log": ListOf(_VKEY, least=1, most=8, ordered=True),
        "max_age_s": Whole(1),
        "origin": ORIGIN,
        "policy": _POLICY,
        "require": ListOf(Text(r"[a-z]{1,32}", longest=32), most=64, ordered=True),
        "skew_s": Whole(0, 86_400),
        "tsa": ListOf(
            Record(
                {
                    "name": Text(longest=255),
                    "policies": ListOf(Text(r"[0-2](?:\.(?:0|[1-9][0-9]*)){1,31}", longest=255), least=1, most=64),
                    "roots": ListOf(Text(r"[A-Za-z0-9+/]+={0,2}", longest=64 * 1024), least=1, most=64),
                }
            ),
            most=64,
            ordered=("name",),
        ),
        "v": OneOf(1),
    },
    {"auditors": _POLICY, "checkpoint": Text(longest=1024 * 1024)},
)


class TrustMalformed(FormatError):
    """A trust file whose parts do not fit each other."""

    code = "trust-malformed"


class TrustUnsupported(UnsupportedError):
    """A trust file of another version, or that demands a check unknown here."""

    code = "trust-unsupported"


@dataclass(frozen=True)
class TimestampAuthority:
    """A time-stamping authority: its name, root certificates (DER) and the policies (OID) it may stamp under."""

    name: str
    roots: tuple[bytes, ...]
    policies: tuple[str, ...]

    @cached_property
    def parsed_roots(self) -> tuple[x509.Certificate, ...]:
        """The root certificates.

        Raises:
            TrustMalformed: One is no certificate.
        """
        try:
            return tuple(map(x509.load_der_x509_certificate, self.roots))
        except (ValueError, x509.InvalidVersion) as error:
            raise TrustMalformed(f"a root of the time-stamping authority {self.name} is no certificate") from error


@dataclass(frozen=True)
class Trust:
    """What a verifier takes for granted. Make one with `parse`; `none` stands where there is no trust file.

    Attributes:
        origin: The log it speaks of.
        log: Keys of the log, all of which must sign a checkpoint.
        policy: Witnesses and quorum, as text of a policy.
        authorities: Authority → pinned key ids, of which one must stand in seq 0 of its registry.
        require: Ids of checks that must be PASS, besides ALWAYS.
        skew_s: How far a time may lie outside its bounds, in seconds.
        max_age_s: How old a checkpoint may be before somebody seals to a key it proves, in seconds.
        auditors: Auditors and their quorum, likewise as text.
        tsa: Time-stamping authorities.
        checkpoint: Signed note of the newest checkpoint its holder has verified.
    """

    origin: str
    log: tuple[VerifierKey, ...]
    policy: str
    authorities: Mapping[str, frozenset[str]]
    require: tuple[str, ...]
    skew_s: int = 300
    max_age_s: int = 86_400
    auditors: str | None = None
    tsa: tuple[TimestampAuthority, ...] = ()
    checkpoint: bytes | None = None
    given: bool = field(default=True, compare=False)
    """False only for `none`."""

    @classmethod
    def none(cls, origin: str = "none") -> "Trust":
        """No trust file: nobody is believed, so everything that is usual is demanded and cannot be met."""
        return cls(origin, (), "quorum none\n", {}, USUAL, given=False)

    @classmethod
    def parse(cls, data: bytes) -> "Trust":
        """Read a trust file; `result.encode() == data`.

        Raises:
            NotCanonical, SchemaMismatch: The bytes are no trust file.
            TrustMalformed: A log key of another name, a policy or checkpoint of another log.
            TrustUnsupported: Another version, or an unknown check in `require`.
            FormatError: A key, policy or checkpoint in it is malformed.
        """
        fields = canonical.decode(data, max_bytes=MAX_TRUST)
        if type(fields.get("v")) is int and fields["v"] != 1:
            raise TrustUnsupported(f"trust file of version {fields['v']}, this verifier knows 1")
        TRUST.check(fields)
        unknown = sorted(set(fields["require"]) - set(CHECKS))
        if unknown:
            raise TrustUnsupported(f"trust file demands {', '.join(unknown)}, this verifier knows {', '.join(CHECKS)}")
        trust = cls(
            origin=fields["origin"],
            log=tuple(VerifierKey.parse(text) for text in fields["log"]),
            policy=fields["policy"],
            authorities={row["id"]: frozenset(row["keys"]) for row in fields["authorities"]},
            require=tuple(fields["require"]),
            skew_s=fields["skew_s"],
            max_age_s=fields["max_age_s"],
            auditors=fields.get("auditors"),
            tsa=tuple(_timestamp_authority(row) for row in fields["tsa"]),
            checkpoint=fields["checkpoint"].encode() if "checkpoint" in fields else None,
        )
        trust.check()
        return trust

    def encode(self) -> bytes:
        """The bytes of the trust file.

        Raises:
            FormatError: Its parts do not fit each other; such a file could not be read again.
        """
        fields: dict[str, Any] = {
            "authorities": [{"id": name, "keys": sorted(keys)} for name, keys in sorted(self.authorities.items())],
            "log": sorted(map(str, self.log)),
            "max_age_s": self.max_age_s,
            "origin": self.origin,
            "policy": self.policy,
            "require": sorted(self.require),
            "skew_s": self.skew_s,
            "tsa": [_tsa_fields(row) for row in self.tsa],
            "v": 1,
        }
        if self.auditors is not None:
            fields["auditors"] = self.auditors
        if self.checkpoint is not None:
            fields["checkpoint"] = self.checkpoint.decode()
        TRUST.check(fields)
        self.check()
        return canonical.encode(fields)

    def check(self) -> None:
        """Hold the parts to each other.

        Raises:
            TrustMalformed: A log key of another name or of a type no log has, one twice, a checkpoint of another log,
                a root of a time-stamping authority that is no certificate.
            FormatError: A policy or the checkpoint is malformed.
        """
        names = {key.name for key in self.log}
        if names != {self.origin} or len(set(self.log)) != len(self.log):
            raise TrustMalformed(f"log keys of {sorted(names)}, expected different ones of {self.origin}")
        if self.held is not None and self.held.origin != self.origin:
            raise TrustMalformed(f"checkpoint of {self.held.origin}, expected one of {self.origin}")
        for authority in self.tsa:
            _ = authority.parsed_roots
        for policy in (self.witnesses, self.auditing):
            if policy is not None and any(key not in self.log for key in policy.log):
                raise TrustMalformed("a policy names a log key that is not among the trust file's")

    @cached_property
    def witnesses(self) -> Policy:
        """The parsed policy."""
        return Policy.parse(self.policy)

    @cached_property
    def auditing(self) -> Policy | None:
        """The parsed policy of auditors, where there is one."""
        return None if self.auditors is None else Policy.parse(self.auditors)

    @cached_property
    def held(self) -> Checkpoint | None:
        """The checkpoint in the trust file; it was verified before it came there."""
        return None if self.checkpoint is None else Checkpoint.parse(parse_note(self.checkpoint).text)

    @cached_property
    def keys(self) -> tuple[VerifierKey, ...]:
        """Every key of witnesses and auditors, each once."""
        policies = [self.witnesses, *([self.auditing] if self.auditing else [])]
        return tuple(dict.fromkeys(key for policy in policies for key in policy.witnesses.values()))

    @property
    def demanded(self) -> frozenset[str]:
        """Ids of the checks that must be PASS."""
        return ALWAYS | frozenset(self.require)


def _timestamp_authority(row: dict[str, Any]) -> TimestampAuthority:
    return TimestampAuthority(row["name"], tuple(map(from_base64, row["roots"])), tuple(row["policies"]))


def _tsa_fields(row: TimestampAuthority) -> dict[str, Any]:
    return {"name": row.name, "roots": [to_base64(root) for root in row.roots], "policies": list(row.policies)}
