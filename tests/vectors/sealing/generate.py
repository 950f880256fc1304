"""Write the vectors of sealing: one fact a file, from the reference, never from the code under test.

Usage: python tests/vectors/sealing/generate.py [DIRECTORY]; the same bytes each time. `expect` is "ok" or an error
code. A released vector is never edited. File names begin with what is done: `header-` is a header judged without a
key, `file-` a whole file opened with an identity, `commitment-` and `faces-` are about an item's one file key.
"""

import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.custody.sealing import age_reference as age
from tests.custody.sealing.two_faces import two_faced_body

FILE_KEY, OTHER_KEY = b"sixteen byte key", b"another file key"
ITEM = bytes(range(16))
NONCE = bytes(range(16, 32))
SECRETS = [bytes([n]) * 32 for n in (1, 2, 3)]
EPHEMERALS = [bytes([n]) * 32 for n in (11, 12, 13)]


def wrapped(at: int, file_key: bytes = FILE_KEY, **more: bytes) -> bytes:
    return age.x25519_stanza(file_key, age.public(SECRETS[at]), EPHEMERALS[at], **more)


def headers() -> dict[str, dict]:
    """Headers as the service judges them: kind x25519 and two stanzas are announced."""
    two = age.header(FILE_KEY, wrapped(0), wrapped(1))
    grease = age.stanza(b"abc-grease d e", b"anything")
    scrypt = age.stanza(b"scrypt " + age.b64(bytes(16)) + b" 10", bytes(32))
    padded = two[:-1] + b"=\n"
    first_line = two.index(b"\n") + 1
    cases = {
        "two": (two, "ok"),
        "one-too-few": (age.header(FILE_KEY, wrapped(0)), "header-refused"),
        "one-too-many": (age.header(FILE_KEY, wrapped(0), wrapped(1), wrapped(2)), "header-refused"),
        "grease": (age.header(FILE_KEY, wrapped(0), grease), "header-refused"),
        "covert-third": (age.header(FILE_KEY, wrapped(0), wrapped(1), grease), "header-refused"),
        "other-kind": (
            age.header(FILE_KEY, wrapped(0), age.stanza(b"mlkem768x25519 " + age.b64(bytes(1120)), bytes(32))),
            "header-refused",
        ),
        "type-in-lower-case": (age.header(FILE_KEY, wrapped(0), wrapped(1, kind=b"x25519")), "header-refused"),
        "passphrase-alone": (age.header(FILE_KEY, scrypt), "header-refused"),
        "passphrase-beside": (age.header(FILE_KEY, wrapped(0), scrypt), "header-malformed"),
        "no-stanza": (age.header(FILE_KEY), "header-malformed"),
        "257-stanzas": (age.header(FILE_KEY, *[wrapped(0)] * 257), "header-malformed"),
        "version-2": (
            age.header(FILE_KEY, wrapped(0), wrapped(1), version=b"age-encryption.org/v2\n"),
            "header-unsupported",
        ),
        "armoured": (
            b"-----BEGIN AGE ENCRYPTED FILE-----\n" + age.b64(two) + b"\n-----END AGE ENCRYPTED FILE-----\n",
            "header-unsupported",
        ),
        "mac-padded": (padded, "header-malformed"),
        "byte-after": (two + b"\n", "header-malformed"),
        "end-missing": (two[:-1], "header-malformed"),
        "crlf": (two[:first_line] + two[first_line:].replace(b"\n", b"\r\n"), "header-malformed"),
        "two-spaces": (two.replace(b"X25519 ", b"X25519  ", 1), "header-malformed"),
        "share-of-33-bytes": (
            age.header(FILE_KEY, wrapped(0), age.stanza(b"X25519 " + age.b64(bytes(33)), bytes(32))),
            "header-malformed",
        ),
        "key-of-33-bytes": (
            age.header(FILE_KEY, wrapped(0), age.stanza(b"X25519 " + age.b64(bytes(32)), bytes(33))),
            "header-malformed",
        ),
    }
    lines = two.split(b"\n")
    for name, number, change in [
        ("first-line-strange", 0, lambda line: line.replace(b"age", b"agf", 1)),
        ("body-no-base64", 2, lambda line: b"*" + line[1:]),
        ("body-stray-bits", 2, lambda line: line[:-1] + bytes([line[-1] + 1])),
        ("two-shares", 1, lambda line: line + line[line.rindex(b" ") :]),
    ]:
        changed = b"\n".join([*lines[:number], change(lines[number]), *lines[number + 1 :]])
        cases[name] = (changed, "header-malformed")
    long = age.b64(bytes(51))
    for name, body in [
        ("line-of-68", [long]),
        ("line-of-68-and-an-empty-one", [long, b""]),
        ("body-of-5-characters", [b"AAAAA"]),
    ]:
        cases[name] = (b"\n".join([lines[0], b"-> grease", *body, *lines[3:]]), "header-malformed")
    return {
        f"header-{name}": {"header": header.decode(), "kind": "x25519", "count": 2, "expect": expect}
        for name, (header, expect) in cases.items()
    }


def files() -> dict[str, dict]:
    """Whole files, opened with the first secret."""
    plain = b"This is what was seized."
    head, body = age.header(FILE_KEY, wrapped(0)), age.body(FILE_KEY, NONCE, plain)
    low = age.stanza(b"X25519 " + age.b64(bytes(32)), bytes(32))
    key = age.hkdf(FILE_KEY, NONCE, b"payload")
    cases = {
        "short": (head + body, plain, "ok"),
        "empty": (head + age.body(FILE_KEY, NONCE, b""), b"", "ok"),
        "second-stanza": (age.header(FILE_KEY, wrapped(1), wrapped(0)) + body, plain, "ok"),
        "of-someone-else": (age.header(FILE_KEY, wrapped(1)) + body, None, "cannot-open"),
        "stanza-added": (head.replace(b"---", age.stanza(b"more", b"") + b"---") + body, None, "header-mac"),
        "low-order-share": (age.header(FILE_KEY, low) + body, None, "header-malformed"),
        "bit-flipped": (head + body[:20] + bytes([body[20] ^ 1]) + body[21:], None, "chunk-forged"),
        "other-file-key": (age.header(OTHER_KEY, wrapped(0, OTHER_KEY)) + body, None, "chunk-forged"),
        "not-marked-last": (head + NONCE + age.chunk(key, 0, plain, last=False), None, "body-truncated"),
        "nonce-cut": (head + body[:15], None, "body-truncated"),
        "no-chunk": (head + body[:16], None, "body-truncated"),
    }
    result = {}
    for name, (file, expected, expect) in cases.items():
        vector = {"identity": age.identity(SECRETS[0]), "file": file.hex(), "expect": expect}
        if expected is not None:
            vector["plaintext_sha256"] = hashlib.sha256(expected).hexdigest()
        result[f"file-{name}"] = vector
    return result


def faces() -> dict[str, dict]:
    """One body, two headers, two texts: the second header is refused for its file key."""
    body = two_faced_body(
        b"THE ACCOUNT IS NOT HIS. ".ljust(48, b"."), b"THE ACCOUNT IS HIS. ".ljust(48, b"."), (FILE_KEY, OTHER_KEY)
    )
    first = age.header(FILE_KEY, wrapped(0))
    second = age.header(OTHER_KEY, wrapped(1, OTHER_KEY))
    common = {"item": ITEM.hex(), "commitment": age.commitment(FILE_KEY, ITEM).hex(), "body": body.hex()}
    return {
        "faces-first": {
            **common,
            "header": first.decode(),
            "identity": age.identity(SECRETS[0]),
            "shows": "THE ACCOUNT IS NOT HIS.",
            "expect": "ok",
        },
        "faces-second": {
            **common,
            "header": second.decode(),
            "identity": age.identity(SECRETS[1]),
            "shows": "THE ACCOUNT IS HIS.",
            "expect": "key-commitment",
        },
    }


def commitments() -> dict[str, dict]:
    """The commitment of a file key to an item."""
    right = {"file_key": FILE_KEY.hex(), "item": ITEM.hex(), "commitment": age.commitment(FILE_KEY, ITEM).hex()}
    return {
        "commitment-right": {**right, "expect": "ok"},
        "commitment-other-item": {**right, "item": ITEM[::-1].hex(), "expect": "key-commitment"},
        "commitment-other-key": {**right, "file_key": OTHER_KEY.hex(), "expect": "key-commitment"},
    }


def write(directory: Path) -> None:
    """Write every vector."""
    for name, vector in {**headers(), **files(), **faces(), **commitments()}.items():
        text = json.dumps(vector, indent=1, sort_keys=True) + "\n"
        (directory / f"{name}.json").write_text(text, encoding="ascii")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
