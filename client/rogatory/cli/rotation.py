"""`keys rotate`, `keys regrant`, `keys revoke`, `keys recover`: one key follows another."""

from argparse import Namespace
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rogatory.cli import session
from rogatory.cli.command import Command, CommandProblem, Outcome, flag, option, positional
from rogatory.cli.tui import Terminal, columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from custody.keys import SigningKey
    from rogatory.keyring import Keyring
    from rogatory.lodging import Lodged
    from rogatory.regrant import Due
    from rogatory.rotation import Changed, KeyChange

KEY_DIGITS = 64
REASON = option("--reason", about="a code, such as lost, stolen, left", metavar="CODE", required=True)
AUTHORITY_KEYS = option(
    "--authority-keys",
    about="directory of the authority's keys (default: the profile's)",
    metavar="DIR",
    type=Path,
    completes="directory",
)
RECOVERY = option(
    "--recovery",
    about="sign with the recovery key in this directory, instead of the authority's key",
    metavar="DIR",
    type=Path,
    completes="directory",
)
_AGAIN = "rogatory keys regrant goes on where it stopped"
_PARTLY = 8


def rotate(args: Namespace, terminal: Terminal) -> Outcome:
    """Let new keys follow the old ones."""
    wanted = [name for name in ("authority", "principal", "encryption") if getattr(args, name)]
    if len(wanted) != 1:
        raise CommandProblem(
            "which keys? name one of --authority, --principal and --encryption",
            hint="each kind has an entry of its own: rogatory keys rotate --help",
        )
    if (args.compromised or args.dry_run) and not args.encryption:
        raise CommandProblem("--compromised and --dry-run are about --encryption")
    with _change(args, terminal) as change:
        if args.authority:
            return _rotated([change.rotate_authority()])
        if args.principal:
            return _rotated(change.rotate_principal(session.keyring(args, terminal)))
        return _rotate_encryption(args, terminal, change)


def regrant(args: Namespace, terminal: Terminal) -> Outcome:
    """Write the grants that are still due."""
    with _change(args, terminal) as change:
        if args.dry_run:
            return _listed(list(change.due()))
        fields, text, code = _regranted(change, terminal)
        return Outcome(fields, text, code)


def revoke(args: Namespace, terminal: Terminal) -> Outcome:
    """End a key."""
    if len(args.key) != KEY_DIGITS:
        raise CommandProblem(
            f"{args.key[:80]!r} is no key id", hint="a key id has 64 hex digits; for a person or tool: principal revoke"
        )
    with _change(args, terminal) as change:
        lodged = change.revoke(args.key, reason=args.reason, signer=recovery_signer(args, terminal))
    return Outcome(
        {"key": args.key, "reason": args.reason} | placed(lodged),
        f"key {args.key[:16]}… is revoked: nothing it signs after entry {lodged.record.index} of the log counts",
    )


def recover(args: Namespace, terminal: Terminal) -> Outcome:
    """Take the registry back with the recovery key."""
    from rogatory.errors import AuthenticationFailed
    from rogatory.keyring import Keyring

    recovery = Keyring(args.recovery.absolute(), terminal.passphrase())
    try:
        with _change(args, terminal) as change:
            done = change.recover(recovery, ended=args.revoke, reason=args.reason)
    except AuthenticationFailed as error:
        raise CommandProblem(
            f"the registry cannot be read to see which keys are live: {error}",
            code=error.code,
            hint="name the authority keys to end: --revoke KEYID for each (rogatory keys show, or ask another member)",
            exit_code=error.exit_code,
        ) from error
    text = [
        _told([done]),
        "",
        "Whoever had the old key may have brought in others: look through the registry's entries, and end what is not",
        "yours (rogatory principal revoke, rogatory keys revoke). Lock the recovery key away again.",
        "next: rogatory keys show",
    ]
    return Outcome(_fields([done]), "\n".join(text))


# -------------------------------------------------------------------- parts that others use too


def recovery_signer(args: Namespace, terminal: Terminal) -> "SigningKey | None":
    """The recovery key, where `--recovery` names its directory."""
    from rogatory.keyring import RECOVERY as FILE
    from rogatory.keyring import Keyring

    return Keyring(args.recovery.absolute(), terminal.passphrase()).key(FILE) if args.recovery else None


def authority_ring(args: Namespace, terminal: Terminal) -> "Keyring":
    """The authority's keys: of `--authority-keys`, else the profile's."""
    from rogatory.keyring import Keyring

    directory = args.authority_keys or session.load_profile(args).keys
    return Keyring(directory.absolute(), terminal.passphrase())


def placed(lodged: "Lodged") -> dict[str, Any]:
    """Where an act stands, as commands tell it."""
    return {"statement": lodged.entry.statement_id, "seq": lodged.entry.seq, "index": lodged.record.index}


# -------------------------------------------------------------------- encryption


def _rotate_encryption(args: Namespace, terminal: Terminal, change: "KeyChange") -> Outcome:
    if args.dry_run:
        return _listed(list(change.would_be_due()))
    done = change.rotate_encryption(at_once=args.compromised)
    terminal.resumable = _AGAIN
    fields, text, code = _regranted(change, terminal)
    ended: dict[str, Any] = {}
    text = f"{_told([done])}\n\n{text}"
    if done.old in change.live_encryption_keys():
        if args.revoke_old or (not code and terminal.confirm(f"End the old key {done.old[:16]}… now?")):
            ended = placed(change.revoke(done.old, reason="rotated"))
            text += f"\nthe old key {done.old[:16]}… is ended; its identity stays here, to open what was sealed to it"
        else:
            text += (
                f"\nthe old key is still live, others may seal to it: rogatory keys revoke {done.old} --reason rotated"
            )
    return Outcome(_fields([done]) | fields | {"old_revoked": bool(ended) or args.compromised}, text, code)


def _regranted(change: "KeyChange", terminal: Terminal) -> tuple[dict[str, Any], str, int]:
    written, left = [], []
    for row in change.due():
        terminal.resumable = _AGAIN
        why = change.regrant(row)
        if why:
            left.append(_row(row) | {"why": why})
        else:
            written.append(_row(row))
            terminal.note(f"package {row.offer.package[:8]}: {len(row.items)} items")
    text = f"{len(written)} grants written, so that the new key opens what older ones open"
    if left:
        rows = columns([(row["package"][:8], row["why"]) for row in left], head=("package", "why not"))
        text += f"\n\nnot for these, which only the older keys open:\n{rows}\n{_AGAIN}, once that has changed"
    return {"granted": written, "left": left}, text, _PARTLY if any(not row["ended"] for row in left) else 0


def _listed(rows: "Sequence[Due]") -> Outcome:
    found = [_row(row) for row in rows]
    shown = [(row["package"][:8], row["exchange"][:8], str(len(row["items"]))) for row in found]
    text = (
        columns(shown, head=("package", "exchange", "items")) or "nothing: no older key opens what the new one does not"
    )
    return Outcome({"due": found}, f"{text}\nnothing was changed")


def _row(row: "Due") -> dict[str, Any]:
    facts = {"package": row.offer.package, "exchange": row.offer.exchange, "from": row.source.id}
    return {**facts, "items": sorted(row.items), "ended": row.ended}


# -------------------------------------------------------------------- telling


@contextmanager
def _change(args: Namespace, terminal: Terminal) -> "Iterator[KeyChange]":
    from rogatory.rotation import KeyChange

    with session.client(args, terminal) as client:
        yield KeyChange(client, authority_ring(args, terminal))


def _rotated(done: "Sequence[Changed]") -> Outcome:
    return Outcome(_fields(done), f"{_told(done)}\nnext: rogatory keys show; copy the new key files into your backup")


def _told(done: "Sequence[Changed]") -> str:
    from custody.keys import fingerprint

    rows = [(each.use, f"{each.old[:16]}…" if each.old else "none", fingerprint(each.new)) for each in done]
    return columns(rows, head=("use", "old", "new"))


def _fields(done: "Sequence[Changed]") -> dict[str, Any]:
    rows = [
        {"use": each.use, "old": each.old, "new": each.new, "records": [placed(row) for row in each.records]}
        for each in done
    ]
    return {"keys": rows}


_KEYS = option(
    "--keys", about="directory of the principal's keys (default: the profile's)", metavar="DIR", type=Path,
    completes="directory",
)  # fmt: skip
_DRY_RUN = flag("--dry-run", about="list the packages, write nothing (that they were looked at is noted)")

COMMANDS = (
    Command(
        "keys rotate",
        "let new keys follow the ones in use",
        rotate,
        (
            flag("--authority", about="the key that signs the authority's registry"),
            flag("--principal", about="the keys of this profile's principal, for statements and for logging in"),
            flag("--encryption", about="the encryption identity; grants are then written for all the old one opens"),
            flag("--compromised", about="end the old encryption key at once, in the entry that brings the new one"),
            flag("--revoke-old", about="end the old encryption key when the grants are written, without asking"),
            _DRY_RUN,
            _KEYS,
            AUTHORITY_KEYS,
        ),
        form="--authority|--principal|--encryption [options]",
        about="A rotation takes effect after its entry in the registry: what the old key signed before stays valid, "
        "what it signs later counts for nothing. Interrupted, the same command goes on.\n\n"
        "Old signing keys are gone from this machine afterwards. Old encryption identities stay in their file: they "
        "open what was sealed to them. With --encryption every item of every package that names the old key gets a "
        "new header for the new key, on the same conditions and until the same end; bodies are not touched.",
        examples=(
            "rogatory keys rotate --principal",
            "rogatory keys rotate --encryption --dry-run",
            "rogatory keys rotate --encryption --compromised",
        ),
        then="copy the new key files into your backup, and to every machine that receives.",
    ),
    Command(
        "keys regrant",
        "write grants for the encryption key in use, for all that older ones open",
        regrant,
        (_DRY_RUN, AUTHORITY_KEYS),
        about="Part of keys rotate --encryption; by itself it goes on with one that was interrupted, or that was "
        "refused some packages. What is written already is left alone. A grant with conditions that were not accepted "
        "stays undone until they are (rogatory receive --accept-conditions).",
        examples=("rogatory keys regrant --dry-run", "rogatory keys regrant"),
        then="rogatory keys revoke the old key.",
    ),
    Command(
        "keys revoke",
        "end a key for good",
        revoke,
        (positional("key", "id of the key, 64 hex digits", metavar="KEYID"), REASON, RECOVERY, AUTHORITY_KEYS),
        about="Counts from its entry on: nothing the key signs afterwards is valid and nobody seals to it, what it "
        "signed before stays valid.",
        examples=("rogatory keys revoke 5d1f… --reason stolen",),
        then="rogatory keys rotate before you need the next one.",
    ),
    Command(
        "keys recover",
        "take the registry back with the recovery key, after theft or loss of the authority's key",
        recover,
        (
            option(
                "--recovery", about="directory of the recovery key", metavar="DIR", type=Path, required=True,
                completes="directory",
            ),
            REASON,
            option(
                "--revoke",
                about="id of an authority key to end; once for each (default: all that are live in the registry, which "
                "takes a login)",
                metavar="KEYID",
                action="append",
            ),
            AUTHORITY_KEYS,
        ),
        about="Ends every live authority key, then brings a new one, all signed by the recovery key alone. Nobody can "
        "bring, end or replace a recovery key but itself, so this works also against whoever stole the other keys.",
        examples=("rogatory keys recover --recovery /media/usb/recovery --reason stolen",),
        then="look through the registry for what the thief brought in, and lock the recovery key away.",
    ),
)  # fmt: skip
