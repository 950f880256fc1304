"""What a check of the service's own state has found, told as it is found."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy.exc import DBAPIError, OperationalError

from custody.errors import CustodyError
from custody.text import to_time

_LONGEST: Final = 200


@dataclass(frozen=True)
class Finding:
    """One thing that does not add up.

    Attributes:
        what: Table and column, or the kind of thing.
        where: Which row, entry, leaf or object.
        expected: What the rest of the state demands.
        found: What is there.
    """

    what: str
    where: str
    expected: str
    found: str


class Findings:
    """Takes findings and keeps none of them; `count` says how many there were."""

    def __init__(self, tell: Callable[[Finding], None]) -> None:
        self._tell = tell
        self.count = 0

    def add(self, what: str, where: str, expected: object, found: object) -> None:
        """Tell that something does not add up."""
        self.count += 1
        self._tell(Finding(what, where, spelt(expected), spelt(found)))

    def expect(self, what: str, where: str, expected: object, found: object) -> bool:
        """Tell it unless the two are equal; whether they are."""
        if expected == found:
            return True
        self.add(what, where, expected, found)
        return False

    @contextmanager
    def guarded(self, what: str, where: str) -> Iterator[None]:
        """What cannot be read inside is a finding, and ends what is inside; a database that is down is none."""
        try:
            yield
        except OperationalError:
            raise
        except (CustodyError, LookupError, ValueError, TypeError, DBAPIError) as error:
            self.add(what, where, "something that can be read and holds", f"{type(error).__name__}: {error}")


def spelt(value: object) -> str:
    """A value as it is shown: bytes in hex, times as everywhere, nothing endless."""
    text: Any = value
    if value is None:
        text = "nothing"
    elif isinstance(value, bytes):
        text = value.hex()
    elif isinstance(value, datetime):
        text = to_time(value)
    text = str(text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
