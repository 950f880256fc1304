"""Play the main job: two authorities of two countries, an auditor, one seizure, one proof.

python -m demo [--evidence PATH] [--directory DIR]
"""

import argparse
import shutil
import sys
import time
import zipfile
from pathlib import Path

from demo.seizure import make
from demo.stage import CommandFailed, Party, Said, Stage

_WIDTH = 100
_WHAT_TO_READ = """
    In the list below: `quorum`, both countries cosigned this state of the log; `completeness`, nothing was left
    out and nothing follows, by Lyon's own mirror of the log; `time`, each act lies between two cosignatures, which
    are given below the list: when it happened, whatever the service's clock said (seq is that of chapter 5)."""
_VERIFIER = Path(__file__).resolve().parents[1] / "verifier" / "verifier.html"


def main() -> int:
    """Play, and say where to look."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--evidence", type=Path, help="file or folder to hand over (default: an invented seizure)")
    parser.add_argument("--directory", type=Path, default=Path("demo-run"), help="made anew (default: %(default)s)")
    choice = parser.parse_args()
    root = choice.directory.absolute()
    if root.exists() and not (root / ".rogatory-demo").exists():
        sys.stderr.write(f"error: {root} exists and is not of a demo\nhint: name another with --directory\n")
        return 2
    if choice.evidence and not choice.evidence.exists():
        sys.stderr.write(f"error: {choice.evidence} is not there\nhint: EVIDENCE=path names a file or a folder\n")
        return 2
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    (root / ".rogatory-demo").touch()
    begun = time.monotonic()
    try:
        with Stage(root, tell=_tell) as stage:
            _play(stage, choice.evidence.absolute() if choice.evidence else None)
    except CommandFailed as error:
        sys.stderr.write(f"error: {error}\nhint: the service's own words are in {root / 'service.log'}\n")
        return 1
    _tell(f"\nAll of it took {time.monotonic() - begun:.0f} seconds.")
    return 0


def _play(stage: Stage, evidence: Path | None) -> None:
    _chapter("1. A service starts on embedded defaults: its keys, its certificate, an empty log")
    stage.start_service()
    _chapter("2. Three authorities make their keys and are admitted, fingerprints compared by telephone")
    zeeland = stage.party("nl.police.zeeland", "NL", "Politie Zeeland")
    stage.tell = None
    lyon = stage.party("fr.parquet.lyon", "FR", "Parquet de Lyon")
    audit = stage.party("eu.oversight", "EU", "Oversight Board", roles=("auditor",))
    stage.tell = _tell
    _tell("\n    (Lyon and the oversight board do the same.) Each pins the keys of the others, read out by them:")
    stage.introduce(zeeland, lyon, audit)
    _chapter("3. One authority of each country cosigns the log from now on; an auditor checks every leaf of it")
    stage.witness(zeeland)
    stage.witness(lyon)
    stage.auditor(audit)
    stage.take_policies(zeeland, lyon, audit)
    exchange, package = _hand_over(stage, zeeland, lyon, evidence)
    _chapter("6. Each side takes the proof away; the auditor exports the log and sees no package")
    lyon.run("bundle", exchange, "-o", stage.root / "bundle.zip")
    lyon.run("log", "mirror", stage.root / "mirror")
    audit.run("export", exchange, "-o", stage.root / "audit-export.zip")
    audit.run("log", "mirror", stage.root / "audit-mirror", "--cosign")
    stage.operator("witness", "list", "--state", stage.state)
    audit.run("receive", package, "--to", stage.root / "nothing", expect=6)

    _chapter("7. The service is switched off. Nothing below asks it anything")
    stage.stop_service()
    stage.stop_witnesses()
    _tell("\n    service stopped, co-signing authorities too")
    _prove(stage, lyon, audit)


def _hand_over(stage: Stage, zeeland: Party, lyon: Party, evidence: Path | None) -> tuple[str, str]:
    _chapter("4. Zeeland opens an exchange and sends what was seized: encrypted here, before a byte leaves")
    zeeland.run("exchange", "open", "--with", lyon.authority, "--auditor", "eu.oversight",
                "--title", "Operation Estuary", "--file-number", "2026/0417")  # fmt: skip
    exchange = str(zeeland.ask("exchange", "list")["exchanges"][0]["exchange"])
    source = evidence or make(stage.root / "seizure")
    zeeland.run("send", source, "--exchange", exchange[:8], "--to", lyon.authority,
                "--examiner", "J. de Vries", "--exhibit", "07=USB stick")  # fmt: skip

    _chapter("5. Lyon receives: every part, both digests, every file of the inventory; then signs")
    lyon.run("inbox")
    package = str(lyon.ask("inbox")["packages"][0]["id"])
    lyon.run("receive", package[:8], "--to", stage.root / "received", "--unpack", "--keep-sealed")
    lyon.run("receipt", "accept", package[:8])
    lyon.run("log", exchange[:8])
    return exchange, package


def _prove(stage: Stage, lyon: Party, audit: Party) -> None:
    root = stage.root
    material = ("--trust", lyon.trust, "--mirror", root / "mirror")
    _tell(_WHAT_TO_READ)
    lyon.run("verify", root / "bundle.zip", *material, "--items", root / "received" / "sealed")
    audit.run("verify", root / "audit-export.zip", "--trust", audit.trust, "--mirror", root / "audit-mirror", "--quiet")
    lyon.run("sheet", root / "bundle.zip", *material, "-o", root / "custody-sheet.html")

    _chapter("8. Somebody flips one bit of one entry")
    place = flip_one_bit(root / "bundle.zip", root / "tampered")
    _tell(f"\n    {place}")
    said = lyon.run("verify", root / "tampered", *material, expect=20, show=False)
    _show_failures(said)

    _chapter("Look at it")
    for path, what in (
        (_VERIFIER, "the same checks by other code: open it in a browser, drop bundle.zip and trust.json on it"),
        (lyon.trust, "the trust.json to drop: whose keys Lyon believes; add the folder mirror for completeness"),
        ("custody-sheet.html", "the custody sheet, to print for the file of the case"),
        ("bundle.zip", "everything that proves the exchange; verify.md inside says how to check it without us"),
        ("audit-export.zip", "the auditor's export; entries.csv opens in a spreadsheet"),
        ("received", "what Lyon received, with SHA256SUMS"),
        ("tampered", "the bundle with the flipped bit, unpacked"),
        ("service", "the service's state: search it for a word of the evidence"),
    ):
        _tell(f"  {root / path}\n      {what}")
    _tell(f"\nTry:  .venv/bin/rogatory verify {root / 'bundle.zip'} --trust {lyon.trust} --mirror {root / 'mirror'}")


def flip_one_bit(bundle: Path, target: Path) -> str:
    """Unpack a bundle and flip one bit in it, so that an entry tells another minute; say where."""
    with zipfile.ZipFile(bundle) as packed:
        packed.extractall(target)
    path = target / "entries.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    line = len(lines) // 2
    at = lines[line].index(b'"time":"') + len('"time":"2026-11-22T15:5')
    lines[line] = lines[line][:at] + bytes([lines[line][at] ^ 1]) + lines[line][at + 1 :]
    path.write_bytes(b"".join(lines))
    return f"entries.jsonl, line {line + 1}, {at} bytes into the line: one bit differs, the entry is one minute off"


def _show_failures(said: Said) -> None:
    _tell("\nFR $ rogatory verify tampered/ --trust … --mirror …")
    shown = False
    for line in (said.out + said.err).splitlines():
        shown = line.startswith("FAIL") or (shown and line.startswith(" "))
        if shown or "exit code" in line:
            _tell(f"    {line}")


def _chapter(title: str) -> None:
    _tell(f"\n{'─' * _WIDTH}\n{title}\n{'─' * _WIDTH}")


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
