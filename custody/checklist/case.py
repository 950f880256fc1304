"""What a verifier has before it: the files of a bundle, parsed, with everything that could not be understood.

Loading reads each file once, takes its digests for the packing list and parses it. It decides nothing: what is
malformed becomes a `Fault` in the list of the check that reports it.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from custody import batch, entry, packing, statement
from custody.bundle import Bundle
from custody.checkpoint_text import Checkpoint
from custody.entry import Entry
from custody.errors import CustodyError, FormatError, VerificationError
from custody.leaf import SERVICE, registry_handle
from custody.note import parse_note
from custody.packing import LeafLine, LinesMalformed
from custody.policy import Policy
from custody.report import Fault, NotChecked, Place
from custody.statement import Statement
from custody.tail import TailProof
from custody.trust import Trust
from custody.words import say

EXCHANGE: Final = "@exchange"
"""Name of the exchange's chain here; no authority can have it."""
if TYPE_CHECKING:
    from custody.checklist.chains import Matched
    from custody.checklist.mirror import Walked
    from custody.checklist.proving import Cosigned
    from custody.checklist.signing import Replay
    from custody.checklist.stamps import Stamped
    from custody.checklist.succession import Before
    from custody.checklist.views import Older

_Result = TypeVar("_Result")


class FileDamaged(VerificationError):
    """A file is not the one the packing list speaks of."""

    code = "file-damaged"


class Misnamed(FormatError):
    """A file's name does not fit what it holds, or the packing list does not."""

    code = "misnamed"


@dataclass
class Chain:
    """One chain of a bundle.

    Attributes:
        name: `@exchange`, `@service`, or the authority whose registry it is.
        folder: Where its files lie; empty, or ends with a slash.
        handle: The handle its entries must bear, hex.
        entries: Disclosed entries, as they stand in the file.
        leaves: Lines of leaves.jsonl, ascending by seq.
    """

    name: str
    folder: str
    handle: str
    entries: list[Entry] = field(default_factory=list)
    leaves: list[LeafLine] = field(default_factory=list)
    tail: TailProof | None = None
    understood: bool = True

    @property
    def whole(self) -> bool:
        """Whether the leaves begin at seq 0 and miss none; otherwise the chain is an excerpt."""
        return bool(self.leaves) and self.leaves[0].seq == 0 and self.leaves[-1].seq == len(self.leaves) - 1

    def leaf(self, seq: int) -> LeafLine | None:
        """The line of an entry."""
        if not self.leaves:
            return None
        place = seq - self.leaves[0].seq
        if 0 <= place < len(self.leaves) and self.leaves[place].seq == seq:
            return self.leaves[place]
        return self._by_seq.get(seq)

    @cached_property
    def _by_seq(self) -> dict[int, LeafLine]:
        return {leaf.seq: leaf for leaf in self.leaves}

    @cached_property
    def lines(self) -> Sequence[LeafLine | None]:
        """For each disclosed entry its leaf line; None where `bodies` finds that it has none."""
        if len(self.entries) == len(self.leaves):
            pairs = zip(self.entries, self.leaves, strict=True)
            if all(item.seq == line.seq for item, line in pairs):
                return self.leaves
        return [self.leaf(item.seq) for item in self.entries]

    def place(self, number: int) -> Place:
        """Place of the entry in line `number` (from 0) of entries.jsonl."""
        offset = sum(len(item.data) + 1 for item in self.entries[:number])
        seq = self.entries[number].seq if number < len(self.entries) else None
        return Place(f"{self.folder}entries.jsonl", number + 1, offset, self.name, seq)

    def leaf_place(self, number: int) -> Place:
        """Place of line `number` (from 0) of leaves.jsonl."""
        offset = sum(len(packing.encode_leaf(leaf)) for leaf in self.leaves[:number])
        return Place(f"{self.folder}leaves.jsonl", number + 1, offset, self.name, self.leaves[number].seq)

    @cached_property
    def withheld(self) -> tuple[int, ...]:
        """The seq of each line whose entry is not disclosed."""
        if self.lines is self.leaves:
            return ()
        disclosed = {item.seq for item in self.entries}
        return tuple(leaf.seq for leaf in self.leaves if leaf.seq not in disclosed)


@dataclass
class Case:
    """A bundle and the question asked of it.

    Attributes:
        damaged: Findings of the packing list.
        malformed: Findings of canonical form and schema.
        chains: Exchange, registries by authority, service; those that are there.
    """

    bundle: Bundle
    trust: Trust
    items: Path | None = None
    now: datetime | None = None
    mirror: Path | None = None
    since: Path | None = None
    before: "Before | None" = None
    processes: int | None = None
    check_signatures: bool = True
    damaged: list[Fault] = field(default_factory=list)
    malformed: list[Fault] = field(default_factory=list)
    chains: dict[str, Chain] = field(default_factory=dict)
    statements: dict[str, Statement] = field(default_factory=dict)
    headers: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, bytes] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None
    note: bytes = b""
    notes: dict[int, bytes] = field(default_factory=dict)
    consistency: dict[tuple[int, int], list[bytes]] = field(default_factory=dict)
    inclusion: tuple[int, list[bytes]] | None = None
    csv: bytes | None = None
    statements_understood: bool = True
    matched: "Matched | None" = None
    replay: "Replay | None" = None
    cosigned: "Cosigned | None" = None
    included: bool = False
    walked: "Walked | None" = None
    older: "Older | None" = None
    stamped: "Stamped | None" = None
    continues: tuple[str, ...] = ()

    @property
    def exchange(self) -> Chain | None:
        """The exchange's chain; none in a bundle of a registry."""
        return self.chains.get(EXCHANGE)

    @property
    def registries(self) -> dict[str, Chain]:
        """Registries by authority."""
        return {name: chain for name, chain in self.chains.items() if name not in (EXCHANGE, SERVICE)}

    def need_chains(self) -> None:
        """Go on only if every entry and leaf line was understood.

        Raises:
            NotChecked: Some were not.
        """
        unread = [chain.folder or "./" for chain in self.chains.values() if not chain.understood]
        if unread:
            raise NotChecked(say("reason.lines-unread", files=unread))

    def need_statements(self) -> None:
        """Go on only if, besides, every statement was understood.

        Raises:
            NotChecked: Some were not.
        """
        self.need_chains()
        if not self.statements_understood:
            raise NotChecked(say("reason.statements-unread"))

    def need_exchange(self) -> Chain:
        """The exchange's chain, with all its statements understood.

        Raises:
            NotChecked: There is none, or some were not.
        """
        self.need_statements()
        if self.exchange is None:
            raise NotChecked(say("reason.no-exchange"))
        return self.exchange

    def need_checkpoint(self) -> Checkpoint:
        """The checkpoint, if it was understood. Nobody has verified its signatures yet.

        Raises:
            NotChecked: It was not.
        """
        if self.checkpoint is None:
            raise NotChecked(say("reason.checkpoint-unread"))
        return self.checkpoint


def load(case: Case) -> None:
    """Read and parse every file of the case's bundle."""
    _lay_out(case)
    for file in case.bundle.packing.files:
        try:
            data = case.bundle.read(file.path)
        except FormatError as error:
            _refuse(case, file.path, error)
            continue
        _check_digests(case, file, data)
        _take(case, file.path, data)
    for name in ("checkpoint", "inclusion", "statements.jsonl", *_needed(case)):
        if name not in case.bundle:
            _refuse(case, name, Misnamed(f"{name} is missing"))
    _check_names(case)


def _needed(case: Case) -> list[str]:
    return [f"{chain.folder}{name}" for chain in case.chains.values() for name in ("entries.jsonl", "leaves.jsonl")]


def _lay_out(case: Case) -> None:
    listed = case.bundle.packing
    if listed.kind != "registry":
        case.chains[EXCHANGE] = Chain(EXCHANGE, "", listed.chain)
    authorities = {name.split("/")[1] for name in case.bundle.names("registry/")}
    for authority in sorted(authorities):
        handle = registry_handle(listed.log, authority).hex()
        case.chains[authority] = Chain(authority, f"registry/{authority}/", handle)
    if case.bundle.names("service/"):
        case.chains[SERVICE] = Chain(SERVICE, "service/", registry_handle(listed.log, SERVICE).hex())


def _check_digests(case: Case, file: packing.PackedFile, data: bytes) -> None:
    if len(data) != file.size:
        error = FileDamaged(f"{file.path} has {len(data)} bytes, the packing list says {file.size}")
    elif _digests(data) != (file.sha256, file.sha512):
        error = FileDamaged(f"{file.path} has other digests than in the packing list")
    elif file.path in case.bundle.archive.damaged:
        error = FileDamaged(f"{file.path} has another CRC-32 than the archive says")
    else:
        return
    case.damaged.append(Fault(error, Place(file.path)))


def _digests(data: bytes) -> tuple[str, str]:
    return hashlib.sha256(data).hexdigest(), hashlib.sha512(data).hexdigest()


def _take(case: Case, path: str, data: bytes) -> None:
    folder, _, name = path.rpartition("/")
    chain = next((chain for chain in case.chains.values() if chain.folder.rstrip("/") == folder), None)
    if chain is not None and name in ("entries.jsonl", "leaves.jsonl", "tail.json"):
        _take_chain(case, chain, path, name, data)
    elif path == "statements.jsonl":
        _take_statements(case, data)
    elif path == "checkpoint":
        case.note = data
        case.checkpoint = _attempt(case, path, lambda: Checkpoint.parse(parse_note(data).text))
    elif path == "inclusion":
        case.inclusion = _attempt(case, path, lambda: batch.parse(data))
    elif path == "policy":
        _attempt(case, path, lambda: Policy.parse(data.decode("utf-8", "replace")))
    elif path == "entries.csv":
        case.csv = data
    elif path == "headers.jsonl":
        named = _attempt(case, path, lambda: packing.parse_named(packing.HEADER_LINE, "sha256", "header", data))
        case.headers.update(named or {})
    elif path == "parts.jsonl":
        named = _attempt(case, path, lambda: packing.parse_named(packing.PARTS_LINE, "item", "parts", data))
        case.parts.update(named or {})
    else:
        _take_named(case, path, folder, name, data)


def _take_named(case: Case, path: str, folder: str, name: str, data: bytes) -> None:
    match folder:
        case "headers":
            case.headers[name] = data
        case "parts":
            case.parts[name] = data
        case "checkpoints":
            checkpoint = _attempt(case, path, lambda: Checkpoint.parse(parse_note(data).text))
            if checkpoint is not None and str(checkpoint.size) == name:
                case.notes[checkpoint.size] = data
            elif checkpoint is not None:
                _refuse(case, path, Misnamed(f"{path} is a checkpoint of size {checkpoint.size}"))
        case "consistency":
            proof = _attempt(case, path, lambda: packing.parse_consistency(data))
            if proof is not None and f"{proof[0]}-{proof[1]}" == name:
                case.consistency[proof[0], proof[1]] = proof[2]
            elif proof is not None:
                _refuse(case, path, Misnamed(f"{path} is a proof from {proof[0]} to {proof[1]}"))


def _take_chain(case: Case, chain: Chain, path: str, name: str, data: bytes) -> None:
    before = len(case.malformed)
    if name == "entries.jsonl":
        chain.entries = _entries(case, chain, path, data)
    elif name == "leaves.jsonl":
        chain.leaves = _attempt(case, path, lambda: packing.parse_leaves(data)) or []
    else:
        chain.tail = _attempt(case, path, lambda: packing.parse_tail(data))
    chain.understood = chain.understood and len(case.malformed) == before


def _entries(case: Case, chain: Chain, path: str, data: bytes) -> list[Entry]:
    parsed: list[Entry] = []
    lines = _attempt(case, path, lambda: packing.split_lines(data)) or []
    try:
        parsed.extend(entry.parse_lines(lines))
    except FormatError as error:
        number = len(parsed)
        offset = sum(len(line) + 1 for line in lines[:number])
        case.malformed.append(Fault(error, Place(path, number + 1, offset, chain.name)))
    return parsed


def _take_statements(case: Case, data: bytes) -> None:
    path, last = "statements.jsonl", ""
    before = len(case.malformed)
    lines = _attempt(case, path, lambda: packing.split_lines(data)) or []
    for number, line in enumerate(lines):
        try:
            parsed = statement.parse(line)
            if parsed.id <= last:
                raise LinesMalformed(f"statement {parsed.id} stands after {last}", line=number + 1)
        except FormatError as error:
            offset = sum(len(other) + 1 for other in lines[:number])
            case.malformed.append(Fault(error, Place(path, number + 1, offset)))
            break
        last = parsed.id
        case.statements[last] = parsed
    case.statements_understood = len(case.malformed) == before


def _check_names(case: Case) -> None:
    """Hold the packing list's own facts to the checkpoint's."""
    listed, checkpoint = case.bundle.packing, case.checkpoint
    if checkpoint is not None and (listed.log, listed.size) != (checkpoint.origin, checkpoint.size):
        error = Misnamed(
            f"packing list of {listed.log} at {listed.size}, checkpoint of {checkpoint.origin} at {checkpoint.size}"
        )
        _refuse(case, "bundle.json", error)
    if listed.kind == "registry" and listed.chain not in {chain.handle for chain in case.chains.values()}:
        _refuse(case, "bundle.json", Misnamed(f"chain {listed.chain} is no registry of this bundle"))


def _attempt(case: Case, path: str, parse: Callable[[], _Result]) -> _Result | None:
    try:
        return parse()
    except FormatError as error:
        _refuse(case, path, error)
        return None


def _refuse(case: Case, path: str, error: CustodyError) -> None:
    case.malformed.append(Fault(error, Place(path, line=getattr(error, "line", None))))
