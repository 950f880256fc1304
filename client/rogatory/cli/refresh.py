"""`refresh`: adding to a bundle what auditors have cosigned since."""

from argparse import Namespace
from pathlib import Path

from rogatory.cli import session
from rogatory.cli.command import Command, Outcome, option, positional
from rogatory.cli.tui import Terminal, escape


def refresh(args: Namespace, terminal: Terminal) -> Outcome:
    """Add what auditors have cosigned since the bundle was made."""
    from custody.bundle import open_bundle
    from rogatory import refresh as refreshing

    with session.client(args, terminal) as client:
        bundle = open_bundle(args.bundle)
        try:
            added, found = refreshing.refresh(bundle, client.trust, client.log_reader)
            refreshing.write(bundle, added, args.output)
        finally:
            bundle.close()
    lines = [f"{escape(name)} recomputed the log's first {size} leaves" for name, size in sorted(found.items())]
    lines.append(f"wrote {escape(str(args.output))}; next: rogatory verify it, completeness included")
    return Outcome({"file": str(args.output), "auditors": found}, "\n".join(lines))


COMMANDS = (
    Command(
        "refresh",
        "add to a bundle what auditors have cosigned since it was made",
        refresh,
        (
            positional("bundle", "a bundle or export", metavar="BUNDLE", type=Path, completes="file"),
            option(
                "-o",
                "--output",
                about="file to write; never overwritten",
                metavar="FILE",
                type=Path,
                required=True,
                completes="file",
            ),
        ),
        about="To ask for a bundle makes the log grow, so no auditor has yet seen its end. Once those of your trust "
        "file have run `log mirror --cosign`, this adds the checkpoints they cosigned, with the proof that they "
        "continue the bundle's: `verify` then shows without a mirror that nothing was left out. Needs no login. "
        "Refresh before you renew.",
        examples=("rogatory refresh bundle.zip -o complete.zip",),
        then="rogatory verify complete.zip --trust FILE.",
    ),
)
