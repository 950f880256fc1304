"""The end of a log, and what its successor is given: the operator's command."""

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy import select

from app.auth import private_files
from app.db import cosignatures, ledger
from app.db.models import Authority, Exchange
from app.errors import Refusal, StateConflict
from app.jobs.election import Election
from app.jobs.witnesses import WitnessSilent
from app.main.assembly import Service, assemble
from app.main.options import OK, say, settings_of
from app.main.witnesses import publish
from app.services import bundles, continuing, succession, witnessing
from app.services.runtime import Runtime
from custody.errors import CustodyError

_PUBLISHED_WITHIN: Final = 15.0


def succeed(options: argparse.Namespace) -> int:
    """End the log; again with the same successor, go on where it stopped."""
    service = assemble(settings_of(options))
    runtime = service.runtime
    if Election(runtime.engine).is_taken():
        raise StateConflict(
            "the service of this log is running", hint="stop it: once the log has ended it takes no entry any more"
        )
    service.witnesses.confirm()
    entry = succession.succeed(runtime, origin=options.origin, keys=options.keys, at=runtime.now())
    if succession.is_ending(runtime):
        publish(service)
    index = ledger.wait_for_record(runtime.engine, entry, _PUBLISHED_WITHIN).index
    succession.stay_ended(runtime)
    end = succession.as_predecessor(runtime)
    private_files.write(options.output, continuing.written(runtime))
    say(f"log {end.origin} has ended: {end.size} leaves, root {end.root}")
    say(f"its last entry, {index}, names {options.origin}")
    say(f"written to {options.output}, for: rogatory-server init --succeeds {options.output}")
    if options.bundles is not None:
        say(f"bundles, to be handed to their parties: {_write_bundles(runtime, options.bundles)} in {options.bundles}")
    if not _cosigned(service, index):
        say("the quorum has not cosigned this end: run the same command again when the witnesses answer")
    runtime.engine.dispose()
    return OK


def _write_bundles(runtime: Runtime, directory: Path) -> int:
    """The bundle of every exchange and registry from the end of the log; nobody can ask for one any more."""
    private_files.private_directory(directory)
    with runtime.reading() as session:
        exchanges = {row.id: row.handle for row in session.scalars(select(Exchange))}
        authorities = list(session.scalars(select(Authority.id)))
        for name, handle in exchanges.items():
            with (directory / f"{name}.zip").open("wb") as target:
                bundles.write_exchange(session, target, handle, kind="exchange", authority="", runtime=runtime)
        for name in authorities:
            with (directory / f"registry-{name}.zip").open("wb") as target:
                bundles.write_registry(session, target, name, origin=runtime.origin)
    return len(exchanges) + len(authorities)


def _cosigned(service: Service, index: int) -> bool:
    """Whether enough witnesses have cosigned the end; those with an address are asked now."""
    runtime = service.runtime
    for member in witnessing.all_members(runtime):
        if member.url:
            with suppress(WitnessSilent, Refusal, CustodyError):
                service.witnesses.submit(member)
    service.witnesses.close()
    with runtime.reading() as session:
        size = cosignatures.newest_size(session)
    return runtime.witnesses.policy.is_none or (witnessing.newest_cosigned(runtime, index) or 0) == size
