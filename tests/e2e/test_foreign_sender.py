"""Whole hand-overs without a line of our code: by the shell of the guide, as it stands there, and by a Node script."""

import base64
import io
import json
import os
import re
import subprocess
import zipfile
from hashlib import sha256

import pytest

from custody import batch, canonical, merkle, packing
from custody.tail import TailProof, TailTree, bucket_of
from tests.backends import backend
from tests.custody.sealing.independent import node
from tests.e2e.theatre import PATIENCE, ROOT, client_of, opened, tool

GUIDE = ROOT / "docs" / "guide" / "integrate.md"
NODE = ROOT / "tests" / "node"
CONTENT = bytes(range(256)) * 9_000
NAME = "exhibit-7_disk.dd"
CUT = 700_001
SHY_CURL = f"""#!/bin/sh
# Notes where each PATCH begins; the first one breaks off. Everything else is curl's.
for word in "$@"; do
  case $word in Upload-Offset*) echo "${{word##* }}" >>"$STARTS" ;; esac
done
if [ -e "$STARTS" ] && [ ! -e "$STARTS.cut" ]; then
  : >"$STARTS.cut"
  head -c {CUT} | "$REAL_CURL" "$@"
  exit 56
fi
exec "$REAL_CURL" "$@"
"""


@pytest.fixture(scope="module")
def classic(tmp_path_factory, backend_kind, request):
    """Whoever receives here has an X25519 identity: the shell's age may be old."""
    kinds = {"kind": "x25519", "sender_kind": "x25519"}
    with (
        backend(backend_kind, request) as own,
        opened(tmp_path_factory.mktemp("classic"), settings=own.environment, **kinds) as found,
    ):
        yield found


def blocks(side):
    """What the guide says to type, in order, for `send` or `receive`."""
    found = re.findall(r"^```bash (\w+)\n(.*?)^```", GUIDE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert {who for who, _ in found} == {"both", "send", "receive"}
    return "\n".join(text for who, text in found if who in ("both", side))


def keys(party):
    return party.home / "default" / "keys"


def profile_of(party):
    return json.loads((party.home / "default" / "profile.json").read_text())


def variables(party, work, **more):
    """What the guide's reader is told, for a party's client."""
    profile = profile_of(party)
    work.mkdir()
    return {
        "PATH": os.environ["PATH"],
        "SERVER": party.stage.url,
        "CA": str(party.stage.ca),
        "AUTHORITY": party.authority,
        "PRINCIPAL": profile["principal"],
        "LOGIN_KEY": str(keys(party) / "login.pem"),
        "STATEMENT_KEY": str(keys(party) / "statement.pem"),
        "WORK": str(work),
        "BLAKE3": f"{tool('node')} {NODE / 'blake3.mjs'}",
        **{name: str(value) for name, value in more.items()},
    }


def shell(side, told):
    for name in ("curl", "openssl", "age", "age-keygen", "node"):
        tool(name)
    done = subprocess.run(
        [tool("bash"), "-c", blocks(side)], env=told, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def recipient(party):
    command = [tool("age-keygen"), "-y", keys(party) / "encryption.age"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def sent_by_shell(theatre, folder):
    """Hand a file over by the guide; its manifest."""
    evidence = folder / NAME
    evidence.write_bytes(CONTENT)
    shy = folder / "bin" / "curl"
    shy.parent.mkdir()
    shy.write_text(SHY_CURL)
    shy.chmod(0o700)
    told = variables(
        theatre.sender,
        folder / "send",
        TO=theatre.receiver.authority,
        TO_RECIPIENT=recipient(theatre.receiver),
        EVIDENCE=evidence,
        REAL_CURL=tool("curl"),
        STARTS=folder / "starts",
        PATH=f"{shy.parent}:{os.environ['PATH']}",
    )
    shell("send", told)
    return canonical.decode((folder / "send" / "manifest").read_bytes())


@pytest.fixture(scope="module")
def by_shell(classic, tmp_path_factory):
    folder = tmp_path_factory.mktemp("by-shell")
    return folder, sent_by_shell(classic, folder)


def test_what_the_shell_of_the_guide_sent_is_received_to_the_same_bytes(classic, by_shell):
    folder, manifest = by_shell
    said = classic.receive(manifest["package"], folder / "received")
    assert said["complete"]
    assert {item["plaintext"] for item in said["items"]} == {"checked"}
    assert (folder / "received" / "evidence" / NAME).read_bytes() == CONTENT


def test_an_upload_of_the_shell_that_was_cut_went_on_where_it_stood(by_shell):
    folder, _ = by_shell
    starts = [int(line) for line in (folder / "starts").read_text().split()]
    assert starts == [0, CUT, 0]


def test_the_bundle_that_the_shell_took_away_is_verified(classic, by_shell):
    folder, _ = by_shell
    trust = ["--trust", classic.receiver.trust]
    report = classic.run(classic.receiver, "verify", folder / "send" / "custody.zip", *trust, "--json").json
    assert report["verdict"] == "verified"


def test_what_the_shell_of_the_guide_received_is_what_was_sent_and_its_receipt_stands(classic, by_shell, tmp_path):
    _, manifest = by_shell
    public = tmp_path / "sender.pem"
    command = [tool("openssl"), "pkey", "-in", keys(classic.sender) / "statement.pem", "-pubout", "-out", public]
    subprocess.run(command, check=True)
    told = variables(
        classic.receiver,
        tmp_path / "receive",
        PACKAGE=manifest["package"],
        HANDLE=manifest["chain"],
        IDENTITY=keys(classic.receiver) / "encryption.age",
        SENDER_KEY=public,
    )
    shell("receive", told)
    assert (tmp_path / "receive" / f"{manifest['items'][0]['id']}.plain").read_bytes() == CONTENT
    receipt = canonical.decode((tmp_path / "receive" / "receipt").read_bytes())
    exchange = sha256(b"rogatory/exchange-id/v1\0" + bytes.fromhex(manifest["chain"])).hexdigest()[:32]
    assert ("receipt.signed", manifest["package"]) in classic.events(exchange)
    assert len(receipt["items"]) == 2


def test_the_shell_that_has_another_key_for_the_sender_asks_for_nothing(classic, by_shell, tmp_path):
    _, manifest = by_shell
    public = tmp_path / "other.pem"
    command = [tool("openssl"), "pkey", "-in", keys(classic.receiver) / "statement.pem", "-pubout", "-out", public]
    subprocess.run(command, check=True)
    told = variables(
        classic.receiver,
        tmp_path / "receive",
        PACKAGE=manifest["package"],
        HANDLE=manifest["chain"],
        IDENTITY=keys(classic.receiver) / "encryption.age",
        SENDER_KEY=public,
    )
    done = subprocess.run([tool("bash"), "-c", blocks("receive")], env=told, capture_output=True, check=False)
    assert done.returncode != 0
    assert not (tmp_path / "receive" / "release").exists()


@pytest.fixture(scope="module")
def by_node(theatre, tmp_path_factory):
    """Two files, post-quantum, their first uploads cut after 5 MB: what the script says, and the files."""
    folder = tmp_path_factory.mktemp("by-node")
    profile = profile_of(theatre.sender)
    files = {"image.raw": b"\xa5sector " * 2_500_000, "Pr\u00fcfbericht \u201eEntwurf\u201c.pdf": CONTENT}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "work").mkdir()
    told = {
        "server": theatre.stage.url,
        "authority": theatre.sender.authority,
        "principal": profile["principal"],
        "login_key": str(keys(theatre.sender) / "login.pem"),
        "statement_key": str(keys(theatre.sender) / "statement.pem"),
        "trust": str(theatre.sender.trust),
        "to": theatre.receiver.authority,
        "evidence": [str(folder / name) for name in files],
        "work": str(folder / "work"),
        "cut": 5_000_000,
    }
    (folder / "told.json").write_text(json.dumps(told))
    done = sender_script(theatre, folder / "told.json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), files, folder


def sender_script(theatre, told):
    environment = {"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": str(theatre.stage.ca)}
    command = [tool("node"), "sender.mjs", told]
    return subprocess.run(
        command, env=environment, cwd=NODE, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


def test_what_the_node_script_sent_is_received_to_the_same_bytes(theatre, by_node):
    said, files, folder = by_node
    assert said["state"] == "sealed"
    received = theatre.receive(said["package"], folder / "received")
    assert received["complete"]
    assert {item["plaintext"] for item in received["items"]} == {"checked"}
    assert {path.name: path.read_bytes() for path in (folder / "received" / "evidence").iterdir()} == files


def test_an_upload_of_tus_js_that_was_cut_went_on_where_it_stood(by_node):
    said, _, _ = by_node
    large, *_ = said["starts"]
    assert large[0] == 0
    assert large[1] > 0


def test_what_tus_js_brings_with_the_creation_needs_no_further_request(by_node):
    said, _, _ = by_node
    _, *others = said["starts"]
    assert others == [[], []]


def test_the_chain_of_a_foreign_hand_over_is_verified(theatre, by_node):
    said, _, folder = by_node
    theatre.run(theatre.receiver, "bundle", said["exchange"], "-o", folder / "custody.zip")
    trust = ["--trust", theatre.receiver.trust]
    report = theatre.run(theatre.receiver, "verify", folder / "custody.zip", *trust, "--json").json
    assert report["verdict"] == "verified"


@pytest.mark.parametrize("spoilt", ["pin", "log", "age"])
def test_the_node_script_seals_to_nobody_whose_registry_it_cannot_believe(theatre, by_node, tmp_path, spoilt):
    _, _, folder = by_node
    trust = json.loads(theatre.sender.trust.read_text())
    if spoilt == "pin":
        for row in trust["authorities"]:
            row["keys"] = ["0" * 64]
    elif spoilt == "log":
        trust["log"] = [key.replace(trust["origin"], "elsewhere.example/log") for key in trust["log"]]
    else:
        trust["max_age_s"] = trust["skew_s"] = 0
    (tmp_path / "trust.json").write_bytes(canonical.encode(trust))
    told = json.loads((folder / "told.json").read_text()) | {"trust": str(tmp_path / "trust.json")}
    (tmp_path / "told.json").write_text(json.dumps(told))
    done = sender_script(theatre, tmp_path / "told.json")
    assert done.returncode != 0
    assert "Refused" in done.stderr


REGISTRY_ATTACKS = {
    "the last entry is left out": ("entries.jsonl leaves.jsonl", lambda lines: lines[:-1]),
    "the last leaf has another salt": (
        "leaves.jsonl",
        lambda lines: [*lines[:-1], re.sub(rb'"salt":"[0-9a-f]{4}', b'"salt":"beef', lines[-1])],
    ),
    "an entry has another time": (
        "entries.jsonl",
        lambda lines: [*lines[:-1], re.sub(rb"\.[0-9]{6}Z", b".999999Z", lines[-1])],
    ),
    "the tail shows no labels": (
        "tail.json",
        lambda lines: [re.sub(rb'"bucket":\[[^]]*\]', b'"bucket":["' + b"0" * 64 + b'"]', lines[0])],
    ),
}


@pytest.fixture(scope="module")
def registry(theatre):
    """The receiver's registry as it is fetched, with a last entry that ends something: {name: bytes}."""
    theatre.run(theatre.receiver, "role", "end", "auditor")
    path = f"/v1/authorities/{theatre.receiver.authority}/registry"
    with client_of(theatre.sender) as client:
        archive = zipfile.ZipFile(io.BytesIO(client.connection.request("GET", path).content))
    return {name: archive.read(name) for name in archive.namelist()}


def judged(theatre, files):
    """What the Node script makes of a registry: ids of keys, or why it is refused."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    trust = json.loads(theatre.sender.trust.read_text())
    job = {
        "zip": base64.b64encode(packed.getvalue()).decode(),
        "authority": theatre.receiver.authority,
        "trust": trust,
    }
    (result,) = node("registries.mjs", json.dumps([job]).encode())
    return result


def test_the_node_script_finds_the_keys_of_a_registry_that_is_whole(theatre, registry):
    (found,) = judged(theatre, registry)
    assert re.fullmatch("[0-9a-f]{64}", found)


@pytest.mark.parametrize("attack", REGISTRY_ATTACKS)
def test_the_node_script_refuses_a_registry_where(theatre, registry, attack):
    names, change = REGISTRY_ATTACKS[attack]
    spoilt = dict(registry)
    for name in names.split():
        path = f"registry/{theatre.receiver.authority}/{name}"
        lines = change(registry[path].splitlines())
        spoilt[path] = b"\n".join([*lines, b""])
        assert spoilt[path] != registry[path]
    assert "refused" in judged(theatre, spoilt)


def leaves_of_the_log(client, size):
    """All leaf data of a log of fewer than 256 leaves, as anybody reads them."""
    tile = client.connection.request("GET", f"/log/tile/entries/000.p/{size}").content
    found = []
    while tile:
        length = int.from_bytes(tile[:2])
        found.append(tile[2 : 2 + length])
        tile = tile[2 + length :]
    return found


def withheld(registry, folder, leaves, size):
    """The registry without its last entry, everything else proven as well as a service that has the whole log can."""
    lines = {name: registry[f"{folder}/{name}"].splitlines(keepends=True) for name in ("entries.jsonl", "leaves.jsonl")}
    *shown, hidden = map(json.loads, lines["leaves.jsonl"])
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    places = [*(leaf["index"] for leaf in shown), size - 1]
    proof = batch.batch_proof(places, size, lambda level, at: merkle_root(hashes[at << level : (at + 1) << level]))
    label, labels = bytes.fromhex(hidden["label"]), [leaf[1:33] for leaf in leaves if leaf[0] == 1]
    tree, bucket = TailTree(), bucket_of(label)
    for each in labels:
        tree.add(each)
    beside = tuple(each for each in labels if bucket_of(each) == bucket)
    tail = TailProof(tree.root(), beside, tuple(tree.path(bucket)))
    return {f"{folder}/{name}": b"".join(found[:-1]) for name, found in lines.items()} | {
        "inclusion": batch.encode(size, proof),
        f"{folder}/tail.json": packing.encode_tail(tail) + b"\n" * registry[f"{folder}/tail.json"].endswith(b"\n"),
    }


def merkle_root(hashes):
    """Of a power of two of leaf hashes."""
    if len(hashes) == 1:
        return hashes[0]
    half = len(hashes) // 2
    return merkle.node_hash(merkle_root(hashes[:half]), merkle_root(hashes[half:]))


def test_the_node_script_finds_that_a_well_proven_registry_hides_its_end(theatre, registry):
    size = int(registry["checkpoint"].split(b"\n")[1])
    with client_of(theatre.sender) as client:
        leaves = leaves_of_the_log(client, size)
    hidden = withheld(registry, f"registry/{theatre.receiver.authority}", leaves, size)
    assert judged(theatre, registry | hidden) == {"refused": "something follows in the registry"}


def test_the_javascript_of_the_guide_is_what_the_node_script_runs():
    found = re.findall(r"^```js\n(.*?)^```", GUIDE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    script = (NODE / "sender.mjs").read_text()
    assert found
    assert [block for block in found if block not in script] == []


def test_the_packages_that_the_node_script_uses_are_those_that_the_guide_names():
    named = json.loads((NODE / "package.json").read_text())["dependencies"]
    script = (NODE / "sender.mjs").read_text()
    used = set(re.findall(r'from "([a-z-]+)"', script))
    assert used == {"age-encryption", "jose", "tus-js-client"} <= set(named)
    assert all(name in GUIDE.read_text("utf-8") for name in used)
