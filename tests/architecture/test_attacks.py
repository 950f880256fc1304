"""Every attack on the record has somebody who performs it: as it is, and repaired by an operator who holds the log's key.

A row of the threat model (docs/threat-model.md names the same attacks) → the vectors of `tests/vectors/bundles` and the tests
that make it. A vector is found by both verifiers (`tests/verifier/test_bundle_vectors.py`); a test says what must be found.
"""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
BUNDLES = TESTS / "vectors" / "bundles"
E2E = "e2e/test_operator_attacks.py"
ALONE = "as it is"
REPAIRED = "repaired"

ATTACKS = {
    "a body or field edited": {
        ALONE: ["only-bodies-finds-it", f"{E2E}::test_a_body_edited_in_place_is_found_where_it_stands"],
        REPAIRED: ["operator-edits-what-was-uploaded-rules", "operator-edits-what-was-opened", f"{E2E}::edited_noted", f"{E2E}::edited_upload", f"{E2E}::edited_actor", "operator-edits-what-was-uploaded", "only-consistency-finds-it", f"{E2E}::edited_statement"],
    },
    "a stored row edited, hashes kept": {
        ALONE: [f"{E2E}::test_a_body_edited_in_place_is_found_where_it_stands", "entry-of-another-chain"],
        REPAIRED: [f"{E2E}::test_a_body_edited_with_its_stored_hash_is_found_by_the_log"],
    },
    "an entry deleted in the middle": {
        ALONE: [f"{E2E}::test_an_entry_taken_out_leaves_a_gap_that_verifies_for_nobody", "a-gap-in-the-leaves"],
        REPAIRED: ["operator-drops-its-own-word", "operator-drops-the-receipt", "operator-seals-what-was-not-uploaded", f"{E2E}::deleted_upload", f"{E2E}::deleted_act_of_the_service", "operator-drops-an-act", "operator-drops-the-acceptance", f"{E2E}::deleted_release"],
    },
    "an entry inserted": {
        ALONE: ["an-entry-of-the-exchange-without-a-leaf"],
        REPAIRED: ["operator-releases-to-a-stranger", "operator-puts-an-event-into-the-wrong-chain", "operator-invents-an-act", "operator-logs-an-act-twice", f"{E2E}::invented"],
    },
    "reordered": {
        ALONE: ["entries-out-of-order", "indices-that-descend"],
        REPAIRED: ["operator-releases-before-acceptance", f"{E2E}::sealed_before_it_arrived", "operator-swaps-acceptance-and-release", f"{E2E}::reordered"],
    },
    "tail of the whole log cut": {
        ALONE: ["inclusion-of-another-size", f"{E2E}::test_an_old_bundle_in_place_of_a_new_one_is_refused"],
        REPAIRED: [
            "a-rebuilt-log-before-a-kept-checkpoint",
            f"{E2E}::test_an_old_backup_that_goes_on_is_found_by_all_who_were_there_since",
            "client/test_witness.py::test_a_shorter_log_is_told_what_was_cosigned_and_not_cosigned",
        ],
    },
    "tail of one exchange cut or hidden": {
        ALONE: ["an-entry-without-a-leaf"],
        REPAIRED: ["only-completeness-finds-it", f"{E2E}::test_a_chain_cut_short_for_one_party_shows_its_next_label"],
    },
    "one chain forked for two parties": {
        ALONE: ["only-labels-finds-it"],
        REPAIRED: ["beside-a-mirror-with-a-fork", f"{E2E}::test_a_chain_that_is_forked_for_two_parties_bears_one_label_twice"],
    },
    "one sealed body made to open to two texts": {
        ALONE: ["only-headers-finds-it"],
        REPAIRED: [
            "items-under-a-header-nobody-granted",
            "custody/sealing/test_sealed_vectors.py::test_one_body_with_two_faces_opens_to_both_and_the_commitment_tells",
        ],
    },
    "a statement re-logged as another's act": {
        ALONE: ["statement-of-another-kind-than-its-type"],
        REPAIRED: ["operator-relogs-a-manifest-as-acceptance", f"{E2E}::replayed_under_another_event"],
    },
    "statement re-signed, signatures dropped": {
        ALONE: ["no-possession-of-the-statement-key", "enrolled-by-nobody"],
        REPAIRED: ["operator-rewrites-an-act-under-its-signature", f"{E2E}::resigned_statement", f"{E2E}::unsigned"],
    },
    "fork, split view": {
        ALONE: ["a-root-under-old-signatures", "only-quorum-finds-it"],
        REPAIRED: [
            "a-rebuilt-log-before-a-kept-checkpoint",
            "custody/test_witness.py::test_two_roots_of_one_size_come_back_as_proof_for_anybody",
            "custody/test_verify_attacks.py::test_two_checkpoints_of_one_size_are_two_books",
        ],
    },
    "back-dating, forward-dating": {
        ALONE: ["a-statement-lodged-late", "time-that-falls-back"],
        REPAIRED: [f"{E2E}::back_dated", f"{E2E}::forward_dated", "only-time-finds-it", "operator-dates-an-act-ahead", "an-entry-after-its-bound", f"{E2E}::back_dated_throughout"],
    },
    "a stamp by the wrong authority": {
        ALONE: ["custody/test_stamps.py::test_a_stamp_of_another_note_of_that_size_fails"],
        REPAIRED: ["custody/test_stamps.py::test_without_the_authority_or_a_stamp_what_is_demanded_is_not_met"],
    },
    "the service invents an act": {
        ALONE: ["a-statement-that-is-missing"],
        REPAIRED: ["operator-speaks-with-the-voice-of-the-service", "operator-invents-an-act", "only-signers-finds-it", f"{E2E}::invented_under_a_true_key"],
    },
    "a revocation left out": {
        ALONE: ["a-tail-that-is-missing"],
        REPAIRED: [f"{E2E}::revocation_dropped", "a-hidden-revocation", f"{E2E}::test_a_registry_cut_before_its_revocation_shows_the_next_label"],
    },
    "an authority's key stolen": {
        ALONE: ["a-revoked-key-that-signs"],
        REPAIRED: [f"{E2E}::revived"],
    },
    "log key stolen": {
        ALONE: ["only-log-finds-it", "one-key-of-the-log-missing"],
        REPAIRED: ["only-quorum-finds-it", f"{E2E}::test_the_tiles_of_another_log_prove_nothing"],
    },
    "operator and one authority collude": {
        ALONE: ["one-witness-counted-twice"],
        REPAIRED: ["only-quorum-finds-it", f"{E2E}::test_a_receipt_hidden_from_the_sender_alone_is_found_when_two_compare"],
    },
    "replay into another exchange, log, time": {
        ALONE: ["entry-of-another-log", "entry-of-another-chain"],
        REPAIRED: ["operator-logs-an-act-twice", f"{E2E}::replayed"],
    },
    "stale view shown": {
        ALONE: ["client/test_records_and_log.py::test_a_stale_registry_is_not_sealed_to", f"{E2E}::test_an_old_bundle_in_place_of_a_new_one_is_refused"],
        REPAIRED: ["a-view-without-a-proof", "beside-an-old-mirror"],
    },
    "a valid proof of another entry": {
        ALONE: ["a-withheld-entry-of-another-chain", "two-leaves-at-one-place"],
        REPAIRED: ["only-inclusion-finds-it", f"{E2E}::test_another_exchange_or_package_than_was_asked_for_is_refused"],
    },
    "unknown key counted, one witness twice, one key under two names": {
        ALONE: ["an-unknown-witness", "one-cosignature-twice", "trust-file-with-one-key-under-two-names"],
        REPAIRED: ["one-witness-counted-twice", "a-wrong-cosignature"],
    },
    "operator slips its own key into the directory": {
        ALONE: ["a-registry-of-other-founders"],
        REPAIRED: [f"{E2E}::slipped_key", "only-registries-finds-it", f"{E2E}::test_a_key_slipped_into_a_recipients_registry_is_sealed_to_by_nobody"],
    },
    "restored backup": {
        ALONE: ["app/test_witnesses.py::test_an_hour_old_copy_of_the_database_takes_no_entry"],
        REPAIRED: [f"{E2E}::test_an_old_backup_that_goes_on_is_found_by_all_who_were_there_since"],
    },
    "canonicalisation tricks": {
        ALONE: ["entries-with-a-key-twice", "entries-with-a-float", "entries-with-a-space", "trust-file-with-a-space"],
        REPAIRED: ["statement-of-another-kind-than-its-type"],
    },
    "a withheld entry with another chain's hash and salt": {
        ALONE: ["a-withheld-entry-of-another-chain"],
        REPAIRED: ["only-conditions-finds-it"],
    },
}  # fmt: skip


def exists(performer):
    """Whether there is such a vector, or such a function in a file of tests."""
    if "::" not in performer:
        return (BUNDLES / f"{performer}.json").is_file() and (BUNDLES / f"{performer}.zip").is_file()
    path, name = performer.split("::")
    return re.search(rf"^\s*def {name}\(", (TESTS / path).read_text(encoding="utf-8"), re.MULTILINE) is not None


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_attack_is_performed_as_it_is_and_repaired(attack):
    rows = ATTACKS[attack]
    assert rows.keys() == {ALONE, REPAIRED}
    assert all(rows.values())
    assert [each for performers in rows.values() for each in performers if not exists(each)] == []


def test_whatever_an_operator_repairs_stands_in_a_row():
    named = {each for rows in ATTACKS.values() for performers in rows.values() for each in performers}
    vectors = {path.stem for path in BUNDLES.glob("operator-*.json")}
    table = (TESTS / E2E).read_text(encoding="utf-8").partition("\nREPAIRED = {\n")[2].partition("\n}\n")[0]
    running = {f"{E2E}::{name}" for name in re.findall(r"^    (\w+): \(", table, re.MULTILINE)}
    assert len(vectors) > 10
    assert len(running) > 10
    assert (vectors | running) - named == set()
