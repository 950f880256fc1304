"""What the verifier says of honest bundles, of damage, and of what it cannot know."""

import json
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody import batch, leaf, verify_bundle
from custody.bundle import ChainFiles
from custody.errors import CustodyError
from custody.report import REPORT, Check, Place, Report, Status, escape
from custody.trust import ALWAYS, CHECKS, USUAL
from custody.verify import FUNCTIONS
from tests.custody.in_memory import without_hex
from tests.custody.world import START, World, folder, packed, zipped

WORLD = World().exchange()
FILES = WORLD.bundle()
PLAIN = frozenset({"verify.md", "policy"})
"""Files for people: not evidence, covered by the packing list alone."""


def statuses(report):
    return {check.id: check.status for check in report.checks}


# ---------------------------------------------------------------- honest bundles


@pytest.mark.parametrize("kind", ["x25519", "mlkem768x25519"])
def test_an_honest_bundle_is_verified(kind):
    report = World(kind=kind).exchange().verify()
    assert report.verified
    assert report.exit_code == 0
    assert report.failed == ()
    assert {check.id for check in report.checks if check.status is not Status.PASS} == {
        "quorum", "completeness", "succession", "timestamps", "table", "items",
    }  # fmt: skip


@pytest.mark.parametrize("compress", [True, False])
def test_zip_and_directory_give_the_same_report(compress):
    assert WORLD.verify(zipped(FILES, compress=compress)) == WORLD.verify(FILES)


def test_checks_come_in_their_order():
    assert tuple(check.id for check in WORLD.verify(FILES).checks) == CHECKS == tuple(FUNCTIONS)


def test_without_a_trust_file_nothing_is_verified():
    with folder(FILES) as path:
        report = verify_bundle(path, None)
    assert {statuses(report)[name] for name in ("signers", "log", "quorum", "time")} == {Status.NOT_CHECKED}
    assert (report.failed, report.exit_code, report.verified) == ((), 22, False)
    assert "VERIFIED" not in report.text()


@pytest.mark.parametrize("check", sorted(set(CHECKS) - {"timestamps"}))
def test_what_is_demanded_and_not_checked_is_not_verified(check, monkeypatch):
    trust = WORLD.trust(require=(check,))
    report = WORLD.verify(FILES, trust=trust)
    assert report.verified == (report[check].status is Status.PASS)


def test_signatures_left_out_are_not_verified():
    report = WORLD.verify(FILES, check_signatures=False)
    assert (report["signatures"].status, report.exit_code) == (Status.NOT_CHECKED, 22)


def test_signatures_in_other_processes_say_the_same(monkeypatch):
    monkeypatch.setattr("custody.checklist.signing.PARALLEL_ABOVE", 3)
    assert WORLD.verify(FILES, processes=2)["signatures"] == WORLD.verify(FILES)["signatures"]
    forged = WORLD.copy().resay(10, outcome="rejected", reason="mistake")
    files = forged.bundle()
    assert forged.verify(files, processes=2)["signatures"] == forged.verify(files, processes=1)["signatures"]
    assert forged.verify(files, processes=2)["signatures"].status is Status.FAIL


def test_a_registry_alone_is_verified():
    trust = WORLD.trust(require=tuple(sorted({"registries", "signers", "signatures", "chain"})))
    report = WORLD.verify(WORLD.bundle("registry"), trust=trust)
    assert report.verified, report.text()
    assert statuses(report)["rules"] is Status.NOT_CHECKED


def test_the_service_chain_is_checked_too():
    w = World()
    handle = leaf.registry_handle(WORLD.trust().origin, "@service").hex()
    noted = {"keys": [str(key.verifier) for key in w.signers]}
    w.append(handle, "log.started", actor={"authority": "@service"}, noted=noted)
    w.exchange()
    whole = w.files_of(handle)
    indices = {line.index for chain in w.chains for line in w.lines(chain)} | {len(w.slots) - 1}
    proof = batch.batch_proof(sorted(indices), len(w.slots), w.node(w.hashes()))
    service = ChainFiles(whole.entries, whole.leaves)
    assert w.verify(w.bundle(service=service, inclusion=proof)).verified
    w.forge(0, handle=handle, log="other.example/log")
    files = w.bundle(service=ChainFiles(w.files_of(handle).entries, w.files_of(handle).leaves), inclusion=proof)
    assert w.verify(files)["chain"].status is Status.FAIL


# ---------------------------------------------------------------- exports, withheld entries, excerpts, items


def test_an_export_is_verified_with_its_table():
    w = World().exchange("export")
    report = w.verify(w.bundle("export"), trust=w.trust(require=("table",)))
    assert report.verified


@pytest.mark.parametrize(
    "change",
    [lambda csv: csv.replace(b"receipt.signed", b"receipt.Signed"), lambda csv: csv[:-9], lambda csv: csv + b"x"],
)
def test_a_table_that_shows_something_else_is_tampered(change):
    files = WORLD.bundle("export")
    report = WORLD.verify(packed(files | {"entries.csv": change(files["entries.csv"])}))
    assert (report["table"].status, report.exit_code) == (Status.FAIL, 20)


def test_withheld_entries_are_proven_and_named():
    files = WORLD.bundle(withheld={3, 8})
    report = WORLD.verify(files)
    assert report.withheld[0].seqs == (3, 8)
    assert {statuses(report)[name] for name in ("chain", "labels", "inclusion", "bodies")} == {Status.PASS}
    assert report.exit_code == 21
    trust = WORLD.trust(require=("chain",))
    assert WORLD.verify(files, trust=trust, allow_withheld=True).verified
    assert not WORLD.verify(files, trust=trust).verified


def test_a_withheld_entry_with_anothers_hash_and_salt_is_found():
    lines = FILES["leaves.jsonl"].splitlines(keepends=True)
    other, own = json.loads(lines[2]), json.loads(lines[3])
    lines[3] = (json.dumps(own | {"hash": other["hash"], "salt": other["salt"]}, separators=(",", ":")) + "\n").encode()
    withheld = WORLD.bundle(withheld={3}) | {"leaves.jsonl": b"".join(lines)}
    report = WORLD.verify(packed(withheld), allow_withheld=True)
    assert report["labels"].status is report["inclusion"].status is Status.FAIL


def test_an_excerpt_proves_no_chain_and_no_completeness():
    whole = WORLD.files_of(WORLD.handle)
    said = {made.statement_id for made in WORLD.chains[WORLD.handle][:4]}
    contents = WORLD.contents()
    chains = [WORLD.lines(handle) for handle in WORLD.registries.values()]
    indices = {line.index for chain in (*chains, whole.leaves[4:]) for line in chain} | {len(WORLD.slots) - 1}
    files = WORLD.bundle(
        entries=ChainFiles(whole.entries[4:], whole.leaves[4:], whole.tail),
        statements=[envelope for found, envelope in WORLD.statements.items() if found not in said],
        inclusion=batch.batch_proof(sorted(indices), len(WORLD.slots), WORLD.node(WORLD.hashes())),
        checkpoint=contents.checkpoint,
    )
    report = WORLD.verify(files)
    assert {statuses(report)[name] for name in ("chain", "completeness", "rules")} == {Status.NOT_CHECKED}
    assert statuses(report)["inclusion"] is Status.PASS
    assert report.exit_code == 21


@pytest.mark.parametrize("whole", [True, False])
def test_items_on_disk_are_compared(tmp_path, whole):
    for item in WORLD.items:
        name, data = (f"{item.id}.age", item.header + item.body) if whole else (item.id, item.body)
        (tmp_path / name).write_bytes(data)
    trust = WORLD.trust(require=("items",))
    assert WORLD.verify(FILES, trust=trust, items=tmp_path).verified
    path = min(tmp_path.iterdir())
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    report = WORLD.verify(FILES, items=tmp_path)
    assert (report["items"].code, report.exit_code) == ("item-differs", 20)
    assert (report["items"].place.file, report["items"].place.offset is not None) == (path.name, True)


def test_items_that_are_not_there_are_not_checked(tmp_path):
    item = WORLD.items[0]
    (tmp_path / item.id).write_bytes(item.body)
    report = WORLD.verify(FILES, trust=WORLD.trust(require=("items",)), items=tmp_path)
    assert (report["items"].status, report.exit_code) == (Status.NOT_CHECKED, 21)


def test_an_age_file_with_a_header_nobody_granted_differs(tmp_path):
    item, other = WORLD.items[0], WORLD.items[1]
    (tmp_path / f"{item.id}.age").write_bytes(other.header + item.body)
    assert WORLD.verify(FILES, items=tmp_path)["items"].code == "item-differs"


@pytest.mark.parametrize("change", [lambda body: body[:-1], lambda body: body + b"x", lambda body: b""])
def test_a_body_of_another_length_differs(tmp_path, change):
    item = WORLD.items[0]
    (tmp_path / item.id).write_bytes(change(item.body))
    assert WORLD.verify(FILES, items=tmp_path)["items"].code == "item-differs"


def test_a_checkpoint_from_the_future_is_found():
    assert WORLD.verify(FILES, now=START + timedelta(hours=1))["time"].status is Status.PASS
    report = WORLD.verify(FILES, now=START - timedelta(hours=1))
    assert (report["time"].code, report.exit_code) == ("time-outside", 23)


def test_the_verifiers_clock_counts_for_entries_where_the_log_states_no_time():
    trust = WORLD.trust(log=(WORLD.signers[0].verifier,))
    assert WORLD.verify(FILES, trust, now=START + timedelta(hours=1))["time"].status is Status.PASS
    check = WORLD.verify(FILES, trust, now=START - timedelta(hours=1))["time"]
    assert (check.status, check.code, check.place.seq) == (Status.FAIL, "time-outside", 0)


# ---------------------------------------------------------------- damage: every byte, every line


def places(size, count):
    """A fixed stride that reaches every part of a file, ends included."""
    step = max(1, size // count)
    return sorted({*range(0, size, step), size - 1})


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]


@pytest.mark.parametrize("name", sorted(FILES), ids=without_hex)
def test_a_flipped_bit_in_a_file_is_found(name):
    for place in places(len(FILES[name]), 8):
        report = WORLD.verify(FILES | {name: flipped(FILES[name], place)})
        assert report.failed, (name, place)
        assert not report.verified


@pytest.mark.parametrize("part", range(4))
def test_a_flipped_bit_in_the_archive_is_found(part):
    data = zipped(FILES)
    for place in places(len(data), 1200)[part::4]:
        assert WORLD.verify(flipped(data, place)).failed, place


@pytest.mark.parametrize("name", sorted(FILES.keys() - PLAIN - {"bundle.json"}), ids=without_hex)
def test_a_flipped_bit_is_found_under_a_packing_list_made_again(name):
    for place in places(len(FILES[name]), 10):
        try:
            files = packed(FILES | {name: flipped(FILES[name], place)})
        except CustodyError:
            continue
        report = WORLD.verify(files)
        assert not report.verified, (name, place)
        assert report["packing"].status is Status.PASS


def mutations(lines):
    for place in range(len(lines)):
        yield "dropped", [*lines[:place], *lines[place + 1 :]]
        yield "doubled", [*lines[: place + 1], *lines[place:]]
        if place and lines[place] != lines[place - 1]:
            yield "swapped", [*lines[: place - 1], lines[place], lines[place - 1], *lines[place + 1 :]]


LINES = sorted(name for name in FILES if name.endswith(".jsonl") or name in ("inclusion", "checkpoint"))


@pytest.mark.parametrize("name", LINES)
def test_every_line_dropped_doubled_or_swapped_is_found(name):
    lines = FILES[name].splitlines(keepends=True)
    for what, changed in mutations(lines):
        if name == "checkpoint" and what == "swapped" and sorted(changed[4:]) == sorted(lines[4:]):
            continue  # the order of signature lines says nothing
        report = WORLD.verify(packed(FILES | {name: b"".join(changed)}))
        assert not report.verified, (name, what)


@pytest.mark.parametrize(
    ("name", "check"), [("entries.jsonl", "bodies"), ("leaves.jsonl", "labels"), ("statements.jsonl", "statements")]
)
def test_a_changed_digit_is_placed(name, check):
    lines = FILES[name].splitlines(keepends=True)
    number = 4
    old = {"entries.jsonl": b'"nonce":"', "leaves.jsonl": b'"label":"', "statements.jsonl": b'"sig":"'}[name]
    place = lines[number].index(old) + len(old)
    swap = b"0" if lines[number][place : place + 1] != b"0" else b"1"
    line = lines[number][:place] + swap + lines[number][place + 1 :]
    report = WORLD.verify(packed(FILES | {name: b"".join([*lines[:number], line, *lines[number + 1 :]])}))
    assert (report[check].status, report.exit_code) == (Status.FAIL, 20)
    if name != "statements.jsonl":
        found = report[check].place
        assert (found.file, found.line, found.offset) == (name, number + 1, sum(map(len, lines[:number])))


def test_a_line_that_is_not_understood_is_malformed_and_placed():
    lines = FILES["entries.jsonl"].splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"v":1', b'"v":1.0')
    report = WORLD.verify(packed(FILES | {"entries.jsonl": b"".join(lines)}))
    assert report.exit_code == 3
    assert (report["canonical"].place.file, report["canonical"].place.line) == ("entries.jsonl", 4)


@pytest.mark.parametrize("change", [(b'"v":1}', b'"v":2}'), (b"log.exported", b"log.imported")])
def test_a_newer_entry_is_unsupported_never_tampered(change):
    report = WORLD.verify(packed(FILES | {"entries.jsonl": FILES["entries.jsonl"].replace(*change)}))
    assert (report["canonical"].status, report.exit_code) == (Status.FAIL, 24)


@given(st.sampled_from(sorted(FILES)), st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_garbage_in_any_file_gives_a_report(name, data):
    files = FILES | {name: data}
    report = WORLD.verify(files if name == "bundle.json" else packed(files))
    REPORT.check(json.loads(report.to_json()))
    assert name in PLAIN or not report.verified


@given(st.sampled_from(sorted(FILES)), st.binary(max_size=40), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_garbage_inside_any_file_gives_a_report(name, data, place):
    old = FILES[name]
    at = place % (len(old) + 1)
    files = FILES | {name: old[:at] + data + old[at + len(data) :]}
    report = WORLD.verify(files if name == "bundle.json" else packed(files))
    assert report.text()


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_garbage_as_a_bundle_gives_a_malformed_report(data):
    assert WORLD.verify(data or b"x").exit_code == 3


# ---------------------------------------------------------------- the report


def test_the_json_twin_fits_its_schema():
    for report in (WORLD.verify(FILES), WORLD.verify(b"x"), WORLD.verify(WORLD.bundle(withheld={2}))):
        fields = json.loads(report.to_json())
        REPORT.check(fields)
        assert (fields["exit_code"], fields["verified"]) == (report.exit_code, report.verified)


def made(check, status, exit_code=0, *, demanded=()):
    return Report((Check(check, status, "", exit_code=exit_code),), frozenset(demanded), ())


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((20, 3), 3),
        ((24, 20), 24),
        ((25, 20), 20),
        ((25, 22), 25),
        ((22, 23), 22),
        ((23, 21), 23),
        ((21,), 21),
        ((), 0),
    ],
)
def test_the_verdict_is_the_first_that_applies(codes, expected):
    checks = tuple(Check(name, Status.FAIL, "", exit_code=code) for name, code in zip(CHECKS, codes, strict=False))
    assert Report(checks, frozenset(), ()).exit_code == expected


@pytest.mark.parametrize("check", CHECKS)
def test_a_demand_that_is_not_checked_has_its_exit_code(check):
    expected = {"log": 22, "signers": 22, "signatures": 22, "quorum": 22, "time": 23, "timestamps": 23}.get(check, 21)
    assert made(check, Status.NOT_CHECKED, demanded=[check]).exit_code == expected
    assert made(check, Status.NOT_CHECKED).exit_code == 0


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "a\u202eb", "a\u2066b", "\u200b", "\x00", "\r", "\u2028", "\x9b", "\ue000", "\ufeff"]
)
def test_text_that_steers_a_terminal_is_spelled_out(text):
    assert all(character.isprintable() for character in escape(text))
    report = Report((Check("packing", Status.FAIL, text, place=Place(file=text), exit_code=20),), frozenset(), (text,))
    assert not any(character in report.text().replace("\n", "") for character in text if not character.isprintable())


def test_what_must_always_hold_cannot_be_waived():
    assert WORLD.trust(require=()).demanded >= ALWAYS
    assert set(USUAL) <= set(CHECKS)
