"""Witnesses of the log: who they are, what they say, and whether what they say leaves us anything to write.

Source: docs/spec/witness.md, sections 4 and 5.
"""

import logging
from time import monotonic
from typing import Final

from app.db import cosignatures
from app.db.guard import guard
from app.db.log_reader import LogReader
from app.db.publication import cosigned as cosigned_bell
from app.errors import BadRequest, NotEntitled, NotFound, StateConflict
from app.services.policies import Member
from app.services.runtime import Runtime
from custody import witness
from custody.checkpoint import open_checkpoint
from custody.checkpoint_text import Checkpoint
from custody.errors import CustodyError, FormatError
from custody.note import VerifierKey, parse_note

MAX_NOTE: Final = 64 * 1024
"""Bytes of a note that is handed back: a checkpoint and some cosignatures."""

_LOOK_AGAIN: Final = 0.1
_log = logging.getLogger("rogatory.witnesses")


class LogLost(StateConflict):
    """Our own keys have signed a checkpoint that our tree does not hold: the database is an old or another one."""


def all_members(runtime: Runtime) -> list[Member]:
    """Witnesses and auditors."""
    return [*runtime.witnesses.members(), *runtime.auditors.members()]


def judge(runtime: Runtime, note: bytes) -> Checkpoint:
    """Hold a checkpoint that somebody shows us to our own tree; if it is not in it, nothing is written any more.

    Raises:
        BadRequest: No checkpoint's note.
        NotEntitled: Not signed by our own keys, so it says nothing about us.
        LogLost: It is larger than our log, or another one. The guard is closed for good.
    """
    try:
        parse_note(note)
        shown, _ = open_checkpoint(note, origin=runtime.origin, log=runtime.log_keys)
    except FormatError as error:
        raise BadRequest(f"no checkpoint: {error}") from error
    except CustodyError as error:
        raise NotEntitled(f"not signed by this log's own keys: {error}") from error
    why = _contradiction(runtime, shown)
    if why:
        guard(runtime.engine).refuse(why)
        _log.critical("this log is not the newest", extra={"facts": {"code": "log-lost", "what": why}})
        raise LogLost(why, hint="docs/operations/witnesses.md says how to go on")
    return shown


def hand_back(runtime: Runtime, note: bytes) -> int:
    """Take the cosignatures of a note that a witness has cosigned; how many were new.

    Anybody may hand back, also what was cosigned long ago: only what a witness signed since the guard was closed opens
    it, or an old note would let a log go on that was set back.

    Raises:
        BadRequest, NotEntitled, LogLost: As for `judge`; also not cosigned by a key of our policies.
        NotFound: There was never a checkpoint of this size.
    """
    shown = judge(runtime, note)
    keys = [key for member in all_members(runtime) for key in member.keys]
    try:
        found = witness.cosignatures(note, keys)
    except FormatError as error:
        raise BadRequest(f"a cosignature cannot be read: {error}") from error
    except CustodyError as error:
        raise NotEntitled(f"no cosignature by a key of this service's policies: {error}") from error
    since = guard(runtime.engine).since
    return keep(runtime, shown.size, found, confirms=any(time > since for _, time in found.values()))


def keep(runtime: Runtime, size: int, found: dict[VerifierKey, tuple[str, int]], *, confirms: bool) -> int:
    """Store verified cosignatures of a checkpoint of ours; the log is confirmed by them if they are news."""
    with runtime.reading() as session:
        if size != 0:
            LogReader(session, size)
    with runtime.unit_of_work() as uow:
        new = cosignatures.keep(uow.session, size, found)
        uow.commit()
    if confirms:
        confirm(runtime, "a witness has cosigned")
    cosigned_bell(runtime.engine.pool).ring()
    return new


def confirm(runtime: Runtime, by: str) -> None:
    """Open the guard."""
    if guard(runtime.engine).open():
        _log.warning("entries are taken", extra={"facts": {"code": "log-confirmed", "what": by}})


def published_size(runtime: Runtime) -> int:
    """Size of the newest published checkpoint; 0 if there is none."""
    with runtime.reading() as session:
        return cosignatures.newest_size(session)


def newest_cosigned(runtime: Runtime, above: int = 0) -> int | None:
    """The newest size above another whose cosignatures satisfy the policy."""
    with runtime.reading() as session:
        up_to = cosignatures.newest_size(session)
        return cosignatures.satisfying(session, runtime.witnesses.policy, above=above, up_to=up_to, newest=True)


def await_quorum(runtime: Runtime, above: int, timeout: float) -> int | None:
    """A cosigned size above another, as soon as there is one; None where nobody cosigns, or not within the time.

    Witnesses are asked at once. Blocks its thread.
    """
    if runtime.witnesses.policy.is_none:
        return None
    bell = cosigned_bell(runtime.engine.pool)
    end = monotonic() + timeout
    asked = False
    while True:
        rings = bell.rings
        found = newest_cosigned(runtime, above)
        if found is not None:
            return found
        left = end - monotonic()
        if left <= 0:
            return None
        if not asked:
            runtime.ask_witnesses()
            asked = True
        bell.wait(rings, min(left, _LOOK_AGAIN))


def _contradiction(runtime: Runtime, shown: Checkpoint) -> str:
    """How a checkpoint of ours differs from our tree; empty if it is in it."""
    try:
        with runtime.reading() as session:
            log = LogReader(session)
            if shown.size > log.size:
                return f"a witness has cosigned {shown.size} leaves, this database has {log.size}"
            root = log.root_at(shown.size) if shown.size else shown.root
    except NotFound:
        return f"a witness has cosigned {shown.size} leaves, this database has none" if shown.size else ""
    if root != shown.root:
        return f"a witness has cosigned root {shown.root.hex()} of {shown.size} leaves, this database has {root.hex()}"
    return ""
