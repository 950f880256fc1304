"""More single facts of the log: for each refusal that no other vector misses, one that does.

`write` takes the module that writes vectors of the log, whose keys and lines it shares.
"""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests import reference as ref

ALIKE = (53_488, 115_029)
"""Seeds of two Ed25519 keys whose ids for the name of the printed log agree; found by trying seeds in their order."""


def write(v, own):
    keys(v)
    notes(v, own)
    texts(v, own)
    policies(v, own)


def keys(v):
    def vkey(name, about, text, expect="vkey-malformed"):
        v.add(f"vkey-{name}", "vkey", about, {"text": text}, expect=expect)

    nothing = ref.h(b"n\n")[:4].hex()
    vkey("of-nothing-under-its-id", "the id is that of nothing", f"n+{nothing}+")
    off = next(y for y in range(2, 99) if ref.with_y(y) is None).to_bytes(32, "little")
    data = {
        "public": off.hex(),
        "signature": (ref.encoded(ref.BASE_POINT) + b"\x01" + bytes(31)).hex(),
        "message": b"message".hex(),
    }
    v.add("ed25519-with-a-key-off-the-curve", "ed25519", "no x for this y", data, expect="signature-invalid")


def notes(v, own):
    def opened(name, about, note, vkeys, expect):
        v.add(f"note-{name}", "note", about, {"note": note, "keys": vkeys}, expect=expect)

    pair = [Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big")) for seed in ALIKE]
    public = [key.public_key().public_bytes_raw() for key in pair]
    vkeys = [ref.vkey(own.ORIGIN, 1, value) for value in public]
    if len({text.split("+")[1] for text in vkeys}) != 1:
        raise ValueError("the two keys were to have one id")
    line = ref.line(own.ORIGIN, 1, public[0], pair[0].sign(own.TEXT.encode()))
    opened("for-two-keys-of-one-id", "nobody can say whose line it is", ref.note(own.TEXT, [line]), vkeys, "vkey-malformed")  # fmt: skip
    opened("for-one-of-two-keys-of-one-id", "the other is not known", ref.note(own.TEXT, [line]), vkeys[:1], "ok")
    v["note-for-one-of-two-keys-of-one-id"]["output"] = [[own.ORIGIN, None]]
    right = own.NOW.to_bytes(8, "big") + own.mldsa44_signature()
    for name, about, payload in [
        ("with-hints-that-are-none", "the last bytes count hints", right[:-4] + b"\xff" * 4),
        ("with-a-response-too-large", "a coefficient at its bound", right[:40] + bytes(576) + right[616:]),
    ]:
        wrong = ref.line(own.ORIGIN, 6, own.PQ_PUBLIC, payload)
        opened(f"with-a-pq-signature-{name}", about, ref.note(own.TEXT, [wrong]), [own.VKEYS["pq"]], "signature-invalid")  # fmt: skip


def texts(v, own):
    about = {"text": f"{own.TEXT}more"}
    v.add("checkpoint-with-a-line-that-does-not-end", "checkpoint", "a fourth, cut", about, expect="checkpoint-malformed")  # fmt: skip


def policies(v, own):
    vkey = own.VKEYS["witness"]

    def policy(name, about, text):
        v.add(f"policy-{name}", "policy", about, {"text": text}, expect="policy-malformed")

    policy("with-a-witness-named-none", "the name of no quorum", f"witness none {vkey}\nquorum none\n")
    policy("with-a-group-named-none", "the name of no quorum", f"witness w {vkey}\ngroup none any w\nquorum none\n")
    policy("with-a-member-nobody-defined", "order and spelling matter", f"witness w {vkey}\ngroup a any v\nquorum a\n")
    policy("with-a-member-twice-in-a-group", "it would count twice", f"witness w {vkey}\ngroup a any w w\nquorum a\n")
