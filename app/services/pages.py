"""Pages of long lists: a cursor names the last row seen, so that rows that come meanwhile move nothing."""

import base64
import binascii
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, or_
from sqlalchemy.orm import InstrumentedAttribute

from app.errors import BadRequest
from custody.errors import CustodyError
from custody.text import from_hex, from_time, to_time


def cursor(at: datetime, row_id: str) -> str:
    """An opaque name for a place in a list ordered by time, newest first."""
    return base64.urlsafe_b64encode(f"{to_time(at)} {row_id}".encode()).decode().rstrip("=")


def after(
    query: Select[Any], at: InstrumentedAttribute[datetime], row_id: InstrumentedAttribute[str], place: str | None
) -> Select[Any]:
    """The query from a place on, newest first.

    Raises:
        BadRequest: No cursor of ours.
    """
    if place is not None:
        time, last = _read(place)
        query = query.where(or_(at < time, and_(at == time, row_id < last)))
    return query.order_by(at.desc(), row_id.desc())


def _read(place: str) -> tuple[datetime, str]:
    try:
        text = base64.urlsafe_b64decode(place + "=" * (-len(place) % 4)).decode("ascii")
        time, _, row_id = text.partition(" ")
        return from_time(time), from_hex(row_id, 16).hex()
    except (binascii.Error, ValueError, CustodyError) as error:
        raise BadRequest("the cursor is none of this list's, expected one from an answer") from error
