"""The state directory: what a service keeps of itself, made once and never by two hands.

origin                          the log's name, fixed when the state is made
log/ed25519.pem, log/mldsa44.pem   the log's keys, PKCS#8 PEM, mode 0600
tokens/                         keys of access tokens (`app.auth.token_keys`)
tls/                            private authority and certificate (`app.auth.certificates`)
rogatory.db, store/             the default database and object store
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from app.auth import certificates, private_files
from app.auth.tokens import TokenKeys
from app.errors import StateConflict
from app.settings import Settings, Tls
from custody.note import KeyType, SignerKey

ORIGIN: Final = "origin"
LOG_KEYS: Final = {"ed25519.pem": KeyType.ED25519, "mldsa44.pem": KeyType.COSIGN_MLDSA44}


@dataclass(frozen=True)
class State:
    """What a service keeps of itself.

    Attributes:
        origin: The log's name.
        signers: The log's keys.
        token_keys: For access tokens.
        tls: Certificate and key to serve with; None behind a proxy.
        made: What was made now, and where.
    """

    origin: str
    signers: tuple[SignerKey, ...]
    token_keys: TokenKeys
    tls: certificates.Paths | None
    made: tuple[tuple[str, Path], ...]


def is_made(settings: Settings) -> bool:
    """Whether a state lies in the directory."""
    return (settings.state / ORIGIN).exists()


def prepare(settings: Settings, now: datetime) -> State:
    """Open the state, making whatever of it is missing.

    Raises:
        StateConflict: The origin that is set differs from the one kept, or a log that began lacks its keys.
        PrivateFileExposed, FormatError: A key file is open to others, or holds something else.
    """
    made: list[tuple[str, Path]] = []
    private_files.private_directory(settings.state)
    begun = is_made(settings)
    signers = []
    origin = _origin(settings)
    for name, kind in LOG_KEYS.items():
        signers.append(_log_key(settings.state / "log" / name, origin, kind, begun=begun, made=made))
    if not begun:
        private_files.write(settings.state / ORIGIN, f"{origin}\n".encode())
        made.append((f"the log's origin: {origin}", settings.state / ORIGIN))
    tokens = settings.state / "tokens"
    if not (tokens / "current.pem").exists():
        made.append(("keys of access tokens", tokens))
    keys = TokenKeys.load(tokens)
    return State(origin, tuple(signers), keys, _tls(settings, now, made), tuple(made))


def certificate(settings: Settings, now: datetime) -> certificates.Paths | None:
    """The certificate to serve with, renewed if it is due; None behind a proxy."""
    return _tls(settings, now, [])


def _origin(settings: Settings) -> str:
    path = settings.state / ORIGIN
    if not path.exists():
        return settings.origin or f"{urlsplit(settings.public_url).netloc}/log"
    kept = path.read_text(encoding="ascii").strip()
    if settings.origin and settings.origin != kept:
        raise StateConflict(
            f"ROGATORY_ORIGIN is {settings.origin}, the state in {settings.state} belongs to the log {kept}",
            hint="a log never changes its name: unset the variable, or take another state directory",
        )
    return kept


def _log_key(path: Path, origin: str, kind: KeyType, *, begun: bool, made: list[tuple[str, Path]]) -> SignerKey:
    if not path.exists():
        if begun:
            raise StateConflict(
                f"{path} is missing, and the log has begun",
                hint="restore it from your backup; a new key is another log",
            )
        private_files.private_directory(path.parent)
        private = Ed25519PrivateKey.generate() if kind is KeyType.ED25519 else MLDSA44PrivateKey.generate()
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        private_files.write_new(path, pem)
        made.append(("a key of the log", path))
    loaded = serialization.load_pem_private_key(private_files.read_private(path), None)
    return SignerKey.from_private(origin, kind, loaded)  # type: ignore[arg-type] # it checks the type


def _tls(settings: Settings, now: datetime, made: list[tuple[str, Path]]) -> certificates.Paths | None:
    if settings.tls is Tls.BEHIND_PROXY:
        return None
    if settings.tls is Tls.FILES:
        assert settings.tls_certificate is not None
        assert settings.tls_key is not None
        return certificates.Paths(settings.tls_certificate, settings.tls_certificate, settings.tls_key)
    directory = settings.state / "tls"
    if not (directory / "ca.pem").exists():
        made.append(("a private certificate authority, for clients to pin", directory / "ca.pem"))
    host = urlsplit(settings.public_url).hostname
    return certificates.ensure(directory, {*settings.hostnames, *([host] if host else [])}, now)
