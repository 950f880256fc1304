"""Sending: evidence is read once, sealed, hashed and uploaded in one pass; then named in a manifest and sealed.

One reader goes through all items in order; what it has sealed leaves by several lanes, of one item or of several.
Nothing leaves before every recipient's registry was proven and pinned. What is sent can be resumed after a crash; see
`rogatory.resume` for why that is safe. The plaintext, its names and its digests leave only encrypted.
"""

import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from custody import statement
from custody.digest import grid
from custody.inventory import ACQUISITION, EXHIBIT, InventoryWriter, Line
from custody.manifest import sealed_item
from custody.sealing import body_size, build_header, key_commitment, new_file_key
from custody.statement import Statement
from custody.text import from_base64, to_base64
from rogatory import private_files
from rogatory.connection import Connection
from rogatory.delivery import Delivery
from rogatory.directory import Directory
from rogatory.errors import ServiceClockDiffers
from rogatory.exchanges import Exchange
from rogatory.lanes import Job, Lanes
from rogatory.lodging import Lodge, Lodged
from rogatory.names import shown
from rogatory.pipeline import SealedBody, Sealing
from rogatory.resume import INVENTORY, ItemState, SendState
from rogatory.source import FileSource, Source, SourceChanged, sources
from rogatory.statements import Speaker
from rogatory.terms import Plan, PlannedItem, Progress, Sent, Terms
from rogatory.tus import PIECE, Pace, Target

PARALLEL = 4
"""Requests at once, if nobody says otherwise."""

_INVENTORY_PLACE = -1
_LANE_RATE = 16 * 1024
"""Bytes a second that a lane should have under a bound: a service gives up lines that are much slower."""


class Sender:
    """Sends packages for one principal.

    Args:
        connection: Logged in.
        lodge: Where statements go.
        speaker: Signs.
        directory: Recipients' keys.
        sends: Directory of the states of running sends.
        progress: Told how far it is, often.
        limit_rate: Bytes a second, of all lanes together; None for no bound.
        parallel: Requests at once.
    """

    def __init__(
        self,
        connection: Connection,
        lodge: Lodge,
        speaker: Speaker,
        directory: Directory,
        *,
        sends: Path,
        progress: Callable[[Progress], None] = lambda _: None,
        limit_rate: float | None = None,
        parallel: int = PARALLEL,
    ) -> None:
        self._connection, self._lodge, self._speaker, self._directory = connection, lodge, speaker, directory
        self._sends, self._progress, self._pace = sends, progress, Pace(limit_rate)
        self._parallel = parallel if limit_rate is None else min(parallel, max(1, int(limit_rate / _LANE_RATE)))
        self._turn = threading.Lock()

    def plan(self, exchange: Exchange, paths: Sequence[Path], *, to: Sequence[str], also_me: bool = False) -> Plan:
        """Check recipients and sources, and say what would be sent.

        Raises:
            SourceMissing, SourceUnsendable, SourceUnreadable: A path cannot be sent.
            NotPinned, RegistryWrong, RegistryStale, NoRecipientKey: A recipient cannot be sealed to.
        """
        recipients = self._directory.recipients([*to, *([self._speaker.authority] if also_me else [])])
        minimum = self._minimum()
        items = [
            PlannedItem(shown(source.name), source.size, size, grid(size, minimum=minimum))
            for source in sources(paths)
            for size in (body_size(source.size),)
        ]
        return Plan(exchange, tuple(items), tuple(recipients))

    def send(
        self,
        exchange: Exchange,
        paths: Sequence[Path],
        *,
        to: Sequence[str],
        terms: Terms,
        acquisition: Mapping[str, Any] | None = None,
        exhibits: Sequence[Mapping[str, str]] = (),
        also_me: bool = False,
    ) -> Sent:
        """Send what lies at the paths, one item for each, and seal it as one package.

        `acquisition` (tool, version, examiner, device, serial, started, finished, notes) and `exhibits` (`{number,
        description?}` each) go into the sealed inventory; `also_me` adds our own authority's key.

        Raises:
            SchemaMismatch: Terms, acquisition facts or exhibits are not of their shape.
            As `plan`; SourceChanged where a file changes meanwhile (nothing is sealed); ServiceRefusal.
        """
        ACQUISITION.check(dict(acquisition or {}))
        for row in exhibits:
            EXHIBIT.check(dict(row))
        members = terms.members()
        self.plan(exchange, paths, to=to, also_me=also_me)
        package = secrets.token_hex(16)
        plan = {
            "package": package,
            "exchange": exchange.id,
            "chain": exchange.handle,
            "paths": [to_base64(os.fsencode(path.absolute())) for path in paths],
            "to": sorted({*to, *([self._speaker.authority] if also_me else [])}),
            "terms": members,
            "acquisition": dict(acquisition or {}),
            "exhibits": [dict(row) for row in exhibits],
        }
        state = SendState.begin(self._sends / package, plan)
        return self._run(state)

    def resume(self, package: str) -> Sent:
        """Go on with a send that was interrupted.

        Raises:
            FileMissing: No such send is unfinished here.
            SourceChanged: What lies at the paths is no longer what was sent; nothing more leaves.
            ResumeStateBroken: The state is older than what the service has (a backup): nothing may be sealed by it.
            UploadTakenOver: Another process goes on with it.
        """
        return self._run(SendState.load(self._sends / package))

    # ------------------------------------------------------------ one send

    def _run(self, state: SendState) -> Sent:
        try:
            if "manifest" in state.said:
                sent = self._seal_again(state)
                if sent is not None:
                    return sent
            found = sources([Path(os.fsdecode(from_base64(path))) for path in state.plan["paths"]])
            self._declare(state)
            with Lanes(self._parallel, self._pace) as lanes:
                jobs = [self._send_item(state, place, source, len(found), lanes) for place, source in enumerate(found)]
                done = [job.result() for job in jobs]
                inventory = self._send_inventory(state, found, [line for _, lines in done for line in lines], lanes)
            return self._seal(state, [sealed for sealed, _ in done], inventory)
        finally:
            state.close()

    def _declare(self, state: SendState) -> None:
        detail = {"recipients": state.plan["to"], "handling": state.plan["terms"]["handling"]}
        subject = {"package": state.package}
        self._lodge_once(
            state,
            "declared",
            f"/v1/exchanges/{state.plan['exchange']}/packages",
            "package.declared",
            lambda: self._speaker.act("package.declared", state.plan["chain"], subject=subject, detail=detail),
        )

    def _lodge_once(
        self, state: SendState, name: str, path: str, event: str, make: Callable[[], Statement]
    ) -> tuple[Statement, Lodged]:
        """Lodge a statement that was put down first, so that a resume repeats it instead of saying another."""
        if name in state.said:
            said = statement.parse(state.said[name])
            try:
                return said, self._lodge.lodge(path, said, event=event)
            except ServiceClockDiffers:  # it never arrived, and is too old by now
                pass
        said = make()
        state.say(name, said.envelope)
        return said, self._lodge.lodge(path, said, event=event)

    def _send_item(
        self, state: SendState, place: int, source: Source, count: int, lanes: Lanes
    ) -> "Job[tuple[dict[str, Any], list[Line]]]":
        known = place in state.items
        item = state.items.get(place) or state.begin_item(
            place, ItemState(secrets.token_hex(16), new_file_key(), secrets.token_bytes(16), source.size)
        )
        finished = state.finished(item.id)
        if finished is not None:
            return Job.done(finished)
        name = shown(source.name)
        if source.size != item.size:
            raise SourceChanged(f"{name} has {source.size} bytes, had {item.size} when the send began")
        sealing = Sealing(source, state, place, grid(body_size(source.size), minimum=self._minimum()))
        target = Target(state.package, item.id, sealing.size, sealing.part_size)
        told = self._telling(Progress(name, place, count, 0, sealing.size))
        delivery = Delivery(self._connection, lanes, self._pace, target, sealing, told=told)
        sent = delivery.start(known=known, name=name)
        lines = source.lines(item.id)

        def finish() -> tuple[dict[str, Any], list[Line]]:
            sealed = _member(item, sent.result())
            state.finish_item(item.id, sealed, lines)
            return sealed, lines

        return lanes.give(finish)

    def _telling(self, begun: Progress) -> Callable[[int], None]:
        """Tells of one item's progress, one thread at a time."""
        left = [0]

        def tell(count: int) -> None:
            with self._turn:
                left[0] += count
                self._progress(Progress(begun.name, begun.item, begun.items, left[0], begun.size))

        return tell

    def _send_inventory(
        self, state: SendState, found: Sequence[Source], lines: Sequence[Line], lanes: Lanes
    ) -> tuple[dict[str, Any], str]:
        path = state.directory / INVENTORY
        if "commitment" not in state.said:
            state.say("commitment", _write_inventory(path, state, found, lines).hex().encode())
        sealed, _ = self._send_item(state, _INVENTORY_PLACE, FileSource(path), len(found), lanes).result()
        return sealed, state.said["commitment"].decode()

    def _seal(self, state: SendState, items: list[dict[str, Any]], inventory: tuple[dict[str, Any], str]) -> Sent:
        recipients = self._directory.recipients(state.plan["to"])
        keys = [recipient for row in recipients for recipient in row.recipients()]
        by_id = {item.id: item for item in state.items.values()}
        for member in [*items, inventory[0]]:
            header = build_header(by_id[member["id"]].file_key, keys)
            member["header"] = {"size": len(header), "sha256": sha256(header).hexdigest()}
            put_header(self._connection, state.package, header)
        said = self._speaker.say(
            "manifest",
            state.plan["chain"],
            package=state.package,
            recipients=[row.fields() for row in recipients],
            sealing=keys[0].kind,
            inventory=inventory[0],
            inventory_commitment=inventory[1],
            items=sorted(items, key=lambda member: str(member["id"])),
            **state.plan["terms"],
        )
        state.say("manifest", said.envelope)
        lodged = self._lodge.lodge(f"/v1/packages/{state.package}/seal", said, event="package.sealed")
        state.remove()
        return Sent(state.package, said, lodged)

    def _seal_again(self, state: SendState) -> Sent | None:
        """Ask for the record of a manifest that was signed before a crash; None if it never arrived."""
        said = statement.parse(state.said["manifest"])
        try:
            lodged = self._lodge.lodge(f"/v1/packages/{state.package}/seal", said, event="package.sealed")
        except ServiceClockDiffers:
            return None
        state.remove()
        return Sent(state.package, said, lodged)

    def _minimum(self) -> int:
        found = self._connection.service().get("min_part_size")
        return found if isinstance(found, int) and found > 0 and not found & (found - 1) else PIECE


def put_header(connection: Connection, package: str, header: bytes) -> str:
    """Bring a header to the service; its name, the hex SHA-256 of its bytes, is returned."""
    name = sha256(header).hexdigest()
    connection.request(
        "PUT",
        f"/v1/packages/{package}/headers/{name}",
        content=header,
        headers={"Content-Type": "application/octet-stream"},
    )
    return name


def _member(item: ItemState, made: SealedBody) -> dict[str, Any]:
    """An item's member of the manifest, its header still to come."""
    return sealed_item(
        item_id=item.id,
        header=b"",
        header_sha256=b"",
        key_commitment=key_commitment(item.file_key, bytes.fromhex(item.id)),
        part_size=made.part_size,
        parts=made.parts,
        size=made.digests.size,
        sha256=made.digests.sha256,
        blake3=made.digests.blake3,
    )


def _write_inventory(path: Path, state: SendState, found: Sequence[Source], lines: Sequence[Line]) -> bytes:
    acquisition = dict(state.plan["acquisition"])
    digests = [digest for source in found for digest in source.source_digests()]
    if digests:
        acquisition["source_digests"] = [*acquisition.get("source_digests", []), *digests]
    path.unlink(missing_ok=True)
    private_files.create(path, b"")
    with path.open("r+b") as target:
        writer = InventoryWriter(
            target,
            package=state.package,
            count=len(lines),
            acquisition=acquisition or None,
            exhibits=state.plan["exhibits"],
        )
        for line in sorted(lines, key=lambda line: line.path):
            writer.add(line)
        commitment = writer.finish()
        target.flush()
        os.fsync(target.fileno())
    return commitment
