"""Slow second implementation of the records' formats, by their definitions; shares no code with custody.

Canonical JSON, statements, entries, keys, inventories as docs/spec states them. It only writes: what is wrong in a
vector is wrong by the hand that made it. Every key comes from a word, so that all bytes are the same each time.
"""

import base64
import hashlib

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests import reference as ref

ORIGIN = "evidence.example.org/log"
TIME = "2026-11-22T10:00:00.000000Z"
ZERO = "00" * 32


def word(text, size=32):
    """Bytes that look random and are the same each time."""
    return hashlib.sha256(b"vector:" + text.encode()).digest()[:size]


def digest(data):
    return hashlib.sha256(data).hexdigest()


# ------------------------------------------------------------ canonical JSON: RFC 8785 in the profile
SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def spell(value):
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + "".join(SHORT.get(c, f"\\u{ord(c):04x}" if c < " " else c) for c in value) + '"'
    if isinstance(value, list):
        return "[" + ",".join(spell(x) for x in value) + "]"
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    return "{" + ",".join(f"{spell(name)}:{spell(value[name])}" for name in names) + "}"


def canonical(value):
    return spell(value).encode()


# ------------------------------------------------------------ keys
CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def polymod(values):
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> i & 1 else 0
    return check


def bech32(prefix, data):
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    words = [int(bits[i : i + 5], 2) for i in range(0, len(bits), 5)]
    spread = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    check = polymod([*spread, *words, 0, 0, 0, 0, 0, 0]) ^ 1
    return prefix + "1" + "".join(CHARSET[x] for x in words + [check >> 5 * (5 - i) & 31 for i in range(6)])


class Key:
    """`ed25519` or `es256`, from a word."""

    def __init__(self, name, alg="ed25519"):
        self.alg = alg
        if alg == "ed25519":
            self.private = Ed25519PrivateKey.from_private_bytes(word(name))
            self.spki = bytes.fromhex("302a300506032b6570032100") + self.private.public_key().public_bytes_raw()
        else:
            self.private = ec.derive_private_key(int.from_bytes(word(name), "big") >> 1, ec.SECP256R1())
            form = serialization.PublicFormat.SubjectPublicKeyInfo
            self.spki = self.private.public_key().public_bytes(serialization.Encoding.DER, form)
        self.id, self.public = digest(self.spki), ref.b64(self.spki)

    def sign(self, message):
        if self.alg == "ed25519":
            return self.private.sign(message)
        way = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        return b"".join(x.to_bytes(32, "big") for x in decode_dss_signature(self.private.sign(message, way)))


class Recipient:
    """An X25519 age recipient, from a word."""

    alg = "x25519"

    def __init__(self, name):
        public = X25519PrivateKey.from_private_bytes(word(name)).public_key().public_bytes_raw()
        self.public = bech32("age", public)
        self.id = digest(self.public.encode())


def record(key, use, holder):
    return {"id": key.id, "alg": key.alg, "use": use, "holder": holder, "public": key.public}


# ------------------------------------------------------------ statements
def payload_type(kind):
    return f"application/vnd.rogatory.{kind}.v1+json"


def pae(kind, body):
    kind = payload_type(kind).encode()
    return b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(body)).encode(), body])


class Said:
    """A statement; `rows` are its signatures, in whatever order they are given."""

    def __init__(self, payload, keys, *, body=None, rows=None, kind=None, outer=None):
        self.payload, self.kind = payload, kind or payload["kind"]
        self.body = canonical(payload) if body is None else body
        self.pae = pae(self.kind, self.body)
        self.id = digest(self.pae)
        self.rows = rows if rows is not None else sorted((key.id, ref.b64(key.sign(self.pae))) for key in keys)
        fields = {"payload": ref.b64(self.body), "payloadType": payload_type(self.kind)}
        fields["signatures"] = [{"keyid": key_id, "sig": sig} for key_id, sig in self.rows]
        self.envelope = canonical(fields | (outer or {}))

    def with_rows(self, rows):
        return Said(self.payload, [], body=self.body, rows=rows, kind=self.kind)


def common(kind, chain, signer, nonce, **members):
    first = {"v": 1, "kind": kind, "log": ORIGIN, "chain": chain, "time": TIME}
    return first | {"nonce": word(nonce, 16).hex(), "signer": signer} | members


# ------------------------------------------------------------ entries
class Chain:
    """Entries one after another; `steps` is what a vector carries."""

    def __init__(self, handle):
        self.handle, self.steps, self.last, self.index = handle, [], None, 0

    def copy(self):
        other = Chain(self.handle)
        other.steps, other.last, other.index = list(self.steps), self.last, self.index
        return other

    def add(self, event, said=None, *, subject=None, noted=None, index=None, **changes):
        """The next entry, with members changed at will; returns its hash."""
        actor = {"authority": "@service"}
        if said is not None:
            actor = {**said.payload["signer"], "key": said.rows[0][0]}
        fields = {"v": 1, "log": ORIGIN, "chain": self.handle, "seq": len(self.steps), "prev": self.last or ZERO}
        fields |= {"time": TIME, "event": event, "actor": actor}
        fields |= {"nonce": word(f"{self.handle} {len(self.steps)} {event}", 16).hex()}
        if said is not None:
            fields["statement"] = {"id": said.id, "envelope": digest(said.envelope)}
        fields |= {name: value for name, value in (("subject", subject), ("noted", noted)) if value}
        fields = {name: value for name, value in (fields | changes).items() if value is not None}
        data = canonical(fields)
        self.index = self.index + 1 if index is None else index
        step = {"index": self.index, "entry": data.decode()}
        self.steps.append(step | ({"envelope": said.envelope.decode()} if said is not None else {}))
        self.last = digest(data)
        return self.last


def registry_handle(authority):
    return ref.registry_handle(ORIGIN, authority).hex()


def exchange_id(handle):
    return digest(b"rogatory/exchange-id/v1\0" + bytes.fromhex(handle))[:32]


# ------------------------------------------------------------ inventories
def inventory(head, lines):
    """The file, and its commitment."""
    first, rest = canonical(head), [canonical(line) for line in lines]
    data = b"".join(line + b"\n" for line in (first, *rest))
    return data, inventory_commitment(first, rest, head["count"])


def inventory_commitment(first, rest, count):
    inner = hashlib.sha256(first).digest() + count.to_bytes(8, "big") + ref.mth(rest)
    return digest(b"rogatory/inventory/v1\0" + inner)


def path_b64(raw):
    return base64.b64encode(raw).decode()
