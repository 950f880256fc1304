"""`exchange`: the matter between authorities. Its title and file number never leave this side."""

from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rogatory.cli import session
from rogatory.cli.command import Command, CommandProblem, Outcome, option, positional
from rogatory.cli.tui import Terminal, columns, escape, facts

if TYPE_CHECKING:
    from rogatory.continuing import Before
    from rogatory.exchanges import Exchange
    from rogatory.profile import Profile, Title

_ID = positional("exchange", "id of the exchange, or an unambiguous beginning", metavar="EXCHANGE")
_TITLE = option("--title", about="what this side calls it; kept encrypted here, never sent")
_FILE_NUMBER = option("--file-number", about="file number on this side; likewise", metavar="NUMBER")


def _before(path: Path) -> "Before":
    from custody.errors import FormatError
    from rogatory import continuing
    from rogatory.errors import exit_code_of

    try:
        return continuing.read(path)
    except FormatError as error:
        hint = "--continues takes the bundle of the exchange in the log before"
        raise CommandProblem(f"{path}: {error}", code=error.code, hint=hint, exit_code=exit_code_of(error)) from error


def open_exchange(args: Namespace, terminal: Terminal) -> Outcome:
    """Open an exchange."""
    from rogatory.profile import Title

    if not args.with_ and args.continues is None:
        raise CommandProblem("nobody to exchange with", hint="--with AUTHORITY, or --continues BUNDLE")
    before = _before(args.continues) if args.continues is not None else None
    with session.client(args, terminal) as client:
        known = Title(args.title or "", args.file_number or "") if args.title or args.file_number else None
        found, lodged = client.open_exchange(args.with_ or [], auditors=args.auditor or [], title=known, before=before)
        to = next(name for name in (*(args.with_ or ()), *found.parties) if name != client.profile.authority)
    text = [
        f"exchange {found.id[:8]} is open between {escape(', '.join(found.parties))}",
        f"next: rogatory send PATH --exchange {found.id[:8]} --to {escape(to)}",
    ]
    return Outcome(_fields(found, known) | {"index": lodged.record.index}, "\n".join(text))


def listing(args: Namespace, terminal: Terminal) -> Outcome:
    """List the exchanges we may see."""
    profile = session.load_profile(args)
    with session.client(args, terminal) as client:
        found = client.list_exchanges()
    titles = {each.id: _title(profile, each.id) for each in found}
    ids = [each.id for each in found]
    rows = [
        (
            short(each.id, ids),
            each.opened_at[:10],
            "closed" if each.closed else "open",
            ", ".join(name for name in each.parties if name != profile.authority),
            str(len(each.packages)),
            titles[each.id].title if titles[each.id] else "",  # type: ignore[union-attr]
        )
        for each in found
    ]
    return Outcome(
        {"exchanges": [_fields(each, titles[each.id]) for each in found]},
        columns(rows, head=("id", "opened", "state", "with", "packages", "title")) or "there are none",
    )


def show(args: Namespace, terminal: Terminal) -> Outcome:
    """Show one exchange."""
    profile = session.load_profile(args)
    with session.client(args, terminal) as client:
        found = client.exchange(args.exchange)
    title = _title(profile, found.id)
    text = facts(
        {
            "exchange": found.id,
            "title": title.title if title and title.title else None,
            "file number": title.file_number if title and title.file_number else None,
            "state": "closed" if found.closed else "open",
            "opened": found.opened_at,
            "parties": ", ".join(found.parties),
            "auditors": ", ".join(found.auditors) or None,
            "packages": ", ".join(short(each, found.packages) for each in found.packages) or "none",
        }
    )
    return Outcome(_fields(found, title), text)


def title(args: Namespace, terminal: Terminal) -> Outcome:
    """Set or show what this side calls an exchange."""
    from rogatory.profile import Title

    profile = session.load_profile(args)
    with session.client(args, terminal) as client:
        found = client.exchange(args.exchange)
    known = _title(profile, found.id)
    if args.title is not None or args.file_number is not None:
        known = Title(
            args.title if args.title is not None else (known.title if known else ""),
            args.file_number if args.file_number is not None else (known.file_number if known else ""),
        )
        profile.lock_title(found.id, known)
    text = (
        facts({"exchange": found.id[:8], "title": known.title, "file number": known.file_number}) if known else "none"
    )
    return Outcome(_fields(found, known), text)


def close(args: Namespace, terminal: Terminal) -> Outcome:
    """Close an exchange."""
    with session.client(args, terminal) as client:
        found = client.exchange(args.exchange)
        lodged = client.close_exchange(found, reason=args.reason)
    fields = {"exchange": found.id, "closed": True, "index": lodged.record.index}
    return Outcome(fields, f"exchange {found.id[:8]} is closed; what is in it can still be received and proven")


def add_party(args: Namespace, terminal: Terminal) -> Outcome:
    """Let another authority in."""
    with session.client(args, terminal) as client:
        found = client.exchange(args.exchange)
        lodged = client.add_party(found, args.authority, role=args.role)
    fields = {
        "exchange": found.id,
        "authority": args.authority,
        "as": args.role,
        "index": lodged.record.index,
    }
    return Outcome(fields, f"{escape(args.authority)} is {args.role} of exchange {found.id[:8]} from now on")


def short(whole: str, among: Iterable[str]) -> str:
    """The shortest beginning that tells an id from its like."""
    from rogatory.ids import short as shorten

    return shorten(whole, among)


def _title(profile: "Profile", exchange: str) -> "Title | None":
    """What this side calls it; nothing where the keys that open it are not here."""
    from rogatory.errors import ClientError

    try:
        return profile.title(exchange)
    except ClientError:
        return None


def _fields(found: "Exchange", known: "Title | None") -> dict[str, Any]:
    fields: dict[str, Any] = {
        "exchange": found.id,
        "handle": found.handle,
        "opened_at": found.opened_at,
        "closed": found.closed,
        "parties": list(found.parties),
        "auditors": list(found.auditors),
        "packages": list(found.packages),
    }
    if known:
        fields |= {"title": known.title, "file_number": known.file_number}
    return fields


COMMANDS = (
    Command(
        "exchange open",
        "open an exchange with another authority",
        open_exchange,
        (
            option(
                "--with",
                about="authority to exchange with; may be repeated",
                dest="with_",
                action="append",
                metavar="AUTHORITY",
            ),
            option(
                "--auditor",
                about="authority that may see the log, and no package; may be repeated",
                action="append",
                metavar="AUTHORITY",
            ),
            option(
                "--continues",
                about="bundle of an exchange of the log before, from its end: it goes on here, with all its parties",
                metavar="BUNDLE",
                type=Path,
                completes="file",
            ),
            _TITLE,
            _FILE_NUMBER,
        ),
        about="The service learns which authorities exchange, never what it is about. An exchange that goes on "
        "from the log before begins anew: what was sent there stays proven by its bundle there.",
        examples=('rogatory exchange open --with es.fge --title "Operation Estuary" --file-number 118/26.4T9LSB',),
        then="rogatory send PATH --exchange ID --to AUTHORITY.",
    ),
    Command("exchange list", "list the exchanges you may see", listing, examples=("rogatory exchange list",)),
    Command("exchange show", "show an exchange", show, (_ID,), examples=("rogatory exchange show 3fa4c1d2",)),
    Command(
        "exchange title",
        "set or show what this side calls an exchange",
        title,
        (_ID, _TITLE, _FILE_NUMBER),
        about="Kept on this machine, encrypted to your authority's key.",
        examples=('rogatory exchange title 3fa4c1d2 --title "Operation Estuary"',),
    ),
    Command(
        "exchange close",
        "close an exchange: nothing new is sent in it",
        close,
        (_ID, option("--reason", about="a code, such as done", metavar="CODE")),
        examples=("rogatory exchange close 3fa4c1d2 --reason done",),
        then="rogatory bundle EXCHANGE -o FILE keeps the proof.",
    ),
    Command(
        "exchange add-party",
        "let another authority into an exchange",
        add_party,
        (
            _ID,
            positional("authority", "id of the authority", metavar="AUTHORITY"),
            option(
                "--as",
                about="party, or auditor, who sees the log and no package (default: party)",
                dest="role",
                choices=("party", "auditor"),
                default="party",
            ),
        ),
        examples=("rogatory exchange add-party 3fa4c1d2 eu.eurojust --as auditor",),
    ),
)
