"""The registry of an authority: which keys spoke for it, and for whom, at each place of the log.

A registry is a chain like any other. Replaying it in order, every entry checked against the state before it, gives
the keys, the principals and their roles as they were at any log index: a signature counts by its place in the log,
not by the wall clock. The replay starts from nothing and trusts nothing but its own rules; whether seq 0 speaks for
the authority of that name is what the verifier's pin decides (`Registry.founders`).

Specification: docs/spec/registry.md.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from custody import entry as entries
from custody import events
from custody.entry import Entry, StatementMismatch
from custody.errors import VerificationError
from custody.keys import KeyRecord, PublicKey
from custody.statement import Statement

FOREVER: Final = 2**63


class RegistryRuleBroken(VerificationError):
    """A registry entry that the registry before it does not allow."""

    code = "registry-rule"


class SignerNotEntitled(VerificationError):
    """The signer had no live key, or not the role, at that place of the log."""

    code = "signer-not-entitled"


@dataclass
class _Switch:
    """Something that is on or off by place in the log."""

    places: list[int] = field(default_factory=list)
    states: list[bool] = field(default_factory=list)

    def set(self, at: int, *, on: bool) -> None:
        self.places.append(at)
        self.states.append(on)

    def on(self, at: int) -> bool:
        """State just before index `at`."""
        place = bisect_left(self.places, at)
        return self.states[place - 1] if place else False


@dataclass(frozen=True)
class Principal:
    """A client or officer of the authority.

    Attributes:
        id: 32 hex digits.
        type: `client` or `officer`.
        live: On while neither suspended nor revoked.
        roles: Role → switch.
    """

    id: str
    type: str
    live: _Switch
    roles: dict[str, _Switch]
    ended: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class _Key:
    record: KeyRecord
    live: _Switch


class Registry:
    """An authority's registry, replayed entry by entry."""

    def __init__(self, authority: str) -> None:
        self.authority = authority
        self.name = ""
        self.country = ""
        self.length = 0
        self.founders: frozenset[str] = frozenset()
        """Ids of the keys that signed seq 0; a pin is one of these. Anybody may name an encryption key of another."""
        self._keys: dict[str, _Key] = {}
        self._principals: dict[str, Principal] = {}
        self._sign_with: list[tuple[int, tuple[str, ...]]] = []
        self._active = _Switch()
        self._recovery = ""
        self._statements: set[str] = set()

    # ------------------------------------------------------------ questions

    def key(self, key_id: str, *, at: int) -> KeyRecord | None:
        """The key's record if the key, and its holder, were live just before log index `at`."""
        key = self._keys.get(key_id)
        if key is None or not key.live.on(at):
            return None
        if key.record.use != "recovery" and not self._active.on(at):
            return None
        holder = self._principals.get(key.record.holder)
        return key.record if holder is None or holder.live.on(at) else None

    def known_key(self, key_id: str) -> KeyRecord | None:
        """The key's record whether or not it is live."""
        key = self._keys.get(key_id)
        return key.record if key else None

    def keys(self, *, use: str, at: int = FOREVER, holder: str | None = None) -> list[KeyRecord]:
        """Live keys of a use, of one holder where given, sorted by id."""
        return [
            key.record
            for key_id, key in sorted(self._keys.items())
            if key.record.use == use
            and (holder is None or key.record.holder == holder)
            and self.key(key_id, at=at) is not None
        ]

    def active(self, *, at: int = FOREVER) -> bool:
        """Whether the authority was enrolled and not suspended just before `at`."""
        return self._active.on(at)

    def principal(self, principal_id: str, *, at: int = FOREVER) -> Principal | None:
        """A principal that was live just before `at`."""
        principal = self._principals.get(principal_id)
        return principal if principal and principal.live.on(at) and self._active.on(at) else None

    def principals(self) -> Iterator[Principal]:
        """All principals ever enrolled."""
        return iter(self._principals.values())

    def roles(self, principal_id: str, *, at: int = FOREVER) -> frozenset[str]:
        """Roles of a live principal just before `at`; empty for any other."""
        principal = self.principal(principal_id, at=at)
        if principal is None:
            return frozenset()
        return frozenset(role for role, switch in principal.roles.items() if switch.on(at))

    def _may(self, principal_id: str, roles: frozenset[str], at: int) -> bool:
        """Whether a live principal had one of the roles just before `at`."""
        principal = self.principal(principal_id, at=at)
        return principal is not None and any(
            role in roles and switch.on(at) for role, switch in principal.roles.items()
        )

    def signers(self, statement: Statement, *, event: str, at: int) -> list[PublicKey]:
        """The keys to verify a statement with, so that it may stand as `event` at log index `at`.

        The caller verifies the statement with every one of them. The reader may conclude from a successful check
        that a holder entitled to this event at that place said it, and that no other key registered before that
        place bears a wrong signature: all verifiers agree on one envelope, whatever else they look at.

        Raises:
            SignerNotEntitled: No live key of the right use signed, or its holder lacked the role.
        """
        row = events.lookup(event)
        principal_id = statement.principal
        if principal_id is None:
            if events.AUTHORITY_KEY not in row.roles:
                raise SignerNotEntitled(f"{event} is signed by an authority's own key, expected a principal")
            return self._with_others(statement, self._authority_signers(statement, at), at)
        if not self._may(principal_id, row.roles, at):
            expected = ", ".join(sorted(row.roles))
            raise SignerNotEntitled(
                f"principal {principal_id} of {self.authority} signs {event} without a role for it at index {at}, "
                f"expected one of {expected}"
            )
        needed = [
            record.verifier()
            for record in self._live_signatures(statement, at)
            if record.use == "statement" and record.holder == principal_id
        ]
        if not needed:
            raise SignerNotEntitled(f"statement {statement.id} bears no signature by a live key of {principal_id}")
        return self._with_others(statement, needed, at)

    # ------------------------------------------------------------ replay

    def apply(self, entry: Entry, statement: Statement, *, index: int, verify: bool = True) -> list[PublicKey]:
        """Take the next entry: check statement, signers and rules against the state before it, then change state.

        Chain, leaf and inclusion are checked elsewhere; `index` is the entry's place in the log.

        Args:
            entry: The next entry.
            statement: Its statement.
            index: The entry's place in the log.
            verify: Check the signatures here; otherwise the caller must, with the keys returned.

        Returns:
            The keys that had to sign, proofs of possession included.

        Raises:
            StatementMismatch, SchemaMismatch: Entry and statement do not fit.
            SignatureInvalid, SignatureMissing, SignerNotEntitled: Not signed as it must be.
            RegistryRuleBroken: Signed, and not allowed at this place.
        """
        if events.lookup(entry.event).chain != "registry":
            raise RegistryRuleBroken(f"{entry.event} stands in a registry at seq {entry.seq}")
        entries.check_statement(entry, statement)
        if statement.authority != self.authority:
            raise RegistryRuleBroken(f"{statement.authority} signs in the registry of {self.authority}")
        if statement.id in self._statements:
            raise RegistryRuleBroken(f"statement {statement.id} stands in the registry of {self.authority} already")
        if (entry.event == "authority.enrolled") != (self.length == 0) or (self.length == 0 and entry.seq != 0):
            raise RegistryRuleBroken(
                f"{entry.event} at seq {entry.seq}: a registry begins with authority.enrolled, once"
            )
        incoming = self._incoming(statement)
        if self.length == 0:
            needed = self._founding_signers(statement, incoming)
        else:
            needed = self.signers(statement, event=entry.event, at=index)
            needed += [record.verifier() for record in incoming if record.use != "encryption"]
        if verify:
            for key in needed:
                statement.verify(key)
        if entry.actor["key"] not in {key.id for key in needed}:
            raise StatementMismatch(f"entry {entry.seq} names key {entry.actor['key']}, which need not sign")
        self._change(entry, statement, incoming, index)
        self._statements.add(statement.id)
        self.length += 1
        return needed

    def _change(self, entry: Entry, statement: Statement, incoming: list[KeyRecord], index: int) -> None:
        payload = statement.payload
        for record in incoming:
            if record.id in self._keys:
                raise RegistryRuleBroken(f"key {record.id} is registered a second time")
        match entry.event.split("."):
            case ["authority", change]:
                self._change_authority(change, statement, incoming, index)
            case ["principal", change]:
                self._change_principal(change, statement, incoming, index)
            case ["key", _]:
                self._change_key(statement, incoming, index)
            case ["role", change]:
                principal = self._known_principal(payload["subject"]["principal"])
                switch = principal.roles.setdefault(payload["detail"]["role"], _Switch())
                switch.set(index, on=change == "granted")

    def _change_authority(self, change: str, statement: Statement, incoming: list[KeyRecord], index: int) -> None:
        payload = statement.payload
        if change == "enrolled":
            self.name, self.country = payload["name"], payload["country"]
            self.founders = frozenset(record.id for record in incoming if record.use != "encryption")
            self._recovery = payload["recovery"]
            self._sign_with = [(-1, tuple(payload["sign_with"]))]
            self._active.set(index, on=True)
            self._add(incoming, index)
        elif payload["subject"]["authority"] != self.authority:
            raise RegistryRuleBroken(f"authority {self.authority} changes {payload['subject']['authority']}")
        elif change == "changed":
            self._sign_with.append((index, tuple(payload["detail"]["sign_with"])))
        else:
            self._active.set(index, on=change == "reinstated")

    def _change_principal(self, change: str, statement: Statement, incoming: list[KeyRecord], index: int) -> None:
        payload = statement.payload
        if change == "enrolled":
            fields = payload["principal"]
            if fields["id"] in self._principals:
                raise RegistryRuleBroken(f"principal {fields['id']} is enrolled a second time")
            uses = sorted(record.use for record in incoming)
            if uses != ["login", "statement"] or any(record.holder != fields["id"] for record in incoming):
                raise RegistryRuleBroken(f"a principal brings one key for login, one for statements, found {uses}")
            principal = Principal(fields["id"], fields["type"], _Switch(), {})
            principal.live.set(index, on=True)
            for role in fields["roles"]:
                principal.roles.setdefault(role, _Switch()).set(index, on=True)
            self._principals[principal.id] = principal
            self._add(incoming, index)
            return
        principal = self._known_principal(payload["subject"]["principal"])
        principal.live.set(index, on=change == "reinstated")
        if change == "revoked":
            principal.ended.append(index)

    def _change_key(self, statement: Statement, incoming: list[KeyRecord], index: int) -> None:
        payload = statement.payload
        gone = payload.get("revokes") or payload.get("replaces")
        for record in incoming:
            if record.holder != self.authority:
                self._known_principal(record.holder)
        old = self._keys.get(gone) if gone is not None else None
        if gone is not None and (old is None or not old.live.on(index)):
            raise RegistryRuleBroken(f"key {gone} is not live at index {index}")
        if old and incoming and (incoming[0].use, incoming[0].holder) != (old.record.use, old.record.holder):
            raise RegistryRuleBroken(f"key {incoming[0].id} replaces a key of another use or holder")
        if "recovery" in {record.use for record in incoming} | {old.record.use if old else ""}:
            self._check_recovery(statement, old, index)
            self._recovery = incoming[0].id if incoming else ""
        if old:
            old.live.set(index, on=False)
        self._add(incoming, index)

    def _check_recovery(self, statement: Statement, old: _Key | None, index: int) -> None:
        """A thief of an authority key must not get, end or replace what is to override the thief."""
        by_itself = any(record.use == "recovery" for record in self._live_signatures(statement, index))
        if old is None or not by_itself:
            raise RegistryRuleBroken(
                f"the recovery key of {self.authority} is replaced or ended by itself, never added"
            )

    def _add(self, incoming: list[KeyRecord], index: int) -> None:
        for record in incoming:
            switch = _Switch()
            switch.set(index, on=True)
            self._keys[record.id] = _Key(record, switch)

    def _incoming(self, statement: Statement) -> list[KeyRecord]:
        payload = statement.payload
        if statement.kind == "enrolment":
            records = [KeyRecord.parse(fields) for fields in payload["keys"]]
        elif "key" in payload:
            records = [KeyRecord.parse(payload["key"])]
        else:
            return []
        principal_uses = {"login", "statement"}
        for record in records:
            if (record.holder == self.authority) == (record.use in principal_uses):
                raise RegistryRuleBroken(f"key {record.id} for {record.use} is held by {record.holder}")
        return records

    def _founding_signers(self, statement: Statement, incoming: list[KeyRecord]) -> list[PublicKey]:
        payload = statement.payload
        strange = sorted({record.use for record in incoming} & {"login", "statement"})
        if strange or statement.principal is not None:
            raise RegistryRuleBroken(
                f"the first enrolment is an authority's, not {statement.principal}'s; uses {strange}"
            )
        by_use = {use: [record for record in incoming if record.use == use] for use in ("authority", "recovery")}
        algorithms = sorted(record.alg for record in by_use["authority"])
        if not set(payload["sign_with"]) <= set(algorithms):
            raise RegistryRuleBroken(f"sign_with is {payload['sign_with']}, authority keys are {algorithms}")
        if [record.id for record in by_use["recovery"]] != [payload["recovery"]]:
            raise RegistryRuleBroken("recovery names no recovery key of the enrolment, expected exactly one")
        return [record.verifier() for record in incoming if record.use != "encryption"]

    def _authority_signers(self, statement: Statement, at: int) -> list[PublicKey]:
        live = self._live_signatures(statement, at)
        recovery = [record for record in live if record.use == "recovery"]
        if recovery:
            return [recovery[0].verifier()]
        by_algorithm = {record.alg: record for record in live if record.use == "authority"}
        missing = [name for name in self._required(at) if name not in by_algorithm]
        if missing:
            raise SignerNotEntitled(
                f"statement {statement.id} lacks a signature by a live authority key of {self.authority}: "
                f"{', '.join(missing)}"
            )
        return [record.verifier() for record in by_algorithm.values()]

    def _with_others(self, statement: Statement, needed: list[PublicKey], at: int) -> list[PublicKey]:
        """Beside the needed keys every other one that signed and was registered before: a wrong signature fails."""
        there = {key.id for key in needed}
        keys = [self._keys.get(key_id) for key_id, _ in statement.signatures if key_id not in there]
        others = [key.record for key in keys if key is not None and key.live.places[0] < at]
        return needed + [record.verifier() for record in others if record.use != "encryption"]

    def _required(self, at: int) -> tuple[str, ...]:
        names = next((names for index, names in reversed(self._sign_with) if index < at), None)
        if names is None:
            raise SignerNotEntitled(f"the registry of {self.authority} names nobody: it is empty")
        return names

    def _live_signatures(self, statement: Statement, at: int) -> list[KeyRecord]:
        found = [self.key(key_id, at=at) for key_id, _ in statement.signatures]
        return [record for record in found if record is not None]

    def _known_principal(self, principal_id: str) -> Principal:
        principal = self._principals.get(principal_id)
        if principal is None:
            raise RegistryRuleBroken(f"principal {principal_id} is not enrolled here")
        if principal.ended:
            raise RegistryRuleBroken(f"principal {principal_id} was revoked at index {principal.ended[0]}")
        return principal
