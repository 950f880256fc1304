"""Real authorities for tests: keys, registries, statements, without a service."""

import secrets

from custody import entry as entries
from custody import leaf, statement
from custody.keys import KeyRecord, SigningKey
from custody.registry import Registry
from custody.sealing import generate_identity

ORIGIN = "evidence.example.org/log"
TIME = "2026-11-22T10:00:00.000000Z"


class Chain:
    """A chain under construction, for the rules that stand above the log."""

    def __init__(self, handle):
        self.handle = handle
        self.entries = []

    def add(self, event, said=None, *, key=None, **more):
        if said is not None:
            actor = {"authority": said.authority, "key": key or said.signatures[0][0]}
            if said.principal:
                actor["principal"] = said.principal
            subject = entries.subject_of(said)
            more = {"subject": subject if subject is not None else more.pop("subject", None)} | more
        else:
            actor = {"authority": entries.SERVICE}
        made = entries.build(
            log=ORIGIN,
            chain=self.handle,
            seq=len(self.entries),
            prev=self.entries[-1].hash.hex() if self.entries else entries.ZERO,
            time=TIME,
            event=event,
            nonce=secrets.token_hex(16),
            actor=actor,
            statement=said,
            **more,
        )
        self.entries.append(made)
        return made


class Authority:
    """An authority with its keys, its registry, and one principal of all roles."""

    def __init__(self, name, *, kind="x25519", roles=("approver", "auditor", "receiver", "requester", "sender")):
        self.id = name
        self.chain = Chain(leaf.registry_handle(ORIGIN, name).hex())
        self.registry = Registry(name)
        self.key, self.recovery = SigningKey.generate(), SigningKey.generate()
        self.identity = generate_identity(kind)
        self.principal = secrets.token_hex(16)
        self.voice, self.login = SigningKey.generate(), SigningKey.generate("es256")
        self.index = 0
        self.roles = sorted(roles)

    def common(self, kind, chain=None, **members):
        payload = {"v": 1, "kind": kind, "log": ORIGIN, "chain": chain or self.chain.handle, "time": TIME}
        return payload | {"nonce": secrets.token_hex(16), "signer": {"authority": self.id}} | members

    def founding(self):
        records = [
            KeyRecord.of(self.key.public, use="authority", holder=self.id),
            KeyRecord.of(self.recovery.public, use="recovery", holder=self.id),
            KeyRecord.of(self.identity.recipient, use="encryption", holder=self.id),
        ]
        payload = self.common(
            "enrolment",
            name="Politie",
            country="NL",
            keys=[record.fields() for record in sorted(records, key=lambda record: record.id)],
            sign_with=["ed25519"],
            recovery=self.recovery.public.id,
        )
        return statement.sign(payload, [self.key, self.recovery])

    def enrolment(self, principal=None, voice=None, login=None, **changes):
        principal, voice, login = principal or self.principal, voice or self.voice, login or self.login
        records = [
            KeyRecord.of(voice.public, use="statement", holder=principal),
            KeyRecord.of(login.public, use="login", holder=principal),
        ]
        payload = self.common(
            "enrolment",
            keys=[record.fields() for record in sorted(records, key=lambda record: record.id)],
            principal={"id": principal, "type": "client", "roles": self.roles},
        )
        return statement.sign(payload | changes, [self.key, voice, login])

    def lodge(self, event, said, **more):
        self.index += 1
        made = self.chain.add(event, said, **more)
        self.registry.apply(made, said, index=self.index)
        return made

    def enrolled(self):
        self.lodge("authority.enrolled", self.founding())
        self.lodge("principal.enrolled", self.enrolment())
        return self

    def registry_act(self, event, subject, detail=None, signers=None):
        payload = self.common("act", event=event, subject=subject)
        if detail:
            payload["detail"] = detail
        return statement.sign(payload, signers or [self.key])

    def key_statement(self, action, signers=None, **members):
        return statement.sign(self.common("key", action=action, **members), signers or [self.key])

    def says(self, kind, chain, *, voice=None, **members):
        payload = self.common(kind, chain, **members)
        payload["signer"] = {"authority": self.id, "principal": self.principal}
        return statement.sign(payload, [voice or self.voice])
