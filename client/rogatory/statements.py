"""Making statements: what every statement of ours has in common, filled in once."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from custody import statement
from custody.checkpoint import Checkpoint
from custody.keys import SigningKey
from custody.statement import Statement
from custody.text import to_time


def utc_now() -> datetime:
    """The machine's clock; the one place of the SDK that reads it."""
    return datetime.now(UTC)


class Speaker:
    """Says things in the name of one principal (or of the authority itself), on one log.

    Args:
        origin: Of the log.
        authority: In whose name.
        principal: 32 hex; None where `key` is the authority's own.
        key: Ed25519.
        seen: The newest checkpoint we verified ourselves; goes into every statement, against split views.
        now: The clock.
    """

    def __init__(
        self,
        *,
        origin: str,
        authority: str,
        principal: str | None,
        key: SigningKey,
        seen: Callable[[], Checkpoint | None] = lambda: None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.origin, self.authority, self.principal = origin, authority, principal
        self._key, self._seen, self._now = key, seen, now

    def say(self, kind: str, chain: str, **members: Any) -> Statement:
        """A signed statement of a kind in a chain (its handle); members that are None are left out.

        Raises:
            SchemaMismatch: The members are not those of the kind.
        """
        signer = {"authority": self.authority}
        if self.principal:
            signer["principal"] = self.principal
        payload: dict[str, Any] = {
            "v": 1,
            "kind": kind,
            "log": self.origin,
            "chain": chain,
            "time": to_time(self._now()),
            "signer": signer,
            "nonce": secrets.token_hex(16),
        }
        seen = self._seen()
        if seen is not None and seen.size:
            payload["seen"] = {"size": seen.size, "root": seen.root.hex()}
        payload |= {name: value for name, value in members.items() if value is not None}
        return statement.sign(payload, [self._key])

    def act(self, event: str, chain: str, **members: Any) -> Statement:
        """A signed act: `subject`, `detail`, `purpose`, `legal` as its event wants them."""
        return self.say("act", chain, event=event, **members)
