"""How much of the service one authority or one stranger may take: requests, bytes, and requests under way.

Kept in the memory of this process, and so forgotten when it ends and not shared with another one: the limits guard a
process against being taken up by one party, they are no accounts. An authority is limited as a whole, whichever of
its principals asks. Whoever shows no valid token is a stranger, and limited by the address it comes from: an IPv6
network of 64 bits counts as one.
"""

import ipaddress
import math
import time
from collections.abc import Callable
from threading import Lock
from typing import Final

from app.errors import Overloaded
from app.settings import Settings

MOST_KEYS: Final = 10_000
"""Buckets remembered; with more, those that are full again go first, then those not asked for longest."""

LONGEST_PAUSE: Final = 1.0
"""Seconds that one piece of a body is held back at most; the next one pays the rest."""

STRANGERS_BODIES: Final = 8 * 1024 * 1024
BODIES: Final = 128 * 1024 * 1024
"""Bytes of bodies that are held as a whole, of all requests at once: of those without, and of those with a token."""

_MINUTE: Final = 60.0


class TooMany(Overloaded):
    """More requests than one authority or address may send.

    Attributes:
        retry_after: Seconds until there is room for another one.
    """

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message, hint="send less at once, or ask the operator for more")
        self.retry_after = max(1, math.ceil(seconds))


class Buckets:
    """For each key a minute's worth, which comes back evenly.

    Args:
        per_minute: What comes back in a minute, and the most that is there at once; 0 sets no limit.
        clock: Seconds, never going back.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._rate, self._clock = per_minute, per_minute / _MINUTE, clock
        self._levels: dict[str, tuple[float, float]] = {}
        self._guard = Lock()

    def take(self, key: str, cost: float = 1) -> float:
        """Take that much if it is there: 0, or the seconds until it will be. Nothing is taken then."""
        with self._guard:
            left = self._left(key) - cost
            if not self._most or left >= 0:
                self._keep(key, left)
                return 0.0
            return -left / self._rate

    def charge(self, key: str, cost: float) -> float:
        """Take that much whether or not it is there: the seconds until the debt is paid."""
        if not self._most:
            return 0.0
        with self._guard:
            left = self._left(key) - cost
            self._keep(key, left)
            return max(0.0, -left / self._rate)

    def __len__(self) -> int:
        return len(self._levels)

    def _left(self, key: str) -> float:
        level, at = self._levels.get(key, (self._most, 0.0))
        return min(self._most, level + (self._clock() - at) * self._rate)

    def _keep(self, key: str, level: float) -> None:
        if not self._most:
            return
        self._levels.pop(key, None)
        self._levels[key] = (level, self._clock())
        if len(self._levels) > MOST_KEYS:
            kept = [each for each in self._levels.items() if self._left(each[0]) < self._most]
            self._levels = dict(kept[-MOST_KEYS // 2 :])


class Held:
    """Bytes that are held at once, up to a bound."""

    def __init__(self, most: int) -> None:
        self._most, self._now = most, 0

    def take(self, size: int) -> bool:
        """Hold that many more, if there is room."""
        if self._now + size > self._most:
            return False
        self._now += size
        return True

    def give_back(self, size: int) -> None:
        """Hold that many no longer."""
        self._now -= size


class Limits:
    """The limits of one running service."""

    def __init__(self, settings: Settings) -> None:
        self._requests = Buckets(settings.authority_requests)
        self._bytes = Buckets(settings.authority_bytes)
        self._strangers = Buckets(settings.stranger_requests)
        self._at_once = settings.authority_at_once
        self._busy: dict[str, int] = {}
        self._guard = Lock()
        self.strangers_bodies, self.bodies = Held(STRANGERS_BODIES), Held(BODIES)

    def enter(self, authority: str) -> None:
        """Begin a request of an authority; `leave` ends it.

        Raises:
            TooMany: It has too many under way, or sent too many; none was begun.
        """
        with self._guard:
            busy = self._busy.get(authority, 0)
            if busy >= self._at_once:
                raise TooMany(f"{busy} requests of your authority are under way, expected at most that", seconds=1)
            wait = self._requests.take(authority)
            if wait:
                raise TooMany("more requests than your authority may send in a minute", seconds=wait)
            self._busy[authority] = busy + 1

    def leave(self, authority: str) -> None:
        """End a request that was begun."""
        with self._guard:
            left = self._busy.pop(authority) - 1
            if left:
                self._busy[authority] = left

    def pause(self, authority: str, size: int) -> float:
        """Count bytes of an authority, in or out: the seconds for which the next ones are to be held back."""
        return min(LONGEST_PAUSE, self._bytes.charge(authority, size))

    def stranger(self, address: str) -> float:
        """Count a request without a token: 0, or the seconds after which the address may send another."""
        return self._strangers.take(_network(address))

    def debt(self, address: str) -> float:
        """The seconds after which an address may send more; 0 while it may."""
        return self._strangers.charge(_network(address), 0)

    def was_stranger(self, address: str) -> None:
        """Count a request whose token did not hold, as was found out in the end."""
        self._strangers.charge(_network(address), 1)


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
