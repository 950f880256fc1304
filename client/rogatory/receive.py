"""Receiving: look, accept conditions, be handed the headers, fetch, open, check everything, and only then publish.

    <target>/evidence/…       files, or archives in one piece
    <target>/SHA256SUMS       what `sha256sum -c` checks
    <target>/inventory.jsonl  the sender's inventory         <target>/manifest.json   the signed manifest
    <target>/received.json    what we found; the ground of the receipt
    <target>/sealed/*.age     the items as plain age files, if kept
    <target>/.partial/        a receive that is not finished; the same command goes on with it

Nothing leaves `.partial` before every digest of the inventory has been checked.
"""

import json
import os
import shutil
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from custody.digest import Digester, Digests
from custody.errors import CustodyError
from custody.inventory import InventoryReader, Line
from custody.sealing import BodyOpener, Identity, plain_size, read_header
from rogatory import private_files
from rogatory.bodies import Body, DiskFull, Fetch, room_error
from rogatory.connection import AnswerMalformed, Connection, LineDown, read_json
from rogatory.errors import Refused, ServiceRefusal, Tampered
from rogatory.headers import hand_out, open_headers
from rogatory.lodging import Lodge
from rogatory.names import sums_line
from rogatory.offers import NotForUs, Offer
from rogatory.statements import Speaker
from rogatory.unpack import Delivered, Delivery, Layout, finish_tree, layouts

PARTIAL = ".partial"
REPORT = "received.json"
_READ = 4 * 1024 * 1024
_ROOM_TO_SPARE = 16 * 1024 * 1024


class ConditionsNotAccepted(Refused):
    """The sender set conditions, and nobody has accepted them for us."""

    code = "conditions-not-accepted"


class TargetTaken(Refused):
    """The directory holds something else."""

    code = "target-taken"


class BodyDiffers(Tampered):
    """A body's digests are not those the manifest names, though all its parts are: the sender's word is wrong."""

    code = "body-differs"


@dataclass(frozen=True)
class ReceivedItem:
    """What we found of an item.

    Attributes:
        id: Of the item.
        sha256: Of the body as it arrived, hex; likewise `blake3`.
        agrees: Whether both are those of the manifest.
        plaintext: `checked` or `not_checked`.
    """

    id: str
    sha256: str
    blake3: str
    agrees: bool
    plaintext: str


@dataclass(frozen=True)
class Received:
    """What a receive found; the ground of the receipt.

    Attributes:
        package: Id.
        chain: Handle of its exchange.
        manifest: Id of the manifest.
        sealed: Hash of package.sealed.
        items: All items of the manifest, if `complete`.
        files: Files whose digests agree with the inventory.
        flagged: (name, why) of names that could mislead.
        skipped: (name, why) of what was not made on disk.
    """

    package: str
    chain: str
    manifest: str
    sealed: str
    items: tuple[ReceivedItem, ...]
    files: int = 0
    flagged: tuple[tuple[str, list[str]], ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    complete: bool = True

    def save(self, path: Path) -> None:
        """Write it beside what was received."""
        private_files.replace(path, json.dumps(asdict(self), indent=2).encode() + b"\n")

    @classmethod
    def load(cls, directory: Path) -> "Received":
        """Read it back from a target directory."""
        fields: dict[str, Any] = json.loads(private_files.read(directory / REPORT))
        items = tuple(ReceivedItem(**item) for item in fields.pop("items"))
        for name in ("flagged", "skipped"):
            fields[name] = tuple(tuple(row) for row in fields[name])
        return cls(items=items, **fields)


@dataclass
class _Run:
    """One receive under way."""

    offer: Offer
    work: Path
    bodies: dict[str, Body] = field(default_factory=dict)
    keys: dict[str, bytes] = field(default_factory=dict, repr=False)
    found: dict[str, ReceivedItem] = field(default_factory=dict)
    delivered: Delivered = field(default_factory=Delivered)

    def sealed(self, item: str) -> Path:
        return self.work / "sealed" / f"{item}.age"


class Receiver:
    """Receives packages for one principal.

    Args:
        identities: Encryption identities of our authority.
        progress: Told (bytes so far, bytes of all bodies) as they arrive.
    """

    def __init__(
        self,
        connection: Connection,
        lodge: Lodge,
        speaker: Speaker,
        *,
        identities: Sequence[Identity],
        progress: Callable[[int, int], None] = lambda _done, _size: None,
    ) -> None:
        self._connection, self._lodge, self._speaker = connection, lodge, speaker
        self._identities, self._progress = list(identities), progress

    def receive(
        self,
        offer: Offer,
        target: Path,
        *,
        accept_conditions: bool = False,
        unpack: bool = False,
        keep_sealed: bool = False,
        purpose: str = "investigation",
    ) -> Received:
        """Fetch, open and check a package; publish it below `target` only if everything agrees.

        Args:
            offer: From `Offers.look`.
            target: A directory that does not exist, is empty, or holds an unfinished receive of this package.
            accept_conditions: Accept by our signature what the sender demands, if it demands anything.
            unpack: Make files of archives.
            keep_sealed: Keep the items as age files too.
            purpose: Code of the purpose, for the record.

        Raises:
            ConditionsNotAccepted, NotForUs, TargetTaken: Nothing was asked for.
            TamperedPart, BodyDiffers, HeaderWrong, PlaintextDiffers, InventoryMismatch: What arrived is not what was
                signed for; what was found stands in `received.json` inside `.partial`.
            DiskFull, LineDown: Run it again: it goes on.
        """
        if offer.release is None:
            raise NotForUs(f"package {offer.package} is not sealed to any key at hand")
        run = _Run(offer, self._prepare(target, offer))
        if _is_checked(run.work):
            return _publish(run.work, target, keep_sealed=keep_sealed)
        self._accept(offer, accept=accept_conditions)
        self._check_room(run)
        try:
            headers = self._headers(run)
            self._fetch(run, headers, purpose)
            self._open_all(run, unpack=unpack)
        except OSError as error:
            raise room_error(error, run.work / "x") from error
        except (Tampered, CustodyError):
            self._report(run, complete=False).save(run.work / REPORT)
            raise
        self._settle(run)
        return _publish(run.work, target, keep_sealed=keep_sealed)

    # ------------------------------------------------------------ before

    def _prepare(self, target: Path, offer: Offer) -> Path:
        work = target / PARTIAL
        marker = work / "package"
        if target.exists():
            others = [path.name for path in target.iterdir() if path.name != PARTIAL]
            if marker.exists() and marker.read_text() != offer.package:
                raise TargetTaken(f"{target} holds an unfinished receive of package {marker.read_text()[:8]}")
            if others and not _is_checked(work):
                raise TargetTaken(
                    f"{target} is not empty: {', '.join(sorted(others)[:3])}", hint="name a new directory"
                )
        for directory in (target, work, work / "sealed"):
            private_files.make_directory(directory)
        if not marker.exists():
            private_files.create(marker, offer.package.encode())
        return work

    def _accept(self, offer: Offer, *, accept: bool) -> None:
        if not offer.conditions:
            return
        assert offer.release is not None
        if not accept:
            codes = ", ".join(condition["code"] for condition in offer.conditions)
            raise ConditionsNotAccepted(
                f"the sender demands that conditions be accepted first: {codes}",
                hint="read their text as it was given to you, then accept them explicitly",
            )
        said = self._speaker.say("acceptance", offer.handle, statement=offer.release.id, conditions=offer.conditions)
        try:
            self._lodge.lodge(f"/v1/packages/{offer.package}/conditions", said, event="conditions.accepted")
        except ServiceRefusal as error:
            if error.code not in ("already-answered", "state-conflict"):  # accepted before
                raise

    def _check_room(self, run: _Run) -> None:
        """Each body lies here twice while it is opened: sealed and plain."""
        here = sum(path.stat().st_size for path in (run.work / "sealed").iterdir())
        needed = 2 * run.offer.size - here + _ROOM_TO_SPARE
        free = shutil.disk_usage(run.work).free
        if free < needed:
            raise DiskFull(f"{needed} bytes are needed at {run.work.parent}, {free} are free", hint="make room first")

    # ------------------------------------------------------------ fetching

    def _headers(self, run: _Run) -> Mapping[str, bytes]:
        """The headers; kept, so that a second run asks for none."""
        kept = run.work / "headers.json"
        if kept.exists():
            headers = {item: b64decode(text) for item, text in json.loads(private_files.read(kept)).items()}
        else:
            headers = hand_out(self._lodge, self._speaker, run.offer)
        opened = open_headers(run.offer, headers, self._identities)
        if not kept.exists():
            rows = {item: b64encode(header).decode() for item, header in headers.items()}
            private_files.create(kept, json.dumps(rows).encode())
        run.keys.update(opened.keys)
        return opened.headers

    def _fetch(self, run: _Run, headers: Mapping[str, bytes], purpose: str) -> None:
        offer = run.offer
        for item, member in offer.items.items():
            digests = self._connection.request("GET", f"/v1/packages/{offer.package}/items/{item}/parts").content
            run.bodies[item] = Body.of(member, digests)
        opened: list[str] = []

        def handle(renew: bool) -> str:  # noqa: FBT001 - the one argument of a callback
            if renew or not opened:
                opened.append(self._open_download(offer, purpose))
            return opened[-1]

        done = [0]

        def arrived(count: int) -> None:
            done[0] = min(done[0] + count, offer.size)
            self._progress(done[0], offer.size)

        fetch = Fetch(self._connection, handle, arrived)
        try:
            for item, body in sorted(run.bodies.items(), key=lambda row: row[0] != offer.inventory):
                fetch.into(run.sealed(item), headers[item], body)
        finally:
            if opened:
                self._close_download(opened[-1])

    def _open_download(self, offer: Offer, purpose: str) -> str:
        said = self._speaker.act("download.opened", offer.handle, subject={"package": offer.package}, purpose=purpose)
        lodged = self._lodge.lodge(f"/v1/packages/{offer.package}/downloads", said, event="download.opened")
        download = lodged.answer.get("download")
        if not isinstance(download, str) or not download.isalnum():
            raise AnswerMalformed("the service opens a download without naming it")
        return download

    def _close_download(self, download: str) -> None:
        """Say that we are done; where that fails, the handle lapses by itself."""
        with suppress(ServiceRefusal, LineDown):
            answer = read_json(self._connection.post_json(f"/v1/downloads/{download}/close", None))
            self._lodge.take(answer.get("record"), event="download.closed", said=None)

    # ------------------------------------------------------------ opening

    def _open_all(self, run: _Run, *, unpack: bool) -> None:
        offer, root = run.offer, run.work / "evidence"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(mode=0o700)
        lines = self._open_inventory(run)
        sizes = {item: plain_size(member["size"]) for item, member in offer.items.items() if item != offer.inventory}
        found = layouts(lines, sizes)
        for item in sizes:
            self._open(run, found[item], unpack=unpack)
        finish_tree(root, lines, run.delivered, unpack=unpack)

    def _open_inventory(self, run: _Run) -> list[Line]:
        item, payload = run.offer.inventory, run.offer.manifest.payload
        path = run.work / "inventory.jsonl"
        with path.open("wb") as target:
            digests = self._decrypt(run, item, target.write)
        with path.open("rb") as source:
            reader = InventoryReader(source)
            lines = list(reader.lines())
            reader.check(payload["inventory_commitment"], package=run.offer.package)
        run.found[item] = _item(run.offer, item, digests, plaintext=True)
        return lines

    def _open(self, run: _Run, layout: Layout, *, unpack: bool) -> None:
        with Delivery(run.work / "evidence", layout, unpack=unpack, into=run.delivered) as delivery:
            digests = self._decrypt(run, layout.item, delivery.write)
            delivery.finish()
        run.found[layout.item] = _item(run.offer, layout.item, digests, plaintext=layout.checked)

    def _decrypt(self, run: _Run, item: str, write: Callable[[bytes], object]) -> Digests:
        """Both digests of a body while it is opened; nothing it yields is published before they were compared."""
        opener, digester = BodyOpener(run.keys[item]), Digester()
        with run.sealed(item).open("rb") as file:
            file.seek(len(read_header(file).raw))
            while data := file.read(_READ):
                digester.follow(data)
                write(opener.update(data))
        digests, member = digester.finish(), run.offer.items[item]
        if (digests.sha256.hex(), digests.blake3.hex()) != (member["sha256"], member["blake3"]):
            run.found[item] = _item(run.offer, item, digests, plaintext=False)
            raise BodyDiffers(
                f"the body of item {item} has SHA-256 {digests.sha256.hex()}, the manifest says {member['sha256']}",
                hint="reject the package with reason digest_mismatch",
            )
        write(opener.finish())
        return digests

    # ------------------------------------------------------------ after

    def _settle(self, run: _Run) -> None:
        """All is checked: make it durable, and only then say so, so that a later run may publish it unseen."""
        work = run.work
        sums = sorted(run.delivered.sums)
        (work / "SHA256SUMS").write_bytes(b"".join(sums_line(digest, name) for name, digest in sums))
        (work / "manifest.json").write_bytes(run.offer.manifest.envelope)
        if hasattr(os, "sync"):
            os.sync()
        self._report(run, complete=True).save(work / REPORT)

    def _report(self, run: _Run, *, complete: bool) -> Received:
        offer, delivered = run.offer, run.delivered
        return Received(
            package=offer.package,
            chain=offer.handle,
            manifest=offer.manifest.id,
            sealed=offer.sealed,
            items=tuple(run.found[item] for item in sorted(run.found)),
            files=delivered.files,
            flagged=tuple(delivered.flagged),
            skipped=tuple(delivered.skipped),
            complete=complete,
        )


def _is_checked(work: Path) -> bool:
    """Whether a receive was checked to its end, and what is missing is its publication."""
    return (work / REPORT).exists() and Received.load(work).complete


def _publish(work: Path, target: Path, *, keep_sealed: bool) -> Received:
    """Give what was checked its names, the report's last; goes on where a crash stopped it."""
    received = Received.load(work)
    sealed = ["sealed"] if keep_sealed else []
    for name in ("evidence", "SHA256SUMS", "inventory.jsonl", "manifest.json", *sealed, REPORT):
        if (work / name).exists():
            (work / name).rename(target / name)
    private_files.sync_directory(target)
    shutil.rmtree(work)
    return received


def _item(offer: Offer, item: str, digests: Digests, *, plaintext: bool) -> ReceivedItem:
    member = offer.items[item]
    agrees = (digests.sha256.hex(), digests.blake3.hex()) == (member["sha256"], member["blake3"])
    word = "checked" if plaintext and agrees else "not_checked"
    return ReceivedItem(item, digests.sha256.hex(), digests.blake3.hex(), agrees, word)
