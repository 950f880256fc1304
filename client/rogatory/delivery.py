"""Bringing one sealed body to the service: in one request if it is small, else in windows or piece after piece.

Windows are of whole parts, and one is held in memory for each lane; so bodies on a grid of larger parts go piece after
piece. A body is sealed once, in order; windows that the service holds already are passed over.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

from custody.digest import composite
from rogatory.connection import Connection
from rogatory.errors import ServiceRefusal
from rogatory.lanes import Job, Lanes
from rogatory.pipeline import SealedBody, Sealing
from rogatory.resume import ResumeStateBroken
from rogatory.tus import PIECE, Pace, PartsDiffer, Target, Upload, held, join


class Delivery:
    """One body on its way.

    Args:
        connection: Logged in.
        lanes: Where its requests are made.
        pace: Of all requests.
        target: What it is.
        sealing: What makes it.
        told: Given the number of bytes more that have left, from any thread.
    """

    def __init__(
        self,
        connection: Connection,
        lanes: Lanes,
        pace: Pace,
        target: Target,
        sealing: Sealing,
        *,
        told: Callable[[int], None],
    ) -> None:
        self._connection, self._lanes, self._pace = connection, lanes, pace
        self._target, self._sealing, self._told = target, sealing, told
        self._upload = ""
        self._held: list[tuple[int, int]] = []

    def start(self, *, known: bool, name: str) -> Job[SealedBody]:
        """Seal the body and give its bytes to the lanes; the job ends when the service has recorded all of it.

        Args:
            known: Whether some of it may have left before.
            name: Of the source, for messages.

        Raises:
            ResumeStateBroken: The service holds bytes that this state knows nothing of.
            SourceChanged: The source is not what was sent before, or changed.
            BaseException: What has failed in a lane.
        """
        if known:
            recorded = self._recorded()
            if recorded is not None:
                return self._sealed_only(recorded)
        if self._target.size <= PIECE:
            return self._small(known=known, name=name)
        if self._target.part_size == PIECE and self._opens_windows(known=known, name=name):
            return self._in_windows(known=known)
        return self._piece_after_piece(name)

    # ------------------------------------------------------------ the ways

    def _small(self, *, known: bool, name: str) -> Job[SealedBody]:
        upload = Upload.of(self._connection, self._target, pace=self._pace)
        if known:
            self._check_known(upload.ask(), name)
        ((buffer, _, size),) = self._pieces()

        def send() -> SealedBody:
            try:
                upload.write(0, memoryview(buffer)[:size], self._telling(size))
            except ServiceRefusal as error:
                upload.composite = self._recorded_after(error)
            finally:
                self._lanes.release(buffer)
            return self._checked(upload.composite)

        return self._lanes.give(send)

    def _opens_windows(self, *, known: bool, name: str) -> bool:
        """Whether the body can go in windows: not if its upload was begun as a whole."""
        if not known:
            return True
        first = Upload.of_window(self._connection, self._target, 0, PIECE, pace=self._pace)
        try:
            first.create_or_find()
        except ServiceRefusal as error:
            if error.code != "state-conflict":
                raise
            return False
        self._upload = first.whole  # it may be older than its first window: windows are begun in any order
        self._held = held(self._connection, self._upload, self._target.size)
        self._check_known(self._held[-1][1] if self._held else 0, name)
        return True

    def _in_windows(self, *, known: bool) -> Job[SealedBody]:
        sent: list[Job[None]] = []
        for buffer, start, size in self._pieces():
            if self._holds(start, start + size):
                self._lanes.release(buffer)
                self._told(size)
            else:
                sent.append(self._lanes.give(partial(self._window, buffer, start, size, known=known)))

        def end() -> SealedBody:
            for each in sent:
                each.result()
            try:
                return self._checked(join(self._connection, self._target, self._upload))
            except ServiceRefusal as error:
                return self._checked(self._recorded_after(error))

        return self._lanes.give(end)

    def _window(self, buffer: bytearray, start: int, size: int, *, known: bool) -> None:
        upload = Upload.of_window(self._connection, self._target, start, size, pace=self._pace)
        try:
            if known:
                upload.ask()  # some of it may lie there: what is brought to a window that is found is not taken
            upload.write(0, memoryview(buffer)[:size], self._telling(size))
            self._upload = upload.whole or self._upload
        finally:
            self._lanes.release(buffer)

    def _piece_after_piece(self, name: str) -> Job[SealedBody]:
        upload = Upload.of(self._connection, self._target, pace=self._pace)
        self._check_known(upload.ask(), name)
        for buffer, start, size in self._pieces():
            tell = self._telling(size)
            tell(min(max(upload.offset - start, 0), size))
            upload.write(start, memoryview(buffer)[:size], tell)
            self._lanes.release(buffer)
            self._lanes.check()
        return Job.done(self._checked(upload.composite))

    def _sealed_only(self, recorded: str) -> Job[SealedBody]:
        for buffer, _, size in self._pieces():
            self._lanes.release(buffer)
            self._told(size)
        return Job.done(self._checked(recorded))

    # ------------------------------------------------------------ what they share

    def _pieces(self) -> Iterator[tuple[bytearray, int, int]]:
        """The body in pieces that begin at multiples of 16 MiB: a buffer to be released, where, how many bytes."""
        buffer, filled, start = self._lanes.buffer(), 0, 0
        body = self._sealing.body()
        with closing(body):  # type: ignore[type-var] # a generator
            for sealed in body:
                view = sealed
                while view:
                    if filled == PIECE:
                        yield buffer, start, PIECE
                        buffer, filled, start = self._lanes.buffer(), 0, start + PIECE
                    taken = view[: PIECE - filled]
                    buffer[filled : filled + len(taken)] = taken
                    filled += len(taken)
                    view = view[len(taken) :]
        yield buffer, start, filled

    def _telling(self, size: int) -> Callable[[int], None]:
        """Tells of the bytes of one piece, of those that are sent again but once."""
        left = [size]

        def tell(count: int) -> None:
            told = min(count, left[0])
            left[0] -= told
            self._told(told)

        return tell

    def _holds(self, start: int, end: int) -> bool:
        place = bisect_right(self._held, (start, self._target.size)) - 1
        return place >= 0 and self._held[place][1] >= end

    def _check_known(self, end: int, name: str) -> None:
        if end > self._sealing.admitted:
            raise ResumeStateBroken(
                f"the service holds {end} bytes of {name}, this state knows of {self._sealing.admitted}: "
                "it is an older copy, and what left since is not known"
            )

    def _checked(self, recorded: str | None) -> SealedBody:
        """The body, once the service's word of its parts is ours.

        Raises:
            PartsDiffer: Other parts.
        """
        made = self._sealing.result()
        ours = composite(made.parts).hex()
        if recorded is not None and recorded != ours:
            raise PartsDiffer(f"the service recorded parts {recorded}, sent were {ours}")
        return made

    def _recorded(self) -> str | None:
        """Composite of the item's body if it has arrived, as the package shows it."""
        known = self._connection.get_json(f"/v1/packages/{self._target.package}").get("items", [])
        for row in known:
            if (row.get("id"), row.get("size"), row.get("state")) == (self._target.item, self._target.size, "complete"):
                found: str | None = row.get("parts")
                return found
        return None

    def _recorded_after(self, error: ServiceRefusal) -> str:
        """The same, when the answer to the last request was lost and the next one met a complete body."""
        recorded = self._recorded() if error.status == 409 else None
        if recorded is None:
            raise error
        return recorded
