"""`enrolment`: how an authority and its principals come in."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rogatory.cli import session
from rogatory.cli.command import Command, Outcome, option
from rogatory.cli.rotation import AUTHORITY_KEYS, authority_ring
from rogatory.cli.standing import ROLES
from rogatory.cli.tui import Terminal, escape

if TYPE_CHECKING:
    from custody.statement import Statement


def authority(args: Namespace, terminal: Terminal) -> Outcome:
    """Write the file the operator admits an authority from."""
    from rogatory import enrolment, private_files
    from rogatory.statements import utc_now

    profile = session.load_profile(args)
    keys = authority_ring(args, terminal).authority(recovery_directory=args.recovery)
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
    signer = authority_ring(args, terminal).authority().authority
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
            AUTHORITY_KEYS,
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
            AUTHORITY_KEYS,
        ),
        about="Its id is random and carries no personal name. The service's record is checked against the trust file.",
        examples=("rogatory enrolment principal --role sender --role receiver",),
        then="rogatory doctor shows whether it can log in; rogatory exchange open begins.",
    ),
)
