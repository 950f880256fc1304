"""`verify`: checking a bundle or an export, with nothing but a trust file.

Touches no network, no profile, no key: whoever has the file, a trust file and this program can run it. The reader's
clock counts: nothing may come from after it, and stamps must have been renewed up to it.
"""

import os
import re
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rogatory.cli.command import Command, CommandProblem, Outcome, flag, option, positional
from rogatory.cli.tui import Terminal

if TYPE_CHECKING:
    from custody.report import Report
    from custody.trust import Trust


def verify(args: Namespace, terminal: Terminal) -> Outcome:
    """Check a bundle and print the report."""
    import json

    report = check(args)
    if args.trust is None:
        terminal.note("no trust file was given, so nobody is believed: --trust FILE")
    if any(_CLOCK in line.detail for line in report.failed):
        hint = "if the clock of this machine is wrong: --at TIME, or --no-clock"
        terminal.note(f"the reader's clock says {reader_clock(args):%Y-%m-%d %H:%M:%S}Z; {hint}")
    text = report.text(language(args)).rstrip("\n")
    last = text.rpartition("\n")[2]
    text = ("" if args.quiet else text[: -len(last)]) + terminal.paint(last, "green" if report.verified else "red")
    return Outcome(json.loads(report.to_json()), text, report.exit_code)


def check(args: Namespace) -> "Report":
    """The report on the bundle that the arguments name.

    Raises:
        OSError: A path cannot be read.
        CommandProblem: The trust file cannot be understood.
    """
    from custody.verify import verify_bundle

    now = reader_clock(args)
    return verify_bundle(
        _there(args.bundle),
        trust(args.trust) if args.trust is not None else None,
        items=_there(args.items),
        now=now,
        mirror=_there(args.mirror),
        since=_there(args.since),
        before=_there(args.before),
        before_trust=trust(args.before_trust) if args.before_trust is not None else None,
        allow_withheld=args.allow_withheld,
    )


def reader_clock(args: Namespace) -> datetime | None:
    """The time that counts as the reader's: this machine's, the one given, or none.

    Raises:
        CommandProblem: It is no time, or two things are asked for.
    """
    from rogatory.statements import utc_now

    if args.at is None:
        return None if args.no_clock else utc_now()
    if args.no_clock:
        raise CommandProblem("--at and --no-clock exclude each other")
    try:
        found = datetime.fromisoformat(args.at)
    except ValueError:
        raise CommandProblem(f"{args.at!r} is no time", hint="2026-05-04, or 2026-05-04T12:00:00Z") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def language(args: Namespace) -> str:
    """The language asked for, else that of the terminal, else English.

    Raises:
        CommandProblem: There are no words in the language asked for.
    """
    from custody.words import DEFAULT, languages

    if args.lang is not None:
        if args.lang not in languages():
            raise CommandProblem(f"no words in {args.lang!r}, expected one of {', '.join(languages())}")
        return str(args.lang)
    locale = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    found = re.split(r"[_.@]", locale)[0].lower()
    return found if found in languages() else DEFAULT


def trust(path: Path) -> "Trust":
    """The trust file at a path.

    Raises:
        OSError: It cannot be read.
        CommandProblem: It cannot be understood.
    """
    from custody.errors import FormatError
    from custody.trust import Trust
    from rogatory.errors import exit_code_of

    try:
        return Trust.parse(path.read_bytes())
    except FormatError as error:
        hint = "a trust file is what `rogatory trust init` writes; `rogatory profile show` says where it lies"
        raise CommandProblem(f"{path}: {error}", code=error.code, hint=hint, exit_code=exit_code_of(error)) from error


def _there(path: Path | None) -> Any:
    """A path that exists; a check must not be skipped because its directory was misspelt."""
    if path is not None:
        path.stat()
    return path


_CLOCK = "the verifier's clock"
"""Stands in the findings that depend on it."""

TRUST = option(
    "--trust",
    about="the trust file: whom to believe. Without it everything is compared, nobody is believed, nothing is verified",
    metavar="FILE",
    type=Path,
    completes="file",
)
CHECKING = (
    TRUST,
    option(
        "--items",
        about="directory with received items (age files `<item>.age` or bodies), to be compared with the manifest",
        metavar="DIR",
        type=Path,
        completes="directory",
    ),
    option(
        "--mirror",
        about="directory of `log mirror`, from which labels, tails and roots are recomputed",
        metavar="DIR",
        type=Path,
        completes="directory",
    ),
    option(
        "--since",
        about="an older or newer bundle or checkpoint of the same log; shows a rollback or a split view",
        metavar="FILE",
        type=Path,
        completes="file",
    ),
    option(
        "--before",
        about="a bundle of the log before this one, from its end: shows that what goes on here follows what was there",
        metavar="FILE",
        type=Path,
        completes="file",
    ),
    option(
        "--before-trust",
        about="the trust file of that log; without it nothing in that bundle is believed",
        metavar="FILE",
        type=Path,
        completes="file",
    ),
    option(
        "--at",
        about="judge as of this time (UTC) instead of this machine's: a date, or 2026-05-04T12:00:00Z",
        metavar="TIME",
    ),
    flag("--no-clock", about="let no clock count; then nothing shows that stamps were renewed in time"),
    option(
        "--lang",
        about="language of the report, en or fr; otherwise that of LC_ALL, LC_MESSAGES or LANG; codes stay as they are",
        metavar="LANG",
    ),
    flag("--allow-withheld", about="entries that are proven but not disclosed do not make it incomplete"),
)
COMMANDS = (
    Command(
        "verify",
        "check a bundle or export offline, and print what holds and what was not checked",
        verify,
        (positional("bundle", "a bundle or export", metavar="BUNDLE", type=Path, completes="file"), *CHECKING),
        about="Works without network, without a profile, without the service: the trust file decides whom to believe, "
        "everything else is checked.\n\n"
        "Each check ends as PASS, FAIL or NOT CHECKED with the reason. The word verified and exit code 0 "
        "appear only if "
        "every check that the trust file demands is PASS. Otherwise the first that applies: 3 malformed, 24 "
        "unsupported, "
        "20 tampered, 25 rollback, 22 signer or quorum, 23 time, 21 incomplete. With --quiet only "
        "the verdict is printed.\n\n"
        "This machine's clock counts: nothing may come from after it, and certificates of stamps must last until now "
        "or have been renewed in time. A clock that is behind ends in 23; --at names the right time.",
        examples=(
            "rogatory verify bundle.zip --trust trust.json",
            "rogatory verify bundle.zip --trust trust.json --items received/ --mirror log-mirror/",
            "rogatory verify bundle.zip --trust trust.json --lang fr",
            "rogatory verify bundle.zip --trust trust.json --before old.zip --before-trust old-trust.json",
            "rogatory verify bundle.zip --trust trust.json --json",
        ),
        then="rogatory sheet BUNDLE -o sheet.html --trust FILE prints it for the file of the case.",
    ),
)
