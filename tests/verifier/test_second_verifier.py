"""The second verifier, written from docs/spec in another language, and ours say the same of everything."""

import json
import shutil
import subprocess
import sys
from functools import cache

import pytest

from custody.report import REPORT
from custody.trust import CHECKS
from tests.verifier import corpus, second

VECTORS = second.ROOT / "tests" / "vectors"
ABSENT = {"inventory", "exchange-id"}
"""Operations of no bundle: what only the holder of a key reads, and a name that only a client shows."""


def facts():
    """Every single-fact vector that a verifier of bundles can be asked."""
    for folder in ("log", "records", "sealing"):
        for path in sorted((VECTORS / folder).glob("*.json")):
            vector = json.loads(path.read_text(encoding="utf-8"))
            if vector.get("op", "header" if "count" in vector else None) not in ABSENT | {None}:
                yield path, vector


@cache
def answers():
    rows = second.run(["vectors", *(path for path, _ in facts())])
    return {path: row for (path, _), row in zip(facts(), rows, strict=True)}


def test_every_fact_has_its_answer():
    wrong = []
    for path, vector in facts():
        found, wanted = answers()[path], vector["expect"]
        if found["found"] != wanted or found.get("output") != vector.get("output"):
            wrong.append((path.stem, wanted, found))
    assert wrong == []


def test_there_are_facts_to_answer():
    assert len(answers()) > 500


def texts(said, report):
    return {language: second.unsaid(text, report, language) for language, text in said.items()}


@pytest.mark.parametrize("kind", ["attacks", "checks", "kinds"])
def test_both_verifiers_say_the_same_check_by_check(kind, tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    cases = {"attacks": corpus.of_attacks, "checks": corpus.of_checks, "kinds": corpus.of_kinds}[kind](made)
    reports, compared = second.reports(cases, tmp_path), 0
    found = {case["about"]: second.differences(case, report) for case, report in zip(cases, reports, strict=True)}
    assert {name: rows for name, rows in found.items() if rows} == {}
    assert {report["verified"] for report in reports} >= {False}
    for report in reports:
        REPORT.check({**report})
    for case, report in zip(cases, reports, strict=True):
        if [check.get("place") for check in case["report"]["checks"]] == [c.get("place") for c in report["checks"]]:
            assert texts(case["texts"], case["report"]) == texts(report.texts, report)
            compared += 1
    assert compared > len(cases) * 0.7


@pytest.mark.deep
def test_both_verifiers_say_the_same_of_damage(effort, tmp_path):
    for _ in effort.turns(usual=1, full=67):
        cases = list(corpus.of_damage(effort.random, range(90)))
        wrong = []
        for case, report in zip(cases, second.reports(cases, tmp_path), strict=True):
            assert not report["verified"] or case["report"]["verified"]
            if rows := second.differences(case, report):
                wrong.append((case["about"], rows))
        assert wrong == []


def blinded(directory):
    """A copy of the second verifier in which the check that a case names finds nothing."""
    shutil.copytree(second.ROOT / "verifier", directory / "verifier")
    for name, old, new in [
        ("src/main.js", "await FUNCTIONS[id](facts)", "await (id === globalThis.blind ? blindly(id, facts) : FUNCTIONS[id](facts))"),
        ("src/main.js", "async function outcome", "async function blindly(id, facts) { try { return await FUNCTIONS[id](facts); } catch { return ''; } }\nasync function outcome"),
        ("cli.mjs", "  const options = { allowWithheld", "  globalThis.blind = found.only;\n  const options = { allowWithheld"),
    ]:  # fmt: skip
        path = directory / "verifier" / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")
    return ["node", str(directory / "verifier" / "cli.mjs")]


def test_no_check_of_the_second_verifier_can_be_spared(tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    cases = corpus.of_checks(made)
    whole, blind = second.reports(cases, tmp_path), second.reports(cases, tmp_path, blinded(tmp_path))
    assert {case["only"] for case in cases} == set(CHECKS)
    assert not any(report["verified"] for report in whole)
    assert [case["only"] for case, report in zip(cases, blind, strict=True) if not report["verified"]] == []


def test_the_command_reads_files_and_gives_the_exit_code(tmp_path):
    (case,) = corpus.of_kinds(tmp_path)[2:3]
    bundle, trust = tmp_path / "bundle.zip", tmp_path / "trust.json"
    bundle.write_bytes(corpus.base64.b64decode(case["bundle"]))
    trust.write_bytes(corpus.base64.b64decode(case["trust"]))
    done = subprocess.run(
        [*second.COMMAND, "verify", bundle, "--trust", trust, "--json"], capture_output=True, check=False
    )
    report = json.loads(done.stdout)
    assert done.returncode == report["exit_code"] == case["report"]["exit_code"]
    assert second.differences(case, report) == []


def test_the_page_is_what_its_sources_give():
    build = [sys.executable, str(second.ROOT / "verifier" / "build.py"), "--check"]
    assert subprocess.run(build, capture_output=True, check=False).returncode == 0
