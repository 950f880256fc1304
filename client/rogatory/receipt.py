"""The receipt: the receiver's signed word on what it found, accepted or rejected."""

from rogatory.errors import Refused
from rogatory.lodging import Lodge, Lodged
from rogatory.offers import Offer
from rogatory.receive import Received
from rogatory.statements import Speaker


class NothingToAccept(Refused):
    """A package can be accepted only after every item was received and agrees."""

    code = "nothing-to-accept"


def accept(lodge: Lodge, speaker: Speaker, received: Received) -> Lodged:
    """Sign that every item is what the manifest says.

    Raises:
        NothingToAccept: The receive was not finished, or a digest does not agree.
    """
    if not received.complete or not all(item.agrees for item in received.items):
        raise NothingToAccept(
            f"package {received.package} was not received whole and in agreement with its manifest",
            hint="receive it to the end, or reject it with a reason",
        )
    return _sign(lodge, speaker, received, outcome="accepted", reason=None)


def reject(lodge: Lodge, speaker: Speaker, received: Received, *, reason: str) -> Lodged:
    """Sign that the package is refused, and why: `digest_mismatch`, `cannot_open`, `wrong_recipient` and the like."""
    return _sign(lodge, speaker, received, outcome="rejected", reason=reason)


def unopened(offer: Offer) -> Received:
    """The ground of a rejection of what was never fetched or could not be opened: no digests at all."""
    return Received(offer.package, offer.handle, offer.manifest.id, offer.sealed, (), complete=False)


def _sign(lodge: Lodge, speaker: Speaker, received: Received, *, outcome: str, reason: str | None) -> Lodged:
    items = [
        {"id": item.id, "sha256": item.sha256, "blake3": item.blake3, "plaintext": item.plaintext}
        for item in sorted(received.items, key=lambda item: item.id)
    ]
    said = speaker.say(
        "receipt",
        received.chain,
        manifest=received.manifest,
        sealed=received.sealed,
        outcome=outcome,
        reason=reason,
        items=items,
    )
    return lodge.lodge(f"/v1/packages/{received.package}/receipt", said, event="receipt.signed")
