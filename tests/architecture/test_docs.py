"""What the documentation says is what the code is."""

import argparse
import re
import shlex

import pytest
from rogatory.cli import parser
from rogatory.cli.table import SECTIONS

from app import main
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


def commands(parser_, words=("rogatory-server",)):
    """Each command of the operator, and the options of its own."""
    for action in parser_._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                yield from commands(each, (*words, name))
            return
    options = [name for action in parser_._actions for name in action.option_strings if name.startswith("--")]
    yield " ".join(words), [name for name in options if name not in {"--help", "--state"}]


def test_a_guide_tells_of_every_command_of_the_operator_and_its_options():
    """Those of the other program stand in a page that is written from them."""
    guides = "".join(page.read_text("utf-8") for page in PAGES if page.parent.name in {"guide", "operations"})
    told = [*commands(main._parser())]
    missing = [word for command, options in told for word in (command, *options) if not tells(guides, word)]
    assert missing == []


def tells(text, word):
    return re.search(rf"{re.escape(word)}\b", text) is not None


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
    assert set(advice.BY_CODE) - named - {f"http:{code}" for code in errors.of_http_alone()} == set()


def test_the_specification_and_the_service_agree_about_problems():
    assert errors.specified_statuses() == errors.statuses()


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


def test_the_specification_names_each_of_its_pages():
    said = (ROOT / "docs/spec/README.md").read_text("utf-8")
    pages = {path.name for path in ROOT.glob("docs/spec/*.md")} - {"README.md"}
    assert {name for name in pages if f"]({name})" not in said} == set()


def typed(*programs):
    """Lines of shell blocks that run one of these programs: page, words."""
    for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/guide/*.md"))]:
        for block in re.findall(r"^```sh\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(re.split(r"[|<>]", line)[0], comments=True)
                if words and words[0].rpartition("/")[2] in programs:
                    yield path.relative_to(ROOT).as_posix(), words


@pytest.mark.parametrize(
    ("page", "words"), [*typed("rogatory")], ids=lambda value: " ".join(value) if type(value) is list else ""
)
def test_a_command_in_a_guide_is_one_the_program_understands(page, words):
    parser.parse(words[1:], SECTIONS)


@pytest.mark.parametrize(
    ("page", "words"), [*typed("make")], ids=lambda value: " ".join(value) if type(value) is list else ""
)
def test_a_target_in_a_guide_can_be_made(page, words):
    assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize(
    ("page", "words"), [*typed("rogatory-server")], ids=lambda value: " ".join(value) if type(value) is list else ""
)
def test_a_command_for_the_operator_is_one_the_server_understands(page, words):
    main._parser().parse_args(words[1:])


def test_a_page_that_the_code_names_exists():
    named = set()
    for path in [path for name in ("app", "client", "custody", "storage") for path in (ROOT / name).rglob("*.py")]:
        named |= set(re.findall(r"docs/[\w/-]+\.md", path.read_text("utf-8")))
    assert {name for name in named if not (ROOT / name).exists()} == set()
