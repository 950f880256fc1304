"""Authorities as the service meets them: keys, statements, tokens, and requests; everything a tool does, by hand."""

import hashlib
import secrets
import time
from base64 import b64decode
from dataclasses import dataclass, field

import httpx
from blake3 import blake3

from app.auth.tokens import make_client_assertion
from custody import entry, leaf, sealing, statement
from custody.keys import KeyRecord, SigningKey
from custody.manifest import sealed_item
from custody.proof import TlogProof
from custody.text import to_time

ROLES = ["approver", "auditor", "receiver", "requester", "sender", "validator"]
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}
MIB = 1024 * 1024
RENEW_AFTER = 500


def token():
    return secrets.token_hex(16)


class Authority:
    """An authority with its keys; its principals are made by `enrol`."""

    def __init__(self, service, name, kind="x25519"):
        self.service, self.id = service, name
        self.handle = leaf.registry_handle(service.origin, name).hex()
        self.key, self.recovery = SigningKey.generate(), SigningKey.generate()
        self.identity = sealing.generate_identity(kind)

    def common(self, kind, chain, **members):
        payload = {"v": 1, "kind": kind, "log": self.service.origin, "chain": chain, "nonce": token()}
        payload |= {"time": to_time(self.service.now()), "signer": {"authority": self.id}}
        return payload | members

    def founding(self):
        keys = [
            (self.key.public, "authority"),
            (self.recovery.public, "recovery"),
            (self.identity.recipient, "encryption"),
        ]
        members = {"name": f"Office {self.id}", "country": "NL", "sign_with": ["ed25519"]}
        payload = self.common(
            "enrolment", self.handle, keys=self.records(keys, self.id), recovery=self.recovery.public.id, **members
        )
        return statement.sign(payload, [self.key, self.recovery])

    def records(self, keys, holder):
        rows = [KeyRecord.of(key, use=use, holder=holder).fields() for key, use in keys]
        return sorted(rows, key=lambda row: row["id"])

    def says(self, event, subject, **detail):
        """An act of the authority itself, in its registry."""
        payload = self.common("act", self.handle, event=event, subject=subject)
        return statement.sign(payload | ({"detail": detail} if detail else {}), [self.key])

    def lodge(self, said, expect=201, **more):
        return self.service.post(f"/v1/authorities/{self.id}/registry", said, expect=expect, **more)

    def enrol(self, *roles):
        """A principal with these roles, all by default."""
        principal = Principal(self, sorted(roles or ROLES))
        self.lodge(principal.enrolment())
        return principal


class Principal:
    """A client of an authority: signs statements, logs in, sends requests."""

    def __init__(self, authority, roles):
        self.authority, self.roles, self.id = authority, roles, token()
        self.service = authority.service
        self.voice, self.login = SigningKey.generate(), SigningKey.generate("es256")
        self._token, self._renew_at = None, 0.0

    def enrolment(self):
        keys = self.authority.records([(self.voice.public, "statement"), (self.login.public, "login")], self.id)
        principal = {"id": self.id, "type": "client", "roles": self.roles}
        payload = self.authority.common("enrolment", self.authority.handle, keys=keys, principal=principal)
        return statement.sign(payload, [self.authority.key, self.voice, self.login])

    # ------------------------------------------------------------ statements

    def say(self, kind, chain, **members):
        payload = self.authority.common(kind, chain)
        payload["signer"] = {"authority": self.authority.id, "principal": self.id}
        return statement.sign(payload | members, [self.voice])

    def act(self, event, chain, subject=None, detail=None, **members):
        optional = {"subject": subject, "detail": detail}
        return self.say("act", chain, event=event, **{name: each for name, each in optional.items() if each}, **members)

    # ------------------------------------------------------------ requests

    def assertion(self, **changes):
        facts = {
            "kid": self.login.public.id,
            "issuer": self.id,
            "audience": self.service.url,
            "now": self.service.now(),
            "jti": secrets.token_urlsafe(24),
        }
        return make_client_assertion(self.login._private, **(facts | changes))

    def log_in(self, expect=200, **fields):
        form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION}
        form |= {"client_assertion": self.assertion()} | fields
        answer = self.service.http.post("/oauth/token", data=form)
        assert answer.status_code == expect, answer.text
        return answer.json()

    @property
    def headers(self):
        """With a token; one that has little of its ten minutes left is renewed, for a deep run takes longer than that."""
        if self._token is None or time.monotonic() > self._renew_at:
            self._token, self._renew_at = self.log_in()["access_token"], time.monotonic() + RENEW_AFTER
        return {"Authorization": f"Bearer {self._token}"}

    def forget(self):
        self._token = None

    def request(self, method, path, expect=200, headers=None, **more):
        answer = self.service.http.request(method, path, headers={**self.headers, **(headers or {})}, **more)
        assert expect in {None, answer.status_code}, (method, path, answer.status_code, answer.text)
        return answer

    def get(self, path, expect=200, **more):
        return self.request("GET", path, expect, **more)

    def post(self, path, said, expect=201, **more):
        """Lodge a statement; its record, if there is one, is checked."""
        headers = {**self.headers, **more.pop("headers", {})}
        return self.service.post(path, said, expect=expect, headers=headers, **more)

    # ------------------------------------------------------------ the matter

    def open_exchange(self, *others, auditors=()):
        handle = secrets.token_hex(32)
        detail = {"parties": sorted([self.authority.id, *(each.id for each in others)])}
        if auditors:
            detail["auditors"] = sorted(each.id for each in auditors)
        answer = self.post("/v1/exchanges", self.act("exchange.opened", handle, detail=detail))
        return Matter(handle, answer.json()["exchange"])

    def declare(self, matter, *recipients):
        package = token()
        detail = {"recipients": sorted(each.id for each in recipients)}
        said = self.act("package.declared", matter.handle, {"package": package}, detail)
        self.post(f"/v1/exchanges/{matter.id}/packages", said)
        return package

    def create(self, package, item, length, expect=201, **query):
        headers = {**TUS, "Upload-Length": str(length)}
        path = f"/v1/packages/{package}/items/{item}/uploads"
        return self.request("POST", path, expect, headers=headers, params=query)

    def patch(self, location, offset, data, expect=204, **headers):
        sent = {**TUS, **BYTES, "Upload-Offset": str(offset), **headers}
        return self.request("PATCH", location, expect, headers=sent, content=data)

    def offset(self, location):
        return int(self.request("HEAD", location, headers=TUS).headers["Upload-Offset"])

    def upload(self, package, item):
        location = self.create(package, item.id, len(item.body)).headers["Location"]
        return self.patch(location, 0, item.body)

    def put_header(self, package, header, expect=201):
        path = f"/v1/packages/{package}/headers/{hashlib.sha256(header).hexdigest()}"
        return self.request("PUT", path, expect, headers={"Content-Type": "application/octet-stream"}, content=header)

    def manifest(self, matter, package, items, to, **changes):
        first, *rest = items
        members = {
            "handling": "police-only",
            "inventory": first.member,
            "inventory_commitment": "11" * 32,
            "items": sorted((item.member for item in rest), key=lambda each: each["id"]),
            "package": package,
            "recipients": receivers(to),
            "retain_until": to_time(self.service.now().replace(year=self.service.now().year + 5)),
            "sealing": "x25519",
        }
        return self.say("manifest", matter.handle, **(members | changes))

    def send(self, matter, *recipients, count=2, size=1000, **changes):
        """Declare, upload, seal: a package with its manifest."""
        package = self.declare(matter, *recipients)
        keys = [each.identity.recipient for each in recipients]
        items = [Item(secrets.token_bytes(size), keys) for _ in range(count)]
        for item in items:
            self.upload(package, item)
            self.put_header(package, item.header)
        manifest = self.manifest(matter, package, items, recipients, **changes)
        record = self.post(f"/v1/packages/{package}/seal", manifest).json()["record"]
        return Sent(matter, package, items, manifest, entry.parse(record["entry"].encode()))

    def release(self, sent, expect=201, grant=None, **detail):
        detail = {"grant": (grant or sent.manifest).id} | detail
        said = self.act("key.released", sent.matter.handle, {"package": sent.package}, detail)
        return self.post(f"/v1/packages/{sent.package}/release", said, expect)

    def open_download(self, sent, expect=201, item=None):
        subject = {"package": sent.package} | ({"item": item} if item else {})
        said = self.act("download.opened", sent.matter.handle, subject, purpose="analysis")
        return self.post(f"/v1/packages/{sent.package}/downloads", said, expect)

    def receipt(self, sent, expect=201, outcome="accepted", **changes):
        items = [
            {"id": item.id, "sha256": item.member["sha256"], "blake3": item.member["blake3"], "plaintext": "checked"}
            for item in sent.items
        ]
        members = {
            "manifest": sent.manifest.id,
            "sealed": sent.sealed.hash.hex(),
            "outcome": outcome,
            "items": sorted(items, key=lambda each: each["id"]),
        }
        said = self.say("receipt", sent.matter.handle, **(members | changes))
        return self.post(f"/v1/packages/{sent.package}/receipt", said, expect)


@dataclass
class Matter:
    """An exchange: handle and id."""

    handle: str
    id: str


@dataclass
class Sent:
    """A sealed package."""

    matter: Matter
    package: str
    items: list
    manifest: statement.Statement
    sealed: entry.Entry
    facts: dict = field(default_factory=dict)


class Item:
    """A sealed item: header, body, and its member of a manifest."""

    def __init__(self, plaintext, recipients, part_size=16 * MIB):
        self.id, key = token(), sealing.new_file_key()
        sealer = sealing.BodySealer(key)
        self.key, self.header = key, sealing.build_header(key, recipients)
        self.body = sealer.update(plaintext) + sealer.finish()
        parts = [hashlib.sha256(self.body[at : at + part_size]).digest() for at in range(0, len(self.body), part_size)]
        self.member = sealed_item(
            item_id=self.id,
            header=self.header,
            header_sha256=hashlib.sha256(self.header).digest(),
            key_commitment=sealing.key_commitment(key, bytes.fromhex(self.id)),
            part_size=part_size,
            parts=parts,
            size=len(self.body),
            sha256=hashlib.sha256(self.body).digest(),
            blake3=blake3(self.body).digest(),
        )
        self.parts = parts


def receivers(authorities):
    rows = [{"authority": each.id, "keys": [each.identity.recipient.key_id]} for each in authorities]
    return sorted(rows, key=lambda row: row["authority"])


def check_record(service, record):
    """The entry of a record, once its proof has been verified against the log's keys."""
    made = entry.parse(record["entry"].encode())
    proof = TlogProof.parse(record["proof"].encode())
    proof.verify(leaf_data=proof.leaf_data(made.hash), origin=service.origin, log=service.log_keys)
    assert proof.index == record["index"]
    return made


def headers_of(answer):
    return {each["item"]: b64decode(each["header"]) for each in answer.json()["headers"]}


def client(url):
    return httpx.Client(base_url=url, timeout=30)
