"""Asking the witnesses: at a pace of its own, one at a time each, never in the way of an append.

A round gives every witness that has a URL the newest published checkpoint, with the proof from the one it cosigned
last. A witness that is slow or away keeps nobody waiting but its own next round. Before the first entry of a process
is taken, one of them must have shown what it cosigned last (`confirm`).
Source: C2SP tlog-witness; docs/spec/witness.md, section 5.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from threading import Event, Lock, Thread
from time import monotonic
from typing import Final

import httpx
from sqlalchemy import select

from app.db import cosignatures
from app.db.guard import guard
from app.db.log_models import Pending
from app.db.log_reader import LogReader
from app.errors import NotFound, Refusal
from app.jobs.election import Election
from app.services import witnessing
from app.services.policies import Member
from app.services.runtime import Runtime
from app.services.witnessing import LogLost
from custody.checkpoint_text import Checkpoint
from custody.decimal import from_decimal
from custody.errors import CustodyError
from custody.note import parse_note
from custody.witness import SIZE_TYPE, AddCheckpoint, read_answer
from custody.witness import cosignatures as cosignatures_in

_AGAIN_AFTER: Final = 60
"""Seconds after which a size that was cosigned is submitted again, if nothing waits."""

_MAX_ANSWER: Final = 1024 * 1024
_WITHIN: Final = 10.0
_STEP: Final = 4.0
_AT_ONCE: Final = 16
_OK, _MISSING, _CONFLICT = 200, 404, 409
_log = logging.getLogger("rogatory.witnesses")


class WitnessSilent(Exception):
    """A witness did not answer, or answered what the protocol does not have."""


class Witnesses:
    """The thread that asks, and those it asks with.

    Args:
        runtime: The running service.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._line: httpx.Client | None = None
        self._making = Lock()
        self._guard = guard(runtime.engine)
        self._stopping, self._wanted = Event(), Event()
        self._thread: Thread | None = None
        self._running: dict[str, Future[None]] = {}
        self._troubles: dict[str, str] = {}

    def ask(self) -> None:
        """Begin a round now."""
        self._wanted.set()

    def start(self) -> None:
        """Begin; returns at once."""
        self._stopping.clear()
        self._thread = Thread(target=self._run, name="witnesses", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; what a witness still has to say is not waited for longer than its time."""
        self._stopping.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.close()

    def close(self) -> None:
        """Let go of the lines to witnesses; the next question takes new ones."""
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def confirm(self) -> bool:
        """Ask every witness once what it cosigned last; whether entries are taken after that.

        A witness whose newest checkpoint lies in our tree, or that knows none, opens the guard; one that shows another
        closes it for good. Another process that keeps this database's log has asked before.
        """
        if not self._guard.why:
            return True
        if _is_kept_by_another(self._runtime):
            witnessing.confirm(self._runtime, "another process keeps this log")
        for member in witnessing.all_members(self._runtime):
            if member.url and not self._guard.refused:
                self._ask_newest(member)
        if self._thread is None:
            self.close()
        return not self._guard.why

    def submit(self, member: Member) -> None:
        """Give a witness the newest checkpoint, if it is to have it now, and keep what it answers.

        Raises:
            WitnessSilent: No answer that helps.
            LogLost: It shows a checkpoint of ours that our tree does not hold.
        """
        request = self._next(member)
        if request is None:
            return
        status, kind, body = self._post(member, request)
        if status == _CONFLICT and kind == SIZE_TYPE:
            known = _size(body)
            request = self._from(known)
            if request is None:
                self._hold_to_account(member, f"it has cosigned {known} leaves, and shows no checkpoint of ours")
                return
            status, kind, body = self._post(member, request)
        if status != _OK:
            self._hold_to_account(member, f"it answers {status}: {body[:200].decode('utf-8', 'replace').strip()}")
            return
        text = parse_note(request.note).text
        try:
            found = read_answer(body, text=text, keys=member.keys)
        except CustodyError as error:
            raise WitnessSilent(f"its cosignatures do not hold: {error}") from error
        witnessing.keep(self._runtime, Checkpoint.parse(text).size, found, confirms=True)

    def _run(self) -> None:
        pause = self._runtime.settings.witness_interval.total_seconds()
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="witness") as pool:
            while not self._stopping.is_set():
                self._wanted.clear()
                try:
                    self._round(pool)
                except Exception:  # noqa: BLE001 - whatever it is, the next round must come
                    _log.exception("a round of witnesses failed")
                self._wanted.wait(pause)

    def _round(self, pool: ThreadPoolExecutor) -> None:
        if self._guard.refused:
            return
        if self._guard.why and _is_kept_by_another(self._runtime):
            witnessing.confirm(self._runtime, "another process keeps this log")
        for member in witnessing.all_members(self._runtime):
            before = self._running.get(member.name)
            if member.url and (before is None or before.done()):
                step = self._ask_newest if self._guard.why else self._submit
                self._running[member.name] = pool.submit(step, member)

    def _submit(self, member: Member) -> None:
        self._guarded(member, self.submit)

    def _ask_newest(self, member: Member) -> None:
        self._guarded(member, self._newest)

    def _guarded(self, member: Member, step: Callable[[Member], None]) -> None:
        """Take a step; a trouble that is new, or over, is told once."""
        trouble = ""
        try:
            step(member)
        except (WitnessSilent, Refusal, CustodyError) as error:
            trouble = str(error)
        except Exception:  # noqa: BLE001 - a fault of ours with one witness must not silence the others
            _log.exception("asking a witness failed")
            trouble = "an error of the service"
        if trouble != self._troubles.get(member.name, ""):
            self._troubles[member.name] = trouble
            facts = {"code": "witness-behind" if trouble else "witness-back", "witness": member.name, "what": trouble}
            _log.warning("witness", extra={"facts": facts})

    def _newest(self, member: Member) -> None:
        """What a witness cosigned last, held to our tree."""
        place = sha256(self._runtime.origin.encode()).hexdigest()
        status, _, body = self._speak("GET", f"{member.url.rstrip('/')}/{place}/checkpoint")
        if status == _OK:
            witnessing.judge(self._runtime, body)
            try:
                cosignatures_in(body, member.keys)
            except CustodyError as error:
                raise WitnessSilent(f"it shows a checkpoint that it has not cosigned: {error}") from error
        elif status != _MISSING:
            raise WitnessSilent(f"it answers {status} when asked what it cosigned last")
        witnessing.confirm(self._runtime, f"{member.name} has answered")

    def _hold_to_account(self, member: Member, trouble: str) -> None:
        """A witness refuses us: let it show why. If it can, `judge` closes the guard; else it is its own trouble."""
        try:
            self._newest(member)
        except LogLost:
            raise
        except Refusal as error:
            raise WitnessSilent(f"{trouble}; what it shows is no checkpoint of ours: {error}") from error
        raise WitnessSilent(trouble)

    def _next(self, member: Member) -> AddCheckpoint | None:
        """What to submit now: a size that is new to the witness, or an old one again when nothing waits."""
        with self._runtime.reading() as session:
            known = cosignatures.newest_of(session, [key.full_id for key in member.keys])
            if known is not None and known[0] == cosignatures.newest_size(session):
                young = self._runtime.now().timestamp() - known[1] < _AGAIN_AFTER
                if young or session.scalar(select(Pending.ledger_id).limit(1)) is not None:
                    return None
        return self._from(known[0] if known else 0)

    def _from(self, old: int) -> AddCheckpoint | None:
        """The newest checkpoint with the proof from a size; None if the log is not that large."""
        with self._runtime.reading() as session:
            try:
                log = LogReader(session)
            except NotFound:
                return None
            if old > log.size:
                return None
            path = log.consistency(old) if 0 < old < log.size else []
            return AddCheckpoint(old, tuple(path), log.note)

    def _post(self, member: Member, request: AddCheckpoint) -> tuple[int, str, bytes]:
        return self._speak("POST", f"{member.url.rstrip('/')}/add-checkpoint", request.encode())

    def _speak(self, method: str, url: str, body: bytes = b"") -> tuple[int, str, bytes]:
        """Status, media type and body, within bounds of time and size."""
        end, read = monotonic() + _WITHIN, bytearray()
        with self._making:
            line = self._line = self._line or httpx.Client(timeout=_STEP, headers={"User-Agent": "rogatory-server"})
        try:
            with line.stream(method, url, content=body or None) as answer:
                for piece in answer.iter_raw():
                    read += piece
                    if len(read) > _MAX_ANSWER or monotonic() > end:
                        raise WitnessSilent("its answer is too long, or takes too long")
                return answer.status_code, answer.headers.get("Content-Type", ""), bytes(read)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise WitnessSilent(f"it does not answer: {error.__class__.__name__} {error}") from error


def close(runtime: Runtime) -> None:
    """Close the guard of a process that has witnesses to ask, before it has written anything."""
    if witnessing.all_members(runtime):
        since = int(runtime.now().timestamp())
        guard(runtime.engine).close("no witness has confirmed its log since it was started", since=since)


def _is_kept_by_another(runtime: Runtime) -> bool:
    """Whether a live process keeps the log of this very database: it has passed the guard itself."""
    return Election(runtime.engine).is_taken()


def _size(body: bytes) -> int:
    try:
        return from_decimal(body.decode("ascii").removesuffix("\n"))
    except (CustodyError, UnicodeDecodeError) as error:
        raise WitnessSilent("it answers 409 without a size") from error
