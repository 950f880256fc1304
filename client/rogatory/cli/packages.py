"""`receipt` and `grant`: our signed answer to a package, and handing its keys on."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from rogatory.cli import session
from rogatory.cli.command import Command, Outcome, option
from rogatory.cli.receive import PACKAGE, remembered
from rogatory.cli.tui import Terminal, escape

if TYPE_CHECKING:
    from rogatory.receive import Received

_FROM = option(
    "--from",
    about="directory it was received into (default: where `receive` put it)",
    dest="from_",
    metavar="DIR",
    type=Path,
    completes="directory",
)


def accept(args: Namespace, terminal: Terminal) -> Outcome:
    """Sign that everything agrees."""
    from rogatory.errors import NotFound
    from rogatory.ids import exchange_id
    from rogatory.receive import Received

    profile = session.load_profile(args)
    with session.client(args, terminal) as client:
        package = str(client.package(args.package)["id"])
        directory = args.from_ or remembered(profile.directory, package)
        if directory is None:
            raise NotFound(f"package {package[:8]} was not received here", hint=f"rogatory receive {package[:8]}")
        received = Received.load(directory)
        lodged = client.accept(received)
    fields = {"package": package, "outcome": "accepted", "index": lodged.record.index, "seq": lodged.entry.seq}
    exchange = exchange_id(received.chain)[:8]
    text = f"package {package[:8]} is accepted; the receipt stands in the log\nnext: rogatory bundle {exchange} -o FILE"
    return Outcome(fields, text)


def reject(args: Namespace, terminal: Terminal) -> Outcome:
    """Sign that it is refused, and why."""
    profile = session.load_profile(args)
    with session.client(args, terminal) as client:
        package = str(client.package(args.package)["id"])
        found = _found(args.from_ or remembered(profile.directory, package))
        lodged = client.reject(found or client.look(package), reason=args.reason)
    fields = {
        "package": package,
        "outcome": "rejected",
        "reason": args.reason,
        "index": lodged.record.index,
        "seq": lodged.entry.seq,
    }
    return Outcome(fields, f"package {package[:8]} is rejected ({escape(args.reason)}); the receipt stands in the log")


def _found(directory: Path | None) -> "Received | None":
    """What was found of it, where it was received at least in part."""
    from rogatory.receive import PARTIAL, REPORT, Received

    for place in [directory, directory / PARTIAL] if directory else []:
        if (place / REPORT).exists():
            return Received.load(place)
    return None


def grant(args: Namespace, terminal: Terminal) -> Outcome:
    """Hand the keys of a package to another authority."""
    with session.client(args, terminal) as client:
        offer = client.look(args.package)
        _, lodged = client.grant(offer, to=args.to)
        package = offer.package
    fields = {"package": package, "to": args.to, "index": lodged.record.index, "seq": lodged.entry.seq}
    names = escape(", ".join(args.to))
    return Outcome(fields, f"{names} can open package {package[:8]} from now on, as soon as it is a party")


COMMANDS = (
    Command(
        "receipt accept",
        "sign that everything of a package arrived and agrees",
        accept,
        (PACKAGE, _FROM),
        about="Signs the digests that `receive` found, item by item. Only what was received whole can be accepted.",
        examples=("rogatory receipt accept 7c20ab91",),
        then="rogatory bundle EXCHANGE -o FILE, and rogatory verify it without the service.",
    ),
    Command(
        "receipt reject",
        "sign that a package is refused, and why",
        reject,
        (
            PACKAGE,
            option(
                "--reason",
                about="a code, such as digest_mismatch, cannot_open, wrong_recipient",
                metavar="CODE",
                default="refused",
            ),
            _FROM,
        ),
        examples=("rogatory receipt reject 7c20ab91 --reason digest_mismatch",),
        then="tell the sender, who can send it again.",
    ),
    Command(
        "grant",
        "hand the keys of a package on: to a court, the defence, another authority",
        grant,
        (
            PACKAGE,
            option(
                "--to",
                about="authority, pinned in the trust file; may be repeated",
                action="append",
                metavar="AUTHORITY",
                required=True,
            ),
        ),
        about="The bodies stay as they are; a new header for each is sealed to the authority's keys and named "
        "in a signed "
        "grant. It must be a party of the exchange to fetch anything: rogatory exchange add-party.",
        examples=("rogatory grant 7c20ab91 --to es.court",),
    ),
)
