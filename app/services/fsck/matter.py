"""What the chain of an exchange makes the tables say: the rows that must be there, and what stands in them."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from app.db.models import (
    Acceptance,
    Base,
    Download,
    Exchange,
    Fixity,
    Grant,
    GrantHeader,
    GrantKind,
    GrantRecipient,
    Item,
    ItemRole,
    Outcome,
    Package,
    PackageState,
    Part,
    Party,
    Receipt,
    Recipient,
    Release,
)
from app.services.downloads import LIFE
from app.services.fsck.chains import Read, Registries, verify
from custody import exchange as rules
from custody.entry import Entry
from custody.statement import Statement
from custody.text import from_time
from storage import keys

Rows = dict[tuple[object, ...], dict[str, Any]]
"""Primary key → columns."""


@dataclass
class Matter:
    """An exchange as its chain tells it.

    Attributes:
        id: Of the exchange.
        rows: Model → the rows it must have; of downloads the key is the hash of the entry that opened them.
        sent: Hash of the entry download.opened → bytes that download.closed tells of.
        aborted: (package, item) → bytes received, of every upload that was ended, counted.
    """

    id: str
    handle: str
    replay: rules.Exchange = field(default_factory=rules.Exchange)
    rows: dict[type[Base], Rows] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    aborted: dict[tuple[str, str], Counter[int]] = field(default_factory=dict)

    def table(self, model: type[Base]) -> Rows:
        """The rows that a table must have."""
        return self.rows.setdefault(model, {})

    def apply(self, read: Read, known: Registries) -> None:
        """Take the next entry: signatures, rules, then what follows for the tables.

        Raises:
            CustodyError, LookupError: The entry does not hold.
        """
        verify(read, known)
        entry, said = read.entry, read.statement
        self.replay.apply(entry, said, index=read.index, registries=known.replays)
        if said is None:
            self._note(entry)
        else:
            self._take(entry, said)

    def end(self) -> None:
        """All entries were taken; what they amount to."""
        replay = self.replay
        if replay.length:
            self.table(Exchange)[(self.id,)]["closed"] = replay.closed
        self.rows[Party] = {
            (self.id, authority): {"part": Part.PARTY if authority in replay.parties else Part.AUDITOR}
            for authority in replay.parties | replay.auditors
        }
        for package_id, package in replay.packages.items():
            self.table(Package)[(package_id,)]["state"] = PackageState(package.state)

    # ------------------------------------------------------------ what parties did

    def _take(self, entry: Entry, said: Statement) -> None:
        match entry.event:
            case "exchange.opened":
                self._open(entry)
            case "package.declared":
                self._declare(entry, said)
            case "package.sealed":
                self._seal(entry, said)
            case "grant.added":
                self._add_grant(entry.subject["package"], said, GrantKind.GRANT, said.payload["items"])
            case "conditions.accepted":
                self.table(Acceptance)[said.payload["statement"], said.authority] = {"statement_id": said.id}
            case "key.released":
                self._release(entry, said)
            case "receipt.signed":
                row = {"statement_id": said.id, "outcome": Outcome(said.payload["outcome"])}
                self.table(Receipt)[entry.subject["package"], said.authority] = row
            case "download.opened":
                self._open_download(entry, said)
            case "retention.extended":
                until = from_time(said.payload["detail"]["retain_until"])
                self.table(Package)[(entry.subject["package"],)]["retain_until"] = until

    def _open(self, entry: Entry) -> None:
        opened = from_time(entry.fields["time"])
        self.table(Exchange)[(self.id,)] = {"handle": self.handle, "opened_at": opened, "closed": False}

    def _declare(self, entry: Entry, said: Statement) -> None:
        package = entry.subject["package"]
        self.table(Package)[(package,)] = {
            "exchange_id": self.id,
            "sender": said.authority,
            "manifest_id": None,
            "sealed_hash": None,
            "retain_until": None,
            "created_at": from_time(entry.fields["time"]),
        }
        for authority in said.payload["detail"]["recipients"]:
            self.table(Recipient)[package, authority] = {}

    def _seal(self, entry: Entry, said: Statement) -> None:
        package, payload = entry.subject["package"], said.payload
        self.table(Package)[(package,)] |= {
            "manifest_id": said.id,
            "sealed_hash": entry.hash.hex(),
            "retain_until": from_time(payload["retain_until"]),
        }
        items = self.replay.packages[package].items
        for item_id, item in items.items():
            role = ItemRole.INVENTORY if item_id == payload["inventory"]["id"] else ItemRole.ITEM
            digests = {"sha256": item["sha256"], "blake3": item["blake3"]}
            self.table(Item)[package, item_id] |= {"role": role, **digests}
        self._add_grant(package, said, GrantKind.MANIFEST, list(items.values()))

    def _add_grant(self, package: str, said: Statement, kind: GrantKind, items: list[dict[str, Any]]) -> None:
        payload = said.payload
        self.table(Grant)[(said.id,)] = {
            "package_id": package,
            "kind": kind,
            "authority": said.authority,
            "conditional": "conditions" in payload,
            "until": from_time(payload["until"]) if "until" in payload else None,
            "destroyed": False,
        }
        for item in items:
            header = item["header"]
            self.table(GrantHeader)[said.id, item["id"]] = {"sha256": header["sha256"], "size": header["size"]}
        for recipient in payload["recipients"]:
            self.table(GrantRecipient)[said.id, recipient["authority"]] = {}

    def _release(self, entry: Entry, said: Statement) -> None:
        detail = said.payload["detail"]
        grant, at = detail["grant"], from_time(entry.fields["time"])
        granted = self.replay.packages[entry.subject["package"]].releases[grant].headers
        for item in detail.get("items", granted):
            self.table(Release).setdefault((grant, said.authority, item), {"released_at": at})

    def _open_download(self, entry: Entry, said: Statement) -> None:
        self.table(Download)[(entry.hash.hex(),)] = {
            "package_id": entry.subject["package"],
            "item_id": entry.subject.get("item"),
            "principal": said.principal,
            "authority": said.authority,
            "expires_at": from_time(entry.fields["time"]) + LIFE,
            "closed": False,
            "closed_hash": None,
        }

    # ------------------------------------------------------------ what the service noted

    def _note(self, entry: Entry) -> None:
        subject, noted = entry.subject, entry.noted
        match entry.event:
            case "upload.completed":
                package, item = subject["package"], subject["item"]
                unread = {"role": None, "sha256": None, "blake3": None, "fixity": None}
                self.table(Item)[package, item] = {**noted, **unread, "key": keys.body(package, item)}
            case "upload.aborted":
                ended = self.aborted.setdefault((subject["package"], subject["item"]), Counter())
                ended[noted["received"]] += 1
            case "fixity.checked" | "fixity.failed":
                row = self.table(Item)[subject["package"], subject["item"]]
                row["fixity"] = row["fixity"] or (Fixity.OK if entry.event == "fixity.checked" else Fixity.FAILED)
            case "download.closed":
                by_holder = noted["outcome"] == "closed"
                row = self.table(Download)[(noted["opened"],)]
                row |= {"closed": True, "closed_hash": entry.hash.hex() if by_holder else None}
                self.sent[noted["opened"]] = noted["bytes"]
