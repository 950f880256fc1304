"""The client: one profile, everything its principal can do. Start here.

    client = Client(Profile.load("default"))
    exchange, _ = client.open_exchange(["court.be", "police.nl"])
    sent = client.send(exchange, [Path("disk.E01")], to=["police.nl"], terms=Terms(retain_until=…))

    for package in client.inbox(): …
    received = client.receive(package_id, Path("in/"), accept_conditions=True)
    client.accept(received)

Every method that says something signs it, and checks and keeps the service's record of it. Errors are
`ClientError` (with an exit code and often a hint) and `custody.CustodyError`; see `rogatory.errors.exit_code_of`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import httpx

from custody.sealing import Identity
from custody.statement import Statement
from custody.trust import Trust
from rogatory import enrolment, export, grants, keyring, receipt, resume, trust_file
from rogatory.connection import Connection
from rogatory.continuing import Before
from rogatory.directory import Directory, KnownAuthority
from rogatory.exchanges import Exchange, Exchanges, LogPage
from rogatory.keyring import Passphrase
from rogatory.lodging import Lodge, Lodged
from rogatory.log import Mirror, MirrorReport, PublicLog
from rogatory.offers import Offer, Offers
from rogatory.profile import Profile, Title
from rogatory.receive import Received, Receiver
from rogatory.records import Record, RecordStore
from rogatory.send import PARALLEL, Sender
from rogatory.statements import Speaker, utc_now
from rogatory.terms import Plan, Progress, Sent, Terms
from rogatory.witness import Witness, mirror_log

_EVENTS = {
    "add": "key.added",
    "rotate": "key.rotated",
    "revoke": "key.revoked",
}


class Client:
    """What a principal of an authority can do at one service. Close it, or use it in a `with`.

    Args:
        profile: Who, where, with which keys.
        passphrase: Asked for the passphrase of a locked key file.
        now: The clock.
        transport: Stands in for the network in tests.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        passphrase: Passphrase | None = None,
        now: Callable[[], datetime] = utc_now,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.profile = profile
        self._passphrase, self._now = passphrase, now
        self.connection = Connection(
            profile.server,
            ca_file=profile.ca_file,
            principal=profile.principal or None,
            login_key=lambda: keyring.load_signing_key(profile.keys / keyring.LOGIN, passphrase),
            now=now,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.profile.authority!r} at {self.profile.server!r})"

    def close(self) -> None:
        """Close the line."""
        self.connection.close()

    # ------------------------------------------------------------ what it stands on

    @cached_property
    def trust(self) -> Trust:
        """The profile's trust file."""
        found = trust_file.load(self.profile.trust)
        if found.origin != self.profile.origin:
            raise trust_file.OriginDiffers(
                f"the trust file is for the log {found.origin}, the profile for {self.profile.origin}"
            )
        return found

    @cached_property
    def records(self) -> RecordStore:
        """Records kept, and the newest checkpoint seen."""
        return RecordStore(self.profile.records, self.trust)

    @cached_property
    def lodge(self) -> Lodge:
        """Where statements go."""
        return Lodge(self.connection, self.records, self.trust)

    @cached_property
    def log_reader(self) -> PublicLog:
        """The service's public log."""
        return PublicLog(self.connection, self.profile.origin)

    @cached_property
    def speaker(self) -> Speaker:
        """Signs as our principal."""
        key = keyring.load_signing_key(self.profile.keys / keyring.STATEMENT, self._passphrase)
        return Speaker(
            origin=self.profile.origin,
            authority=self.profile.authority,
            principal=self.profile.principal,
            key=key,
            seen=self.records.newest,
            now=self._now,
        )

    @cached_property
    def identities(self) -> list[Identity]:
        """The authority's encryption identities, if they are on this machine."""
        path = self.profile.keys / keyring.ENCRYPTION
        return keyring.load_identities(path) if path.exists() else []

    @cached_property
    def directory(self) -> Directory:
        """Other authorities' registries, proven and pinned."""
        return Directory(
            self.connection,
            self.trust,
            see=lambda note: self.records.advance(note, self.log_reader),
            held=self.records.newest,
            now=self._now,
        )

    @cached_property
    def exchanges(self) -> Exchanges:
        """Exchanges and packages as the service shows them."""
        return Exchanges(self.connection, self.lodge, self.speaker)

    # ------------------------------------------------------------ authorities

    def service(self) -> dict[str, Any]:
        """What the service says of itself."""
        return self.connection.service()

    def authorities(self) -> list[dict[str, Any]]:
        """`{id, name, country, suspended}` of every authority, as the service tells it."""
        return list(self.connection.get_json("/v1/authorities")["authorities"])

    def authority(self, authority: str, *, pinned: bool = True) -> KnownAuthority:
        """An authority's registry, checked; `pinned=False` only to show fingerprints before pinning."""
        return self.directory.authority(authority) if pinned else self.directory.look(authority)

    def lodge_registry(self, said: Statement) -> Lodged:
        """Lodge a statement of our authority in its registry; see `rogatory.enrolment` for making one."""
        event = {"enrolment": "principal.enrolled", "key": _EVENTS.get(str(said.payload.get("action")))}.get(
            said.kind, said.payload.get("event")
        )
        path = f"/v1/authorities/{said.authority}/registry"
        return self.lodge.lodge(path, said, event=str(event), signed_in=False)

    def enrol_principal(
        self,
        authority_keys: keyring.AuthorityKeys,
        principal_keys: keyring.PrincipalKeys,
        *,
        roles: Sequence[str],
        type: str = "client",  # noqa: A002 - the word of the format
    ) -> str:
        """Enrol a client or officer of our authority; returns its id."""
        said = enrolment.enrol_principal(
            authority_keys.authority,
            principal_keys,
            origin=self.profile.origin,
            authority=self.profile.authority,
            roles=roles,
            type=type,
            at=self._now(),
        )
        self.lodge_registry(said)
        return enrolment.subject_id(said)

    # ------------------------------------------------------------ exchanges

    def open_exchange(
        self,
        parties: Sequence[str],
        *,
        auditors: Sequence[str] = (),
        title: Title | None = None,
        before: Before | None = None,
    ) -> tuple[Exchange, Lodged]:
        """Open an exchange, perhaps one that goes on from the log before; its title stays on this side, sealed."""
        opened, lodged = self.exchanges.open(parties, auditors=auditors, before=before)
        if title is not None:
            self.profile.lock_title(opened.id, title)
        return opened, lodged

    def list_exchanges(self) -> list[Exchange]:
        """All exchanges we may see."""
        return self.exchanges.list()

    def exchange(self, text: str) -> Exchange:
        """The exchange whose id, or alias in the profile, begins with `text`."""
        return self.exchanges.get(self.profile.aliases.get(text, text))

    def close_exchange(self, exchange: Exchange, *, reason: str | None = None) -> Lodged:
        """Close an exchange."""
        return self.exchanges.close(exchange, reason=reason)

    def add_party(self, exchange: Exchange, authority: str, *, role: str = "party") -> Lodged:
        """Let another authority in, as `party` or `auditor`."""
        return self.exchanges.add_party(exchange, authority, role=role)

    def log(self, exchange: Exchange) -> Iterator[LogPage]:
        """The chain as the service shows it, page by page."""
        return self.exchanges.log(exchange)

    # ------------------------------------------------------------ sending

    def plan(self, exchange: Exchange, paths: Sequence[Path], *, to: Sequence[str], also_me: bool = False) -> Plan:
        """What a send would do (`--dry-run`): recipients proven, sources looked at, nothing sent."""
        return self._sender().plan(exchange, paths, to=to, also_me=also_me)

    def send(
        self,
        exchange: Exchange,
        paths: Sequence[Path],
        *,
        to: Sequence[str],
        terms: Terms,
        acquisition: Mapping[str, Any] | None = None,
        exhibits: Sequence[Mapping[str, str]] = (),
        also_me: bool = False,
        limit_rate: float | None = None,
        parallel: int = PARALLEL,
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> Sent:
        """Seal and send; see `rogatory.send.Sender.send`."""
        sender = self._sender(limit_rate=limit_rate, parallel=parallel, progress=progress)
        with self.connection.patient():
            return sender.send(
                exchange, paths, to=to, terms=terms, acquisition=acquisition, exhibits=exhibits, also_me=also_me
            )

    def resume_send(
        self,
        package: str,
        *,
        limit_rate: float | None = None,
        parallel: int = PARALLEL,
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> Sent:
        """Go on with an interrupted send; safe only because every window is compared before it is encrypted."""
        with self.connection.patient():
            return self._sender(limit_rate=limit_rate, parallel=parallel, progress=progress).resume(package)

    def abandon_send(self, package: str) -> None:
        """Forget an interrupted send with its keys: what was uploaded of it can never be opened."""
        resume.SendState.load(self._sends / package).remove()

    def unfinished_sends(self) -> list[str]:
        """Packages whose send was interrupted on this machine."""
        return list(resume.unfinished(self._sends))

    # ------------------------------------------------------------ receiving

    def packages(self, *, state: str | None = None) -> list[dict[str, Any]]:
        """Packages sent and received, as the service tells them."""
        return list(self.exchanges.packages(state=state))

    def package(self, text: str) -> dict[str, Any]:
        """The package whose id, or alias in the profile, begins with `text`, as the service tells it."""
        return self.exchanges.package(self.profile.aliases.get(text, text))

    def inbox(self) -> list[dict[str, Any]]:
        """Sealed packages for us that we have not answered."""
        us = self.profile.authority
        return [
            row
            for row in self.packages()
            if us in row.get("recipients", ())
            and row.get("state") == "sealed"
            and us not in {answer.get("authority") for answer in row.get("receipts", ())}
        ]

    def look(self, package: str) -> Offer:
        """A package's manifest, checked down to its sender's pinned registry; conditions are in it."""
        offers = Offers(
            self.connection,
            self.lodge,
            self.directory,
            authority=self.profile.authority,
            identities=self.identities,
        )
        return offers.look(str(self.package(package)["id"]))

    def receive(
        self,
        package: str | Offer,
        target: Path,
        *,
        accept_conditions: bool = False,
        unpack: bool = False,
        keep_sealed: bool = False,
        purpose: str = "investigation",
        progress: Callable[[int, int], None] = lambda _done, _size: None,
    ) -> Received:
        """Fetch, check, open; see `rogatory.receive.Receiver.receive`."""
        offer = package if isinstance(package, Offer) else self.look(package)
        receiver = Receiver(self.connection, self.lodge, self.speaker, identities=self.identities, progress=progress)
        with self.connection.patient():
            return receiver.receive(
                offer,
                target,
                accept_conditions=accept_conditions,
                unpack=unpack,
                keep_sealed=keep_sealed,
                purpose=purpose,
            )

    def accept(self, received: Received) -> Lodged:
        """Sign the receipt that accepts what was received (`Received.load(target)` reads it back)."""
        return receipt.accept(self.lodge, self.speaker, received)

    def reject(self, found: Received | Offer, *, reason: str) -> Lodged:
        """Sign the receipt that refuses a package; with an `Offer` where nothing was received."""
        ground = found if isinstance(found, Received) else receipt.unopened(found)
        return receipt.reject(self.lodge, self.speaker, ground, reason=reason)

    def grant(
        self,
        package: str | Offer,
        *,
        to: Sequence[str],
        until: datetime | None = None,
        conditions: Mapping[str, str] | None = None,
    ) -> tuple[Statement, Lodged]:
        """Let other parties of the exchange open a package that we can open."""
        return grants.grant(
            package if isinstance(package, Offer) else self.look(package),
            to=to,
            connection=self.connection,
            lodge=self.lodge,
            speaker=self.speaker,
            directory=self.directory,
            identities=self.identities,
            until=until,
            conditions=conditions,
        )

    # ------------------------------------------------------------ proofs

    def bundle(self, exchange: Exchange, target: Path, *, progress: Callable[[int], None] = lambda _: None) -> Record:
        """Fetch the bundle of an exchange into a new file."""
        return self._fetch_bundle(exchange, target, "bundle", progress)

    def export(self, exchange: Exchange, target: Path, *, progress: Callable[[int], None] = lambda _: None) -> Record:
        """Fetch an auditor's export of an exchange into a new file."""
        return self._fetch_bundle(exchange, target, "export", progress)

    def mirror(self, directory: Path, *, auditor: Witness | None = None) -> MirrorReport:
        """Mirror the public log and check every leaf, label and tail; an auditor then cosigns it."""
        report = mirror_log(Mirror(directory, self.trust), self.log_reader, auditor)
        self.records.advance((directory / "checkpoint").read_bytes(), self.log_reader)
        return report

    def _fetch_bundle(self, exchange: Exchange, target: Path, form: str, progress: Callable[[int], None]) -> Record:
        return export.fetch_bundle(
            exchange,
            target,
            form=form,
            connection=self.connection,
            lodge=self.lodge,
            speaker=self.speaker,
            progress=progress,
        )

    @property
    def _sends(self) -> Path:
        return self.profile.directory / "sends"

    def _sender(self, **how: Any) -> Sender:
        return Sender(self.connection, self.lodge, self.speaker, self.directory, sends=self._sends, **how)
