"""The bundle: everything a stranger needs to check a chain, in one file or directory.

`write_bundle` writes one, `open_bundle` reads one without believing any of it; `custody.verify` does the checking.
Specification: docs/spec/bundle.md.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from custody import batch, instructions, packing, statement
from custody.archive import Archive, Source, open_archive, write_archive
from custody.checkpoint_text import Checkpoint
from custody.errors import FormatError
from custody.note import parse_note
from custody.packing import HEADER_LINE, MANY, PACKING_LIST, PARTS_LINE, LeafLine, PackedFile, PackingList
from custody.table import table
from custody.tail import TailProof

__all__ = [
    "Bundle",
    "BundleContents",
    "ChainFiles",
    "LeafLine",
    "directory_files",
    "extended_files",
    "open_bundle",
    "repacked_files",
    "write_bundle",
]

_MAX_PACKING: Final = 64 * 1024 * 1024
_CHAIN_FILES: Final = ("entries.jsonl", "leaves.jsonl", "tail.json")
_BLOCK: Final = 256 * 1024
_STAMPS: Final = ("timestamps/", "validation/", "renewal/")
_Row = TypeVar("_Row")


class BundleMalformed(FormatError):
    """The container holds other files than the packing list, or one that no bundle has."""

    code = "bundle-malformed"


@dataclass(frozen=True)
class ChainFiles:
    """One chain as a bundle carries it.

    Attributes:
        entries: Exact bytes of the disclosed entries, by seq.
        leaves: A line for every entry, disclosed or not, by seq.
        tail: Shows that nothing follows the last line; None for the service's chain or an excerpt.
    """

    entries: Iterable[bytes]
    leaves: Iterable[LeafLine]
    tail: TailProof | None = None


@dataclass(frozen=True)
class BundleContents:
    """What goes into a bundle. Nothing here is checked but what the writer needs in order to write.

    Entries, leaves and statements, and headers by their names, are read several times each, and never held as a whole.

    Attributes:
        kind: `exchange` (a bundle), `export` (for an auditor, with a table) or `registry` (one authority's alone).
        chain: Handle of the chain it is about, 32 bytes.
        checkpoint: The signed note that everything is proven against.
        inclusion: Hashes of the batch proof for all indices in `leaves` and, if there is any tail, size - 1.
        entries: The exchange's chain; None for the kind `registry`.
        registries: Authority → its registry, whole.
        statements: Envelopes of every entry that carries one, registries' included; held if they are not in the
            order of their ids.
        headers: Granted headers, in any order; or each by its digest, hex.
        parts: Item id → raw SHA-256 digests of its parts, one after the other.
        service: The service's chain, where it matters.
        policy: Text of the policy under which the service collects cosignatures; informative only.
        checkpoints: Other signed notes, by size, for bounds of time.
        consistency: (older size, newer size) → proof, for checkpoints that signers say they saw.
        stamps: Path → bytes of each file of `timestamps/`, `validation/` and `renewal/`.
    """

    kind: str
    chain: bytes
    checkpoint: bytes
    inclusion: Sequence[bytes]
    entries: ChainFiles | None = None
    registries: Mapping[str, ChainFiles] = field(default_factory=dict)
    statements: Iterable[bytes] = ()
    headers: Iterable[bytes] | Mapping[str, bytes] = ()
    parts: Mapping[str, bytes] = field(default_factory=dict)
    service: ChainFiles | None = None
    policy: str | None = None
    checkpoints: Mapping[int, bytes] = field(default_factory=dict)
    consistency: Mapping[tuple[int, int], Sequence[bytes]] = field(default_factory=dict)
    stamps: Mapping[str, bytes] = field(default_factory=dict)


def write_bundle(target: BinaryIO, contents: BundleContents, *, compress: bool = False) -> None:
    """Write a bundle as one ZIP of the profile; the same contents give the same bytes.

    Args:
        target: Written from its present place on; need not be seekable.
        contents: What goes in.
        compress: Deflate files. Then the bytes depend on the zlib at hand, and a flipped bit may change nothing.

    Raises:
        ArchiveTooLarge: Write `directory_files` instead.
        FormatError: The checkpoint, a statement or a table's entry is malformed.
    """
    write_archive(target, directory_files(contents), compress=compress)


def directory_files(contents: BundleContents) -> Iterator[tuple[str, Source]]:
    """Name and source of each file of a bundle, the packing list first; for those who write a directory."""
    checkpoint = Checkpoint.parse(parse_note(contents.checkpoint).text)
    sources = dict(sorted(_sources(contents, checkpoint)))
    files = tuple(_packed(name, source) for name, source in sources.items())
    listed = PackingList(contents.kind, checkpoint.origin, contents.chain.hex(), checkpoint.size, files).encode()
    yield PACKING_LIST, lambda: (listed,)
    yield from sources.items()


def _packed(name: str, source: Source) -> PackedFile:
    short, long, size = hashlib.sha256(), hashlib.sha512(), 0
    for piece in source():
        short.update(piece)
        long.update(piece)
        size += len(piece)
    return PackedFile(name, size, short.hexdigest(), long.hexdigest())


def _sources(contents: BundleContents, checkpoint: Checkpoint) -> Iterator[tuple[str, Source]]:
    facts = {"log": checkpoint.origin, "chain": contents.chain.hex(), "size": checkpoint.size}
    yield "checkpoint", _whole(contents.checkpoint)
    yield "inclusion", _whole(batch.encode(checkpoint.size, contents.inclusion))
    yield "verify.md", _whole(instructions.verify_text(**facts))  # type: ignore[arg-type]
    if contents.policy is not None:
        yield "policy", _whole(contents.policy.encode())
    if contents.entries is not None:
        yield from _chain("", contents.entries)
        if contents.kind == "export":
            lines = contents.entries.entries
            yield "entries.csv", lambda: table(lines)
            yield "readme.md", _whole(instructions.readme_text(**facts))  # type: ignore[arg-type]
    for authority, chain in contents.registries.items():
        yield from _chain(f"registry/{authority}/", chain)
    if contents.service is not None:
        yield from _chain("service/", contents.service)
    yield "statements.jsonl", _lines(_by_id(contents.statements))
    yield from _headers_and_parts(contents)
    for size, note in contents.checkpoints.items():
        yield f"checkpoints/{size}", _whole(note)
    for (old, new), path in contents.consistency.items():
        yield f"consistency/{old}-{new}", _whole(packing.encode_consistency(old, new, path))
    for path_in_bundle, data in contents.stamps.items():
        yield path_in_bundle, _whole(data)


def _by_id(envelopes: Iterable[bytes]) -> Iterable[bytes]:
    ids = [statement.parse(envelope).id for envelope in envelopes]
    if all(one < other for one, other in pairwise(ids)):
        return envelopes
    by_id = dict(zip(ids, envelopes, strict=True))
    return [by_id[each] for each in sorted(by_id)]


def _headers_and_parts(contents: BundleContents) -> Iterator[tuple[str, Source]]:
    given = contents.headers
    headers = given if isinstance(given, Mapping) else {hashlib.sha256(header).hexdigest(): header for header in given}
    if len(headers) + len(contents.parts) > MANY:
        yield "headers.jsonl", lambda: packing.encode_named(HEADER_LINE, "sha256", "header", _ascending(headers))
        yield "parts.jsonl", lambda: packing.encode_named(PARTS_LINE, "item", "parts", _ascending(contents.parts))
        return
    for name in headers:
        yield f"headers/{name}", _of(headers, name)
    for item in contents.parts:
        yield f"parts/{item}", _of(contents.parts, item)


def _ascending(files: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    return ((name, files[name]) for name in sorted(files))


def _of(files: Mapping[str, bytes], name: str) -> Source:
    return lambda: (files[name],)


def _chain(folder: str, chain: ChainFiles) -> Iterator[tuple[str, Source]]:
    yield f"{folder}entries.jsonl", _lines(chain.entries)
    yield f"{folder}leaves.jsonl", _blocks(chain.leaves, packing.encode_leaf)
    if chain.tail is not None:
        yield f"{folder}tail.json", _whole(packing.encode_tail(chain.tail))


def _whole(data: bytes) -> Source:
    return lambda: (data,)


def _lines(lines: Iterable[bytes]) -> Source:
    return _blocks(lines, lambda line: line + b"\n")


def _blocks(rows: Iterable[_Row], encode: Callable[[_Row], bytes]) -> Source:
    def pieces() -> Iterable[bytes]:
        block: list[bytes] = []
        size = 0
        for row in rows:
            block.append(encode(row))
            size += len(block[-1])
            if size >= _BLOCK:
                yield b"".join(block)
                block, size = [], 0
        yield b"".join(block)

    return pieces


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. Its packing list was read and names exactly the files that are there; nothing else is checked.

    Attributes:
        packing: bundle.json.
        archive: The container.
    """

    packing: PackingList
    archive: Archive

    def __contains__(self, name: str) -> bool:
        return name in self._sizes

    @cached_property
    def _sizes(self) -> Mapping[str, int]:
        return {file.path: file.size for file in self.packing.files}

    def names(self, folder: str = "") -> list[str]:
        """Names of the files in a folder (ends with a slash) and below, sorted."""
        return [file.path for file in self.packing.files if file.path.startswith(folder)]

    def read(self, name: str) -> bytes:
        """A file's bytes; they may not be those the packing list speaks of.

        Raises:
            BundleMalformed: There is no such file.
            ArchiveMalformed: The container does not hold it as it says.
        """
        if name not in self.archive.names:
            raise BundleMalformed(f"file {name!r} is missing")
        return self.archive.read(name)

    def close(self) -> None:
        """Let go of the file."""
        self.archive.close()


def extended_files(bundle: Bundle, added: Mapping[str, bytes]) -> Iterator[tuple[str, Source]]:
    """Name and source of each file of a bundle to which files were added, the packing list first.

    Raises:
        BundleMalformed: One of that name is there already, or no bundle has such a file.
    """
    for name in added:
        if name in bundle or not _is_known(name, bundle.packing.kind):
            kind = bundle.packing.kind
            raise BundleMalformed(f"{name!r} is there already, or is no file of a bundle of kind {kind}")
    yield from repacked_files(bundle, added)


def repacked_files(bundle: Bundle, changed: Mapping[str, bytes | None]) -> Iterator[tuple[str, Source]]:
    """Name and source of each file of a bundle of which files were changed, added or (None) left out."""
    listed = bundle.packing
    sources = {name: _read_later(bundle, name) for name in bundle.names() if name not in changed}
    made = {name: _whole(data) for name, data in changed.items() if data is not None}
    files = [file for file in listed.files if file.path in sources]
    files += [_packed(name, source) for name, source in made.items()]
    sources |= made
    rows = tuple(sorted(files, key=lambda file: file.path))
    encoded = PackingList(listed.kind, listed.log, listed.chain, listed.size, rows).encode()
    yield PACKING_LIST, lambda: (encoded,)
    yield from ((file.path, sources[file.path]) for file in rows)


def _read_later(bundle: Bundle, name: str) -> Source:
    return lambda: (bundle.read(name),)


def open_bundle(path: Path) -> Bundle:
    """Open a bundle, from a ZIP or a directory.

    Raises:
        ArchiveMalformed: The container is of no profile.
        BundleMalformed: Files besides the packing list's, or fewer, or that no bundle has.
        NotCanonical, SchemaMismatch, PackingUnsupported: The packing list.
        OSError: The path cannot be read.
    """
    archive = open_archive(path)
    try:
        return _open(archive)
    except BaseException:
        archive.close()
        raise


def _open(archive: Archive) -> Bundle:
    if PACKING_LIST not in archive.names:
        raise BundleMalformed(f"{PACKING_LIST} is missing")
    if archive.size(PACKING_LIST) > _MAX_PACKING:
        raise BundleMalformed(f"{PACKING_LIST} has {archive.size(PACKING_LIST)} bytes, expected at most {_MAX_PACKING}")
    listed = PackingList.parse(archive.read(PACKING_LIST))
    expected = {file.path for file in listed.files} | {PACKING_LIST}
    found = set(archive.names)
    if expected != found:
        missing, extra = sorted(expected - found)[:3], sorted(found - expected)[:3]
        raise BundleMalformed(f"files differ from the packing list: missing {missing}, not listed {extra}")
    for file in listed.files:
        if archive.size(file.path) != file.size:
            raise BundleMalformed(
                f"{file.path!r} has {archive.size(file.path)} bytes, the packing list says {file.size}"
            )
        if not _is_known(file.path, listed.kind):
            raise BundleMalformed(f"{file.path!r} is no file of a bundle of kind {listed.kind}")
    return Bundle(listed, archive)


def _is_known(name: str, kind: str) -> bool:
    folder, _, last = name.rpartition("/")
    top = {"checkpoint", "inclusion", "policy", "statements.jsonl", "verify.md"}
    if kind != "registry":
        top |= {*_CHAIN_FILES, "headers.jsonl", "parts.jsonl"}
    if kind == "export":
        top |= {"entries.csv", "readme.md"}
    if not folder:
        return name in top
    if folder == "service" or (folder.startswith("registry/") and folder.count("/") == 1):
        return last in _CHAIN_FILES
    return folder in {"headers", "parts", "checkpoints", "consistency"} or name.startswith(_STAMPS)
