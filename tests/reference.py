"""Slow second implementation of the log's formats, by their definitions; shares no code with custody.

Everything is spelled as docs/spec/log.md and the RFC state it, recursively, without a thought for speed.
The vectors are written from here, and the property tests hold custody to it.
"""

import base64
import hashlib


def h(data):
    return hashlib.sha256(data).digest()


def b64(data):
    return base64.b64encode(data).decode()


# ------------------------------------------------------------ RFC 9162, section 2.1; data is a list of leaf data
def k_of(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(data):
    if len(data) == 0:
        return h(b"")
    if len(data) == 1:
        return h(b"\x00" + data[0])
    k = k_of(len(data))
    return h(b"\x01" + mth(data[:k]) + mth(data[k:]))


def path(m, data):
    if len(data) == 1:
        return []
    k = k_of(len(data))
    if m < k:
        return [*path(m, data[:k]), mth(data[k:])]
    return [*path(m - k, data[k:]), mth(data[:k])]


def proof(m, data):
    return subproof(m, data, b=True)


def subproof(m, data, *, b):
    if m == len(data):
        return [] if b else [mth(data)]
    k = k_of(len(data))
    if m <= k:
        return [*subproof(m, data[:k], b=b), mth(data[k:])]
    return [*subproof(m - k, data[k:], b=False), mth(data[:k])]


# ------------------------------------------------------------ leaves and labels
def commitment(salt, entry_hash):
    return h(b"rogatory/leaf/v1\x00" + salt + entry_hash)


def first_label(origin, handle):
    return h(b"rogatory/first/v1\x00" + h(origin.encode()) + handle)


def next_label(salt, entry_hash):
    return h(b"rogatory/next/v1\x00" + salt + entry_hash)


def registry_handle(origin, authority):
    return h(b"rogatory/registry/v1\x00" + origin.encode() + bytes([0x0A]) + authority.encode())


def entry_leaf(label, c):
    return bytes([1]) + label + c


def tail_leaf(root):
    return bytes([2]) + root


# ------------------------------------------------------------ tail
def bucket_of(label):
    return int.from_bytes(label[:2], "big")


def head(labels):
    value = bytes(32)
    for label in labels:
        value = h(b"rogatory/tail/v1\x00" + value + label)
    return value


_same = {}


def _of_empty_heads(height):
    """Root over 2^height heads without labels; the only thing here that is remembered."""
    if height not in _same:
        below = None if height == 0 else _of_empty_heads(height - 1)
        _same[height] = h(b"\x00" + bytes(32)) if below is None else h(b"\x01" + below + below)
    return _same[height]


def _tail_node(heads, start, height):
    inside = {bucket: value for bucket, value in heads.items() if start <= bucket < start + 2**height}
    if not inside:
        return _of_empty_heads(height)
    if height == 0:
        return h(b"\x00" + inside[start])
    half = 2 ** (height - 1)
    return h(b"\x01" + _tail_node(inside, start, height - 1) + _tail_node(inside, start + half, height - 1))


def tail_heads(labels):
    return {b: head([x for x in labels if bucket_of(x) == b]) for b in {bucket_of(x) for x in labels}}


def tail_of_heads(heads):
    return _tail_node(heads, 0, 16)


def tail_root(labels):
    return tail_of_heads(tail_heads(labels))


def tail_path(labels, bucket):
    heads = tail_heads(labels)
    return [_tail_node(heads, ((bucket >> height) ^ 1) << height, height) for height in range(16)]


# ------------------------------------------------------------ batch inclusion
def batch(w, data):
    """The hashes for the leaves at the places w, by the definition of R."""
    out = []

    def r(lo, hi):
        if not any(lo <= i < hi for i in w):
            out.append(mth(data[lo:hi]))
        elif hi - lo > 1:
            m = lo + k_of(hi - lo)
            r(lo, m)
            r(m, hi)

    r(0, len(data))
    return out


def batch_root(leaves, size, hashes):
    """R(0, size) from leaf hashes by place; raises ValueError unless it uses up the hashes."""
    rest = list(hashes)

    def r(lo, hi):
        if not any(lo <= i < hi for i in leaves):
            if not rest:
                raise ValueError("missing")
            return rest.pop(0)
        if hi - lo == 1:
            return leaves[lo]
        m = lo + k_of(hi - lo)
        left = r(lo, m)
        return h(b"\x01" + left + r(m, hi))

    root = r(0, size)
    if rest:
        raise ValueError("left over")
    return root


def batch_file(size, hashes):
    return (f"rogatory/batch-inclusion/v1\n{size}\n" + "".join(b64(x) + "\n" for x in hashes)).encode()


# ------------------------------------------------------------ notes
def key_id(name, kind, public):
    return h(name.encode() + b"\n" + bytes([kind]) + public)[:4]


def full_id(kind, public):
    return h(bytes([kind]) + public).hex()


def vkey(name, kind, public):
    return f"{name}+{key_id(name, kind, public).hex()}+{b64(bytes([kind]) + public)}"


def checkpoint(origin, size, root):
    return f"{origin}\n{size}\n{b64(root)}\n"


def line(name, kind, public, payload):
    return f"\u2014 {name} {b64(key_id(name, kind, public) + payload)}"


def note(text, lines):
    return text + "\n" + "".join(f"{x}\n" for x in lines)


def ed25519_cosigned(time, text):
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def mldsa44_cosigned(cosigner, time, origin, size, root):
    return (
        b"subtree/v1\n\x00"
        + bytes([len(cosigner)])
        + cosigner.encode()
        + time.to_bytes(8, "big")
        + bytes([len(origin)])
        + origin.encode()
        + (0).to_bytes(8, "big")
        + size.to_bytes(8, "big")
        + root
    )


def tlog_proof(label, salt, index, hashes, signed):
    lines = ["c2sp.org/tlog-proof@v1", f"extra {b64(label + salt)}", f"index {index}", *map(b64, hashes), ""]
    return "".join(f"{x}\n" for x in lines) + signed


# ------------------------------------------------------------ tiles
def number(n):
    groups = []
    while True:
        groups.insert(0, f"{n % 1000:03d}")
        n //= 1000
        if n == 0:
            break
    return "/".join([f"x{g}" for g in groups[:-1]] + groups[-1:])


def entries(items):
    return b"".join(len(x).to_bytes(2, "big") + x for x in items)


# ------------------------------------------------------------ time, by trying every moment that occurs
def upper(satisfied, cosignatures):
    return min((t for _, t in cosignatures if satisfied({k for k, at in cosignatures if at <= t})), default=None)


def lower(satisfied, cosignatures):
    return max((t for _, t in cosignatures if satisfied({k for k, at in cosignatures if at >= t})), default=None)


# ------------------------------------------------------------ edwards25519, affine, RFC 8032 section 5.1
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def plus(a, b):
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2 % P
    return (x1 * y2 + x2 * y1) * pow(1 + t, P - 2, P) % P, (y1 * y2 + x1 * x2) * pow(1 - t, P - 2, P) % P


def times(n, point):
    total = (0, 1)
    for bit in f"{n:b}":
        total = plus(total, total)
        if bit == "1":
            total = plus(total, point)
    return total


def with_y(y):
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    return (min(x, P - x), y) if x * x % P == square else None


def encoded(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


_X, _Y = with_y(4 * pow(5, P - 2, P) % P)
BASE_POINT = (_X if _X % 2 == 0 else P - _X, _Y)
NEUTRAL = (0, 1)
ORDER_8 = next(
    t
    for t in (times(L, point) for point in map(with_y, range(2, 99)) if point)
    if times(4, t) != NEUTRAL and times(8, t) == NEUTRAL
)
SMALL = [times(i, ORDER_8) for i in range(8)]


def challenge(r, a, message):
    return int.from_bytes(hashlib.sha512(r + a + message).digest(), "little") % L


def signed(r_bytes, s):
    return r_bytes + (s % L).to_bytes(32, "little")
