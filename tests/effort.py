"""How hard to try: the same tests run at small, fixed sizes in `make test` and as long as they are given in `make deep`.

A test that scales is marked `deep` and takes the fixture `effort`. In `make test` its turns are those it calls usual.
In `make deep DEEP_MINUTES=…` it goes on to its full size, or until its share of the time is over; the run's summary says how
far each came. What cannot be had in a small share asks for more: `deep(weight=4)` is four shares.
Whatever it draws comes from `effort.random`, so one number, printed at the head of a run and with every failure, makes it again.
"""

import os
import secrets
import sys
import time
from collections.abc import Iterator
from random import Random

MINUTES = float(os.environ.get("DEEP_MINUTES", "0"))
SEED = int(os.environ.get("DEEP_SEED", "0")) or secrets.randbits(32)
os.environ["DEEP_SEED"] = str(SEED)  # whoever runs tests for this process draws the same


class Effort:
    """What one test may spend, and where its randomness comes from.

    Attributes:
        told: What the run's summary says of this test.
    """

    def __init__(self, name: str, seconds: float) -> None:
        self.name, self.seed = name, SEED
        self.random = Random(f"{SEED} {name}")
        self.told: list[str] = []
        self._end = time.monotonic() + seconds
        sys.stderr.write(f"{name}: seed {SEED}\n")  # shown with a failure

    @property
    def deep(self) -> bool:
        """Whether this is `make deep`."""
        return MINUTES > 0

    def tell(self, text: str) -> None:
        """Say something in the run's summary."""
        self.told.append(text)

    def size(self, usual: int, full: int, each_s: float = 0.0) -> int:
        """A size to be had at once: the usual one, in `make deep` the full one or what most of the time left is enough for.

        Args:
            each_s: Seconds that one takes, as measured just now.
        """
        enough = int(0.8 * (self._end - time.monotonic()) / each_s) if each_s > 0 else full
        found = max(usual, min(full, enough)) if self.deep else usual
        self._came(f"size {found} of {full}")
        return found

    def turns(self, usual: int, full: int) -> Iterator[int]:
        """Count turns: `usual` of them, in `make deep` up to `full` while there is time for one more, never less than usual."""
        wanted = full if self.deep else usual
        done, longest, began = 0, 0.0, time.monotonic()
        try:
            while done < wanted and (done < usual or began + longest < self._end):
                yield done
                done, ended = done + 1, time.monotonic()
                longest, began = max(longest, ended - began), ended
        finally:
            self._came(f"{done} of {full} turns")

    def _came(self, text: str) -> None:
        if self.deep:
            self.tell(text)
