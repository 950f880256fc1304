"""A client that trusts the service's own authority reaches the service under its names and nobody under others."""

import contextlib
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from app.auth import certificates, private_files
from app.auth.certificates import CertificateMalformed, HostnameMalformed, Paths, ensure, expires
from app.auth.private_files import PrivateFileExposed

NAMES = ["evidence.example.org", "localhost", "127.0.0.1", "::1"]
NOW = datetime.now(UTC)
KEY_FILES = ("ca.key", "server.key")


def handshake(paths: Paths, name: str, *, trusted=None):
    """A whole TLS handshake in memory; returns the client's side when both have finished."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(paths.server_cert, paths.server_key)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    client_context.load_verify_locations(trusted or paths.ca_cert)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(down, up, server_hostname=name)
    server = server_context.wrap_bio(up, down, server_side=True)
    waiting = [client, server]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)
    return client


def load(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def paths(tmp_path):
    return ensure(tmp_path / "tls", NAMES, NOW)


@pytest.mark.parametrize("name", NAMES)
def test_a_client_that_trusts_the_authority_connects_under_every_name(paths, name):
    assert handshake(paths, name).version() == "TLSv1.3"


@pytest.mark.parametrize("name", ["example.org", "x.evidence.example.org", "other.example.org", "127.0.0.2", "::2"])
def test_a_client_refuses_the_certificate_under_any_other_name(paths, name):
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(paths, name)


def test_a_client_that_trusts_another_authority_refuses_the_certificate(paths, tmp_path):
    other = ensure(tmp_path / "other", NAMES, NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(paths, "localhost", trusted=other.ca_cert)


def test_the_server_certificate_is_no_authority_and_the_authority_no_more_than_one(paths):
    authority, server = load(paths.ca_cert), load(paths.server_cert)
    for certificate, is_authority in ((authority, True), (server, False)):
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert basic.critical
        assert usage.critical
        assert basic.value.ca is usage.value.key_cert_sign is is_authority
        assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


def test_lives_are_ten_years_and_at_most_398_days(paths):
    authority, server = load(paths.ca_cert), load(paths.server_cert)
    assert timedelta(days=3650) <= authority.not_valid_after_utc - NOW <= timedelta(days=3653)
    assert server.not_valid_after_utc - server.not_valid_before_utc <= timedelta(days=398)
    assert expires(paths) == server.not_valid_after_utc


def test_keys_are_the_owners_alone_and_no_scratch_is_left(paths):
    directory = paths.ca_cert.parent
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {name: (directory / name).stat().st_mode & 0o777 for name in KEY_FILES} == dict.fromkeys(KEY_FILES, 0o600)
    assert sorted(contents(directory)) == ["ca.key", "ca.pem", "server.key", "server.pem"]


@given(
    order=st.permutations([*NAMES, "LOCALHOST", "evidence.example.org.", "0:0:0:0:0:0:0:1"]), days=st.integers(0, 260)
)
def test_nothing_is_touched_while_names_and_age_are_good(tmp_path_factory, order, days):
    directory = tmp_path_factory.mktemp("tls")
    ensure(directory, NAMES, NOW)
    before = contents(directory)
    ensure(directory, order, NOW + timedelta(days=days))
    assert contents(directory) == before


def test_the_server_certificate_is_renewed_in_the_last_third_of_its_life(paths):
    before, directory = contents(paths.ca_cert.parent), paths.ca_cert.parent
    server = load(paths.server_cert)
    edge = server.not_valid_after_utc - (server.not_valid_after_utc - server.not_valid_before_utc) / 3
    ensure(directory, NAMES, edge)
    assert contents(directory) == before
    ensure(directory, NAMES, edge + timedelta(seconds=1))
    after = contents(directory)
    assert {name for name in after if after[name] != before[name]} == {"server.pem", "server.key"}
    assert expires(paths) > server.not_valid_after_utc


@pytest.mark.parametrize("names", [NAMES[:1], [*NAMES, "new.example.org"], ["10.0.0.1"]])
def test_changed_names_renew_the_server_certificate_under_the_same_authority(paths, names):
    ca = paths.ca_cert.read_bytes()
    ensure(paths.ca_cert.parent, names, NOW)
    assert paths.ca_cert.read_bytes() == ca
    assert handshake(paths, names[-1]).version() == "TLSv1.3"


def test_a_renewed_authority_is_still_the_one_that_clients_pinned(paths, tmp_path):
    pinned = tmp_path / "pinned.pem"
    pinned.write_bytes(paths.ca_cert.read_bytes())
    server_cert = paths.server_cert.read_bytes()
    before = load(pinned)
    ensure(paths.ca_cert.parent, NAMES, NOW + timedelta(days=2500))
    renewed = load(paths.ca_cert)
    assert (renewed.subject, renewed.public_key()) == (before.subject, before.public_key())
    assert renewed.not_valid_after_utc > before.not_valid_after_utc
    load(paths.server_cert).verify_directly_issued_by(before)
    assert paths.server_cert.read_bytes() != server_cert


def test_no_server_certificate_outlives_its_authority(tmp_path, monkeypatch):
    monkeypatch.setattr(certificates, "AUTHORITY_LIFE", timedelta(days=30))
    paths = ensure(tmp_path, NAMES, NOW)
    assert expires(paths) == load(paths.ca_cert).not_valid_after_utc


def test_a_clock_set_back_behind_the_certificate_makes_a_new_one(paths):
    ensure(paths.ca_cert.parent, NAMES, NOW - timedelta(days=3))
    assert load(paths.server_cert).not_valid_before_utc < NOW - timedelta(days=3)
    assert load(paths.ca_cert).not_valid_before_utc < NOW - timedelta(days=3)


class Crash(BaseException):
    pass


@pytest.mark.parametrize("step", range(5))
@pytest.mark.parametrize("persisted", [True, False])
def test_a_crash_at_any_write_is_repaired_by_the_next_start(tmp_path, monkeypatch, step, persisted):
    steps = 0

    def crashing(function):
        def call(*args, **kwargs):
            nonlocal steps
            if steps == step and not persisted:
                raise Crash
            result = function(*args, **kwargs)
            if steps == step:
                raise Crash
            steps += 1
            return result

        return call

    with monkeypatch.context() as patch:
        for name in ("write", "write_new"):
            patch.setattr(private_files, name, crashing(getattr(private_files, name)))
        try:
            ensure(tmp_path, NAMES, NOW)
        except Crash:
            assert step < 4
        else:
            assert step == 4
    assert handshake(ensure(tmp_path, NAMES, NOW), "localhost").version() == "TLSv1.3"


@pytest.mark.parametrize("name", ["server.pem", "server.key"])
def test_a_lost_server_file_is_made_again(paths, name):
    (paths.ca_cert.parent / name).unlink()
    assert handshake(ensure(paths.ca_cert.parent, NAMES, NOW), "localhost").version() == "TLSv1.3"


def test_a_certificate_of_another_authority_is_replaced(paths, tmp_path):
    other = ensure(tmp_path / "other", NAMES, NOW)
    paths.server_cert.write_bytes(other.server_cert.read_bytes())
    private_files.write(paths.server_key, other.server_key.read_bytes())
    assert handshake(ensure(paths.ca_cert.parent, NAMES, NOW), "localhost").version() == "TLSv1.3"


@pytest.mark.parametrize("name", ["ca.pem", "server.pem"])
def test_a_file_that_is_no_certificate_is_refused_and_left_alone(paths, name):
    (paths.ca_cert.parent / name).write_bytes(b"junk")
    with pytest.raises(CertificateMalformed, match="expected one in PEM"):
        ensure(paths.ca_cert.parent, NAMES, NOW)
    assert (paths.ca_cert.parent / name).read_bytes() == b"junk"


def test_a_server_key_of_another_kind_is_refused(paths):
    for data in (
        b"junk",
        ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    ):
        private_files.write(paths.server_key, data)
        with pytest.raises(CertificateMalformed):
            ensure(paths.ca_cert.parent, NAMES, NOW)


@pytest.mark.parametrize("name", KEY_FILES)
def test_a_key_open_to_others_is_refused(paths, name):
    (paths.ca_cert.parent / name).chmod(0o644)
    with pytest.raises(PrivateFileExposed):
        ensure(paths.ca_cert.parent, [*NAMES, "new.example.org"], NOW)


def test_the_key_of_another_authority_signs_nothing(paths, tmp_path):
    other = ensure(tmp_path / "other", NAMES, NOW).ca_cert.parent / "ca.key"
    private_files.write(paths.ca_cert.parent / "ca.key", other.read_bytes())
    before = contents(paths.ca_cert.parent)
    with pytest.raises(CertificateMalformed, match="does not belong"):
        ensure(paths.ca_cert.parent, ["new.example.org"], NOW)
    assert contents(paths.ca_cert.parent) == before


def test_an_authority_whose_key_was_taken_away_serves_until_a_renewal_is_due(paths):
    (paths.ca_cert.parent / "ca.key").unlink()
    ensure(paths.ca_cert.parent, NAMES, NOW)
    for names, now in (
        (["new.example.org"], NOW),
        (NAMES, NOW + timedelta(days=300)),
        (NAMES, NOW + timedelta(days=2500)),
    ):
        with pytest.raises(FileNotFoundError):
            ensure(paths.ca_cert.parent, names, now)


@pytest.mark.parametrize(
    "name",
    ["", "*.example.org", "a b", "example..org", "-a.org", "a-.org", "ex_ample.org", "münchen.example", "1.2.3", "999.1.1.1",
     "fe80::1%eth0", "a\n", "a" * 64 + ".org", "a." * 127 + "org", "https://example.org", "example.org:8443", "a/b", "a\0b"],
)  # fmt: skip
def test_a_name_no_certificate_can_carry_is_refused_before_anything_is_made(tmp_path, name):
    with pytest.raises(HostnameMalformed):
        ensure(tmp_path / "tls", ["localhost", name], NOW)
    assert not (tmp_path / "tls").exists()


def test_no_names_at_all_are_refused(tmp_path):
    with pytest.raises(HostnameMalformed, match="at least one"):
        ensure(tmp_path / "tls", [], NOW)


@given(st.text())
def test_any_text_as_a_name_is_taken_or_refused_and_nothing_else(name):
    with contextlib.suppress(HostnameMalformed):
        assert certificates._general_names([name])
