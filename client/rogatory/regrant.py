"""Grants to ourselves, so that what an older encryption key opens is opened by the one that followed it.

Every manifest and grant that names an older key of ours gets a grant beside it that names the new one: the same items,
each with a new header for the same file key, which matches the manifest's commitment; the same conditions, the same
end. What has one already is left alone, so a run that was interrupted is simply run again. No body is touched.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from custody.keys import KeyRecord
from custody.sealing import Identity
from custody.statement import Statement
from custody.text import from_time
from rogatory.connection import Connection
from rogatory.directory import RecipientKeys
from rogatory.errors import ServiceRefusal
from rogatory.grants import write_grant
from rogatory.headers import hand_out, open_headers
from rogatory.lodging import Lodge
from rogatory.offers import Offer
from rogatory.statements import Speaker

_NOT_NOW = "state-conflict"


@dataclass(frozen=True)
class Due:
    """A manifest or grant that names an older key of ours and has no counterpart for the new one.

    Attributes:
        offer: With the manifest or grant as its `release`.
        items: Ids of the items it lets us open.
        ended: Whether its time is over, so that nothing can be handed out under it any more.
    """

    offer: Offer
    items: frozenset[str]
    ended: bool

    @property
    def source(self) -> Statement:
        """The manifest or grant."""
        assert self.offer.release is not None
        return self.offer.release


def due(offers: Sequence[Offer], *, older: frozenset[str], new: str, at: datetime) -> Iterator[Due]:
    """What of one package still hangs on older keys.

    Args:
        offers: Every manifest and grant of the package that names us.
        older: Ids of our keys that are to be replaced.
        new: Id of the key that replaces them.
        at: Now.
    """
    there = [(_terms(row.release), _items(row)) for row in offers if row.release and new in _keys(row.release)]
    for offer in offers:
        source = offer.release
        if source is None or not _keys(source) & older or new in _keys(source):
            continue
        items, terms = _items(offer), _terms(source)
        if not any(terms == known and items <= held for known, held in there):
            until = source.payload.get("until")
            yield Due(offer, items, ended=until is not None and from_time(until) <= at)
            there.append((terms, items))


def regrant(
    row: Due,
    key: KeyRecord,
    *,
    connection: Connection,
    lodge: Lodge,
    speaker: Speaker,
    identities: Sequence[Identity],
) -> str:
    """Write the counterpart of one manifest or grant for a new key of our authority.

    Args:
        row: What is due.
        key: The new encryption key, live in our registry.
        connection: To the service.
        lodge: Where the grant goes.
        speaker: A receiver of our authority.
        identities: The older identities.

    Returns:
        Why it could not be, as the service told it; empty if it was done.

    Raises:
        HeaderWrong, KeyCommitmentMismatch, CustodyError: What we were handed does not open as it must; nothing is
            granted.
        ServiceRefusal: For another reason than how things stand with this package.
    """
    if row.ended:
        return "the grant has ended"
    try:
        headers = hand_out(lodge, speaker, row.offer)
    except ServiceRefusal as error:
        if error.code != _NOT_NOW:
            raise
        return str(error)
    opened = open_headers(row.offer, headers, identities, only=row.items)
    payload = row.source.payload
    terms = {"until": payload.get("until"), "conditions": payload.get("conditions")}
    recipients = [RecipientKeys(speaker.authority, (key,))]
    write_grant(row.offer, opened, recipients, connection=connection, lodge=lodge, speaker=speaker, terms=terms)
    return ""


def _keys(said: Statement) -> set[str]:
    return {key for row in said.payload["recipients"] for key in row["keys"]}


def _items(offer: Offer) -> frozenset[str]:
    assert offer.release is not None
    payload = offer.release.payload
    inventory = [payload["inventory"]] if "inventory" in payload else []
    return frozenset(str(item["id"]) for item in [*payload["items"], *inventory])


def _terms(said: Statement) -> tuple[object, object]:
    return said.payload.get("until"), said.payload.get("conditions")
