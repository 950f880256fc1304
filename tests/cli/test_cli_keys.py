"""A life with keys, by the commands, against the real service: rotation, theft, recovery, suspension, new grants."""

import contextlib
import io
import json
import os
import shutil
import stat
from types import SimpleNamespace
from unittest import mock

import pytest
from rogatory import Profile, keyring, regrant
from rogatory.cli.program import main
from rogatory.client import Client
from rogatory.errors import ServiceRefusal
from rogatory.keyring import Keyring, load_identities

from tests.client.conftest import Service


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """Two authorities that pinned each other; `run(name, *words)` is a command of one of them."""
    root = tmp_path_factory.mktemp("keys")
    service = Service(root)
    clients = [service.enrol("nl", roles=("approver", "receiver", "requester", "sender")), service.enrol("fr", "FR")]
    service.trust_each_other(*clients)
    for client in clients:
        client.close()
    home = {"ROGATORY_HOME": str(root / "profiles")}

    def run(name, *words, expect=0):
        said = io.StringIO()
        with mock.patch.dict(os.environ, home), contextlib.chdir(root), contextlib.redirect_stdout(said):
            code = main(["--profile", name, "--json", *map(str, words)])
        assert code == expect, said.getvalue()
        return json.loads(said.getvalue())

    def keys(name):
        return root / "profiles" / name / "keys"

    def live(name, use):
        with mock.patch.dict(os.environ, home), Client(Profile.load("fr")) as client:
            return {key.id for key in client.authority(name).registry.keys(use=use)}

    yield SimpleNamespace(run=run, root=root, home=home, keys=keys, live=live)
    service.stop()


@pytest.fixture(scope="module")
def exchange(stage):
    return stage.run("nl", "exchange", "open", "--with", "fr")["exchange"]


@pytest.fixture(scope="module")
def packages(stage, exchange):
    """Three packages for `fr`: a plain one, one with conditions that were accepted, one with conditions that were not."""
    (stage.root / "terms.txt").write_text("For this case only.")
    found = []
    for name in ("plain", "bound", "strict"):
        (stage.root / name).write_bytes(name.encode())
        terms = [] if name == "plain" else ["--condition", "speciality=terms.txt"]
        said = stage.run("nl", "send", name, "--exchange", exchange, "--to", "fr", *terms)
        found.append(said["package"])
    stage.run("fr", "receive", found[1], "--to", "bound.in", "--accept-conditions")
    return found


def test_keys_that_rotate_are_followed_by_everyone_and_the_old_ones_are_gone(stage):
    before = {row["id"] for row in stage.run("nl", "keys", "show")["keys"]}
    safe, key = stage.root / "safe", stage.keys("nl") / "authority.pem"
    safe.mkdir(mode=0o700)
    for which, uses in (("--authority", {"authority"}), ("--principal", {"login", "statement"})):
        if which == "--principal":  # signed for by a key that lies elsewhere
            key.rename(safe / key.name)
            stage.run("nl", "keys", "rotate", which, expect=6)
        rows = stage.run("nl", "keys", "rotate", which, *(["--authority-keys", safe] * (not key.exists())))["keys"]
        assert {row["use"] for row in rows} == uses
        for row in rows:
            assert row["old"] in before
            assert stage.live("nl", row["use"]) == {row["new"]}
            assert len(row["records"]) == 1
    assert {path.name for path in safe.iterdir()} == {key.name}
    (safe / key.name).rename(key)
    assert not list(stage.keys("nl").glob("*.next"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in stage.keys("nl").glob("*.*")} == {0o600}
    kept = stage.root / "profiles" / "nl" / "records"
    assert len(list(kept.glob("key.rotated-*.json"))) == 3
    stage.run("nl", "inbox")


@pytest.mark.parametrize(("which", "file"), [("--authority", "authority.pem"), ("--principal", "login.pem")])
@pytest.mark.parametrize("registered", [False, True])
def test_a_rotation_that_dies_goes_on_with_the_key_it_had_made(*, stage, monkeypatch, which, file, registered):
    original = Keyring.take_next

    def die(self, *args):
        raise KeyboardInterrupt

    def die_at_this(self, name):
        (die if name == file else original)(self, name)

    with monkeypatch.context() as patch:
        if registered:
            patch.setattr(Keyring, "take_next", die_at_this)
        else:
            patch.setattr(Client, "lodge_registry", die)
        stage.run("nl", "keys", "rotate", which, expect=130)
    waiting = {path.name for path in stage.keys("nl").glob("*.next")}
    assert waiting == ({f"{file}.next"} if registered or which == "--authority" else {"statement.pem.next"})
    staged = {keyring.load_signing_key(path).public.id for path in stage.keys("nl").glob("*.next")}
    rows = stage.run("nl", "keys", "rotate", which)["keys"]
    assert staged <= {row["new"] for row in rows}
    assert not list(stage.keys("nl").glob("*.next"))
    assert all(stage.live("nl", row["use"]) == {row["new"]} for row in rows)
    stage.run("nl", "inbox")


def test_a_passphrase_follows_the_key(stage, tmp_path):
    ring = Keyring(tmp_path, lambda _: b"one two three")
    ring.generate_authority(kind="x25519")
    new = ring.next_key("authority.pem")
    assert b"ENCRYPTED" in (tmp_path / "authority.pem.next").read_bytes()
    ring.take_next("authority.pem")
    assert ring.key("authority.pem").public == new.public


def test_a_new_encryption_key_opens_what_the_old_one_opens(stage, exchange, packages, tmp_path, monkeypatch):
    plain, bound, strict = packages
    listed = stage.run("fr", "keys", "rotate", "--encryption", "--dry-run")["due"]
    assert {row["package"] for row in listed} == set(packages)
    (old,) = stage.live("fr", "encryption")
    write, count = regrant.write_grant, []

    def die_at_the_second(*args, **facts):
        count.append(1)
        if len(count) == 2:
            raise KeyboardInterrupt
        return write(*args, **facts)

    with monkeypatch.context() as patch:
        patch.setattr(regrant, "write_grant", die_at_the_second)
        error = stage.run("fr", "keys", "rotate", "--encryption", expect=130)["error"]
    assert error["hint"].startswith("rogatory keys regrant")
    both = stage.live("fr", "encryption")
    assert old in both
    assert len(both) == 2
    done = stage.run("fr", "keys", "rotate", "--encryption", "--revoke-old", expect=8)
    assert stage.live("fr", "encryption") == both - {old} == {done["keys"][0]["new"]}
    assert done["old_revoked"]
    assert [row["package"] for row in done["left"]] == [strict]
    assert len(done["granted"]) == 1, "the grant that was written before the interruption is not written again"
    assert "not accepted" in done["left"][0]["why"]
    stage.run("fr", "receive", strict, "--to", "strict.in", "--accept-conditions")
    again = stage.run("fr", "keys", "regrant")
    assert ([row["package"] for row in again["granted"]], again["left"]) == ([strict], [])
    assert stage.run("fr", "keys", "regrant") == {"granted": [], "left": []}

    identities = stage.keys("fr") / "encryption.age"
    kept = identities.read_bytes()
    newest = load_identities(identities)[0]
    identities.write_text(f"{newest}\n")  # the old identity is gone: only the grants are left
    try:
        stage.run("fr", "receive", plain, "--to", tmp_path / "plain")
        assert (tmp_path / "plain/evidence/plain").read_bytes() == b"plain"
        refused = stage.run("fr", "receive", bound, "--to", tmp_path / "bound", expect=7)["error"]
        assert refused["code"] == "conditions-not-accepted", "the new grant has the conditions of the old one"
        stage.run("fr", "receive", bound, "--to", tmp_path / "bound", "--accept-conditions")
    finally:
        identities.write_bytes(kept)
    stage.run("fr", "bundle", exchange, "-o", tmp_path / "whole.zip")
    trust = stage.root / "profiles/fr/trust.json"
    checks = {
        row["id"]: row["status"]
        for row in stage.run("fr", "verify", tmp_path / "whole.zip", "--trust", trust)["checks"]
    }
    assert "fail" not in checks.values()
    assert (checks["rules"], checks["signers"], checks["headers"]) == ("pass", "pass", "pass")


def test_a_grant_outlives_the_keys_that_signed_it(stage, packages, tmp_path):
    """It counts by its place in the log: `fr` rotates its own keys and reads its own grant."""
    stage.run("fr", "keys", "rotate", "--principal")
    identities = stage.keys("fr") / "encryption.age"
    kept = identities.read_bytes()
    identities.write_text(f"{load_identities(identities)[0]}\n")
    try:
        stage.run("fr", "receive", packages[0], "--to", tmp_path / "again")
    finally:
        identities.write_bytes(kept)


def test_a_compromised_encryption_key_is_ended_in_the_entry_that_brings_the_new_one(stage, packages):
    (old,) = stage.live("fr", "encryption")
    done = stage.run("fr", "keys", "rotate", "--encryption", "--compromised")
    assert stage.live("fr", "encryption") == {done["keys"][0]["new"]}
    assert old == done["keys"][0]["old"]
    assert {row["package"] for row in done["granted"]} == set(packages) | {done["granted"][0]["package"]}


def test_a_thief_of_the_authority_key_is_put_out_by_the_recovery_key(stage, tmp_path):
    run, recovery = stage.run, stage.keys("nl") / "recovery"
    stolen = tmp_path / "stolen"
    shutil.copytree(stage.keys("nl"), stolen)
    shutil.rmtree(stolen / "recovery")
    (mine,) = stage.live("nl", "authority")
    run("nl", "keys", "rotate", "--authority", "--authority-keys", stolen)
    assert run("nl", "role", "grant", "auditor", expect=7)["error"]["code"] == "statement-refused"
    assert run("nl", "keys", "rotate", "--authority", expect=7)["error"]["code"] == "key-not-live"
    (theirs,) = stage.live("nl", "authority")
    assert theirs != mine
    done = run("nl", "keys", "recover", "--recovery", recovery, "--reason", "stolen")
    assert stage.live("nl", "authority") == {done["keys"][0]["new"]}
    assert done["keys"][0]["old"] == theirs
    words = ["role", "grant", "auditor", "--authority-keys", stolen]
    assert run("nl", *words, expect=7)["error"]["code"] == "statement-refused"
    run("nl", "role", "grant", "auditor")
    run("nl", "role", "end", "auditor")


def test_recovery_needs_no_login_where_the_keys_to_end_are_named(stage, tmp_path):
    run, recovery = stage.run, stage.keys("nl") / "recovery"
    login, apart = stage.keys("nl") / "login.pem", tmp_path / "login.pem"
    (last,) = stage.live("nl", "authority")
    shutil.copy(login, apart)
    keyring.Keyring(tmp_path / "other").generate_principal()
    shutil.copy(tmp_path / "other" / "login.pem", login)
    words = ["keys", "recover", "--recovery", recovery, "--reason", "lost"]
    try:
        assert "--revoke KEYID" in run("nl", *words, expect=4)["error"]["hint"]
        done = run("nl", *words, "--revoke", last)
    finally:
        shutil.copy(apart, login)
    assert stage.live("nl", "authority") == {done["keys"][0]["new"]}


def test_a_suspended_authority_is_reinstated_by_its_recovery_key_alone(stage, exchange):
    run, recovery = stage.run, stage.keys("nl") / "recovery"
    run("nl", "authority", "suspend", "--reason", "stolen")
    run("nl", "inbox", expect=4)
    assert run("nl", "authority", "reinstate", "--reason", "found", expect=7)["error"]["code"] == "statement-refused"
    run("nl", "authority", "reinstate", "--reason", "found", "--recovery", recovery)
    run("nl", "exchange", "show", exchange)


def test_a_suspended_principal_is_out_until_it_is_reinstated(stage):
    principal = json.loads((stage.root / "profiles/nl/profile.json").read_text())["principal"]
    stage.run("nl", "principal", "suspend", principal, "--reason", "lost")
    stage.run("nl", "inbox", expect=4)
    stage.run("nl", "principal", "reinstate", principal, "--reason", "found")
    stage.run("nl", "inbox")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("keys rotate", "usage"),
        ("keys rotate --authority --principal", "usage"),
        ("keys rotate --authority --dry-run", "usage"),
        ("keys revoke 12 --reason x", "usage"),
        ("principal revoke 12 --reason x", "usage"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_signed(stage, words, code):
    assert stage.run("nl", *words.split(), expect=2)["error"]["code"] == code


def test_nothing_is_rotated_that_the_service_refuses(stage, monkeypatch):
    before = (stage.keys("nl") / "authority.pem").read_bytes()

    def refuse(self, said):
        raise ServiceRefusal("no", status=409, code="state-conflict")

    with monkeypatch.context() as patch:
        patch.setattr(Client, "lodge_registry", refuse)
        stage.run("nl", "keys", "rotate", "--authority", expect=7)
    assert (stage.keys("nl") / "authority.pem").read_bytes() == before
