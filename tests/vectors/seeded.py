"""Randomness that is the same in every run, for vectors that are: keys, nonces, salts, signatures.

ML-DSA-44 and what else randomises its signatures is replaced by an implementation that others wrote and that can be
told not to.
"""

import contextlib
import functools
import hashlib
import os
import secrets
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from dilithium_py.ml_dsa import ML_DSA_44

from custody.keys import SigningKey
from custody.note import KeyType, SignerKey, VerifierKey
from custody.sealing import recipients

_CURVE = ec.SECP256R1()
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Stream:
    """Bytes that follow from a name."""

    def __init__(self, name):
        self._name, self._count = name, 0

    def bytes(self, size=32):
        found = b""
        while len(found) < size:
            self._count += 1
            found += hashlib.sha256(f"{self._name} {self._count}".encode()).digest()
        return found[:size]


class PlainMlDsa:
    """A private key as our signer takes one."""

    def __init__(self, seed):
        self.public, self._secret = _derived(seed)

    def sign(self, message):
        return _signed(self._secret, message)


@functools.cache
def _derived(seed):
    return ML_DSA_44.key_derive(seed)


@functools.cache
def _signed(secret, message):
    """The same again for all rows that share a beginning: this implementation takes a while."""
    return ML_DSA_44.sign(secret, message, deterministic=True)


def _signing_key(stream):
    def generate(alg="ed25519"):
        if alg == "es256":
            number = int.from_bytes(stream.bytes(48), "big") % (_ORDER - 1) + 1
            return SigningKey.of(ec.derive_private_key(number, _CURVE))
        assert alg == "ed25519"
        return SigningKey.of(ed25519.Ed25519PrivateKey.from_private_bytes(stream.bytes()))

    return generate


def _signer_key(stream):
    def generate(name, kind):
        seed = stream.bytes()
        if kind == KeyType.COSIGN_MLDSA44:
            private = PlainMlDsa(seed)
            return SignerKey(verifier=VerifierKey(name, KeyType(kind), private.public), private=private)
        return SignerKey.from_private(name, kind, ed25519.Ed25519PrivateKey.from_private_bytes(seed))

    return generate


_sign = SigningKey.sign


def _sign_the_same(key, message):
    if isinstance(key._private, ec.EllipticCurvePrivateKey):
        der = key._private.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        return b"".join(part.to_bytes(32, "big") for part in decode_dss_signature(der))
    return _sign(key, message)


@contextlib.contextmanager
def seeded(name):
    """Everything that is drawn meanwhile follows from the name."""
    stream = Stream(name)
    ephemeral = SimpleNamespace(generate=lambda: X25519PrivateKey.from_private_bytes(stream.bytes()))
    ephemeral.from_private_bytes = X25519PrivateKey.from_private_bytes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "urandom", stream.bytes)
        patch.setattr(secrets, "token_bytes", stream.bytes)
        patch.setattr(secrets, "token_hex", lambda size=32: stream.bytes(size).hex())
        patch.setattr(SigningKey, "generate", staticmethod(_signing_key(stream)))
        patch.setattr(SigningKey, "sign", _sign_the_same)
        patch.setattr(SignerKey, "generate", staticmethod(_signer_key(stream)))
        patch.setattr(recipients, "X25519PrivateKey", ephemeral)
        yield
