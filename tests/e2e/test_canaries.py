"""Nothing the service keeps or prints holds evidence, its names, or a key, whatever became of the upload."""

import json
import signal
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from rogatory.errors import ServiceRefusal
from rogatory.tus import Upload

from custody.keys import SigningKey
from custody.sealing import bech32, parse_identity_file, read_header, unwrap
from tests.e2e.canary import Canary, planted, search, search_text
from tests.e2e.handmade import HandMade
from tests.e2e.theatre import PATIENCE, client_of, opened

SLOW = ["--limit-rate", "512K"]
PRIVATE = ("authority.pem", "recovery/recovery.pem", "statement.pem", "login.pem")


class Played:
    """What was planted and done: a finished, a changed, a misdescribed, an aborted and a broken-off upload."""

    def __init__(self, theatre, folder):
        self.theatre, self.folder = theatre, folder
        self.evidence = [
            Canary.grow("content", "the word is {} & nothing else: ü/?\n"),
            Canary.grow("file name", "{} Ü final?.txt"),
            Canary.grow("folder name", "exhibit {} & more"),
            Canary.grow("link target", "../{}/elsewhere"),
            Canary.grow("title", "Operation {} / Süd"),
            Canary.grow("file number", "{}/2026 & 7"),
            Canary.grow("examiner", "J. de {} Vries"),
            Canary.grow("device", "phone {}"),
            Canary.grow("serial", "SN {}"),
            Canary.grow("notes", "note {} + more"),
            Canary.grow("exhibit", "stick {}"),
            Canary.grow("tus metadata", "{} report.pdf"),
            Canary.grow("invented member", "{} smuggled"),
        ]
        self.passphrases = [Canary.grow(f"passphrase of {name}", "horse {} staple/+") for name in ("nl", "fr")]
        self.keys = []
        self.parties = (theatre.sender, theatre.receiver)

    def text(self, name):
        return next(canary.text for canary in self.evidence if canary.name == name)

    def words(self, party):
        return ["--passphrase-file", party.home / "passphrase"]

    # ------------------------------------------------------------ before

    def lock_keys(self):
        """Note every secret key; lock those that can be locked with a passphrase that is a canary."""
        for party, passphrase in zip(self.parties, self.passphrases, strict=True):
            ring = party.home / "default" / "keys"
            for name in PRIVATE:
                key = SigningKey.from_pem((ring / name).read_bytes())
                private = load_pem_private_key((ring / name).read_bytes(), None)
                self.keys.append(Canary(f"{party.authority} {name}", raw_secret(private)))
                (ring / name).write_bytes(key.to_pem(passphrase.text.encode()))
            identity = parse_identity_file((ring / "encryption.age").read_text())[0]
            self.keys.append(Canary(f"{party.authority} identity", str(identity)))
            self.keys.append(Canary(f"{party.authority} identity's bytes", bech32.decode(str(identity).lower())[1]))
            (party.home / "passphrase").write_text(passphrase.text + "\n")

    def seize(self, name):
        """A folder with canaries in everything."""
        root = self.folder / name / self.text("folder name")
        (root / "inner").mkdir(parents=True)
        (root / "inner" / self.text("file name")).write_text(self.text("content") * 40_000)
        (root / "link").symlink_to(self.text("link target"))
        return root

    def options(self):
        given = [word for name in ("examiner", "device", "serial", "notes") for word in (f"--{name}", self.text(name))]
        return [*given, "--exhibit", f"07={self.text('exhibit')}", *self.words(self.theatre.sender)]

    def file_keys_of_unfinished(self):
        for path in self.theatre.sender.home.glob("default/sends/*/state.jsonl"):
            for line in path.read_bytes().splitlines():
                row = json.loads(line)
                if "key" in row:
                    self.keys.append(Canary(f"file key of {row['id']}", bytes.fromhex(row["key"])))

    # ------------------------------------------------------------ the play

    def open(self):
        said = self.theatre.run(
            self.theatre.sender, "exchange", "open", "--with", self.theatre.receiver.authority, "--title",
            self.text("title"), "--file-number", self.text("file number"), "--json", *self.words(self.theatre.sender),
        )  # fmt: skip
        self.exchange = said.json["exchange"]

    def finish(self):
        package = self.theatre.send(self.seize("finished"), options=self.options(), exchange=self.exchange)
        target, words = self.theatre.root / "received", self.words(self.theatre.receiver)
        self.theatre.receive(package, target, "--keep-sealed", "--unpack", *words)
        self.theatre.run(self.theatre.receiver, "receipt", "accept", package, *words)
        ring = self.theatre.receiver.home / "default" / "keys"
        identities = parse_identity_file((ring / "encryption.age").read_text())
        for path in (target / "sealed").glob("*.age"):
            with path.open("rb") as file:
                self.keys.append(Canary(f"file key of {path.stem}", unwrap(read_header(file).raw, identities)))
        names = [path.relative_to(target / "evidence") for path in (target / "evidence").rglob("*")]
        assert any(self.text("folder name") in str(name) for name in names)

    def fail_by_change(self):
        package = self.break_off("changed", signal.SIGINT)
        changed = self.folder / "changed" / self.text("folder name") / "inner" / self.text("file name")
        changed.write_text(changed.read_text().upper())
        words = ["send", "--resume", package, *self.words(self.theatre.sender)]
        self.theatre.run(self.theatre.sender, *words, expect=7, more={"ROGATORY_DEBUG": "1"})

    def abort(self):
        """End an interrupted upload at the service."""
        before = self.open_uploads().keys()
        self.break_off("aborted", signal.SIGINT)
        (upload,) = self.open_uploads().keys() - before
        with self.client() as client:
            client.connection.request("DELETE", f"/v1/uploads/{upload}", headers={"Tus-Resumable": "1.0.0"})

    def break_off(self, name, how):
        """Send slowly, and end the process when some of it has left; the package."""
        root, before = self.seize(name), self.open_uploads().keys()
        words = self.theatre.send_words(root, exchange=self.exchange)
        process = self.theatre.start(self.theatre.sender, *words, *self.options(), *SLOW, more={"ROGATORY_DEBUG": "1"})
        upload = until(lambda: self.open_uploads().keys() - before).pop()
        time.sleep(0.8)  # a piece of 256 KiB leaves after half a second
        process.send_signal(how)
        self.theatre.ended(process, expect=130 if how is signal.SIGINT else -how)
        until(lambda: self.open_uploads()[upload][0])
        self.file_keys_of_unfinished()
        return self.open_uploads()[upload][1]

    def open_uploads(self):
        """Upload → its offset and package."""
        path = self.theatre.stage.state / "rogatory.db"
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            query = "select id, \"offset\", package_id from uploads where state = 'open'"
            return {upload: rest for upload, *rest in database.execute(query)}
        finally:
            database.close()

    def client(self):
        passphrase = self.passphrases[0].text.encode()
        client = client_of(self.theatre.sender)
        client._passphrase = lambda _: passphrase
        client.connection._login_key = lambda: SigningKey.from_pem(
            (self.theatre.sender.home / "default" / "keys" / "login.pem").read_bytes(), passphrase
        )
        return client

    def fail_by_manifest(self):
        """A hand-made package: names in tus metadata, in members that are not there, in paths; a wrong manifest."""
        content = self.text("content").encode() * 1_000
        with self.client() as client:
            package = HandMade(client, self.exchange, self.theatre.receiver.authority)
            package.declare()
            item = package.seal_item(content)
            inventory, commitment = package.inventory(self.text("file name").encode(), content, item)
            self.keys += [Canary(f"file key of {sealed.id}", sealed.file_key) for sealed in (item, inventory)]
            for sealed in (item, inventory):
                self.upload(client, package, sealed)
            for changes in ({"sha256": "0" * 64, "parts": "1" * 64}, {"key_commitment": "2" * 64, "size": 77}):
                with pytest.raises(ServiceRefusal):
                    package.lodge(package.manifest(item, inventory, commitment, **changes))
            self.smuggle(client, package)

    def upload(self, client, package, sealed):
        name = self.text("tus metadata")
        for metadata in (f"filename {name}", f"filename {planted(Canary('', name))['base64+0'].decode()}"):
            client.connection.request(
                "POST",
                f"/v1/packages/{package.id}/items/{sealed.id}/uploads",
                headers={"Tus-Resumable": "1.0.0", "Upload-Length": str(len(sealed.body)), "Upload-Metadata": metadata},
            )
        found = Upload.create(
            client.connection, package=package.id, item=sealed.id, size=len(sealed.body), part_size=16 * 2**20
        )
        found.write(0, memoryview(sealed.body), lambda _: None)

    def smuggle(self, client, package):
        """The canary in every place of a request that a careless log would show."""
        word = self.text("invented member")
        core = next(canary.core for canary in self.evidence if canary.name == "invented member").decode()
        tries = [
            ("POST", f"/v1/packages/{package.id}/seal", json.dumps({"envelope": word}).encode()),
            ("POST", f"/v1/packages/{package.id}/seal", json.dumps({"envelope": "{}", core: word}).encode()),
            ("POST", f"/v1/packages/{package.id}/seal", f'{{"{word}'.encode()),
            ("GET", f"/v1/packages/{core}", b""),
            ("GET", f"/v1/{core}?name={core}", b""),
            ("PUT", f"/v1/packages/{package.id}/headers/{'0' * 64}", word.encode()),
        ]
        for method, path, content in tries:
            with pytest.raises(ServiceRefusal):
                client.connection.request(
                    method, path, content=content, headers={"Content-Type": "application/json", "X-Name": core}
                )


def until(found):
    """Ask again and again; what is found."""
    end = time.monotonic() + PATIENCE
    while not (answer := found()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return answer


def open_files(process):
    """What a process has open, by name."""
    for path in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield path.readlink()


def raw_secret(private):
    """The secret number of a key, big-endian."""
    if isinstance(private, EllipticCurvePrivateKey):
        return private.private_numbers().private_value.to_bytes(32, "big")
    return private.private_bytes_raw()


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    root = tmp_path_factory.mktemp("canaries")
    spill = root / "temporary"
    spill.mkdir()
    with opened(root / "stage", settings={"TMPDIR": str(spill), "ROGATORY_LOG_LEVEL": "debug"}) as theatre:
        played = Played(theatre, root)
        played.lock_keys()
        played.open()
        played.finish()
        played.fail_by_change()
        played.abort()
        played.break_off("killed", signal.SIGKILL)
        played.fail_by_manifest()
        yield played


@pytest.fixture
def places(played):
    return [played.theatre.stage.state, played.theatre.stage.journal, played.folder / "temporary"]


def test_the_search_finds_every_canary_planted_in_every_form(played, tmp_path):
    everything = [*played.evidence, *played.passphrases, *played.keys]
    wanted = set()
    for number, canary in enumerate(everything):
        for form, data in planted(canary).items():
            path = tmp_path / f"{number}-{form}"
            path.write_bytes(b"\x00before " + data + b" after\xff")
            wanted.add((canary.name, path.name))
    found = {(name, where.split(",")[0].rpartition("/")[2]) for where, name, _ in search([tmp_path], everything)}
    assert found >= wanted


def test_the_search_finds_what_a_database_holds_across_its_pages(tmp_path):
    canary = Canary.grow("word")
    database = sqlite3.connect(tmp_path / "some.db")
    database.execute("create table t (a text)")
    database.execute("insert into t values (?)", ("x" * 20_000 + canary.text + "y" * 20_000,))
    database.commit()
    database.close()
    assert {form for _, _, form in search([tmp_path], [canary])} == {"as it is", "url"}


def test_the_play_has_been_what_it_claims(played):
    words = played.words(played.theatre.sender)
    events = [event for event, _ in played.theatre.events(played.exchange, options=words)]
    assert events.count("package.declared") == 5
    assert events.count("package.sealed") == 1
    assert events.count("upload.aborted") == 1
    assert played.open_uploads()
    assert len(played.keys) > 12


def test_neither_evidence_nor_its_names_are_anywhere_in_the_service(played, places):
    assert search(places, played.evidence) == []


def test_no_key_and_no_passphrase_of_a_party_is_anywhere_in_the_service(played, places):
    assert search(places, [*played.keys, *played.passphrases]) == []


def test_no_key_and_no_passphrase_is_printed_by_a_command(played):
    assert len(played.theatre.said) >= 8
    secret = [*played.keys, *played.passphrases]
    assert [
        hit
        for number, said in enumerate(played.theatre.said)
        for hit in search_text(f"command {number}", said.out + said.err, secret)
    ] == []


def test_the_service_keeps_no_file_open_outside_its_state(played):
    root = played.folder
    inside = [path for path in open_files(played.theatre.stage.service.pid) if path.is_relative_to(root)]
    assert inside
    for path in inside:
        assert path.is_relative_to(played.theatre.stage.state) or path == played.theatre.stage.journal
