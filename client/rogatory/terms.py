"""What a sender lays down, is told on the way, and gets back: plain values around a send."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from custody.kinds import CONDITIONS, LEGAL
from custody.schema import CODE, ID
from custody.statement import Statement
from custody.text import to_time
from rogatory.directory import RecipientKeys
from rogatory.exchanges import Exchange
from rogatory.lodging import Lodged


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What the sender lays down.

    Attributes:
        handling: Handling code.
        retain_until: How long bodies stay locked; aware.
        conditions: Code → text of each condition the receiver must accept; the service sees its digest only.
        legal: `{instrument, article?, reference_sha256?}`.
        request: Id of the request that is answered.
    """

    retain_until: datetime
    handling: str = "evidence"
    conditions: Mapping[str, str] = field(default_factory=dict)
    legal: Mapping[str, str] | None = None
    request: str | None = None

    def members(self) -> dict[str, Any]:
        """The manifest's members for them.

        Raises:
            SchemaMismatch: One of them is not of its shape; better now than after hours of uploading.
        """
        conditions = [
            {"code": code, "text_sha256": sha256(text.encode()).hexdigest()}
            for code, text in sorted(self.conditions.items())
        ]
        CODE.check(self.handling)
        if conditions:
            CONDITIONS.check(conditions)
        if self.legal:
            LEGAL.check(dict(self.legal))
        if self.request:
            ID.check(self.request)
        return {
            "handling": self.handling,
            "retain_until": to_time(self.retain_until),
            "conditions": conditions or None,
            "legal": dict(self.legal) if self.legal else None,
            "request": self.request,
        }


@dataclass(frozen=True)
class Progress:
    """How far a send is: bytes of the present item's body that have left, of how many.

    `item` counts from 0 to `items` - 1; -1 is the inventory, which goes last.
    """

    name: str
    item: int
    items: int
    done: int
    size: int


@dataclass(frozen=True)
class PlannedItem:
    """An item as it would be sent: its name, bytes of plaintext and of body."""

    name: str
    plain_size: int
    size: int
    part_size: int


@dataclass(frozen=True)
class Plan:
    """What a send would do; nothing has left."""

    exchange: Exchange
    items: tuple[PlannedItem, ...]
    recipients: tuple[RecipientKeys, ...]


@dataclass(frozen=True)
class Sent:
    """A sealed package.

    Attributes:
        package: Id.
        manifest: The signed manifest.
        lodged: Its record, checked and kept.
    """

    package: str
    manifest: Statement
    lodged: Lodged
