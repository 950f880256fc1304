"""`redact`: a bundle for somebody who may see a part."""

import json

import pytest
from rogatory.cli import main

from tests.custody.world import World, zipped


@pytest.fixture(scope="module")
def world():
    return World().exchange()


@pytest.fixture
def place(world, tmp_path):
    (tmp_path / "bundle.zip").write_bytes(zipped(world.bundle()))
    (tmp_path / "trust.json").write_bytes(world.trust(require=("chain",)).encode())
    return tmp_path


def run(capsys, *typed):
    code = main(["--json", *map(str, typed)])
    said = capsys.readouterr()
    return code, json.loads(said.out or said.err)


@pytest.mark.parametrize(
    ("asked", "hidden"), [(["--withhold", "2"], [2]), (["--withhold", "2-4", "--withhold", "6"], [2, 3, 4, 6])]
)
def test_a_part_is_withheld_and_the_rest_verifies(place, capsys, asked, hidden):
    shown = place / "shown.zip"
    code, said = run(capsys, "redact", place / "bundle.zip", *asked, "-o", shown)
    assert (code, said["entries"] - said["disclosed"]) == (0, len(hidden))
    assert run(capsys, "verify", shown, "--trust", place / "trust.json")[0] == 21
    code, report = run(capsys, "verify", shown, "--trust", place / "trust.json", "--allow-withheld")
    assert (code, report["withheld"][0]["seqs"]) == (0, hidden)


def test_the_beginning_of_a_package_is_enough(place, world, capsys):
    code, said = run(capsys, "redact", place / "bundle.zip", "--only", world.package[:8], "-o", place / "shown.zip")
    assert (code, said["entries"] - said["disclosed"]) == (0, 1)


@pytest.mark.parametrize(
    ("asked", "code"),
    [([], "usage"), (["--only", "zz"], "not-found"), (["--withhold", "x"], "usage")],
)
def test_what_cannot_be_withheld_is_said_and_nothing_is_written(place, capsys, asked, code):
    assert run(capsys, "redact", place / "bundle.zip", *asked, "-o", place / "s.zip")[1]["error"]["code"] == code
    assert not (place / "s.zip").exists()
