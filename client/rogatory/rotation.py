"""Changing keys: a new one follows an old one, in the registry first and then on this machine.

Each change is made of steps that can be interrupted anywhere: the new key lies on disk before the registry hears of it
(`Keyring.next_key`), what the registry has already is not said again, and only then does the key take its place. A
rotation counts from its entry on: what the old key signed before stays valid for ever, what it signs after is nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from custody.keys import KeyRecord, SigningKey
from custody.registry import Registry
from custody.sealing import Identity
from rogatory import enrolment, regrant
from rogatory.client import Client
from rogatory.connection import Connection
from rogatory.directory import Directory
from rogatory.errors import AuthenticationFailed, Refused, UsageProblem
from rogatory.keyring import AUTHORITY, ENCRYPTION, LOGIN, STATEMENT, Keyring, load_identities
from rogatory.lodging import Lodged
from rogatory.offers import Offers
from rogatory.statements import utc_now


class KeyNotLive(Refused):
    """The registry does not count the key at hand as live, so it cannot be followed by another."""

    code = "key-not-live"


class NothingOlder(UsageProblem):
    """There is no older encryption identity at hand, so there is nothing to write grants from."""

    code = "no-older-identity"


@dataclass(frozen=True)
class Changed:
    """A key that followed another.

    Attributes:
        use: What it is for.
        old: Id of the key before.
        new: Id of the key now.
        records: What was lodged for it in this run; empty where an earlier run had done that.
    """

    use: str
    old: str
    new: str
    records: tuple[Lodged, ...]


class KeyChange:
    """Changes keys of one authority and of its principals.

    Args:
        client: Of a principal of the authority, which reads the registry.
        ring: The authority's keys.
    """

    def __init__(self, client: Client, ring: Keyring) -> None:
        self._client, self._ring = client, ring
        self._us = client.profile.authority

    def registry(self, *, login: SigningKey | None = None) -> Registry:
        """Our own registry as it stands now, proven from our pin.

        Args:
            login: Logs in with this key instead of the profile's.
        """
        if login is None:
            return self._client.directory.authority(self._us).registry
        profile = self._client.profile
        line = Connection(
            profile.server, ca_file=profile.ca_file, principal=profile.principal or None, login_key=lambda: login
        )
        try:
            return Directory(line, self._client.trust, held=self._client.records.newest).authority(self._us).registry
        finally:
            line.close()

    def rotate_authority(self) -> Changed:
        """A new key for the authority's registry.

        Raises:
            KeyNotLive: The one at hand was revoked or replaced.
        """
        old = self._ring.key(AUTHORITY)
        return self._follow(self._ring, AUTHORITY, "authority", self._us, registry=self.registry(), signer=old)

    def rotate_principal(self, ring: Keyring) -> list[Changed]:
        """New keys for our principal, for statements and for logging in.

        Args:
            ring: The principal's keys.

        Raises:
            KeyNotLive: One of the keys at hand was revoked or replaced.
        """
        signer, holder = self._ring.key(AUTHORITY), self._client.profile.principal
        try:
            registry = self.registry()
        except AuthenticationFailed:
            if not ring.has_next(LOGIN):
                raise
            registry = self.registry(login=ring.next_key(LOGIN))  # the registry has heard of it, this machine not yet
        uses = ((STATEMENT, "statement", "ed25519"), (LOGIN, "login", "es256"))
        return [
            self._follow(ring, file, use, holder, registry=registry, signer=signer, alg=alg) for file, use, alg in uses
        ]

    def rotate_encryption(self, *, at_once: bool) -> Changed:
        """A new encryption key; see `due` and `regrant` for what the old one opens.

        Where an older key of the same kind is still live beside the one in use, a rotation was interrupted: nothing
        new is made, and that one is gone on with.

        Args:
            at_once: End the old key in the same entry, because somebody else may have it.
        """
        current, live = load_identities(self._ring.directory / ENCRYPTION)[0].recipient, self.live_encryption_keys()
        before = self._under_way(live)
        if before:
            return Changed("encryption", before, current.key_id, ())
        new = self._ring.next_identity(current.kind).recipient
        records: tuple[Lodged, ...] = ()
        if new.key_id not in live:
            replaces = current.key_id if at_once and current.key_id in live else None
            signer = self._ring.key(AUTHORITY)
            records = (
                self._lodge(enrolment.add_key(signer, new, use="encryption", replaces=replaces, **self._facts())),
            )
        self._ring.take_next(ENCRYPTION)
        self._client.__dict__.pop("identities", None)
        return Changed("encryption", current.key_id, new.key_id, records)

    def revoke(self, key: str, *, reason: str, signer: SigningKey | None = None) -> Lodged:
        """End a key, by the authority's key or by another signer (the recovery key)."""
        signer = signer or self._ring.key(AUTHORITY)
        return self._lodge(enrolment.revoke_key(signer, key=key, reason=reason, **self._facts()))

    def recover(self, recovery: Keyring, *, ended: Sequence[str] | None, reason: str) -> Changed:
        """Take the registry back with the recovery key: end every authority key, then bring a new one.

        Args:
            recovery: Where the recovery key lies.
            ended: The keys to end; all live ones of the registry by default, which takes a login.
            reason: A code.
        """
        master = recovery.key("recovery.pem")
        new = self._ring.next_key(AUTHORITY, like=recovery.directory / "recovery.pem")
        live: set[str] = set()
        if ended is None:
            live = {key.id for key in self.registry().keys(use="authority", holder=self._us)}
        gone = sorted(live - {new.public.id}) if ended is None else list(ended)
        records = [self.revoke(key, reason=reason, signer=master) for key in gone]
        if new.public.id not in live:
            records.append(self._lodge(enrolment.add_key(master, new, use="authority", **self._facts())))
        self._ring.take_next(AUTHORITY)
        return Changed("authority", gone[0] if gone else "", new.public.id, tuple(records))

    # ------------------------------------------------------------ what older encryption keys open

    def due(self) -> Iterator[regrant.Due]:
        """Every manifest and grant that an older identity at hand opens and the one in use does not.

        Looking at a manifest is noted in its exchange.

        Raises:
            NothingOlder: There is only one identity.
        """
        new, older = self._identities()
        return self._due(older, new=new.recipient.key_id)

    def would_be_due(self) -> Iterator[regrant.Due]:
        """What `due` would find after a rotation: everything that any identity at hand opens."""
        current, *older = load_identities(self._ring.directory / ENCRYPTION)
        return self.due() if self._under_way(self.live_encryption_keys()) else self._due([current, *older], new="")

    def live_encryption_keys(self) -> set[str]:
        """Ids of the encryption keys that others may seal to now."""
        return {key.id for key in self.registry().keys(use="encryption", holder=self._us)}

    def _under_way(self, live: set[str]) -> str:
        """Id of an older key that is live beside the one in use, so that a rotation from it has not ended."""
        current, *older = load_identities(self._ring.directory / ENCRYPTION)
        if self._ring.has_next(ENCRYPTION) or current.recipient.key_id not in live:
            return ""
        same = (row.recipient.key_id for row in older if row.kind == current.kind)
        return next((key for key in same if key in live), "")

    def _due(self, older: Sequence[Identity], *, new: str) -> Iterator[regrant.Due]:
        client = self._client
        offers = Offers(client.connection, client.lodge, client.directory, authority=self._us, identities=older)
        ids = frozenset(row.recipient.key_id for row in older)
        for package in client.packages(state="sealed"):
            yield from regrant.due(offers.all(str(package["id"])), older=ids, new=new, at=utc_now())

    def regrant(self, row: regrant.Due) -> str:
        """Write the grant that is due; why it could not be, or nothing."""
        new, older = self._identities()
        key = KeyRecord.of(new.recipient, use="encryption", holder=self._us)
        if row.offer.manifest.payload["sealing"] != new.kind:
            return f"it is sealed to keys of kind {row.offer.manifest.payload['sealing']}, the one in use is {new.kind}"
        client = self._client
        return regrant.regrant(
            row, key, connection=client.connection, lodge=client.lodge, speaker=client.speaker, identities=older
        )

    def _identities(self) -> tuple[Identity, list[Identity]]:
        new, *older = load_identities(self._ring.directory / ENCRYPTION)
        if not older:
            raise NothingOlder(
                f"{self._ring.directory / ENCRYPTION} holds one identity, so no older one opens anything",
                hint="rogatory keys rotate --encryption makes a new one, and keeps the old",
            )
        return new, older

    # ------------------------------------------------------------ one signing key after another

    def _follow(
        self,
        ring: Keyring,
        file: str,
        use: str,
        holder: str,
        *,
        registry: Registry,
        signer: SigningKey,
        alg: str = "ed25519",
    ) -> Changed:
        old, new = ring.key(file).public.id, ring.next_key(file, alg=alg)
        live = {key.id for key in registry.keys(use=use, holder=holder)}
        records: tuple[Lodged, ...] = ()
        if new.public.id not in live:
            if old not in live:
                raise KeyNotLive(
                    f"{file} holds key {old}, which the registry does not count as live",
                    hint="an authority's key is replaced with its recovery key: rogatory keys recover; a principal "
                    "without live keys is enrolled anew",
                )
            facts = self._facts() | {"holder": holder}
            records = (self._lodge(enrolment.add_key(signer, new, use=use, replaces=old, **facts)),)
        ring.take_next(file)
        return Changed(use, old, new.public.id, records)

    def _facts(self) -> dict[str, Any]:
        return {"origin": self._client.profile.origin, "authority": self._us, "at": utc_now()}

    def _lodge(self, said: Any) -> Lodged:
        return self._client.lodge_registry(said)
