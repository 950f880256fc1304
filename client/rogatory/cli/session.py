"""Which profile, whose keys, which client: what most commands begin with."""

import os
from argparse import Namespace
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rogatory.cli.command import CommandProblem
from rogatory.cli.tui import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rogatory.client import Client
    from rogatory.keyring import Keyring
    from rogatory.profile import Profile

_CHOSEN = "current"


def profile_name(args: Namespace) -> str:
    """The profile asked for: the option, the environment, the one chosen, the default one."""
    from rogatory.profile import DEFAULT

    return str(args.profile or os.environ.get("ROGATORY_PROFILE") or chosen_name() or DEFAULT)


def chosen_name() -> str | None:
    """What `profile use` chose."""
    path = _chosen_file()
    return path.read_text(encoding="utf-8").strip() or None if path.exists() else None


def choose(name: str) -> None:
    """Make a profile the one that is used where none is named."""
    from rogatory import private_files

    private_files.make_directory(_chosen_file().parent)
    private_files.replace(_chosen_file(), name.encode() + b"\n")


def _chosen_file() -> Path:
    from rogatory.profile import home_directory

    return home_directory() / _CHOSEN


def load_profile(args: Namespace) -> "Profile":
    """The profile asked for."""
    return load_named(profile_name(args))


def load_named(name: str) -> "Profile":
    """The profile of this name."""
    from rogatory.profile import Profile, ProfileMissing, home_directory

    try:
        return Profile.load(name)
    except ProfileMissing as error:
        raise CommandProblem(
            f"there is no profile {name!r} in {home_directory()}",
            code=error.code,
            hint="rogatory profile create --server URL --authority ID",
            exit_code=error.exit_code,
        ) from error


def keyring(args: Namespace, terminal: Terminal) -> "Keyring":
    """The keyring of `--keys`, else of the profile."""
    from rogatory.keyring import Keyring

    directory = getattr(args, "keys", None)
    return Keyring(directory or load_profile(args).keys, terminal.passphrase())


@contextmanager
def client(args: Namespace, terminal: Terminal) -> "Iterator[Client]":
    """A client for the profile asked for, closed at the end."""
    from rogatory.client import Client

    with Client(load_profile(args), passphrase=terminal.passphrase()) as found:
        yield found
