"""`authority`, `principal`, `role`: who may act, from now on."""

from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rogatory.cli import session
from rogatory.cli.command import Command, CommandProblem, Outcome, option, positional
from rogatory.cli.rotation import AUTHORITY_KEYS, REASON, RECOVERY, authority_ring, placed, recovery_signer
from rogatory.cli.tui import Terminal

if TYPE_CHECKING:
    from custody.keys import SigningKey
    from custody.statement import Statement

ROLES = ("approver", "auditor", "receiver", "requester", "sender", "validator")
_ID_DIGITS = 32
_DONE = {"suspend": "suspended", "reinstate": "reinstated", "revoke": "revoked"}


def _authority(change: str) -> Callable[[Namespace, Terminal], Outcome]:
    def run(args: Namespace, terminal: Terminal) -> Outcome:
        from rogatory import enrolment

        fields, us = _say(args, terminal, enrolment.change_authority, change=_DONE[change], reason=args.reason)
        return Outcome({"authority": us, "change": _DONE[change]} | fields, f"authority {us} is {_DONE[change]}")

    return run


def _principal(change: str) -> Callable[[Namespace, Terminal], Outcome]:
    def run(args: Namespace, terminal: Terminal) -> Outcome:
        from rogatory import enrolment

        if len(args.principal) != _ID_DIGITS:
            raise CommandProblem(
                f"{args.principal[:80]!r} is no principal's id",
                hint="it has 32 hex digits; a key has 64: rogatory keys revoke",
            )
        facts = {"principal": args.principal, "change": _DONE[change], "reason": args.reason}
        fields, _ = _say(args, terminal, enrolment.change_principal, **facts)
        return Outcome(
            {"principal": args.principal, "change": _DONE[change]} | fields,
            f"principal {args.principal[:8]} is {_DONE[change]}",
        )

    return run


def _role(*, granted: bool) -> Callable[[Namespace, Terminal], Outcome]:
    def run(args: Namespace, terminal: Terminal) -> Outcome:
        from rogatory import enrolment

        principal = args.principal or session.load_profile(args).principal
        facts = {"principal": principal, "role": args.role, "granted": granted}
        fields, _ = _say(args, terminal, enrolment.change_role, **facts)
        done = "granted" if granted else "ended"
        return Outcome(
            {"principal": principal, "role": args.role, "change": done} | fields, f"role {args.role} is {done}"
        )

    return run


def _say(
    args: Namespace, terminal: Terminal, make: "Callable[..., Statement]", **members: Any
) -> tuple[dict[str, Any], str]:
    """Sign, lodge, keep the record; where it stands, and whose registry it is."""
    from rogatory.keyring import AUTHORITY
    from rogatory.statements import utc_now

    profile = session.load_profile(args)
    signer: SigningKey = recovery_signer(args, terminal) or authority_ring(args, terminal).key(AUTHORITY)
    said = make(signer, origin=profile.origin, authority=profile.authority, at=utc_now(), **members)
    with session.client(args, terminal) as client:
        return placed(client.lodge_registry(said)), profile.authority


_SIGNED = (RECOVERY, AUTHORITY_KEYS)
_WHO = positional("principal", "id of the client or officer, 32 hex digits", metavar="ID")
_WHICH = (
    positional("role", "the role", choices=ROLES, metavar="ROLE"),
    option("--principal", about="id of the principal, 32 hex digits (default: the profile's)", metavar="ID"),
    *_SIGNED,
)
_FROM_ITS_ENTRY = "Counts from its entry on: what was signed before stays valid."

COMMANDS = (
    Command(
        "authority suspend",
        "stop everything your authority could sign, until it is reinstated",
        _authority("suspend"),
        (REASON, *_SIGNED),
        about=f"{_FROM_ITS_ENTRY} Nobody seals to your keys meanwhile, no principal of yours can act, and only your "
        "recovery key can end it. Have that key at hand before you do this.",
        examples=("rogatory authority suspend --reason stolen",),
        then="rogatory keys recover, then rogatory authority reinstate --recovery DIR.",
    ),
    Command(
        "authority reinstate",
        "end a suspension of your authority, with the recovery key",
        _authority("reinstate"),
        (REASON, *_SIGNED),
        about="While an authority is suspended only its recovery key speaks, so --recovery is needed.",
        examples=("rogatory authority reinstate --recovery /media/usb/recovery --reason recovered",),
    ),
    Command(
        "principal suspend",
        "stop a client or officer for a while",
        _principal("suspend"),
        (_WHO, REASON, *_SIGNED),
        about=_FROM_ITS_ENTRY,
        examples=("rogatory principal suspend 0f3c… --reason lost",),
        then="rogatory principal reinstate, or revoke.",
    ),
    Command(
        "principal reinstate",
        "let a suspended client or officer act again",
        _principal("reinstate"),
        (_WHO, REASON, *_SIGNED),
        examples=("rogatory principal reinstate 0f3c… --reason found",),
    ),
    Command(
        "principal revoke",
        "end a client or officer for good",
        _principal("revoke"),
        (_WHO, REASON, *_SIGNED),
        about=f"{_FROM_ITS_ENTRY} There is no way back: who returns is enrolled anew.",
        examples=("rogatory principal revoke 0f3c… --reason left",),
    ),
    Command(
        "role grant",
        "grant a role to a client or officer",
        _role(granted=True),
        _WHICH,
        examples=("rogatory role grant approver --principal 0f3c…",),
    ),
    Command(
        "role end",
        "end a role of a client or officer",
        _role(granted=False),
        _WHICH,
        examples=("rogatory role end sender",),
    ),
)
