"""Headers: handed out by the service against our signed act, each checked before its file key is used."""

from base64 import b64decode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from custody.sealing import Identity, check_commitment, check_header, unwrap
from rogatory.connection import AnswerMalformed
from rogatory.errors import Tampered
from rogatory.lodging import Lodge
from rogatory.offers import NotForUs, Offer
from rogatory.statements import Speaker


class HeaderWrong(Tampered):
    """A header is not the one that was granted."""

    code = "header-wrong"


@dataclass(frozen=True)
class Opened:
    """The headers of a package and the file keys in them; `repr` shows neither.

    Attributes:
        headers: Item id → exact bytes, digest as granted.
        keys: Item id → file key, which matches the manifest's commitment.
    """

    headers: Mapping[str, bytes] = field(repr=False)
    keys: Mapping[str, bytes] = field(repr=False)


def hand_out(lodge: Lodge, speaker: Speaker, offer: Offer) -> dict[str, bytes]:
    """Ask for the headers by a signed act; key.released stands in the log before they leave.

    Raises:
        NotForUs: No key at hand fits.
        ServiceRefusal: The package demands something first.
    """
    release = offer.release
    if release is None:
        raise NotForUs(
            f"package {offer.package} is not sealed to any key at hand",
            hint="is the authority's encryption identity in the profile's keys?" if offer.names_us else None,
        )
    said = speaker.act("key.released", offer.handle, subject={"package": offer.package}, detail={"grant": release.id})
    lodged = lodge.lodge(f"/v1/packages/{offer.package}/release", said, event="key.released")
    try:
        rows = lodged.answer["headers"]
        return {row["item"]: b64decode(row["header"], validate=True) for row in rows}
    except (TypeError, KeyError, ValueError) as error:
        raise AnswerMalformed("the service hands out headers in another shape than its interface says") from error


def open_headers(
    offer: Offer, headers: Mapping[str, bytes], identities: Sequence[Identity], *, only: Collection[str] | None = None
) -> Opened:
    """The file key of every item, or `only` of these.

    Raises:
        HeaderWrong: A header is missing or not the one granted.
        HeaderRefused: It has other stanzas than the grant names keys: a covert recipient.
        NoMatchingIdentity, HeaderMacMismatch: It does not open.
        KeyCommitmentMismatch: Its key is not the one the manifest fixed: it would show another plaintext.
    """
    release = offer.release
    assert release is not None
    payload = release.payload
    rows = [*payload["items"], *([payload["inventory"]] if "inventory" in payload else [])]
    granted = {row["id"]: row["header"]["sha256"] for row in rows}
    count = sum(len(row["keys"]) for row in payload["recipients"])
    keys = {}
    for item, member in offer.items.items():
        if only is not None and item not in only:
            continue
        header = headers.get(item, b"")
        if sha256(header).hexdigest() != granted.get(item):
            raise HeaderWrong(f"the header of item {item} is not the one that was granted")
        check_header(header, kind=payload["sealing"], count=count)
        keys[item] = unwrap(header, identities)
        check_commitment(keys[item], bytes.fromhex(item), bytes.fromhex(member["key_commitment"]))
    return Opened(dict(headers), keys)
