"""The rules of an exchange: each act in its order, by those it is for."""

import hashlib
import secrets

import pytest

from custody import entry as entries
from custody.entry import EntryMalformed, StatementMismatch
from custody.errors import CustodyError
from custody.exchange import Exchange, ExchangeRuleBroken
from custody.schema import SchemaMismatch
from tests.custody.parties import TIME, Authority, Chain

POLICE, COURT, STRANGER = (Authority(name).enrolled() for name in ("police.nl", "court.fr", "other.xx"))
REGISTRIES = {authority.id: authority.registry for authority in (POLICE, COURT, STRANGER)}
GRID = 2**24


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


class Case:
    """An exchange between a police unit and a court, grown act by act."""

    def __init__(self):
        self.handle = secrets.token_hex(32)
        self.chain, self.rules = Chain(self.handle), Exchange()
        self.package, self.item, self.inventory = (secrets.token_hex(16) for _ in range(3))
        self.index = 100

    def take(self, event, said=None, **more):
        self.index += 1
        made = self.chain.add(event, said, **more)
        if said is not None:
            entries.check_statement(made, said)
        try:
            self.rules.apply(made, said, index=self.index, registries=REGISTRIES)
        except CustodyError:
            self.chain.entries.pop()
            raise
        return made

    def act(self, who, event, subject=None, detail=None, **more):
        members = {name: value for name, value in (("subject", subject), ("detail", detail)) if value}
        return self.take(event, who.says("act", self.handle, event=event, **members, **more))

    def opened(self):
        self.act(POLICE, "exchange.opened", detail={"parties": ["court.fr", "police.nl"]})
        return self

    def declared(self):
        self.opened().act(POLICE, "package.declared", {"package": self.package}, {"recipients": ["court.fr"]})
        return self

    def uploaded(self):
        self.declared()
        for item in (self.item, self.inventory):
            noted = {"size": 100, "part_size": GRID, "parts": digest(item)}
            self.take("upload.completed", subject={"package": self.package, "item": item}, noted=noted)
        return self

    def manifest(self, who=POLICE, **changes):
        def item(item_id):
            return {
                "id": item_id,
                "header": {"size": 200, "sha256": digest("header" + item_id)},
                "key_commitment": digest("key" + item_id),
                "size": 100,
                "part_size": GRID,
                "parts": digest(item_id),
                "sha256": digest("sha256" + item_id),
                "blake3": digest("blake3" + item_id),
            }

        members = {
            "package": self.package,
            "recipients": [{"authority": "court.fr", "keys": [COURT.identity.recipient.key_id]}],
            "sealing": "x25519",
            "handling": "h1",
            "retain_until": TIME,
            "inventory": item(self.inventory),
            "inventory_commitment": digest("inventory"),
            "items": [item(self.item)],
        }
        return who.says("manifest", self.handle, **members | changes)

    def sealed(self, **changes):
        self.uploaded()
        self.said = self.manifest(**changes)
        self.entry = self.take("package.sealed", self.said, noted={"checked": ["parts", "size"]})
        return self

    def receipt(self, who=COURT, outcome="accepted", items=None, **changes):
        found = [
            {"id": item, "sha256": digest("sha256" + item), "blake3": digest("blake3" + item), "plaintext": "checked"}
            for item in sorted((self.item, self.inventory))
        ]
        members = {"manifest": self.said.id, "sealed": self.entry.hash.hex(), "outcome": outcome}
        said = who.says("receipt", self.handle, items=found if items is None else items, **members | changes)
        return self.take("receipt.signed", said, subject={"package": self.package})

    def release(self, who=COURT):
        return self.act(who, "key.released", {"package": self.package}, {"grant": self.said.id})

    def accept(self, conditions, who=COURT):
        said = who.says("acceptance", self.handle, statement=self.said.id, conditions=conditions)
        return self.take("conditions.accepted", said, subject={"package": self.package})


def refused(step, *args, **kwargs):
    with pytest.raises(ExchangeRuleBroken):
        step(*args, **kwargs)


def test_a_whole_hand_over_stands():
    case = Case().sealed()
    opened = case.act(COURT, "download.opened", {"package": case.package}, purpose="investigation")
    case.release()
    noted = {"bytes": 100, "opened": opened.hash.hex(), "outcome": "closed"}
    case.take("download.closed", subject={"package": case.package}, noted=noted)
    case.receipt()
    assert case.rules.packages[case.package].receipts == {"court.fr": "accepted"}


def test_an_exchange_begins_once():
    case = Case()
    refused(case.act, POLICE, "package.declared", {"package": case.package}, {"recipients": ["court.fr"]})
    case.opened()
    refused(case.opened)


def test_nobody_opens_an_exchange_between_others():
    case = Case()
    refused(case.act, STRANGER, "exchange.opened", detail={"parties": ["court.fr", "police.nl"]})


def test_a_stranger_acts_only_after_it_was_added():
    case = Case().opened()
    refused(case.act, STRANGER, "exchange.closed")
    case.act(POLICE, "party.added", {"authority": "other.xx"}, {"as": "party"})
    case.act(STRANGER, "exchange.closed")


def test_an_auditor_exports_and_does_nothing_else():
    case = Case().opened()
    case.act(POLICE, "party.added", {"authority": "other.xx"}, {"as": "auditor"})
    case.act(STRANGER, "log.exported", detail={"form": "export"})
    refused(case.act, STRANGER, "exchange.closed")


def test_after_the_end_only_what_may_follow_follows():
    case = Case().opened()
    case.act(POLICE, "exchange.closed")
    refused(case.act, POLICE, "package.declared", {"package": case.package}, {"recipients": ["court.fr"]})
    case.act(COURT, "log.exported", detail={"form": "bundle"})


def test_only_the_declarer_seals_and_only_once():
    case = Case().uploaded()
    refused(case.take, "package.sealed", case.manifest(COURT))
    case.take("package.sealed", case.manifest())
    refused(case.take, "package.sealed", case.manifest())


@pytest.mark.parametrize("change", ["size", "parts"])
def test_a_manifest_is_what_was_uploaded(change):
    case = Case().uploaded()
    items = [case.manifest().payload["items"][0] | {change: 101 if change == "size" else digest("other")}]
    refused(case.take, "package.sealed", case.manifest(items=items))


def test_a_manifest_names_live_keys_of_its_recipients():
    case = Case().uploaded()
    refused(case.take, "package.sealed", case.manifest(recipients=[{"authority": "court.fr", "keys": [digest("?")]}]))
    strange = [{"authority": "other.xx", "keys": [STRANGER.identity.recipient.key_id]}]
    refused(case.take, "package.sealed", case.manifest(recipients=strange))


def test_an_item_does_not_arrive_after_the_seal():
    case = Case().sealed()
    noted = {"size": 100, "part_size": GRID, "parts": digest("late")}
    refused(
        case.take, "upload.completed", subject={"package": case.package, "item": secrets.token_hex(16)}, noted=noted
    )


def test_a_header_leaves_only_after_its_conditions_were_accepted_by_whom_they_bind():
    conditions = [{"code": "use_limited", "text_sha256": digest("text")}]
    case = Case().sealed(conditions=conditions)
    refused(case.release)
    refused(case.accept, conditions, POLICE)
    refused(case.accept, [{"code": "other", "text_sha256": digest("text")}])
    case.accept(conditions)
    case.release()


def test_a_header_leaves_to_recipients_only():
    refused(Case().sealed().release, POLICE)


def test_a_receipt_answers_this_sealing_with_these_digests_once():
    case = Case().sealed()
    refused(case.receipt, sealed=digest("other"))
    refused(case.receipt, POLICE)
    refused(case.receipt, items=[])
    refused(case.receipt, outcome="rejected")
    case.receipt(outcome="rejected", items=[], reason="cannot_open")
    refused(case.receipt)


def test_a_grant_comes_from_a_holder_and_names_what_is_there():
    case = Case().sealed()
    header = {"size": 200, "sha256": digest("again")}

    def grant(who, item=case.item, sealing="x25519", manifest=case.said.id):
        members = {"manifest": manifest, "sealing": sealing, "items": [{"id": item, "header": header}]}
        recipients = [{"authority": "police.nl", "keys": [POLICE.identity.recipient.key_id]}]
        said = who.says("grant", case.handle, recipients=recipients, **members)
        return case.take("grant.added", said, subject={"package": case.package})

    case.act(POLICE, "party.added", {"authority": "other.xx"}, {"as": "party"})
    refused(grant, STRANGER)
    refused(grant, COURT, item=secrets.token_hex(16))
    refused(grant, COURT, sealing="mlkem768x25519")
    refused(grant, COURT, manifest=digest("none"))
    grant(COURT)


def test_an_entry_about_one_package_cannot_carry_a_statement_about_another():
    case = Case().sealed()
    case.act(POLICE, "package.declared", {"package": "cd" * 16}, {"recipients": ["court.fr"]})
    case.package = "cd" * 16
    refused(case.receipt)


def test_a_withdrawn_package_releases_nothing():
    case = Case().sealed()
    said = POLICE.says("withdrawal", case.handle, manifest=case.said.id, reason="mistake")
    case.take("package.withdrawn", said, subject={"package": case.package})
    refused(case.release)


def test_the_service_cannot_speak_for_a_party_nor_a_party_for_the_service():
    case = Case().opened()
    with pytest.raises(EntryMalformed):
        case.chain.add("package.declared", subject={"package": case.package})
    with pytest.raises(EntryMalformed):
        case.chain.add(
            "upload.completed",
            POLICE.says("act", case.handle, event="upload.completed"),
            subject={"package": case.package, "item": case.item},
            noted={"size": 1, "part_size": GRID, "parts": digest("x")},
        )


def test_a_statement_of_another_kind_does_not_stand_under_an_event():
    case = Case().sealed()
    with pytest.raises(StatementMismatch):
        case.take("conditions.accepted", case.said, subject={"package": case.package})


def test_a_detail_that_is_not_of_its_event_is_refused():
    with pytest.raises(SchemaMismatch):
        Case().act(POLICE, "exchange.opened", detail={"parties": ["court.fr"]})
    with pytest.raises(SchemaMismatch):
        Case().opened().act(POLICE, "party.added", {"authority": "other.xx"})
