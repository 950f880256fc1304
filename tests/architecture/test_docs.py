"""What the documentation says is what the code is."""

import re

import pytest

from custody.events import EVENTS
from docs import generate
from docs.pages import advice, errors, events

ROOT = generate.ROOT
PAGES = [*sorted(ROOT.glob("docs/**/*.md")), ROOT / "README.md"]
RECORDS = sorted(ROOT.glob("docs/adr/[0-9]*.md"))

SHARED = {
    "key-malformed": "a key of a party in custody, a name in a store: neither leaves its package",
    "malformed": "the branch FormatError, and the client's word for the same",
    "not-found": "the service's refusal, and the client's word for the same",
    "quorum-missing": "found in a bundle by the verifier, in a live registry by the client",
    "refused": "the service's branch, which never leaves it, and the client's word for a rule",
    "rolled-back": "found in a bundle by the verifier, in a live log by the client",
    "store-full": "a store's error, and the refusal that the service makes of it",
    "unknown-version": "an entry and an inventory, told apart by the check that reports it",
}
"""Codes that two classes of no kinship name on purpose, and why that does no harm."""


def test_the_generated_pages_are_those_the_code_makes():
    stale = [name for name, text in generate.pages().items() if (ROOT / name).read_text("utf-8") != text]
    assert stale == [], "run `make docs`"


def test_nothing_generated_is_left_over():
    assert generate.left_over() == []


def test_every_event_stands_in_one_family_of_its_own_kind_of_chain():
    named = [(name, family.chain) for family in events.FAMILIES for name in family.names.split()]
    assert sorted(named) == sorted((name, event.chain) for name, event in EVENTS.items())


def test_every_error_says_what_it_means_and_what_to_do():
    silent = [error for error in errors.classes() if not errors.meaning(error) or not errors._advice(error)]
    assert silent == []


def test_every_error_has_a_row():
    page = (ROOT / "docs/errors.md").read_text("utf-8")
    names = {f"{error.__module__}.{error.__qualname__}" for error in errors.classes()}
    assert names == set(re.findall(r"^\| \*?`[^`]+`\*? \| \*?`([^`]+)`", page, re.MULTILINE))


def test_a_code_belongs_to_one_error_or_is_shared_on_purpose():
    owners = {}
    for error in errors.classes():
        if errors.has_own_code(error):
            owners.setdefault(error.code, []).append(error)
    assert {code for code, classes in owners.items() if len(classes) > 1} == set(SHARED)


def test_codes_are_spelt_alike():
    assert [error for error in errors.classes() if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", error.code)] == []


def test_no_advice_is_for_a_code_that_is_gone():
    named = {
        f"{error.__module__.split('.')[0]}:{error.code}" for error in errors.classes() if errors.has_own_code(error)
    }
    assert set(advice.BY_CODE) - named == set()


def test_every_problem_of_the_interface_is_an_error_of_the_service():
    codes = {error.code for error in errors.classes() if error.__module__.split(".")[0] == "app"}
    assert set(errors.statuses()) - codes == set()


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_every_decision_names_what_holds_it(path):
    text = path.read_text("utf-8")
    held = re.search(r"held by:(.*?)(?:\n\n|\Z)", text, re.IGNORECASE | re.DOTALL)
    assert held, "no line `Held by:`"
    named = re.findall(r"`([\w./*-]+/[\w./*-]*)`", held[1])
    assert named, "nothing is named"
    assert [name for name in named if not list(ROOT.glob(name.rstrip("/")))] == []


def test_decisions_are_numbered_without_a_double():
    numbers = [path.name[:4] for path in RECORDS]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_inside_the_repository_lead_somewhere(path):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text("utf-8"), flags=re.DOTALL)
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    assert [target for target in targets if target and not (path.parent / target).exists()] == []


def test_every_page_is_reached_from_the_index():
    index = ROOT / "docs/index.md"
    reached, waiting = set(), [index]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        for target in re.findall(r"\]\(([^)\s#]+)", page.read_text("utf-8")):
            path = (page.parent / target).resolve()
            if path.is_file():
                waiting.append(path)
    assert set(ROOT.glob("docs/**/*.md")) - reached == set()
