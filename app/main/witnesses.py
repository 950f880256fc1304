"""Who cosigns the log: the operator's commands. Each change is on record before it counts."""

import argparse
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from time import monotonic, sleep
from typing import Final

from app.auth import private_files
from app.db import cosignatures, ledger
from app.db.guard import guard
from app.errors import BadInput, NotFound, Refusal, StateConflict
from app.jobs.election import NotElected
from app.jobs.witnesses import WitnessSilent
from app.main.assembly import Service, assemble, inspect
from app.main.options import OK, say, settings_of
from app.quantities import duration
from app.services import witnessing
from app.services.policies import NO_POLICY, Member, PolicyFile
from app.services.witnessing import all_members
from custody import leaf
from custody.entry import Entry
from custody.errors import CustodyError
from custody.keys import fingerprint
from custody.note import VerifierKey
from custody.policy import Policy

_QUORUM: Final = "members"
_PUBLISHED_WITHIN: Final = 15.0
_LOOK_AGAIN: Final = 1.0
_LATE: Final = 60
"""Seconds after which a witness that lacks the newest checkpoint is said to be behind."""


def show(options: argparse.Namespace) -> int:
    """Tell of every witness and auditor what it cosigned last."""
    runtime = inspect(settings_of(options))
    auditors = runtime.auditors.members()
    with runtime.reading() as session:
        size = cosignatures.newest_size(session)
        say(f"log {runtime.origin}, {size} leaves published")
        for member in all_members(runtime):
            found = cosignatures.newest_of(session, [key.full_id for key in member.keys])
            kind = "auditor" if member in auditors else "witness"
            how = f"asked at {member.url}" if member.url else "fetches"
            say(f"{kind:<8} {member.name}  {_state(found, size, runtime.now())}  {how}")
    if not all_members(runtime):
        say("nobody cosigns this log: rogatory-server witness add")
    for name, file in (("policy", runtime.witnesses), ("auditors", runtime.auditors)):
        if not file.policy.is_none:
            say(f"{name:<8} {_spelt(file.text)}")
    runtime.engine.dispose()
    return OK


def add(options: argparse.Namespace) -> int:
    """Let an authority cosign."""
    keys = tuple(VerifierKey.parse(text) for text in options.keys)
    member = Member(options.authority, keys, options.url)
    service = assemble(settings_of(options))
    file = _file(service, auditor=options.auditor)
    others = [each for each in _flat(file, service) if each.name != member.name]
    return _adopt(service, file, write([*others, member], service.runtime.log_keys, options.quorum), options)


def remove(options: argparse.Namespace) -> int:
    """Let an authority cosign no more."""
    service = assemble(settings_of(options))
    file = _file(service, auditor=options.auditor)
    found = _flat(file, service)
    left = [each for each in found if each.name != options.authority]
    if len(left) == len(found):
        raise NotFound(f"{options.authority} is none of {', '.join(each.name for each in found) or 'nobody'}")
    return _adopt(service, file, write(left, service.runtime.log_keys, options.quorum), options)


def policy(options: argparse.Namespace) -> int:
    """Take a policy as it was written."""
    service = assemble(settings_of(options))
    text = options.file.read_text(encoding="utf-8")
    return _adopt(service, _file(service, auditor=options.auditor), text, options)


def write(members: Sequence[Member], log: Sequence[VerifierKey], quorum: int | None) -> str:
    """The text of a policy in which so many of these authorities must cosign; more than half where nothing is said.

    Raises:
        BadInput: More are demanded than there are, or none.
    """
    lines = [f"log {key}" for key in log]
    for member in sorted(members, key=lambda each: each.name):
        names = [f"{member.name}-{number}" for number in range(1, len(member.keys) + 1)]
        lines += [f"witness {name} {key} {member.url}".rstrip() for name, key in zip(names, member.keys, strict=True)]
        lines.append(f"group {member.name} any {' '.join(names)}")
    if not members:
        return "\n".join([*lines, NO_POLICY])
    needed = len(members) // 2 + 1 if quorum is None else quorum
    if not 1 <= needed <= len(members):
        raise BadInput(f"a quorum of {needed} out of {len(members)}")
    lines.append(f"group {_QUORUM} {needed} {' '.join(sorted(each.name for each in members))}")
    return "\n".join([*lines, f"quorum {_QUORUM}", ""])


def without_witnesses(service: Service) -> None:
    """Take entries though no witness has answered, and put that on record.

    Raises:
        ReadOnly: One has answered, and shown another log.
    """
    service.witnesses.confirm()
    runtime = service.runtime
    held = guard(runtime.engine)
    if held.refused or not held.why:
        held.check()
        return
    held.open()
    with runtime.unit_of_work() as uow:
        ledger.append(
            uow.session, chain=_chain(service), event="incident.noted", at=runtime.now(), origin=runtime.origin,
            noted={"code": "without-witnesses"},
        )  # fmt: skip
        uow.commit()
    say("no witness has answered: entries are taken all the same, and the log says so")


def publish(service: Service) -> None:
    """Give what was committed its place, unless a running server does."""
    try:
        with suppress(NotElected):
            service.sequencer.run_once()
    finally:
        service.sequencer.stop()


def _adopt(service: Service, file: PolicyFile, text: str, options: argparse.Namespace) -> int:
    """Put on record what a policy changes, then let it count."""
    wait = _span(options.wait)
    runtime, new, old = service.runtime, Policy.parse(text), file.policy
    if any(key not in runtime.log_keys for key in new.log):
        raise BadInput("the policy names a log key that is not this log's")
    other = runtime.witnesses if file is runtime.auditors else runtime.auditors
    new_keys, old_keys = set(new.witnesses.values()), set(old.witnesses.values())
    if new_keys & set(other.policy.witnesses.values()):
        raise StateConflict("a key is a witness's and an auditor's", hint="an auditor has keys of its own")
    service.witnesses.confirm()
    facts = [("witness.added", {"name": key.name, "vkey": str(key)}) for key in sorted(new_keys - old_keys, key=str)]
    facts += [("witness.removed", {"name": key.name}) for key in sorted(old_keys - new_keys, key=str)]
    what = "auditors" if file is runtime.auditors else "witnesses"
    facts.append(("policy.changed", {"what": what, "text_sha256": sha256(text.encode()).hexdigest()}))
    with runtime.unit_of_work() as uow:
        for event, noted in facts:
            entry = ledger.append(
                uow.session, chain=_chain(service), event=event, at=runtime.now(), origin=runtime.origin, noted=noted
            )
        uow.commit()
    publish(service)
    endorsed = _endorsed(service, entry, wait)
    private_files.write(file.path, text.encode())
    say(text.rstrip())
    how = "`rogatory trust update`" if endorsed else "`rogatory trust policy`, and compare"
    say(f"written to {file.path}; members take it over with {how}:\n  {_spelt(text)}")
    runtime.engine.dispose()
    return OK


def _endorsed(service: Service, entry: Entry, wait: float) -> bool:
    """Whether the quorum so far has cosigned the entry, asked before another policy counts: members can then follow.

    A witness that fetches comes when it likes, to a service that runs; `wait` is how many seconds it is waited for.
    """
    runtime, policy = service.runtime, service.runtime.witnesses.policy
    if policy.is_none:
        return False
    index = ledger.wait_for_record(runtime.engine, entry, _PUBLISHED_WITHIN).index
    end = monotonic() + wait
    while True:
        for member in runtime.witnesses.members():
            if member.url:
                with suppress(WitnessSilent, Refusal, CustodyError):
                    service.witnesses.submit(member)
        service.witnesses.close()
        if witnessing.newest_cosigned(runtime, index) is not None:
            return True
        if monotonic() >= end:
            break
        sleep(min(_LOOK_AGAIN, max(end - monotonic(), 0)))
    say("the quorum so far has not cosigned this change: members have to compare the new policy by another way")
    fetching = [member.name for member in runtime.witnesses.members() if not member.url]
    if fetching and not wait:
        say(f"some fetch when they like ({', '.join(fetching)}): with --wait, a running service waits for these first")
    return False


def _span(text: str) -> float:
    try:
        return duration(text).total_seconds()
    except ValueError as error:
        raise BadInput(f"--wait is {text!r}, expected {error}") from error


def _file(service: Service, *, auditor: bool) -> PolicyFile:
    return service.runtime.auditors if auditor else service.runtime.witnesses


def _flat(file: PolicyFile, service: Service) -> list[Member]:
    """The authorities of a policy that these commands have written.

    Raises:
        StateConflict: Somebody else has written it.
    """
    found, text = file.members(), file.text
    keys = service.runtime.log_keys
    ours = [write(found, keys, number) for number in range(1, len(found) + 1)] or [write([], keys, None), NO_POLICY]
    if text not in ours:
        raise StateConflict(
            f"{file.path} was written by hand", hint="edit a copy of it, then: rogatory-server witness policy FILE"
        )
    return found


def _spelt(text: str) -> str:
    return fingerprint(sha256(text.encode()).hexdigest())


def _state(found: tuple[int, int] | None, size: int, now: datetime) -> str:
    if found is None:
        return "BEHIND: has cosigned nothing"
    at = datetime.fromtimestamp(found[1], UTC)
    behind = found[0] < size and (now - at).total_seconds() > _LATE
    return f"{'BEHIND: ' if behind else ''}cosigned {found[0]} leaves at {at:%Y-%m-%d %H:%M:%S}Z"


def _chain(service: Service) -> str:
    return leaf.registry_handle(service.runtime.origin, leaf.SERVICE).hex()
