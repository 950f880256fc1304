"""`log`, `bundle`, `export`, `log mirror`: the record, and taking it away."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from rogatory.cli import redact, session
from rogatory.cli.command import Command, CommandProblem, Outcome, flag, option, positional
from rogatory.cli.tui import Terminal, columns, escape, size

_EXCHANGE = positional("exchange", "id of the exchange, or an unambiguous beginning", metavar="EXCHANGE")
_OUTPUT = option(
    "-o",
    "--output",
    about="file to write; never overwritten",
    metavar="FILE",
    type=Path,
    required=True,
    completes="file",
)


def log(args: Namespace, terminal: Terminal) -> Outcome:
    """Show the chain of an exchange."""
    from rogatory.messages import addition, in_words

    rows: list[tuple[str, ...]] = []
    fields: list[dict[str, Any]] = []
    with session.client(args, terminal) as client:
        exchange = client.exchange(args.exchange)
        for page in client.log(exchange):
            said = {statement.id: statement for statement in page.statements}
            for index, entry in page.entries:
                stated = said.get(entry.statement_id or "")
                actor = entry.fields["actor"]
                who = "the service" if actor["authority"] == "@service" else actor["authority"]
                extra = addition(entry.event, stated.payload if stated else {}, entry.noted)
                about = entry.subject.get("package", "")[:8]
                time = entry.fields["time"]
                rows.append((str(entry.seq), f"{time[:10]} {time[11:19]}", who, in_words(entry.event), about, extra))
                fields.append(entry.fields | {"index": index})
    shown = columns(rows, head=("seq", "time (utc)", "who", "what", "package", "")) or "nothing yet"
    terminal.note("as the service shows it; proofs are in the bundle: rogatory bundle EXCHANGE -o FILE")
    return Outcome({"exchange": exchange.id, "entries": fields}, shown)


def bundle(args: Namespace, terminal: Terminal) -> Outcome:
    """Fetch the bundle of an exchange."""
    return _taken_away(args, terminal, "bundle")


def export(args: Namespace, terminal: Terminal) -> Outcome:
    """Fetch the auditor's export of an exchange."""
    return _taken_away(args, terminal, "export")


def _taken_away(args: Namespace, terminal: Terminal, form: str) -> Outcome:
    if args.output.exists():
        raise CommandProblem(f"{args.output} is there already", code="file-exists", hint="name another", exit_code=7)
    profile = session.load_profile(args)
    partly = bool(args.only or args.withhold)
    target = args.output
    if partly:
        target = args.output.with_name(f".{args.output.name}.whole")
        target.unlink(missing_ok=True)
    with session.client(args, terminal) as client:
        exchange = client.exchange(args.exchange)
        with terminal.progress(None, "fetching") as bar:
            fetch = client.bundle if form == "bundle" else client.export
            fetch(exchange, target, progress=bar.advance)
    if partly:
        _redact(args, target)
    from rogatory.matter import file_digest

    digest, _ = file_digest(args.output)
    length = args.output.stat().st_size
    text = [
        f"wrote {escape(str(args.output))}, {size(length)}",
        f"SHA-256 {digest}",
        f"next: rogatory verify {escape(str(args.output))} --trust {escape(str(profile.trust))}"
        + (" --allow-withheld" if partly else ""),
    ]
    fields = {"file": str(args.output), "sha256": digest, "size": length, "form": form, "exchange": exchange.id}
    return Outcome(fields, "\n".join(text))


def _redact(args: Namespace, whole: Path) -> None:
    """Write what is disclosed of a whole bundle, and leave that nowhere."""
    from custody.bundle import open_bundle
    from custody.redaction import redacted_files
    from rogatory.containers import write_container

    try:
        bundle = open_bundle(whole)
        try:
            write_container(redacted_files(bundle, redact.disclosed(args, bundle)), args.output)
        finally:
            bundle.close()
    finally:
        whole.unlink()


def mirror(args: Namespace, terminal: Terminal) -> Outcome:
    """Bring a mirror of the public log up to date."""
    from rogatory.cli import witness

    profile = session.load_profile(args)
    terminal.resumable = f"rogatory log mirror {args.directory} goes on where it stopped"
    auditor = witness.load(Namespace(directory=None), profile, auditor=True) if args.cosign else None
    with session.client(args, terminal) as client:
        found = client.mirror(args.directory, auditor=auditor)
    new = found.size - found.before
    cosigned = [f"{escape(auditor.name)} cosigned them as auditor"] if auditor else []
    text = [
        f"{found.size} leaves in {escape(str(args.directory))}, {new} of them new, every one checked",
        f"{found.entries} entries, no label twice; {found.tails} tails, each recomputed"
        + ("" if found.complete else "; the last leaf is no tail"),
        *cosigned,
        f"next: rogatory verify BUNDLE --trust {escape(str(profile.trust))} --mirror {escape(str(args.directory))}",
    ]
    fields = {
        "directory": str(args.directory),
        "size": found.size,
        "before": found.before,
        "entries": found.entries,
        "tails": found.tails,
        "complete": found.complete,
        "cosigned_by": auditor.name if auditor else None,
    }
    return Outcome(fields, "\n".join(text))


COMMANDS = (
    Command(
        "log",
        "show the custody chain of an exchange",
        log,
        (_EXCHANGE,),
        about="As the service shows it, for finding one's way. That you looked is noted in the chain. `log "
        "mirror` is another "
        "command.",
        examples=("rogatory log 3fa4c1d2", "rogatory log 3fa4c1d2 --json"),
        then="rogatory bundle EXCHANGE -o FILE takes the proof away.",
    ),
    Command(
        "bundle",
        "fetch everything that proves an exchange, in one file",
        bundle,
        (_EXCHANGE, _OUTPUT, *redact.WHAT),
        about="The chain, its statements, the registries of all parties and the proofs. Holds no evidence and "
        "no title, but "
        "who dealt with whom: keep it like a file of the case. With --only or --withhold it is redacted on this "
        "machine before it is written.",
        examples=(
            "rogatory bundle 3fa4c1d2 -o bundle.zip",
            "rogatory bundle 3fa4c1d2 --only 77ab01ce -o for-the-defence.zip",
        ),
        then="rogatory verify bundle.zip --trust FILE, on any machine, without network.",
    ),
    Command(
        "export",
        "fetch the auditor's export of an exchange: exact entries, proofs and a table",
        export,
        (_EXCHANGE, _OUTPUT, *redact.WHAT),
        examples=("rogatory export 3fa4c1d2 -o export.zip",),
        then="rogatory verify export.zip --trust FILE.",
    ),
    Command(
        "log mirror",
        "fetch the whole public log and check every leaf, label and tail",
        mirror,
        (
            positional("directory", "where the mirror lies", metavar="DIR", completes="directory", type=Path),
            flag("--cosign", about="then cosign as auditor, with the keys of `witness init --auditor`"),
        ),
        about="Needs no login: the public log tells outsiders nothing. With a mirror, `verify` shows by itself "
        "that nothing "
        "was left out, forked or hidden. Run it from time to time; it goes on where it stopped and refuses "
        "another past.",
        examples=("rogatory log mirror ~/log-mirror", "rogatory log mirror ~/log-mirror --cosign"),
        then="rogatory verify BUNDLE --trust FILE --mirror DIR.",
    ),
)
