"""Adding to a bundle what auditors have cosigned since, so that it proves completeness by itself.

To ask for a bundle makes the log grow, so an auditor, who comes by later, never cosigns the bundle's own checkpoint. A
checkpoint that continues it and that an auditor cosigned says as much. Format: docs/spec/bundle.md, "Refreshing".
"""

from collections.abc import Mapping
from pathlib import Path

from custody import merkle
from custody.bundle import Bundle, repacked_files
from custody.checkpoint import Checkpoint, open_checkpoint
from custody.merkle import RootMismatch
from custody.note import VerifierKey
from custody.packing import encode_consistency
from custody.trust import Trust
from rogatory.containers import write_container
from rogatory.errors import RolledBack, Temporary, UsageProblem
from rogatory.log import PublicLog


class AuditorsBehind(Temporary):
    """No auditor of the trust file has cosigned a checkpoint that covers the bundle."""

    code = "auditors-behind"


class BundleOfAnotherLog(RolledBack):
    """The log that auditors cosigned does not continue the one that the bundle was proven in."""

    code = "bundle-not-continued"


def refresh(bundle: Bundle, trust: Trust, log: PublicLog) -> tuple[dict[str, bytes], dict[str, int]]:
    """The files to add, and for each auditor's name the size it is now shown to have cosigned.

    Everything is checked before it is handed out: the log's and the auditors' signatures, and that the checkpoints
    continue the bundle's, which must be of the trust file's log too.

    Raises:
        UsageProblem: The trust file names no auditors, or the bundle was renewed.
        AuditorsBehind: None of them has come as far as the bundle.
        BundleOfAnotherLog: What one of them cosigned is of another history.
        CustodyError: A checkpoint is malformed, or its signatures do not hold.
    """
    auditors = {} if trust.auditing is None else dict(trust.auditing.witnesses)
    if not auditors:
        raise UsageProblem("the trust file names no auditors", hint="rogatory trust policy")
    if bundle.names("renewal/"):
        raise UsageProblem("a renewal lists the files of this bundle, and more would break it", hint="refresh first")
    own = _open(bundle.read("checkpoint"), trust)[0]
    files: dict[str, bytes] = {}
    found: dict[str, int] = {}
    for key in auditors.values():
        note = log.cosigned_by(key.full_id)
        if note is None:
            continue
        checkpoint, keys = _open(note, trust)
        if checkpoint.size < own.size or key not in keys:
            continue
        found[key.name] = max(checkpoint.size, found.get(key.name, 0))
        files |= _added(bundle, own, checkpoint, note, log)
    if not found:
        raise AuditorsBehind(
            f"no auditor of the trust file has cosigned {own.size} leaves or more yet",
            hint="try again after they have run `rogatory log mirror --cosign`",
        )
    return files, found


def write(bundle: Bundle, added: Mapping[str, bytes], target: Path) -> None:
    """Write the bundle with these files; errors as for `write_container`."""
    write_container(repacked_files(bundle, added), target)


def _open(note: bytes, trust: Trust) -> tuple[Checkpoint, set[VerifierKey]]:
    checkpoint, opened = open_checkpoint(note, origin=trust.origin, log=trust.log, witnesses=trust.keys)
    known = {key_id for key_id, _ in opened.cosignatures()}
    return checkpoint, {key for key in trust.keys if key.full_id in known}


def _added(bundle: Bundle, own: Checkpoint, newer: Checkpoint, note: bytes, log: PublicLog) -> dict[str, bytes]:
    """The note and its proof; a note that was stamped stays as it is."""
    path = log.consistency(own.size, newer.size) if newer.size > own.size else []
    try:
        merkle.verify_consistency(size1=own.size, size2=newer.size, root1=own.root, root2=newer.root, path=path)
    except RootMismatch as error:
        raise BundleOfAnotherLog(
            f"{newer.size} leaves that an auditor cosigned do not begin with the bundle's {own.size}",
            hint="keep both: they prove that the log keeps two books",
        ) from error
    stamped = bool(bundle.names(f"timestamps/{newer.size}-"))
    files = {} if stamped else {f"checkpoints/{newer.size}": note}
    if newer.size > own.size:
        files[f"consistency/{own.size}-{newer.size}"] = encode_consistency(own.size, newer.size, path)
    return files
