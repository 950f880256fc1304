"""What was sent to us: the manifest, checked down to its signer's pinned registry, before anything is fetched."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from custody import manifest as manifests
from custody import statement
from custody.errors import CustodyError
from custody.sealing import Identity
from custody.statement import Statement
from rogatory.connection import AnswerMalformed, Connection
from rogatory.directory import Directory
from rogatory.errors import Refused, SignerProblem, Tampered
from rogatory.ids import exchange_id
from rogatory.lodging import Lodge


class ManifestWrong(Tampered):
    """A manifest is not the one that was sealed, or does not fit its package."""

    code = "manifest-wrong"


class ManifestUnsigned(SignerProblem):
    """A manifest or grant was not signed by whom its sender's registry names."""

    code = "manifest-unsigned"


class NotForUs(Refused):
    """Nothing that was granted names our authority, or none of the keys at hand."""

    code = "not-for-us"


@dataclass(frozen=True)
class Offer:
    """A sealed package with what we may be handed of it.

    Attributes:
        package: Id.
        exchange: Id of its exchange.
        manifest: Verified.
        sealed: Hash of the entry package.sealed, hex.
        release: The manifest or the grant whose headers we can open; None if no key at hand fits.
        names_us: Whether any names our authority.
    """

    package: str
    exchange: str
    manifest: Statement
    sealed: str
    release: Statement | None
    names_us: bool

    @property
    def handle(self) -> str:
        """Handle of the exchange."""
        return str(self.manifest.payload["chain"])

    @property
    def conditions(self) -> list[dict[str, str]]:
        """What we must accept before headers are handed to us."""
        return list(self.release.payload.get("conditions", ())) if self.release else []

    @property
    def items(self) -> dict[str, dict[str, Any]]:
        """Item id → its member of the manifest, the inventory among them."""
        payload = self.manifest.payload
        return {member["id"]: member for member in [*payload["items"], payload["inventory"]]}

    @property
    def inventory(self) -> str:
        """Id of the inventory's item."""
        return str(self.manifest.payload["inventory"]["id"])

    @property
    def size(self) -> int:
        """Bytes of all bodies."""
        return sum(member["size"] for member in self.items.values())


class Offers:
    """Looks at packages for one authority.

    Args:
        identities: The encryption identities at hand.
    """

    def __init__(
        self,
        connection: Connection,
        lodge: Lodge,
        directory: Directory,
        *,
        authority: str,
        identities: Sequence[Identity],
    ) -> None:
        self._connection, self._lodge, self._directory = connection, lodge, directory
        self._authority = authority
        self._keys = {identity.recipient.key_id for identity in identities}

    def look(self, package: str) -> Offer:
        """Fetch and check a package's manifest and grants.

        Raises:
            ManifestWrong, RecordRefused: It is not what the log's record says was sealed.
            ManifestUnsigned, NotPinned, RegistryWrong: Its signer is not who it must be.
        """
        said, sealed, rows = self._fetch(package)
        release, names_us = self._choose(said, rows)
        return _offer(said, sealed, release, names_us=names_us)

    def all(self, package: str) -> list[Offer]:
        """An offer for the manifest and for each grant that names our authority, whichever of its keys.

        Raises:
            ManifestWrong, ManifestUnsigned, RecordRefused: As for `look`.
        """
        said, sealed, rows = self._fetch(package)
        found = [_offer(said, sealed, said, names_us=True)] if self._keys_of(said) else []
        for row in rows:
            candidate = _statement(row.get("envelope"), "grant")
            if self._keys_of(candidate):
                self._check_grant(candidate, row.get("record"), said)
                found.append(_offer(said, sealed, candidate, names_us=True))
        return found

    def _fetch(self, package: str) -> tuple[Statement, str, Any]:
        """The manifest, checked; the hash of its entry; the grants as the service shows them."""
        answer = self._connection.get_json(f"/v1/packages/{package}/manifest")
        said = _statement(answer.get("envelope"), "manifest")
        record, entry = self._lodge.take(answer.get("record"), event="package.sealed", said=said)
        if entry.hash.hex() != answer.get("sealed") or said.payload["package"] != package:
            raise ManifestWrong(f"the record does not tell of the sealing of package {package}")
        try:
            manifests.check(said.payload)
        except CustodyError as error:
            raise ManifestWrong(f"the manifest of package {package}: {error}") from error
        self._check_signer(said, event="package.sealed", at=record.index)
        return said, entry.hash.hex(), answer.get("grants", [])

    def _choose(self, said: Statement, rows: Any) -> tuple[Statement | None, bool]:
        """The first of manifest and grants with a header for a key at hand; the newest grant goes before older."""
        names_us = False
        shown = [(_statement(row.get("envelope"), "grant"), row.get("record")) for row in reversed(rows)]
        for candidate, record in [(said, None), *shown]:
            keys = self._keys_of(candidate)
            names_us = names_us or bool(keys)
            if not keys & self._keys:
                continue
            if candidate is not said:
                self._check_grant(candidate, record, said)
            return candidate, True
        return None, names_us

    def _keys_of(self, said: Statement) -> set[str]:
        """Our authority's keys that a manifest or grant names."""
        rows = said.payload["recipients"]
        return {key for row in rows if row["authority"] == self._authority for key in row["keys"]}

    def _check_grant(self, grant: Statement, shown: Any, manifest: Statement) -> None:
        """Its signer is judged by its place in the log: a key that was rotated since does not undo it."""
        if grant.payload["manifest"] != manifest.id:
            raise ManifestWrong(f"grant {grant.id} is for another manifest")
        record, _ = self._lodge.take(shown, event="grant.added", said=grant)
        self._check_signer(grant, event="grant.added", at=record.index)

    def _check_signer(self, said: Statement, *, event: str, at: int) -> None:
        known = self._directory.authority(said.authority)
        try:
            for key in known.registry.signers(said, event=event, at=at):
                said.verify(key)
        except CustodyError as error:
            raise ManifestUnsigned(
                f"the {said.kind} of {said.authority} is not signed as it must be: {error}"
            ) from error


def _offer(said: Statement, sealed: str, release: Statement | None, *, names_us: bool) -> Offer:
    return Offer(
        package=said.payload["package"],
        exchange=exchange_id(said.payload["chain"]),
        manifest=said,
        sealed=sealed,
        release=release,
        names_us=names_us,
    )


def _statement(envelope: Any, kind: str) -> Statement:
    if not isinstance(envelope, str):
        raise AnswerMalformed(f"the answer holds no {kind}")
    said = statement.parse(envelope.encode())
    if said.kind != kind:
        raise ManifestWrong(f"the service shows a {said.kind} where a {kind} belongs")
    return said
