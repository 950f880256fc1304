"""`enrolment`: what an authority says about itself, its principals, their roles and keys."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rogatory.cli import session
from rogatory.cli.command import Command, CommandProblem, Outcome, flag, option, positional
from rogatory.cli.tui import Terminal, escape

if TYPE_CHECKING:
    from custody.statement import Statement

ROLES = ("approver", "auditor", "receiver", "requester", "sender", "validator")
_KEYS = option(
    "--authority-keys",
    about="directory of the authority's keys (default: the profile's)",
    metavar="DIR",
    type=Path,
    completes="directory",
)


def authority(args: Namespace, terminal: Terminal) -> Outcome:
    """Write the file the operator admits an authority from."""
    from rogatory import enrolment, private_files
    from rogatory.statements import utc_now

    profile = session.load_profile(args)
    keys = _authority_ring(args, terminal).authority(recovery_directory=args.recovery)
    said = enrolment.enrol_authority(
        keys, origin=profile.origin, authority=profile.authority, name=args.name, country=args.country, at=utc_now()
    )
    private_files.create(args.output, said.envelope)
    aloud = enrolment.spoken_fingerprint(said)
    text = [
        f"wrote {escape(str(args.output))} for the operator of {escape(profile.server)}",
        "",
        "Read this aloud to the operator, who must see the same before admitting you:",
        f"  {aloud}",
        "It is the id of your authority key; the authorities you deal with pin the same.",
        "",
        "The operator runs: rogatory-server enrol FILE",
        "next: rogatory trust init",
    ]
    fields = {
        "file": str(args.output),
        "fingerprint": enrolment.authority_fingerprint(said),
        "authority": profile.authority,
    }
    return Outcome(fields, "\n".join(text))


def principal(args: Namespace, terminal: Terminal) -> Outcome:
    """Enrol a client or officer."""
    from dataclasses import replace

    from rogatory import enrolment
    from rogatory.keyring import Keyring
    from rogatory.statements import utc_now

    profile = session.load_profile(args)
    keys = Keyring((args.keys or profile.keys).absolute(), terminal.passphrase()).principal()
    signer = _authority_ring(args, terminal).authority().authority
    said = enrolment.enrol_principal(
        signer,
        keys,
        origin=profile.origin,
        authority=profile.authority,
        roles=args.role,
        type=args.type,
        at=utc_now(),
    )
    found = enrolment.subject_id(said)
    record = _lodge(args, terminal, said)
    in_profile = not args.keys
    if in_profile:
        replace(profile, principal=found).save()
    text = [
        f"{args.type} {found} is enrolled with {', '.join(sorted(set(args.role)))}"
        + (f", and is who profile {session.profile_name(args)} speaks as" if in_profile else ""),
        "next: rogatory doctor",
    ]
    fields = {"principal": found, "roles": sorted(set(args.role)), "statement": said.id, "in_profile": in_profile}
    return Outcome(fields | record, "\n".join(text))


def role(args: Namespace, terminal: Terminal) -> Outcome:
    """Grant a role, or end it."""
    from rogatory import enrolment
    from rogatory.statements import utc_now

    profile = session.load_profile(args)
    said = enrolment.change_role(
        _authority_ring(args, terminal).authority().authority,
        origin=profile.origin,
        authority=profile.authority,
        principal=args.principal or profile.principal,
        role=args.role,
        granted=not args.end,
        at=utc_now(),
    )
    record = _lodge(args, terminal, said)
    done = "ended" if args.end else "granted"
    fields = {"principal": args.principal or profile.principal, "role": args.role, "change": done, "statement": said.id}
    return Outcome(fields | record, f"role {args.role} is {done}")


def key(args: Namespace, terminal: Terminal) -> Outcome:
    """Revoke a key, or suspend, reinstate or revoke a principal."""
    from rogatory import enrolment
    from rogatory.statements import utc_now

    profile = session.load_profile(args)
    common: dict[str, Any] = {"origin": profile.origin, "authority": profile.authority, "at": utc_now()}
    signer = _authority_ring(args, terminal).authority().authority
    if args.action == "revoke" and len(args.id) == 64:
        said = enrolment.revoke_key(signer, key=args.id, reason=args.reason, **common)
    elif len(args.id) == 32:
        change = {"suspend": "suspended", "reinstate": "reinstated", "revoke": "revoked"}[args.action]
        said = enrolment.change_principal(signer, principal=args.id, change=change, reason=args.reason, **common)
    else:
        raise CommandProblem(
            f"cannot {args.action} {args.id[:80]!r}",
            hint="a key id has 64 hex digits and can be revoked; a principal's id has 32",
        )
    record = _lodge(args, terminal, said)
    return Outcome({"id": args.id, "action": args.action, "statement": said.id} | record, f"{args.action}: done")


def _authority_ring(args: Namespace, terminal: Terminal) -> Any:
    from rogatory.keyring import Keyring

    directory = args.authority_keys or session.load_profile(args).keys
    return Keyring(directory.absolute(), terminal.passphrase())


def _lodge(args: Namespace, terminal: Terminal, said: "Statement") -> dict[str, Any]:
    with session.client(args, terminal) as client:
        lodged = client.lodge_registry(said)
    return {"seq": lodged.entry.seq, "index": lodged.record.index}


COMMANDS = (
    Command(
        "enrolment authority",
        "write the file from which the operator admits your authority",
        authority,
        (
            option("--name", about="name of the authority, as people write it", required=True),
            option("--country", about="two capital letters, as in ISO 3166-1", metavar="CC", required=True),
            option(
                "-o",
                "--output",
                about="file to write; never overwritten",
                metavar="FILE",
                type=Path,
                required=True,
                completes="file",
            ),
            option(
                "--recovery",
                about="directory of the recovery key (default: recovery/ beside the keys)",
                metavar="DIR",
                type=Path,
                completes="directory",
            ),
            _KEYS,
        ),
        about="The file is signed by the authority's key and its recovery key, and holds no secret. It travels "
        "by any way; "
        "the fingerprint that is printed must be compared by another way, best by telephone.",
        examples=('rogatory enrolment authority --name "Prosecutor General" --country PT -o enrolment.json',),
        then="the operator runs rogatory-server enrol FILE; you run rogatory trust init.",
    ),
    Command(
        "enrolment principal",
        "have the authority sign a client or officer into its registry",
        principal,
        (
            option("--role", about="a role it has; may be repeated", action="append", choices=ROLES, required=True),
            option(
                "--type",
                about="a client is a tool, an officer a person (default: client)",
                choices=("client", "officer"),
                default="client",
            ),
            option(
                "--keys",
                about="directory of its keys (default: the profile's, which then speaks as it)",
                metavar="DIR",
                type=Path,
                completes="directory",
            ),
            _KEYS,
        ),
        about="Its id is random and carries no personal name. The service's record is checked against the trust file.",
        examples=("rogatory enrolment principal --role sender --role receiver",),
        then="rogatory doctor shows whether it can log in; rogatory exchange open begins.",
    ),
    Command(
        "enrolment role",
        "grant a role to a client or officer, or end it",
        role,
        (
            positional("role", "the role", choices=ROLES, metavar="ROLE"),
            option("--principal", about="id of the principal, 32 hex digits (default: the profile's)", metavar="ID"),
            flag("--end", about="end the role instead"),
            _KEYS,
        ),
        examples=("rogatory enrolment role approver --principal 0f3c…", "rogatory enrolment role sender --end"),
    ),
    Command(
        "enrolment key",
        "revoke a key; suspend, reinstate or revoke a client or officer",
        key,
        (
            positional("action", "what to do", choices=("suspend", "reinstate", "revoke"), metavar="ACTION"),
            positional("id", "id of the key (64 hex digits) or of the principal (32)", metavar="ID"),
            option("--reason", about="a code, such as lost, stolen, left", metavar="CODE", required=True),
            _KEYS,
        ),
        about="Counts from its entry on: nothing signed afterwards is valid, what was signed before stays valid.",
        examples=("rogatory enrolment key revoke 5d1f… --reason stolen",),
    ),
)
