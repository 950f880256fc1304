"""`verify` and `sheet` need a file, a trust file, and nothing else."""

import html
import html.parser
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rogatory import matter
from rogatory.ids import exchange_id
from rogatory.messages import in_words
from rogatory.sheet import render

from custody import events
from custody.trust import Trust
from custody.verify import verify_bundle
from custody.words import catalogue
from tests.cli.conftest import spawn
from tests.custody.world import World, packed, zipped

BLOCKED = """
import sys, socket, importlib.abc
class Wall(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("app", "storage", "httpx", "fastapi", "sqlalchemy", "law"):
            raise ImportError(f"{name} is behind the wall")
sys.meta_path.insert(0, Wall())
def refuse(*args, **named):
    raise OSError("no network here")
socket.socket.connect = refuse
socket.create_connection = refuse
socket.getaddrinfo = refuse
from rogatory.cli.program import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_good_bundle_is_verified(run, bundle, trust):
    done = run("verify", bundle, "--trust", trust)
    assert done.code == 0
    assert done.out.endswith("VERIFIED (exit code 0)\n")


@pytest.mark.parametrize("words", ["verify {bundle}", "sheet {bundle} -o {folder}/sheet.html"])
def test_it_works_without_service_network_and_profile(words, bundle, trust, tmp_path):
    words = words.format(bundle=bundle, folder=tmp_path).split()
    done = spawn(*words, "--trust", trust, code=BLOCKED, env={"ROGATORY_HOME": str(tmp_path / "nowhere")})
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "nowhere").exists()


def test_quiet_leaves_the_verdict(run, bundle, trust):
    assert run("verify", bundle, "--trust", trust, "--quiet").out == "VERIFIED (exit code 0)\n"


def test_the_object_is_the_report(run, bundle, trust, world):
    found = run("verify", bundle, "--trust", trust, "--json").json
    assert found == json.loads(verify_bundle(bundle, world.trust()).to_json())


def test_without_a_trust_file_nothing_is_verified(run, bundle):
    done = run("verify", bundle)
    assert done.code == 22
    assert "--trust FILE" in done.err
    assert "VERIFIED (exit code 0)" not in done.out


def altered(world, name, change):
    files = world.bundle()
    return packed(files | {name: change(files[name])})


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda data: data.replace(b"receipt.signed", b"receipt.forged"), 24),
        (lambda data: data.replace(b'"bytes":', b'"bytes":1'), 20),
        (lambda data: data[:-1], 3),
    ],
    ids=["unknown event", "another number", "cut"],
)
def test_each_verdict_has_its_exit_code(run, world, trust, change, code):
    path = Path("other.zip")
    path.write_bytes(zipped(altered(world, "entries.jsonl", change)))
    assert run("verify", path, "--trust", trust).code == code


def test_a_bundle_of_a_log_with_other_keys_is_not_signed_by_whom_it_must_be(run, bundle, tmp_path):
    path = tmp_path / "other.json"
    path.write_bytes(World().trust().encode())
    assert run("verify", bundle, "--trust", path).code == 22


def test_withheld_entries_are_incomplete_unless_allowed(run, world, trust, tmp_path):
    path = tmp_path / "withheld.zip"
    path.write_bytes(zipped(world.bundle(withheld=(7,))))
    assert run("verify", path, "--trust", trust).code == 21
    allowed = run("verify", path, "--trust", trust, "--allow-withheld", "--json").json
    assert allowed["allow_withheld"] is True
    assert [row["seqs"] for row in allowed["withheld"]] == [[7]]


def test_a_mirror_shows_that_nothing_follows(run, world, bundle, trust, tmp_path):
    mirror = world.mirror(tmp_path / "mirror")
    found = run("verify", bundle, "--trust", trust, "--mirror", mirror, "--json").json
    assert next(check for check in found["checks"] if check["id"] == "completeness")["status"] == "pass"


@pytest.mark.parametrize("option", ["--items", "--mirror", "--since"])
def test_a_path_misspelt_is_an_error_and_not_a_check_left_out(run, bundle, trust, option):
    assert run("verify", bundle, "--trust", trust, option, "misspelt").code == 6


def test_a_bundle_that_is_not_there_is_not_found(run, trust):
    assert run("verify", "nothing.zip", "--trust", trust).code == 6


def test_a_trust_file_that_is_none_is_malformed(run, bundle, tmp_path):
    path = tmp_path / "broken.json"
    path.write_bytes(b"{}")
    done = run("verify", bundle, "--trust", path, "--json")
    assert (done.code, set(done.json)) == (3, {"error"})
    assert done.json["error"]["message"].startswith(str(path))
    assert "trust init" in done.json["error"]["hint"]


def test_garbage_is_malformed(run, trust, tmp_path):
    path = tmp_path / "garbage.zip"
    path.write_bytes(b"PK\x03\x04garbage")
    assert run("verify", path, "--trust", trust).code == 3


# ---------------------------------------------------------------- sheet


class Page(html.parser.HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def page(run, bundle, trust, tmp_path):
    assert run("sheet", bundle, "-o", tmp_path / "sheet.html", "--trust", trust).code == 0
    return (tmp_path / "sheet.html").read_text("utf-8")


def test_a_sheet_is_written_over_on_request_only(run, bundle, trust, page):
    assert "--replace" in run("sheet", bundle, "-o", "sheet.html").err
    assert Path("sheet.html").read_text("utf-8") == page
    assert run("sheet", bundle, "-o", "sheet.html", "--trust", trust, "--lang", "fr", "--replace").code == 0
    assert 'lang="fr"' in Path("sheet.html").read_text("utf-8")


def test_the_sheet_loads_nothing_and_runs_nothing(page):
    found = Page(page)
    assert not {"script", "img", "link", "iframe", "object", "embed", "form", "a", "base"} & set(found.tags)
    assert not [name for _, name, _ in found.attributes if name.startswith("on") or name in ("src", "href", "style")]
    assert "url(" not in page
    assert "@import" not in page
    policy = next(value for _, _, value in found.attributes if value and value.startswith("default-src 'none'"))
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; base-uri 'none'; form-action 'none'", policy
    )


def test_the_sheet_is_well_formed_and_can_be_read_aloud(page):
    found = Page(page)
    assert found.open == []
    assert ("html", "lang", "en") in found.attributes
    assert found.tags.count("h1") == 1
    assert found.tags.count("th") == sum(1 for tag, name, _ in found.attributes if (tag, name) == ("th", "scope"))


def test_the_sheet_names_bundle_digests_people_and_verdict(page, bundle, world):
    told = matter.read(bundle)
    assert matter.file_digest(bundle)[0] in page
    assert "<strong>Verified</strong>" in page
    for package in told.packages:
        assert package.id in page
        assert all(item["sha256"] in page and item["blake3"] in page for item in package.items)
    for authority in told.authorities:
        assert authority.name in page
    assert exchange_id(told.chain) in page
    assert f"<h1>Exchange {exchange_id(told.chain)[:8]}</h1>" in page
    assert told.packages
    assert told.authorities


def test_the_sheet_tells_every_entry_and_every_check(page, bundle, world):
    told = matter.read(bundle)
    for event in told.events:
        assert f'<th scope="row">{event.seq}</th>' in page
        assert html.escape(in_words(event.entry.event)) in page
    report = verify_bundle(bundle, world.trust())
    assert page.count('class="status ') == len(report.checks)
    unmade = page.partition("What was NOT checked")[2].partition("</section>")[0]
    assert unmade.count("<li>") == sum(check.status == "not_checked" for check in report.checks) > 0


def test_a_sheet_of_what_does_not_hold_says_so_first(run, world, trust, tmp_path):
    path = tmp_path / "other.zip"
    path.write_bytes(zipped(altered(world, "entries.jsonl", lambda data: data.replace(b'"bytes":', b'"bytes":1'))))
    assert run("sheet", path, "-o", tmp_path / "sheet.html", "--trust", trust).code == 20
    page = (tmp_path / "sheet.html").read_text("utf-8")
    assert "<strong>Not verified: tampered</strong>" in page
    assert "<strong>Verified</strong>" not in page
    assert page.index("Not verified") < page.index("<h2>")


def test_a_sheet_of_garbage_is_still_a_page(run, trust, tmp_path):
    (tmp_path / "garbage.zip").write_bytes(b"garbage")
    assert run("sheet", "garbage.zip", "-o", "sheet.html", "--trust", trust).code == 3
    assert "Not verified: malformed" in (tmp_path / "sheet.html").read_text("utf-8")


HOSTILE = "</td><script>alert(1)</script>\u202e\x1b[2J&amp;\"'"


def test_nothing_from_a_bundle_becomes_markup_or_turns_the_line(tmp_path, world, bundle):
    told = verify_bundle(bundle, world.trust())
    checks = tuple(type(check)(check.id, check.status, HOSTILE) for check in told.checks)
    report = type(told)(checks, told.demanded, (HOSTILE,))
    path = tmp_path / "<b>bundle.zip"
    shutil.copy(bundle, path)
    page = render(path, report, made_at="2026-11-22T10:00:00.000000Z")
    assert Page(page).open == []
    assert "<script" not in page
    assert "<b>" not in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "\\u{202e}" in page


def test_hostile_names_in_a_registry_are_shown_harmlessly(tmp_path, monkeypatch, world, bundle):
    read = matter.read

    def hostile(path):
        told = read(path)
        told.authorities = [matter.Authority(row.id, HOSTILE, row.country, row.keys) for row in told.authorities]
        return told

    monkeypatch.setattr(matter, "read", hostile)
    page = render(bundle, verify_bundle(bundle, world.trust()), made_at="2026-11-22T10:00:00.000000Z")
    assert "<script" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page


def test_a_sheet_is_never_written_over_another_file(run, bundle, trust, tmp_path):
    (tmp_path / "sheet.html").write_text("kept")
    assert run("sheet", bundle, "-o", "sheet.html", "--trust", trust).code == 7
    assert (tmp_path / "sheet.html").read_text() == "kept"
    assert run("sheet", bundle, "-o", "sheet.html", "--trust", trust, "--replace").code == 0


def test_a_directory_can_be_verified_and_shown_too(run, world, trust, tmp_path):
    for name, data in world.bundle().items():
        path = tmp_path / "unpacked" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert run("verify", "unpacked", "--trust", trust).code == 0
    assert run("sheet", "unpacked", "-o", "sheet.html", "--trust", trust).code == 0
    assert "SHA-256 of its bundle.json" in (tmp_path / "sheet.html").read_text("utf-8")


def test_an_export_has_a_sheet_too(run, tmp_path):
    world = World().exchange(form="export")
    (tmp_path / "export.zip").write_bytes(zipped(world.bundle("export")))
    (tmp_path / "trust.json").write_bytes(world.trust().encode())
    assert run("verify", "export.zip", "--trust", "trust.json").code == 0
    assert run("sheet", "export.zip", "-o", "sheet.html", "--trust", "trust.json").code == 0


def test_every_event_has_words_and_the_service_is_never_given_a_partys():
    for name, event in events.EVENTS.items():
        assert in_words(name).startswith("noted: ") == (event.kind is None)
        assert in_words(name, "fr").startswith("constaté : ") == (event.kind is None)


@pytest.mark.parametrize("asked", ["option", "LC_ALL", "LANG"])
def test_the_report_is_in_the_language_asked_for_and_its_json_is_not(run, bundle, trust, monkeypatch, asked):
    words = ("--trust", trust)
    plain = run("verify", bundle, *words, "--json").json
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    if asked == "option":
        monkeypatch.setenv("LC_ALL", "en_GB.UTF-8")
        words += ("--lang", "fr")
    else:
        monkeypatch.setenv(asked, "fr_FR.UTF-8")
    assert "VÉRIFIÉ (code de sortie 0)" in run("verify", bundle, *words).out
    assert run("verify", bundle, *words, "--json").json == plain
    assert run("sheet", bundle, "-o", f"{asked}.html", *words).code == 0


def test_a_language_without_words_is_a_usage_error(run, bundle, trust):
    assert run("verify", bundle, "--trust", trust, "--lang", "tlh").code == 2


def test_a_french_sheet_leaves_no_english_and_escapes_what_the_bundle_says(bundle, trust):
    report = verify_bundle(bundle, Trust.parse(trust.read_bytes()))
    page = render(bundle, report, made_at="2026-11-22T10:00:00.000000Z", language="fr")
    assert '<html lang="fr">' in page
    visible = html.unescape(re.sub(r"<style>.*?</style>|<[^>]+>", "\n", page, flags=re.DOTALL))
    french, english = catalogue("fr"), catalogue("en")
    spoken = {said for key, said in english.items() if french[key] != said and len(said) > 3}
    assert not spoken & {line.strip() for line in visible.splitlines()}
    hostile = replace(report, checks=(replace(report.checks[0], detail="<b>\u202e</b>"), *report.checks[1:]))
    page = render(bundle, hostile, made_at="2026-11-22T10:00:00.000000Z", language="fr")
    assert "<b>" not in page
    assert "\\u{202e}" in page
