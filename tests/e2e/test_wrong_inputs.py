"""What goes wrong at the desk: keys, tokens, trust, clocks, other people's matters. Each ends in a clear refusal."""

import base64
import hashlib
import json
import secrets
import socket
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rogatory.errors import ServiceRefusedToken

from custody.sealing import generate_identity
from tests.e2e.theatre import client_of, refused, twin

SETTINGS = {"ROGATORY_TOKEN_LIFETIME": "2s"}
LATER = """
import datetime, time
_real, _now, _shift = datetime.datetime, time.time, {shift}


class Shifted(_real):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(_now() + _shift, tz)


datetime.datetime = Shifted
time.time = lambda: _now() + _shift
"""
"""A sitecustomize for one subprocess: its wall clock is off, its timers are not."""


@pytest.fixture(scope="module", autouse=True)
def unreachable(theatre):
    """A command whose service is not there; begun first, since it tries for a while."""
    lost = twin(theatre.receiver, "lost")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        profile = lost.home / "default" / "profile.json"
        fields = json.loads(profile.read_text())
        profile.write_text(json.dumps(fields | {"server": f"https://localhost:{listener.getsockname()[1]}"}))
        process = theatre.start(lost, "inbox")
        yield process
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def evidence(theatre):
    path = theatre.root / "evidence.bin"
    path.write_bytes(secrets.token_bytes(200_000))
    return path


@pytest.fixture(scope="module")
def package(theatre, evidence):
    return theatre.send(evidence)


@pytest.fixture(scope="module")
def stranger(theatre):
    """An authority of the same service that is no party to anything."""
    return theatre.stage.party("be.stranger", "BE", "Onbekend")


def test_without_the_right_key_nothing_is_received_and_with_it_everything_is(theatre, package, evidence):
    desk = twin(theatre.receiver, "wrong-key")
    (desk.home / "default" / "keys" / "encryption.age").write_text(f"{generate_identity()}\n")
    target = theatre.root / "wrong-key-target"
    said = theatre.run(desk, "receive", package, "--to", target, expect=7)
    assert "not sealed to any key at hand" in refused(said, 7)
    assert not list(target.glob("*"))
    theatre.receive(package, target)
    assert (target / "evidence" / evidence.name).read_bytes() == evidence.read_bytes()


def test_a_key_file_that_others_can_read_is_refused(theatre, package):
    desk = twin(theatre.receiver, "open-key")
    (desk.home / "default" / "keys" / "login.pem").chmod(0o644)
    said = theatre.run(desk, "inbox", expect=None)
    assert "chmod" in refused(said, 7)


def test_a_revoked_client_is_locked_out_at_once_and_its_authority_is_not(theatre):
    party = theatre.stage.party("lu.left", "LU", "Parti")
    theatre.run(party, "inbox")
    principal = json.loads((party.home / "default" / "profile.json").read_text())["principal"]
    theatre.run(party, "principal", "revoke", principal, "--reason", "left")
    said = theatre.run(party, "inbox", expect=4)
    assert "revoked" in refused(said, 4)
    theatre.run(party, "doctor", expect=None)
    for name in ("statement.pem", "login.pem"):
        (party.home / "default" / "keys" / name).unlink()
    theatre.run(party, "keys", "generate", "principal")
    theatre.run(party, "enrolment", "principal", "--role", "receiver")
    theatre.run(party, "inbox")


def test_an_expired_token_opens_nothing_and_the_client_gets_a_new_one_by_itself(theatre):
    with client_of(theatre.sender) as client:
        token = client.connection._bearer()
        headers = {"Authorization": f"Bearer {token}"}
        client.connection.request("GET", "/v1/packages", headers=headers, authenticated=False)
        time.sleep(3.1)  # two seconds of life, whole seconds
        with pytest.raises(ServiceRefusedToken) as caught:
            client.connection.request("GET", "/v1/packages", headers=headers, authenticated=False)
        assert caught.value.code == "token-expired"
        assert caught.value.exit_code == 4
        assert client.packages() is not None


def test_a_send_that_outlives_its_tokens_ends_well(theatre, evidence):
    path = theatre.root / "longer.bin"
    path.write_bytes(evidence.read_bytes() * 6)
    begun = time.monotonic()
    package = theatre.send(path, options=["--limit-rate", "400K"])
    assert time.monotonic() - begun > 2
    assert theatre.sealed(package)


@pytest.mark.parametrize("command", ["exchange show", "log", "bundle", "export", "send", "receive", "receipt", "grant"])
def test_what_is_somebody_elses_looks_like_what_is_absent(theatre, stranger, package, evidence, command):
    def ask(exchange, package):
        words = {
            "exchange show": ["exchange", "show", exchange],
            "log": ["log", exchange],
            "bundle": ["bundle", exchange, "-o", theatre.root / "none.zip"],
            "export": ["export", exchange, "-o", theatre.root / "none.zip"],
            "send": ["send", evidence, "--exchange", exchange, "--to", stranger.authority],
            "receive": ["receive", package, "--to", theatre.root / "none"],
            "receipt": ["receipt", "reject", package, "--reason", "not_expected"],
            "grant": ["grant", package, "--to", stranger.authority],
        }[command]
        said = theatre.run(stranger, *words, expect=6)
        return refused(said, 6).replace(exchange, "…").replace(package, "…")

    assert ask(theatre.exchange, package) == ask(secrets.token_hex(16), secrets.token_hex(16))
    assert not (theatre.root / "none.zip").exists()
    assert not (theatre.root / "none").exists()


def test_a_log_of_other_keys_than_the_trust_file_names_is_believed_nothing(theatre, evidence):
    desk = twin(theatre.sender, "other-log")
    trust = json.loads((desk.home / "default" / "trust.json").read_text())
    trust["log"] = [other_key(trust["origin"])]
    for path in (desk.home / "default" / "records").glob("*"):
        path.unlink()
    trust.pop("checkpoint", None)
    (desk.home / "default" / "trust.json").write_text(json.dumps(trust, sort_keys=True, separators=(",", ":")))
    before = acts(theatre)
    said = theatre.run(desk, *theatre.send_words(evidence), expect=None)
    assert "trust" in refused(said, 22)
    assert acts(theatre) == [*before, "log.viewed"]


def test_a_recipient_pinned_to_another_key_is_sent_nothing(theatre, evidence):
    desk = twin(theatre.sender, "other-pin")
    theatre.run(desk, "trust", "pin", theatre.receiver.authority, secrets.token_hex(32), expect=None)
    trust = json.loads((desk.home / "default" / "trust.json").read_text())
    (row,) = [row for row in trust["authorities"] if row["id"] == theatre.receiver.authority]
    row["keys"] = [secrets.token_hex(32)]
    (desk.home / "default" / "trust.json").write_text(json.dumps(trust, sort_keys=True, separators=(",", ":")))
    said = theatre.run(desk, *theatre.send_words(evidence), expect=None)
    assert theatre.receiver.authority in refused(said, 22)


def test_a_recipient_that_is_not_pinned_is_sent_nothing(theatre, stranger, evidence):
    said = theatre.run(
        theatre.sender, "send", evidence, "--exchange", theatre.exchange, "--to", stranger.authority, expect=None
    )
    assert "trust pin" in refused(said, 22)


@pytest.mark.parametrize("shift", [3600, -3600])
def test_a_clock_that_is_an_hour_off_is_named_and_nothing_is_sent(theatre, evidence, tmp_path, shift):
    (tmp_path / "sitecustomize.py").write_text(LATER.format(shift=shift))
    off = {"PYTHONPATH": str(tmp_path)}
    before = acts(theatre)
    said = theatre.run(theatre.sender, *theatre.send_words(evidence), expect=None, more=off, alone=True)
    message = refused(said, 23)
    assert "clock" in message
    assert "set" in message.partition("hint:")[2]
    doctor = theatre.run(theatre.sender, "doctor", expect=None, more=off, alone=True)
    assert doctor.code
    assert "clock" in doctor.out + doctor.err
    assert set(acts(theatre)[len(before) :]) == {"log.viewed"}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["send", "nothing-there", "--exchange", "EXCHANGE", "--to", "fr.court"], 6),
        (["send", "/dev/null", "--exchange", "EXCHANGE", "--to", "fr.court"], 2),
        (["send", "evidence.bin", "--exchange", "EXCHANGE", "--to", "fr.court", "--retain", "soon"], 2),
        (["send", "evidence.bin", "--exchange", "EXCHANGE", "--to", "fr.court", "--limit-rate", "fast"], 2),
        (["send", "evidence.bin", "--exchange", "EXCHANGE"], 2),
        (["receive", "zz"], 6),
        (["verify", "evidence.bin", "--trust", "nothing-there"], 6),
        (["verify", "evidence.bin", "--trust", "evidence.bin"], 3),
        (["inbox", "--profile", "nobody"], 6),
        (["sned"], 2),
    ],
)
def test_what_is_mistyped_is_refused_with_its_own_code(theatre, evidence, words, code):
    words = [theatre.exchange if word == "EXCHANGE" else word for word in words]
    refused(theatre.run(theatre.sender, *words, expect=None), code)


def test_in_json_an_error_is_the_one_object_on_stdout(theatre, stranger):
    said = theatre.run(stranger, "log", theatre.exchange, "--json", expect=6)
    assert said.err == ""
    assert said.json["error"]["code"] == "not-found"
    assert set(said.json["error"]) == {"code", "message", "hint"}


def test_a_service_that_is_not_there_is_tried_for_a_while_and_then_named(theatre, unreachable):
    assert "cannot be reached" in refused(theatre.ended(unreachable, expect=None), 5)


def acts(theatre):
    """What the parties did in the exchange; that the service reads bodies again comes when it comes."""
    return [event for event, _ in theatre.events() if event != "fixity.checked"]


def other_key(name):
    """A log's verifier key of the same name that nobody has."""
    key = b"\x01" + Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    short = hashlib.sha256(name.encode() + b"\n" + key).hexdigest()[:8]
    return f"{name}+{short}+{base64.b64encode(key).decode()}"
