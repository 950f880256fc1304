"""One body that opens to two texts under two file keys: the attack the key commitment answers.

ChaCha20-Poly1305 binds a ciphertext to a key only through Poly1305, a polynomial modulo p = 2^130 - 5 in a secret
r, plus a secret s modulo 2^128. Whoever knows both keys has two such equations for one tag. With the ciphertext
fixed but for one block x, the difference of the two is linear in x, so x follows:

    (A1 + (x + 2^128)·r1² + L·r1) + s1  =  (A2 + (x + 2^128)·r2² + L·r2) + s2   modulo 2^128

where A is the polynomial over the blocks before x (times r²) and L the block of lengths. Modulo p this has one
solution for each carry of 2^128; it serves if it is a block (below 2^128) and the carry was guessed right. Else the
next nonce is tried. Each text shows at its place; where the other stands, there is noise. Everything by hand here,
so that the sample does not lean on the library it deceives.
"""

import hashlib

from tests.custody.sealing.age_reference import hkdf

P = 2**130 - 5
_MASK = 0xFFFFFFFF


def _quarter(state: list[int], a: int, b: int, c: int, d: int) -> None:
    for left, right, out, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[left] = (state[left] + state[right]) & _MASK
        mixed = state[out] ^ state[left]
        state[out] = (mixed << turn | mixed >> (32 - turn)) & _MASK


def chacha20_block(key: bytes, counter: int, nonce: bytes) -> bytes:
    text = b"expand 32-byte k" + key + counter.to_bytes(4, "little") + nonce
    start = [int.from_bytes(text[at : at + 4], "little") for at in range(0, 64, 4)]
    state = list(start)
    for _ in range(10):
        for column in range(4):
            _quarter(state, column, column + 4, column + 8, column + 12)
        for column in range(4):
            _quarter(state, column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return b"".join(((a + b) & _MASK).to_bytes(4, "little") for a, b in zip(start, state, strict=True))


def _one_time_key(key: bytes, nonce: bytes) -> tuple[int, int]:
    block = chacha20_block(key, 0, nonce)
    r = int.from_bytes(block[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    return r, int.from_bytes(block[16:32], "little")


def _keystream(key: bytes, nonce: bytes, size: int) -> bytes:
    return b"".join(chacha20_block(key, at + 1, nonce) for at in range(-(-size // 64)))[:size]


def _polynomial(r: int, blocks: list[int]) -> int:
    total = 0
    for block in blocks:
        total = (total + block + 2**128) * r % P
    return total


def _blocks(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 16], "little") for at in range(0, len(data), 16)]


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _collide(fixed: bytes, keys: list[tuple[int, int]]) -> bytes | None:
    """The rest of the chunk (one block, then the tag), or None if this nonce has none."""
    (r1, s1), (r2, s2) = keys
    lengths = (len(fixed) + 16) << 64
    known = [(_polynomial(r, _blocks(fixed)) + 2**128) * r**2 + (lengths + 2**128) * r for r in (r1, r2)]
    for carry in range(-4, 5):
        x = (s2 - s1 + carry * 2**128 - known[0] + known[1]) * pow(r1**2 - r2**2, -1, P) % P
        if x >= 2**128:
            continue
        blocks = [*_blocks(fixed), x, lengths]
        tags = {(_polynomial(r, blocks) + s) % 2**128 for r, s in keys}
        if len(tags) == 1:
            return x.to_bytes(16, "little") + tags.pop().to_bytes(16, "little")
    return None


def two_faced_body(first: bytes, second: bytes, file_keys: tuple[bytes, bytes]) -> bytes:
    """A body that shows `first` at its beginning under one file key, and `second` after it under the other.

    Both texts are multiples of 16 bytes and together less than a chunk.
    """
    mark = bytes(11) + b"\x01"
    for attempt in range(1000):
        nonce = hashlib.sha256(b"two faces %d" % attempt).digest()[:16]
        keys = [hkdf(file_key, nonce, b"payload") for file_key in file_keys]
        size = len(first) + len(second)
        streams = [_keystream(key, mark, size) for key in keys]
        fixed = _xor(first, streams[0][: len(first)]) + _xor(second, streams[1][len(first) :])
        rest = _collide(fixed, [_one_time_key(key, mark) for key in keys])
        if rest is not None:
            return nonce + fixed + rest
    raise AssertionError("no collision in a thousand nonces")
