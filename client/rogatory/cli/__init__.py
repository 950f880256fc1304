"""The `rogatory` command line."""

from rogatory.cli.program import main

__all__ = ["main"]
