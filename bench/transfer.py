"""Whole bodies through the service and straight to the store: the same bytes, the same store, in turns."""

import http.client
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from bench import place
from bench.series import GIB, MIB, Effort, Row, Series, in_turns, rate
from custody import entry
from storage.s3_address import S3Address
from tests.app import party
from tests.storage import seaweed

_SLICE = 4 * MIB


def local(effort: Effort, root: Path) -> Iterator[Row]:
    """Local disk: against `@tus/server`, which neither hashes nor syncs."""
    source = _source(root, effort.size)
    (root / "tus").mkdir()
    with ExitStack() as stack:
        ours = stack.enter_context(_sender(root / "local"))
        theirs = stack.enter_context(place.tus_server(root / "tus", "file", str(root / "tus")))
        found = in_turns(
            effort.repeat,
            ours=lambda: rate(lambda: ours.send(source), effort.size / MIB),
            theirs=lambda: rate(lambda: _upload(theirs, source), effort.size / MIB),
        )
        note = "ours: SHA-256 of every part, fsync before the answer; theirs: neither"
        yield Row(
            "transfer", "upload to local disk", "MiB/s", found["ours"], found["theirs"], "@tus/server", ">= 1.5 x", note
        )
    yield from _nowhere(effort, root, source)


def _nowhere(effort: Effort, root: Path, source: Path) -> Iterator[Row]:
    """What the service itself costs: the same upload with a store that keeps no bodies."""
    with _sender(root / "nowhere", discarding=True) as ours:
        costs = []

        def send() -> float:
            before = ours.running.cpu()
            speed = rate(lambda: ours.send(source), effort.size / MIB)
            costs.append((ours.running.cpu() - before) * GIB / effort.size)
            return speed

        found = in_turns(effort.repeat, ours=send)
    note = "store that discards; all else as on a local disk, one request at a time"
    yield Row("transfer", "upload to nowhere", "MiB/s", found["ours"], goal=">= 700", note=note)
    cost = Series(tuple(costs[1:]))
    yield Row("transfer", "upload to nowhere: service's CPU time", "s/GiB", cost, goal="<= 2.0", note=note)


def s3(effort: Effort, root: Path) -> Iterator[Row]:
    """An S3 store (SeaweedFS): against boto3 straight to it, and `@tus/server` in front of it."""
    source = _source(root, effort.size)
    with ExitStack() as stack:
        store = stack.enter_context(seaweed.running(_made(root / "weed")))
        bucket, client = store.bucket(), store.client()
        os.environ |= {"AWS_ACCESS_KEY_ID": store.access_key, "AWS_SECRET_ACCESS_KEY": store.secret_key}
        settings = {"ROGATORY_STORE": str(S3Address(bucket, "bench", store.endpoint))}
        ours = stack.enter_context(_sender(root / "s3", settings))
        theirs = stack.enter_context(place.tus_server(root / "tus-s3", "s3", store.bucket(lock=False), store.endpoint))
        plain = store.bucket(lock=False)
        size = effort.size / MIB

        def direct() -> None:
            client.upload_file(str(source), plain, secrets.token_hex(8))

        found = in_turns(
            effort.repeat,
            ours=lambda: rate(lambda: ours.send(source), size),
            boto3=lambda: rate(direct, size),
            theirs=lambda: rate(lambda: _upload(theirs, source), size),
        )
        note = "SHA-256 of every part, checked again by the store"
        yield Row(
            "transfer",
            "upload to S3",
            "MiB/s",
            found["ours"],
            found["boto3"],
            "boto3 upload_file, defaults",
            ">= 1.0 x",
            note,
        )
        yield Row("transfer", "upload to S3", "MiB/s", found["ours"], found["theirs"], "@tus/server", ">= 1.0 x", note)
        client.upload_file(str(source), plain, "again")
        handle, target = ours.readable(source), root / "down"
        found = in_turns(
            effort.repeat,
            ours=lambda: rate(lambda: ours.fetch(handle, target), size),
            boto3=lambda: rate(lambda: client.download_file(plain, "again", str(target)), size),
        )
        yield Row(
            "transfer", "download from S3", "MiB/s", found["ours"], found["boto3"], "boto3 download_file, defaults",
            note="one stream of ours against ten ranges at once of boto3's",
        )  # fmt: skip


def _source(root: Path, size: int) -> Path:
    """Random bytes, so that nothing on the way finds them easy."""
    path = root / "source"
    block = os.urandom(8 * MIB)
    with path.open("wb") as file:
        for start in range(0, size, len(block)):
            file.write(block[: size - start])
    return path


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


class _Sender:
    """A party of the service that sends bodies as they are; what seals them is measured elsewhere."""

    def __init__(self, running: place.Service) -> None:
        self.running = running
        self.police, self.court = running.authority("nl.police"), running.authority("fr.court")
        self.alice, self.bob = self.police.enrol(), self.court.enrol()
        self.matter = self.alice.open_exchange(self.court)
        self.package = self.alice.declare(self.matter, self.court)

    def send(self, source: Path) -> str:
        item = secrets.token_hex(16)
        self.alice.forget()
        created = f"http://127.0.0.1:{self.running.port}/v1/packages/{self.package}/items/{item}/uploads"
        _upload(created, source, self.alice.headers)
        return item

    def readable(self, source: Path) -> str:
        """The path of a body that was sent and sealed, and may be read."""
        body = party.Item(source.read_bytes(), [self.court.identity.recipient])
        package = self.alice.declare(self.matter, self.court)
        inventory = party.Item(b"{}", [self.court.identity.recipient])
        for item in (body, inventory):
            self.alice.upload(package, item)
            self.alice.put_header(package, item.header)
        manifest = self.alice.manifest(self.matter, package, [inventory, body], [self.court])
        record = self.alice.post(f"/v1/packages/{package}/seal", manifest).json()["record"]
        sealed = entry.parse(record["entry"].encode())
        made = party.Sent(self.matter, package, [inventory, body], manifest, sealed)
        self.bob.release(made)
        return f"/v1/downloads/{self.bob.open_download(made).json()['download']}/items/{body.id}"

    def fetch(self, path: str, target: Path) -> None:
        self.bob.forget()
        connection = http.client.HTTPConnection("127.0.0.1", self.running.port, timeout=60)
        connection.request("GET", path, headers=self.bob.headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        buffer = memoryview(bytearray(_SLICE))
        with target.open("wb", buffering=0) as file:
            while count := answer.readinto(buffer):
                file.write(buffer[:count])
        connection.close()


@contextmanager
def _sender(
    directory: Path, settings: Mapping[str, str] | None = None, *, discarding: bool = False
) -> Iterator[_Sender]:
    with place.service(directory, settings, discarding=discarding) as running:
        yield _Sender(running)


def _upload(created: str, source: Path, headers: Mapping[str, str] | None = None) -> None:
    """Create an upload and bring the whole body in one request, as plain tus clients do."""
    address, size = urlsplit(created), source.stat().st_size
    common = {"Tus-Resumable": "1.0.0", **(headers or {})}
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=120)
    connection.request("POST", address.path, headers={**common, "Upload-Length": str(size)})
    answer = connection.getresponse()
    said = answer.read()
    assert answer.status == 201, (answer.status, said)
    location = urlsplit(answer.headers["Location"]).path
    connection.putrequest("PATCH", location)
    more = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream", "Content-Length": str(size)}
    for name, value in {**common, **more}.items():
        connection.putheader(name, value)
    connection.endheaders()
    line = connection.sock
    assert isinstance(line, socket.socket)
    with source.open("rb", buffering=0) as file:
        line.sendfile(file)
    answer = connection.getresponse()
    said = answer.read()
    assert answer.status == 204, (answer.status, said)
    assert int(answer.headers["Upload-Offset"]) == size, json.dumps(dict(answer.headers))
    connection.close()
