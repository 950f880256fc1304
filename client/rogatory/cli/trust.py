"""`trust`: deciding whom to believe."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rogatory.cli import session
from rogatory.cli.command import Command, CommandProblem, Outcome, flag, option, positional
from rogatory.cli.tui import Terminal, columns, escape, facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from custody.note import VerifierKey
    from custody.trust import Trust
    from rogatory.profile import Profile

_HEX_ID = 64
_NO_POLICY = "quorum none\n"
_ACCEPT = option(
    "--accept",
    about="SHA-256 of a policy whose keys you have compared (64 hex digits), as the operator read it out; once for "
    "witnesses, once for auditors. Without it you are shown the policies and asked",
    action="append",
    metavar="SHA256",
)


def init(args: Namespace, terminal: Terminal) -> Outcome:
    """Make a trust file from the service's log keys, after they were compared."""
    from dataclasses import replace

    from rogatory import trust_file

    profile = session.load_profile(args)
    if profile.trust.exists() and not args.replace:
        raise CommandProblem(
            f"{profile.trust} is there already", code="file-exists", hint="--replace makes it anew", exit_code=7
        )
    trust = trust_file.begin(_said(profile))
    if trust.origin != profile.origin:
        raise trust_file.OriginDiffers(
            f"the service speaks for the log {trust.origin}, the profile names {profile.origin}"
        )
    _compare(trust.log, args.fingerprint or [], terminal)
    trust = replace(trust, authorities=_own_pin(args, terminal))
    trust = _with_policies(trust, profile, args.accept or [], terminal)
    trust_file.save(trust, profile.trust)
    text = [
        f"wrote {escape(str(profile.trust))}: log {escape(trust.origin)}, {len(trust.log)} keys",
        "next: rogatory trust pin AUTHORITY KEYID for each authority you deal with",
    ]
    return Outcome({"file": str(profile.trust)} | _fields(trust), "\n".join(text))


def policy(args: Namespace, terminal: Terminal) -> Outcome:
    """Take over the service's policies, after they were compared."""
    from rogatory import trust_file

    profile = session.load_profile(args)
    trust = _with_policies(trust_file.load(profile.trust), profile, args.accept or [], terminal, needed=True)
    trust_file.save(trust, profile.trust)
    names = ", ".join(trust.witnesses.who()) or "nobody"
    return Outcome({"file": str(profile.trust)} | _fields(trust), f"co-signing authorities: {escape(names)}")


def update(args: Namespace, terminal: Terminal) -> Outcome:
    """Take over what the log and its witnesses have endorsed."""
    from rogatory import trust_file, trust_update

    profile = session.load_profile(args)
    trust = trust_file.load(profile.trust)
    with session.client(args, terminal) as client:
        done = trust_update.update(
            trust, client.log_reader, client.records, accepted={_key_id(text) for text in args.accept or []}
        )
    if done.trust != trust:
        trust_file.save(done.trust, profile.trust)
    text = [f"checkpoint of {done.checkpoint.size} leaves"]
    text += [f"new {name}, endorsed by the quorum that was held" for name in done.changed]
    text += [f"co-signing authorities: {escape(', '.join(done.trust.witnesses.who()) or 'nobody')}"]
    fields = {"file": str(profile.trust), "changed": list(done.changed), "size": done.checkpoint.size}
    return Outcome(fields | _fields(done.trust), "\n".join(text))


def _with_policies(
    trust: "Trust", profile: "Profile", accepted: list[str], terminal: Terminal, *, needed: bool = False
) -> "Trust":
    """The trust file with the policies the service shows, if somebody has compared them; the same if nobody has."""
    from hashlib import sha256

    from rogatory import trust_file
    from rogatory.connection import Connection
    from rogatory.log import PublicLog

    connection = Connection(profile.server, ca_file=profile.ca_file)
    try:
        log = PublicLog(connection, profile.origin)
        texts = {name: log.text(name) or _NO_POLICY for name in ("policy", "auditors")}
    finally:
        connection.close()
    shown = {name: text for name, text in texts.items() if text != _NO_POLICY}
    if not shown and not needed:
        return trust
    told = {_key_id(text) for text in accepted}
    lacking = [name for name, text in shown.items() if sha256(text.encode()).hexdigest() not in told]
    if lacking:
        for name, text in shown.items():
            digest = _groups(sha256(text.encode()).hexdigest())
            terminal.note(
                f"The service collects cosignatures under this {name}:\n\n{escape(text, lines=True)}\n{digest}\n"
            )
        if not terminal.confirm("Have you compared the keys in it with those of the authorities it names?"):
            if not needed:
                terminal.note("nobody has compared it, so no quorum is demanded yet: rogatory trust policy")
                return trust
            ids = " ".join(f"--accept {sha256(shown[name].encode()).hexdigest()}" for name in lacking)
            raise CommandProblem(
                "the policies were not compared, so they are not trusted",
                code="fingerprint-needed",
                hint=f"compare the keys by another way, then give {ids}",
                exit_code=22,
            )
    return trust_file.take_policies(trust, **texts)


def pin(args: Namespace, terminal: Terminal) -> Outcome:
    """Pin an authority by a founding key."""
    from rogatory import trust_file

    del terminal
    profile, key = session.load_profile(args), _key_id(args.key)
    trust = trust_file.load(profile.trust)
    if args.replace:
        trust = trust_file.unpin(trust, args.authority)
    trust = trust_file.pin(trust, args.authority, key)
    trust_file.save(trust, profile.trust)
    keys = trust.authorities[args.authority]
    return Outcome(
        {"authority": args.authority, "keys": sorted(keys), "file": str(profile.trust)},
        f"{escape(args.authority)} is pinned to {_groups(key)}",
    )


def demand(args: Namespace, terminal: Terminal) -> Outcome:
    """Change which checks must be PASS."""
    from rogatory import trust_file

    del terminal
    path = args.trust or session.load_profile(args).trust
    trust = trust_file.demand(trust_file.load(path), args.checks, args.drop or [])
    trust_file.save(trust, path)
    demanded = sorted(trust.demanded)
    return Outcome({"file": str(path), "demanded": demanded}, f"demanded: {', '.join(demanded)}")


def show(args: Namespace, terminal: Terminal) -> Outcome:
    """Show what is trusted."""
    from rogatory import trust_file

    del terminal
    profile = session.load_profile(args)
    trust = trust_file.load(profile.trust)
    about = facts(
        {
            "file": profile.trust,
            "log": trust.origin,
            "witnesses": trust.policy.strip().replace("\n", "; "),
            "demanded": ", ".join(sorted(trust.demanded)),
            "skew": f"{trust.skew_s} s",
            "sealing": f"only with a checkpoint younger than {trust.max_age_s} s",
            "held": f"checkpoint of size {trust.held.size}" if trust.held else None,
        }
    )
    log = columns([(key.name, _groups(key.full_id)) for key in trust.log], head=("log key", "id"))
    pins = columns(
        [(name, _groups(key)) for name, keys in sorted(trust.authorities.items()) for key in sorted(keys)],
        head=("authority", "pinned key"),
    )
    return Outcome(
        {"file": str(profile.trust)} | _fields(trust),
        "\n\n".join([about, log, pins or "no authority is pinned yet: rogatory trust pin"]),
    )


def _said(profile: "Profile") -> dict[str, Any]:
    """What the service says of itself; nothing of it is believed yet."""
    from rogatory.connection import Connection

    connection = Connection(profile.server, ca_file=profile.ca_file)
    try:
        return connection.service()
    finally:
        connection.close()


def _compare(keys: "Sequence[VerifierKey]", given: list[str], terminal: Terminal) -> None:
    """Demand that somebody has compared every key with what the operator gave by another way."""
    told = {text.strip() if "+" in text else _key_id(text) for text in given}
    unknown = [key for key in keys if key.full_id not in told and str(key) not in told]
    if given and unknown:
        raise CommandProblem(
            f"the service's log key {_groups(unknown[0].full_id)} is none of the fingerprints given",
            code="fingerprint-differs",
            hint="do not go on: ask the operator by another way which keys the log has",
            exit_code=22,
        )
    if not given:
        shown = columns([(key.name, _groups(key.full_id)) for key in keys])
        terminal.note(f"The service names these keys of its log:\n\n{shown}\n")
        if not terminal.confirm("Have you compared each of them with what the operator told you by another way?"):
            ids = " ".join(f"--fingerprint {key.full_id}" for key in keys)
            raise CommandProblem(
                "the log's keys were not compared, so nothing is trusted",
                code="fingerprint-needed",
                hint=f"compare them with what the operator told you by another way, then give {ids}",
                exit_code=22,
            )


def _own_pin(args: Namespace, terminal: Terminal) -> dict[str, frozenset[str]]:
    """Our own authority, by its own key, where that is here."""
    from rogatory.keyring import AUTHORITY

    profile = session.load_profile(args)
    if not (profile.keys / AUTHORITY).exists():
        return {}
    keys = session.keyring(args, terminal).authority()
    return {profile.authority: frozenset({keys.authority.public.id})}


def _key_id(text: str) -> str:
    found = "".join(text.split()).lower()
    if len(found) != _HEX_ID or not all(character in "0123456789abcdef" for character in found):
        raise CommandProblem(f"{text[:100]!r} is no key id", hint="a key id has 64 hex digits; blanks do not matter")
    return found


def _groups(key_id: str) -> str:
    from custody.keys import fingerprint

    return fingerprint(key_id)


def _fields(trust: "Trust") -> dict[str, Any]:
    return {
        "origin": trust.origin,
        "log": [{"id": key.full_id, "vkey": str(key)} for key in trust.log],
        "policy": trust.policy,
        "authorities": {name: sorted(keys) for name, keys in trust.authorities.items()},
        "demanded": sorted(trust.demanded),
        "held": trust.held.size if trust.held else None,
    }


COMMANDS = (
    Command(
        "trust init",
        "trust the service's log, after comparing its keys",
        init,
        (
            option(
                "--fingerprint",
                about="id of a log key as the operator gave it by another way (64 hex digits, or the whole key); once "
                "for each key. Without it you are shown the keys and asked",
                action="append",
                metavar="ID",
            ),
            _ACCEPT,
            flag("--replace", about="make the trust file anew"),
        ),
        about="The trust file is what a verifier believes; everything else is checked. Your own authority is "
        "pinned too "
        "if its key is here.",
        examples=("rogatory trust init", "rogatory trust init --fingerprint 9b1c…"),
        then="rogatory trust pin the authorities you deal with.",
    ),
    Command(
        "trust pin",
        "trust an authority by its key",
        pin,
        (
            positional("authority", "id of the authority", metavar="AUTHORITY"),
            positional("key", "id of a key it was founded with, as `keys show` shows it there", metavar="KEYID"),
            flag("--replace", about="instead of the keys pinned so far"),
        ),
        about="Compare the id with the other authority by telephone or in person: the service must not be the one who "
        "tells you. Nothing is ever sealed to an authority that is not pinned.",
        examples=("rogatory trust pin es.fge 5d1f…",),
        then="rogatory exchange open --with AUTHORITY.",
    ),
    Command(
        "trust policy",
        "demand the cosignatures of witnesses, after comparing the policy",
        policy,
        (_ACCEPT,),
        about="Shows the policies under which the service collects cosignatures, and takes them into the trust file "
        "once you have compared the keys with the authorities they name. From then on `verify` demands the quorum, "
        "and nothing is sealed to a key that is not in a checkpoint enough of them cosigned.",
        examples=("rogatory trust policy", "rogatory trust policy --accept 9b1c…"),
        then="rogatory trust show.",
    ),
    Command(
        "trust update",
        "take over newer checkpoints and policies that the log and its present witnesses endorse",
        update,
        (
            option(
                "--accept",
                about="SHA-256 of an endorsed policy that asks for less than the one held (64 hex digits)",
                action="append",
                metavar="SHA256",
            ),
        ),
        about="Takes the newest checkpoint that is of one history with the one held, signed by every key of the log "
        "and cosigned by the quorum of the policy held; and another policy only if the log has said so in an entry "
        "that such a checkpoint covers. Nothing weaker is taken unasked, and other log keys never.",
        examples=("rogatory trust update",),
        then="rogatory trust show.",
    ),
    Command(
        "trust demand",
        "demand that a check be PASS, or demand it no longer",
        demand,
        (
            positional("checks", "ids of checks, as reports show them", metavar="CHECK", nargs="*"),
            option("--drop", about="id of a check no longer demanded; may be repeated", action="append",
                   metavar="CHECK"),
            option("--trust", about="the trust file to change (default: the profile's)", metavar="FILE", type=Path,
                   completes="file"),
        ),
        about="A demanded check that is NOT CHECKED keeps a bundle from being verified. Demand `completeness` where "
        "auditors cosign, `items` where the evidence is always at hand. Who is to check bundles from which entries "
        "are withheld keeps a copy of the trust file that does without `rules` and `conditions`, which take them all. "
        "Seven checks are demanded of any bundle.",
        examples=(
            "rogatory trust demand completeness",
            "rogatory trust demand --drop rules --drop conditions --trust for-the-defence.json",
        ),
        then="rogatory trust show.",
    ),
    Command("trust show", "show what is trusted", show, examples=("rogatory trust show",)),
)  # fmt: skip
