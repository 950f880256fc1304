"""`profile`: which service, as whom."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rogatory.cli import session
from rogatory.cli.command import Command, CommandProblem, Outcome, flag, option, positional
from rogatory.cli.tui import Terminal, columns, escape, facts

if TYPE_CHECKING:
    from rogatory.profile import Profile


def create(args: Namespace, terminal: Terminal) -> Outcome:
    """Write a profile."""
    from rogatory.profile import Profile, directory_of, names

    name = args.name or session.profile_name(args)
    if name in names() and not args.replace:
        raise CommandProblem(
            f"profile {name!r} is there already",
            code="profile-exists",
            hint="--replace writes it anew; keys, trust file and records stay",
            exit_code=7,
        )
    origin = args.origin or _origin(args)
    profile = Profile.at(
        directory_of(name),
        server=args.server,
        origin=origin,
        authority=args.authority,
        principal=args.principal or "",
        keys=args.keys,
        trust=args.trust,
        ca_file=args.ca_file,
    )
    profile.save()
    first = not session.chosen_name()
    if first:
        session.choose(name)
    terminal.note("next: rogatory trust init, then rogatory keys generate authority (or principal)")
    return Outcome({"name": name, "chosen": first} | _fields(profile), f"profile {name}\n{_shown(profile)}")


def listing(args: Namespace, terminal: Terminal) -> Outcome:
    """List the profiles."""
    from rogatory.profile import Profile, names

    del terminal
    chosen = session.profile_name(args)
    found = [(name, Profile.load(name)) for name in names()]
    rows = [("*" if name == chosen else " ", name, p.authority, p.server) for name, p in found]
    return Outcome(
        {"profiles": [{"name": name, "chosen": name == chosen} | _fields(profile) for name, profile in found]},
        columns(rows, head=("", "name", "authority", "server")) or "there are none: rogatory profile create",
    )


def show(args: Namespace, terminal: Terminal) -> Outcome:
    """Show one profile."""
    del terminal
    name = args.name or session.profile_name(args)
    profile = session.load_named(name)
    return Outcome({"name": name} | _fields(profile), f"profile {escape(name)}\n{_shown(profile)}")


def use(args: Namespace, terminal: Terminal) -> Outcome:
    """Choose the profile that is used from now on."""
    del terminal
    session.load_named(args.name)
    session.choose(args.name)
    return Outcome({"chosen": args.name}, f"using profile {args.name}")


def _origin(args: Namespace) -> str:
    """What the service calls its log; nothing is trusted by this, `trust init` compares the keys."""
    from rogatory.connection import Connection

    connection = Connection(args.server, ca_file=args.ca_file)
    try:
        return str(connection.service()["origin"])
    finally:
        connection.close()


def _fields(profile: "Profile") -> dict[str, Any]:
    return {
        "server": profile.server,
        "origin": profile.origin,
        "authority": profile.authority,
        "principal": profile.principal or None,
        "keys": str(profile.keys),
        "trust": str(profile.trust),
        "ca_file": str(profile.ca_file) if profile.ca_file else None,
        "directory": str(profile.directory),
    }


def _shown(profile: "Profile") -> str:
    return facts(_fields(profile))


COMMANDS = (
    Command(
        "profile create",
        "write down which service to use, as whom",
        create,
        (
            positional("name", "name of the profile (default: default)", nargs="?", metavar="NAME"),
            option("--server", about="address of the service, https://…", metavar="URL", required=True),
            option("--authority", about="id of your authority", metavar="ID", required=True),
            option("--origin", about="origin of the service's log (default: asked from the service)"),
            option("--principal", about="id of your client or officer, if it is enrolled already", metavar="ID"),
            option(
                "--ca-file",
                about="PEM of the CA that signed the service's certificate (default: the system's)",
                metavar="FILE",
                type=Path,
                completes="file",
            ),
            option("--keys", about="directory of the keys", metavar="DIR", type=Path, completes="directory"),
            option("--trust", about="the trust file", metavar="FILE", type=Path, completes="file"),
            flag("--replace", about="write a profile of this name anew"),
        ),
        examples=("rogatory profile create --server https://evidence.example.org --authority pt.pgr",),
        then="rogatory trust init decides which log to trust.",
    ),
    Command("profile list", "list the profiles", listing, examples=("rogatory profile list",)),
    Command(
        "profile show",
        "show a profile",
        show,
        (positional("name", "name of the profile (default: the one in use)", nargs="?", metavar="NAME"),),
        examples=("rogatory profile show",),
    ),
    Command(
        "profile use",
        "choose the profile used from now on",
        use,
        (positional("name", "name of the profile", metavar="NAME"),),
        about="--profile and ROGATORY_PROFILE still go before it.",
        examples=("rogatory profile use training",),
    ),
)
