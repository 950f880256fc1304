"""`stamp`, `renew`, `trust tsa`: time stamps by third parties, and carrying them over the years."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from rogatory.cli import session
from rogatory.cli.command import Command, Outcome, flag, option, positional
from rogatory.cli.tui import Terminal, escape

if TYPE_CHECKING:
    from rogatory.stamps import Stamped


def stamp(args: Namespace, terminal: Terminal) -> Outcome:
    """Have a bundle's checkpoint stamped."""
    from custody.bundle import open_bundle
    from rogatory import stamps

    del terminal
    bundle = open_bundle(args.bundle)
    try:
        added, fetched = stamps.stamp(bundle, args.tsa)
        stamps.write(bundle, added, args.output)
    finally:
        bundle.close()
    return _written(args.output, fetched)


def renew(args: Namespace, terminal: Terminal) -> Outcome:
    """Have everything in a stamped bundle stamped anew."""
    from custody.bundle import open_bundle
    from rogatory import stamps
    from rogatory.statements import utc_now

    del terminal
    bundle = open_bundle(args.bundle)
    try:
        added, fetched = stamps.renew(bundle, args.tsa, at=utc_now())
        stamps.write(bundle, added, args.output)
    finally:
        bundle.close()
    return _written(args.output, fetched)


def _written(path: Path, fetched: "list[Stamped]") -> Outcome:
    from custody.text import to_time

    lines = [f"{escape(each.url)} says {to_time(each.at)}: {each.path}" for each in fetched]
    lines.append(f"wrote {escape(str(path))}; the stamps count under a trust file that names their authorities")
    rows = [{"url": each.url, "path": each.path, "at": to_time(each.at)} for each in fetched]
    return Outcome({"file": str(path), "stamps": rows}, "\n".join(lines))


def trust_tsa(args: Namespace, terminal: Terminal) -> Outcome:
    """Trust a time-stamping authority by its root certificate."""
    from dataclasses import replace

    from custody.timestamp import certificate
    from custody.trust import TimestampAuthority
    from rogatory import trust_file

    del terminal
    profile = session.load_profile(args)
    trust = trust_file.load(profile.trust)
    others = tuple(each for each in trust.tsa if each.name != args.name)
    roots = tuple(certificate(path.read_bytes()) for path in args.root)
    made = TimestampAuthority(args.name, roots, tuple(args.policy))
    tsa = tuple(sorted((*others, made), key=lambda each: each.name))
    demanded = {*trust.require, *(["timestamps"] if args.require else [])}
    trust = replace(trust, tsa=tsa, require=tuple(sorted(demanded)))
    trust_file.save(trust, profile.trust)
    fields = {"name": args.name, "roots": len(roots), "policies": list(args.policy), "file": str(profile.trust)}
    said = "; every bundle must bear a stamp that counts" if args.require else ""
    return Outcome(fields, f"stamps by {escape(args.name)} count from now on{said}")


_FROM = option(
    "--tsa",
    about="address of a time-stamping authority (RFC 3161); twice for two, better of different countries",
    action="append",
    required=True,
    metavar="URL",
)
_BUNDLE = positional("bundle", "a bundle or export", metavar="BUNDLE", type=Path, completes="file")
_TO = option("-o", "--output", about="file to write", metavar="FILE", type=Path, required=True, completes="file")
TRUST_COMMANDS = (
    Command(
        "trust tsa",
        "trust a time-stamping authority by its root certificate",
        trust_tsa,
        (
            positional("name", "a name for it, as reports shall show it", metavar="NAME"),
            option("--root", about="its root certificate, PEM or DER; may be repeated", action="append", required=True,
                   metavar="FILE", type=Path, completes="file"),
            option("--policy", about="object id of a policy that it may stamp under; may be repeated", action="append",
                   required=True, metavar="OID"),
            flag("--require", about="demand a stamp of every bundle from now on"),
        ),
        about="Get root and policy from the authority's own site or from your national trusted list, not from the "
        "service and not from a bundle.",
        examples=("rogatory trust tsa national --root root.pem --policy 1.3.6.1.4.1.32473.1",),
        then="rogatory stamp BUNDLE --tsa URL -o FILE.",
    ),
)  # fmt: skip
COMMANDS = (
    Command(
        "stamp",
        "have a bundle's checkpoint stamped by third parties",
        stamp,
        (_BUNDLE, _FROM, _TO),
        about="The authority is sent a digest and learns nothing else. Its stamp shows, to whoever believes it, that "
        "everything in the bundle existed by then.",
        examples=("rogatory stamp bundle.zip --tsa https://tsa.example.org -o stamped.zip",),
        then="rogatory verify stamped.zip --trust FILE; rogatory renew it before the authority's certificate ends.",
    ),
    Command(
        "renew",
        "have everything in a stamped bundle stamped anew, before the last stamps grow old",
        renew,
        (_BUNDLE, _FROM, _TO),
        about="Certificates end after some years, and algorithms age. A renewal lists every file with its SHA-512 and "
        "has the list stamped, so that what was proven stays proven. Do it well before the certificates end.",
        examples=("rogatory renew stamped.zip --tsa https://tsa.example.org -o renewed.zip",),
        then="rogatory verify renewed.zip --trust FILE.",
    ),
)
