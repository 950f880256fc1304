"""Write tests/vectors/log: one fact a file, from the reference alone.

Run from the checkout: `python tests/vectors/generate_log.py`. ML-DSA-44 signatures are randomised, so the one
that the vectors need lies beside this file and is only made anew when it is absent.
"""

import base64
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from tests import reference as ref
from tests.vectors import log_more

HERE = Path(__file__).parent
MLDSA44_SIGNATURE = HERE / "log_mldsa44.b64"

ORIGIN = "evidence.example.org/log"
HANDLE = bytes([1] * 32)
ENTRIES = [b'{"seq":0}', b'{"seq":1}', b'{"seq":2}']
SALTS = [bytes([x] * 32) for x in (0xA0, 0xA1, 0xA2)]
HASHES = [ref.h(x) for x in ENTRIES]
LABELS = [ref.first_label(ORIGIN, HANDLE), *map(ref.next_label, SALTS, HASHES)]
LEAVES = [
    *(ref.entry_leaf(x, ref.commitment(s, y)) for x, s, y in zip(LABELS[:3], SALTS, HASHES, strict=True)),
    ref.tail_leaf(ref.tail_root(LABELS[:3])),
]
SEVEN = [bytes([i]) for i in range(7)]
NOW = 1_700_000_000

# The values that the specification prints. The reference must arrive at each of them.
PRINTED = {
    "label-0": "1c71329e70b3eae9b7ce50f948b5950352b570306de7e8ea64fd04043253f7c6",
    "label-1": "5475649d540ffab76d0806821f97da0f032b92b24e049550e864a43c59b3d33c",
    "label-2": "9377b3c10743cacfc0befce7b0a295d49aafe201cffa92ac7821976c2aac5cca",
    "label-3": "5ccae1b453242e055655ceda4c9e67bf92ed15de2758b46831cfbcbf32e48752",
    "commitment-0": "a7eea496bbf07d4a0e25819314f2de3a5b09fe5fa6500ce1163c1b357be54909",
    "commitment-1": "766e1c04b1368818bd2fc5e50c9bae55e4e669c2b3a9e15cdb346ae77a2d0025",
    "commitment-2": "9544b038e358b856d4d3e58a553a80dcbcf53a4e7ac287c5f491a9acbfd4a2c8",
    "tail-root-of-no-labels": "f27815d173ff44959dc7f08284b57a28a18b7c329d3f7c2ff98fabcce0651c80",
    "tail-root-of-three-labels": "9ae340f2867cadebd1c52214bf67b7d2539c5950260f146216ff40fd12c46d14",
    "log-root-of-size-4": "4389f7dafdad02f5af5801086d21940961465f4a369ae83c3d265ce0349c267b",
    "root-of-seven-leaves": "3560191803028444b232018ac047fdb561c09c23a7a6876c85e08b5e4d48e9f3",
    "bucket-head-of-two-labels": "b7fbf12930cea97a25b4d52561170aa50e2037ecaec48a13f5aede4be2efc0ba",
    "tail-root-of-two-labels-in-one-bucket": "513326b1d324775988687813578df5b7d8f86081766951fe0068f0417a80f6da",
    "handle-of-the-service-chain": "f19d9265fcbc9cdec8e0397f04130a2426ed41b39dcfe1a4e26506f33852d1e4",
}
PRINTED_BATCH = [
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "52c56b473e5246933e7852989cd9feba3b38f078742b93afff1e65ed46797825",
    "9f1afa4dc124cba73134e82ff50f17c8f7164257c79fed9a13f5943a6acb8e3d",
    "40d88127d4d31a3891f41598eeed41174e5bc89b1eb9bbd66a8cbfc09956a3fd",
]
IN_ONE_BUCKET = [b"\x12\x34" + bytes([i] * 30) for i in (1, 2)]
ABSENT = b"\x12\x34" + bytes([3] * 30)


def hexes(values):
    return [x.hex() for x in values]


def flip(value):
    return bytes([value[0] ^ 1]) + value[1:]


class Vectors(dict):
    def add(self, name, op, about, data, *, expect="ok", output=None):
        if name in self:
            raise ValueError(f"two vectors are named {name}")
        vector = {"about": about, "op": op, "input": data, "expect": expect}
        if output is not None:
            vector["output"] = output
        self[name] = vector

    def printed(self, name, op, data, value):
        if value.hex() != PRINTED[name]:
            raise ValueError(f"{name}: the reference finds {value.hex()}")
        self.add(f"printed-{name}", op, "a value that the specification prints", data, output=PRINTED[name])


def printed_values(v):
    v.printed("label-0", "first-label", {"origin": ORIGIN, "handle": HANDLE.hex()}, LABELS[0])
    for k in (1, 2, 3):
        data = {"salt": SALTS[k - 1].hex(), "hash": HASHES[k - 1].hex()}
        v.printed(f"label-{k}", "next-label", data, LABELS[k])
    for k in (0, 1, 2):
        data = {"salt": SALTS[k].hex(), "hash": HASHES[k].hex()}
        v.printed(f"commitment-{k}", "commitment", data, ref.commitment(SALTS[k], HASHES[k]))
    v.printed("tail-root-of-no-labels", "tail-root", {"labels": []}, ref.tail_root([]))
    v.printed("tail-root-of-three-labels", "tail-root", {"labels": hexes(LABELS[:3])}, ref.tail_root(LABELS[:3]))
    v.printed("log-root-of-size-4", "root", {"leaves": hexes(LEAVES)}, ref.mth(LEAVES))
    v.printed("root-of-seven-leaves", "root", {"leaves": hexes(SEVEN)}, ref.mth(SEVEN))
    v.printed("bucket-head-of-two-labels", "bucket-head", {"labels": hexes(IN_ONE_BUCKET)}, ref.head(IN_ONE_BUCKET))
    root = ref.tail_root(IN_ONE_BUCKET)
    v.printed("tail-root-of-two-labels-in-one-bucket", "tail-root", {"labels": hexes(IN_ONE_BUCKET)}, root)
    service = ref.registry_handle(ORIGIN, "@service")
    data = {"origin": ORIGIN, "authority": "@service"}
    v.printed("handle-of-the-service-chain", "registry-handle", data, service)
    if hexes(ref.batch([1, 4], SEVEN)) != PRINTED_BATCH:
        raise ValueError("the batch proof is not the printed one")
    about = "the batch proof that the specification prints"
    data = {"indices": [1, 4], "leaves": hexes(SEVEN)}
    v.add("printed-batch-proof", "batch-proof", about, data, output=PRINTED_BATCH)


def leaves(v):
    def parsed(name, about, data, expect="ok"):
        v.add(f"leaf-{name}", "leaf", about, {"data": data.hex()}, expect=expect)

    bad = "leaf-malformed"
    parsed("entry", "0x01, label, commitment: 65 bytes", LEAVES[0])
    parsed("tail", "0x02, tail root: 33 bytes", LEAVES[3])
    parsed("empty", "no data", b"", bad)
    parsed("of-type-0", "an unknown first byte", bytes(65), bad)
    parsed("of-type-3", "an unknown first byte", b"\x03" + bytes(64), bad)
    parsed("entry-too-short", "64 bytes", LEAVES[0][:-1], bad)
    parsed("entry-too-long", "66 bytes", LEAVES[0] + b"\x00", bad)
    parsed("tail-too-short", "32 bytes", LEAVES[3][:-1], bad)
    parsed("tail-of-entry-length", "0x02 with 64 bytes", b"\x02" + bytes(64), bad)
    data = {"origin": ORIGIN, "authority": "be.example"}
    handle = ref.registry_handle(ORIGIN, "be.example").hex()
    v.add("registry-handle-of-an-authority", "registry-handle", "anyone can compute it", data, output=handle)


def inclusion(v):
    def proven(name, about, expect="ok", *, index=2, size=7, data=None, **change):
        tree = SEVEN[:size]
        case = {
            "index": index,
            "size": size,
            "leaf": ref.h(b"\x00" + (data or tree[index])),
            "path": ref.path(index, tree),
            "root": ref.mth(tree),
        } | change
        case |= {"leaf": case["leaf"].hex(), "path": hexes(case["path"]), "root": case["root"].hex()}
        v.add(f"inclusion-{name}", "inclusion", about, case, expect=expect)

    shape, wrong = "proof-malformed", "root-mismatch"
    good = ref.path(2, SEVEN)
    for size in range(1, 8):
        for index in {0, size // 2, size - 1}:
            proven(f"of-{index}-in-{size}", "a right proof", index=index, size=size)
    proven("with-a-changed-leaf", "the leaf hash differs in one bit", wrong, leaf=flip(ref.h(b"\x00" + SEVEN[2])))
    proven("with-a-changed-root", "the root differs in one bit", wrong, root=flip(ref.mth(SEVEN)))
    proven(
        "with-a-changed-hash", "a hash of the path differs in one bit", wrong, path=[good[0], flip(good[1]), good[2]]
    )
    proven("with-swapped-hashes", "two hashes of the path change places", wrong, path=[good[1], good[0], good[2]])
    proven("at-another-index", "the right leaf, said to stand one place on", wrong, index=3, data=SEVEN[2], path=good)
    proven("too-long", "one hash more", shape, path=[*good, bytes(32)])
    proven("too-short", "one hash less", shape, path=good[:-1])
    proven("with-index-equal-to-size", "a place outside the tree", shape, size=7, path=good, leaf=bytes(32), index=6)
    v["inclusion-with-index-equal-to-size"]["input"]["index"] = 7
    proven("in-an-empty-tree", "size 0", shape, path=[], leaf=bytes(32))
    v["inclusion-in-an-empty-tree"]["input"] |= {"index": 0, "size": 0}
    proven("with-a-short-hash", "a hash of 31 bytes", shape, path=[good[0], good[1], good[2][:-1]])
    proven("of-the-data-instead-of-its-hash", "the leaf's data without the leaf prefix", wrong, leaf=ref.h(SEVEN[2]))
    grown = [*LEAVES, ref.entry_leaf(LABELS[3], bytes(32)), ref.tail_leaf(ref.tail_root(LABELS))]
    earlier = {
        "index": 5,
        "size": 6,
        "leaf": ref.h(b"\x00" + LEAVES[3]).hex(),
        "path": hexes(ref.path(5, grown)),
        "root": ref.mth(grown).hex(),
    }
    about = "an earlier tail leaf is passed off as the last leaf, to hide a label logged since"
    v.add("inclusion-of-an-earlier-tail-leaf-as-the-last", "inclusion", about, earlier, expect=wrong)


def consistency(v):
    def grown(name, about, expect="ok", *, size1=3, size2=7, **change):
        case = {
            "size1": size1,
            "size2": size2,
            "root1": ref.mth(SEVEN[:size1]),
            "root2": ref.mth(SEVEN[:size2]),
            "path": ref.proof(size1, SEVEN[:size2]) if 0 < size1 <= size2 else [],
        } | change
        case |= {"root1": case["root1"].hex(), "root2": case["root2"].hex(), "path": hexes(case["path"])}
        v.add(f"consistency-{name}", "consistency", about, case, expect=expect)

    shape, wrong = "proof-malformed", "root-mismatch"
    good = ref.proof(3, SEVEN)
    for size1, size2 in [(1, 1), (1, 2), (2, 3), (3, 4), (3, 7), (4, 7), (6, 7), (7, 7)]:
        grown(f"from-{size1}-to-{size2}", "a right proof", size1=size1, size2=size2)
    grown("with-a-changed-old-root", "the old root differs in one bit", wrong, root1=flip(ref.mth(SEVEN[:3])))
    grown("with-a-changed-new-root", "the new root differs in one bit", wrong, root2=flip(ref.mth(SEVEN)))
    grown("with-a-changed-hash", "a hash differs in one bit", wrong, path=[flip(good[0]), *good[1:]])
    grown("too-long", "one hash more", shape, path=[*good, bytes(32)])
    grown("too-short", "one hash less", shape, path=good[:-1])
    grown("empty", "no hash where some are due", shape, path=[])
    grown("from-nothing", "size 0 would prove nothing", shape, size1=0)
    grown("backwards", "the old tree is larger", shape, size1=7, size2=3)
    grown("of-equal-sizes-with-a-path", "equal sizes need no hash", shape, size1=7, path=[bytes(32)])
    other = {"size1": 7, "root1": ref.mth(SEVEN[::-1])}
    grown("of-equal-sizes-with-other-roots", "one size, two roots: a split view", wrong, **other)


def absence(v):
    def absent(name, about, expect="ok", *, labels=None, label=ABSENT, **change):
        logged = IN_ONE_BUCKET if labels is None else labels
        bucket = ref.bucket_of(label)
        case = {
            "label": label,
            "root": ref.tail_root(logged),
            "bucket": [x for x in logged if ref.bucket_of(x) == bucket],
            "path": ref.tail_path(logged, bucket),
        } | change
        case |= {"label": case["label"].hex(), "root": case["root"].hex()}
        case |= {"bucket": hexes(case["bucket"]), "path": hexes(case["path"])}
        v.add(f"absence-{name}", "absence", about, case, expect=expect)

    one, two = IN_ONE_BUCKET
    stray = b"\x12\x35" + bytes(30)
    path = ref.tail_path(IN_ONE_BUCKET, 0x1234)
    absent("of-a-successor", "nothing follows entry 2", labels=LABELS[:3], label=LABELS[3])
    absent("in-an-empty-log", "no label at all", labels=[])
    absent("beside-two-labels", "two others share the bucket")
    absent(
        "of-a-label-that-is-there",
        "the successor stands in the bucket",
        "label-present",
        labels=[*IN_ONE_BUCKET, ABSENT],
    )
    absent("with-a-label-dropped", "the bucket lacks a label", "tail-mismatch", bucket=[one])
    absent(
        "with-the-successor-dropped",
        "the very label is left out",
        "tail-mismatch",
        labels=[one, ABSENT, two],
        bucket=[one, two],
    )
    absent("with-a-label-doubled", "a label is told twice", "tail-mismatch", bucket=[one, two, two])
    absent("with-labels-swapped", "log order is not kept", "tail-mismatch", bucket=[two, one])
    absent("with-a-label-of-another-bucket", "a label is added", "tail-mismatch", bucket=[one, two, stray])
    absent("where-the-log-holds-a-label-twice", "the log itself forked", "label-twice", labels=[one, one])
    heads_of_stray = ref.tail_of_heads({0x1234: ref.head([stray])})
    absent(
        "where-the-log-misplaced-a-label",
        "the log itself chained a label into another's bucket",
        "label-misplaced",
        labels=[],
        bucket=[stray],
        root=heads_of_stray,
    )
    absent("under-another-root", "the tail root of another size", "tail-mismatch", root=ref.tail_root([one]))
    absent("with-a-changed-path", "a path hash differs in one bit", "tail-mismatch", path=[*path[:15], flip(path[15])])
    absent("with-a-short-path", "15 hashes", "tail-malformed", path=path[:15])
    absent("with-a-short-label", "a label of 31 bytes", "tail-malformed", bucket=[one, two[:31]])


def batches(v):
    hashes, root = ref.batch([1, 4], SEVEN), ref.mth(SEVEN)

    def batched(name, about, expect="ok", *, indices=(1, 4), tree=SEVEN, proof=None, leaf_of=None):
        file = ref.batch_file(len(tree), ref.batch(indices, tree) if proof is None else proof).decode()
        named = {str(i): ref.h(b"\x00" + tree[(leaf_of or {}).get(i, i)]).hex() for i in indices}
        data = {"file": file, "leaves": named, "root": ref.mth(tree).hex()}
        v.add(f"batch-{name}", "batch", about, data, expect=expect)

    batched("of-two", "two of seven leaves")
    batched("of-all", "every leaf: no hash is needed", indices=range(7))
    batched("of-one", "as an inclusion proof from left to right", indices=(5,))
    batched("of-the-last", "the last leaf of an unbalanced tree", indices=(6,))
    batched("of-the-only-leaf", "a tree of one leaf", indices=(0,), tree=SEVEN[:1])
    batched("with-a-hash-left-over", "one hash more", "batch-mismatch", proof=[*hashes, hashes[0]])
    batched("with-a-hash-missing", "one hash less", "batch-mismatch", proof=hashes[:-1])
    batched(
        "with-hashes-swapped", "two hashes change places", "root-mismatch", proof=[hashes[1], hashes[0], *hashes[2:]]
    )
    about = "hashes in the order of indices 4, 1"
    batched("with-hashes-for-unsorted-indices", about, "root-mismatch", proof=hashes[2:] + hashes[:2])
    batched("with-another-leaf", "leaf 2 in the place of leaf 1", "root-mismatch", leaf_of={1: 2})
    v.add(
        "batch-with-the-hash-and-salt-of-another-chain",
        "batch",
        "a withheld entry is covered up by an entry of another chain: its commitment does not stand at that place",
        {
            "file": ref.batch_file(4, ref.batch([1, 3], LEAVES)).decode(),
            "leaves": {
                "1": ref.h(b"\x00" + ref.entry_leaf(LABELS[1], ref.commitment(bytes(32), ref.h(b"other")))).hex(),
                "3": ref.h(b"\x00" + LEAVES[3]).hex(),
            },
            "root": ref.mth(LEAVES).hex(),
        },
        expect="root-mismatch",
    )
    data = {"file": ref.batch_file(7, [root]).decode(), "leaves": {}, "root": root.hex()}
    v.add("batch-of-none", "batch", "a batch without a leaf proves nothing", data, expect="batch-malformed")
    data = {"indices": [4, 1], "leaves": hexes(SEVEN)}
    v.add("batch-proof-of-unsorted-indices", "batch-proof", "indices ascend", data, expect="batch-malformed")

    def file(name, about, text, expect="batch-malformed"):
        v.add(f"batch-file-{name}", "batch-file", about, {"file": text}, expect=expect)

    good = ref.batch_file(7, hashes).decode()
    file("good", "header, size, hashes", good, "ok")
    file("without-a-hash", "every leaf is named", ref.batch_file(7, []).decode(), "ok")
    file("of-another-version", "v2 in the header", good.replace("/v1", "/v2"))
    file("without-its-last-line-end", "cut by one byte", good[:-1])
    file("with-a-blank-line", "a line without a hash", good + "\n")
    file("with-a-size-of-leading-zero", "07", good.replace("\n7\n", "\n07\n"), "decimal-malformed")
    file("with-a-hash-of-31-bytes", "too short", ref.batch_file(7, [bytes(31)]).decode())
    file(
        "with-stray-bits-in-base64",
        "unused bits that are not zero",
        ref.batch_file(7, [bytes(32)]).decode().replace("A=", "B="),
    )
    file("with-carriage-returns", "line ends are one byte", good.replace("\n", "\r\n"))


def ed25519(v):
    def checked(name, about, public, signature, expect="signature-invalid", message=b"message"):  # noqa: PLR0917
        data = {"public": public.hex(), "signature": signature.hex(), "message": message.hex()}
        v.add(f"ed25519-{name}", "ed25519", about, data, expect=expect)

    def enrolled(name, about, public, expect="public-key-refused"):
        v.add(f"ed25519-key-{name}", "ed25519-key", about, {"public": public.hex()}, expect=expect)

    message, secret = b"message", 0x1234567890ABCDEF
    key = ref.times(secret, ref.BASE_POINT)
    a, nonce = ref.encoded(key), 77
    point = ref.times(nonce, ref.BASE_POINT)

    def sign(r):
        return ref.signed(r, nonce + ref.challenge(r, a, message) * secret)

    good = sign(ref.encoded(point))
    checked("good", "a right signature", a, good, "ok")
    checked("of-another-message", "the message differs", a, good, message=b"Message")
    checked("too-short", "63 bytes", a, good[:-1])
    s = int.from_bytes(good[32:], "little") + ref.L
    checked("with-s-above-the-order", "S + L in the place of S", a, good[:32] + s.to_bytes(32, "little"))
    mixed = ref.encoded(ref.plus(point, ref.SMALL[1]))
    checked("with-a-mixed-order-r", "holds only if both sides are multiplied by the cofactor", a, sign(mixed))
    neutral = ref.encoded(ref.NEUTRAL)
    small_r = ref.signed(neutral, ref.challenge(neutral, a, message) * secret)
    checked("with-a-small-order-r", "adds up byte for byte, and is refused", a, small_r)
    small_a = ref.signed(ref.encoded(point), nonce)
    checked("with-a-small-order-key", "the neutral point as key: adds up for every message", neutral, small_a)
    alias = (1 + ref.P).to_bytes(32, "little")
    checked("with-a-key-not-canonical", "y is p + 1", alias, small_a)
    checked(
        "with-an-r-not-canonical", "y of R is p + 1", a, ref.signed(alias, ref.challenge(alias, a, message) * secret)
    )
    enrolled("good", "of the prime-order group", a, "ok")
    enrolled("neutral", "small order", neutral)
    enrolled("of-order-8", "small order", ref.encoded(ref.SMALL[1]))
    enrolled("of-mixed-order", "a good key plus a point of order 8", ref.encoded(ref.plus(key, ref.SMALL[1])))
    enrolled("not-canonical", "y is p + 3", (3 + ref.P).to_bytes(32, "little"))
    off_curve = next(y for y in range(2, 99) if ref.with_y(y) is None)
    enrolled("off-the-curve", "no x for this y", off_curve.to_bytes(32, "little"))


ED = Ed25519PrivateKey.from_private_bytes(bytes([7] * 32))
WITNESS = Ed25519PrivateKey.from_private_bytes(bytes([8] * 32))
PQ = MLDSA44PrivateKey.from_seed_bytes(bytes([9] * 32))
ED_PUBLIC, WITNESS_PUBLIC, PQ_PUBLIC = (x.public_key().public_bytes_raw() for x in (ED, WITNESS, PQ))
TEXT = ref.checkpoint(ORIGIN, 4, ref.mth(LEAVES))
VKEYS = {
    "log": ref.vkey(ORIGIN, 1, ED_PUBLIC),
    "witness": ref.vkey("witness.example/1", 4, WITNESS_PUBLIC),
    "pq": ref.vkey(ORIGIN, 6, PQ_PUBLIC),
}


def mldsa44_signature():
    message = ref.mldsa44_cosigned(ORIGIN, NOW, ORIGIN, 4, ref.mth(LEAVES))
    if not MLDSA44_SIGNATURE.exists():
        MLDSA44_SIGNATURE.write_text(ref.b64(PQ.sign(message)) + "\n")
    signature = base64.b64decode(MLDSA44_SIGNATURE.read_text())
    PQ.public_key().verify(signature, message)
    return signature


def log_line(text=TEXT):
    return ref.line(ORIGIN, 1, ED_PUBLIC, ED.sign(text.encode()))


def witness_line(text=TEXT, time=NOW, signed_time=NOW):
    payload = time.to_bytes(8, "big") + WITNESS.sign(ref.ed25519_cosigned(signed_time, text))
    return ref.line("witness.example/1", 4, WITNESS_PUBLIC, payload)


def pq_line():
    return ref.line(ORIGIN, 6, PQ_PUBLIC, NOW.to_bytes(8, "big") + mldsa44_signature())


def notes(v):
    def opened(name, about, note, keys=("log",), expect="ok", output=None):  # noqa: PLR0917
        data = {"note": note, "keys": [VKEYS[x] for x in keys]}
        v.add(f"note-{name}", "note", about, data, expect=expect, output=output)

    bad = "note-malformed"
    log, stranger = log_line(), "\u2014 stranger " + ref.b64(bytes(68))
    opened("of-a-log", "one Ed25519 signature", ref.note(TEXT, [log]), output=[[ORIGIN, None]])
    three = ref.note(TEXT, [log, pq_line(), witness_line()])
    output = [[ORIGIN, None], [ORIGIN, NOW], ["witness.example/1", NOW]]
    opened("with-every-type", "0x01, 0x06 and 0x04", three, ("log", "pq", "witness"), output=output)
    opened("with-a-stranger", "an unknown key is ignored", ref.note(TEXT, [stranger, log]), output=[[ORIGIN, None]])
    opened("by-a-stranger", "no known key signed", ref.note(TEXT, [stranger]), expect="not-signed")
    other = ref.checkpoint(ORIGIN, 5, ref.mth(LEAVES))
    opened("with-another-text", "signed over another size", ref.note(other, [log]), expect="signature-invalid")
    both = ref.note(TEXT, [log, witness_line(time=NOW + 1)])
    opened("with-a-changed-time", "a known key that fails refuses all", both, ("log", "witness"), "signature-invalid")
    renamed = three.replace(TEXT.split("\n")[1] + "\n", "5\n", 1)
    opened("with-a-pq-cosignature-of-another-size", "one size on", renamed, ("pq",), "signature-invalid")
    zero = ref.note(TEXT, [log, witness_line(time=0, signed_time=0)])
    opened("with-a-time-of-zero", "a cosignature states a time", zero, ("log", "witness"), "cosignature-malformed")
    hello = ref.line("witness.example/1", 4, WITNESS_PUBLIC, bytes(7) + b"\x01" + bytes(64))
    opened(
        "with-a-cosigned-text-that-is-no-checkpoint",
        "one line",
        ref.note("hello\n", [hello]),
        ("witness",),
        "checkpoint-malformed",
    )
    opened("with-one-key-twice", "one name and key id on two lines", ref.note(TEXT, [log, log]), expect=bad)
    opened("without-a-signature", "text and blank line only", ref.note(TEXT, []), expect=bad)
    opened("without-a-blank-line", "no blank line", TEXT + log + "\n", expect=bad)
    opened("without-its-last-line-end", "cut by one byte", ref.note(TEXT, [log])[:-1], expect=bad)
    opened("with-a-carriage-return", "a control character", ref.note(TEXT, [log]).replace("\n", "\r\n", 1), expect=bad)
    opened("with-a-hyphen-for-the-dash", "not U+2014", ref.note(TEXT, [log.replace("\u2014", "-")]), expect=bad)
    stray = "\u2014 stranger AAAAAAB="
    opened("with-stray-bits-in-base64", "even a stranger's", ref.note(TEXT, [log, stray]), expect="text-malformed")
    opened(
        "with-a-plus-in-a-name",
        "a name that no vkey has",
        ref.note(TEXT, [log, stranger.replace("er", "+")]),
        expect=bad,
    )

    def vkey(name, about, text, expect="vkey-malformed", output=None):
        v.add(f"vkey-{name}", "vkey", about, {"text": text}, expect=expect, output=output)

    for name, kind, public in (("log", 1, ED_PUBLIC), ("witness", 4, WITNESS_PUBLIC), ("pq", 6, PQ_PUBLIC)):
        vkey(f"of-a-{name}", "its full id", VKEYS[name], "ok", ref.full_id(kind, public))
    own = ref.key_id(ORIGIN, 1, ED_PUBLIC).hex()
    vkey("with-another-key-id", "the id is not the key's", VKEYS["log"].replace(own, "00000000"))
    vkey("with-a-renamed-key", "the id covers the name", "x" + VKEYS["log"])
    vkey("with-upper-case", "one spelling of hex", VKEYS["log"].replace(own, own.upper()), "text-malformed")
    vkey("with-unpadded-base64", "one spelling of base64", VKEYS["pq"].rstrip("="), "text-malformed")
    vkey("without-parts", "no plus sign", "nothing")
    vkey("of-another-type", "0x02 is not in the suite", ref.vkey("n", 2, ED_PUBLIC), "key-type-unsupported")
    vkey("of-small-order", "the neutral point", ref.vkey("n", 1, b"\x01" + bytes(31)), "public-key-refused")
    vkey("with-a-short-key-id", "a key id of one byte", VKEYS["log"].replace(own, own[:2]), "text-malformed")
    vkey("without-type-and-key", "nothing after the key id", f"n+{own}+")
    vkey("of-a-short-pq-key", "1,311 bytes", ref.vkey("n", 6, PQ_PUBLIC[:-1]))
    vkey("with-a-space-in-its-name", "names have none", ref.vkey("a b", 1, ED_PUBLIC))


def checkpoints(v):
    def parsed(name, about, text, expect="checkpoint-malformed"):
        v.add(f"checkpoint-{name}", "checkpoint", about, {"text": text}, expect=expect)

    root = ref.b64(bytes(32))
    parsed("good", "three lines", TEXT, "ok")
    parsed("with-an-extension", "a fourth line", TEXT + "extension\n")
    parsed("without-its-last-line-end", "cut by one byte", TEXT[:-1])
    parsed("with-a-size-of-leading-zero", "04", f"o\n04\n{root}\n", "decimal-malformed")
    parsed("with-a-size-of-2-to-the-63", "one too many", f"o\n{2**63}\n{root}\n", "decimal-malformed")
    parsed("without-an-origin", "an empty first line", f"\n4\n{root}\n")
    parsed("with-a-space-in-the-origin", "origins are key names", f"a b\n4\n{root}\n")
    parsed("with-a-short-root", "31 bytes", f"o\n4\n{ref.b64(bytes(31))}\n", "text-malformed")
    parsed("with-stray-bits-in-the-root", "unused bits that are not zero", f"o\n4\n{root[:-2]}B=\n", "text-malformed")

    def opened(name, about, lines, expect="ok", text=TEXT, origin=ORIGIN, keys=("log", "pq")):  # noqa: PLR0917
        data = {"note": ref.note(text, lines), "origin": origin, "log": [VKEYS[x] for x in keys]}
        v.add(f"checkpoint-{name}", "open-checkpoint", about, data, expect=expect)

    opened("signed-by-every-log-key", "0x01 and 0x06", [log_line(), pq_line()])
    opened("signed-by-one-of-two-log-keys", "the other is missing", [log_line()], "not-signed")
    opened("without-a-log-key", "nobody to trust", [log_line()], "not-signed", keys=())
    foreign = TEXT.replace(ORIGIN, "other.example/log")
    opened(
        "of-another-origin", "signed by this log's key", [log_line(foreign)], "origin-mismatch", foreign, keys=("log",)
    )
    opened(
        "by-keys-of-another-name",
        "the log is asked for by another name",
        [log_line()],
        "origin-mismatch",
        origin="x",
        keys=("log",),
    )

    def signs(name, about, kind, output):
        data = {"type": kind, "cosigner": "witness.example/1", "time": NOW, "text": TEXT}
        v.add(f"cosigned-bytes-{name}", "cosigned-bytes", about, data, output=output.hex())

    signs("of-ed25519", "what type 0x04 signs", 4, ref.ed25519_cosigned(NOW, TEXT))
    pq = ref.mldsa44_cosigned("witness.example/1", NOW, ORIGIN, 4, ref.mth(LEAVES))
    signs("of-mldsa44", "what type 0x06 signs, with an empty context", 6, pq)


SPECIFIED = {
    "signed-note": (
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "This is an example message.\n",
        "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=",
    ),
    "the-go-package": (
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n",
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=",
    ),
}
"""Examples that others print: vkey, text, what stands after the name in the signature line."""
SPECIFIED_CHECKPOINT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"


def short_signatures(v):
    """Signature lines with too little in them."""
    for name, about, owner, kind, public, size, expect in [
        ("with-a-key-id-alone", "no signature after the key id", ORIGIN, 1, ED_PUBLIC, 0, "note-malformed"),
        ("with-half-a-signature", "32 bytes", ORIGIN, 1, ED_PUBLIC, 32, "signature-invalid"),
        ("with-a-time-alone", "8 bytes", "witness.example/1", 4, WITNESS_PUBLIC, 8, "cosignature-malformed"),
        (
            "with-half-a-cosignature",
            "a time and 32 bytes",
            "witness.example/1",
            4,
            WITNESS_PUBLIC,
            40,
            "signature-invalid",
        ),
        ("with-half-a-pq-signature", "a time and 32 bytes", ORIGIN, 6, PQ_PUBLIC, 40, "signature-invalid"),
    ]:
        payload = bytes([0, 0, 0, 0, 0, 0, 0, 1, *range(64)])[:size]
        keys = [ref.vkey(owner, kind, public)]
        data = {"note": ref.note(TEXT, [ref.line(owner, kind, public, payload)]), "keys": keys}
        v.add(f"note-{name}", "note", about, data, expect=expect)


def examples_of_others(v):
    """The values in the C2SP texts and in golang.org/x/mod/sumdb/note."""
    for name, (vkey, text, signature) in SPECIFIED.items():
        owner, _, material = vkey.split("+", 2)
        about, public = f"the key of an example that others print: {name}", base64.b64decode(material)[1:]
        v.add(f"example-vkey-of-{name}", "vkey", about, {"text": vkey}, output=ref.full_id(1, public))
        if ref.vkey(owner, 1, public) != vkey:
            raise ValueError(f"the reference does not arrive at the key of {name}")
        for suffix, shown, expect in [("", text, "ok"), ("-changed", text.upper(), "signature-invalid")]:
            about, data = (
                f"a note that others print: {name}",
                {"note": f"{shown}\n— {owner} {signature}\n", "keys": [vkey]},
            )
            output = [[owner, None]] if expect == "ok" else None
            v.add(f"example-note-of-{name}{suffix}", "note", about, data, expect=expect, output=output)
    v.add("example-checkpoint", "checkpoint", "the checkpoint in tlog-cosignature", {"text": SPECIFIED_CHECKPOINT})
    data = {"type": 4, "cosigner": "witness.example.com/w1", "time": 1679315147, "text": SPECIFIED_CHECKPOINT}
    printed = f"cosignature/v1\ntime 1679315147\n{SPECIFIED_CHECKPOINT}".encode()
    v.add(
        "example-cosigned-bytes", "cosigned-bytes", "what tlog-cosignature prints as signed", data, output=printed.hex()
    )


def proofs(v):
    note = ref.note(TEXT, [log_line()])
    good = ref.tlog_proof(LABELS[1], SALTS[1], 1, ref.path(1, LEAVES), note)

    def proven(name, about, text, expect="ok", entry=ENTRIES[1]):
        data = {"proof": text, "entry": entry.hex(), "origin": ORIGIN, "log": [VKEYS["log"]]}
        v.add(f"proof-{name}", "proof", about, data, expect=expect)

    bad = "tlog-proof-malformed"
    proven("good", "entry 1 of the printed log", good)
    proven("of-another-entry", "entry 2 in its place", good, "root-mismatch", ENTRIES[2])
    salt = ref.tlog_proof(LABELS[1], SALTS[2], 1, ref.path(1, LEAVES), note)
    proven("with-another-salt", "the commitment is another", salt, "root-mismatch")
    label = ref.tlog_proof(LABELS[2], SALTS[1], 1, ref.path(1, LEAVES), note)
    proven("with-another-label", "the leaf is another", label, "root-mismatch")
    data = {"proof": label, "leaf": LEAVES[1].hex(), "origin": ORIGIN, "log": [VKEYS["log"]]}
    about = "the right leaf data, computed by the verifier, beside another label in the proof"
    v.add("proof-beside-the-leaf-of-another-label", "proof", about, data, expect="label-mismatch")
    proven("with-another-index", "one place on", good.replace("index 1", "index 0"), "root-mismatch")
    proven("with-an-index-outside", "4 of 4", good.replace("index 1", "index 4"), "proof-malformed")
    proven("with-an-index-of-leading-zero", "01", good.replace("index 1", "index 01"), "decimal-malformed")
    proven("of-another-version", "v2", good.replace("proof@v1", "proof@v2"), bad)
    proven(
        "without-extra",
        "label and salt are missing",
        "".join(x for x in good.splitlines(keepends=True) if "extra" not in x),
        bad,
    )
    short = good.replace(ref.b64(LABELS[1] + SALTS[1]), ref.b64(LABELS[1]))
    proven("with-short-extra", "32 bytes", short, "text-malformed")
    long = ref.tlog_proof(LABELS[1], SALTS[1], 1, [bytes(32)] * 64, note)
    proven("with-64-hashes", "one more than any tree has", long, bad)
    proven("without-lines", "neither label nor index", "c2sp.org/tlog-proof@v1\n\n" + note, bad)
    proven("not-in-ascii", "an umlaut in the first line", good.replace("c2sp", "ç2sp"), bad)
    proven("without-a-blank-line", "no note follows", good.partition("\n\n")[0] + "\n", bad)


def tiles(v):
    def path(name, about, text, expect="tile-malformed", output=None):
        v.add(f"tile-path-{name}", "tile-path", about, {"path": text}, expect=expect, output=output)

    big = {"level": 0, "n": 1234067, "width": 256}
    path("of-a-full-tile", "groups of three digits", f"tile/0/{ref.number(1234067)}", "ok", big)
    path("of-a-partial-tile", "its width after .p/", "tile/1/000.p/17", "ok", {"level": 1, "n": 0, "width": 17})
    path("of-an-entry-bundle", "no level", "tile/entries/x001/000", "ok", {"level": None, "n": 1000, "width": 256})
    path("with-a-group-too-many", "x000 before it", "tile/0/x000/001")
    path("of-width-256", "a full tile has no width", "tile/0/000.p/256")
    path("of-width-0", "an empty tile", "tile/0/000.p/0")
    path("of-level-64", "one too high", "tile/64/000")
    path("with-a-level-of-leading-zero", "00", "tile/00/000")

    def entries(name, about, data, width, expect="tile-malformed", output=None):  # noqa: PLR0917
        v.add(f"entries-{name}", "entries", about, {"data": data.hex(), "width": width}, expect=expect, output=output)

    bundle = ref.entries(LEAVES)
    entries("of-four-leaves", "length and data of each", bundle, 4, "ok", hexes(LEAVES))
    entries("with-one-more", "wider than its path says", bundle, 3)
    entries("with-one-less", "narrower than its path says", bundle, 5)
    entries("cut", "a length runs past the end", bundle[:-1], 4)


def policies(v):
    keys = {f"w{i}": Ed25519PrivateKey.from_private_bytes(bytes([0x40 + i] * 32)).public_key() for i in range(4)}
    public = {name: key.public_bytes_raw() for name, key in keys.items()}
    ids = {name: ref.full_id(4, value) for name, value in public.items()}
    holder = {"w0": "a.example", "w1": "a.example", "w2": "b.example", "w3": "c.example"}
    lines = [f"log {VKEYS['log']} https://{ORIGIN}"]
    lines += [f"witness {name} {ref.vkey(holder[name], 4, public[name])}" for name in public]
    groups = ["group a any w0 w1", "group b any w2", "group c any w3", "group two 2 a b c", "quorum two"]
    good = "\n".join([*lines, *groups]) + "\n"

    def policy(name, about, text, expect="policy-malformed"):
        v.add(f"policy-{name}", "policy", about, {"text": text}, expect=expect)

    policy("good", "two of three authorities", good, "ok")
    policy("with-comments-and-tabs", "white space is free", "# who\n\n" + good.replace(" any ", "\tany  "), "ok")
    policy("of-none", "no witness is demanded", "quorum none\n", "ok")
    policy("without-a-quorum", "no quorum line", good.replace("quorum two\n", ""))
    policy("with-two-quorums", "one line too many", good + "quorum a\n")
    policy("with-a-name-used-before-it-is-defined", "order matters", "quorum a\n" + good.replace("quorum two\n", ""))
    policy("with-a-member-of-two-groups", "each a member once", good.replace("any w2", "any w2 w1"))
    policy(
        "with-one-public-key-twice",
        "under another name",
        good.replace("group a", f"witness x {ref.vkey('x', 4, public['w0'])}\ngroup a"),
    )
    policy("with-a-threshold-over-keys", "a quorum counts authorities", good.replace("group a any", "group a all"))
    policy(
        "with-keys-beside-groups",
        "only groups in higher groups",
        good.replace("group b any w2\n", "").replace("a b c", "a w2 c"),
    )
    split = good.replace("group a any w0 w1", "group a any w0\ngroup a2 any w1")
    policy("with-one-holder-in-two-groups", "a.example would count twice", split)
    policy("with-a-threshold-of-zero", "at least one", good.replace("two 2", "two 0"))
    policy("with-a-threshold-too-high", "four of three", good.replace("two 2", "two 4"))
    policy("with-an-unknown-word", "nothing is ignored", good + "monitor w0\n")
    policy("with-a-carriage-return", "a control character", good.replace("\n", "\r\n"))
    policy("with-an-indented-comment", "its first word begins with #", " \t# who\n" + good, "ok")
    policy(
        "with-a-vkey-of-another-id",
        "a vkey's own code",
        good.replace(ref.vkey("b.example", 4, public["w2"]), "b.example+00000000+AAAA"),
        "vkey-malformed",
    )
    strange = ref.vkey("b.example", 5, public["w2"])
    policy(
        "with-a-key-of-a-type-to-come",
        "unsupported",
        good.replace(ref.vkey("b.example", 4, public["w2"]), strange),
        "key-type-unsupported",
    )
    policy(
        "with-a-witness-of-a-type-of-logs",
        "known, and not there",
        good.replace(ref.vkey("b.example", 4, public["w2"]), ref.vkey("b.example", 1, public["w2"])),
    )
    policy("with-a-name-twice", "before its vkey is looked at", good + "witness w0 b.example+00000000+AAAA\n")

    def satisfied(name, about, who, output):
        v.add(f"quorum-{name}", "quorum", about, {"text": good, "keys": [ids[x] for x in who]}, output=output)

    satisfied("of-two-authorities", "a and c", ["w1", "w3"], output=True)
    satisfied("of-two-keys-of-one-authority", "only a", ["w0", "w1"], output=False)
    satisfied("of-nobody", "no cosignature", [], output=False)

    def bounds(name, about, cosigned, upper, lower):
        data = {"text": good, "cosignatures": [[ids[x], t] for x, t in cosigned]}
        v.add(f"time-{name}", "time", about, data, output={"upper": upper, "lower": lower})

    bounds("of-two", "just a quorum", [("w0", 10), ("w2", 20)], 20, 10)
    bounds("of-three", "one early, one late", [("w0", 10), ("w2", 20), ("w3", 99)], 20, 20)
    bounds("of-one-authority", "no quorum, no time", [("w0", 10), ("w1", 20)], None, None)


def vectors():
    found = Vectors()
    parts = (printed_values, leaves, inclusion, consistency, absence, batches)
    for part in (*parts, ed25519, notes, checkpoints, short_signatures, examples_of_others, proofs, tiles, policies):
        part(found)
    log_more.write(found, sys.modules[__name__])
    return {f"{name}.json": json.dumps(vector, indent=1, sort_keys=True) + "\n" for name, vector in found.items()}


def main():
    folder = HERE / "log"
    folder.mkdir(exist_ok=True)
    made = vectors()
    for old in folder.glob("*.json"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    print(f"{len(made)} vectors in {folder}")


if __name__ == "__main__":
    main()
