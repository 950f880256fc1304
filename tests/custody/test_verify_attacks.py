"""What an operator who owns the service does, log key included; each attack and the check that must find it."""

import functools

import pytest

from custody import batch, leaf, statement, tail
from custody.bundle import ChainFiles
from custody.keys import SigningKey
from custody.report import Status
from tests.custody.world import DUMMY, TAIL, Authority, Item, Slot, World, packed, zipped

SEQ = {
    "opened": 0, "declared": 1, "uploaded": 2, "sealed": 5, "accepted": 6, "released": 7, "download": 8, "closed": 9,
    "receipt": 10, "exported": 11,
}  # fmt: skip


@functools.cache
def _honest(*, seen):
    return World(seen=seen).exchange()


def honest(*, seen=True):
    return _honest(seen=seen).copy()


# ---------------------------------------------------------------- attacks that remake the log and sign it again


def edits_what_was_uploaded(w):
    return w.forge(SEQ["uploaded"], noted__size=77)


def edits_its_own_word(w):
    return w.forge(SEQ["closed"], noted__bytes=0)


def edits_what_was_opened(w):
    return w.forge(SEQ["download"], subject={"package": "00" * 16})


def drops_an_act(w):
    return w.drop(SEQ["download"])


def drops_the_acceptance(w):
    return w.drop(SEQ["accepted"])


def drops_its_own_word(w):
    return w.drop(SEQ["closed"])


def drops_the_receipt(w):
    return w.drop(SEQ["receipt"])


def logs_an_act_twice(w):
    return w.double(SEQ["released"])


def swaps_acceptance_and_release(w):
    return w.swap(SEQ["accepted"], SEQ["released"])


def rewrites_an_act_under_its_signature(w):
    return w.resay(SEQ["receipt"], outcome="rejected", reason="mistake")


def invents_an_act(w):
    honest_act = w.say(w.court, "act", event="log.exported", detail={"form": "bundle"})
    w.lodge("log.exported", statement.sign(honest_act.payload, [SigningKey.generate()]))
    return end(w)


def lets_a_login_key_speak(w):
    w.court.voice, voice = w.court.login, w.court.voice
    try:
        w.act(w.court, "log.exported", detail={"form": "bundle"})
    finally:
        w.court.voice = voice
    return end(w)


def slips_in_a_key(w):
    own = next(row for row in Authority("court.fr").founding()["keys"] if row["use"] == "encryption")
    w.lodge("key.added", w.say(w.court, "key", w.court.handle, [SigningKey.generate()], action="add", key=own))
    return end(w)


def relogs_a_manifest_as_acceptance(w):
    w = World(seen=False).opened().sealed()
    actor = {"authority": "police.nl", "principal": w.police.principal, "key": w.manifest.signatures[0][0]}
    w.append(w.handle, "conditions.accepted", actor=actor, subject={"package": w.package}, statement=w.manifest)
    w.released()
    return w.exported()


def releases_before_acceptance(w):
    w = World(seen=False).opened().sealed()
    w.released()
    return w.exported()


def releases_to_a_stranger(w):
    w = World(seen=False).opened().sealed(conditions=False)
    third = w.enrol("third.xx")
    w.act(third, "key.released", {"package": w.package}, {"grant": w.manifest.id})
    return w.exported()


def seals_what_was_not_uploaded(w):
    w = World(seen=False).opened().sealed()
    return w.drop(SEQ["uploaded"]).exported()


def backdates_an_act(w):
    return w.forge(SEQ["receipt"], time="2026-11-22T08:00:00.000000Z")


def dates_an_act_ahead(w):
    return w.forge(SEQ["exported"], time="2026-11-22T12:00:00.000000Z")


def says_a_false_digest_of_fixity(w):
    item = w.items[0].member
    digests = {"sha256": "00" * 32, "blake3": item["blake3"], "size": item["size"]}
    w.note("fixity.checked", {"package": w.package, "item": item["id"]}, digests)
    return end(w)


def speaks_with_the_voice_of_the_service(w):
    w.forge(SEQ["closed"], event="log.viewed", noted={"entries": 3, "by": {"authority": "court.fr"}}, subject={})
    return w


def puts_an_event_into_the_wrong_chain(w):
    w.append(
        w.handle,
        "law.activated",
        actor={"authority": "@service"},
        noted={"pack": "eu", "sha256": "00" * 32, "version": "v1"},
    )
    return end(w)


def end(w):
    w.tick(DUMMY)
    w.tick(TAIL)
    return w


REPAIRED = [
    (edits_what_was_uploaded, "digests", 20),
    (edits_what_was_uploaded, "rules", 20),
    (edits_its_own_word, "consistency", 25),
    (edits_what_was_opened, "statements", 20),
    (drops_an_act, "consistency", 20),
    (drops_the_acceptance, "conditions", 20),
    (drops_its_own_word, "consistency", 25),
    (drops_the_receipt, "consistency", 25),
    (logs_an_act_twice, "statements", 20),
    (swaps_acceptance_and_release, "conditions", 20),
    (rewrites_an_act_under_its_signature, "signatures", 22),
    (invents_an_act, "signers", 22),
    (lets_a_login_key_speak, "signers", 22),
    (slips_in_a_key, "registries", 20),
    (relogs_a_manifest_as_acceptance, "statements", 20),
    (releases_before_acceptance, "conditions", 20),
    (releases_to_a_stranger, "conditions", 20),
    (seals_what_was_not_uploaded, "digests", 20),
    (backdates_an_act, "time", 23),
    (dates_an_act_ahead, "time", 23),
    (says_a_false_digest_of_fixity, "digests", 20),
    (speaks_with_the_voice_of_the_service, "consistency", 25),
    (puts_an_event_into_the_wrong_chain, "chain", 20),
]


@pytest.mark.parametrize(
    ("attack", "check", "exit_code"), REPAIRED, ids=lambda value: getattr(value, "__name__", value)
)
def test_an_operator_with_the_log_key_is_found_out(attack, check, exit_code):
    world = attack(honest(seen=check == "consistency"))
    report = world.verify()
    assert report[check].status is Status.FAIL, report.text()
    assert report["inclusion"].status is report["log"].status is Status.PASS
    assert report.exit_code == exit_code, report.text()
    assert not report.verified


# ---------------------------------------------------------------- attacks on what is handed out


def cut(w, handle, keep):
    """A chain cut after `keep` entries, with the labels of the bucket in which the next one would have to be absent."""
    whole = w.files_of(handle)
    return ChainFiles(whole.entries[:keep], whole.leaves[:keep], w.tail_of(handle, keep - 1))


def recut(w, handle, keep):
    """The bundle with one chain cut, everything else honest and proven again."""
    contents = w.contents()
    chain = cut(w, handle, keep)
    lost = {made.statement_id for made in w.chains[handle][keep:]}
    said = [w.statements[found] for found in w.statements if found not in lost]
    registries = {name: chain if inner == handle else w.files_of(inner) for name, inner in w.registries.items()}
    entries = chain if handle == w.handle else contents.entries
    indices = {line.index for part in (entries, *registries.values()) for line in part.leaves} | {len(w.slots) - 1}
    proof = batch.batch_proof(sorted(indices), len(w.slots), w.node(w.hashes()))
    return w.bundle(entries=entries, registries=registries, statements=said, inclusion=proof)


def test_a_hidden_end_of_the_exchange_is_found_by_its_tail():
    w = honest()
    report = w.verify(recut(w, w.handle, SEQ["receipt"]))
    assert (report["completeness"].status, report["completeness"].code) == (Status.FAIL, "label-present")
    assert report.exit_code == 21


def test_a_hidden_revocation_is_found_by_the_registrys_tail():
    w = World().opened().sealed()
    w.lodge(
        "key.revoked",
        w.say(w.court, "key", w.court.handle, [w.court.key], action="revoke", revokes=w.court.voice.public.id),
    )
    w.received().exported()
    assert w.verify()["signers"].code == "signer-not-entitled"
    report = w.verify(recut(w, w.court.handle, 2))
    assert report["signers"].status is Status.PASS
    assert (report["completeness"].code, report.exit_code) == ("label-present", 21)


def test_a_rebuilt_log_without_an_entry_is_a_rollback_to_who_holds_a_checkpoint():
    w = World(seen=False).exchange()
    held, liar = w.checkpoint(), w.copy().drop(SEQ["closed"])
    assert liar.verify().verified
    end(liar)
    report = liar.verify(trust=w.trust(checkpoint=held), files=with_proof(liar, len(w.slots)))
    assert (report["consistency"].code, report.exit_code) == ("other-history", 25)


def with_proof(w, old):
    w.views = [*w.views, old]
    return w.bundle()


def test_a_shorter_log_than_the_one_held_is_not_verified_if_consistency_is_demanded():
    w = World(seen=False).exchange()
    held = w.copy()
    end(held)
    report = w.verify(trust=w.trust(checkpoint=held.checkpoint(), require=("consistency",)))
    assert (report["consistency"].status, report.exit_code) == (Status.NOT_CHECKED, 21)


def test_an_older_bundle_shows_an_entry_that_is_gone(tmp_path):
    w = World(seen=False).exchange()
    old = tmp_path / "old.zip"
    old.write_bytes(zipped(w.bundle()))
    liar = end(w.copy().drop(SEQ["closed"]))
    report = liar.verify(with_proof(liar, len(w.slots)), since=old)
    assert (report["consistency"].status, report.exit_code) == (Status.FAIL, 25)
    assert end(w.copy()).verify(with_proof(end(w.copy()), len(w.slots)), since=old)["consistency"].status is Status.PASS


def test_what_the_reader_brings_and_nothing_can_be_compared_with_is_not_verified(tmp_path):
    w = World(seen=False).exchange()
    kept, mirror = tmp_path / "checkpoint", w.mirror(tmp_path / "mirror")
    kept.write_bytes(w.checkpoint())
    assert w.verify(mirror=mirror).verified
    later = end(w.copy())
    for brought in ({"since": kept}, {"mirror": mirror}):
        report = later.verify(**brought)
        assert report["consistency"].status is Status.NOT_CHECKED or report["completeness"].status is Status.NOT_CHECKED
        assert (report.exit_code, report.verified) == (21, False)
    assert later.verify().verified


def test_two_checkpoints_of_one_size_are_two_books(tmp_path):
    w = World(seen=False).exchange()
    old = tmp_path / "checkpoint"
    old.write_bytes(w.copy().forge(SEQ["closed"], noted__bytes=1).checkpoint())
    report = w.verify(since=old)
    assert (report["consistency"].code, report.exit_code) == ("other-history", 25)


def test_a_forked_chain_is_seen_by_who_has_the_tiles(tmp_path):
    w = honest()
    assert w.verify(mirror=w.mirror(tmp_path / "good"))["completeness"].status is Status.PASS
    fork = Forked(w)
    report = fork.verify(mirror=fork.mirror(tmp_path / "bad"))
    assert report["completeness"].code == "label-twice"
    assert not report.verified


class Forked(World):
    """Before its last tail, a leaf with the label of an entry that stands in the log already."""

    def __init__(self, world):
        self.__dict__.update(world.copy().__dict__)
        self.slots = [*self.slots[:-1], Slot("fork"), self.slots[-1]]

    def leaves(self):
        slots, self.slots = self.slots, [slot for slot in self.slots if slot.chain != "fork"]
        try:
            found = super().leaves()
        finally:
            self.slots = slots
        twin = next(found[number] for number, slot in enumerate(slots) if slot.chain == self.handle)
        found[-1] = leaf.entry_leaf(twin[1:33], bytes(32))
        tree = tail.TailTree()
        for data in found:
            if data[0] == 1:
                tree.add(data[1:33])
        return [*found, leaf.tail_leaf(tree.root())]


def test_tiles_of_another_log_are_another_history(tmp_path):
    w = honest()
    report = w.verify(mirror=w.copy().forge(SEQ["closed"], noted__bytes=1).mirror(tmp_path))
    assert report["consistency"].code == "other-history"


def test_a_registry_of_other_founders_is_not_the_pinned_one():
    w, other = honest(), World().exchange()
    report = other.verify(trust=other.trust(authorities=w.trust().authorities))
    assert (report["signers"].code, report.exit_code) == ("pin-mismatch", 22)


def test_an_authority_that_is_not_pinned_is_not_checked():
    w = honest()
    one = {"police.nl": w.trust().authorities["police.nl"]}
    report = w.verify(trust=w.trust(authorities=one))
    assert (report["signers"].status, report.exit_code) == (Status.NOT_CHECKED, 22)


def test_an_auditor_who_did_nothing_needs_no_pin():
    w = World(seen=False)
    w.enrol("audit.eu")
    detail = {"parties": ["court.fr", "police.nl"], "auditors": ["audit.eu"]}
    w.act(w.police, "exchange.opened", detail=detail)
    w.sealed().received().exported()
    assert "audit.eu" in w.registries
    assert w.verify().verified


def test_an_auditor_who_signed_needs_a_pin():
    w = World(seen=False)
    auditor = w.enrol("audit.eu")
    w.act(w.police, "exchange.opened", detail={"parties": ["court.fr", "police.nl"], "auditors": ["audit.eu"]})
    w.act(auditor, "log.exported", detail={"form": "export"})
    assert end(w).verify()["signers"].status is Status.NOT_CHECKED


def test_a_recipient_whose_registry_is_not_there_leaves_signers_unchecked():
    w = World(seen=False).opened().sealed(conditions=False)
    w.act(w.police, "log.exported", detail={"form": "bundle"})
    end(w)
    files = {name: data for name, data in w.bundle().items() if not name.startswith("registry/court.fr/")}
    report = w.verify(packed(files))
    assert report["signers"].status is Status.NOT_CHECKED
    assert "court.fr" in report["signers"].detail


def test_a_bundle_of_a_log_with_other_keys_is_not_verified():
    report = honest().verify(trust=World().trust())
    assert (report["log"].status, report.exit_code) == (Status.FAIL, 22)


def test_a_missing_registry_leaves_signers_unchecked():
    w = honest()
    files = {name: data for name, data in w.bundle().items() if not name.startswith("registry/court.fr/")}
    report = w.verify(packed(files))
    assert report["signers"].status is Status.NOT_CHECKED
    assert not report.verified


@pytest.mark.parametrize(
    ("cosigners", "status", "exit_code"), [(2, Status.PASS, 0), (1, Status.FAIL, 22), (0, Status.FAIL, 22)]
)
def test_a_quorum_is_counted(cosigners, status, exit_code):
    w = World(witnesses=2).exchange()
    report = w.verify(w.bundle(checkpoint=w.checkpoint(cosigners=w.witnesses[:cosigners])))
    assert (report["quorum"].status, report.exit_code) == (status, exit_code)


def test_auditors_make_completeness_a_fact():
    w = World(auditors=1).exchange()
    assert w.verify(trust=w.trust(require=("completeness",))).verified
    report = w.verify(w.bundle(checkpoint=w.checkpoint(cosigners=[])), trust=w.trust(require=("completeness",)))
    assert (report["completeness"].status, report.exit_code) == (Status.NOT_CHECKED, 21)


def test_cosignatures_bound_times_from_both_sides():
    w = World(witnesses=1).opened()
    w.tick(TAIL)
    early = w.checkpoint()
    size = len(w.slots)
    w.sealed().received().exported()
    w.views.append(size)
    report = w.verify(w.bundle(checkpoints={size: early}))
    assert report.verified
    first, *_, last = report.times
    assert (first.first, first.not_before, last.last) == (0, None, SEQ["exported"])
    assert last.not_before == first.not_after
    late = w.copy().forge(0, time="2026-11-22T10:09:00.000000Z")
    assert late.verify(late.bundle(checkpoints={size: early}), trust=w.trust(skew_s=1))["time"].status is Status.FAIL


def test_an_item_with_two_faces_has_a_header_nobody_granted():
    w = honest()
    other = Item(b"another text", [w.court.identity.recipient])
    report = w.verify(w.bundle(headers=[*(item.header for item in w.items), other.header]))
    assert (report["headers"].code, report.exit_code) == ("header-mismatch", 20)


def test_a_header_with_a_covert_recipient_is_refused():
    w = World().opened()
    real = Item.__init__
    extra = Authority("spy.xx").identity.recipient
    try:
        Item.__init__ = lambda self, text, recipients: real(self, text, [*recipients, extra])
        w.sealed()
    finally:
        Item.__init__ = real
    report = w.received().exported().verify()
    assert (report["headers"].code, report.exit_code) == ("header-refused", 20)


def test_part_digests_of_another_body_are_found():
    w = honest()
    parts = {item.id: item.parts for item in w.items}
    first, second = list(parts)[:2]
    parts[first], parts[second] = parts[second], parts[first]
    assert w.verify(w.bundle(parts=parts))["digests"].code == "digests-differ"
