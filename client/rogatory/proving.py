"""One file of a package for somebody who may see nothing else: taking its proof, and holding a file to it.

Needs no service and no key: the proof comes out of what `receive` has left, and is checked with a bundle and a trust
file.
Format: docs/spec/inventory.md, section "One file".
"""

from dataclasses import dataclass
from pathlib import Path

from custody import entry, statement
from custody.bundle import Bundle, open_bundle
from custody.errors import VerificationError
from custody.fileproof import FileProof
from custody.packing import split_lines
from custody.report import Report
from custody.statement import Statement
from custody.trust import Trust
from custody.verify import verify_bundle
from rogatory.errors import UsageProblem

INVENTORY, MANIFEST, EVIDENCE = "inventory.jsonl", "manifest.json", "evidence"


class NotReceived(UsageProblem):
    """A file does not lie where `receive` has put one."""

    code = "not-received"


class ManifestMissing(VerificationError):
    """The bundle does not hold the manifest of the proof as one that was sealed."""

    code = "manifest-missing"


@dataclass(frozen=True)
class Confirmed:
    """A file that a proof and a bundle speak of.

    Attributes:
        report: On the bundle; only if it is verified does anything else count.
        proof: What was proven.
        authority: Who sealed the package.
        time: When the service recorded that.
    """

    report: Report
    proof: FileProof
    authority: str
    time: str


def take(path: Path, *, name: bytes | None = None) -> FileProof:
    """The proof of a file that `receive` has put on disk.

    Args:
        path: The file, somewhere below `evidence/`.
        name: Its path in the inventory, where it had to be renamed on arrival.

    Raises:
        NotReceived: No inventory and manifest lie beside its `evidence` directory.
        FileDiffers: The file is no longer what was received.
        NotInInventory: The inventory has no such name.
        InventoryMismatch: Inventory and manifest do not belong together.
    """
    home, inside = _home(path)
    manifest = statement.parse((home / MANIFEST).read_bytes())
    with (home / INVENTORY).open("rb") as inventory:
        wanted = name if name is not None else inside
        proof = FileProof.of(inventory, wanted, log=manifest.payload["log"], manifest=manifest.id)
    proof.check(manifest.payload["inventory_commitment"])
    with path.open("rb") as file:
        proof.check_file(file)
    return proof


def confirm(proof: FileProof, file: Path, bundle: Path, trust: Trust) -> Confirmed:
    """Hold a file to a proof, and the proof to a bundle, which is verified.

    Raises:
        ManifestMissing: The bundle knows no such package, or another manifest of it.
        InventoryMismatch, ProofMalformed: The proof does not lead to that manifest.
        FileDiffers: The file is another.
        FormatError: The bundle cannot be understood.
    """
    report = verify_bundle(bundle, trust)
    opened = open_bundle(bundle)
    try:
        manifest, sealed = _manifest(opened, proof)
    finally:
        opened.close()
    proof.check(manifest.payload["inventory_commitment"])
    with file.open("rb") as source:
        proof.check_file(source)
    return Confirmed(report, proof, manifest.authority, sealed.time)


def _manifest(bundle: Bundle, proof: FileProof) -> tuple[Statement, entry.Entry]:
    if "entries.jsonl" in bundle and bundle.packing.log == proof.log:
        for line in split_lines(bundle.read("entries.jsonl")):
            made = entry.parse(line)
            if made.event == "package.sealed" and made.statement_id == proof.manifest:
                for envelope in split_lines(bundle.read("statements.jsonl")):
                    said = statement.parse(envelope)
                    if said.id == proof.manifest and said.payload["package"] == proof.package:
                        return said, made
    raise ManifestMissing(
        f"the bundle holds no package.sealed with manifest {proof.manifest} of package {proof.package}"
    )


def _home(path: Path) -> tuple[Path, bytes]:
    """The directory of the receive that a file belongs to, and the file's name in the evidence."""
    whole = path.absolute()
    for parent in whole.parents:
        if parent.name == EVIDENCE and (parent.parent / INVENTORY).is_file():
            return parent.parent, str(whole.relative_to(parent)).encode(errors="surrogateescape")
    raise NotReceived(
        f"{path} does not lie below the {EVIDENCE} of a received package",
        hint=f"give a file as `rogatory receive` has put it, beside {INVENTORY} and {MANIFEST}",
    )
