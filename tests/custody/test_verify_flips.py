"""One bit of every byte of a whole bundle, and every line dropped, doubled or swapped: found, named and placed.

Each change is looked at twice: as it is, and repaired. Repairing the packing list takes away no other finding, so a
flip is verified once and read twice: with the check `packing`, which names the file, and without it. For lines there
is besides the operator with the log key, who makes every later seq, hash, leaf and checkpoint again.
"""

import functools
import gc
import sys
from collections import Counter

import pytest

from custody import batch, bundle, canonical, entry, keys, packing, sealing, statement, verify
from custody.checklist import case, proving
from custody.checkpoint_text import Checkpoint
from custody.errors import FormatError
from custody.note import VerifierKey
from custody.policy import Policy
from custody.report import Report, Status
from tests.custody.in_memory import MemoryArchive, verify_files, without_hex
from tests.custody.world import World, packed

WORLD = World().opened().sealed(plaintexts=(b"disk image",)).received().exported()
FILES, TRUST = WORLD.bundle(), WORLD.trust()
LIST = "bundle.json"
PLAIN = frozenset({"verify.md", "policy"})
"""Files for people: not evidence, covered by the packing list alone."""
CHUNKS = 6
WHOLE = 8
NOT_UNDERSTOOD = {3, 24}
CLASSES = {"checkpoint": {20, 22}, "consistency": {25, 21}, "tail.json": {20, 21}}
"""Exit codes besides `NOT_UNDERSTOOD` for a change under a packing list made again; 20 for every other file."""


# ---------------------------------------------------------------- what depends on its argument alone is computed once


remembered = functools.lru_cache(maxsize=512)
"""Small: what did not change is asked for again at once, what did is never; and an error, with its frames, is not kept."""


@pytest.fixture(scope="module", autouse=True)
def _remembering():
    one_entry = remembered(lambda line, parse=entry.parse_lines: next(parse((line,))))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(entry, "parse_lines", lambda lines: map(one_entry, lines))
        for key in (keys.PublicKey, VerifierKey):
            patched.setattr(key, "verify", remembered(key.verify))
        for kind in (Checkpoint, Policy, keys.Recipient, packing.PackingList):
            patched.setattr(kind, "parse", staticmethod(remembered(kind.parse)))
        for module, names in {
            batch: ["parse"],
            bundle: ["_is_known"],
            canonical: ["decode"],
            case: ["_digests", "parse_note"],
            packing: ["parse_leaves", "parse_tail", "parse_consistency"],
            proving: ["open_checkpoint"],
            sealing: ["check_header"],
            statement: ["parse"],
        }.items():
            for name in names:
                patched.setattr(module, name, remembered(getattr(module, name)))
        gc.disable()
        yield
        gc.enable()


# ---------------------------------------------------------------- flips


def without_packing(report):
    """What the report would say under a packing list made again."""
    checks = tuple(check for check in report.checks if check.id != "packing")
    return Report(checks, report.demanded - {"packing"}, (), withheld=report.withheld)


def carriers():
    """Statement id → (file, line) of the entry that carries it."""
    found = {}
    for name in FILES:
        if name.endswith("entries.jsonl"):
            for number, line in enumerate(FILES[name].splitlines(), start=1):
                found[entry.parse(line).statement_id] = name, number
    return found


CARRIERS = carriers()


def near(name, line):
    """Where a change in this line may be placed: there, in the line after it, or in the entry that it is about."""
    found = {(name, line), (name, line + 1)}
    if name == "statements.jsonl":
        found.add(CARRIERS[statement.parse(FILES[name].splitlines()[line - 1]).id])
    if name.endswith("leaves.jsonl"):
        entries = name.replace("leaves.jsonl", "entries.jsonl")
        found |= {(entries, line), (entries, line + 1), (name.replace("leaves.jsonl", "tail.json"), None)}
    return found


def places(report):
    """(file, line) of every failed check."""
    return {(check.place.file, check.place.line) for check in report.failed if check.place is not None}


def folder_of(name):
    return name.split("/")[0] if name.startswith(("consistency/", "headers/", "parts/")) else name.split("/")[-1]


def expected(name):
    return NOT_UNDERSTOOD | CLASSES.get(folder_of(name), {20})


def flips():
    """(file, place) of every byte, the packing list's too."""
    return [(name, place) for name in sorted(FILES) for place in range(len(FILES[name]))]


def settles(name, place, check):
    """Whether this finding alone decides what is asked of a flip: no later one changes found, class or place.

    Codes 3, 24 and 20 go before all others, so one of them is the verdict if this check fails with one of them.
    """
    if name in PLAIN or name == LIST:
        return check.status is Status.FAIL
    if check.id == "packing" or check.exit_code not in {20, *NOT_UNDERSTOOD} & expected(name):
        return False
    if not name.endswith(".jsonl"):
        return True
    line = FILES[name].count(b"\n", 0, place) + 1
    return check.place is not None and (check.place.file, check.place.line) in near(name, line)


def look(name, place, files):
    """The report as far as the check that settles it; all of it where none does."""
    try:
        opened = bundle._open(MemoryArchive(files))
    except FormatError:
        return verify_files(files, TRUST)
    seen, found = case.Case(opened, TRUST), []
    case.load(seen)
    for check_id, function in verify.FUNCTIONS.items():
        found.append(verify._run(check_id, function, seen))
        if settles(name, place, found[-1]):
            return Report(tuple(found), TRUST.demanded, ())
    return verify._report(seen, tuple(found), allow_withheld=False)


@pytest.mark.deep
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_flipped_bit_of_every_byte_is_found_classed_and_placed(chunk, effort):
    """All checks are made for one flip in `WHOLE`, for the others only those that it takes; in a deep run then all for all."""
    counts, chosen = Counter(), flips()[chunk::CHUNKS]
    for turn in effort.turns(usual=len(chosen), full=9 * len(chosen)):
        again, number = divmod(turn, len(chosen))
        name, place = chosen[number]
        data = bytearray(FILES[name])
        data[place] ^= 1 << (place + again) % 8
        files = FILES | {name: bytes(data)}
        whole = again or number % WHOLE == 0
        count(counts, name, place, verify_files(files, TRUST) if whole else look(name, place, files))
    sys.stdout.write(f"{dict(counts)}\n")
    assert counts["file named"] == counts["evidence"] + counts["plain"]
    assert counts["class"] >= 0.99 * counts["flips"]
    assert counts["class again"] >= 0.99 * counts["evidence"]
    assert counts["line named"] >= 0.99 * counts["lines"]


def count(counts, name, place, report):
    """Hold a report on a flip to what it must say, and count what it must nearly always say."""
    counts["flips"] += 1
    assert report.failed, (name, place)
    assert not report.verified
    counts["class"] += report.exit_code in {20, *NOT_UNDERSTOOD}
    if name == LIST:
        return
    assert report["packing"].status is Status.FAIL, (name, place)
    counts["file named"] += name in {file for file, _ in places(report)}
    if name in PLAIN:
        counts["plain"] += 1
        return
    other = without_packing(report)
    counts["evidence"] += 1
    assert not other.verified, (name, place)
    counts["class again"] += other.exit_code in expected(name)
    if name.endswith(".jsonl"):
        counts["lines"] += 1
        counts["line named"] += bool(places(other) & near(name, FILES[name].count(b"\n", 0, place) + 1))


# ---------------------------------------------------------------- lines


def rearranged(lines):
    """Every line dropped, doubled, and exchanged with the one before it."""
    for place in range(len(lines)):
        yield "dropped", place, [*lines[:place], *lines[place + 1 :]]
        yield "doubled", place, [*lines[: place + 1], *lines[place:]]
        if place and lines[place] != lines[place - 1]:
            yield "swapped", place, [*lines[: place - 1], lines[place], lines[place - 1], *lines[place + 1 :]]


LINED = ("checkpoint", "consistency/", "headers/", "inclusion")
WITH_LINES = sorted(
    name for name in FILES.keys() - {LIST} if name.startswith(LINED) or name.endswith((".jsonl", ".json"))
)


@pytest.mark.parametrize("name", WITH_LINES, ids=without_hex)
def test_every_line_dropped_doubled_or_swapped_is_found_under_a_packing_list_made_again(name):
    if name.startswith("headers/"):
        allowed = {20}
    elif name.startswith("consistency/"):
        allowed = NOT_UNDERSTOOD | {25, 21}
    else:
        allowed = expected(name)
    if name == "entries.jsonl":
        allowed |= {21}  # a dropped word of the service is an entry withheld, and named as such
    counts = Counter()
    lines = FILES[name].splitlines(keepends=True)
    for what, place, changed in rearranged(lines):
        if name == "checkpoint" and what == "swapped" and sorted(changed[4:]) == sorted(lines[4:]):
            continue  # the order of signatures says nothing
        report = verify_files(packed(FILES | {name: b"".join(changed)}), TRUST)
        counts[what] += 1
        assert report["packing"].status is Status.PASS
        assert not report.verified, (what, place)
        assert report.exit_code in allowed, (what, place, report.text())
    sys.stdout.write(f"{name}: {dict(counts)}\n")


def repaired():
    """(what, chain, seq) of every entry that an operator with the log key drops, doubles or swaps."""
    for name, handle in [("@exchange", WORLD.handle), *WORLD.registries.items()]:
        for seq in range(len(WORLD.chains[handle])):
            yield "drop", name, seq
            if seq:
                yield "swap", name, seq
            if name == "@exchange":
                yield "double", name, seq


@pytest.mark.parametrize(("what", "name", "seq"), list(repaired()))
def test_what_an_operator_with_the_log_key_rearranges_is_found(what, name, seq):
    world = WORLD.copy()
    handle = world.registries.get(name, world.handle)
    match what:
        case "drop":
            world.drop(seq, handle=handle)
        case "double":
            world.double(seq)
        case "swap":
            world.swap(seq - 1, seq, handle=handle)
    report = verify_files(world.bundle(), TRUST)
    made_again = {"packing", "bodies", "labels", "inclusion", "log"}
    assert {report[check].status for check in made_again} == {Status.PASS}, report.text()
    assert not report.verified
    assert report.exit_code in {20, 21, 22, 25}, report.text()
