"""How hard to try: the same tests run at small, fixed sizes in `make test` and as long as they are given in `make deep`.

A test that scales is marked `deep` and takes the fixture `effort`. In `make test` its turns are those it calls usual.
In `make deep DEEP_MINUTES=…` it goes on to its full size, or until its share of the time is over, and says how far it came.
Whatever it draws comes from `effort.random`, so one number, printed with every failure, makes a run again.
"""

import os
import secrets
import sys
import time
from collections.abc import Iterator
from random import Random

MINUTES = float(os.environ.get("DEEP_MINUTES", "0"))
SEED = int(os.environ.get("DEEP_SEED", "0")) or secrets.randbits(32)


class Effort:
    """What one test may spend, and where its randomness comes from."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name, self.seed = name, SEED
        self.random = Random(f"{SEED} {name}")
        self._end = time.monotonic() + seconds

    @property
    def deep(self) -> bool:
        """Whether this is `make deep`."""
        return MINUTES > 0

    def size(self, usual: int, full: int) -> int:
        """A size that cannot be cut short: the usual one, in `make deep` the full one."""
        return full if self.deep else usual

    def turns(self, usual: int, full: int) -> Iterator[int]:
        """Count turns: `usual` of them, in `make deep` up to `full` while there is time, but never less than usual."""
        wanted = full if self.deep else usual
        done = 0
        while done < wanted and (done < usual or time.monotonic() < self._end):
            yield done
            done += 1
        sys.stderr.write(f"{self.name}: {done} turns, seed {self.seed}\n")
