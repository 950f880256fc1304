"""`stamp`, `renew`, `trust tsa` against a real authority: `openssl ts` behind a small HTTP server."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from rogatory.cli import doctor, main, session
from rogatory.log import PublicLog

from custody.bundle import open_bundle
from custody.text import to_time
from custody.trust import Trust
from tests.custody.tsa import POLICY, Tsa, served
from tests.custody.world import World, zipped


@pytest.fixture(scope="module")
def tsa(tmp_path_factory):
    return Tsa(tmp_path_factory.mktemp("tsa") / "national", "national", kind="ec")


@pytest.fixture
def bundle(tmp_path):
    """A bundle and the trust file of its reader."""
    world = World().exchange()
    (tmp_path / "bundle.zip").write_bytes(zipped(world.bundle()))
    return tmp_path / "bundle.zip", world


def run(capsys, *typed):
    code = main(["--json", *map(str, typed)])
    said = capsys.readouterr()
    return code, json.loads(said.out or said.err)


def test_a_bundle_is_stamped_renewed_and_verified(bundle, tsa, capsys):
    path, world = bundle
    trust = path.with_name("trust.json")
    trust.write_bytes(world.trust(tsa=(tsa.trusted,), require=("timestamps",)).encode())
    assert run(capsys, "verify", path, "--trust", trust)[0] == 23
    stamped, renewed = path.with_name("stamped.zip"), path.with_name("renewed.zip")
    with served(lambda query: (200, tsa.answer(query))) as url:
        code, said = run(capsys, "stamp", path, "--tsa", url, "--tsa", url, "-o", stamped)
        assert (code, len(said["stamps"])) == (0, 2)
        assert run(capsys, "verify", stamped, "--trust", trust)[1]["verified"]
        code, said = run(capsys, "renew", stamped, "--tsa", url, "-o", renewed)
        assert (code, said["stamps"][0]["path"]) == (0, "renewal/1-0.tsr")
        assert run(capsys, "stamp", path, "--tsa", url, "-o", stamped)[1]["error"]["code"] == "file-exists"
    code, report = run(capsys, "verify", renewed, "--trust", trust)
    [check] = [each for each in report["checks"] if each["id"] == "timestamps"]
    assert (code, check["status"]) == (0, "pass")


def test_the_readers_clock_counts_and_may_be_another(bundle, tsa, capsys):
    path, world = bundle
    trust, stamped = path.with_name("trust.json"), path.with_name("stamped.zip")
    trust.write_bytes(world.trust(tsa=(tsa.trusted,), require=("timestamps",)).encode())
    with served(lambda query: (200, tsa.answer(query))) as url:
        run(capsys, "stamp", path, "--tsa", url, "-o", stamped)
    asked = ("verify", stamped, "--trust", trust)
    assert run(capsys, *asked)[0] == 0
    assert run(capsys, *asked, "--no-clock")[0] == 0
    assert run(capsys, *asked, "--at", f"{tsa.ends:%Y-%m-%d}T00:00:00+02:00")[0] == 0
    assert run(capsys, *asked, "--at", f"{tsa.ends.year + 1}-01-01")[0] == 23
    assert main([*map(str, asked), "--at", "2001-01-01"]) == 23
    assert (
        "the reader's clock says 2001-01-01 00:00:00Z; if the clock of this machine is wrong" in capsys.readouterr().err
    )
    assert run(capsys, *asked, "--at", "yesterday")[0] == 2
    assert run(capsys, *asked, "--at", "2026-01-01", "--no-clock")[0] == 2


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        (lambda _, __: (503, b"later"), ("tsa-silent", 5)),
        (lambda _, __: (200, b"0" * 100_000), ("tsa-silent", 5)),
        (lambda _, __: (200, b"<html>"), ("timestamp-malformed", 3)),
        (lambda tsa, _: (200, tsa.stamp(b"something else")), ("timestamp-invalid", 20)),
    ],
)
def test_what_is_no_stamp_of_what_was_asked_leaves_nothing(bundle, tsa, capsys, answer, ends):
    (path, _), (code, exit_code) = bundle, ends
    with served(lambda query: answer(tsa, query)) as url:
        found = run(capsys, "stamp", path, "--tsa", url, "-o", path.with_name("stamped.zip"))
    assert (found[0], found[1]["error"]["code"]) == (exit_code, code)
    assert sorted(each.name for each in path.parent.iterdir()) == ["bundle.zip"]


def test_the_answer_to_an_older_query_is_refused(bundle, tsa, capsys):
    path, _ = bundle
    opened = open_bundle(path)
    old = tsa.stamp(opened.read("checkpoint"))
    opened.close()
    with served(lambda _: (200, old)) as url:
        found = run(capsys, "stamp", path, "--tsa", url, "-o", path.with_name("stamped.zip"))
    assert "another query" in found[1]["error"]["message"]


def test_a_bundle_without_stamps_has_nothing_to_renew(bundle, capsys):
    path, _ = bundle
    code, said = run(capsys, "renew", path, "--tsa", "https://127.0.0.1:1/", "-o", path.with_name("r.zip"))
    assert (code, said["error"]["hint"]) == (2, "rogatory stamp BUNDLE --tsa URL")


def test_an_authority_is_trusted_by_its_root(tmp_path, tsa, capsys, monkeypatch):
    class Profile:
        trust = tmp_path / "trust.json"

    world = World()
    Profile.trust.write_bytes(world.trust().encode())
    Profile.trust.chmod(0o600)
    monkeypatch.setattr(session, "load_profile", lambda _: Profile)
    root = tsa.folder / "root.pem"
    code, _ = run(capsys, "trust", "tsa", "national", "--root", root, "--policy", POLICY, "--require")
    assert code == 0
    trust = Trust.parse(Profile.trust.read_bytes())
    assert (trust.tsa, "timestamps" in trust.demanded) == ((tsa.trusted,), True)
    assert run(capsys, "trust", "tsa", "x", "--root", Profile.trust, "--policy", POLICY)[0] == 3


@pytest.mark.parametrize(
    ("days", "later", "ok"), [(0, 5, True), (6, 5, True), (8, 5, False), (80, 0, True), (None, 0, True)]
)
def test_the_doctor_says_how_old_the_newest_stamp_is(monkeypatch, days, later, ok):
    said = None
    if days is not None:
        said = {"size": 7, "published": 7 + later, "time": to_time(datetime.now(UTC) - timedelta(days=days))}
    monkeypatch.setattr(PublicLog, "stamped", lambda _: said)
    found = doctor._look("stamps", lambda: doctor._stamps(SimpleNamespace(origin="a.example/log"), None))
    assert (found.ok, found.exit_code) == (ok, 0 if ok else 23)
    assert ("none by third parties" if days is None else f"{days * 24}.0 hours ago, {later} came later") in found.detail
