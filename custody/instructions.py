"""The texts that lie in a bundle for people who have no verifier at hand: verify.md, and an export's readme.md."""

from typing import Final

VERIFY: Final = """\
# Checking this bundle by hand

You need `sha256sum`, `openssl` 3 or newer, and Python 3 for one-liners that only unpack ZIP, hex and base64. `age`
opens sealed items. Everything below works without the service that made the bundle, and without a network.

Log: `{log}`
Chain: `{chain}`
Tree size: {size}

What you need **from elsewhere**, never from this bundle: the public key of the log, and the key id (fingerprint) of a
founding key of each authority. Your authority has both in its trust file. A bundle that brings its own keys proves
nothing.

The program `rogatory verify BUNDLE --trust FILE` makes all the checks below and many more. These steps are for
those who want to see the essentials with tools that somebody else wrote.

## 0. Unpack

```
python3 -m zipfile -e bundle.zip bundle
cd bundle
```

## 1. Is the copy undamaged?

`bundle.json` lists every file with its SHA-256. It is a packing list, no evidence: it finds damage, not deceit.

```
python3 -c 'import json
for f in json.load(open("bundle.json"))["files"]: print(f["sha256"] + "  " + f["path"])' | sha256sum -c
```

## 2. The chain of entries

Each line of `entries.jsonl` is one entry, byte for byte as it was hashed. `prev` of each entry is the SHA-256 of the
line before it, without its line feed:

```
python3 -c 'import json, hashlib
before, number = "00" * 32, -1
for line in open("entries.jsonl", "rb").read().splitlines():
    entry = json.loads(line)
    if entry["seq"] == number + 1 and entry["prev"] != before: print("BROKEN before", entry["seq"])
    before, number = hashlib.sha256(line).hexdigest(), entry["seq"]
print("last entry", number, "has SHA-256", before)'
```

One entry alone, for instance the first:

```
head -n 1 entries.jsonl | tr -d '\\n' | sha256sum
```

## 3. Who signed an act

An entry with `statement` was caused by a party, who signed it. Take the statement's `id` from the entry, then write
what was signed, the signature and its key id into files (put the id in place of ID):

```
python3 -c 'import sys, json, base64, hashlib
for line in open("statements.jsonl"):
    e = json.loads(line); body = base64.b64decode(e["payload"]); kind = e["payloadType"].encode()
    pae = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)
    if hashlib.sha256(pae).hexdigest() == sys.argv[1]:
        open("signed.bin", "wb").write(pae)
        open("signature.bin", "wb").write(base64.b64decode(e["signatures"][0]["sig"]))
        print("key", e["signatures"][0]["keyid"]); print(body.decode())' ID
```

This must print the id:

```
sha256sum signed.bin
```

The key stands in the registry of the signer's authority: a statement of
kind `enrolment` or `key` (also in `statements.jsonl`) has it as `{{"id": …, "public": …}}`. Write its public key
(base64, put it in place of PUBLIC) to a file, check that its SHA-256 is the key id, and check the signature:

```
echo 'PUBLIC' | base64 -d > key.der
sha256sum key.der
openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in signed.bin -sigfile signature.bin
```

The enrolment of that key is itself a signed statement. Follow it back to seq 0 of `registry/<authority>/entries.jsonl`,
whose statement names the founding keys, and compare one of their key ids with the fingerprint you have from elsewhere.

## 4. The log's signature on the checkpoint

`checkpoint` is a text, a blank line, and signatures. The root in its third line commits to every entry here. The first
signature line by the log is Ed25519 over the text:

```
python3 -c 'import base64
text, _, lines = open("checkpoint", encoding="utf-8").read().rpartition("\\n\\n")
open("text.bin", "wb").write((text + "\\n").encode())
for line in lines.splitlines():
    _, name, data = line.split(" "); raw = base64.b64decode(data)
    if len(raw) == 68 and name == text.splitlines()[0]:
        open("log.sig", "wb").write(raw[4:])'
```

The log's key, as your trust file has it, is `<name>+<id>+<base64>`; put the base64 part in place of LOGKEY:

```
python3 -c 'import sys, base64
raw = base64.b64decode(sys.argv[1]); assert raw[0] == 1 and len(raw) == 33
open("log.der", "wb").write(bytes.fromhex("302a300506032b6570032100") + raw[1:])' LOGKEY
openssl pkeyutl -verify -pubin -keyform DER -inkey log.der -rawin -in text.bin -sigfile log.sig
```

## 5. The entries stand in that log

`leaves.jsonl` has a line for each entry of the chain, disclosed or not. This puts every leaf of the bundle and the
hashes of `inclusion` together into a root, and compares it with the checkpoint's:

```
python3 -c 'import json, glob, base64, hashlib
H = lambda b: hashlib.sha256(b).digest(); x = bytes.fromhex
log, size, root = open("checkpoint", encoding="utf-8").read().splitlines()[:3]; size = int(size); leaves = {{}}
for name in glob.glob("leaves.jsonl") + glob.glob("registry/*/leaves.jsonl") + glob.glob("service/leaves.jsonl"):
    for line in open(name):
        l = json.loads(line); c = H(b"rogatory/leaf/v1\\0" + x(l["salt"]) + x(l["hash"]))
        leaves[l["index"]] = H(b"\\0\\1" + x(l["label"]) + c)
for name in glob.glob("tail.json") + glob.glob("registry/*/tail.json"):
    leaves[size - 1] = H(b"\\0\\2" + x(json.load(open(name))["root"]))
rest = [base64.b64decode(h) for h in open("inclusion").read().splitlines()[2:]]; w = sorted(leaves)
import bisect
def R(lo, hi):
    if bisect.bisect_left(w, lo) == bisect.bisect_left(w, hi): return rest.pop(0)
    if hi - lo == 1: return leaves[lo]
    m = lo + (1 << (hi - lo - 1).bit_length() - 1); return H(b"\\1" + R(lo, m) + R(m, hi))
print("RIGHT" if R(0, size) == base64.b64decode(root) and not rest else "WRONG")'
```

Then see that the entries are those the leaves speak of: `hash` in a line of `leaves.jsonl` is the SHA-256 of the entry
with the same `seq` (step 2 prints it for the last). A line without an entry stands for one that was withheld.

## 6. The evidence itself

A downloaded item is an age file. With the recipient's secret key (a file, in place of IDENTITY) `age` opens it; for a
key that begins with `AGE-SECRET-KEY-PQ` this takes version 1.3 or newer:

```
age -d -i IDENTITY ITEM.age > plain
```

The manifest (statement of the entry `package.sealed`, step 3) has for each item the digests of its *body*, which is the
file without its header; the header ends with the line that begins with `---`:

```
python3 -c 'import sys
data = open(sys.argv[1], "rb"); line = data.readline()
while not line.startswith(b"---"): line = data.readline()
while piece := data.read(1 << 20): sys.stdout.buffer.write(piece)' ITEM.age | sha256sum
```

must print `sha256` of that item in the manifest. The receipt (entry `receipt.signed`) repeats it in the words of the
receiving authority, under its own signature.

## What these steps do not show

That nobody was shown another history, that no later entry is kept from you, that keys were not revoked before they
signed, that times are right: for these, use the program, a trust file with witnesses, and `--since` or `--mirror`.
"""

README: Final = """\
# Export of a custody log

Log: `{log}`
Chain: `{chain}`
Tree size: {size}

`entries.csv` shows the entries of `entries.jsonl` as a table for people. A cell that a spreadsheet would take for a
formula has an apostrophe in front. The table is a convenience; the evidence are `entries.jsonl` (the exact bytes),
`statements.jsonl` (what the parties signed) and the proofs beside them. Names and contents of evidence are in none of
these files: the service does not know them.

Check all of it, the table included, with `rogatory verify EXPORT --trust FILE`; `verify.md` tells how to check the
essentials by hand.
"""


def verify_text(*, log: str, chain: str, size: int) -> bytes:
    """The bytes of verify.md."""
    return VERIFY.format(log=log, chain=chain, size=size).encode()


def readme_text(*, log: str, chain: str, size: int) -> bytes:
    """The bytes of readme.md in an export."""
    return README.format(log=log, chain=chain, size=size).encode()
