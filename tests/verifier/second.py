"""Run the second verifier by its commands (docs/spec/vectors.md), and hold its reports to ours."""

import json
import subprocess
from pathlib import Path

from custody import words
from custody.report import escape

ROOT = Path(__file__).resolve().parents[2]
COMMAND = ["node", str(ROOT / "verifier" / "cli.mjs")]


def run(words, command=COMMAND):
    """The JSON lines that a command writes."""
    done = subprocess.run([*command, *map(str, words)], capture_output=True, text=True, timeout=300, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def reports(cases, directory, command=COMMAND):
    """The second verifier's report on each case."""
    paths = []
    for number, case in enumerate(cases):
        paths.append(directory / f"{number:05d}.json")
        paths[-1].write_text(json.dumps(case), encoding="utf-8")
    rows = run(["cases", "--text", ",".join(words.languages()), *paths], command) if paths else []
    for row in rows:
        row["report"] = Report(row["report"], row["texts"])
    return [row["report"] for row in rows]


class Report(dict):
    """A report of the second verifier, with its text in each language."""

    def __init__(self, members, texts):
        super().__init__(members)
        self.texts = texts


def unsaid(text, report, language):
    """The text of a report without the messages of errors, which are everybody's own."""
    for check in report["checks"]:
        if check["status"] == "fail":
            text = text.replace(f"{check['code']}: {escape(check['detail'])}", check["code"])
        if check["id"] == "timestamps" and check["status"] == "not_checked":
            text = text.replace(words.text(language, f"reason.{check['code']}"), "")
    return text


def alike(ours, theirs):
    """Whether two findings of one check are the same: status, code, and the place as far as both know it."""
    if ours["status"] != theirs["status"]:
        return False
    if ours["status"] == "fail" and ours["code"] != theirs.get("code"):
        return False
    one, other = ours.get("place", {}), theirs.get("place", {})
    return all(one[name] == other[name] for name in one.keys() & other.keys())


UNREAD = "stamps-unread"
"""Why a verifier that reads no stamps leaves `timestamps` NOT CHECKED, after all that it can say of them."""
OF_STAMPS = {"exit_code", "verdict", "verified", "times"}


def unread(report):
    """Whether stamps are at hand whose certificates and signatures this verifier leaves to others."""
    return any(check["id"] == "timestamps" and check.get("code") == UNREAD for check in report["checks"])


def differences(case, theirs):
    """What two reports on one bundle do not agree on; where theirs leaves stamps to others, that may find more."""
    ours = case["report"]
    if ours.keys() - {"detail"} != theirs.keys() - {"detail"}:
        return [f"members {sorted(ours.keys() ^ theirs.keys())}"]
    left = unread(theirs)
    found = []
    for one, other in zip(ours["checks"], theirs["checks"], strict=True):
        later = one["id"] == "time" and one["status"] == "fail" and other["status"] == "pass"
        if not alike(one, other) and not (left and (one["id"] == "timestamps" or later)):
            found.append(f"{one['id']}: {one} / {other}")
    if left and theirs["verified"] and "timestamps" in theirs["demanded"]:
        found.append("verified: stamps that were not read were demanded")
    names = ours.keys() - {"checks", "trusting"} - (OF_STAMPS if left else set())
    return found + [f"{name}: {ours[name]} / {theirs[name]}" for name in sorted(names) if ours[name] != theirs[name]]
