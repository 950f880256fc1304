"""Asking time-stamping authorities for stamps over the newest cosigned checkpoint: RFC 3161 over HTTP.

Each authority has a thread of its own, so that one that is slow or away keeps neither entries nor another waiting; one
that fails is asked again after a while that doubles, and no later than at its next turn. What they answer is kept only
if a reader could count it (`app.services.stamping`).
"""

import logging
from collections.abc import Callable
from threading import Event, Thread
from time import monotonic
from typing import Final

import httpx

from app.errors import Refusal
from app.jobs import revocations
from app.jobs.revocations import ListSilent
from app.services import stamping
from app.services.runtime import Runtime
from custody.errors import CustodyError
from custody.timestamp import MAX_REPLY, Reply, query

_WITHIN: Final = 20.0
_STEP: Final = 5.0
_LOOK: Final = 30.0
"""Seconds between looks whether a checkpoint is due that was not there before."""

_FIRST_PAUSE: Final = 10.0
_DAY: Final = 86_400.0
_ENDING: Final = 3.0
_OK: Final = 200
_HEADERS: Final = {
    "Content-Type": "application/timestamp-query",
    "Accept": "application/timestamp-reply",
    "User-Agent": "rogatory-server",
}
_log = logging.getLogger("rogatory.stamps")


class AuthoritySilent(Exception):
    """A time-stamping authority did not answer, or with no stamp."""


class Asker:
    """What is asked of one authority.

    Args:
        runtime: The running service.
        tsa: The authority's address.
    """

    def __init__(self, runtime: Runtime, tsa: str) -> None:
        self._runtime, self.tsa = runtime, tsa
        self._fetched: dict[str, float] = {}
        self._trouble, self._pause = "", _FIRST_PAUSE

    def step(self) -> float:
        """Ask if it is time to; seconds until the next step. A trouble that is new, or over, is told once."""
        trouble = ""
        try:
            left = stamping.wait(self._runtime, self.tsa).total_seconds()
            if left > 0:
                return min(left, _LOOK)
            self.ask()
        except (AuthoritySilent, CustodyError, Refusal) as error:
            trouble = str(error)
        except Exception:  # noqa: BLE001 - a fault of ours must not end this thread
            _log.exception("asking a time-stamping authority failed")
            trouble = "an error of the service"
        self._tell(self._trouble, trouble)
        self._trouble = trouble
        if not trouble:
            self._pause = _FIRST_PAUSE
            return _LOOK
        pause, longest = self._pause, self._runtime.settings.stamp_interval.total_seconds()
        self._pause = min(2 * pause, longest)
        return pause

    def ask(self) -> bool:
        """Have what is due stamped, and keep it; whether anything was due.

        Raises:
            AuthoritySilent: No answer that helps.
            CustodyError, Refusal: The answer is not to be kept.
        """
        asked = stamping.due(self._runtime, self.tsa)
        if asked is None:
            return False
        sent = self._runtime.now()
        body, nonce = query(asked.note)
        reply = stamping.keep(self._runtime, self.tsa, asked, nonce, _post(self.tsa, body), sent=sent)
        _log.info("stamped", extra={"facts": {"tsa": self._name, "leaves": asked.size}})
        self._validate(reply)
        return True

    def _validate(self, reply: Reply) -> None:
        """Keep the revocation lists that came along, and those that its certificates name, if they are wanted."""
        for data in reply.lists:
            self._keep_list(reply, "", lambda data=data: data)  # type: ignore[misc] # a bound argument
        if not self._runtime.settings.stamp_validation:
            return
        for url in revocations.points(reply):
            before = self._fetched.get(url)
            if before is None or monotonic() - before > _DAY:
                self._keep_list(reply, url, lambda url=url: revocations.fetch(url, self.tsa))  # type: ignore[misc]

    def _keep_list(self, reply: Reply, source: str, data: Callable[[], bytes]) -> None:
        try:
            stamping.keep_list(self._runtime, self.tsa, reply, data(), source=source)
            self._fetched[source] = monotonic()
        except (ListSilent, CustodyError, Refusal, ValueError) as error:
            facts = {"code": "revocations-missing", "tsa": self._name, "source": source[:200], "what": str(error)}
            _log.warning("revocation list", extra={"facts": facts})

    def _tell(self, before: str, trouble: str) -> None:
        if trouble != before:
            code = "tsa-behind" if trouble else "tsa-back"
            _log.warning("time stamps", extra={"facts": {"code": code, "tsa": self._name, "what": trouble}})

    @property
    def _name(self) -> str:
        """The address without what may be somebody's password."""
        return self.tsa.partition("?")[0]


class Stamps:
    """The threads that ask, one for each authority."""

    def __init__(self, runtime: Runtime) -> None:
        self.askers = [Asker(runtime, tsa) for tsa in runtime.settings.tsa]
        self._stopping = Event()
        self._threads: list[tuple[Thread, Event]] = []

    def start(self) -> None:
        """Begin; returns at once."""
        self._stopping.clear()
        for asker in self.askers:
            wanted = Event()
            thread = Thread(target=self._run, args=(asker, wanted), name="stamps", daemon=True)
            self._threads.append((thread, wanted))
            thread.start()

    def ask(self) -> None:
        """Look now whether anything is due."""
        for _, wanted in self._threads:
            wanted.set()

    def stop(self) -> None:
        """End; an authority that is slow to answer is not waited for."""
        self._stopping.set()
        self.ask()
        end = monotonic() + _ENDING
        while self._threads:
            self._threads.pop()[0].join(max(end - monotonic(), 0))

    def _run(self, asker: Asker, wanted: Event) -> None:
        while not self._stopping.is_set():
            wanted.clear()
            pause = asker.step()
            if not self._stopping.is_set():
                wanted.wait(pause)


def _post(url: str, body: bytes) -> bytes:
    """The answer to a query, within bounds of time and size; redirects are not followed."""
    end, read = monotonic() + _WITHIN, bytearray()
    try:
        with (
            httpx.Client(timeout=_STEP) as line,
            line.stream("POST", url, content=body, headers=_HEADERS) as answer,
        ):
            if answer.status_code != _OK:
                raise AuthoritySilent(f"it answers {answer.status_code}")
            for piece in answer.iter_raw():
                read += piece
                if len(read) > MAX_REPLY or monotonic() > end:
                    raise AuthoritySilent("its answer is too long, or takes too long")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise AuthoritySilent(f"it does not answer: {error.__class__.__name__} {error}") from error
    return bytes(read)
