"""Having the log's checkpoints stamped by somebody who has nothing to do with it: what is due, and what is kept.

Kept is only what a reader with the right root would count: a stamp of the bytes that were sent, in answer to the query
that was sent, from now, by a certificate whose path leads to a root. Specification: docs/spec/timestamps.md.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from app.db import cosignatures, stamps
from app.db.guard import guard
from app.db.log_models import StampRow, ValidationRow
from app.errors import BadInput
from app.services import witnessing
from app.services.runtime import Runtime
from custody.errors import FormatError
from custody.timestamp import Reply, TimestampInvalid, Validation
from custody.trust import TimestampAuthority

TOLERANCE: Final = timedelta(seconds=60)
"""How far an authority's clock may be from ours, besides the time that the answer took."""


@dataclass(frozen=True)
class Due:
    """A checkpoint that an authority is to stamp: its size, and its exact bytes."""

    size: int
    note: bytes


@dataclass(frozen=True)
class Newest:
    """The newest stamp: what it covers, when, and how many leaves are published by now."""

    size: int
    at: datetime
    published: int


def wait(runtime: Runtime, tsa: str) -> timedelta:
    """How long until an authority is asked again; nothing if it is its turn."""
    with runtime.reading() as session:
        before = stamps.newest(session, tsa)
    if before is None:
        return timedelta(0)
    return max(before.at + runtime.settings.stamp_interval - runtime.now(), timedelta(0))


def due(runtime: Runtime, tsa: str) -> Due | None:
    """The newest cosigned checkpoint, or where nobody cosigns the newest; None if this authority has stamped it.

    Nothing of a log is stamped of which it is not sure that it is the newest.
    """
    if guard(runtime.engine).why:
        return None
    no_witness = runtime.witnesses.policy.is_none
    size = witnessing.published_size(runtime) if no_witness else witnessing.newest_cosigned(runtime)
    with runtime.reading() as session:
        before = stamps.newest(session, tsa)
        if not size or (before is not None and before.size >= size):
            return None
        return Due(size, stamps.note_of(session, size) or cosignatures.cosigned_note(session, size))


def newest(runtime: Runtime) -> Newest | None:
    """The newest stamp of all."""
    with runtime.reading() as session:
        row = stamps.newest(session)
        return Newest(row.size, row.at, cosignatures.newest_size(session)) if row is not None else None


def keep(runtime: Runtime, tsa: str, asked: Due, nonce: int, data: bytes, *, sent: datetime) -> Reply:
    """Store what an authority has answered, if a reader could count it.

    Args:
        runtime: The service.
        tsa: The authority's address.
        asked: What it was asked to stamp.
        nonce: Of the query.
        data: Its answer.
        sent: When the query was sent.

    Raises:
        TimestampMalformed: No stamp.
        TimestampInvalid: Of other bytes, in answer to another query, from another time, or with a wrong signature.
        TimestampStranger: It leads to no root.
        BadInput: Another process had another note of this size stamped; ask again.
    """
    reply = Reply(data)
    judge(reply, asked.note, roots(runtime) or brought(reply))
    if reply.nonce != nonce:
        raise TimestampInvalid("the stamp answers another query")
    if not sent - TOLERANCE <= reply.at <= runtime.now() + TOLERANCE:
        raise TimestampInvalid(f"the stamp bears {reply.at:%Y-%m-%d %H:%M:%S}Z, it was asked at {sent:%H:%M:%S}Z")
    with runtime.unit_of_work() as uow:
        if (stamps.note_of(uow.session, asked.size) or asked.note) != asked.note:
            raise BadInput(f"the checkpoint of {asked.size} leaves was stamped with other cosignatures meanwhile")
        row = StampRow(size=asked.size, tsa=tsa, at=reply.at, note=asked.note, reply=data)
        stamps.keep(uow.session, row)
        uow.commit()
    return reply


def judge(reply: Reply, note: bytes, known: tuple[bytes, ...]) -> None:
    """Hold a stamp to roots, its policy excepted: that is for the reader to judge.

    Raises:
        TimestampMalformed, TimestampInvalid, TimestampStranger: As for `Reply.judge`.
    """
    reply.judge(note, [TimestampAuthority("the authority", known, (reply.policy,))], Validation())


def brought(reply: Reply) -> tuple[bytes, ...]:
    """The roots that came along with a reply, DER; nobody vouches for them."""
    return tuple(each.public_bytes(Encoding.DER) for each in reply.certificates if each.subject == each.issuer)


def roots(runtime: Runtime) -> tuple[bytes, ...]:
    """The roots of the settings' file, DER; none if there is no such file named.

    Raises:
        BadInput: It cannot be read.
    """
    path = runtime.settings.tsa_roots
    if path is None:
        return ()
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} holds no root certificates: {error}") from error
    return tuple(each.public_bytes(Encoding.DER) for each in found)


def keep_list(runtime: Runtime, tsa: str, reply: Reply, data: bytes, *, source: str) -> bool:
    """Store a revocation list, if one of the chain signed it and it is the newest from there; whether it was new.

    Raises:
        TimestampMalformed: It is none.
        TimestampInvalid: Nobody of this chain signed it, it is of another time, or older than what we have.
    """
    listed = _list(data)
    made, until, now = listed.last_update_utc, listed.next_update_utc, runtime.now()
    pool = [*reply.certificates, *map(x509.load_der_x509_certificate, roots(runtime))]
    if not any(listed.issuer == each.subject and _is_signed(listed, each) for each in pool):
        raise TimestampInvalid("nobody of the authority's chain signed this revocation list")
    if made > now + TOLERANCE or (until is not None and until < now):
        raise TimestampInvalid(f"a revocation list made at {made:%Y-%m-%d %H:%M}Z is not of now")
    with runtime.unit_of_work() as uow:
        before = stamps.newest_list(uow.session, tsa, source)
        if before is not None and before.at > made:
            raise TimestampInvalid(f"a revocation list of {made:%Y-%m-%d}, we have one of {before.at:%Y-%m-%d}")
        new = stamps.keep_list(uow.session, ValidationRow(tsa=tsa, source=source, at=made, data=data))
        uow.commit()
    return new


def _list(data: bytes) -> x509.CertificateRevocationList:
    try:
        [listed] = Validation.parse([data]).lists
    except FormatError:
        raise
    except ValueError as error:
        raise TimestampInvalid("a certificate where a revocation list was expected") from error
    return listed


def _is_signed(listed: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return listed.is_signature_valid(issuer.public_key())  # type: ignore[arg-type] # another type is no signer
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False
