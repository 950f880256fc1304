"""`prove`, `confirm`: one file of a package, for somebody who may see nothing else."""

from argparse import Namespace
from pathlib import Path

from rogatory.cli.command import Command, Outcome, option, positional
from rogatory.cli.tui import Terminal, escape, facts
from rogatory.cli.verify import trust


def prove(args: Namespace, terminal: Terminal) -> Outcome:
    """Write the proof of one received file."""
    from rogatory import proving
    from rogatory.names import shown

    del terminal
    name = args.path.encode(errors="surrogateescape") if args.path else None
    proof = proving.take(args.file, name=name)
    with args.output.open("xb") as file:
        file.write(proof.encode())
    place = f"{escape(shown(proof.file.path))} is line {proof.index + 1} of {proof.count}"
    text = f"wrote {escape(str(args.output))}: {place}"
    fields = {"file": str(args.output), "package": proof.package, "manifest": proof.manifest, "index": proof.index}
    return Outcome(fields | {"count": proof.count}, f"{text}\nit shows no other name, and needs no key")


def confirm(args: Namespace, terminal: Terminal) -> Outcome:
    """Hold a file to its proof, its proof to a bundle, and verify that."""
    from custody.fileproof import FileProof
    from rogatory import proving
    from rogatory.names import shown

    proof = FileProof.parse(args.proof.read_bytes())
    found = proving.confirm(proof, args.file, args.bundle, trust(args.trust))
    confirmed, line = found.report.verified, proof.file
    sha256, blake3 = (line.sha256 or b"").hex(), (line.blake3 or b"").hex()
    told = {
        "file": args.file,
        "is": shown(line.path),
        "size": f"{line.size} bytes",
        "sha-256": sha256,
        "blake3": blake3,
        "package": proof.package,
        "sealed by": found.authority,
        "recorded": found.time,
        "the bundle": "verified" if found.report.verified else f"NOT verified: {found.report.verdict}",
    }
    last = "confirmed" if confirmed else "NOT confirmed: the bundle does not hold"
    fields = {"confirmed": confirmed, "path": shown(line.path), "size": line.size, "sha256": sha256, "blake3": blake3}
    fields |= {"package": proof.package, "authority": found.authority, "time": found.time}
    fields |= {"verdict": found.report.verdict}
    text = f"{facts(told)}\n\n{terminal.paint(last, 'green' if confirmed else 'red')}"
    return Outcome(fields, text, found.report.exit_code)


COMMANDS = (
    Command(
        "prove",
        "take the proof of one received file, for somebody who may see nothing else",
        prove,
        (
            positional("file", "the file, as `receive` has put it", metavar="FILE", type=Path, completes="file"),
            option("-o", "--output", about="file to write", metavar="PROOF", type=Path, required=True,
                   completes="file"),
            option("--path", about="its name in the inventory, if it had to be renamed on arrival", metavar="NAME"),
        ),
        about="Hand over the file, the proof and the bundle: they show that the sender, when it sealed the package, "
        "said that it held this very file under this name. No other name and no key is in the proof.",
        examples=("rogatory prove received/evidence/photos/IMG_0412.jpg -o IMG_0412.proof",),
        then="rogatory confirm PROOF FILE --bundle BUNDLE --trust FILE, on any machine.",
    ),
    Command(
        "confirm",
        "hold a file to its proof, and the proof to a verified bundle",
        confirm,
        (
            positional("proof", "what `prove` has written", metavar="PROOF", type=Path, completes="file"),
            positional("file", "the file", metavar="FILE", type=Path, completes="file"),
            option("--bundle", about="bundle of the exchange", metavar="BUNDLE", type=Path, required=True,
                   completes="file"),
            option("--trust", about="the trust file: whom to believe", metavar="TRUST", type=Path, required=True,
                   completes="file"),
        ),
        about="Works without network, key or profile. Ends with the exit code of `verify` on the bundle, or with 20 if "
        "the file or the proof does not fit.",
        examples=("rogatory confirm IMG_0412.proof IMG_0412.jpg --bundle bundle.zip --trust trust.json",),
    ),
)  # fmt: skip
