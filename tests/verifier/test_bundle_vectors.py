"""Every bundle in tests/vectors/bundles is judged by both verifiers as its row says, and alike check by check."""

import base64
import io
import json
import zipfile
import zlib
from datetime import datetime
from functools import cache

import pytest

from custody.errors import CustodyError
from custody.trust import CHECKS, Trust
from custody.verify import verify_bundle
from tests.custody import test_verify_attacks as attacks
from tests.vectors import generate_bundles
from tests.verifier import second
from tests.verifier.test_second_verifier import VECTORS

FOLDER = VECTORS / "bundles"
FILES = sorted(FOLDER.glob("*.json"))


def brought(vector, directory):
    """The options of a vector as paths and values."""
    options = {}
    if "before" in vector:
        options["before"] = FOLDER / vector["before"]
    if "before_trust" in vector:
        options["before_trust"] = Trust.parse((FOLDER / vector["before_trust"]).read_bytes())
    for name in ("items", "mirror", "since"):
        if name not in vector:
            continue
        path = directory / name
        if isinstance(vector[name], str):
            path.write_bytes(base64.b64decode(vector[name]))
        else:
            path.mkdir()
            for file, data in vector[name].items():
                (path / file).parent.mkdir(parents=True, exist_ok=True)
                (path / file).write_bytes(base64.b64decode(data))
        options[name] = path
    if "now" in vector:
        options["now"] = datetime.fromisoformat(vector["now"])
    return options | {name: vector[name] for name in ("allow_withheld",) if name in vector}


def judged(path, directory):
    """Our report on a vector, as its JSON twin; or the refusal of what the reader brought."""
    vector = json.loads(path.read_text(encoding="utf-8"))
    try:
        trust = Trust.parse((FOLDER / vector["trust"]).read_bytes()) if "trust" in vector else None
        report = verify_bundle(FOLDER / vector["bundle"], trust, **brought(vector, directory))
    except CustodyError as error:
        return {"error": {"code": error.code}}
    return json.loads(report.to_json())


@cache
def theirs():
    return dict(zip(FILES, (row["report"] for row in second.run(["cases", *FILES])), strict=True))


def misses(report, expect, *, places=True):
    """What a report says otherwise than expected; without `places`, members of a place may be missing."""
    if expect.get("check") == "@trust":
        return report if report.get("error", {}).get("code") != expect["code"] else None
    if "error" in report or report["exit_code"] != expect["exit_code"]:
        return report.get("error") or f"exit code {report['exit_code']}"
    if "check" not in expect:
        return [row for row in report["checks"] if row["status"] == "fail"] or None
    found = next(check for check in report["checks"] if check["id"] == expect["check"])
    codes = {expect.get("code"), found.get("code")}
    wrong = found["status"] != expect["status"] or ("code" in expect and len(codes) > 1)
    there = found.get("place", {})
    for name, value in expect.get("place", {}).items():
        wrong = wrong or (there.get(name) != value and (places or name in there))
    return found if wrong else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_bundle_is_judged_as_its_row_says(path, tmp_path):
    expect = json.loads(path.read_text(encoding="utf-8"))["expect"]
    ours = judged(path, tmp_path)
    assert misses(ours, expect) is None, [row for row in ours.get("checks", ()) if row["status"] == "fail"]
    if "error" in ours or not second.unread(theirs()[path]):
        assert misses(theirs()[path], expect, places=False) is None
    if "error" not in ours:
        assert second.differences({"report": ours}, theirs()[path]) == []


def unpacked(data):
    """The files of an archive by name; another zlib may deflate them otherwise. What opens as none stays as it is."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if all(info.compress_type == zipfile.ZIP_DEFLATED for info in archive.infolist()):
                return {info.filename: archive.read(info) for info in archive.infolist()}
    except (zipfile.BadZipFile, zlib.error, ValueError):
        return data
    return data


def test_the_files_are_what_the_generator_writes():
    there = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    made = {path: data for name in generate_bundles.ROWS for path, data in generate_bundles.written(name).items()}
    attacks._honest.cache_clear()
    assert made.keys() == there.keys()
    assert [path for path in made if made[path] != there[path] and unpacked(made[path]) != unpacked(there[path])] == []


def test_every_check_has_a_bundle_that_only_it_finds():
    assert {f"only-{check}-finds-it" for check in CHECKS} <= {path.stem for path in FILES}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 7_000_000
