"""The catalogue: every language says everything, with the same values, and the code says nothing that is not in it."""

import ast
import re
from pathlib import Path

import pytest

from custody import events, words
from custody.report import EXITS, Report, Status
from custody.trust import CHECKS
from tests.custody.in_memory import verify_files
from tests.custody.world import World

ROOT = Path(__file__).resolve().parents[2]
WORLD = World(seen=False).opened().sealed().exported()
OTHERS = sorted(set(words.languages()) - {words.DEFAULT})


def placeholders(said):
    return sorted(re.findall(r"\{(\w+)\}", said))


def keys_in_code():
    """Every key that the code of either verifier names in full, with the file that does."""
    for path in (ROOT / "verifier/src").glob("*.js"):
        yield from (
            (path.name, key)
            for key in re.findall(r'\b(?:say|signedLog)\((?:facts, )?"([\w.-]+)"', path.read_text("utf-8"))
        )
    sources = [*(ROOT / "custody").rglob("*.py"), *(ROOT / "client/rogatory").glob("*.py")]
    kinds = {key.partition(".")[0] for key in words.catalogue(words.DEFAULT)}
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"say", "text"}:
                named = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
                yield from ((path.name, key) for key in named if key.partition(".")[0] in kinds)


def test_there_are_english_and_french():
    assert {"en", "fr"} <= set(words.languages())


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_says_everything_with_the_same_values(language):
    english, other = words.catalogue(words.DEFAULT), words.catalogue(language)
    assert list(other) == list(english)
    for key, said in english.items():
        assert placeholders(other[key]) == placeholders(said), key
        assert other[key].strip(), key


def test_every_check_event_outcome_and_verdict_has_its_words():
    catalogue = words.catalogue(words.DEFAULT)
    wanted = {f"{kind}.{check}" for kind in ("check", "fail") for check in CHECKS}
    wanted |= {f"event.{name}" for name in events.EVENTS} | {f"status.{status.value}" for status in Status}
    wanted |= {f"{kind}.{code}" for kind in ("verdict", "meaning") for code in EXITS}
    assert {
        key for key in catalogue if key.partition(".")[0] in {"check", "fail", "event", "status", "verdict", "meaning"}
    } == wanted


def test_the_code_names_only_keys_that_are_there_and_every_reason_and_detail_is_used():
    catalogue, named = words.catalogue(words.DEFAULT), {key for _, key in keys_in_code()}
    assert named <= catalogue.keys()
    assert {key for key in catalogue if key.startswith(("reason.", "detail.", "trusting."))} <= named


def test_english_verdicts_are_those_of_the_json_twin():
    assert {code: words.text("en", f"verdict.{code}") for code in EXITS} == EXITS


@pytest.mark.parametrize("trust", [None, WORLD.trust()], ids=["nobody", "trusted"])
@pytest.mark.parametrize("name", ["verify.md", "entries.jsonl", "statements.jsonl", "checkpoint", "tail.json"])
def test_a_report_in_french_leaves_nothing_but_findings_in_english(name, trust):
    files = WORLD.bundle()
    report = verify_files(files | {name: files[name].replace(b"2", b"3")}, trust)
    french = report.text("fr")
    english = {said for key, said in words.catalogue("en").items() if words.catalogue("fr")[key] != said}
    for line in french.splitlines():
        assert line.strip() not in english
    assert french.count("NON VÉRIFIÉ ") == sum(check.status is Status.NOT_CHECKED for check in report.checks)
    for check in report.checks:
        assert words.text("fr", f"check.{check.id}") in french
        if check.status is Status.FAIL:
            assert words.text("fr", f"fail.{check.id}") in french
            assert check.code in french


def test_the_json_twin_is_the_same_in_every_language():
    report = verify_files(WORLD.bundle(), WORLD.trust())
    before = report.to_json()
    report.text("fr")
    assert report.to_json() == before


def test_the_first_bad_byte_is_named():
    files = WORLD.bundle()
    report = verify_files(
        files | {"entries.jsonl": files["entries.jsonl"].replace(b'"seq":3', b'"seq":4')}, WORLD.trust()
    )
    line = files["entries.jsonl"].splitlines(keepends=True)
    offset = sum(map(len, line[:3]))
    assert f"First bad place: entries.jsonl, line 4, byte {offset}" in report.text()
    assert f"Premier endroit fautif : entries.jsonl, ligne 4, octet {offset}" in report.text("fr")


def test_reports_without_a_failure_name_no_place():
    assert Report((), frozenset(), ()).first_bad is None


def test_phrases_inside_phrases_are_said_in_the_language_asked_for():
    views = [words.say("detail.view-held", size=3), words.say("detail.mirror")]
    reason = words.say("reason.no-proof", views=views, count=2)
    assert words.in_language("fr", reason) == (
        "aucune preuve disponible pour l’état certifié du fichier de confiance, taille 3, la copie du journal"
        " (états connus en tout : 2)"
    )
    assert words.in_language("fr", words.join("; ", views)).endswith("; la copie du journal")
    assert words.in_language("fr", "as it is") == "as it is"
