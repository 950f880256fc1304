"""Setting up: keys, enrolment, profile, trust, doctor."""

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from rogatory import connection, enrolment, keyring
from rogatory.client import Client
from rogatory.profile import Profile

from custody import statement
from custody.keys import fingerprint
from custody.note import KeyType, SignerKey
from custody.text import to_time
from custody.trust import Trust
from tests.cli.test_cli_program import on_a_terminal

ORIGIN = "evidence.example.org/log"
SERVER = "https://evidence.example.org"
LOG = [SignerKey.generate(ORIGIN, kind).verifier for kind in (KeyType.ED25519, KeyType.COSIGN_MLDSA44)]


@pytest.fixture
def service(monkeypatch):
    """A service that says what it is, and nothing else."""
    said = {
        "name": "rogatory",
        "version": "0.1.0",
        "origin": ORIGIN,
        "log_keys": [str(key) for key in LOG],
        "token_endpoint": f"{SERVER}/oauth/token",
        "issuer": SERVER,
        "time": to_time(datetime.now(UTC)),
    }

    def answer(request):
        if request.url.path == "/v1/service":
            return httpx.Response(200, json=said)
        return httpx.Response(404, json={"code": "not-found", "title": "absent"})

    whole = connection.Connection.__init__

    def begin(self, *args, **named):
        whole(self, *args, **(named | {"transport": httpx.MockTransport(answer)}))

    monkeypatch.setattr(connection.Connection, "__init__", begin)
    return said


@pytest.fixture
def profile(run, service):
    assert run("profile", "create", "--server", SERVER, "--authority", "pt.pgr").code == 0
    return Profile.load("default")


@pytest.fixture
def keys(run, profile):
    assert run("keys", "generate", "authority", "--kind", "x25519").code == 0
    assert run("keys", "generate", "principal").code == 0
    return profile.keys


def compared():
    return [word for key in LOG for word in ("--fingerprint", key.full_id)]


# ---------------------------------------------------------------- profile


def test_a_profile_takes_the_origin_from_the_service(run, service):
    done = run("profile", "create", "--server", SERVER, "--authority", "pt.pgr", "--json")
    assert (done.json["origin"], done.json["chosen"]) == (ORIGIN, True)
    assert Profile.load("default").authority == "pt.pgr"


def test_the_first_profile_is_chosen_and_another_on_demand(run, service):
    for name in ("one", "two"):
        assert run("profile", "create", name, "--server", SERVER, "--authority", f"x.{name}").code == 0
    assert run("profile", "show", "--json").json["name"] == "one"
    assert run("profile", "use", "two").code == 0
    assert run("profile", "show", "--json").json["authority"] == "x.two"
    assert [row["name"] for row in run("profile", "list", "--json").json["profiles"] if row["chosen"]] == ["two"]


def test_option_goes_before_environment_before_choice(run, service, monkeypatch):
    for name in ("one", "two", "three"):
        run("profile", "create", name, "--server", SERVER, "--authority", f"x.{name}")
    monkeypatch.setenv("ROGATORY_PROFILE", "two")
    assert run("profile", "show", "--json").json["name"] == "two"
    assert run("--profile", "three", "profile", "show", "--json").json["name"] == "three"


def test_a_profile_is_not_overwritten_unasked(run, profile):
    words = ["profile", "create", "--server", SERVER, "--authority", "pt.other"]
    assert run(*words).code == 7
    assert Profile.load("default").authority == "pt.pgr"
    assert run(*words, "--replace").code == 0
    assert Profile.load("default").authority == "pt.other"


@pytest.mark.parametrize("words", ["inbox", "keys show", "exchange list", "log abc", "doctor", "trust show"])
def test_without_a_profile_the_hint_says_how_to_make_one(run, words):
    done = run(*words.split())
    assert done.code == 6
    assert "rogatory profile create" in done.out + done.err


# ---------------------------------------------------------------- keys


def test_keys_are_private_and_the_recovery_key_stands_apart(run, profile, tmp_path):
    done = run("keys", "generate", "authority", "--recovery-to", tmp_path / "usb", "--json")
    assert done.code == 0
    files = [profile.keys / "authority.pem", profile.keys / "encryption.age", tmp_path / "usb" / "recovery.pem"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600] * 3
    assert {row["use"] for row in done.json["keys"]} == {"authority", "encryption", "recovery"}
    assert "PRIVATE" not in done.out + done.err


def test_the_note_says_to_lock_the_recovery_key_away(run, profile):
    out = run("keys", "generate", "authority").out
    assert "RECOVERY KEY" in out
    assert "lock them away" in out


def test_keys_are_never_overwritten(run, keys):
    before = (keys / "authority.pem").read_bytes()
    assert run("keys", "generate", "authority").code == 7
    assert (keys / "authority.pem").read_bytes() == before


def test_shown_ids_are_those_of_the_keys(run, keys):
    found = {row["use"]: row["id"] for row in run("keys", "show", "--json").json["keys"]}
    ring = keyring.Keyring(keys)
    assert found["authority"] == ring.authority().authority.public.id
    assert found["login"] == ring.principal().login.public.id
    assert fingerprint(found["authority"]) in run("keys", "show").out


@pytest.mark.parametrize("how", ["file", "fd"])
def test_a_passphrase_comes_from_a_file_or_descriptor(run, profile, tmp_path, how):
    secret = tmp_path / "secret"
    secret.write_bytes(b"correct horse\nanother line")

    def given():
        if how == "file":
            return ["--passphrase-file", secret]
        return ["--passphrase-fd", os.open(secret, os.O_RDONLY)]

    assert run("keys", "generate", "principal", *given()).code == 0
    assert b"ENCRYPTED" in (profile.keys / "statement.pem").read_bytes()
    assert run("keys", "show", *given()).code == 0
    secret.write_bytes(b"wrong\n")
    assert run("keys", "show", *given()).code == 4
    assert run("keys", "show").code == 4


def test_an_empty_passphrase_is_refused(run, profile, tmp_path):
    (tmp_path / "secret").write_bytes(b"\n")
    assert run("keys", "generate", "principal", "--passphrase-file", "secret").code == 2
    assert not (profile.keys / "statement.pem").exists()


def test_a_passphrase_is_asked_for_on_a_terminal_and_never_shown(tmp_path):
    folder = str(tmp_path / "keys")
    env = {"PYTHONPATH": "client:."}
    code, seen = on_a_terminal(
        "keys", "generate", "principal", "--keys", folder, "--passphrase", env=env, answers=[b"s3cret\n", b"s3cret\n"]
    )
    assert code == 0
    assert seen.count("new passphrase") == 1
    assert b"ENCRYPTED" in (tmp_path / "keys/statement.pem").read_bytes()
    code, seen = on_a_terminal("keys", "show", "--keys", folder, env=env, answers=[b"s3cret\n", b"s3cret\n"])
    assert code == 0
    assert "passphrase of" in seen


def test_a_passphrase_wanted_where_nobody_can_be_asked_is_an_error(run, profile):
    assert run("keys", "generate", "principal", "--passphrase").code == 2
    assert not (profile.keys / "statement.pem").exists()


# ---------------------------------------------------------------- trust


def test_nothing_is_trusted_before_the_keys_were_compared(run, profile):
    done = run("trust", "init")
    assert done.code == 22
    assert not profile.trust.exists()
    assert LOG[0].full_id in done.err


def test_keys_that_differ_are_refused(run, profile):
    assert run("trust", "init", "--fingerprint", "00" * 32).code == 22
    assert run("trust", "init", "--fingerprint", LOG[0].full_id).code == 22
    assert not profile.trust.exists()


def test_compared_keys_are_trusted_and_our_own_authority_is_pinned(run, profile, keys):
    assert run("trust", "init", *compared()).code == 0
    trust = Trust.parse(profile.trust.read_bytes())
    assert set(trust.log) == set(LOG)
    assert trust.authorities == {"pt.pgr": {keyring.Keyring(keys).authority().authority.public.id}}
    assert stat.S_IMODE(profile.trust.stat().st_mode) == 0o600


def test_fingerprints_may_be_grouped_or_whole_keys(run, profile):
    assert run("trust", "init", "--fingerprint", fingerprint(LOG[0].full_id), "--fingerprint", str(LOG[1])).code == 0


def test_a_trust_file_is_not_replaced_unasked(run, profile):
    assert run("trust", "init", *compared()).code == 0
    assert run("trust", "init", *compared()).code == 7
    assert run("trust", "init", *compared(), "--replace").code == 0


def test_another_log_than_the_profiles_is_refused(run, profile, service):
    service["origin"] = "other.example.org/log"
    service["log_keys"] = [str(SignerKey.generate("other.example.org/log", KeyType.ED25519).verifier)]
    assert run("trust", "init").code == 2
    assert not profile.trust.exists()


def test_an_authority_is_pinned_and_shown(run, profile):
    run("trust", "init", *compared())
    assert run("trust", "pin", "es.fge", fingerprint("ab" * 32)).code == 0
    assert run("trust", "show", "--json").json["authorities"] == {"es.fge": ["ab" * 32]}
    assert run("trust", "pin", "es.fge", "cd" * 32, "--replace").code == 0
    assert Trust.parse(profile.trust.read_bytes()).authorities == {"es.fge": {"cd" * 32}}
    assert fingerprint("cd" * 32) in run("trust", "show").out


@pytest.mark.parametrize("key", ["ab" * 31, "xy" * 32, "abcd1234", ""])
def test_a_short_or_odd_fingerprint_is_no_pin(run, profile, key):
    run("trust", "init", *compared())
    assert run("trust", "pin", "es.fge", key).code == 2
    assert run("trust", "show", "--json").json["authorities"] == {}


# ---------------------------------------------------------------- enrolment


def test_the_operators_file_is_signed_and_its_fingerprint_can_be_read_aloud(run, profile, keys):
    done = run("enrolment", "authority", "--name", "Procuradoria", "--country", "PT", "-o", "enrolment.json", "--json")
    assert done.code == 0
    said = statement.parse(Path("enrolment.json").read_bytes())
    assert said.payload["name"] == "Procuradoria"
    ring = keyring.Keyring(keys).authority()
    assert done.json["fingerprint"] == ring.authority.public.id
    said.verify(ring.authority.public)
    said.verify(ring.recovery.public)


def test_the_operators_file_is_never_overwritten(run, keys):
    words = ["enrolment", "authority", "--name", "P", "--country", "PT", "-o", "enrolment.json"]
    assert run(*words).code == 0
    assert run(*words).code == 7


def test_what_a_trust_file_demands_can_be_changed_but_for_what_is_always_demanded(run, profile, tmp_path):
    run("trust", "init", *compared())
    before = set(run("trust", "show", "--json").json["demanded"])
    assert run("trust", "demand", "completeness", "--drop", "rules", "--drop", "conditions").code == 0
    assert set(run("trust", "show", "--json").json["demanded"]) == (before | {"completeness"}) - {"rules", "conditions"}
    (tmp_path / "copy.json").write_bytes(profile.trust.read_bytes())
    assert run("trust", "demand", "rules", "--trust", "copy.json").code == 0
    assert "rules" in Trust.parse((tmp_path / "copy.json").read_bytes()).demanded
    for words in (["--drop", "inclusion"], ["rules", "--drop", "rules"], ["nonsense"], ["--drop", "nonsense"]):
        assert run("trust", "demand", *words, "--json").json["error"]["code"] == "demand-refused"
    assert "rules" not in run("trust", "show", "--json").json["demanded"]


@pytest.fixture
def lodged(monkeypatch, keys, run):
    """What was lodged in the registry."""
    said = []

    class Answer:
        class entry:  # noqa: N801
            seq, statement_id = 3, "ab" * 32

        class record:  # noqa: N801
            index = 17

    monkeypatch.setattr(Client, "lodge_registry", lambda self, found: said.append(found) or Answer)
    return said


def test_a_principal_is_lodged_and_becomes_the_profiles(run, lodged, keys):
    done = run("enrolment", "principal", "--role", "sender", "--role", "receiver", "--type", "officer", "--json")
    assert done.code == 0
    assert lodged[0].payload["principal"] == {
        "id": done.json["principal"],
        "roles": ["receiver", "sender"],
        "type": "officer",
    }
    lodged[0].verify(keyring.Keyring(keys).authority().authority.public)
    assert Profile.load("default").principal == done.json["principal"] == enrolment.subject_id(lodged[0])


def test_roles_and_keys_change_by_signed_statements(run, lodged):
    run("enrolment", "principal", "--role", "sender")
    assert run("role", "grant", "approver").code == 0
    assert run("role", "end", "approver").code == 0
    assert run("keys", "revoke", "ab" * 32, "--reason", "stolen").code == 0
    assert run("principal", "suspend", "ab" * 16, "--reason", "left").code == 0
    assert [said.payload.get("event", said.payload.get("action")) for said in lodged[1:]] == [
        "role.granted",
        "role.ended",
        "revoke",
        "principal.suspended",
    ]
    assert run("principal", "suspend", "ab" * 32, "--reason", "left").code == 2


# ---------------------------------------------------------------- doctor


def lines(done):
    return {row["name"]: row for row in done.json["checks"]}


def test_the_doctor_names_what_is_missing(run, profile):
    found = lines(run("doctor", "--json"))
    assert found["profile"]["ok"]
    assert not found["keys"]["ok"]
    assert not found["trust"]["ok"]
    assert found["service"]["ok"]
    assert all("hint" in row for row in found.values() if not row["ok"])


def test_the_doctor_sees_a_clock_that_is_off(run, profile, service):
    service["time"] = to_time(datetime.now(UTC) - timedelta(hours=1))
    assert "ahead of the service" in lines(run("doctor", "--json"))["clock"]["detail"]


def test_the_doctor_sees_keys_that_others_can_read(run, keys):
    (keys / "statement.pem").chmod(0o644)
    found = lines(run("doctor", "--json"))["keys"]
    assert (found["ok"], found["hint"]) == (False, f"chmod 600 {keys / 'statement.pem'}")


def test_the_doctor_reminds_of_the_recovery_key(run, keys):
    assert "recovery key" in lines(run("doctor", "--json"))["keys"]["detail"]
    (keys / "recovery/recovery.pem").unlink()
    assert lines(run("doctor", "--json"))["keys"]["ok"]


def test_the_doctors_exit_code_is_that_of_the_first_finding(run, profile):
    assert run("doctor").code == 6
    assert run("doctor").out.count("!!") == sum(not row["ok"] for row in lines(run("doctor", "--json")).values())


def test_errors_of_json_have_code_message_and_hint(run, profile):
    error = run("trust", "init", "--json").json["error"]
    assert set(error) == {"code", "message", "hint"}
    assert json.dumps(error)
