"""Grants: letting another authority, a court or the defence open a package without touching its bodies.

The file keys come out of a header we can open, each checked against the manifest's commitment, and go into new headers
for the new recipients' proven keys. One item has one file key, hence one plaintext, whatever headers there are.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256

from custody.sealing import Identity, build_header
from custody.statement import Statement
from custody.text import to_time
from rogatory.connection import Connection
from rogatory.directory import Directory
from rogatory.headers import hand_out, open_headers
from rogatory.lodging import Lodge, Lodged
from rogatory.offers import Offer
from rogatory.send import put_header
from rogatory.statements import Speaker


def grant(
    offer: Offer,
    *,
    to: Sequence[str],
    connection: Connection,
    lodge: Lodge,
    speaker: Speaker,
    directory: Directory,
    identities: Sequence[Identity],
    until: datetime | None = None,
    conditions: Mapping[str, str] | None = None,
) -> tuple[Statement, Lodged]:
    """Re-wrap every item's file key, the inventory's too, for the live keys of other parties of the exchange.

    `to` are parties of the exchange that the trust file pins, `until` is when the grant is meant to end, `conditions`
    are code → text of what they must accept first.

    Raises:
        NotForUs: We cannot open it ourselves.
        NotPinned, RegistryWrong, RegistryStale, NoRecipientKey: A recipient cannot be sealed to.
        KeyCommitmentMismatch: Our own header does not hold the item's key; nothing is granted.
    """
    sealing = offer.manifest.payload["sealing"]
    recipients = directory.recipients(to, kind=sealing)
    keys = [recipient for row in recipients for recipient in row.recipients()]
    opened = open_headers(offer, hand_out(lodge, speaker, offer), identities)
    items = []
    for item, file_key in sorted(opened.keys.items()):
        header = build_header(file_key, keys)
        name = put_header(connection, offer.package, header)
        items.append({"id": item, "header": {"size": len(header), "sha256": name}})
    rows = [
        {"code": code, "text_sha256": sha256(text.encode()).hexdigest()}
        for code, text in sorted((conditions or {}).items())
    ]
    said = speaker.say(
        "grant",
        offer.handle,
        manifest=offer.manifest.id,
        recipients=[row.fields() for row in recipients],
        sealing=sealing,
        items=items,
        until=to_time(until) if until else None,
        conditions=rows or None,
    )
    return said, lodge.lodge(f"/v1/packages/{offer.package}/grants", said, event="grant.added")
