"""age v1 written a second time, slowly and from its definition; imports nothing of the code under test.

It seals to X25519 only, and every random choice is an argument, so that vectors come out the same each time. Hybrid
stanzas it opens, with HPKE and the hybrid key agreement spelled out as docs/spec/sealing.md states them.
"""

import base64
import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def hkdf(ikm: bytes, salt: bytes, info: bytes) -> bytes:
    """32 bytes: one block of RFC 5869."""
    prk = hmac.digest(salt or bytes(32), ikm, "sha256")
    return hmac.digest(prk, info + b"\x01", "sha256")


def commitment(file_key: bytes, item: bytes) -> bytes:
    return hkdf(file_key, b"", b"rogatory/filekey/v1\0" + item)


def b64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def bech32(prefix: str, data: bytes) -> str:
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    words = [int(bits[at : at + 5], 2) for at in range(0, len(bits), 5)]
    state = 1
    for word in [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + words + [0] * 6:
        top, state = state >> 25, (state & 0x1FFFFFF) << 5 ^ word
        for place, constant in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            state ^= constant if top & 1 << place else 0
    words += [(state ^ 1) >> 5 * (5 - at) & 31 for at in range(6)]
    return prefix + "1" + "".join(BECH32[word] for word in words)


def identity(secret: bytes) -> str:
    return bech32("age-secret-key-", secret).upper()


def public(secret: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def stanza(arguments: bytes, body: bytes) -> bytes:
    text = b64(body)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    if not lines or len(lines[-1]) == 64:
        lines.append(b"")
    return b"-> " + arguments + b"\n" + b"".join(line + b"\n" for line in lines)


def x25519_stanza(file_key: bytes, recipient: bytes, ephemeral: bytes, *, kind: bytes = b"X25519") -> bytes:
    share = public(ephemeral)
    secret = X25519PrivateKey.from_private_bytes(ephemeral).exchange(X25519PublicKey.from_public_bytes(recipient))
    key = hkdf(secret, share + recipient, b"age-encryption.org/v1/X25519")
    return stanza(kind + b" " + b64(share), ChaCha20Poly1305(key).encrypt(bytes(12), file_key, None))


def open_hybrid(seed: bytes, share: bytes, wrapped: bytes) -> bytes:
    """The file key of a hybrid stanza."""
    expanded = hashlib.shake_256(seed).digest(96)
    scalar = X25519PrivateKey.from_private_bytes(expanded[64:])
    lattice = MLKEM768PrivateKey.from_seed_bytes(expanded[:64]).decapsulate(share[:1088])
    curve = scalar.exchange(X25519PublicKey.from_public_bytes(share[1088:]))
    shared = hashlib.sha3_256(
        lattice + curve + share[1088:] + scalar.public_key().public_bytes_raw() + b"\\.//^\\"
    ).digest()
    suite = b"HPKE" + bytes.fromhex("647a00010003")

    def extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")

    def expand(label: bytes, size: int) -> bytes:
        info = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context
        return hmac.digest(secret, info + b"\x01", "sha256")[:size]

    context = (
        b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", b"age-encryption.org/mlkem768x25519")
    )
    secret = extract(shared, b"secret", b"")
    return ChaCha20Poly1305(expand(b"key", 32)).decrypt(expand(b"base_nonce", 12), wrapped, None)


def header(file_key: bytes, *stanzas: bytes, version: bytes = b"age-encryption.org/v1\n") -> bytes:
    text = version + b"".join(stanzas) + b"---"
    return text + b" " + b64(hmac.digest(hkdf(file_key, b"", b"header"), text, hashlib.sha256)) + b"\n"


def chunk(key: bytes, counter: int, plain: bytes, *, last: bool) -> bytes:
    return ChaCha20Poly1305(key).encrypt(counter.to_bytes(11, "big") + bytes([last]), plain, None)


def body(file_key: bytes, nonce: bytes, plain: bytes) -> bytes:
    key = hkdf(file_key, nonce, b"payload")
    parts = [plain[at : at + 65536] for at in range(0, len(plain), 65536)] or [b""]
    return nonce + b"".join(chunk(key, at, part, last=at == len(parts) - 1) for at, part in enumerate(parts))
