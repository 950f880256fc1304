"""`redact`: a bundle for somebody who may see a part of the exchange only."""

import re
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from rogatory.cli.command import Command, CommandProblem, Outcome, option, positional
from rogatory.cli.tui import Terminal, escape

if TYPE_CHECKING:
    from collections.abc import Callable

    from custody.bundle import Bundle
    from custody.entry import Entry


def redact(args: Namespace, terminal: Terminal) -> Outcome:
    """Write a bundle from which entries are withheld."""
    from custody.bundle import open_bundle
    from custody.packing import parse_leaves, split_lines
    from custody.redaction import redacted_files
    from rogatory.containers import write_container

    bundle = open_bundle(args.bundle)
    try:
        if bundle.names("renewal/"):
            terminal.note("renewals list files that are no longer the same, and are left out: renew the new bundle")
        write_container(redacted_files(bundle, disclosed(args, bundle)), args.output)
    finally:
        bundle.close()
    made = open_bundle(args.output)
    try:
        total, shown = len(parse_leaves(made.read("leaves.jsonl"))), len(split_lines(made.read("entries.jsonl")))
    finally:
        made.close()
    text = [
        f"wrote {escape(str(args.output))}: {shown} of {total} entries are disclosed, the rest proven only",
        f"next: rogatory verify {escape(str(args.output))} --trust FILE --allow-withheld",
    ]
    return Outcome({"file": str(args.output), "disclosed": shown, "entries": total}, "\n".join(text))


def disclosed(args: Namespace, bundle: "Bundle") -> "Callable[[Entry], bool]":
    """Which entries are shown: of the packages named, and none that was named to be withheld."""
    from custody.redaction import only, without

    if not args.only and not args.withhold:
        raise CommandProblem("nothing to withhold", hint="--only PACKAGE, or --withhold SEQ")
    shown = only(*_packages(args.only, bundle)) if args.only else without()
    rest = without(*(seq for text in args.withhold or () for seq in _range(text)))
    return lambda made: shown(made) and rest(made)


def _packages(begun: list[str], bundle: "Bundle") -> list[str]:
    """Whole ids of packages, of which a beginning is enough."""
    from custody import entry
    from custody.packing import split_lines

    known = {entry.parse(line).subject.get("package") for line in split_lines(bundle.read("entries.jsonl"))} - {None}
    found = []
    for text in begun:
        fitting = [package for package in known if package and package.startswith(text)]
        if len(fitting) != 1:
            word = "no package" if not fitting else f"{len(fitting)} packages"
            raise CommandProblem(f"{word} in the bundle begin with {text!r}", code="not-found", exit_code=6)
        found += fitting
    return found


def _range(text: str) -> range:
    found = re.fullmatch(r"([0-9]{1,15})(?:-([0-9]{1,15}))?", text)
    if not found:
        raise CommandProblem(f"{text!r} is no seq or range of them", hint="--withhold 7, or --withhold 7-12")
    return range(int(found[1]), int(found[2] or found[1]) + 1)


WHAT = (
    option("--only", about="disclose what speaks of this package; may be repeated", action="append", metavar="PACKAGE"),
    option(
        "--withhold",
        "--redact",
        about="withhold the entry with this seq, or these; may be repeated",
        action="append",
        metavar="SEQ[-SEQ]",
    ),
)
COMMANDS = (
    Command(
        "redact",
        "write a bundle from which entries are withheld, and which still proves",
        redact,
        (
            positional("bundle", "a whole bundle or export", metavar="BUNDLE", type=Path, completes="file"),
            option("-o", "--output", about="file to write", metavar="FILE", type=Path, required=True, completes="file"),
            *WHAT,
        ),
        about="A withheld entry appears as hash, salt and place: chain, inclusion and completeness still prove, and "
        "the report says which seq are withheld. With --only the parties and the end of the exchange stay visible. "
        "What takes all entries (`rules`, `conditions`) cannot be checked any more: under a trust file that demands "
        "these the verdict is incomplete, with --allow-withheld too (`trust demand --drop` makes one that does not).",
        examples=("rogatory redact bundle.zip --only 3fa4c1d2 -o for-the-defence.zip",),
        then="rogatory verify for-the-defence.zip --trust FILE --allow-withheld.",
    ),
)  # fmt: skip
