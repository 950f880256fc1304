"""The main job with the commands alone, against the real service: what one authority hands over, the other proves."""

import contextlib
import hashlib
import io
import json
import os
import ssl
import subprocess
import urllib.request
from types import SimpleNamespace
from unittest import mock

import pytest
from rogatory.cli import send, tui
from rogatory.cli.program import main

from tests.cli.conftest import spawn
from tests.client.conftest import Service


@pytest.fixture(scope="module")
def stage(tmp_path_factory, backend):
    """A service, two authorities that pinned each other and an auditor, all set up by commands."""
    root = tmp_path_factory.mktemp("whole")
    running = Service(root, backend)
    home = {"ROGATORY_HOME": str(root / "home")}

    def run(name, *words, expect=0):
        said = io.StringIO()
        with mock.patch.dict(os.environ, home), contextlib.chdir(root), contextlib.redirect_stdout(said):
            code = main(["--profile", name, "--json", *map(str, words)])
        assert code == expect, said.getvalue()
        return json.loads(said.getvalue())

    keys = {}
    logs = [word for row in log_keys(running) for word in ("--fingerprint", row)]
    for name, country in (("nl", "NL"), ("fr", "FR"), ("eu", "EU")):
        facts = running.facts
        run(
            name,
            "profile",
            "create",
            "--server",
            facts["url"],
            "--authority",
            f"office.{name}",
            "--ca-file",
            facts["ca"],
        )
        run(name, "keys", "generate", "authority", "--kind", "x25519")
        run(name, "keys", "generate", "principal")
        said = run(name, "enrolment", "authority", "--name", name, "--country", country, "-o", f"{name}.json")
        running.operator("enrol", root / f"{name}.json", "--fingerprint", said["fingerprint"])
        run(name, "trust", "init", *logs)
        roles = ("auditor",) if name == "eu" else ("sender", "receiver", "requester", "approver")
        run(name, "enrolment", "principal", *(word for role in roles for word in ("--role", role)))
        keys[name] = said["fingerprint"]
    for name in keys:
        for other, key in keys.items():
            run(name, "trust", "pin", f"office.{other}", key)
    yield SimpleNamespace(run=run, root=root, home=home, service=running)
    running.stop()


def log_keys(running):
    """What an operator would read out."""
    context = ssl.create_default_context(cafile=running.facts["ca"])
    with urllib.request.urlopen(f"{running.facts['url']}/v1/service", context=context) as answer:
        return json.load(answer)["log_keys"]


@pytest.fixture(scope="module")
def exchange(stage):
    words = ["--with", "office.fr", "--auditor", "office.eu", "--title", "Operation Estuary", "--file-number", "7/26"]
    return stage.run("nl", "exchange", "open", *words)["exchange"]


@pytest.fixture(scope="module")
def package(stage, exchange):
    (stage.root / "papers").mkdir()
    (stage.root / "papers" / "letter.txt").write_text("Dear colleague")
    (stage.root / "disk.dd").write_bytes(os.urandom(100_000))
    (stage.root / "terms.txt").write_text("For this case only.")
    options = ["--condition", "speciality=terms.txt", "--examiner", "J. de Vries", "--exhibit", "07=USB stick"]
    return stage.run("nl", "send", "papers", "disk.dd", "--exchange", exchange[:8], "--to", "office.fr", *options)[
        "package"
    ]


def test_the_main_job(stage, exchange, package):
    run, root = stage.run, stage.root
    assert package in [row["id"] for row in run("fr", "inbox")["packages"]]
    assert run("fr", "receive", package[:8], "--to", "in", expect=7)["error"]["code"] == "conditions-not-accepted"
    found = run("fr", "receive", package[:8], "--to", "in", "--unpack", "--keep-sealed", "--accept-conditions")
    assert found["complete"]
    assert (root / "in/evidence/papers/letter.txt").read_text() == "Dear colleague"
    assert (
        hashlib.sha256((root / "in/evidence/disk.dd").read_bytes()).digest()
        == hashlib.sha256((root / "disk.dd").read_bytes()).digest()
    )
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=root / "in", check=True)
    assert run("fr", "receipt", "accept", package[:8])["outcome"] == "accepted"
    assert package not in [row["id"] for row in run("fr", "inbox")["packages"]]
    events = [entry["event"] for entry in run("nl", "log", exchange[:8])["entries"]]
    assert {"package.sealed", "conditions.accepted", "key.released", "receipt.signed"} <= set(events)
    run("fr", "bundle", exchange[:8], "-o", "bundle.zip")
    run("fr", "bundle", exchange[:8], "--withhold", "1", "-o", "partly.zip")
    assert sorted(path.name for path in root.glob(".*.whole")) == []
    run("eu", "export", exchange[:8], "-o", "export.zip")
    run("fr", "log", "mirror", "mirror")
    trust = ["--trust", root / "home/fr/trust.json"]
    report = run("fr", "verify", "bundle.zip", *trust, "--mirror", "mirror", "--items", "in/sealed")
    assert report["verified"]
    assert {row["id"]: row["status"] for row in report["checks"]}["items"] == "pass"
    assert run("eu", "verify", "export.zip", "--trust", root / "home/eu/trust.json")["verified"]
    assert run("fr", "verify", "partly.zip", *trust, expect=21)["withheld"] == [{"chain": "@exchange", "seqs": [1]}]
    assert run("fr", "prove", "in/evidence/papers/letter.txt", "-o", "letter.proof")["index"] == 2
    bound = ["--bundle", "bundle.zip", *trust]
    assert run("fr", "confirm", "letter.proof", "in/evidence/papers/letter.txt", *bound)["confirmed"]
    assert run("fr", "sheet", "bundle.zip", "-o", "sheet.html", *trust)["verified"]
    assert package in (root / "sheet.html").read_text("utf-8")


def test_an_interrupted_send_goes_on(stage, exchange, monkeypatch):
    (stage.root / "again.bin").write_bytes(b"again")

    def stop(self, progress):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(send._watched, "_told", stop)
        error = stage.run("nl", "send", "again.bin", "--exchange", exchange, "--to", "office.fr", expect=130)["error"]
    assert (error["code"], error["hint"]) == ("interrupted", "rogatory send --resume goes on where it stopped")
    doctor = {row["name"]: row for row in stage.run("nl", "doctor", expect=7)["checks"]}
    assert doctor["sends"]["hint"].startswith("rogatory send --resume ")
    package = stage.run("nl", "send", "--resume")["package"]
    assert package in [row["id"] for row in stage.run("fr", "inbox")["packages"]]
    assert stage.run("nl", "send", "--resume", expect=6)["error"]["code"] == "not-found"


def test_an_interrupted_send_is_given_up_with_its_keys(stage, exchange, monkeypatch):
    (stage.root / "mistake.bin").write_bytes(b"not this one")

    def stop(self, progress):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(send._watched, "_told", stop)
        stage.run("nl", "send", "mistake.bin", "--exchange", exchange, "--to", "office.fr", expect=130)
    kept = list(stage.root.rglob("sends/*/*"))
    (package,) = {path.parent.name for path in kept}
    assert stage.run("nl", "send", "--abandon", package[:8])["abandoned"] == package
    assert not list(stage.root.rglob("sends/*/*"))
    assert stage.run("nl", "send", "--resume", expect=6)["error"]["code"] == "not-found"
    assert stage.run("nl", "send", "--abandon", package[:8], expect=6)["error"]["code"] == "unknown-id"


def test_an_interrupted_receive_goes_on(stage, exchange, monkeypatch):
    (stage.root / "later.bin").write_bytes(b"later")
    package = stage.run("nl", "send", "later.bin", "--exchange", exchange, "--to", "office.fr")["package"]

    def stop(self, done, total=None):
        raise KeyboardInterrupt

    words = ["receive", package, "--to", "later"]
    with monkeypatch.context() as patch:
        patch.setattr(tui.Progress, "at", stop)
        error = stage.run("fr", *words, expect=130)["error"]
    assert error["hint"].startswith(f"rogatory receive {package[:8]} --to ")
    assert stage.run("fr", *words)["complete"]


def test_a_dry_run_sends_nothing(stage, exchange, package):
    before = stage.run("nl", "exchange", "show", exchange)["packages"]
    plan = stage.run("nl", "send", "disk.dd", "--exchange", exchange, "--to", "office.fr", "--dry-run")
    assert [item["plain_size"] for item in plan["items"]] == [100_000]
    assert stage.run("nl", "exchange", "show", exchange)["packages"] == before


def test_titles_stay_on_their_side(stage, exchange):
    mine = stage.run("nl", "exchange", "list")["exchanges"][0]
    assert (mine["title"], mine["file_number"]) == ("Operation Estuary", "7/26")
    assert "title" not in stage.run("fr", "exchange", "show", exchange[:8])
    assert stage.run("nl", "exchange", "title", exchange[:8], "--title", "Estuary")["file_number"] == "7/26"


def test_the_doctor_finds_everything_in_order_but_the_recovery_key(stage):
    found = {row["name"]: row["ok"] for row in stage.run("nl", "doctor", expect=7)["checks"]}
    assert [name for name, ok in found.items() if not ok] == ["keys"]


def test_what_was_not_received_can_be_rejected_and_not_accepted(stage, exchange):
    (stage.root / "more.bin").write_bytes(b"more")
    package = stage.run("nl", "send", "more.bin", "--exchange", exchange, "--to", "office.fr", "--also-me")["package"]
    assert stage.run("fr", "receipt", "accept", package, expect=6)["error"]["hint"] == f"rogatory receive {package[:8]}"
    assert stage.run("fr", "receipt", "reject", package, "--reason", "wrong_recipient")["outcome"] == "rejected"


def test_an_unpinned_or_unknown_recipient_is_refused(stage, exchange, package):
    words = ["send", "disk.dd", "--exchange", exchange, "--to", "office.xx"]
    assert stage.run("nl", *words, expect=22)["error"]["code"] == "not-pinned"


def test_a_package_is_granted_to_another_party(stage, exchange, package):
    (stage.root / "granted.bin").write_bytes(b"granted")
    stage.run("nl", "exchange", "add-party", exchange, "office.eu")
    found = stage.run("nl", "send", "granted.bin", "--exchange", exchange, "--to", "office.fr", "--also-me")["package"]
    assert stage.run("nl", "grant", found, "--to", "office.eu")["to"] == ["office.eu"]


@pytest.mark.parametrize(
    ("words", "code"),
    [("exchange show 00000000", 6), ("receive ffffffffff", 6), ("receipt accept ffffffff", 6), ("log ''", 6)],
)
def test_what_one_cannot_see_is_not_found(stage, words, code):
    stage.run("fr", *words.replace("''", "0" * 8).split(), expect=code)


def test_lists_for_people_show_short_ids_and_no_full_ones(stage, exchange):
    done = spawn("--profile", "nl", "exchange", "list", env=stage.home, cwd=stage.root)
    assert exchange[:8] in done.stdout
    assert exchange not in done.stdout
    assert done.stderr == ""
