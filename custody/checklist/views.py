"""Checks against other views of the log: what its reader holds, what signers saw, what might follow or be missing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from custody import leaf, merkle, packing, tail
from custody.bundle import open_bundle
from custody.checklist import chains, proving, succession
from custody.checklist.case import Case, Chain
from custody.checklist.mirror import Walked, walk
from custody.checkpoint_text import Checkpoint
from custody.errors import CustodyError, FormatError, VerificationError
from custody.leaf import SERVICE
from custody.merkle import RootMismatch
from custody.note import MAX_NOTE_SIZE, parse_note
from custody.packing import LeafLine
from custody.report import Fault, NotChecked, Place
from custody.words import join, say


class OtherHistory(VerificationError):
    """The log has shown two roots that no one history has: the operator keeps two books."""

    code = "other-history"


class RolledBack(VerificationError):
    """An entry that an older bundle proves is missing here, or another stands in its place."""

    code = "rolled-back"


class SeenTooMuch(VerificationError):
    """A signer says it saw a tree that already held its own statement."""

    code = "seen-too-much"


class ExportMissing(VerificationError):
    """The chain does not hold the log.exported that asked for the bundle."""

    code = "export-missing"


@dataclass(frozen=True, slots=True)
class View:
    """A size and root that somebody says is the log's; `what` says who, `place` where.

    A signer's view is `newest` if it saw no larger tree: those must be comparable, older ones follow from them.
    """

    size: int
    root: bytes
    what: str
    place: Place | None = None
    signer: tuple[str, str | None] | None = None
    newest: bool = True


@dataclass(frozen=True)
class Older:
    """What the reader kept from before: a checkpoint with its note, and the leaf lines of a bundle where it was one."""

    view: View
    note: bytes
    leaves: dict[str, list[LeafLine]]


def consistency(case: Case) -> str:
    """Every other view of the log that can be compared with the checkpoint is of the same history."""
    checkpoint = case.need_checkpoint()
    case.need_statements()
    _check_seen_sizes(case)
    older = _older(case)
    views = [*_held(case), *([older.view] if older else []), *_seen(case)]
    inner = [
        View(
            Checkpoint.parse(parse_note(data).text).size,
            Checkpoint.parse(parse_note(data).text).root,
            f"checkpoints/{size}",
            Place(f"checkpoints/{size}"),
        )
        for size, data in sorted(case.notes.items())
    ]
    walked = mirrored(case)
    unknown = []
    for view in [*views, *inner]:
        try:
            known = _compare(case, checkpoint, view, walked)
        except RootMismatch as error:
            raise Fault(OtherHistory(f"{view.what} is of another history: {error}"), view.place or Place()) from error
        if not known:
            unknown.append(view)
        elif view.place is not None and view.place.file == f"checkpoints/{view.size}":
            proving.add_note(case, case.notes[view.size])
        elif older is not None and view is older.view:
            proving.add_note(case, older.note)
    if older is not None:
        _check_older(case, checkpoint, older)
    return _conclude(views, unknown, walked)


def _conclude(views: list[View], unknown: list[View], walked: Walked | None) -> str:
    missing = [view for view in unknown if view in views and view.newest]
    if missing:
        raise NotChecked(say("reason.no-proof", views=[view.what for view in missing[:5]], count=len(views)))
    if not views and walked is None:
        raise NotChecked(say("reason.nothing-to-compare"))
    newest = [view.what for view in views if view.newest]
    return join("; ", [*newest, *([say("detail.mirror")] if walked else [])])


def completeness(case: Case) -> str:
    """Nothing follows the last entry of the exchange and of every registry, and auditors or the tiles vouch for it."""
    case.need_chains()
    case.need_checkpoint()
    chains = [chain for name, chain in case.chains.items() if name != SERVICE]
    partial = [chain.name for chain in chains if not chain.whole]
    if partial:
        raise NotChecked(say("reason.excerpt", names=partial))
    roots = {chain.tail.root for chain in chains if chain.tail is not None}
    if len(roots) > 1:
        raise tail.TailMismatch(f"{len(roots)} tail roots in one bundle, expected that of the last leaf")
    for chain in chains:
        if chain.tail is not None:
            _check_tail(chain, chain.tail)
    lacking = [chain.name for chain in chains if chain.tail is None]
    if lacking:
        raise NotChecked(say("reason.no-tail", names=lacking))
    if not case.included:
        raise NotChecked(say("reason.tail-unproven"))
    _check_exported(case)
    walked, auditors = mirrored(case), proving.audited(case)
    if walked is not None:
        return say("detail.recomputed")
    if auditors is None:
        raise NotChecked(say("reason.claimed"))
    return say("detail.audited", names=auditors)


def mirrored(case: Case) -> Walked | None:
    """The mirror's walk up to the largest size of interest, done once; None where there is no mirror.

    Raises:
        OtherHistory: The tiles are of another log than the checkpoint.
    """
    checkpoint = case.need_checkpoint()
    if case.mirror is None:
        return None
    if case.walked is None:
        wanted = {view.size for view in (*_held(case), *_seen(case)) if view.size <= checkpoint.size}
        wanted |= {size for size in case.notes if size <= checkpoint.size}
        older = _older(case)
        if older is not None and older.view.size <= checkpoint.size:
            wanted.add(older.view.size)
        case.walked = walk(case.mirror, size=checkpoint.size, wanted=wanted)
    if case.walked.roots[checkpoint.size] != checkpoint.root:
        found = case.walked.roots[checkpoint.size]
        raise OtherHistory(f"the mirror's tiles give root {found.hex()}, the checkpoint has {checkpoint.root.hex()}")
    return case.walked


def _compare(case: Case, checkpoint: Checkpoint, view: View, walked: Walked | None) -> bool:
    """Whether the view could be compared; raises RootMismatch if it is of another history."""
    small, large = sorted([(view.size, view.root), (checkpoint.size, checkpoint.root)])
    path = case.consistency.get((small[0], large[0]))
    if view.size == checkpoint.size:
        path = []
    if path is None:
        if walked is None or view.size not in walked.roots:
            return False
        if walked.roots[view.size] != view.root:
            raise RootMismatch(expected=view.root, found=walked.roots[view.size])
        return True
    merkle.verify_consistency(size1=small[0], size2=large[0], root1=small[1], root2=large[1], path=path)
    return True


def _held(case: Case) -> Iterator[View]:
    held = case.trust.held
    if held is not None and held.size > 0:
        yield View(held.size, held.root, say("detail.view-held", size=held.size))


def _seen(case: Case) -> list[View]:
    """Every `seen` of every signer, a size and root once; `newest` marks what must be comparable."""
    newest: dict[tuple[str, str | None], int] = {}
    found: dict[tuple[int, str], View] = {}
    for chain in case.chains.values():
        for act in chains.acts(case, chain):
            statement = act.statement
            if "seen" not in statement.payload:
                continue
            seen, signer = statement.payload["seen"], (statement.authority, statement.principal)
            newest[signer] = max(newest.get(signer, 0), seen["size"])
            place = Place(chain=chain.name, seq=act.entry.seq)
            what = say("detail.view-seen", authority=statement.authority, size=seen["size"])
            found.setdefault(
                (seen["size"], seen["root"]), View(seen["size"], bytes.fromhex(seen["root"]), what, place, signer)
            )
    return [replace(view, newest=view.signer is None or newest[view.signer] == view.size) for view in found.values()]


def _check_seen_sizes(case: Case) -> None:
    for chain in case.chains.values():
        for act in chains.acts(case, chain):
            line, seen = chain.lines[act.number], act.statement.payload.get("seen")
            if line is None or seen is None or seen["size"] <= line.index:
                continue
            signed = f"was signed after seeing a tree of {seen['size']}"
            error = SeenTooMuch(f"entry {act.entry.seq} at index {line.index} {signed}")
            raise Fault(error, chain.place(act.number))


def _older(case: Case) -> Older | None:
    if case.since is None:
        return None
    if case.older is None:
        try:
            case.older = _read_older(case, case.since)
        except CustodyError as error:
            raise NotChecked(say("reason.older-unusable", error=str(error))) from error
    return case.older


def _read_older(case: Case, path: Path) -> Older:
    leaves: dict[str, list[LeafLine]] = {}
    if path.is_dir() or _begins(path, b"PK"):
        bundle = open_bundle(path)
        try:
            note = bundle.read("checkpoint")
            for chain in case.chains.values():
                name = f"{chain.folder}leaves.jsonl"
                if name in bundle and (chain.folder or bundle.packing.chain == case.bundle.packing.chain):
                    leaves[chain.name] = packing.parse_leaves(bundle.read(name))
        finally:
            bundle.close()
    else:
        with path.open("rb") as file:
            note = file.read(MAX_NOTE_SIZE + 1)
    if case.trust.given:
        checkpoint, _ = proving.open_note_of_log(case, note)
    else:
        checkpoint = Checkpoint.parse(parse_note(note).text)
    view = View(checkpoint.size, checkpoint.root, say("detail.view-older", size=checkpoint.size))
    return Older(view, note, leaves)


def _begins(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _check_older(case: Case, checkpoint: Checkpoint, older: Older) -> None:
    for name, lines in older.leaves.items():
        chain = case.chains[name]
        for line in lines:
            now = chain.leaf(line.seq)
            if now is None and chain.whole and older.view.size <= checkpoint.size:
                raise Fault(
                    RolledBack(f"entry {line.seq} of {name} was there before and is not here"), Place(chain=name)
                )
            if now is not None and now != line:
                error = RolledBack(f"entry {line.seq} of {name} was another before")
                raise Fault(error, Place(f"{chain.folder}leaves.jsonl", chain=name, seq=line.seq))


def _check_tail(chain: Chain, proof: tail.TailProof) -> None:
    last = chain.leaves[-1]
    try:
        tail.verify_absent(proof, leaf.next_label(last.salt, last.hash))
    except (FormatError, VerificationError) as error:
        raise Fault(error, Place(f"{chain.folder}tail.json", chain=chain.name, seq=last.seq)) from error


def _check_exported(case: Case) -> None:
    chain = case.exchange
    if chain is None or chain.withheld or succession.last_word(case) is not None:
        return
    if not any(item.event == "log.exported" for item in chain.entries):
        raise ExportMissing("no log.exported in the chain, expected the one that asked for this bundle")
