"""`keys`: making keys and showing which they are."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rogatory.cli import session
from rogatory.cli.command import Command, Outcome, flag, option
from rogatory.cli.tui import Terminal, columns, escape

if TYPE_CHECKING:
    from custody.keys import KeyRecord
    from rogatory.keyring import Keyring

_ORDER = ("authority", "recovery", "encryption", "statement", "login")
_KEYS = option(
    "--keys", about="directory of the keys (default: the profile's)", metavar="DIR", type=Path, completes="directory"
)
_PASSPHRASE = flag("--passphrase", about="ask for a passphrase that locks the signing keys")


def generate_authority(args: Namespace, terminal: Terminal) -> Outcome:
    """Make an authority's keys."""
    ring = _new_keyring(args, terminal)
    keys = ring.generate_authority(recovery_directory=args.recovery_to, kind=args.kind)
    apart = args.recovery_to or ring.directory / "recovery"
    records = keys.records("authority")
    text = [
        f"keys of the authority, in {ring.directory}:",
        _listed(records),
        "",
        f"RECOVERY KEY in {apart}",
        "It can replace every other key of the authority, also after a theft. Nobody needs it from day to day.",
        "Once the authority is enrolled: copy that directory to two media, lock them away in two safes of two",
        "people, and delete it here.",
        "",
        "next: rogatory enrolment authority --name NAME --country CC -o enrolment.json",
    ]
    return Outcome(
        {"directory": str(ring.directory), "keys": _fields(records), "recovery": str(apart)}, "\n".join(text)
    )


def generate_principal(args: Namespace, terminal: Terminal) -> Outcome:
    """Make the keys of a client or officer."""
    ring = _new_keyring(args, terminal)
    keys = ring.generate_principal()
    records = keys.records("principal")
    text = [
        f"keys of a client or officer, in {ring.directory}:",
        _listed(records),
        "",
        "next: rogatory enrolment principal --role sender --role receiver",
    ]
    return Outcome({"directory": str(ring.directory), "keys": _fields(records)}, "\n".join(text))


def show(args: Namespace, terminal: Terminal) -> Outcome:
    """Show which keys are there."""
    from rogatory.errors import NotFound

    ring = session.keyring(args, terminal)
    records = _present(ring)
    if not records:
        raise NotFound(f"there are no keys in {ring.directory}", hint="rogatory keys generate authority")
    recovery = (ring.directory / "recovery").exists()
    text = [f"in {escape(str(ring.directory))}:", _listed(records)]
    if recovery:
        text += ["", "The recovery key is still on this machine. Lock it away once the authority is enrolled."]
    return Outcome(
        {"directory": str(ring.directory), "keys": _fields(records), "recovery_here": recovery}, "\n".join(text)
    )


def _new_keyring(args: Namespace, terminal: Terminal) -> "Keyring":
    from rogatory.keyring import Keyring

    directory = args.keys or session.load_profile(args).keys
    return Keyring(directory.absolute(), terminal.new_passphrase(wanted=args.passphrase))


def _present(ring: "Keyring") -> "list[KeyRecord]":
    from rogatory import keyring

    found: list[KeyRecord] = []
    if (ring.directory / keyring.AUTHORITY).exists():
        found += ring.authority().records("authority")
    if (ring.directory / keyring.STATEMENT).exists():
        found += ring.principal().records("principal")
    return found


def _listed(records: "list[KeyRecord]") -> str:
    from custody.keys import fingerprint

    ordered = sorted(records, key=lambda record: _ORDER.index(record.use))
    return columns([(record.use, record.alg, fingerprint(record.id)) for record in ordered], head=("use", "kind", "id"))


def _fields(records: "list[KeyRecord]") -> list[dict[str, Any]]:
    return [{"id": record.id, "alg": record.alg, "use": record.use, "public": record.public} for record in records]


COMMANDS = (
    Command(
        "keys generate authority",
        "make an authority's keys: its own, its recovery key, its encryption identity",
        generate_authority,
        (
            _KEYS,
            option(
                "--recovery-to",
                about="where the recovery key goes, best another medium (default: recovery/ beside the keys)",
                metavar="DIR",
                type=Path,
                completes="directory",
            ),
            option(
                "--kind",
                about="type of the encryption identity (default: mlkem768x25519, which also resists quantum computers)",
                choices=("mlkem768x25519", "x25519"),
                default="mlkem768x25519",
            ),
            _PASSPHRASE,
        ),
        about="Done once for each authority, on a machine you trust. Files get mode 0600 and are never "
        "overwritten. The "
        "encryption identity is an age identity file and knows no passphrase: keep it on an encrypted disk.",
        examples=(
            "rogatory keys generate authority --recovery-to /media/usb/recovery",
            "rogatory keys generate authority --passphrase",
        ),
        then="rogatory enrolment authority makes the file the operator needs; then lock the recovery key away.",
    ),
    Command(
        "keys generate principal",
        "make the keys of a client (a tool) or an officer (a person)",
        generate_principal,
        (_KEYS, _PASSPHRASE),
        about="One key signs statements, the other logs in. They never leave this machine.",
        examples=("rogatory keys generate principal",),
        then="rogatory enrolment principal has the authority sign them into its registry.",
    ),
    Command(
        "keys show",
        "show the ids of the keys that are here",
        show,
        (_KEYS,),
        about="Ids are fingerprints: 64 hex digits, here in groups of four to read aloud. Other authorities "
        "pin the id of "
        "your key for `authority`.",
        examples=("rogatory keys show", "rogatory keys show --json"),
        then="tell the other authority your key id by telephone, so that it can rogatory trust pin it.",
    ),
)
