"""Forges tokens from the recipes in `attacks/*.json`, with `cryptography` alone and none of the code under test.

A recipe changes one thing of a good token and signs the result properly unless it says otherwise, so that only the
check it names stands between it and acceptance. Members of a recipe, all optional but name, why, reason:

kinds         which of access, assertion; both by default
header        members to set          drop_header   members to drop          header_splice  text put after the `{`
claims        members to set          drop_claims   members to drop          claims_splice  text put after the `{`
clock         members to set to now + seconds
header_text, claims_text              the whole JSON text instead
sign          how: see `_signature`   wrap          [before, after] put around the finished token
swap          [old, new] replaced once in the finished token                 expect         error code (token-refused)
"""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ATTACKS = Path(__file__).parent / "attacks"
NOW = datetime(2030, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)
ISSUER = "https://evidence.example.org"
AUDIENCE = ISSUER
CLIENT = "tool-7f"
AUTHORITY = "police.example"
TYPES = {"access": "at+jwt", "assertion": "client-authentication+jwt"}
LIFETIME = {"access": 600, "assertion": 60}
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def kid_of(key: ec.EllipticCurvePublicKey) -> str:
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def attacks() -> list[dict]:
    return [case for path in sorted(ATTACKS.glob("*.json")) for case in json.loads(path.read_text("utf-8"))]


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def header(kind: str, key: ec.EllipticCurvePrivateKey) -> dict:
    return {"alg": "ES256", "kid": kid_of(key.public_key()), "typ": TYPES[kind]}


def claims(kind: str) -> dict:
    now = int(NOW.timestamp())
    common = {"sub": CLIENT, "aud": AUDIENCE, "iat": now, "exp": now + LIFETIME[kind], "jti": "0123456789abcdef"}
    if kind == "assertion":
        return {"iss": CLIENT} | common
    own = {"client_id": CLIENT, "authority": AUTHORITY, "scope": "sender receiver", "cnf": {"kid": "ab" * 32}}
    return {"iss": ISSUER} | common | own


def forge(kind: str, key: ec.EllipticCurvePrivateKey, recipe: dict) -> str:
    head = _text(header(kind, key), recipe, "header")
    clock = {name: int(NOW.timestamp()) + seconds for name, seconds in recipe.get("clock", {}).items()}
    body = _text(claims(kind) | clock, recipe, "claims")
    signed = f"{base64url(_bytes(head))}.{base64url(_bytes(body))}"
    token = f"{signed}.{base64url(_signature(recipe.get('sign', 'es256'), signed.encode(), key))}"
    if "swap" in recipe:
        old, new = recipe["swap"]
        assert old in token
        token = token.replace(old, new, 1)
    before, after = recipe.get("wrap", ["", ""])
    return before + token + after


def _text(members: dict, recipe: dict, part: str) -> str:
    if f"{part}_text" in recipe:
        return recipe[f"{part}_text"]
    members = {name: value for name, value in members.items() if name not in recipe.get(f"drop_{part}", [])}
    return "{" + recipe.get(f"{part}_splice", "") + json.dumps(members | recipe.get(part, {}))[1:]


def _bytes(text: str) -> bytes:
    """Recipes spell bytes that are not UTF-8 as lone surrogates."""
    return text.encode("utf-8", "surrogateescape")


def _signature(how: str, signed: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    public = key.public_key()
    if how == "none":
        return b""
    if how.startswith("hs"):
        secret = {
            "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            "raw": public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
            "compressed": public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint),
            "empty": b"",
            "kid": kid_of(public).encode(),
        }[how.split()[1]]
        return hmac.digest(secret, signed, f"sha{how[2:5]}")
    if how == "rs256":
        return rsa.generate_private_key(65537, 2048).sign(signed, padding.PKCS1v15(), hashes.SHA256())
    if how == "stranger":
        return raw(ec.generate_private_key(ec.SECP256R1()), signed)
    if how in ("secp256k1", "p384"):
        curve = ec.SECP256K1() if how == "secp256k1" else ec.SECP384R1()
        return raw(ec.generate_private_key(curve), signed)
    if how == "p256-sha384":
        return raw(key, signed, hashes.SHA384())
    good = raw(key, signed)
    return {
        "es256": good,
        "der": key.sign(signed, ec.ECDSA(hashes.SHA256())),
        "zeros": bytes(64),
        "r zero": bytes(32) + good[32:],
        "s zero": good[:32] + bytes(32),
        "order": ORDER.to_bytes(32, "big") * 2,
        "s plus order": good[:32] + (2**256 - 1).to_bytes(32, "big"),
        "one byte more": good + b"\0",
        "one byte less": good[:-1],
        "halves swapped": good[32:] + good[:32],
        "other payload": raw(key, signed + b"."),
    }[how]


def raw(key: ec.EllipticCurvePrivateKey, signed: bytes, digest: hashes.HashAlgorithm | None = None) -> bytes:
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(digest or hashes.SHA256())))
    size = (key.curve.key_size + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")
