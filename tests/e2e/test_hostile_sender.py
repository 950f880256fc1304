"""A sender who lies in what it seals and signs: through the real service, to the real `receive`."""

import io
import json
import os
import secrets
import tarfile
from hashlib import sha256

import pytest
from blake3 import blake3
from rogatory.send import put_header
from rogatory.tus import Upload

from custody.inventory import InventoryWriter, Line
from custody.sealing import BodyOpener, build_header
from tests.custody.sealing.two_faces import two_faced_body
from tests.e2e.handmade import HandMade, Sealed
from tests.e2e.theatre import client_of, refused


@pytest.fixture
def sender(theatre):
    with client_of(theatre.sender) as client:
        yield client


def line(path, data, item, offset=0, **changes):
    """A line of the inventory that tells the truth, but for what is changed."""
    members = {"type": "file", "size": len(data), "sha256": sha256(data).digest(), "blake3": blake3(data).digest()}
    members |= {"extents": [(item.id, offset, len(data))]}
    return Line(**{"path": path, **members, **changes})


class Package(HandMade):
    """A package made by hand, with whatever inventory."""

    def upload(self, *items):
        for item in items:
            upload = Upload.create(
                self.client.connection, package=self.id, item=item.id, size=len(item.body),
                part_size=item.member["part_size"],
            )  # fmt: skip
            upload.write(0, memoryview(item.body), lambda _: None)

    def described(self, *lines):
        target = io.BytesIO()
        writer = InventoryWriter(target, package=self.id, count=len(lines))
        for each in sorted(lines, key=lambda each: each.path):
            writer.add(each)
        commitment = writer.finish()
        return self.seal_item(target.getvalue()), commitment.hex()

    def send(self, item, *lines, **changes):
        inventory, commitment = self.described(*lines)
        self.upload(item, inventory)
        manifest = self.manifest(item, inventory, commitment, **changes)
        self.lodge(manifest)
        return manifest


@pytest.fixture
def package(theatre, sender):
    made = Package(sender, theatre.exchange, theatre.receiver.authority)
    made.declare()
    return made


def test_a_package_made_by_hand_that_tells_the_truth_is_received(theatre, package, tmp_path):
    data = b"the truth\n" * 100
    item = package.seal_item(data)
    package.send(item, line(b"truth.txt", data, item))
    theatre.receive(package.id, tmp_path / "in")
    assert (tmp_path / "in" / "evidence" / "truth.txt").read_bytes() == data


@pytest.mark.parametrize("digest", ["sha256", "blake3"])
def test_a_manifest_that_claims_another_digest_of_the_body_is_found_by_receive(theatre, package, tmp_path, digest):
    item = package.seal_item(b"something")
    package.send(item, line(b"a", b"something", item), **{digest: "ab" * 32})
    said = theatre.run(theatre.receiver, "receive", package.id, "--to", tmp_path / "in", expect=None)
    assert f"the body of item {item.id}" in refused(said, 20)
    assert [path.name for path in (tmp_path / "in").iterdir()] == [".partial"]
    report = json.loads((tmp_path / "in" / ".partial" / "received.json").read_text())
    assert [each["agrees"] for each in report["items"] if each["id"] == item.id] == [False]


@pytest.mark.parametrize("digest", ["sha256", "blake3"])
def test_an_inventory_that_claims_another_digest_of_a_file_is_found_by_receive(theatre, package, tmp_path, digest):
    item = package.seal_item(b"something")
    package.send(item, line(b"lied-about.txt", b"something", item, **{digest: b"\xab" * 32}))
    said = theatre.run(theatre.receiver, "receive", package.id, "--to", tmp_path / "in", expect=None)
    assert "lied-about.txt" in refused(said, 20)
    assert [path.name for path in (tmp_path / "in").iterdir()] == [".partial"]


# ---------------------------------------------------------------- one body with two faces


@pytest.mark.parametrize("face", [0, 1], ids=["the one that was fixed", "the other"])
def test_of_one_body_with_two_faces_only_the_one_the_manifest_fixed_is_shown(theatre, sender, tmp_path, face):
    """Sealed for the sender itself; a later grant shows it to the receiver, under a header for either file key."""
    package = Package(sender, theatre.exchange, theatre.sender.authority)
    package.declare()
    rows = sender.directory.recipients([theatre.receiver.authority])
    theirs = [recipient for row in rows for recipient in row.recipients()]
    faces = b"INNOCENT".ljust(64, b"."), b"GUILTY".ljust(64, b".")
    keys = secrets.token_bytes(16), secrets.token_bytes(16)
    body = two_faced_body(*faces, keys)
    shown = [open_body(body, key) for key in keys]
    assert shown[0].startswith(faces[0])
    assert shown[1][64:].startswith(faces[1])
    item = Sealed(secrets.token_hex(16), build_header(keys[0], package.keys), body, keys[0])
    put_header(sender.connection, package.id, item.header)
    inventory, commitment = package.described(line(b"verdict.txt", shown[face], item))
    package.upload(item, inventory)
    manifest = package.manifest(item, inventory, commitment)
    package.lodge(manifest)
    headers = {item.id: build_header(keys[face], theirs), inventory.id: build_header(inventory.file_key, theirs)}
    for header in headers.values():
        put_header(sender.connection, package.id, header)
    granted = sender.speaker.say(
        "grant", package.exchange.handle, manifest=manifest.id, sealing=theirs[0].kind,
        recipients=[row.fields() for row in rows],
        items=[{"id": name, "header": {"size": len(header), "sha256": sha256(header).hexdigest()}}
               for name, header in sorted(headers.items())],
    )  # fmt: skip
    sender.lodge.lodge(f"/v1/packages/{package.id}/grants", granted, event="grant.added")
    said = theatre.run(theatre.receiver, "receive", package.id, "--to", tmp_path / "in", "--json", expect=None)
    if face == 0:
        assert (tmp_path / "in" / "evidence" / "verdict.txt").read_bytes() == shown[0]
    else:
        assert (said.code, said.json["error"]["code"]) == (20, "key-commitment")
        assert not list((tmp_path / "in").rglob("verdict.txt"))


def open_body(body, key):

    opener = BodyOpener(key)
    return opener.update(body) + opener.finish()


# ---------------------------------------------------------------- names, links and devices that lead out


def hostile_tar(outside):
    """An archive with everything a careless program would unpack where it should not."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("../up", f"{outside}/absolute", "a/../../../up"):
            member = tarfile.TarInfo(name)
            member.size = 6
            archive.addfile(member, io.BytesIO(b"outed\n"))
        for name, kind in (("null", tarfile.CHRTYPE), ("disk", tarfile.BLKTYPE), ("pipe", tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.devmajor, member.devminor = kind, 1, 3
            archive.addfile(member)
        for name, to in (("out", str(outside)), ("hard", "../../secret")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE if name == "out" else tarfile.LNKTYPE, to
            archive.addfile(member)
        member = tarfile.TarInfo("out/through")
        member.size = 6
        archive.addfile(member, io.BytesIO(b"outed\n"))
    return target.getvalue()


def everything(root):
    """Every path below a directory but in its `target`, links not followed, with its size."""
    found, folders = {}, [root]
    while folders:
        for path in folders.pop().iterdir():
            found[str(path)] = path.lstat().st_size
            if path.is_dir() and not path.is_symlink() and path != root / "target":
                folders.append(path)
    return {path: size for path, size in found.items() if path != str(root / "target")}


@pytest.mark.parametrize("unpack", [True, False], ids=["unpacked", "in one piece"])
def test_what_an_archive_says_becomes_no_path(theatre, package, tmp_path, unpack):
    outside = tmp_path / "outside"
    outside.mkdir()
    data = hostile_tar(outside)
    item = package.seal_item(data)
    at = data.index(b"outed")
    up, through = b"../up", b"out/through"
    package.send(
        item,
        line(up, b"outed\n", item, at),
        line(f"{outside}/absolute".encode(), b"outed\n", item, data.index(b"outed", at + 6)),
        line(b"out", b"", item, type="symlink", target=os.fsencode(outside), size=None, sha256=None, blake3=None,
             extents=()),
        line(through, b"outed\n", item, data.rindex(b"outed")),
        line(b"zero", b"", item, 0, type="device"),
    )  # fmt: skip
    before = everything(tmp_path)
    words = ["receive", package.id, "--to", tmp_path / "target" / "deep", *(["--unpack"] if unpack else [])]
    (tmp_path / "target").mkdir()
    said = theatre.run(theatre.receiver, *words, "--json", expect=None)
    assert said.code in (0, 8), said
    after = everything(tmp_path)
    assert after == before
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["deep"]
    made = tmp_path / "target" / "deep" / "evidence"
    assert not [path for path in made.rglob("*") if not (path.is_symlink() or path.is_file() or path.is_dir())]
    assert not [path for path in made.rglob("*") if path.is_symlink()]
    names = {row["name"] for row in said.json["skipped"]}
    assert (names >= {"../up", "out"}) is unpack


def link(path, target):
    return Line(path=path, type="symlink", target=target)


def test_links_that_lead_out_only_together_write_nothing_outside(theatre, package, tmp_path):
    """Each link stays inside by its letters; through the first, the second leaves, and the third would be made there."""
    data = b"x" * 32
    item = package.seal_item(data)
    target = tmp_path / "target" / "deep" / "in"
    target.parent.mkdir(parents=True)
    package.send(
        item,
        line(b"a/b/c/d/file", data[:16], item),
        line(b"other", data[16:], item, 16),
        link(b"a/b/c/d/inside", b"../file-of-c"),
        link(b"a/b/c/d/s", b"../../../.."),
        link(b"a/b/c/d/t", b"s/../../.."),
        link(b"a/b/c/d/t/planted", b"../file"),
        link(b"a/b/c/d/t/made/planted", b"../file"),
        link(b"a/b/c/d/u", b"s"),
        link(b"a/b/c/d/u/planted", b"file"),
    )
    before = everything(tmp_path)
    said = theatre.run(theatre.receiver, "receive", package.id, "--to", target, "--unpack", "--json", expect=None)
    assert everything(tmp_path) == before
    assert [path.name for path in target.parent.iterdir()] == ["in"]
    assert not [path for path in target.iterdir() if "planted" in path.name or path.name == "made"]
    root = target / "evidence"
    assert (root / "a" / "b" / "c" / "d" / "inside").is_symlink()
    assert (root / "a" / "b" / "c" / "d" / "file").read_bytes() == data[:16]
    for path in root.rglob("*"):
        assert path.resolve().is_relative_to(root.resolve()), path
    assert "a/b/c/d/t" in {row["name"] for row in said.json["skipped"]}
