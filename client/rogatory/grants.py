"""Grants: letting another authority, a court or the defence open a package without touching its bodies.

The file keys come out of a header we can open, each checked against the manifest's commitment, and go into new headers
for the new recipients' proven keys. One item has one file key, hence one plaintext, whatever headers there are.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from custody.sealing import Identity, build_header
from custody.statement import Statement
from custody.text import to_time
from rogatory.connection import Connection
from rogatory.directory import Directory, RecipientKeys
from rogatory.headers import Opened, hand_out, open_headers
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
    recipients = directory.recipients(to, kind=offer.manifest.payload["sealing"])
    opened = open_headers(offer, hand_out(lodge, speaker, offer), identities)
    rows = [
        {"code": code, "text_sha256": sha256(text.encode()).hexdigest()}
        for code, text in sorted((conditions or {}).items())
    ]
    return write_grant(
        offer,
        opened,
        recipients,
        connection=connection,
        lodge=lodge,
        speaker=speaker,
        terms={"until": to_time(until) if until else None, "conditions": rows or None},
    )


def write_grant(
    offer: Offer,
    opened: Opened,
    recipients: Sequence[RecipientKeys],
    *,
    connection: Connection,
    lodge: Lodge,
    speaker: Speaker,
    terms: Mapping[str, Any],
) -> tuple[Statement, Lodged]:
    """Put a header of every opened item for these keys, and sign the grant that names them.

    Args:
        offer: The package.
        opened: File keys that match the manifest's commitments.
        recipients: Proven keys, all of the manifest's kind.
        connection: To the service.
        lodge: Where the grant goes.
        speaker: Who grants.
        terms: `until` and `conditions` as a grant spells them, or None.
    """
    sealing = offer.manifest.payload["sealing"]
    keys = [recipient for row in recipients for recipient in row.recipients()]
    items = []
    for item, file_key in sorted(opened.keys.items()):
        header = build_header(file_key, keys)
        name = put_header(connection, offer.package, header)
        items.append({"id": item, "header": {"size": len(header), "sha256": name}})
    said = speaker.say(
        "grant",
        offer.handle,
        manifest=offer.manifest.id,
        recipients=[row.fields() for row in recipients],
        sealing=sealing,
        items=items,
        until=terms.get("until"),
        conditions=terms.get("conditions"),
    )
    return said, lodge.lodge(f"/v1/packages/{offer.package}/grants", said, event="grant.added")
