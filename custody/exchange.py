"""The rules of an exchange, replayed: who may do what, after what.

An exchange chain is replayed entry by entry against the state that the entries before it made. The reader may
conclude that every act stood in its order: parties were named before they acted, a package was declared by the one
who sealed it, its parts were recorded before, conditions were accepted before a header left, an answer answers what
was sealed. Signatures and roles are `custody.registry`'s business, the chain itself `custody.chain`'s.

Specification: docs/spec/exchange.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from custody import events
from custody.entry import Entry, StatementMismatch
from custody.errors import VerificationError
from custody.registry import Registry
from custody.statement import Statement


class ExchangeRuleBroken(VerificationError):
    """An entry that the exchange before it does not allow."""

    code = "exchange-rule"


@dataclass
class Release:
    """A manifest or grant: who may be handed which headers, under which conditions."""

    statement: Statement
    authorities: frozenset[str]
    headers: dict[str, str]
    conditions: list[dict[str, str]]
    accepted_by: set[str] = field(default_factory=set)


@dataclass
class Package:
    """A package as the chain tells it.

    Attributes:
        state: `declared`, `sealed`, `withdrawn`, `restricted`, `recalled` or `destroyed`.
        uploads: Item id → what the service recorded (`size`, `part_size`, `parts`).
        sealed: Hash of the entry package.sealed.
        releases: Statement id of the manifest and of every grant → what it grants.
        demands: Statement id of every restriction and recall.
        receipts: Authority → outcome.
        released: (statement id, authority) of every key.released.
    """

    id: str
    sender: str
    state: str = "declared"
    uploads: dict[str, dict[str, Any]] = field(default_factory=dict)
    manifest: Statement | None = None
    sealed: str = ""
    releases: dict[str, Release] = field(default_factory=dict)
    demands: set[str] = field(default_factory=set)
    receipts: dict[str, str] = field(default_factory=dict)
    released: set[tuple[str, str]] = field(default_factory=set)

    @property
    def items(self) -> dict[str, dict[str, Any]]:
        """Item id → its member of the manifest, the inventory among them."""
        assert self.manifest is not None
        return _items(self.manifest)

    @property
    def recipients(self) -> frozenset[str]:
        """Authorities that the manifest or a grant names."""
        return frozenset().union(*(release.authorities for release in self.releases.values()))


_PACKAGE_STATES = {
    "package.withdrawn": "withdrawn",
    "package.restricted": "restricted",
    "package.recalled": "recalled",
    "package.destroyed": "destroyed",
}


class Exchange:
    """An exchange chain, replayed.

    Attributes:
        unchecked: Authorities whose keys were named and whose registry was not at hand: nothing is known of those keys.
    """

    def __init__(self) -> None:
        self.parties: set[str] = set()
        self.auditors: set[str] = set()
        self.packages: dict[str, Package] = {}
        self.closed = False
        self.length = 0
        self.unchecked: set[str] = set()
        self._seen: set[str] = set()
        self._statements: dict[str, str] = {}
        self._downloads: dict[str, Mapping[str, str]] = {}

    def apply(
        self, entry: Entry, statement: Statement | None, *, index: int, registries: Mapping[str, Registry]
    ) -> None:
        """Take the next entry, or refuse it and change nothing that matters.

        Args:
            entry: The next entry of the chain; its chain fields were checked.
            statement: Its statement, matched to it; None where the service speaks alone or its bytes are withheld.
            index: Its place in the log.
            registries: Authority → registry, for the keys that were live at that place.

        Raises:
            ExchangeRuleBroken: The state before does not allow it.
            StatementMismatch, SchemaMismatch: The statement is not of the entry's event, or its key is another's.
        """
        event = entry.event
        row = events.lookup(event)
        if row.chain not in ("exchange", "any"):
            raise ExchangeRuleBroken(f"{event} stands in an exchange at seq {entry.seq}")
        if (event == "exchange.opened") != (self.length == 0):
            raise ExchangeRuleBroken(f"{event} at seq {entry.seq}: an exchange begins with exchange.opened, once")
        if self.closed and not row.after_close:
            raise ExchangeRuleBroken(f"{event} at seq {entry.seq} follows exchange.closed")
        if statement is not None:
            self._check_statement(entry, statement, registries)
            self._take(entry, statement, index, registries)
            self._seen.add(statement.id)
        elif row.kind is None:
            self._note(event, entry)
        self.length += 1

    def package_of(self, statement_id: str) -> Package:
        """The package whose manifest or grant has this id.

        Raises:
            ExchangeRuleBroken: No manifest or grant with this id came before.
        """
        try:
            return self.packages[self._statements[statement_id]]
        except KeyError:
            raise ExchangeRuleBroken(f"no manifest or grant with id {statement_id} stands before") from None

    def package(self, package_id: str) -> Package:
        """A package that was declared before.

        Raises:
            ExchangeRuleBroken: It was not.
        """
        try:
            return self.packages[package_id]
        except KeyError:
            raise ExchangeRuleBroken(f"package {package_id} was not declared before") from None

    def _check_statement(self, entry: Entry, statement: Statement, registries: Mapping[str, Registry]) -> None:
        row, key = events.lookup(entry.event), entry.actor.get("key", "")
        if statement.kind != row.kind or statement.payload.get("event", entry.event) != entry.event:
            raise StatementMismatch(
                f"a statement of kind {statement.kind} stands under {entry.event} at seq {entry.seq}"
            )
        events.check_detail(entry.event, row, statement.payload)
        if statement.id in self._seen:
            raise ExchangeRuleBroken(f"statement {statement.id} stands in this exchange already")
        registry = registries.get(statement.authority)
        signed = [registry.known_key(key_id) for key_id, _ in statement.signatures] if registry else []
        own = {record.id for record in signed if record is not None and record.holder == statement.principal}
        if own and key not in own:  # without any of its own the signer was not entitled: `Registry.signers`
            raise StatementMismatch(f"entry {entry.seq} names key {key}, which is not {statement.principal}'s")
        if entry.event != "exchange.opened":
            self._check_party(entry, statement)

    def _check_party(self, entry: Entry, statement: Statement) -> None:
        allowed = self.parties | self.auditors if entry.event == "log.exported" else self.parties
        if statement.authority not in allowed:
            raise ExchangeRuleBroken(f"{statement.authority} signs {entry.event} at seq {entry.seq} and is no party")

    def _take(self, entry: Entry, statement: Statement, index: int, registries: Mapping[str, Registry]) -> None:
        payload = statement.payload
        detail = payload.get("detail", {})
        match entry.event:
            case "exchange.opened":
                if statement.authority not in detail["parties"]:
                    raise ExchangeRuleBroken(f"{statement.authority} opens an exchange it is no party of")
                self.parties, self.auditors = set(detail["parties"]), set(detail.get("auditors", ()))
            case "exchange.closed":
                self.closed = True
            case "party.added":
                self._add_party(entry, detail["as"])
            case "package.declared":
                self._declare(entry, statement)
            case "package.sealed":
                self._seal(entry, statement, index, registries)
            case "grant.added":
                self._grant(entry, statement, index, registries)
            case "conditions.accepted":
                self._accept(entry, statement)
            case "key.released":
                self._release(entry, statement)
            case "download.opened":
                self._open_download(entry)
            case "receipt.signed":
                self._receipt(entry, statement)
            case name if name in _PACKAGE_STATES:
                self._change_state(entry, statement)
            case _ if "package" in entry.subject:
                self.package(entry.subject["package"])

    def _add_party(self, entry: Entry, part: str) -> None:
        authority = entry.subject["authority"]
        if authority in self.parties or (part == "auditor" and authority in self.auditors):
            raise ExchangeRuleBroken(f"seq {entry.seq} adds {authority}, which stands in this exchange already")
        (self.parties if part == "party" else self.auditors).add(authority)

    def _note(self, event: str, entry: Entry) -> None:
        subject = entry.subject
        if event == "access.denied" or "package" not in subject:
            return
        package = self.package(subject["package"])
        if event == "upload.completed":
            if package.state != "declared":
                raise ExchangeRuleBroken(f"seq {entry.seq}: an item arrives after package {package.id} was sealed")
            if subject["item"] in package.uploads:
                raise ExchangeRuleBroken(f"seq {entry.seq}: item {subject['item']} arrives a second time")
            package.uploads[subject["item"]] = entry.noted
        elif event == "download.closed":
            opened = entry.noted["opened"]
            if self._downloads.get(opened) != subject:
                raise ExchangeRuleBroken(f"seq {entry.seq} closes a download that is not open, or of something else")
            del self._downloads[opened]

    def _declare(self, entry: Entry, statement: Statement) -> None:
        package_id = entry.subject["package"]
        if package_id in self.packages:
            raise ExchangeRuleBroken(f"package {package_id} is declared a second time")
        strangers = set(statement.payload["detail"]["recipients"]) - self.parties
        if strangers:
            raise ExchangeRuleBroken(f"recipients {sorted(strangers)} are no parties")
        self.packages[package_id] = Package(package_id, statement.authority)

    def _seal(self, entry: Entry, statement: Statement, index: int, registries: Mapping[str, Registry]) -> None:
        package = self.package(entry.subject["package"])
        if package.sender != statement.authority or package.state != "declared":
            raise ExchangeRuleBroken(
                f"package {package.id} is {package.state} by {package.sender}, {statement.authority} cannot seal it"
            )
        items = _items(statement)
        if len(items) != len(statement.payload["items"]) + 1:
            raise ExchangeRuleBroken(f"package {package.id}: the inventory bears the id of another item")
        for item_id, item in items.items():
            recorded = package.uploads.get(item_id)
            if recorded is None or any(recorded[name] != item[name] for name in ("part_size", "parts", "size")):
                raise ExchangeRuleBroken(f"item {item_id} of the manifest is not what upload.completed recorded")
        unsaid = sorted(package.uploads.keys() - items.keys())
        if unsaid:
            raise ExchangeRuleBroken(f"item {unsaid[0]} arrived and is not in the manifest of package {package.id}")
        headers = {item_id: item["header"]["sha256"] for item_id, item in items.items()}
        self._add_release(package, statement, headers, index, registries)
        package.manifest, package.state, package.sealed = statement, "sealed", entry.hash.hex()

    def _grant(self, entry: Entry, statement: Statement, index: int, registries: Mapping[str, Registry]) -> None:
        payload = statement.payload
        package = self._of_manifest(entry, payload["manifest"])
        assert package.manifest is not None
        if statement.authority not in package.recipients | {package.sender}:
            raise ExchangeRuleBroken(f"{statement.authority} grants package {package.id} without holding it")
        headers = {item["id"]: item["header"]["sha256"] for item in payload["items"]}
        if not headers.keys() <= package.items.keys():
            raise ExchangeRuleBroken(f"grant {statement.id} names items that are not in the manifest")
        if payload["sealing"] != package.manifest.payload["sealing"]:
            raise ExchangeRuleBroken(f"grant {statement.id} seals with {payload['sealing']}, the manifest does not")
        self._add_release(package, statement, headers, index, registries)

    def _add_release(
        self,
        package: Package,
        statement: Statement,
        headers: dict[str, str],
        index: int,
        registries: Mapping[str, Registry],
    ) -> None:
        payload = statement.payload
        for recipient in payload["recipients"]:
            authority = recipient["authority"]
            if authority not in self.parties:
                raise ExchangeRuleBroken(f"recipient {authority} of {statement.id} is no party")
            registry = registries.get(authority)
            if registry is None:
                self.unchecked.add(authority)
                continue
            for key_id in recipient["keys"]:
                key = registry.key(key_id, at=index)
                if key is None or key.use != "encryption" or key.alg != payload["sealing"]:
                    raise ExchangeRuleBroken(f"{key_id} is no live {payload['sealing']} key of {authority} at {index}")
        authorities = frozenset(recipient["authority"] for recipient in payload["recipients"])
        package.releases[statement.id] = Release(statement, authorities, headers, payload.get("conditions", []))
        self._statements[statement.id] = package.id

    def _accept(self, entry: Entry, statement: Statement) -> None:
        package = self._same_package(entry, statement.payload["statement"])
        release = package.releases[statement.payload["statement"]]
        if statement.payload["conditions"] != release.conditions:
            raise ExchangeRuleBroken(f"seq {entry.seq} accepts other conditions than were set")
        if statement.authority not in release.authorities:
            raise ExchangeRuleBroken(f"{statement.authority} accepts conditions that were set to others")
        release.accepted_by.add(statement.authority)

    def _release(self, entry: Entry, statement: Statement) -> None:
        detail = statement.payload["detail"]
        grant_id = detail["grant"]
        package = self._same_package(entry, grant_id)
        release = package.releases[grant_id]
        if statement.authority not in release.authorities:
            raise ExchangeRuleBroken(f"seq {entry.seq}: {statement.authority} is handed a header meant for others")
        if release.conditions and statement.authority not in release.accepted_by:
            raise ExchangeRuleBroken(f"seq {entry.seq}: a header leaves before its conditions were accepted")
        if package.state != "sealed":
            raise ExchangeRuleBroken(f"seq {entry.seq}: a header of a package leaves that is {package.state}")
        if not release.headers.keys() >= set(detail.get("items", ())):
            raise ExchangeRuleBroken(f"seq {entry.seq}: a header leaves of an item that {grant_id} does not grant")
        time = entry.time
        if release.statement.payload.get("until", time) < time:
            raise ExchangeRuleBroken(f"seq {entry.seq}: a header leaves after its grant has ended")
        package.released.add((grant_id, statement.authority))

    def _open_download(self, entry: Entry) -> None:
        package = self.package(entry.subject["package"])
        if package.manifest is None:
            raise ExchangeRuleBroken(f"seq {entry.seq}: a package is downloaded before it was sealed")
        if "item" in entry.subject and entry.subject["item"] not in package.items:
            raise ExchangeRuleBroken(f"seq {entry.seq}: an item is downloaded that is not in the manifest")
        self._downloads[entry.hash.hex()] = entry.subject

    def _receipt(self, entry: Entry, statement: Statement) -> None:
        payload = statement.payload
        package = self._of_manifest(entry, payload["manifest"])
        if payload["sealed"] != package.sealed:
            raise ExchangeRuleBroken(f"receipt at seq {entry.seq} names another sealing of package {package.id}")
        if statement.authority not in package.recipients:
            raise ExchangeRuleBroken(f"{statement.authority} signs a receipt for a package sent to others")
        if statement.authority in package.receipts:
            raise ExchangeRuleBroken(f"{statement.authority} answers package {package.id} a second time")
        found = {item["id"]: (item["sha256"], item["blake3"]) for item in payload["items"]}
        wanted = {item_id: (item["sha256"], item["blake3"]) for item_id, item in package.items.items()}
        if payload["outcome"] == "accepted" and found != wanted:
            raise ExchangeRuleBroken(f"receipt at seq {entry.seq} accepts other digests than the manifest's")
        if payload["outcome"] == "rejected" and "reason" not in payload:
            raise ExchangeRuleBroken(f"receipt at seq {entry.seq} rejects without a reason")
        package.receipts[statement.authority] = payload["outcome"]

    def _change_state(self, entry: Entry, statement: Statement) -> None:
        package = self.package(entry.subject["package"])
        if package.manifest is None:
            raise ExchangeRuleBroken(f"{entry.event} at seq {entry.seq}: package {package.id} was not sealed before")
        if entry.event == "package.withdrawn":
            self._of_manifest(entry, statement.payload["manifest"])
        entitled = package.recipients if entry.event == "package.destroyed" else {package.sender}
        if statement.authority not in entitled:
            raise ExchangeRuleBroken(f"{entry.event} at seq {entry.seq} is signed by {statement.authority}")
        if entry.event == "package.destroyed" and statement.payload["answers"] not in package.demands:
            raise ExchangeRuleBroken(f"seq {entry.seq} answers {statement.payload['answers']}, which demands nothing")
        if statement.kind == "restriction":
            package.demands.add(statement.id)
        package.state = _PACKAGE_STATES[entry.event]

    def _of_manifest(self, entry: Entry, statement_id: str) -> Package:
        package = self._same_package(entry, statement_id)
        if package.manifest is None or package.manifest.id != statement_id:
            raise ExchangeRuleBroken(f"seq {entry.seq} names {statement_id}, which is a grant, expected the manifest")
        return package

    def _same_package(self, entry: Entry, statement_id: str) -> Package:
        package = self.package_of(statement_id)
        if entry.subject.get("package") != package.id:
            raise ExchangeRuleBroken(
                f"seq {entry.seq} is about package {entry.subject.get('package')}, its statement about {package.id}"
            )
        return package


def _items(manifest: Statement) -> dict[str, dict[str, Any]]:
    payload = manifest.payload
    return {item["id"]: item for item in [*payload["items"], payload["inventory"]]}
