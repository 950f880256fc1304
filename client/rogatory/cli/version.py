"""`version`."""

import platform
from argparse import Namespace

from rogatory.cli.command import Command, Outcome
from rogatory.cli.tui import Terminal


def version(args: Namespace, terminal: Terminal) -> Outcome:
    """Say which version this is."""
    from importlib.metadata import version as of

    del args, terminal
    fields = {"rogatory": of("rogatory"), "custody": of("rogatory-custody"), "python": platform.python_version()}
    return Outcome(fields, f"rogatory {fields['rogatory']} (custody {fields['custody']}, python {fields['python']})")


COMMANDS = (Command("version", "say which version this is", version, examples=("rogatory version --json",)),)
