"""The service's own certificate authority and server certificate, for a service that nobody gave one.

The authority is for pinning: clients are handed `ca.pem` by a trusted way and trust it for this service alone. It
may certify servers only (path length 0, extended key usage serverAuth), but any name: its hostnames change over ten
years, so it carries no name constraints and does not belong into the trust store of an operating system
or a browser. Whoever has a certificate from elsewhere uses it instead (setting ROGATORY_TLS=files).

Files: `ca.pem`, `ca.key`, `server.pem`, `server.key`; keys are PKCS#8 PEM, mode 0600. Keys are P-256.
Source: RFC 5280 section 4.2; CA/Browser Forum baseline requirements 6.3.2 for the 398 days.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from app.auth import private_files
from custody.errors import FormatError

AUTHORITY_LIFE = timedelta(days=3652)
SERVER_LIFE = timedelta(days=397)
# Certificates begin a little early, for clients whose clock is behind; with SERVER_LIFE within 398 days.
BACKDATED = timedelta(hours=1)

_DNS_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z")


class HostnameMalformed(FormatError):
    """Neither an IP address nor a plain DNS name (no wildcard; other scripts in their ASCII form)."""

    code = "hostname-malformed"


class CertificateMalformed(FormatError):
    """A certificate or key file of the service does not hold what its name says."""

    code = "certificate-malformed"


@dataclass(frozen=True)
class Paths:
    """Where the files are. Clients get `ca_cert`; the server is given the other two."""

    ca_cert: Path
    server_cert: Path
    server_key: Path


def ensure(directory: Path, hostnames: Iterable[str], now: datetime) -> Paths:
    """Make or renew what is missing, changed, or within the last third of its life; else touch nothing.

    The authority's key is kept for ever: a renewed `ca.pem` has the same key and name, so whoever pinned the old
    one goes on until that one's end. Each server certificate has a key of its own. A crash at any point is
    repaired by the next call.

    Args:
        directory: Made with mode 0700 if absent.
        hostnames: DNS names and IP addresses that clients will use; at least one. Order and case do not matter.
        now: Aware.

    Raises:
        HostnameMalformed: A name that no certificate can carry, or none at all.
        CertificateMalformed: A file holds something else. Move it away to have it made anew.
        PrivateFileExposed: A key file is readable by others.
        FileNotFoundError: `ca.pem` is there, its key is needed and is not.
    """
    names = _general_names(hostnames)
    private_files.private_directory(directory)
    paths = Paths(directory / "ca.pem", directory / "server.pem", directory / "server.key")
    if not paths.ca_cert.exists() or _is_old(_certificate(paths.ca_cert), now):
        _make_authority(paths.ca_cert, directory / "ca.key", now)
    authority = _certificate(paths.ca_cert)
    if not _is_good(paths, authority, names, now):
        _make_server(paths, authority, _key(directory / "ca.key"), names, now)
    return paths


def expires(paths: Paths) -> datetime:
    """When the server certificate ends, aware.

    Raises:
        CertificateMalformed: The file holds no certificate.
    """
    return _certificate(paths.server_cert).not_valid_after_utc


def _general_names(hostnames: Iterable[str]) -> list[x509.GeneralName]:
    names: dict[str, x509.GeneralName] = {}
    for hostname in sorted(name.lower().removesuffix(".") for name in hostnames):
        try:
            address = ip_address(hostname)
        except ValueError:
            if not _DNS_NAME.match(hostname) or hostname.rpartition(".")[2].isdigit():
                raise HostnameMalformed(f"{hostname!r} found, expected a DNS name or an IP address") from None
            names[hostname] = x509.DNSName(hostname)
        else:
            if getattr(address, "scope_id", None):
                raise HostnameMalformed(f"{hostname!r} found, expected an address without a zone")
            names[str(address)] = x509.IPAddress(address)
    if not names:
        raise HostnameMalformed("no hostname found, expected at least one")
    return list(names.values())


def _is_old(certificate: x509.Certificate, now: datetime) -> bool:
    """Less than a third of the life remains, or it has not begun (a clock set back)."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now < begin or end - now < (end - begin) / 3


def _is_good(paths: Paths, authority: x509.Certificate, names: list[x509.GeneralName], now: datetime) -> bool:
    """Whether the server's pair can serve on: there, matching each other, ours, young, of these names."""
    if not paths.server_cert.exists() or not paths.server_key.exists():
        return False
    certificate, key = _certificate(paths.server_cert), _key(paths.server_key)
    try:
        certificate.verify_directly_issued_by(authority)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return certificate.public_key() == key.public_key() and set(found) == set(names) and not _is_old(certificate, now)


def _make_authority(cert_path: Path, key_path: Path, now: datetime) -> None:
    """Key first: a certificate never stands without it."""
    if not cert_path.exists():
        private_files.write_new(key_path, _pem(ec.generate_private_key(ec.SECP256R1())))
    key = _key(key_path)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Rogatory service {identifier.digest.hex()[:16]}")])
    builder = (
        _builder(name, name, key.public_key(), begin=now - BACKDATED, end=now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    private_files.write(cert_path, builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM), mode=0o644)


def _make_server(
    paths: Paths,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName],
    now: datetime,
) -> None:
    """Key and certificate, in this order: a crash between leaves a pair that does not match and is made again."""
    if authority_key.public_key() != authority.public_key():
        raise CertificateMalformed(f"ca.key does not belong to {paths.ca_cert}, expected the key it was made with")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Rogatory server")])
    end = min(now + SERVER_LIFE, authority.not_valid_after_utc)
    builder = (
        _builder(authority.subject, subject, key.public_key(), begin=now - BACKDATED, end=end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    private_files.write(paths.server_key, _pem(key))
    certificate = builder.sign(authority_key, hashes.SHA256()).public_bytes(Encoding.PEM)
    private_files.write(paths.server_cert, certificate, mode=0o644)


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority, key_cert_sign=authority, crl_sign=authority,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise CertificateMalformed(f"{path} holds no certificate, expected one in PEM") from error


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(private_files.read_private(path), password=None)
    except (ValueError, TypeError) as error:
        raise CertificateMalformed(f"{path} holds no plain private key, expected PKCS#8 PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateMalformed(f"{path} holds another kind of key, expected one on P-256")
    return key
