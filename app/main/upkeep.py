"""What the operator does to be sure of what is kept: check it, and clear up beside it."""

import argparse
import json
from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from typing import Final

from app.jobs import orphans
from app.main.assembly import inspect
from app.main.options import OK, TAMPERED, USAGE, fail, say, settings_of
from app.quantities import duration
from app.services import fsck as checking
from app.services.fsck import Finding
from custody.text import to_time

_YOUNGEST: Final = timedelta(hours=1)


def fsck(options: argparse.Namespace) -> int:
    """Check the whole state, and tell of everything that does not add up as it is found."""
    runtime = inspect(settings_of(options))

    def tell(found: Finding) -> None:
        if options.json:
            say(json.dumps(asdict(found)))
        else:
            say(f"{found.what}: {found.where}\n  expected {found.expected}\n  found    {found.found}")

    done = checking.check(runtime, tell, objects=options.objects)
    runtime.engine.dispose()
    if options.json:
        say(json.dumps(asdict(done)))
    else:
        read = "read back" if options.objects else "looked up"
        say(f"{done.entries} entries, {done.leaves} leaves, {done.bodies} bodies {read}: {done.findings} findings")
    return TAMPERED if done.findings else OK


def collect(options: argparse.Namespace) -> int:
    """Clear what belongs to nothing out of the store, or tell of it only."""
    try:
        age = duration(options.older_than)
    except ValueError as error:
        return fail(f"--older-than is {options.older_than!r}, expected {error}", "", USAGE)
    if age < _YOUNGEST:
        return fail(
            f"--older-than is {options.older_than}, expected 1h or more", "what is younger may be in use", USAGE
        )
    runtime, counts = inspect(settings_of(options)), Counter[str]()
    for orphan in orphans.collect(runtime, older_than=age, dry_run=options.dry_run):
        counts[orphan.kind] += 1
        say(f"{orphan.kind:<7} {orphan.name}  {to_time(orphan.since)}")
    runtime.engine.dispose()
    told = ", ".join(f"{count} × {kind}" for kind, count in sorted(counts.items())) or "nothing"
    say(f"{'would remove' if options.dry_run else 'removed'}: {told}")
    return OK
