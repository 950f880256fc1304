"""What a bundle tells, gathered for people: who, which packages, what happened when.

Reading is tolerant: what cannot be understood is left out and said so in `unread`. Nothing here checks anything; show
it only beside the report of `custody.verify_bundle` on the same file.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from custody import entry as entries
from custody import packing, statement
from custody.bundle import Bundle, open_bundle
from custody.entry import Entry
from custody.errors import FormatError
from custody.statement import Statement

_PIECE: Final = 1024 * 1024


@dataclass(frozen=True)
class Event:
    """One entry of the exchange, or the place of one that is withheld.

    Attributes:
        seq: Its place.
        entry: None where it is withheld.
        said: The statement it carries, where the bundle has it.
        index: Its place in the log.
    """

    seq: int
    entry: Entry | None
    said: Statement | None
    index: int | None

    @property
    def payload(self) -> Mapping[str, Any]:
        """What was said; empty where nothing was."""
        return self.said.payload if self.said else {}


@dataclass(frozen=True)
class Authority:
    """One authority as its own registry describes it."""

    id: str
    name: str
    country: str
    keys: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Principal:
    """A client or officer."""

    id: str
    authority: str
    type: str
    roles: tuple[str, ...]


@dataclass
class Package:
    """One package: what was sealed, and what its recipients answered.

    Attributes:
        manifest: The manifest's statement, where it is there.
        sealed: The entry package.sealed.
        receipts: Receipts in the order of the chain.
    """

    id: str
    declared: Event | None = None
    manifest: Statement | None = None
    sealed: Entry | None = None
    receipts: list[Event] = field(default_factory=list)
    withdrawn: bool = False

    @property
    def items(self) -> list[Mapping[str, Any]]:
        """Items of the manifest, the inventory last."""
        if self.manifest is None:
            return []
        return [*self.manifest.payload["items"], self.manifest.payload["inventory"]]


@dataclass
class Matter:
    """Everything a bundle tells."""

    kind: str
    log: str
    chain: str
    size: int
    events: list[Event] = field(default_factory=list)
    authorities: list[Authority] = field(default_factory=list)
    principals: list[Principal] = field(default_factory=list)
    packages: list[Package] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def file_digest(path: Path) -> tuple[str, str]:
    """What a bundle is named by: SHA-256 of the file, or of the packing list of a directory; and which of the two.

    Raises:
        OSError: The path cannot be read.
    """
    whole = path if path.is_file() else path / packing.PACKING_LIST
    digest = hashlib.sha256()
    with whole.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest(), "file" if path.is_file() else packing.PACKING_LIST


def read(path: Path) -> Matter:
    """What a bundle tells.

    Raises:
        FormatError: Container or packing list cannot be understood; then it tells nothing.
        OSError: The path cannot be read.
    """
    bundle = open_bundle(path)
    try:
        listed = bundle.packing
        matter = Matter(listed.kind, listed.log, listed.chain, listed.size)
        said = _statements(bundle, matter)
        if listed.kind != "registry":
            matter.events = sorted(_events(bundle, matter, said), key=lambda event: event.seq)
            matter.packages = _packages(matter.events)
        for name in bundle.names("registry/"):
            if name.endswith("/entries.jsonl"):
                _registry(bundle, matter, name, said)
        return matter
    finally:
        bundle.close()


def _statements(bundle: Bundle, matter: Matter) -> dict[str, Statement]:
    found = {}
    for line in _lines(bundle, matter, "statements.jsonl"):
        try:
            said = statement.parse(line)
        except FormatError as error:
            matter.unread.append(f"a statement: {error}")
            continue
        found[said.id] = said
    return found


def _entries(bundle: Bundle, matter: Matter, name: str) -> Iterator[Entry]:
    for number, line in enumerate(_lines(bundle, matter, name), start=1):
        try:
            yield entries.parse(line)
        except FormatError as error:
            matter.unread.append(f"{name}, line {number}: {error}")


def _lines(bundle: Bundle, matter: Matter, name: str) -> list[bytes]:
    if name not in bundle:
        return []
    try:
        return packing.split_lines(bundle.read(name))
    except FormatError as error:
        matter.unread.append(f"{name}: {error}")
        return []


def _events(bundle: Bundle, matter: Matter, said: Mapping[str, Statement]) -> Iterator[Event]:
    disclosed = list(_entries(bundle, matter, "entries.jsonl"))
    places: dict[int, int] = {}
    try:
        places = {leaf.seq: leaf.index for leaf in packing.parse_leaves(bundle.read("leaves.jsonl"))}
    except FormatError as error:
        matter.unread.append(f"leaves.jsonl: {error}")
    for found in disclosed:
        yield Event(found.seq, found, said.get(found.statement_id or ""), places.get(found.seq))
    for seq in places.keys() - {found.seq for found in disclosed}:
        yield Event(seq, None, None, places[seq])


def _packages(events: list[Event]) -> list[Package]:
    found: dict[str, Package] = {}
    for event in events:
        if event.entry is None or "package" not in event.entry.subject:
            continue
        package = found.setdefault(event.entry.subject["package"], Package(event.entry.subject["package"]))
        match event.entry.event:
            case "package.declared":
                package.declared = event
            case "package.sealed":
                package.sealed, package.manifest = event.entry, event.said
            case "receipt.signed":
                package.receipts.append(event)
            case "package.withdrawn":
                package.withdrawn = True
    return list(found.values())


def _registry(bundle: Bundle, matter: Matter, name: str, said: Mapping[str, Statement]) -> None:
    roles: dict[str, set[str]] = {}
    types: dict[str, str] = {}
    authority = name.split("/")[1]
    for found in _entries(bundle, matter, name):
        stated = said.get(found.statement_id or "")
        if stated is None:
            continue
        payload = stated.payload
        match found.event:
            case "authority.enrolled":
                matter.authorities.append(
                    Authority(authority, payload.get("name", ""), payload.get("country", ""), tuple(payload["keys"]))
                )
            case "principal.enrolled" if "principal" in payload:
                roles[payload["principal"]["id"]] = set(payload["principal"]["roles"])
                types[payload["principal"]["id"]] = payload["principal"]["type"]
            case "role.granted":
                roles.setdefault(found.subject["principal"], set()).add(payload["detail"]["role"])
            case "role.ended":
                roles.setdefault(found.subject["principal"], set()).discard(payload["detail"]["role"])
    matter.principals += [
        Principal(principal, authority, types.get(principal, ""), tuple(sorted(held)))
        for principal, held in sorted(roles.items())
    ]
