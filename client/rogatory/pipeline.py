"""Work side by side: reading, sealing and sending one item at once, in bounded memory.

Each stage is a generator; `ahead` runs one in a thread of its own, a bounded number of values in front of its consumer.
An error in a stage is raised in the consumer; a consumer that stops early ends the stages before it.
"""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from custody.digest import Digests, GridDigester
from custody.sealing import CHUNK, BodySealer, body_size
from rogatory.names import shown
from rogatory.resume import WINDOW, ItemState, SendState
from rogatory.source import Source, SourceChanged

T = TypeVar("T")
_LOOK = 0.2
_CHUNKS = WINDOW // CHUNK


@dataclass(frozen=True)
class _Failed:
    error: BaseException


class _Ended:
    pass


def ahead(stage: Iterator[T], depth: int = 1) -> Iterator[T]:
    """The values of a stage, made in another thread: at most `depth` of them are waiting or being made."""
    waiting: queue.SimpleQueue[T | _Failed | _Ended] = queue.SimpleQueue()
    room, stop = threading.Semaphore(depth), threading.Event()

    def claimed() -> bool:
        while not stop.is_set():
            if room.acquire(timeout=_LOOK):
                return True
        return False

    def run() -> None:
        try:
            while claimed():  # first the room, then the value: they may be large
                try:
                    waiting.put(next(stage))
                except StopIteration:
                    waiting.put(_Ended())
                    break
        except BaseException as error:  # noqa: BLE001 - raised again in the consumer
            waiting.put(_Failed(error))
        finally:
            close = getattr(stage, "close", None)
            if close:
                close()

    thread = threading.Thread(target=run, name="rogatory-stage", daemon=True)
    thread.start()
    try:
        while True:
            value = waiting.get()
            if isinstance(value, _Ended):
                return
            if isinstance(value, _Failed):
                raise value.error
            room.release()
            yield value
            del value
    finally:
        stop.set()
        thread.join()


@dataclass(frozen=True)
class SealedBody:
    """What the manifest says of a body: its size, both digests, its parts' digests."""

    digests: Digests
    part_size: int
    parts: list[bytes]


class Sealing:
    """One item on its way from plaintext to body.

    Args:
        source: The plaintext.
        state: Where windows are admitted.
        place: Of the item in the state.
        part_size: Of the grid.
    """

    def __init__(self, source: Source, state: SendState, place: int, part_size: int) -> None:
        self._source, self._state, self._place = source, state, place
        self._item: ItemState = state.items[place]
        self._grid = GridDigester(part_size, whole=True)
        self.size, self.part_size = body_size(source.size), part_size

    @property
    def admitted(self) -> int:
        """Bytes of the body that may have left so far, as the state knows."""
        return min(self.size, body_size(len(self._item.windows) * WINDOW))

    def body(self) -> Iterator[memoryview]:
        """The body, in the order of its bytes; reading and sealing run in threads of their own."""
        return ahead(self._sealed(ahead(self._windows())))

    def result(self) -> SealedBody:
        """What was made, after `body` was exhausted."""
        assert self._grid.body is not None
        return SealedBody(self._grid.body, self._grid.part_size, self._grid.finish())

    def _windows(self) -> Iterator[tuple[int, bytearray]]:
        """Windows of plaintext, each admitted by the state before it is handed on."""
        window, filled, number, total = bytearray(WINDOW), 0, 0, 0
        size = self._source.size
        for piece in self._source.pieces():
            total += len(piece)
            if total > size:
                raise SourceChanged(f"{shown(self._source.name)} grew during the send")
            view = memoryview(piece)
            while view:
                if filled == WINDOW:
                    yield self._admit(number, window)
                    window, filled, number = bytearray(WINDOW), 0, number + 1
                taken = view[: WINDOW - filled]
                window[filled : filled + len(taken)] = taken
                filled += len(taken)
                view = view[len(taken) :]
        if total != size:
            raise SourceChanged(f"{shown(self._source.name)} has {total} bytes, had {size} when the send began")
        del window[filled:]
        yield self._admit(number, window)

    def _admit(self, number: int, window: bytearray) -> tuple[int, bytearray]:
        with memoryview(window) as view:
            self._state.admit(self._place, number, view, shown(self._source.name))
        return number, window

    def _sealed(self, windows: Iterator[tuple[int, bytearray]]) -> Iterator[memoryview]:
        sealer = BodySealer(self._item.file_key, self._item.nonce)
        last = max(0, -(-self._source.size // WINDOW) - 1)
        self._grid.update(self._item.nonce)
        yield memoryview(self._item.nonce)
        for number, window in windows:
            sealed = bytearray(len(window) + 16 * max(1, -(-len(window) // CHUNK)))
            sealer.seal_into(number * _CHUNKS, window, sealed, last=number == last)
            del window
            self._grid.follow(sealed)  # a buffer of its own, which nobody changes
            yield memoryview(sealed)
