"""What lies in the repository, and what must not."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("py" + "pi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npm" + "js", "org"),
        ("npm" + "js", "com"),
        ("registry", "yarn" + "pkg", "com"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("deb", "debian", "org"),
        ("conda", "anaconda", "org"),
    )
)
OPTIONS = tuple(
    "--" + word for word in ("index" + "-url", "extra-index" + "-url", "find" + "-links", "trusted" + "-host")
)
MARKERS = tuple(first + second for first, second in (("TO", "DO"), ("FIX", "ME"), ("XX", "X"), ("HA", "CK")))


def tracked():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def texts():
    for name in tracked():
        try:
            yield name, (ROOT / name).read_text("utf-8")
        except UnicodeDecodeError:
            continue


def holding(pattern):
    return [f"{name}: {found[0]}" for name, text in texts() if (found := re.search(pattern, text))]


def test_the_search_sees_the_tree():
    assert {"README.md", "LICENSE", "Makefile", "requirements/run.txt", "tests/node/package-lock.json"} <= dict(
        texts()
    ).keys()


@pytest.mark.parametrize("host", HOSTS)
def test_no_file_names_a_package_index(host):
    assert holding(r"(?i)https?://[^\s\"']*" + re.escape(host)) == []


@pytest.mark.parametrize("option", OPTIONS)
def test_no_file_says_where_packages_come_from(option):
    assert holding(re.escape(option)) == []


@pytest.mark.parametrize("marker", MARKERS)
def test_nothing_is_left_for_later_in_a_remark(marker):
    assert holding(rf"\b{marker}\b(?!-)") == []


def test_requirements_are_pinned_and_hashed():
    for name in ("run", "dev"):
        text = (ROOT / f"requirements/{name}.txt").read_text("utf-8")
        pins = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
        assert pins
        assert [line for line in pins if not re.match(r"[a-z0-9.-]+==\S+", line)] == []
        assert len(re.findall(r"--hash=sha256:", text)) >= len(pins)


def test_nothing_that_was_built_is_tracked():
    built = re.compile(
        r"(^|/)(__pycache__|node_modules|[^/]+\.egg-info|build|dist|\.venv|var|demo-run)/|\.(pyc|db|db-wal)$"
    )
    assert [name for name in tracked() if built.search(name)] == []


def test_no_key_of_anybody_is_tracked():
    secret = r"AGE-SECRET-KEY-(PQ-)?1[A-Z0-9]{20}"
    begins = "-----BEGIN " + r"(EC |RSA |ENCRYPTED |)PRIVATE KEY"
    outside = [line for line in holding(f"{secret}|{begins}") if not line.startswith("tests/")]
    assert outside == []


def test_every_change_is_told_in_a_fragment_of_a_known_kind():
    kinds = {"added", "changed", "fixed", "removed", "security", "format"}
    fragments = [path for path in (ROOT / "changes").iterdir() if path.name != "README.md"]
    assert [
        path.name for path in fragments if path.suffixes[-1:] != [".md"] or path.stem.rpartition(".")[2] not in kinds
    ] == []


def test_a_fragment_about_a_format_names_the_specification_it_changes():
    for path in (ROOT / "changes").glob("*.format.md"):
        named = re.findall(r"`(docs/spec/[\w./-]+)`", path.read_text("utf-8"))
        assert named, path.name
        assert [name for name in named if not (ROOT / name).exists()] == []
