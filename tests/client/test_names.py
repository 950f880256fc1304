# ruff: noqa: PTH123 - names are bytes here, which pathlib does not take
"""Names of evidence: none leaves its directory, none misleads unseen."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rogatory import names
from rogatory.names import NameRefused, link_stays_inside, safe_join

HOSTILE = [
    b"",
    b".",
    b"..",
    b"../x",
    b"a/../b",
    b"a/..",
    b"/etc/passwd",
    b"a//b",
    b"a/",
    b"a/./b",
    b"nul\0",
    b"x" * 256,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_could_lead_out_is_refused(name):
    with pytest.raises(NameRefused):
        safe_join(Path("/root-of-it"), name)


@given(st.binary(max_size=60))
def test_a_name_is_refused_or_stays_below_the_root(raw):
    root = Path("/root-of-it")
    try:
        path = safe_join(root, raw)
    except NameRefused:
        return
    assert os.path.normpath(path) == str(path)
    assert root in path.parents


@pytest.mark.parametrize(
    "name", [b"CON", b"aux.txt", b"C:evil", b"a\\b", b"trailing.", b"trailing ", b"a<b", b"com1.tar.gz"]
)
def test_windows_refuses_what_it_would_read_as_something_else(name, monkeypatch):
    monkeypatch.setattr(names, "_WINDOWS", True)
    with pytest.raises(NameRefused):
        safe_join(Path("root"), name)


@given(st.binary(max_size=80))
def test_a_shown_name_is_one_printable_line(raw):
    shown = names.shown(raw)
    assert shown.isprintable()
    assert not set(shown) & set("\n\r\t\x1b\u202e\u2066\x00")


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("invoice\u202efdp.exe".encode(), "override"),
        (b"a\nb", "control"),
        (b"\xff", "not-text"),
        ("e\u0301".encode(), "not-nfc"),
        (b"a\\b", "backslash"),
        (b" lead", "spaces"),
    ],
)
def test_a_misleading_name_is_flagged(name, flag):
    assert flag in names.flags(name)


def test_a_plain_name_is_not_flagged():
    assert names.flags("Berichte/Grüße 2026.pdf".encode()) == []


@pytest.mark.parametrize(
    ("link", "target", "inside"),
    [
        (b"a/b", b"c", True),
        (b"a/b", b"../c", True),
        (b"a/b", b"../../c", False),
        (b"b", b"../c", False),
        (b"a/b", b"/etc", False),
        (b"a/b", b"x/../../../c", False),
        (b"a/b", b"../c/d", True),
        (b"a/b", b"./c", True),
        (b"a/b/c", b"x/../d", False),
        (b"a/b/c", b".././../d", True),
        (b"a/b", b"", False),
    ],
)
def test_only_links_that_stay_inside_are_made(link, target, inside):
    assert link_stays_inside(link, target) is inside


def test_a_checksum_file_is_read_by_sha256sum(tmp_path):
    odd = [b"plain", b"with space", b"line\nend", b"back\\slash", b"\xff\xfe", b"cr\rx"]
    lines = []
    for name in odd:
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
            file.write(name)
        lines.append(names.sums_line(hashlib.sha256(name).hexdigest(), name))
    (tmp_path / "SHA256SUMS").write_bytes(b"".join(lines))
    subprocess.run(
        ["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True, capture_output=True
    )
