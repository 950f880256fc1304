"""`witness`: cosigning a log that somebody else runs."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rogatory.cli import session
from rogatory.cli.command import Command, CommandProblem, Outcome, flag, option
from rogatory.cli.tui import Terminal, columns, escape, facts

if TYPE_CHECKING:
    from rogatory.profile import Profile
    from rogatory.witness import Witness

_DIRECTORY = option(
    "--directory",
    about="where the witness lies (default: `witness` or `auditor` beside the profile)",
    metavar="DIR",
    type=Path,
    completes="directory",
)
_AUDITOR = flag("--auditor", about="the auditor of this profile, whose name and keys are others than the witness's")


def init(args: Namespace, terminal: Terminal) -> Outcome:
    """Make a witness's keys, and follow the profile's log."""
    from rogatory import trust_file
    from rogatory.witness import NAME, Witness

    profile = session.load_profile(args)
    trust = trust_file.load(profile.trust)
    directory = place(args, profile, auditor=args.auditor)
    kind = "auditor" if args.auditor else "witness"
    if (directory / NAME).exists():
        found = Witness(directory)
        if args.name and args.name != found.name:
            raise CommandProblem(
                f"the {kind} in {directory} is {found.name}", hint="name another --directory", exit_code=7
            )
    else:
        found = Witness.create(directory, args.name or f"{profile.authority}/{kind}")
    found.follow(trust.origin, trust.log)
    terminal.note("give the operator the keys: rogatory-server witness add AUTHORITY KEY KEY")
    return Outcome(_fields(found), _shown(found, profile))


def show(args: Namespace, terminal: Terminal) -> Outcome:
    """Show a witness."""
    del terminal
    profile = session.load_profile(args)
    found = load(args, profile, auditor=args.auditor)
    return Outcome(_fields(found), _shown(found, profile))


def once(args: Namespace, terminal: Terminal) -> Outcome:
    """Fetch, check, cosign, hand back."""
    from rogatory.connection import Connection
    from rogatory.log import PublicLog
    from rogatory.witness import once as cosign

    del terminal
    profile = session.load_profile(args)
    found = load(args, profile, auditor=False)
    connection = Connection(profile.server, ca_file=profile.ca_file)
    try:
        checkpoint = cosign(found, profile.origin, PublicLog(connection, profile.origin))
    finally:
        connection.close()
    fields = {
        "witness": found.name,
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
    }
    return Outcome(fields, f"{escape(found.name)} cosigned {escape(checkpoint.origin)} at {checkpoint.size} leaves")


def serve(args: Namespace, terminal: Terminal) -> Outcome:
    """Answer requests to cosign until interrupted."""
    from rogatory import private_files
    from rogatory.witness import clock
    from rogatory.witness_server import WitnessServer

    profile = session.load_profile(args)
    found = load(args, profile, auditor=False)
    if (args.certificate is None) != (args.key is None):
        raise CommandProblem("a certificate and its key go together", hint="give --certificate and --key")
    if (args.certificate is None) != args.behind_proxy:
        raise CommandProblem(
            "a certificate, or a proxy that has one: expected one of the two",
            hint="give --certificate and --key; --behind-proxy where a proxy on this host speaks TLS",
        )
    tls = (args.certificate, args.key) if args.certificate else None
    host, port = _address(args.listen)
    server = WitnessServer(
        (host, port), found, prefix=args.prefix, time=clock, tls=tls, tell=lambda line: terminal.warn(escape(line))
    )
    with server:
        terminal.note(f"{escape(found.name)} answers at {server.url}; interrupt to end")
        if args.ready_file:
            private_files.replace(args.ready_file.absolute(), f"{server.url}\n".encode())
        server.serve_forever()
    return Outcome({"witness": found.name, "url": server.url})


def place(args: Namespace, profile: "Profile", *, auditor: bool) -> Path:
    """Where the witness or auditor of a profile lies."""
    return (args.directory or profile.directory / ("auditor" if auditor else "witness")).absolute()


def load(args: Namespace, profile: "Profile", *, auditor: bool) -> "Witness":
    """The witness or auditor that is meant."""
    from rogatory.private_files import FileMissing
    from rogatory.witness import Witness

    directory = place(args, profile, auditor=auditor)
    try:
        return Witness(directory)
    except FileMissing as error:
        hint = "rogatory witness init" + (" --auditor" if auditor else "")
        raise CommandProblem(f"no witness in {directory}", code=error.code, hint=hint, exit_code=6) from error


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise CommandProblem(f"{text[:100]!r} is no address, expected HOST:PORT")
    return host.strip("[]"), int(port)


def _fields(found: "Witness") -> dict[str, Any]:
    logs = []
    for origin, keys in found.logs().items():
        held = found.held(origin)
        logs.append(
            {
                "origin": origin,
                "keys": [str(key) for key in keys],
                "size": held.checkpoint.size if held else None,
                "root": held.checkpoint.root.hex() if held else None,
            }
        )
    return {
        "name": found.name,
        "directory": str(found.directory),
        "keys": [str(key) for key in found.keys],
        "logs": logs,
        "forks": [str(path) for path in found.forks()],
    }


def _shown(found: "Witness", profile: "Profile") -> str:
    from rogatory.witness import policy_lines

    rows = []
    for origin in found.logs():
        held = found.held(origin)
        size, root = (str(held.checkpoint.size), held.checkpoint.root.hex()) if held else ("-", "never cosigned")
        rows.append((escape(origin), size, root))
    about = facts({"name": found.name, "directory": found.directory, "forks kept": len(found.forks()) or None})
    lines = policy_lines(found.keys, profile.authority)
    return "\n\n".join(
        [
            about,
            columns(rows, head=("log", "size", "newest cosigned")),
            f"as a policy names it:\n\n{escape(lines, lines=True)}",
        ]
    )


COMMANDS = (
    Command(
        "witness init",
        "make the keys of a co-signing authority, and follow the profile's log",
        init,
        (
            _AUDITOR,
            option("--name", about="its name in cosignatures (default: authority id and /witness)", metavar="NAME"),
            _DIRECTORY,
        ),
        about="A witness cosigns only a log that continues what it cosigned before, so that no operator can show "
        "two histories. It sees random bytes and learns nothing of any matter. Its keys lie unlocked, mode 0600, for "
        "they must work at night. Never restore its directory from a backup: an older memory would cosign a fork. "
        "Make a new witness instead.",
        examples=("rogatory witness init", "rogatory witness init --auditor"),
        then="rogatory witness show gives the keys for the operator; then once from cron, or serve.",
    ),
    Command(
        "witness show",
        "show a witness: its keys, and what it has cosigned",
        show,
        (_AUDITOR, _DIRECTORY),
        examples=("rogatory witness show",),
    ),
    Command(
        "witness once",
        "fetch the newest checkpoint, check it, cosign it, hand it back",
        once,
        (_DIRECTORY,),
        about="For cron: needs no inbound port and no login. Exit code 25 if the log is shorter or another than the "
        "one cosigned before; the proof is kept then.",
        examples=("rogatory witness once --quiet",),
    ),
    Command(
        "witness serve",
        "answer the log's requests to cosign (C2SP tlog-witness)",
        serve,
        (
            option(
                "--listen",
                about="address and port (default: 127.0.0.1:8447)",
                metavar="HOST:PORT",
                default="127.0.0.1:8447",
            ),
            option("--prefix", about="path before /add-checkpoint", metavar="PATH", default=""),
            option("--certificate", about="certificate chain in PEM", metavar="FILE", type=Path, completes="file"),
            option("--key", about="its private key in PEM", metavar="FILE", type=Path, completes="file"),
            flag("--behind-proxy", about="speak plain HTTP to a proxy on this host that speaks TLS"),
            option(
                "--ready-file",
                about="written with the URL once connections are taken",
                metavar="FILE",
                type=Path,
                completes="file",
            ),
            _DIRECTORY,
        ),
        about="Speaks TLS by the certificate given; begin anew when it was renewed. Plain HTTP only by --behind-proxy. "
        "Requests need no login: what counts is the log's signature.",
        examples=(
            "rogatory witness serve --listen 0.0.0.0:8447 --certificate chain.pem --key key.pem",
            "rogatory witness serve --behind-proxy",
        ),
        then="rogatory-server witness add AUTHORITY KEY KEY --url URL, at the operator's.",
    ),
)
