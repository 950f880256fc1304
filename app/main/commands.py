"""What the operator can do, one function for each command; each returns the exit code."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from app.db import ledger
from app.db import migrate as schema
from app.db.engine import connect, unsafe
from app.errors import StateConflict
from app.main.assembly import Service, assemble, inspect, now
from app.main.options import OK, REFUSED, USAGE, fail, say, settings_of
from app.main.witnesses import publish
from app.services import continuing, enrolment, health, state, succession
from app.settings import Settings, unknown_variables
from custody.entry import Entry
from custody.keys import fingerprint

_PUBLISHED_WITHIN: Final = 15.0


def init(options: argparse.Namespace) -> int:
    """Make what is missing of the state."""
    settings = settings_of(options)
    if options.keys_only:
        return _make_keys(settings)
    if options.succeeds is not None:
        before = options.succeeds.read_bytes()
        continuing.Past.parse(before)
        succession.follow(settings, before, begun=_has_begun(settings))
    service = assemble(settings)
    say(f"state of the log {service.state.origin} in {settings.state}")
    for what, path in service.state.made:
        say(f"  made {what}: {path}")
    if not service.state.made:
        say("  nothing was missing")
    say_log_keys(service)
    service.runtime.engine.dispose()
    return OK


def _make_keys(settings: Settings) -> int:
    kept = state.prepare(settings, now())
    say(f"keys of the log {kept.origin}, which has not begun:")
    for signer in kept.signers:
        say(f"  {signer.verifier}")
    return OK


def _has_begun(settings: Settings) -> bool:
    try:
        runtime = inspect(settings)
    except StateConflict:
        return False
    found = enrolment.is_begun(runtime)
    runtime.engine.dispose()
    return found


def migrate(options: argparse.Namespace) -> int:
    """Bring the schema up to this version."""
    engine = connect(settings_of(options).database)
    say("the schema is current" if schema.is_current(engine) else "bringing the schema up")
    schema.upgrade(engine)
    engine.dispose()
    return OK


def enrol(options: argparse.Namespace) -> int:
    """Admit an authority whose fingerprint was compared."""
    service = assemble(settings_of(options))
    application_ = enrolment.read(options.file.read_text(encoding="utf-8"), service.runtime)
    say(f"authority  {application_.authority}\nname       {application_.name}\ncountry    {application_.country}")
    for key in application_.keys:
        say(f"key        {key.id}  {key.use} ({key.alg})")
    say(f"fingerprint of its authority key:\n  {application_.spelt}")
    if not _confirmed(options.fingerprint, application_):
        return fail(
            "the fingerprint is not the one of this file",
            "ask the authority, by a way the file did not come, and compare all of it",
            REFUSED,
        )
    service.witnesses.confirm()
    earlier = enrolment.admitted(application_.statement, service.runtime)
    entry = earlier or _admit(service, application_)
    publish(service)
    record = ledger.wait_for_record(service.runtime.engine, entry, _PUBLISHED_WITHIN)
    say(f"{'was enrolled before' if earlier else 'enrolled'}: entry {record.index} of {service.state.origin}")
    service.runtime.engine.dispose()
    return OK


def _admit(service: Service, application_: enrolment.Application) -> Entry:
    said = application_.statement
    noted = continuing.of_registry(service.runtime.settings, said)
    if noted:
        say(f"it goes on from {noted['continues']['origin']}, signed as its registry there demands")
    return enrolment.admit(service.runtime.unit_of_work(), said, origin=service.state.origin, at=now(), noted=noted)


def check_config(options: argparse.Namespace) -> int:
    """Try everything that the settings name, and say what is wrong."""
    settings = settings_of(options)
    wrong = [f"{name} is none of the service's variables" for name in unknown_variables()]
    if not isinstance(settings.store, Path):
        from storage.s3_probe import probe

        wrong += [f"the bucket, {each.name}: {each.told}" for each in probe(settings.store) if not each.holds]
    if not state.is_made(settings):
        say(f"no state in {settings.state} yet: `init` or `serve` makes it")
        return _verdict(wrong)
    service = assemble(settings)
    wrong += [f"{name} does not answer" for name in health.missing(service.runtime)]
    if not schema.is_current(service.runtime.engine):
        wrong.append("the database has another schema: run `migrate`")
    wrong += unsafe(service.runtime.engine)
    say(f"origin      {service.state.origin}\npublic URL  {settings.public_url}\nstate       {settings.state}")
    say(f"database    {service.runtime.engine.url.render_as_string()}\nstore       {settings.store}")
    say(f"TLS         {settings.tls}")
    service.runtime.engine.dispose()
    return _verdict(wrong)


def _verdict(wrong: Sequence[str]) -> int:
    for each in wrong:
        fail(each, "", USAGE)
    if not wrong:
        say("all is well")
    return USAGE if wrong else OK


def say_log_keys(service: Service) -> None:
    """Tell the ids of the log's keys, as authorities compare them."""
    say("keys of the log, to be told to every authority by another way (rogatory trust init compares them):")
    for key in service.runtime.log_keys:
        say(f"  {fingerprint(key.full_id)}")


def _confirmed(given: str | None, application_: enrolment.Application) -> bool:
    """Whether the operator has compared the fingerprint."""
    if given is None:
        if not sys.stdin.isatty():
            return False
        given = input("type the fingerprint as the authority told it to you: ")
    return "".join(given.split()).lower() == application_.fingerprint
