"""`send`: sealing evidence and handing it over."""

import re
from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rogatory.cli import session
from rogatory.cli.command import Command, CommandProblem, Outcome, flag, option, positional
from rogatory.cli.tui import Terminal, columns, count, escape, size

if TYPE_CHECKING:
    from datetime import datetime

    from rogatory.terms import Plan, Progress, Sent, Terms

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGkmg]?)(?:i?B?(?:/s)?)?")
_DAYS = re.compile(r"(\d{1,5})d")
_MOST_LANES = 32
_SLOWEST = 2048
_FACTORS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def rate(text: str) -> float:
    """Bytes a second, as `800K` or `12.5M`."""
    found = _RATE.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise ArgumentTypeError(f"{text!r} is no rate, expected one like 800K or 12.5M (bytes a second)")
    bytes_a_second = float(found[1]) * _FACTORS[found[2].lower()]
    if bytes_a_second < _SLOWEST:
        raise ArgumentTypeError(f"{text!r} is slower than a service waits for, expected at least 2K")
    return bytes_a_second


def parallel(text: str) -> int:
    """How many requests at once."""
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_LANES:
        raise ArgumentTypeError(f"{text!r} requests at once, expected 1 to {_MOST_LANES}")
    return int(text)


def pair(separator: str) -> "type[tuple[str, str]] | Any":
    """A parser of `NAME<separator>VALUE` with an optional value."""

    def parse(text: str) -> tuple[str, str]:
        name, _, value = text.partition(separator)
        if not name:
            raise ArgumentTypeError(f"{text!r} has no name before {separator!r}")
        return name, value

    return parse


def send(args: Namespace, terminal: Terminal) -> Outcome:
    """Seal evidence and hand it over."""
    if args.resume is not None:
        return _resume(args, terminal)
    if args.abandon:
        return _abandon(args, terminal)
    if not args.path or not args.exchange or not args.to:
        raise CommandProblem(
            "what is sent, in which exchange, to whom?",
            hint="rogatory send PATH --exchange ID --to AUTHORITY, or --resume PACKAGE",
        )
    terms = _terms(args)
    with session.client(args, terminal) as client:
        exchange = client.exchange(args.exchange)
        plan = client.plan(exchange, args.path, to=args.to, also_me=args.also_me)
        if args.dry_run:
            return _planned(plan)
        with _watched(terminal, sum(item.size for item in plan.items)) as told:
            terminal.resumable = "rogatory send --resume goes on where it stopped"
            sent = client.send(
                exchange,
                args.path,
                to=args.to,
                terms=terms,
                acquisition=_acquisition(args),
                exhibits=_exhibits(args),
                also_me=args.also_me,
                limit_rate=args.limit_rate,
                parallel=args.parallel,
                progress=told,
            )
    return _sent(sent)


def _resume(args: Namespace, terminal: Terminal) -> Outcome:
    from rogatory.errors import NotFound
    from rogatory.ids import resolve

    with session.client(args, terminal) as client:
        found = client.unfinished_sends()
        if not found:
            raise NotFound("no send is unfinished here")
        if len(found) > 1 and not args.resume:
            names = ", ".join(name[:8] for name in found)
            raise CommandProblem(f"{len(found)} sends are unfinished: {names}", hint="rogatory send --resume PACKAGE")
        package = resolve(args.resume or found[0], found)
        terminal.resumable = f"rogatory send --resume {package[:8]} goes on where it stopped"
        with _watched(terminal, None) as told:
            return _sent(client.resume_send(package, limit_rate=args.limit_rate, parallel=args.parallel, progress=told))


def _abandon(args: Namespace, terminal: Terminal) -> Outcome:
    from rogatory.ids import resolve

    with session.client(args, terminal) as client:
        package = resolve(args.abandon, client.unfinished_sends())
        client.abandon_send(package)
    text = (
        f"the send of package {package[:8]} is given up: its file keys are gone, so what was uploaded opens for nobody"
    )
    return Outcome({"abandoned": package}, text)


class _watched:  # noqa: N801 - a context, used like a function
    """Turns the SDK's word of each item into one bar over all of them."""

    def __init__(self, terminal: Terminal, total: int | None) -> None:
        self._bar = terminal.progress(total, "sending")
        self._total, self._done = total, dict[int, int]()

    def __enter__(self) -> "Any":
        self._bar.__enter__()
        return self._told

    def __exit__(self, *details: object) -> None:
        self._bar.__exit__(*details)

    def _told(self, progress: "Progress") -> None:
        self._done[progress.item] = progress.done
        done = sum(self._done.values())
        total = None if self._total is None else max(self._total, done)
        self._bar.what = f"sending {progress.name[:40]}"
        self._bar.at(done, total)


def _terms(args: Namespace) -> "Terms":
    from rogatory.terms import Terms

    conditions = {code: Path(file).read_text(encoding="utf-8") if file else code for code, file in args.condition or ()}
    legal = None
    if args.legal:
        instrument, article = args.legal
        legal = {"instrument": instrument} | ({"article": article} if article else {})
    return Terms(
        retain_until=_until(args.retain), handling=args.handling, conditions=conditions, legal=legal, request=None
    )


def _until(text: str) -> "datetime":
    """When the lock may end: days from now, or a date."""
    from datetime import UTC, datetime, timedelta

    from rogatory.statements import utc_now

    days = _DAYS.fullmatch(text)
    if days:
        return utc_now() + timedelta(days=int(days[1]))
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise CommandProblem(f"--retain {text!r} is neither like 90d nor like 2030-12-31") from error


def _acquisition(args: Namespace) -> dict[str, str]:
    given = {name: getattr(args, name) for name in ("tool", "examiner", "device", "serial", "notes")}
    return {name: value for name, value in given.items() if value}


def _exhibits(args: Namespace) -> list[dict[str, str]]:
    return [{"number": number} | ({"description": about} if about else {}) for number, about in args.exhibit or ()]


def _planned(plan: "Plan") -> Outcome:
    rows = [(item.name, size(item.plain_size), size(item.size), size(item.part_size)) for item in plan.items]
    recipients = [(row.authority, key.alg, key.id[:16]) for row in plan.recipients for key in row.keys]
    text = [
        f"would send in exchange {plan.exchange.id[:8]}:",
        columns(rows, head=("name", "plain", "sealed", "part")),
        "",
        "sealed to these keys, each proven from its pinned authority:",
        columns(recipients, head=("authority", "kind", "key")),
        "",
        "nothing was sent",
    ]
    fields = {
        "dry_run": True,
        "exchange": plan.exchange.id,
        "items": [
            {"name": i.name, "plain_size": i.plain_size, "size": i.size, "part_size": i.part_size} for i in plan.items
        ],
        "recipients": [{"authority": row.authority, "keys": [key.id for key in row.keys]} for row in plan.recipients],
    }
    return Outcome(fields, "\n".join(text))


def _sent(sent: "Sent") -> Outcome:
    payload = sent.manifest.payload
    total = sum(item["size"] for item in [*payload["items"], payload["inventory"]])
    items = count(len(payload["items"]), "item")
    text = [
        f"package {sent.package[:8]} is sealed: {items} and the inventory, {size(total)}",
        f"for {escape(', '.join(row['authority'] for row in payload['recipients']))}",
        f"manifest {sent.manifest.id}",
        "next: the recipient runs rogatory inbox and rogatory receive; watch with rogatory log EXCHANGE",
    ]
    fields = {
        "package": sent.package,
        "manifest": sent.manifest.id,
        "items": [item["id"] for item in payload["items"]],
        "inventory": payload["inventory"]["id"],
        "size": total,
        "index": sent.lodged.record.index,
    }
    return Outcome(fields, "\n".join(text))


COMMANDS = (
    Command(
        "send",
        "encrypt evidence, upload it and seal it as one package",
        send,
        (
            positional(
                "path",
                "file, folder, image, first segment of a set, block device",
                nargs="*",
                type=Path,
                metavar="PATH",
                completes="file",
            ),
            option("--exchange", about="id of the exchange, or its beginning", metavar="ID"),
            option("--to", about="authority it is for; may be repeated", action="append", metavar="AUTHORITY"),
            flag("--also-me", about="seal it to your own authority too, so that you can open it again"),
            flag("--dry-run", about="check sources and recipients, say what would be sent, send nothing"),
            option(
                "--resume",
                about="go on with an interrupted send (its package, if there are several)",
                nargs="?",
                const="",
                metavar="PACKAGE",
            ),
            option("--abandon", about="give an interrupted send up and destroy its file keys", metavar="PACKAGE"),
            option("--limit-rate", about="bytes a second at most, such as 800K or 12.5M", type=rate, metavar="RATE"),
            option(
                "--parallel",
                about="requests at once, 1 to 32 (default: 4)",
                type=parallel,
                metavar="NUMBER",
                default=4,
            ),
            option("--handling", about="handling code (default: evidence)", metavar="CODE", default="evidence"),
            option(
                "--retain",
                about="how long it stays locked, like 90d or 2030-12-31 (default: 90d)",
                metavar="TIME",
                default="90d",
            ),
            option(
                "--condition",
                about="code of a condition the recipient must accept before it gets the keys, and a "
                "file with its text; may be repeated",
                action="append",
                metavar="CODE[=FILE]",
                type=pair("="),
            ),
            option(
                "--legal",
                about="legal basis, as instrument and article",
                metavar="INSTRUMENT[:ARTICLE]",
                type=pair(":"),
            ),
            option("--tool", about="tool it was acquired with", metavar="TEXT"),
            option("--examiner", about="who acquired it", metavar="TEXT"),
            option("--device", about="what it was acquired from", metavar="TEXT"),
            option("--serial", about="serial number of that", metavar="TEXT"),
            option("--notes", about="anything else about the acquisition", metavar="TEXT"),
            option(
                "--exhibit",
                about="exhibit number, and what it is; may be repeated",
                action="append",
                metavar="NUMBER[=TEXT]",
                type=pair("="),
            ),
        ),
        about="Read once: encrypted, hashed and uploaded in one pass, each path as one item; a folder or a segment set "
        "becomes one archive. Names, digests of the plaintext and what you say about the acquisition travel "
        "encrypted in "
        "the inventory. Only keys of pinned authorities are used.\n\nAn interrupted send goes on with "
        "--resume; if a source "
        "changed meanwhile, nothing is sealed.",
        examples=(
            "rogatory send disk.E01 --exchange 3fa4c1d2 --to es.fge --dry-run",
            'rogatory send disk.E01 papers/ --exchange 3fa4c1d2 --to es.fge --examiner "J. Silva" --exhibit A-1=laptop',
            "rogatory send --resume",
            "rogatory send --abandon 7c20ab91",
        ),
        then="the recipient runs rogatory inbox, then rogatory receive PACKAGE.",
        form="PATH… --exchange ID --to AUTHORITY [options]",
    ),
)
