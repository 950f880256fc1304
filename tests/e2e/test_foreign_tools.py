"""Items open with tools that are not ours, and what tools that are not ours upload arrives."""

import io
import subprocess
import tarfile
from hashlib import sha1

import pytest
from tusclient.client import TusClient

from custody.sealing import Identity, open_sealed, parse_identity_file
from tests.backends import EMBEDDED, only
from tests.custody.sealing.independent import data, npm, text
from tests.e2e.canary import Canary, search
from tests.e2e.handmade import HandMade
from tests.e2e.theatre import client_of, opened, tool

pytestmark = only(EMBEDDED)

CONTENT = b"what was seized \xff\x00 and whatever else\n" * 5_000
NAME = "Entwurf (final) 2026.txt"


@pytest.fixture(scope="module")
def classic(tmp_path_factory, backend):
    """Whoever receives here has an X25519 identity."""
    where, settings = tmp_path_factory.mktemp("classic"), backend.environment
    with opened(where, kind="x25519", sender_kind="x25519", settings=settings) as found:
        yield found


@pytest.fixture(scope="module")
def seized(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seized") / "exhibit"
    (folder / "empty").mkdir(parents=True)
    (folder / NAME).write_bytes(CONTENT)
    (folder / "nothing.bin").touch()
    return folder


def sealed_of(theatre, *paths):
    """Sent and received with the items kept: {id: age file}, where they are, and the received directory."""
    package = theatre.send(*paths)
    target = theatre.root / package
    said = theatre.receive(package, target, "--keep-sealed")
    files = {path.stem: path for path in (target / "sealed").glob("*.age")}
    assert {item["id"] for item in said["items"]} == files.keys()
    return files, target


def contents(target):
    """What the items must open to: what was received, and the inventory."""
    plain = {path.read_bytes() for path in (target / "evidence").rglob("*") if path.is_file()}
    return plain | {(target / "inventory.jsonl").read_bytes()}


def identity_file(party):
    return party.home / "default" / "keys" / "encryption.age"


def identity_of(party) -> Identity:
    return parse_identity_file(identity_file(party).read_text())[0]


def test_the_age_of_the_distribution_opens_every_item_to_the_bytes_that_were_received(classic, seized):
    files, target = sealed_of(classic, seized, seized / NAME)
    found = set()
    for path in files.values():
        command = [tool("age"), "-d", "-i", identity_file(classic.receiver), path]
        found.add(subprocess.run(command, capture_output=True, check=True).stdout)
    assert found == contents(target)
    assert CONTENT in found


def test_a_folder_that_age_opened_is_an_archive_that_tar_unpacks(classic, seized, tmp_path):
    files, _ = sealed_of(classic, seized)
    opened_by_age = [
        subprocess.run(
            [tool("age"), "-d", "-i", identity_file(classic.receiver), path], capture_output=True, check=True
        ).stdout
        for path in files.values()
    ]
    (archive,) = [found for found in opened_by_age if tarfile.is_tarfile(io.BytesIO(found))]
    subprocess.run([tool("tar"), "-xf", "-", "-C", tmp_path], input=archive, check=True)
    assert (tmp_path / "exhibit" / NAME).read_bytes() == CONTENT
    assert (tmp_path / "exhibit" / "nothing.bin").read_bytes() == b""
    assert (tmp_path / "exhibit" / "empty").is_dir()


def test_hybrid_items_open_with_the_age_of_npm(theatre, seized):
    files, target = sealed_of(theatre, seized / NAME)
    identity = str(identity_of(theatre.receiver))
    jobs = [{"do": "open", "file": text(path.read_bytes()), "identity": identity} for path in files.values()]
    opened_by_npm = [data(result) for result in npm(*jobs)]
    assert set(opened_by_npm) == contents(target)
    assert CONTENT in opened_by_npm


def test_what_the_age_of_npm_seals_for_the_receiver_we_open(theatre):
    identity = identity_of(theatre.receiver)
    (sealed,) = npm({"do": "seal", "plain": text(CONTENT), "recipients": [str(identity.recipient)]})
    with open_sealed(io.BytesIO(data(sealed)), [identity]) as plain:
        assert plain.read() == CONTENT


@pytest.fixture(scope="module")
def by_tuspy(theatre):
    """A package whose bodies were uploaded by tuspy, with SHA-1 checksums and a file name in its metadata."""
    with client_of(theatre.sender) as client, pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(theatre.stage.ca))
        package = HandMade(client, theatre.exchange, theatre.receiver.authority)
        package.declare()
        item = package.seal_item(CONTENT)
        inventory, commitment = package.inventory(NAME.encode(), CONTENT, item)
        for sealed in (item, inventory):
            foreign = TusClient(package.uploads(sealed), headers={"Authorization": f"Bearer {package.bearer()}"})
            named = {"filename": NAME, "filetype": "text/plain"}
            uploader = foreign.uploader(
                file_stream=io.BytesIO(sealed.body), chunk_size=64 * 1024, metadata=named, upload_checksum=True
            )
            assert uploader.checksum_algorithm is sha1
            uploader.upload()
            assert uploader.offset == len(sealed.body)
        package.lodge(package.manifest(item, inventory, commitment))
    return package


def test_what_tuspy_uploaded_is_received_to_the_same_bytes(theatre, by_tuspy):
    target = theatre.root / "by-tuspy"
    said = theatre.receive(by_tuspy.id, target)
    assert said["complete"]
    assert {item["plaintext"] for item in said["items"]} == {"checked"}
    assert (target / "evidence" / NAME).read_bytes() == CONTENT


def test_a_file_name_in_the_metadata_of_tus_is_nowhere_in_the_service(theatre, by_tuspy):
    planted = Canary("name", NAME)
    assert search([theatre.stage.state, theatre.stage.journal], [planted]) == []
