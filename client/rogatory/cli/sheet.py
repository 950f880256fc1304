"""`sheet`: the custody sheet, one page for the file of the case."""

from argparse import Namespace
from pathlib import Path

from rogatory.cli.command import Command, CommandProblem, Outcome, flag, option, positional
from rogatory.cli.tui import Terminal, escape
from rogatory.cli.verify import CHECKING, check, language


def sheet(args: Namespace, terminal: Terminal) -> Outcome:
    """Verify a bundle and write its custody sheet."""
    from custody.text import to_time
    from rogatory import sheet as page
    from rogatory.statements import utc_now

    del terminal
    if args.output.exists() and not args.replace:
        raise CommandProblem(
            f"{args.output}: there is a file of this name",
            code="file-exists",
            hint="choose another name, or --replace",
            exit_code=7,
        )
    chosen = language(args)
    report = check(args)
    html = page.render(args.bundle, report, made_at=to_time(utc_now()), language=chosen)
    with args.output.open("wb" if args.replace else "xb") as file:
        file.write(html.encode())
    word = "verified" if report.verified else f"NOT verified: {report.verdict}"
    fields = {
        "file": str(args.output),
        "verified": report.verified,
        "verdict": report.verdict,
        "exit_code": report.exit_code,
    }
    return Outcome(fields, f"wrote {escape(str(args.output))}; the bundle is {word}", report.exit_code)


COMMANDS = (
    Command(
        "sheet",
        "verify a bundle and write its custody sheet, one printable HTML page",
        sheet,
        (
            positional("bundle", "a bundle or export", metavar="BUNDLE", type=Path, completes="file"),
            option("-o", "--output", about="file to write", metavar="FILE", type=Path, required=True, completes="file"),
            *CHECKING,
            flag("--replace", about="write over a file of this name"),
        ),
        about="Who, what, when, digests, verdict, what was checked and what was not, and whom one is trusting. "
        "The page "
        "stands alone: no scripts, nothing is loaded. It is written also where the bundle is not verified, and "
        "says so; "
        "the exit code is that of `verify`.",
        examples=("rogatory sheet bundle.zip -o sheet.html --trust trust.json",),
        then="print it; whoever doubts it runs rogatory verify on the bundle it names by its SHA-256.",
    ),
)
