"""Several requests at once: a few threads, each with a buffer for what it carries, and one line of work for all.

Work begins in the order it was given. Whoever gives it fills a buffer first and waits while all are on their way, so
memory does not grow with what is to be sent. The first failure ends all: it is raised where the next buffer is asked
for, and at the end.
"""

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from rogatory.tus import PIECE, Halted, Pace

T = TypeVar("T")
_LOOK = 0.2
_FAREWELL = 3.0


class Job(Generic[T]):
    """Work that is given to a lane, and what came of it."""

    def __init__(self, work: Callable[[], T], failed: Callable[[BaseException], None] = lambda _: None) -> None:
        self._work, self._failed = work, failed
        self._over = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None

    @classmethod
    def done(cls, result: T) -> "Job[T]":
        """Nothing is left to do."""
        job = cls(lambda: result)
        job.run()
        return job

    def run(self) -> None:
        """Do it, and keep what came of it."""
        try:
            self._result.append(self._work())
        except BaseException as error:  # noqa: BLE001 - raised again where the result is asked for
            self._error = error
            self._failed(error)
        self._over.set()

    def result(self) -> T:
        """What came of it, once it is over.

        Raises:
            BaseException: What it ended with.
        """
        while not self._over.wait(_LOOK):  # in steps, so that an interrupt is heeded
            pass
        if self._error is not None:
            raise self._error
        return self._result[0]


class Lanes:
    """Threads that work side by side, until the context is left.

    Args:
        count: How many.
        pace: Of all; it is halted when the context is left early, and ends whatever is under way.
    """

    def __init__(self, count: int, pace: Pace) -> None:
        self.count, self._pace = max(1, count), pace
        self._work: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._free: queue.SimpleQueue[bytearray | None] = queue.SimpleQueue()
        for _ in range(max(2, self.count)):
            self._free.put(None)
        self._threads: list[threading.Thread] = []
        self._failed: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._pace.halted.set()
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:  # daemons: what hangs in the network does not keep an interrupted command
            thread.join(_FAREWELL if kind is not None else None)
        if isinstance(error, Halted):
            self.check()  # it is only the echo of what has failed elsewhere

    def buffer(self) -> bytearray:
        """A free buffer of PIECE bytes, as soon as there is one.

        Raises:
            BaseException: What some work has failed with.
        """
        while True:
            self.check()
            try:
                return self._free.get(timeout=_LOOK) or bytearray(PIECE)
            except queue.Empty:
                continue

    def release(self, buffer: bytearray) -> None:
        """Give a buffer back."""
        self._free.put(buffer)

    def check(self) -> None:
        """Return only if nothing has failed.

        Raises:
            BaseException: What some work has failed with.
        """
        if self._failed is not None:
            raise self._failed

    def give(self, work: Callable[[], T]) -> Job[T]:
        """Have work done when its turn comes; work that waits for earlier work comes to it in the end."""
        job = Job(work, self._fail)
        self._work.put(job)
        if len(self._threads) < self.count:
            thread = threading.Thread(target=self._run, name="rogatory-lane", daemon=True)
            self._threads.append(thread)
            thread.start()
        return job

    def _run(self) -> None:
        while (job := self._work.get()) is not None:
            job.run()

    def _fail(self, error: BaseException) -> None:
        if self._failed is None and not isinstance(error, Halted):
            self._failed = error
            self._pace.halted.set()
