"""Time-stamping authorities for tests: certificates made here, stamps made by `openssl ts`."""

import secrets
import subprocess
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from custody import timestamp
from custody.trust import TimestampAuthority

POLICY = "1.3.6.1.4.1.32473.1"
_CONFIGURATION = """\
[ tsa ]
default_tsa = here
[ here ]
serial = {folder}/serial
signer_cert = {folder}/signer.pem
signer_key = {folder}/signer.key
certs = {folder}/chain.pem
signer_digest = sha256
default_policy = {policy}
digests = sha256, sha512
accuracy = secs:1, millisecs:500
ess_cert_id_alg = sha256
"""


class Tsa:
    """An authority with a root, a certificate between and a signer, all ending when they are told to."""

    def __init__(self, folder, name, *, lasts=timedelta(days=3650), usages=None, policy=POLICY, kind="rsa", lists=None):
        self.folder, self.name, self.policy, self.lists = folder, name, policy, lists
        folder.mkdir(parents=True)
        self.begins = datetime.now(UTC) - timedelta(days=1)
        self.ends = datetime.now(UTC) + lasts
        self.root_key, self.middle_key = (
            ec.generate_private_key(ec.SECP256R1()),
            ec.generate_private_key(ec.SECP256R1()),
        )
        self.key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
        self.root = self.certify("root", self.root_key, None)
        self.middle = self.certify("middle", self.middle_key, self.root)
        usages = [ExtendedKeyUsageOID.TIME_STAMPING] if usages is None else usages
        self.signer = self.certify("signer", self.key, self.middle, usages=usages)
        self.write()

    def certify(self, what, key, issuer, usages=(), number=None):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{self.name} {what}")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(number or secrets.randbits(100) + 1)
            .not_valid_before(self.begins)
            .not_valid_after(self.ends)
            .add_extension(x509.BasicConstraints(ca=not usages, path_length=None), critical=True)
        )
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=True)
        if self.lists:
            point = x509.DistributionPoint([x509.UniformResourceIdentifier(self.lists)], None, None, None)
            builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
        by = {None: self.root_key, "root": self.root_key, "middle": self.middle_key}
        name = issuer and issuer.subject.rfc4514_string().split(" ")[-1]
        return builder.sign(by[name], hashes.SHA256())

    def write(self):
        pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        (self.folder / "signer.pem").write_bytes(self.signer.public_bytes(pem))
        (self.folder / "signer.key").write_bytes(self.key.private_bytes(pem, private, serialization.NoEncryption()))
        (self.folder / "chain.pem").write_bytes(self.middle.public_bytes(pem) + self.root.public_bytes(pem))
        (self.folder / "root.pem").write_bytes(self.root.public_bytes(pem))
        (self.folder / "serial").write_text("01")
        text = _CONFIGURATION.format(folder=self.folder, policy=self.policy)
        (self.folder / "tsa.cnf").write_text(text)

    def answer(self, query):
        """The reply to a query, by openssl."""
        (self.folder / "query").write_bytes(query)
        command = ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return (self.folder / "reply").read_bytes()

    def stamp(self, data):
        return self.answer(timestamp.query(data)[0])

    def revoked(self, reason, at=None):
        """A revocation list of the middle certificate that names the signer, DER."""
        at = at or datetime.now(UTC)
        entry = x509.RevokedCertificateBuilder().serial_number(self.signer.serial_number).revocation_date(at)
        return self.listing(entry.add_extension(x509.CRLReason(reason), critical=False).build())

    def listing(self, *entries, made=None, until=None):
        """A revocation list of the middle certificate, DER."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.middle.subject)
        builder = builder.last_update(made or self.begins).next_update(until or self.ends)
        for entry in entries:
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self.middle_key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    @property
    def trusted(self):
        return TimestampAuthority(self.name, (der_of(self.root),), (self.policy,))


def der_of(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


@contextmanager
def served(answer, fetched=None):
    """An address at which `answer` makes of a query (status, body), and `fetched` of a path (status, body)."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            assert self.headers["Content-Type"] == "application/timestamp-query"
            self.reply(*answer(self.rfile.read(int(self.headers["Content-Length"]))))

        def do_GET(self):
            status, body, *place = fetched(self.path)
            self.reply(status, body, **({"Location": place[0]} if place else {}))

        def reply(self, status, body, **headers):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/tsa"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
