"""Hostile bytes for every reader of custody: each parses or raises a CustodyError, nothing else, and holds its law.

`one(data)` is the entry for any fuzzer: the first byte chooses the reader, the rest is its input. Without one, run
`python -m tests.fuzz.fuzz_custody --seconds 20 --seed 1`: it changes what is right at random. A failing input is
printed in hex; `--input HEX` runs it again.
"""

import argparse
import io
import json
import random
import resource
import sys
import time
import zipfile
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from custody import batch, canonical, inventory, packing, sealing, statement, tiles
from custody import entry as entries
from custody import keys as key_records
from custody.checkpoint import Checkpoint, open_checkpoint
from custody.errors import CustodyError
from custody.exchange import Exchange
from custody.kinds import KEY
from custody.note import VerifierKey, parse_note
from custody.policy import Policy
from custody.proof import TlogProof
from custody.registry import Registry
from custody.report import Report
from custody.sealing.header import read_header
from custody.text import from_base64, from_time
from custody.trust import Trust
from custody.verify import verify_bundle
from tests.custody.world import ORIGIN, World, folder, packed, zipped

VECTORS = Path(__file__).parents[1] / "vectors"
PIECES = [
    b"\0", b"\xff", b"\n", b"\r\n", b"\n\n", b"{}", b"[]", b"null", b"true", b"-0", b"1.0", b"9007199254740993", b"1e999", b'"', b"\\ud800",
    b"\xed\xa0\x80", b"__proto__", b"@service", b"..", b"/", b"=", b"==", b"[" * 300, b'{"a":' * 300, b"\xe2\x80\x94 ", b"-> ", b"PK\x01\x02",
    (2**32 - 1).to_bytes(4, "little"), (2**63).to_bytes(8, "big"), b"0" * 5000,
]  # fmt: skip


def text(parse):
    """A reader of text gets text, whatever the bytes: what is not UTF-8 becomes lone surrogates."""
    return lambda data: parse(data.decode("utf-8", "surrogateescape"))


def check_canonical(data):
    assert canonical.encode(canonical.decode(data)) == data


def check_statement(data):
    said = statement.parse(data)
    entries.subject_of(said)
    assert said.envelope == data


def check_entry(data):
    made = entries.parse(data)
    assert canonical.encode(made.fields) == data


def check_match(data):
    entry, _, envelope = data.partition(b"\n")
    made, said = entries.parse(entry), statement.parse(envelope)
    if made.statement_id is not None:
        entries.check_statement(made, said)


def check_key(data):
    record = canonical.decode(data)
    KEY.check(record)
    assert key_records.KeyRecord.parse(record).fields() == record


def check_time(data):
    from_time(data.decode("utf-8", "replace"))


def check_inventory(data):
    for _ in inventory.InventoryReader(io.BytesIO(data)).lines():
        pass


def check_note(data):
    parse_note(data)
    open_checkpoint(data, origin=ORIGIN, log=[key.verifier for key in world().signers])


def check_trust(data):
    assert Trust.parse(data).encode() == data


def check_header(data):
    header = read_header(data)
    sealing.check_header(data, kind="x25519", count=1)
    assert header is not None


def check_spki(data):
    key_records.PublicKey.parse(data).verify(bytes(64), b"")


def check_pem(data):
    key_records.SigningKey.from_pem(data)


@cache
def world():
    return World().exchange()


@cache
def honest():
    return world().bundle()


def check_zip(data):
    """Any bytes as a bundle: a report; the word verified only where the honest files are spelled another way."""
    if verified(data):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == honest()


def check_file(data):
    """One file of an honest bundle replaced, the packing list made to fit: what an operator can hand out."""
    names = sorted(honest())
    name, content = names[data[0] % len(names)] if data else names[0], data[1:]
    if content != honest()[name]:
        verified(packed(honest() | {name: content}) if name != "bundle.json" else honest() | {name: content})


@cache
def pool(op):
    """(entry, statement) of every step of every replay among the vectors."""
    steps = {json.dumps(step): step for given in vectors("records", op) for step in given["steps"]}.values()
    return [(json.loads(step["entry"]), step.get("envelope")) for step in steps]


def check_replay(data):
    """Steps of all replays in any order, entries under any statement: refused one by one, never stumbled over."""
    exchange, registry = Exchange(), Registry("police.nl")
    whole = json.loads((VECTORS / "records" / "exchange-whole.json").read_text(encoding="utf-8"))["input"]["steps"]
    for step in whole[: data[0] % len(whole) if data else 0]:
        said = statement.parse(step["envelope"].encode()) if "envelope" in step else None
        exchange.apply(entries.parse(step["entry"].encode()), said, index=step["index"], registries={})
    for index, (first, second) in enumerate(zip(data[::2], data[1::2], strict=False)):
        for op, take in (("exchange", exchange.apply), ("registry", registry.apply)):
            fields, envelope = pool(op)[first * 7 % len(pool(op))]
            other = pool(op)[second * 5 % len(pool(op))][1] if second % 3 else envelope
            try:
                made = entries.parse(canonical.encode(fields | {"seq": exchange.length}))
                said = statement.parse(other.encode()) if other else None
                if op == "exchange":
                    take(made, said, index=index, registries={"police.nl": registry})
                elif said is not None:
                    take(made, said, index=index)
            except CustodyError:
                continue


def verified(files):
    with folder(files) as path:
        report = verify_bundle(path, world().trust())
    assert isinstance(report, Report)
    json.loads(report.to_json())
    assert report.text()
    return report.verified


TARGETS = {
    "canonical": check_canonical,
    "statement": check_statement,
    "entry": check_entry,
    "match": check_match,
    "key": check_key,
    "spki": check_spki,
    "pem": check_pem,
    "time": check_time,
    "base64": text(from_base64),
    "inventory": check_inventory,
    "note": check_note,
    "checkpoint": text(Checkpoint.parse),
    "vkey": text(VerifierKey.parse),
    "proof": TlogProof.parse,
    "header": check_header,
    "recipient": text(sealing.Recipient.parse),
    "identity": text(sealing.Identity.parse),
    "tile-path": text(tiles.parse_path),
    "entries": lambda data: tiles.parse_entries(data[1:], data[0] + 1 if data else 1),
    "policy": text(Policy.parse),
    "trust": check_trust,
    "batch": batch.parse,
    "leaves": packing.parse_leaves,
    "tail": packing.parse_tail,
    "consistency": packing.parse_consistency,
    "packing": packing.PackingList.parse,
    "replay": check_replay,
    "zip": check_zip,
    "file": check_file,
}
NAMES = list(TARGETS)
SLOW = {"replay", "zip", "file"}


def one(data: bytes) -> None:
    """Give the rest of `data` to the reader that its first byte names; anything but a CustodyError passes through."""
    if not data:
        return
    try:
        TARGETS[NAMES[data[0] % len(NAMES)]](data[1:])
    except CustodyError as error:
        str(error).encode()  # what is said of hostile bytes can be shown


def vectors(folder_name, op, *members):
    for path in sorted((VECTORS / folder_name).glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["op"] == op and all(member in found["input"] for member in members):
            yield found["input"]


@cache
def seeds(name):
    """Inputs that are right, or wrong in one known way."""
    files = honest()
    chain = [file for name_, file in files.items() if name_.startswith("headers/")]
    known = {
        "canonical": lambda: [bytes.fromhex(x["hex"]) for x in vectors("records", "canonical")],
        "statement": lambda: files["statements.jsonl"].splitlines(),  # noqa: PLW0108
        "entry": lambda: files["entries.jsonl"].splitlines(),  # noqa: PLW0108
        "match": lambda: [f"{x['entry']}\n{x['envelope']}".encode() for x in vectors("records", "match")],
        "key": lambda: [canonical.dump(x["record"]) for x in vectors("records", "key")],
        "spki": lambda: [from_base64(x["record"]["public"]) for x in vectors("records", "key") if x["record"]["public"].startswith("M") and len(x["record"]["public"]) % 4 == 0],
        "pem": lambda: [world().police.key.to_pem(), world().police.login.to_pem()],
        "time": lambda: [b"2026-11-22T10:00:00.000000Z"],
        "base64": lambda: [b"AAECAw==", b"/+8="],
        "inventory": lambda: [from_base64(x["file"]) for x in vectors("records", "inventory")],
        "note": lambda: [files["checkpoint"], *(x["note"].encode() for x in vectors("log", "note"))],
        "checkpoint": lambda: [x["text"].encode() for x in vectors("log", "checkpoint")],
        "vkey": lambda: [x["text"].encode() for x in vectors("log", "vkey")],
        "proof": lambda: [x["proof"].encode() for x in vectors("log", "proof")],
        "header": lambda: chain,
        "recipient": lambda: [str(world().police.identity.recipient).encode(), str(sealing.generate_identity().recipient).encode()],
        "identity": lambda: [str(world().police.identity).encode()],
        "tile-path": lambda: [x["path"].encode() for x in vectors("log", "tile-path")],
        "entries": lambda: [bytes([x["width"] - 1]) + bytes.fromhex(x["data"]) for x in vectors("log", "entries")],
        "policy": lambda: [x["text"].encode() for x in vectors("log", "policy")],
        "trust": lambda: [world().trust().encode()],
        "batch": lambda: [files["inclusion"]],
        "leaves": lambda: [files["leaves.jsonl"]],
        "tail": lambda: [files["tail.json"]],
        "consistency": lambda: [data for name_, data in files.items() if name_.startswith("consistency/")],
        "packing": lambda: [files["bundle.json"]],
        "replay": lambda: [random.Random(number).randbytes(60) for number in range(20)],
        "zip": lambda: [zipped(files), zipped(files, compress=True)],
        "file": lambda: [bytes([place]) + files[name_] for place, name_ in enumerate(sorted(files))],
    }  # fmt: skip
    return [*known[name](), b""]


def mutated(rng, data):
    """`data` changed in one to four ways."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(found))
        end = min(len(found), at + rng.choice([1, 1, 2, 8, 64, 1000]))
        match rng.randrange(8):
            case 0 if found:
                found[at % len(found)] ^= 1 << rng.randrange(8)
            case 1 if found:
                found[at % len(found)] = rng.randrange(256)
            case 2:
                del found[at:end]
            case 3:
                found[at:at] = found[at:end] * rng.choice([1, 2, 40])
            case 4:
                found[at:at] = rng.choice(PIECES)
            case 5:
                found[at:end] = rng.choice(PIECES)
            case 6:
                found[at:at] = rng.randbytes(rng.choice([1, 4, 64]))
            case _:
                swap_values(rng, found)
    return bytes(found)


def swap_values(rng, found):
    """One JSON-like token put in another's place: stays well-formed more often than bits do."""
    ends = [place for place, byte in enumerate(found) if byte in b',:{}[]"\n ']
    if len(ends) > 3:
        first, second = sorted(rng.sample(range(len(ends) - 1), 2))
        piece = found[ends[first] : ends[first + 1]]
        found[ends[second] : ends[second + 1]] = piece


def run(seconds, seed, only=None):
    """Mutate until time is up; the number of inputs tried for each reader."""
    rng, tried = random.Random(seed), dict.fromkeys(only or NAMES, 0)
    names = [name for name in tried for _ in range(1 if name in SLOW else 8)]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        tried[attempt(rng, rng.choice(names))] += 1
    return tried


def attempt(rng, name):
    """Give a reader something that was right and is changed now; its name."""
    data = bytes([NAMES.index(name)]) + mutated(rng, rng.choice(seeds(name)))
    try:
        one(data)
    except BaseException:
        print(f"reader {name}, input {data.hex()}", file=sys.stderr)
        raise
    return name


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--only", action="append", choices=NAMES)
    parser.add_argument("--input", type=bytes.fromhex)
    args = parser.parse_args()
    if args.input is not None:
        one(args.input)
        return
    print(f"seed {args.seed}")
    for name, count in run(args.seconds, args.seed, args.only).items():
        print(f"{count:8} {name}")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10:8} MiB at most")


if __name__ == "__main__":
    main()
