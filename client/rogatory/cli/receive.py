"""`inbox` and `receive`: what was sent to us, fetched, opened and checked."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rogatory.cli import session
from rogatory.cli.command import Command, Outcome, flag, option, positional
from rogatory.cli.exchange import short
from rogatory.cli.tui import Terminal, columns, count, escape, size

if TYPE_CHECKING:
    from rogatory.receive import Received

PACKAGE = positional("package", "id of the package, or an unambiguous beginning", metavar="PACKAGE")


def inbox(args: Namespace, terminal: Terminal) -> Outcome:
    """List the packages sent to us."""
    with session.client(args, terminal) as client:
        found = client.packages() if args.all else client.inbox()
    ids = [row["id"] for row in found]
    rows = [
        (
            short(row["id"], ids),
            str(row.get("created_at", ""))[:10],
            str(row.get("state", "")),
            str(len(row.get("items", ()))),
            size(sum(item.get("size", 0) for item in row.get("items", ()))),
            row["exchange"][:8],
        )
        for row in found
    ]
    shown = columns(rows, head=("package", "sent", "state", "items", "size", "exchange"))
    return Outcome({"packages": found}, shown or "there are none")


def receive(args: Namespace, terminal: Terminal) -> Outcome:
    """Fetch, open and check a package."""
    profile = session.load_profile(args)
    with session.client(args, terminal) as client:
        offer = client.look(args.package)
        package = offer.package
        target = (args.to or Path(f"package-{package[:8]}")).absolute()
        terminal.resumable = f"rogatory receive {package[:8]} --to {target} goes on where it stopped"
        remember(profile.directory, package, target)
        with terminal.progress(offer.size, "receiving") as bar:
            received = client.receive(
                offer,
                target,
                accept_conditions=args.accept_conditions,
                unpack=args.unpack,
                keep_sealed=args.keep_sealed,
                purpose=args.purpose,
                progress=bar.at,
            )
    return _outcome(received, target, offer.manifest.authority)


def _outcome(received: "Received", target: Path, sender: str) -> Outcome:
    text = [
        f"package {received.package[:8]} of {escape(sender)} is in {escape(str(target))}",
        f"{count(len(received.items), 'item')} as in the manifest, {count(received.files, 'file')} as in the inventory",
    ]
    text += [f"look twice at the name {escape(name)}: {', '.join(why)}" for name, why in received.flagged]
    text += [f"not made here: {escape(name)}: {escape(why)}" for name, why in received.skipped]
    text += [
        f"check again at any time: cd {escape(str(target))} && sha256sum -c SHA256SUMS",
        f"next: rogatory receipt accept {received.package[:8]}",
    ]
    fields: dict[str, Any] = {
        "package": received.package,
        "sender": sender,
        "directory": str(target),
        "manifest": received.manifest,
        "complete": received.complete,
        "files": received.files,
        "items": [
            {"id": item.id, "sha256": item.sha256, "blake3": item.blake3, "plaintext": item.plaintext}
            for item in received.items
        ],
        "flagged": [{"name": name, "why": list(why)} for name, why in received.flagged],
        "skipped": [{"name": name, "why": why} for name, why in received.skipped],
    }
    return Outcome(fields, "\n".join(text), 0 if not received.skipped else 8)


def remember(profile: Path, package: str, target: Path) -> None:
    """Note where a package is received, so that the receipt finds it."""
    import os

    from rogatory import private_files

    folder = private_files.make_directory(profile / "received")
    private_files.replace(folder / package, os.fsencode(target))


def remembered(profile: Path, package: str) -> Path | None:
    """Where a package was received."""
    import os

    path = profile / "received" / package
    return Path(os.fsdecode(path.read_bytes())) if path.exists() else None


COMMANDS = (
    Command(
        "inbox",
        "list the packages sent to your authority that it has not answered",
        inbox,
        (flag("--all", about="also those answered, unfinished or sent by your authority"),),
        examples=("rogatory inbox", "rogatory inbox --json"),
        then="rogatory receive PACKAGE.",
    ),
    Command(
        "receive",
        "fetch a package, open it and check every digest",
        receive,
        (
            PACKAGE,
            option(
                "--to",
                about="directory, new or empty (default: package-<id> here)",
                metavar="DIR",
                type=Path,
                completes="directory",
            ),
            flag("--accept-conditions", about="accept the sender's conditions by your signature"),
            flag("--unpack", about="make files of archives, as far as their names are harmless"),
            flag("--keep-sealed", about="keep the items as age files too"),
            option(
                "--purpose",
                about="code of the purpose, for the record (default: investigation)",
                metavar="CODE",
                default="investigation",
            ),
        ),
        about="Checked are: the manifest's signature down to the sender's pinned key, each part as it comes, "
        "both digests of "
        "each body, then each file against the sender's inventory. Nothing is published in the directory before "
        "everything agrees. SHA256SUMS there is what `sha256sum -c` reads.\n\nInterrupted, the same command goes on.",
        examples=(
            "rogatory receive 7c20ab91 --to evidence/ --unpack",
            "rogatory receive 7c20ab91 --accept-conditions --keep-sealed",
        ),
        then="rogatory receipt accept PACKAGE, or reject it with a reason.",
    ),
)
