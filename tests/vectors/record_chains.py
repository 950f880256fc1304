"""Replays of registries and exchanges for generate_records.py: each rule of the spec broken once, by the last step."""

from tests import reference as ref
from tests import reference_records as rec

GRID = 2**24
ROLES = ["approver", "auditor", "receiver", "requester", "sender"]


def by_id(rows):
    return sorted(rows, key=lambda row: row["id"])


class Authority:
    """An authority with its keys and one principal, all from its name."""

    def __init__(self, name, country):
        self.id, self.country = name, country
        self.key, self.recovery = rec.Key(f"{name} key"), rec.Key(f"{name} recovery")
        self.recipient, self.voice = rec.Recipient(f"{name} age"), rec.Key(f"{name} voice")
        self.login, self.principal = rec.Key(f"{name} login", "es256"), rec.word(f"{name} tool", 16).hex()
        self.handle = rec.registry_handle(name)
        self.said = 0

    def common(self, kind, chain, tool, **members):
        self.said += 1
        signer = {"authority": self.id} | ({"principal": self.principal} if tool else {})
        return rec.common(kind, chain, signer, f"{self.id} {self.said} {kind}", **members)

    def founding(self, **changes):
        keys = [(self.key, "authority"), (self.recovery, "recovery"), (self.recipient, "encryption")]
        members = {
            "name": f"Office {self.id}",
            "country": self.country,
            "sign_with": ["ed25519"],
            "recovery": self.recovery.id,
        }
        members |= {"keys": by_id([rec.record(key, use, self.id) for key, use in keys])}
        return self.common("enrolment", self.handle, tool=False, **(members | changes))

    def enrolment(self, principal=None, voice=None, login=None, **changes):
        principal = principal or self.principal
        keys = [
            rec.record(voice or self.voice, "statement", principal),
            rec.record(login or self.login, "login", principal),
        ]
        members = {"keys": by_id(keys), "principal": {"id": principal, "type": "client", "roles": ROLES}}
        return self.common("enrolment", self.handle, tool=False, **(members | changes))

    def own_act(self, event, subject, detail):
        return self.common("act", self.handle, tool=False, event=event, subject=subject, detail=detail)

    def about_key(self, action, **members):
        return self.common("key", self.handle, tool=False, action=action, **members)

    def says(self, kind, chain, **members):
        return rec.Said(self.common(kind, chain, tool=True, **members), [self.voice])

    def registry(self):
        """The chain of an authority that enrolled itself and its tool."""
        self.said = 0
        chain = rec.Chain(self.handle)
        founded = rec.Said(self.founding(), [self.key, self.recovery])
        chain.add("authority.enrolled", founded, subject={"authority": self.id})
        enrolled = rec.Said(self.enrolment(), [self.key, self.voice, self.login])
        chain.add("principal.enrolled", enrolled, subject={"principal": self.principal})
        return chain


POLICE, COURT, OTHER = Authority("police.nl", "NL"), Authority("court.fr", "FR"), Authority("other.xx", "XX")


# ------------------------------------------------------------ registries
def registries(v):
    for who, name in ((POLICE, "police"), (COURT, "court"), (OTHER, "other")):
        chain = who.registry()
        output = {
            "founders": sorted([who.key.id, who.recovery.id]),
            "live": sorted([who.key.id, who.recovery.id, who.recipient.id, who.voice.id, who.login.id]),
        }
        about = "founded by the keys that signed; the encryption key founds nothing"
        v.add(f"registry-of-the-{name}", "registry", about, {"authority": who.id, "steps": chain.steps}, output=output)
    Registries(v).write()


class Registries:
    def __init__(self, v):
        self.v, self.new = v, rec.Key("new")

    def case(self, name, about, event, said, subject, expect="registry-rule", *, chain=None, live=None, **changes):  # noqa: PLR0917
        """A registry whose last step is `event`; returns the chain with it."""
        chain = (chain or POLICE.registry()).copy()
        chain.add(event, said, subject=subject, **changes)
        output = None
        if expect == "ok":
            output = {"founders": sorted([POLICE.key.id, POLICE.recovery.id]), "live": sorted(key.id for key in live)}
        self.v.add(
            f"registry-{name}", "registry", about, {"authority": POLICE.id, "steps": chain.steps}, expect, output
        )
        return chain

    def write(self):
        self.founding()
        self.keys()
        self.principals()
        self.places()

    def founding(self):
        empty, about, key, recovery = rec.Chain(POLICE.handle), {"authority": POLICE.id}, POLICE.key, POLICE.recovery

        def founded(name, why, payload, signers, expect="registry-rule", **changes):
            self.case(
                f"founded-{name}",
                why,
                "authority.enrolled",
                rec.Said(payload, signers),
                about,
                expect,
                chain=empty,
                **changes,
            )

        good = POLICE.founding()
        founded(
            "without-the-recovery-key's-signature",
            "every key of seq 0 that can sign signs",
            good,
            [key],
            "signature-missing",
            actor={"authority": POLICE.id, "key": key.id},
        )
        founded(
            "without-the-authority-key's-signature",
            "every key of seq 0 that can sign signs",
            good,
            [recovery],
            "signature-missing",
        )
        wrong = sorted([(key.id, ref.b64(bytes(64))), (recovery.id, ref.b64(recovery.sign(rec.Said(good, []).pae)))])
        self.case(
            "founded-with-a-wrong-signature",
            "64 zero bytes",
            "authority.enrolled",
            rec.Said(good, [], rows=wrong),
            about,
            "signature-invalid",
            chain=empty,
        )
        founded(
            "with-another-key-as-recovery",
            "recovery names the recovery key",
            POLICE.founding(recovery=key.id),
            [key, recovery],
        )
        rows = [row for row in good["keys"] if row["use"] != "recovery"]
        founded("without-a-recovery-key", "exactly one", POLICE.founding(keys=rows), [key])
        founded(
            "without-a-key-for-sign-with",
            "an authority key for each algorithm",
            POLICE.founding(sign_with=["ed25519", "ml-dsa-65"]),
            [key, recovery],
        )
        strange = rec.record(POLICE.voice, "statement", POLICE.principal)
        founded(
            "with-a-key-of-a-principal",
            "there is none yet",
            POLICE.founding(keys=by_id([*good["keys"], strange])),
            [key, recovery, POLICE.voice],
        )
        held = by_id([row | ({"holder": "court.fr"} if row["use"] == "encryption" else {}) for row in good["keys"]])
        founded("with-a-key-held-by-another", "held by this authority", POLICE.founding(keys=held), [key, recovery])
        signer = {"authority": POLICE.id, "principal": POLICE.principal}
        founded("by-a-principal", "the authority's own keys", good | {"signer": signer}, [key, recovery])
        act = POLICE.own_act("role.ended", {"principal": POLICE.principal}, {"role": "sender"})
        self.case(
            "that-begins-with-an-act",
            "seq 0 is authority.enrolled",
            "role.ended",
            rec.Said(act, [key]),
            {"principal": POLICE.principal},
            chain=empty,
        )
        self.case("that-is-founded-twice", "once", "authority.enrolled", rec.Said(good, [key, recovery]), about)
        foreign = COURT.founding() | {"chain": POLICE.handle}
        said = rec.Said(foreign, [COURT.key, COURT.recovery])
        self.case(
            "founded-by-another-authority",
            "its own only",
            "authority.enrolled",
            said,
            {"authority": COURT.id},
            chain=empty,
        )

    def keys(self):
        key, recovery, new = POLICE.key, POLICE.recovery, self.new
        row = rec.record(new, "authority", POLICE.id)
        old = [key, recovery, POLICE.recipient, POLICE.voice, POLICE.login]

        def case(name, why, event, payload, signers, expect="registry-rule", **more):  # noqa: PLR0917
            subject = {"key": payload["revokes"] if "revokes" in payload else payload["key"]["id"]}
            if "actor" not in more:
                more["actor"] = {"authority": POLICE.id, "key": signers[0].id}
            return self.case(name, why, event, rec.Said(payload, signers), subject, expect, **more)

        case(
            "with-a-key-added",
            "it signs the statement that brings it",
            "key.added",
            POLICE.about_key("add", key=row),
            [key, new],
            "ok",
            live=[*old, new],
        )
        case(
            "with-a-key-without-proof-of-possession",
            "it did not sign",
            "key.added",
            POLICE.about_key("add", key=row),
            [key],
            "signature-missing",
        )
        case(
            "with-a-key-added-by-itself",
            "an operator slips in a key",
            "key.added",
            POLICE.about_key("add", key=row),
            [new],
            "signer-not-entitled",
        )
        age = rec.Recipient("slipped")
        slipped = POLICE.about_key("add", key=rec.record(age, "encryption", POLICE.id))
        case(
            "with-an-encryption-key-added-by-nobody-known",
            "an operator slips in a key",
            "key.added",
            slipped,
            [new],
            "signer-not-entitled",
        )
        twice = POLICE.about_key("add", key=rec.record(POLICE.voice, "authority", POLICE.id))
        case("with-a-key-of-two-uses", "once, for one holder and use", "key.added", twice, [key, POLICE.voice])
        tool = POLICE.about_key("add", key=rec.record(new, "statement", "ab" * 16))
        case("with-a-key-of-an-unknown-principal", "it is not enrolled", "key.added", tool, [key, new])
        alien = POLICE.about_key("add", key=rec.record(new, "authority", "court.fr"))
        case("with-an-authority-key-held-by-another", "its own only", "key.added", alien, [key, new])
        self.recoveries(case)
        revoked = case(
            "with-a-key-revoked",
            "live until here",
            "key.revoked",
            POLICE.about_key("revoke", revokes=POLICE.voice.id, reason="lost"),
            [key],
            "ok",
            live=[x for x in old if x is not POLICE.voice],
        )
        again = POLICE.about_key("revoke", revokes=POLICE.voice.id)
        case("with-a-key-revoked-twice", "it is not live", "key.revoked", again, [key], chain=revoked)
        rotation = POLICE.about_key("rotate", key=row, replaces=key.id)
        rotated = case(
            "with-a-key-rotated",
            "the new one counts from the next place",
            "key.rotated",
            rotation,
            [key, new],
            "ok",
            live=[new, *old[1:]],
        )
        ended = POLICE.own_act("role.ended", {"principal": POLICE.principal}, {"role": "sender"})
        about = {"principal": POLICE.principal}
        self.case(
            "with-a-rotated-key-used-after",
            "it was replaced",
            "role.ended",
            rec.Said(ended, [key]),
            about,
            "signer-not-entitled",
            chain=rotated,
        )
        self.case(
            "with-the-new-key-used-after",
            "it is live",
            "role.ended",
            rec.Said(ended, [new]),
            about,
            "ok",
            chain=rotated,
            live=[new, *old[1:]],
        )
        own = POLICE.about_key("rotate", key=rec.record(new, "statement", POLICE.principal), replaces=key.id)
        case("with-a-key-rotated-into-another-use", "same use, same holder", "key.rotated", own, [key, new])

    def recoveries(self, case):
        key, recovery, new = POLICE.key, POLICE.recovery, self.new
        row = rec.record(new, "recovery", POLICE.id)
        rest = [POLICE.recipient, POLICE.voice, POLICE.login]
        last = POLICE.about_key("revoke", revokes=key.id, reason="stolen")
        case(
            "whose-recovery-key-revokes-the-last-key",
            "alone",
            "key.revoked",
            last,
            [recovery],
            "ok",
            live=[recovery, *rest],
        )
        rotation = POLICE.about_key("rotate", key=row, replaces=recovery.id)
        case(
            "whose-recovery-key-rotates-itself",
            "signed by itself",
            "key.rotated",
            rotation,
            [recovery, new],
            "ok",
            live=[key, new, *rest],
        )
        case(
            "whose-authority-key-rotates-the-recovery-key",
            "a thief must not reach it",
            "key.rotated",
            rotation,
            [key, new],
        )
        case("with-a-second-recovery-key", "exactly one", "key.added", POLICE.about_key("add", key=row), [key, new])
        case(
            "whose-authority-key-revokes-the-recovery-key",
            "a thief must not reach it",
            "key.revoked",
            POLICE.about_key("revoke", revokes=recovery.id),
            [key],
        )

    def principals(self):
        key, about = POLICE.key, {"principal": POLICE.principal}
        old = [key, POLICE.recovery, POLICE.recipient, POLICE.voice, POLICE.login]

        def act(event, detail, signers=(key,)):
            return rec.Said(POLICE.own_act(event, about, detail), list(signers))

        why = {"reason": "left"}
        granted = act("role.granted", {"role": "validator"})
        chain = self.case(
            "with-a-role-granted", "by the authority's key", "role.granted", granted, about, "ok", live=old
        )
        self.case("with-a-statement-twice", "an old grant is lodged again", "role.granted", granted, about, chain=chain)
        self.case(
            "with-a-role-granted-by-its-principal",
            "the authority's own key",
            "role.granted",
            rec.Said(
                POLICE.own_act("role.granted", about, {"role": "validator"})
                | {"signer": {"authority": POLICE.id, "principal": POLICE.principal}},
                [POLICE.voice],
            ),
            about,
            "signer-not-entitled",
        )
        self.case(
            "with-a-role-granted-by-a-login-key",
            "it signs no statement",
            "role.granted",
            act("role.granted", {"role": "validator"}, [POLICE.login]),
            about,
            "signer-not-entitled",
        )
        stuffed = rec.Said(granted.payload, [], rows=sorted([*granted.rows, (POLICE.recovery.id, ref.b64(bytes(64)))]))
        actor = {"authority": POLICE.id, "key": key.id}
        self.case(
            "with-a-wrong-signature-that-nobody-needed",
            "by a key that the registry names",
            "role.granted",
            stuffed,
            about,
            "signature-invalid",
            actor=actor,
        )
        junk = rec.Said(granted.payload, [], rows=sorted([*granted.rows, ("00" * 32, ref.b64(bytes(64)))]))
        self.case(
            "with-a-signature-of-an-unknown-key",
            "it says nothing",
            "role.granted",
            junk,
            about,
            "ok",
            live=old,
            actor=actor,
        )
        self.case(
            "whose-actor-is-a-key-that-nobody-checked",
            "the operator names it",
            "role.granted",
            junk,
            about,
            "statement-mismatch",
            actor=actor | {"key": "00" * 32},
        )
        for name, login, voice, expect in (
            ("without-the-login-key", False, True, "signature-missing"),
            ("without-the-statement-key", True, False, "signature-missing"),
        ):
            principal, tool, door = "cd" * 16, rec.Key("tool"), rec.Key("door", "es256")
            payload = POLICE.enrolment(principal, tool, door)
            said = rec.Said(payload, [key, *([tool] if voice else []), *([door] if login else [])])
            self.case(
                f"with-a-principal-{name}'s-signature",
                "proof of possession",
                "principal.enrolled",
                said,
                {"principal": principal},
                expect,
                actor=actor,
            )
        again = POLICE.enrolment(POLICE.principal, rec.Key("tool"), rec.Key("door", "es256"))
        self.case(
            "with-a-principal-twice",
            "enrolled once",
            "principal.enrolled",
            rec.Said(again, [key, rec.Key("tool"), rec.Key("door", "es256")]),
            about,
            actor=actor,
        )
        suspended = self.case(
            "with-a-principal-suspended",
            "its keys rest",
            "principal.suspended",
            act("principal.suspended", why),
            about,
            "ok",
            live=old[:3],
        )
        self.case(
            "with-a-principal-reinstated",
            "its keys are live again",
            "principal.reinstated",
            act("principal.reinstated", why),
            about,
            "ok",
            chain=suspended,
            live=old,
        )
        revoked = self.case(
            "with-a-principal-revoked",
            "for good",
            "principal.revoked",
            act("principal.revoked", why),
            about,
            "ok",
            live=old[:3],
        )
        self.case(
            "with-a-revoked-principal-reinstated",
            "revocation is final",
            "principal.reinstated",
            act("principal.reinstated", why),
            about,
            chain=revoked,
        )
        self.case(
            "with-a-role-for-a-revoked-principal",
            "revocation is final",
            "role.granted",
            act("role.granted", {"role": "validator"}),
            about,
            chain=revoked,
        )
        self.authority(why)

    def authority(self, why):
        key, recovery, about = POLICE.key, POLICE.recovery, {"authority": POLICE.id}

        def act(event, signer, subject=about):
            return rec.Said(POLICE.own_act(event, subject, why), [signer])

        suspended = self.case(
            "that-is-suspended",
            "only its recovery key speaks",
            "authority.suspended",
            act("authority.suspended", key),
            about,
            "ok",
            live=[recovery],
        )
        self.case(
            "that-is-suspended-and-speaks",
            "its keys rest",
            "authority.reinstated",
            act("authority.reinstated", key),
            about,
            "signer-not-entitled",
            chain=suspended,
        )
        live = [key, recovery, POLICE.recipient, POLICE.voice, POLICE.login]
        self.case(
            "that-is-reinstated",
            "by its recovery key",
            "authority.reinstated",
            act("authority.reinstated", recovery),
            about,
            "ok",
            chain=suspended,
            live=live,
        )
        self.case(
            "that-suspends-another",
            "only itself",
            "authority.suspended",
            act("authority.suspended", key, {"authority": "court.fr"}),
            {"authority": "court.fr"},
        )
        foreign = COURT.own_act("authority.suspended", about, why) | {"chain": POLICE.handle}
        self.case(
            "with-another-authority's-statement",
            "its own only",
            "authority.suspended",
            rec.Said(foreign, [COURT.key]),
            about,
        )
        opened = POLICE.common("act", POLICE.handle, tool=True, event="exchange.closed")
        self.case(
            "with-an-event-of-an-exchange",
            "events have their chains",
            "exchange.closed",
            rec.Said(opened, [POLICE.voice]),
            None,
        )

    def places(self):
        """Who may sign an act in an exchange, asked at a place of the log."""
        chain = POLICE.registry()
        chain.add(
            "key.revoked",
            rec.Said(POLICE.about_key("revoke", revokes=POLICE.voice.id), [POLICE.key]),
            subject={"key": POLICE.voice.id},
            index=10,
        )
        registry = {"authority": POLICE.id, "steps": chain.steps}

        def asked(name, about, at, expect="ok", event="log.exported", signer=POLICE.voice, said=None):  # noqa: PLR0917
            said = said or rec.Said(
                POLICE.common("act", "ab" * 32, tool=True, event=event, detail={"form": "export"}), [signer]
            )
            self.v.add(
                f"signers-{name}",
                "signers",
                about,
                {"registry": registry, "at": at, "event": event, "envelope": said.envelope.decode()},
                expect,
            )

        asked("before-the-key-was-revoked", "a signature counts by its place", 5)
        asked("at-the-entry-that-revokes-it", "the entry itself does not count", 10)
        asked("after-the-key-was-revoked", "one place later", 11, "signer-not-entitled")
        asked("at-the-entry-that-enrolled-it", "not yet", 2, "signer-not-entitled")
        asked("right-after-the-entry-that-enrolled-it", "from the next place", 3)
        asked("by-the-login-key", "never a statement", 5, "signer-not-entitled", signer=POLICE.login)
        asked("by-the-authority's-key", "a principal acts here", 5, "signer-not-entitled", signer=POLICE.key)
        own = rec.Said(
            POLICE.common("act", "ab" * 32, tool=False, event="log.exported", detail={"form": "export"}), [POLICE.key]
        )
        asked("of-the-authority-itself", "a principal acts here", 5, "signer-not-entitled", said=own)
        request = rec.Said(
            POLICE.common("act", "ab" * 32, tool=True, event="role.granted", detail={"role": "sender"}), [POLICE.voice]
        )
        asked(
            "without-the-role",
            "roles are in the table of events",
            5,
            "signer-not-entitled",
            event="role.granted",
            said=request,
        )


# ------------------------------------------------------------ exchanges
def exchanges(v):
    Exchanges(v).write()


class Exchanges:
    def __init__(self, v):
        self.v, self.handle = v, rec.word("exchange").hex()
        self.package, self.item, self.inventory = (
            rec.word(name, 16).hex() for name in ("package", "item", "inventory")
        )
        self.about = {"package": self.package}
        self.conditions = [{"code": "use_limited", "text_sha256": "cd" * 32}]

    def case(self, name, about, chain, expect="exchange-rule", registries=("police", "court", "other")):
        data = {"registries": [f"registry-of-the-{x}" for x in registries], "steps": chain.steps}
        self.v.add(f"exchange-{name}", "exchange", about, data, expect)

    def act(self, chain, who, event, detail=None, subject=None, **changes):
        members = {name: value for name, value in (("detail", detail), ("subject", subject)) if value}
        said = who.says("act", self.handle, event=event, **members)
        return chain.add(event, said, subject=subject, **changes)

    # the story, as far as a case needs it; each returns a chain of its own
    def opened(self, who=POLICE, **detail):
        chain = rec.Chain(self.handle)
        chain.index = 100
        self.act(chain, who, "exchange.opened", {"parties": ["court.fr", "police.nl"]} | detail)
        return chain

    def declared(self, recipients=("court.fr",)):
        chain = self.opened()
        self.act(chain, POLICE, "package.declared", {"recipients": list(recipients)}, self.about)
        return chain

    def upload(self, chain, item, **changes):
        noted = {"size": 100, "part_size": GRID, "parts": rec.word(f"parts {item}").hex()} | changes
        chain.add("upload.completed", subject={**self.about, "item": item}, noted=noted)

    def uploaded(self):
        chain = self.declared()
        for item in (self.item, self.inventory):
            self.upload(chain, item)
        return chain

    def row(self, item):
        digests = {name: rec.word(f"{name} {item}").hex() for name in ("key_commitment", "parts", "sha256", "blake3")}
        header = {"size": 200, "sha256": rec.word(f"header {item}").hex()}
        return {"id": item, "header": header, "size": 100, "part_size": GRID, **digests}

    def manifest(self, who=POLICE, **changes):
        recipients = [{"authority": "court.fr", "keys": [COURT.recipient.id]}]
        members = {"package": self.package, "recipients": recipients, "sealing": "x25519", "handling": "restricted"}
        members |= {"retain_until": "2036-11-22T10:00:00.000000Z", "inventory": self.row(self.inventory)}
        members |= {"inventory_commitment": "ab" * 32, "items": [self.row(self.item)]}
        return who.says("manifest", self.handle, **(members | changes))

    def sealed(self, **changes):
        chain = self.uploaded()
        self.said = self.manifest(**changes)
        self.seal = chain.add("package.sealed", self.said, subject=self.about)
        return chain

    def grant(self, who=POLICE, **changes):
        recipients = [{"authority": "court.fr", "keys": [COURT.recipient.id]}]
        items = [{"id": self.item, "header": {"size": 200, "sha256": "ef" * 32}}]
        return who.says(
            "grant",
            self.handle,
            **({"manifest": self.said.id, "recipients": recipients, "sealing": "x25519", "items": items} | changes),
        )

    def receipt(self, chain, who=COURT, **changes):
        rows = [
            {"id": x, "sha256": self.row(x)["sha256"], "blake3": self.row(x)["blake3"], "plaintext": "checked"}
            for x in sorted((self.item, self.inventory))
        ]
        members = {"manifest": self.said.id, "sealed": self.seal, "outcome": "accepted", "items": rows} | changes
        chain.add("receipt.signed", who.says("receipt", self.handle, **members), subject=self.about)
        return chain

    def accept(self, chain, who=COURT, conditions=None):
        said = who.says("acceptance", self.handle, statement=self.said.id, conditions=conditions or self.conditions)
        chain.add("conditions.accepted", said, subject=self.about)
        return chain

    def release(self, chain, who=COURT, grant=None, **detail):
        self.act(chain, who, "key.released", {"grant": grant or self.said.id} | detail, self.about)
        return chain

    def step(self, chain, who, event, detail=None, subject=None):
        self.act(chain, who, event, detail, subject)
        return chain

    def write(self):
        self.whole()
        self.parties()
        self.sealing()
        self.releases()
        self.answers()
        self.duties()

    def whole(self):
        chain = self.accept(self.sealed(conditions=self.conditions))
        self.release(chain)
        opened = self.act(chain, COURT, "download.opened", subject=self.about)
        chain.add("download.closed", subject=self.about, noted={"bytes": 100, "opened": opened, "outcome": "closed"})
        self.receipt(chain)
        self.act(chain, POLICE, "exchange.closed")
        self.act(chain, COURT, "log.exported", {"form": "bundle"})
        self.case("whole", "from opening to export", chain, "ok")

    def parties(self):
        empty = rec.Chain(self.handle)
        empty.index = 100
        self.case(
            "that-begins-with-another-event",
            "rule 1",
            self.step(empty.copy(), POLICE, "log.exported", {"form": "export"}),
        )
        chain = self.opened()
        self.case(
            "opened-twice",
            "rule 1",
            self.step(chain.copy(), POLICE, "exchange.opened", {"parties": ["court.fr", "police.nl"]}),
        )
        self.case("opened-by-a-stranger", "rule 1", self.opened(OTHER))
        self.case("with-an-act-of-a-stranger", "rule 2", self.step(chain.copy(), OTHER, "exchange.closed"))
        added = self.step(chain.copy(), POLICE, "party.added", {"as": "party"}, {"authority": "other.xx"})
        self.case("with-an-act-of-one-who-was-added", "rule 2", self.step(added.copy(), OTHER, "exchange.closed"), "ok")
        self.case(
            "with-a-party-added-twice",
            "rule 2",
            self.step(added.copy(), POLICE, "party.added", {"as": "party"}, {"authority": "other.xx"}),
        )
        auditor = self.step(chain.copy(), POLICE, "party.added", {"as": "auditor"}, {"authority": "other.xx"})
        self.case(
            "exported-by-an-auditor",
            "rule 2",
            self.step(auditor.copy(), OTHER, "log.exported", {"form": "export"}),
            "ok",
        )
        self.case("closed-by-an-auditor", "rule 2", self.step(auditor.copy(), OTHER, "exchange.closed"))
        closed = self.step(chain.copy(), POLICE, "exchange.closed")
        self.case(
            "with-a-package-after-its-end",
            "rule 3",
            self.step(closed.copy(), POLICE, "package.declared", {"recipients": ["court.fr"]}, self.about),
        )
        self.case(
            "exported-after-its-end",
            "rule 3",
            self.step(closed.copy(), COURT, "log.exported", {"form": "export"}),
            "ok",
        )
        twice = chain.copy()
        said = POLICE.says("act", self.handle, event="log.exported", detail={"form": "export"})
        for _ in range(2):
            twice.add("log.exported", said)
        self.case("with-a-statement-twice", "rule 14", twice)
        stuffed = POLICE.says("act", self.handle, event="log.exported", detail={"form": "export"})
        stuffed = stuffed.with_rows(sorted([*stuffed.rows, (COURT.voice.id, ref.b64(bytes(64)))]))
        named = chain.copy()
        named.add(
            "log.exported",
            stuffed,
            actor={"authority": "police.nl", "principal": POLICE.principal, "key": COURT.voice.id},
        )
        self.case("whose-actor-is-anothers-key", "a key of that principal", named, "statement-mismatch")
        forged = chain.copy()
        payload = COURT.common("act", self.handle, tool=True, event="log.exported", detail={"form": "export"})
        forged.add("log.exported", rec.Said(payload, [rec.Key("operator")]))
        self.case(
            "with-an-act-that-the-service-invented",
            "no live key of the principal signed",
            forged,
            "signer-not-entitled",
        )

    def sealing(self):
        declared, chain = self.declared(), self.uploaded()
        self.case(
            "with-a-package-declared-twice",
            "rule 4",
            self.step(declared.copy(), POLICE, "package.declared", {"recipients": ["court.fr"]}, self.about),
        )
        self.case("with-a-package-for-a-stranger", "rule 4", self.declared(["other.xx"]))
        lost = self.opened()
        self.upload(lost, self.item)
        self.case("with-an-item-of-no-package", "rule 5", lost)
        twice = chain.copy()
        self.upload(twice, self.item)
        self.case("with-an-item-that-arrives-twice", "rule 5", twice)
        late = self.sealed()
        self.upload(late, "ee" * 16)
        self.case("with-an-item-after-the-seal", "rule 5", late)

        def sealed(name, about, said, base=chain, subject=None, expect="exchange-rule"):  # noqa: PLR0917
            grown = base.copy()
            grown.add("package.sealed", said, subject=subject or self.about)
            self.case(name, about, grown, expect)

        sealed("sealed", "rule 6", self.manifest(), expect="ok")
        sealed("sealed-by-another", "rule 6", self.manifest(COURT))
        sealed("sealed-twice", "rule 6", self.manifest(), base=self.sealed())
        sealed("sealed-before-an-item-arrived", "rule 6", self.manifest(), base=declared)
        for name, value in (("size", 101), ("parts", "ab" * 32), ("part_size", 2 * GRID)):
            sealed(
                f"sealed-with-another-{name.replace('_', '-')}",
                "rule 6: what upload.completed recorded",
                self.manifest(items=[self.row(self.item) | {name: value}]),
            )
        sealed(
            "sealed-with-the-inventory-as-an-item",
            "one id for one item",
            self.manifest(items=[self.row(self.inventory)]),
        )
        unsaid = chain.copy()
        self.upload(unsaid, "ee" * 16)
        sealed("sealed-with-an-item-unsaid", "rule 6: nothing stands in a package unsaid", self.manifest(), base=unsaid)

        def to(authority, key, **more):
            return self.manifest(recipients=[{"authority": authority, "keys": [key]}], **more)

        sealed("sealed-for-a-stranger", "rule 6", to("other.xx", OTHER.recipient.id))
        sealed("sealed-for-an-unknown-key", "rule 6", to("court.fr", "ab" * 32))
        sealed("sealed-for-a-key-of-another", "rule 6", to("court.fr", POLICE.recipient.id))
        sealed("sealed-for-a-key-of-another-use", "rule 6", to("court.fr", COURT.key.id))
        sealed("sealed-with-another-algorithm", "rule 6", self.manifest(sealing="mlkem768x25519"))
        self.grants()

    def grants(self):
        chain = self.sealed()
        header = {"size": 200, "sha256": "ef" * 32}

        def granted(name, about, said, expect="exchange-rule", base=chain, subject=None):  # noqa: PLR0917
            grown = base.copy()
            grown.add("grant.added", said, subject=subject or self.about)
            self.case(name, about, grown, expect)
            return grown

        granted("with-a-grant-by-a-recipient", "rule 7", self.grant(COURT), "ok")
        added = self.step(chain.copy(), POLICE, "party.added", {"as": "party"}, {"authority": "other.xx"})
        granted("with-a-grant-by-a-party-that-holds-nothing", "rule 7", self.grant(OTHER), base=added)
        granted(
            "with-a-grant-of-an-item-that-is-not-there",
            "rule 7",
            self.grant(items=[{"id": "ee" * 16, "header": header}]),
        )
        granted("with-a-grant-of-another-algorithm", "rule 7", self.grant(sealing="mlkem768x25519"))
        granted(
            "with-a-grant-for-a-stranger",
            "rule 7",
            self.grant(recipients=[{"authority": "other.xx", "keys": [OTHER.recipient.id]}]),
        )
        granted("with-a-grant-of-no-manifest", "rule 7", self.grant(manifest="ab" * 32))
        first = self.grant()
        base = chain.copy()
        base.add("grant.added", first, subject=self.about)
        granted("with-a-grant-of-a-grant", "rule 13", self.grant(manifest=first.id), base=base)
        granted("with-a-grant-about-another-package", "rule 13", self.grant(), subject={"package": "ee" * 16})

    def releases(self):
        asked = self.sealed(conditions=self.conditions)
        self.case("with-a-release-before-acceptance", "rule 9", self.release(asked.copy()))
        self.case(
            "with-an-acceptance-by-the-sender", "rule 8: the sender's own statement", self.accept(asked.copy(), POLICE)
        )
        other = [{"code": "other", "text_sha256": "cd" * 32}]
        self.case("with-an-acceptance-of-other-conditions", "rule 8", self.accept(asked.copy(), conditions=other))
        relogged = asked.copy()
        relogged.add("conditions.accepted", self.said, subject=self.about)
        self.case(
            "with-the-manifest-as-acceptance", "closed table: event, kind, signer", relogged, "statement-mismatch"
        )
        plain = self.sealed()
        self.case("with-an-acceptance-where-nothing-was-asked", "rule 8", self.accept(plain.copy()))
        self.case("with-a-release", "rule 9", self.release(plain.copy()), "ok")
        self.case(
            "with-a-release-to-the-sender", "rule 9: a header meant for others", self.release(plain.copy(), POLICE)
        )
        self.case("with-a-release-of-no-grant", "rule 9", self.release(plain.copy(), grant="ab" * 32))
        self.case(
            "with-a-release-of-an-item-that-is-not-granted", "rule 9", self.release(plain.copy(), items=["ee" * 16])
        )
        for name, until, expect in (
            ("in-the-last-moment", rec.TIME, "ok"),
            ("after-the-grant-ended", "2026-11-22T09:59:59.999999Z", "exchange-rule"),
        ):
            grant = self.grant(until=until)
            chain = plain.copy()
            chain.add("grant.added", grant, subject=self.about)
            self.case(f"with-a-release-{name}", "rule 9: until", self.release(chain, grant=grant.id), expect)
        for event, measure in (("package.restricted", "restrict"), ("package.recalled", "recall")):
            chain = self.demanded(plain.copy(), event, measure)[0]
            self.case(f"with-a-release-after-{event.replace('.', '-')}", "rule 9", self.release(chain))
        withdrawn = plain.copy()
        withdrawn.add(
            "package.withdrawn",
            POLICE.says("withdrawal", self.handle, manifest=self.said.id, reason="mistake"),
            subject=self.about,
        )
        self.case("with-a-release-after-package-withdrawn", "rule 9", self.release(withdrawn))
        self.downloads(plain)

    def downloads(self, plain):
        self.case(
            "with-a-download-before-the-seal",
            "rule 10",
            self.step(self.uploaded(), COURT, "download.opened", subject=self.about),
        )
        strange = {**self.about, "item": "ee" * 16}
        self.case(
            "with-a-download-of-a-strange-item",
            "rule 10",
            self.step(plain.copy(), COURT, "download.opened", subject=strange),
        )

        def closed(name, about, opened=None, subject=None, times=1, expect="exchange-rule"):  # noqa: PLR0917
            chain = plain.copy()
            found = self.act(chain, COURT, "download.opened", subject=self.about)
            for _ in range(times):
                chain.add(
                    "download.closed",
                    subject=subject or self.about,
                    noted={"bytes": 1, "opened": opened or found, "outcome": "closed"},
                )
            self.case(name, about, chain, expect)

        closed("with-a-download-closed", "rule 10", expect="ok")
        closed("with-a-download-closed-that-was-not-opened", "rule 10", opened="ab" * 32)
        closed("with-a-download-closed-twice", "rule 10", times=2)
        closed("with-a-download-closed-of-something-else", "rule 10", subject={**self.about, "item": self.item})

    def answers(self):
        chain = self.sealed()
        self.case("with-a-receipt", "rule 11", self.receipt(chain.copy()), "ok")
        self.case("with-a-receipt-by-the-sender", "rule 11: by a recipient", self.receipt(chain.copy(), POLICE))
        self.case("with-two-receipts-of-one-authority", "rule 11", self.receipt(self.receipt(chain.copy())))
        self.case("with-a-receipt-of-another-sealing", "rule 11", self.receipt(chain.copy(), sealed="ab" * 32))
        self.case("with-a-receipt-for-no-items", "rule 11", self.receipt(chain.copy(), items=[]))
        rows = [
            {"id": x, "sha256": "ab" * 32, "blake3": self.row(x)["blake3"], "plaintext": "checked"}
            for x in sorted((self.item, self.inventory))
        ]
        self.case("with-a-receipt-of-other-digests", "rule 11", self.receipt(chain.copy(), items=rows))
        self.case(
            "with-a-rejection-without-a-reason", "rule 11", self.receipt(chain.copy(), outcome="rejected", items=[])
        )
        rejected = self.receipt(chain.copy(), outcome="rejected", items=[], reason="cannot_open")
        self.case("with-a-rejection", "rule 11", rejected, "ok")
        grant = self.grant()
        granted = chain.copy()
        granted.add("grant.added", grant, subject=self.about)
        self.case("with-a-receipt-for-a-grant", "rule 13", self.receipt(granted, manifest=grant.id))

    def demanded(self, chain, event="package.recalled", measure="recall", who=POLICE):
        said = who.says("restriction", self.handle, package=self.package, measure=measure, reason="court_order")
        chain.add(event, said, subject=self.about)
        return chain, said

    def duties(self):
        chain = self.sealed()
        self.case("with-a-recall", "rule 12", self.demanded(chain.copy())[0], "ok")
        self.case("with-a-recall-by-the-receiver", "rule 12", self.demanded(chain.copy(), who=COURT)[0])
        self.case("with-a-recall-before-the-seal", "rule 12", self.demanded(self.uploaded())[0])
        restricted = self.demanded(chain.copy(), "package.recalled", "restrict")[0]
        self.case("with-a-restriction-as-recall", "measure fits the event", restricted, "schema")
        grown = chain.copy()
        grown.add(
            "package.withdrawn",
            COURT.says("withdrawal", self.handle, manifest=self.said.id, reason="mistake"),
            subject=self.about,
        )
        self.case("withdrawn-by-the-receiver", "rule 12", grown)

        def destroyed(name, about, who, answers, expect="exchange-rule"):
            base, demand = self.demanded(chain.copy())
            said = who.says(
                "destruction", self.handle, package=self.package, answers=answers or demand.id, outcome="destroyed"
            )
            base.add("package.destroyed", said, subject=self.about)
            self.case(name, about, base, expect)

        destroyed("with-a-destruction", "rule 12", COURT, None, "ok")
        destroyed("with-a-destruction-by-the-sender", "rule 12", POLICE, None)
        destroyed("with-a-destruction-that-nobody-demanded", "rule 12", COURT, "ab" * 32)
