"""Checks of the exchange itself: its rules, conditions before release, digests from upload to receipt, headers."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from custody import canonical, manifest, sealing
from custody.checklist import chains, signing
from custody.checklist.case import Case, Chain
from custody.digest import composite
from custody.errors import CustodyError, VerificationError
from custody.exchange import Exchange
from custody.report import Fault, NotChecked, Place
from custody.statement import Statement
from custody.words import say

_Item = tuple[str, str]
"""Package id, item id."""
_GRID: Final = ("part_size", "parts", "size")
_DIGESTS: Final = ("sha256", "blake3")
_WHOLE: Final = (*_DIGESTS, "size")
_WITH_DIGESTS: Final = frozenset({"upload.completed", "fixity.checked", "package.sealed", "receipt.signed"})
_BLOCKED: Final = frozenset({"package.withdrawn", "package.restricted", "package.recalled", "package.destroyed"})


class DigestsDiffer(VerificationError):
    """What was recorded, sealed, received or checked later differs."""

    code = "digests-differ"


class ReleasedEarly(VerificationError):
    """A header left before its conditions were accepted, or to somebody it was not for."""

    code = "released-early"


class HeaderMismatch(VerificationError):
    """A header that no grant names, or not as the grant names it."""

    code = "header-mismatch"


@dataclass(frozen=True, slots=True)
class Named:
    """A header as a manifest or grant names it."""

    item: str
    size: int
    sealing: str
    stanzas: int


def rules(case: Case) -> str:
    """Every entry was allowed by the exchange before it (`custody.exchange`)."""
    chain = _whole(case)
    registries = signing.replay(case).registries
    exchange = Exchange()
    said = chains.said(case, chain)
    for number, (item, statement, line) in enumerate(zip(chain.entries, said, chain.lines, strict=True)):
        if line is None or (statement is None and item.statement_text):
            raise NotChecked(say("reason.no-leaf", seq=item.seq))
        try:
            exchange.apply(item, statement, index=line.index, registries=registries)
        except CustodyError as error:
            raise Fault(error, chain.place(number)) from error
    if exchange.unchecked:
        raise NotChecked(say("reason.no-recipient-registry", names=sorted(exchange.unchecked)))
    return say("detail.exchange", packages=len(exchange.packages), parties=sorted(exchange.parties))


def conditions(case: Case) -> str:
    """Each header that left was meant for the one who took it, who had accepted what was asked before."""
    chain = _whole(case)
    released = 0
    accepted: set[tuple[str, str]] = set()
    grants: dict[str, Statement] = {}
    blocked: set[str] = set()
    for act in chains.acts(case, chain):
        payload, package = act.statement.payload, act.entry.subject.get("package", "")
        event = act.entry.event
        if act.statement.kind in ("manifest", "grant"):
            grants[act.statement.id] = act.statement
        elif event == "conditions.accepted":
            grant = grants.get(payload["statement"])
            if grant is not None and grant.payload.get("conditions") == payload["conditions"]:
                accepted.add((payload["statement"], act.statement.authority))
        elif event in _BLOCKED:
            blocked.add(package)
        elif event == "key.released":
            released += 1
            _check_release(chain, act, grants, accepted, blocked)
    return say("detail.releases", count=released) if released else say("detail.no-release")


def _check_release(
    chain: Chain, act: chains.Act, grants: dict[str, Statement], accepted: set[tuple[str, str]], blocked: set[str]
) -> None:
    item, who = act.entry, act.statement.authority
    grant = grants.get(act.statement.payload["detail"]["grant"])
    if grant is None:
        message = "no manifest or grant before it has the id it names"
    elif who not in {row["authority"] for row in grant.payload["recipients"]}:
        message = f"{who} is no recipient"
    elif "conditions" in grant.payload and (grant.id, who) not in accepted:
        message = f"{who} had not accepted the conditions"
    elif item.subject.get("package", "") in blocked:
        message = "the package was withdrawn, restricted, recalled or destroyed before"
    elif grant.kind == "grant" and grant.payload.get("until", item.time) < item.time:
        message = f"the grant ended {grant.payload['until']}"
    else:
        return
    raise Fault(ReleasedEarly(f"key.released at seq {item.seq}: {message}"), chain.place(act.number))


def digests(case: Case) -> str:
    """Parts and size as the service recorded them equal the manifest's, digests the receipts' and later checks'."""
    chain = case.need_exchange()
    uploads: dict[_Item, dict[str, Any]] = {}
    items: dict[_Item, dict[str, Any]] = {}
    manifests: dict[str, tuple[Statement, str]] = {}
    expected: dict[str, str] = {}
    receipts = 0
    said = chains.said(case, chain)
    for number, item in enumerate(chain.entries):
        event, statement = item.event, said[number]
        if event not in _WITH_DIGESTS:
            continue
        try:
            if event == "upload.completed":
                uploads[item.subject["package"], item.subject["item"]] = item.noted
            elif event == "fixity.checked":
                if expected.get(item.subject_text) != item.noted_text:
                    about = item.subject
                    _check_fixity(items.get((about["package"], about["item"])), item.noted)
            elif event == "package.sealed" and statement is not None:
                _check_manifest(statement, uploads, partial=bool(chain.withheld) or not chain.whole)
                package = statement.payload["package"]
                for item_id, row in _items(statement).items():
                    items[package, item_id] = row
                    expected[_spell(item=item_id, package=package)] = _spell(**{name: row[name] for name in _WHOLE})
                manifests[statement.id] = statement, item.hash.hex()
            elif event == "receipt.signed" and statement is not None:
                _check_receipt(statement, manifests)
                receipts += 1
        except CustodyError as error:
            raise Fault(error, chain.place(number)) from error
    _check_parts(case, items)
    return say("detail.digests", items=len(items), receipts=receipts)


def _spell(**members: Any) -> str:
    return canonical.dump(members).decode()


def _check_fixity(item: dict[str, Any] | None, noted: dict[str, Any]) -> None:
    """An item that no manifest named before has nothing to agree with."""
    if item is not None:
        _agree(item, noted, _WHOLE, "fixity check")


def _check_manifest(statement: Statement, uploads: dict[_Item, dict[str, Any]], *, partial: bool) -> None:
    for item_id, item in _items(statement).items():
        recorded = uploads.get((statement.payload["package"], item_id))
        if recorded is not None:
            _agree(item, recorded, _GRID, "upload")
        elif not partial:
            raise DigestsDiffer(f"item {item_id} was sealed and its upload is not recorded")


def _check_receipt(statement: Statement, manifests: dict[str, tuple[Statement, str]]) -> None:
    payload = statement.payload
    if payload["manifest"] not in manifests:
        return
    sealed, sealed_hash = manifests[payload["manifest"]]
    if payload["sealed"] != sealed_hash:
        raise DigestsDiffer(f"receipt names entry {payload['sealed']}, package.sealed is {sealed_hash}")
    if payload["outcome"] != "accepted":
        return
    found = {row["id"]: row for row in payload["items"]}
    wanted = _items(sealed)
    if found.keys() != wanted.keys():
        raise DigestsDiffer(f"receipt lists {len(found)} items, the manifest {len(wanted)}, or others")
    for item_id, item in wanted.items():
        _agree(item, found[item_id], _DIGESTS, "receipt")


def _check_parts(case: Case, items: dict[_Item, dict[str, Any]]) -> None:
    """A list is named by its item alone; of two items of one id, which only a careless sender makes, one must fit."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for (_, item_id), row in items.items():
        rows.setdefault(item_id, []).append(row)
    for item_id, data in case.parts.items():
        named = rows.get(item_id, [])
        if not named:
            message = f"digests of parts of {item_id[:80]!r}, which no manifest here names"
        elif all(len(data) != 32 * manifest.part_count(row["size"], row["part_size"]) for row in named):
            message = f"{len(data)} bytes of part digests for item {item_id}"
        elif all(composite(split(data)).hex() != row["parts"] for row in named):
            message = f"part digests of item {item_id} are not the manifest's"
        else:
            continue
        raise Fault(DigestsDiffer(message), parts_place(case, item_id))


def headers(case: Case) -> str:
    """Each header here is named by a grant, has its digest, size, kind, and as many stanzas as recipients' keys."""
    chain = case.need_exchange()
    named = named_headers(case, chain)
    for name, data in case.headers.items():
        rows = named.get(name)
        try:
            if not rows:
                raise HeaderMismatch(f"header {name[:80]} is named by no manifest or grant here")
            for row in rows:
                _check_header(name, data, row)
        except CustodyError as error:
            path = f"headers/{name}" if f"headers/{name}" in case.bundle else "headers.jsonl"
            raise Fault(error, Place(path)) from error
    missing = named.keys() - case.headers.keys()
    if missing:
        raise NotChecked(say("reason.headers-missing", missing=len(missing), count=len(named)))
    return say("detail.headers", count=len(named))


def _check_header(name: str, data: bytes, row: Named) -> None:
    digest = hashlib.sha256(data).hexdigest()
    if digest != name or len(data) != row.size:
        raise HeaderMismatch(f"header of {len(data)} bytes hashes to {digest}, granted are {row.size} bytes, {name}")
    sealing.check_header(data, kind=row.sealing, count=row.stanzas)


def named_headers(case: Case, chain: Chain) -> dict[str, list[Named]]:
    """Digest of each header that a manifest or grant names → as what."""
    found: dict[str, list[Named]] = {}
    for act in chains.acts(case, chain):
        payload = act.statement.payload
        if act.statement.kind == "manifest":
            rows = [*payload["items"], payload["inventory"]]
        elif act.statement.kind == "grant":
            rows = payload["items"]
        else:
            continue
        count = sum(len(recipient["keys"]) for recipient in payload["recipients"])
        for row in rows:
            header = row["header"]
            named = Named(row["id"], header["size"], payload["sealing"], count)
            found.setdefault(header["sha256"], []).append(named)
    return found


def sealed_items(case: Case, chain: Chain) -> dict[str, dict[str, Any]]:
    """Item id → its member of the manifest, of all manifests here."""
    found: dict[str, dict[str, Any]] = {}
    for act in chains.acts(case, chain):
        if act.statement.kind == "manifest":
            found.update(_items(act.statement))
    return found


def split(parts: bytes) -> list[bytes]:
    """The raw digests of a parts list."""
    return [parts[start : start + 32] for start in range(0, len(parts), 32)]


def parts_place(case: Case, item_id: str) -> Place:
    """Where an item's parts list stands."""
    return Place(f"parts/{item_id}" if f"parts/{item_id}" in case.bundle else "parts.jsonl")


def _whole(case: Case) -> Chain:
    chain = case.need_exchange()
    if not chain.whole or chain.withheld:
        withheld = len(chain.withheld)
        raise NotChecked(say("reason.withheld", count=withheld) if withheld else say("reason.excerpt-chain"))
    return chain


def _items(statement: Statement) -> dict[str, dict[str, Any]]:
    payload = statement.payload
    return {item["id"]: item for item in [*payload["items"], payload["inventory"]]}


def _agree(item: dict[str, Any], other: dict[str, Any], names: tuple[str, ...], what: str) -> None:
    for name in names:
        if item[name] != other[name]:
            raise DigestsDiffer(f"{name} of item {item['id']}: manifest has {item[name]}, {what} {other[name]}")
