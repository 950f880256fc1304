# ruff: noqa: PLR0917, PTH123, PTH211 - fixtures are many; some names are bytes
"""The main job through the SDK against the real service: send, receive, answer, grant, prove, and what can go wrong."""

import errno
import hashlib
import os
import ssl
import subprocess
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from rogatory import Client, Terms, bodies, enrolment, keyring, receipt, receive, trust_file
from rogatory.bodies import DiskFull, TamperedPart
from rogatory.connection import CertificateRefused, ClockDiffers, LineDown
from rogatory.directory import NotPinned
from rogatory.errors import AuthenticationFailed, ServiceKnowsNot, ServiceRefusal, exit_code_of
from rogatory.keyring import Keyring
from rogatory.offers import NotForUs
from rogatory.receipt import NothingToAccept
from rogatory.receive import ConditionsNotAccepted, Received, TargetTaken
from rogatory.resume import ResumeStateBroken
from rogatory.source import SourceChanged

from custody.schema import SchemaMismatch
from custody.sealing import NoMatchingIdentity, generate_identity
from custody.verify import verify_bundle
from tests.backends import EMBEDDED, SERVERS, only


@pytest.fixture
def evidence(tmp_path):
    root = tmp_path / "seizure"
    (root / "Documents" / "empty").mkdir(parents=True)
    (root / "Documents" / "letter.txt").write_bytes(b"Dear colleague")
    (root / "Documents" / "nothing").write_bytes(b"")
    with open(os.fsencode(root) + b"/\xff odd\nname", "wb") as file:
        file.write(b"odd")
    os.symlink("Documents/letter.txt", root / "shortcut")
    os.symlink("../../outside", root / "way-out")
    image = tmp_path / "disk.dd"
    image.write_bytes(os.urandom(17 * 1024 * 1024 + 4321))
    return [root, image]


def test_what_was_sent_is_what_is_received_accepted_and_proven(police, court, exchange, terms, evidence, tmp_path):
    steps = []
    sent = police.send(exchange, evidence, to=["court.fr"], terms=terms, progress=steps.append)
    assert steps[-1].done == steps[-1].size
    assert [row["id"] for row in court.inbox()] == [sent.package]
    received = court.receive(sent.package, tmp_path / "in", unpack=True, keep_sealed=True)
    assert (tmp_path / "in" / "evidence" / "disk.dd").read_bytes() == evidence[1].read_bytes()
    assert (tmp_path / "in" / "evidence" / "seizure" / "Documents" / "letter.txt").read_bytes() == b"Dear colleague"
    subprocess.run(["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"], cwd=tmp_path / "in", check=True)
    assert not (tmp_path / "in" / ".partial").exists()
    assert [name for name, _ in received.skipped] == ["seizure/way-out"]
    assert Received.load(tmp_path / "in") == received
    court.accept(Received.load(tmp_path / "in"))
    assert court.inbox() == []
    court.bundle(exchange, tmp_path / "bundle.zip")
    report = verify_bundle(tmp_path / "bundle.zip", court.trust)
    assert report.exit_code == 0, report


class Crash(BaseException):
    """The process ends here."""


class Line(httpx.BaseTransport):
    """The real line with a fault: `fault(request)` may raise before a request leaves."""

    def __init__(self, profile, fault):
        self._inner = httpx.HTTPTransport(verify=ssl.create_default_context(cafile=str(profile.ca_file)))
        self.fault = fault

    def handle_request(self, request):
        self.fault(request)
        return self._inner.handle_request(request)

    def close(self):
        self._inner.close()


def behind(client, fault):
    """The same principal behind a bad line."""
    return Client(client.profile, transport=Line(client.profile, fault))


class NthOf:
    """Raises at the nth request with this method and word in its path."""

    def __init__(self, n, method, word, error):
        self.left, self.method, self.word, self.error = n, method, word, error

    def __call__(self, request):
        if request.method == self.method and self.word in request.url.path:
            self.left -= 1
            if self.left == 0:
                raise self.error


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.dd"
    path.write_bytes(os.urandom(32 * 1024 * 1024 + 99))
    return path


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "note.txt"
    path.write_bytes(b"evidence")
    return path


CRASHES = [
    ("POST", "/packages", 1),
    ("POST", "/uploads", 1),
    ("POST", "/uploads", 3),
    ("POST", "/uploads", 4),
    ("POST", "/uploads", 5),
    ("PUT", "/headers/", 2),
    ("POST", "/seal", 1),
]
HALF_ARRIVED = [("POST", "/uploads", 4), ("POST", "/seal", 1)]


@only(EMBEDDED)  # what the client has written down when it dies
@pytest.mark.parametrize(("method", "word", "n"), CRASHES, ids=lambda value: str(value).strip("/"))
def test_a_send_goes_on_after_a_crash_and_ends_in_the_same_evidence(
    police, court, exchange, terms, image, tmp_path, method, word, n
):
    goes_on_after_a_crash(police, court, exchange, terms, image, tmp_path, NthOf(n, method, word, Crash()))


@only(SERVERS)
@pytest.mark.parametrize(("method", "word", "n"), HALF_ARRIVED, ids=lambda value: str(value).strip("/"))
def test_what_a_bucket_holds_of_a_send_that_crashed_is_gone_on_with(
    police, court, exchange, terms, image, tmp_path, method, word, n
):
    goes_on_after_a_crash(police, court, exchange, terms, image, tmp_path, NthOf(n, method, word, Crash()))


def goes_on_after_a_crash(police, court, exchange, terms, image, tmp_path, fault):
    with behind(police, fault) as crashing, pytest.raises(Crash):
        crashing.send(exchange, [image], to=["court.fr"], terms=terms)
    [package] = police.unfinished_sends()
    sent = police.resume_send(package)
    assert police.unfinished_sends() == []
    court.receive(sent.package, tmp_path / "in")
    assert (tmp_path / "in" / "evidence" / "disk.dd").read_bytes() == image.read_bytes()


def test_a_send_whose_last_answer_was_lost_is_not_sealed_twice(police, exchange, terms, small, monkeypatch):
    sealing = police.lodge.lodge

    def lost(path, said, **more):
        lodged = sealing(path, said, **more)
        if path.endswith("/seal"):
            raise Crash
        return lodged

    monkeypatch.setattr(police.lodge, "lodge", lost)
    with pytest.raises(Crash):
        police.send(exchange, [small], to=["court.fr"], terms=terms)
    monkeypatch.undo()
    [package] = police.unfinished_sends()
    assert police.resume_send(package).package == package


@only(EMBEDDED)  # the client's files
def test_a_changed_source_is_never_resumed(police, exchange, terms, image):
    with behind(police, NthOf(4, "POST", "/uploads", Crash())) as crashing, pytest.raises(Crash):
        crashing.send(exchange, [image], to=["court.fr"], terms=terms)
    [package] = police.unfinished_sends()
    with image.open("r+b") as file:
        file.write(b"changed")
    with pytest.raises(SourceChanged):
        police.resume_send(package)
    police.abandon_send(package)
    assert police.unfinished_sends() == []


@only(EMBEDDED)  # the client's files
def test_an_older_copy_of_a_state_is_never_resumed(police, exchange, terms, image):
    with behind(police, NthOf(4, "POST", "/uploads", Crash())) as crashing, pytest.raises(Crash):
        crashing.send(exchange, [image], to=["court.fr"], terms=terms)
    [package] = police.unfinished_sends()
    state = police.profile.directory / "sends" / package / "state.jsonl"
    lines = state.read_bytes().splitlines(keepends=True)
    state.write_bytes(b"".join(line for line in lines if b'"window"' not in line))
    with pytest.raises(ResumeStateBroken, match="older copy"):
        police.resume_send(package)
    police.abandon_send(package)


@only(EMBEDDED)  # the client's files
def test_an_older_copy_is_noticed_also_where_the_first_window_never_arrived(police, exchange, terms, image):
    """Windows leave side by side: that the first one is new does not mean that its upload is."""

    def first_never_arrives(request):
        start = request.headers.get("Rogatory-Start")
        if start == str(2 * 16 * 1024 * 1024):
            second_arrived.set()  # the lane that asks for the third has been answered
        if start == "0" and request.method == "POST":
            assert second_arrived.wait(60)
            raise Crash

    second_arrived = threading.Event()
    with behind(police, first_never_arrives) as crashing, pytest.raises(Crash):
        crashing.send(exchange, [image], to=["court.fr"], terms=terms, parallel=2)
    [package] = police.unfinished_sends()
    state = police.profile.directory / "sends" / package / "state.jsonl"
    lines = state.read_bytes().splitlines(keepends=True)
    state.write_bytes(b"".join(line for line in lines if b'"window"' not in line))
    with pytest.raises(ResumeStateBroken, match="older copy"):
        police.resume_send(package)
    police.abandon_send(package)


@only(EMBEDDED)  # the client's line
def test_a_broken_line_costs_nothing_but_time(police, court, exchange, terms, image, tmp_path, monkeypatch):
    faults = [
        NthOf(2, "POST", "/uploads", httpx.ReadError("cut")),
        NthOf(3, "POST", "/v1/", httpx.ConnectError("cut")),
    ]

    def fault(request):
        for one in faults:
            one(request)

    with behind(police, fault) as client:
        monkeypatch.setattr(client.connection, "_sleep", lambda _: None)
        sent = client.send(exchange, [image], to=["court.fr"], terms=terms, limit_rate=1e9)
    court.receive(sent.package, tmp_path / "in")
    assert (tmp_path / "in" / "evidence" / "disk.dd").read_bytes() == image.read_bytes()


def test_an_interrupted_receive_goes_on_and_asks_for_no_second_release(police, court, exchange, terms, image, tmp_path):
    sent = police.send(exchange, [image], to=["court.fr"], terms=terms)
    with behind(court, NthOf(2, "GET", "/downloads/", Crash())) as crashing, pytest.raises(Crash):
        crashing.receive(sent.package, tmp_path / "in")
    assert not (tmp_path / "in" / "evidence").exists()
    court.receive(sent.package, tmp_path / "in")
    assert (tmp_path / "in" / "evidence" / "disk.dd").read_bytes() == image.read_bytes()
    events = [entry.event for page in court.log(exchange) for _, entry in page.entries]
    assert events.count("key.released") == 1


def stored(service, package, item):
    return service.state / "store" / "objects" / "bodies" / package / item


@only(EMBEDDED)
def test_a_flipped_byte_in_a_stored_body_is_found_with_its_part(
    service, police, court, exchange, terms, image, tmp_path
):
    sent = police.send(exchange, [image], to=["court.fr"], terms=terms)
    item = sent.manifest.payload["items"][0]
    path = stored(service, sent.package, item["id"])
    path.chmod(0o600)
    for part in (1, 2, 3):
        flip(path, (part - 1) * item["part_size"] + 77)
        target = tmp_path / f"part-{part}"
        with pytest.raises(TamperedPart, match=f"part {part} of item {item['id']}") as found:
            court.receive(sent.package, target)
        assert (found.value.part, exit_code_of(found.value)) == (part, 20)
        assert [path.name for path in target.iterdir()] == [".partial"]
        flip(path, (part - 1) * item["part_size"] + 77)
    court.reject(court.look(sent.package), reason="digest_mismatch")
    assert sent.package not in [row["id"] for row in court.inbox()]


def flip(path, at):
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x10]))


def test_conditions_are_accepted_before_anything_is_handed_out(police, court, exchange, terms, small, tmp_path):
    terms = replace(terms, conditions={"use_limitation": "For this case only."})
    sent = police.send(exchange, [small], to=["court.fr"], terms=terms)
    assert court.look(sent.package).conditions == [
        {"code": "use_limitation", "text_sha256": hashlib.sha256(b"For this case only.").hexdigest()}
    ]
    with pytest.raises(ConditionsNotAccepted, match="use_limitation"):
        court.receive(sent.package, tmp_path / "in")
    court.receive(sent.package, tmp_path / "in", accept_conditions=True)
    events = [entry.event for page in court.log(exchange) for _, entry in page.entries]
    assert events.index("conditions.accepted") < events.index("key.released")


def test_what_was_not_received_whole_cannot_be_accepted(police, court, exchange, terms, small):
    sent = police.send(exchange, [small], to=["court.fr"], terms=terms)
    with pytest.raises(NothingToAccept):
        court.accept(receipt.unopened(court.look(sent.package)))
    court.reject(court.look(sent.package), reason="wrong_recipient")


def test_another_key_does_not_open_what_was_sent(police, court, exchange, terms, small, tmp_path, monkeypatch):
    sent = police.send(exchange, [small], to=["court.fr"], terms=terms)
    offer = court.look(sent.package)
    monkeypatch.setitem(court.__dict__, "identities", [generate_identity()])
    assert court.look(sent.package).release is None
    with pytest.raises(NotForUs):
        court.receive(court.look(sent.package), tmp_path / "in")
    with pytest.raises(NoMatchingIdentity):
        court.receive(offer, tmp_path / "in2")


def test_a_granted_authority_opens_the_same_evidence(service, police, court, terms, small, tmp_path):
    with service.enrol("defence.nl", kind="mlkem768x25519") as defence:
        service.trust_each_other(police, court, defence)
        shared, _ = police.open_exchange(["court.fr", "defence.nl"])
        sent = police.send(shared, [small], to=["court.fr"], terms=terms)
        assert not defence.look(sent.package).names_us
        court.grant(sent.package, to=["defence.nl"])
        defence.receive(sent.package, tmp_path / "in")
        assert (tmp_path / "in" / "evidence" / "note.txt").read_bytes() == b"evidence"


def test_the_sender_opens_again_what_was_sealed_to_it_too(police, court, exchange, terms, small, tmp_path):
    sent = police.send(exchange, [small], to=["court.fr"], terms=terms, also_me=True)
    police.receive(sent.package, tmp_path / "in")
    assert (tmp_path / "in" / "evidence" / "note.txt").read_bytes() == b"evidence"


def test_a_dry_run_sends_nothing(police, court, exchange, evidence):
    plan = police.plan(exchange, evidence, to=["court.fr"])
    assert [item.name for item in plan.items] == ["seizure", "disk.dd"]
    assert police.exchanges.get(exchange.id).packages == ()
    assert police.unfinished_sends() == []


def test_nothing_is_sent_to_an_authority_that_is_not_pinned(police, exchange, terms, small, monkeypatch):
    trust = trust_file.unpin(police.trust, "court.fr")
    monkeypatch.setattr(police.directory, "_trust", trust)
    with pytest.raises(NotPinned):
        police.send(exchange, [small], to=["court.fr"], terms=terms)
    assert police.exchanges.get(exchange.id).packages == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"acquisition": {"tool": 7}},
        {"acquisition": {"unknown": "x"}},
        {"exhibits": [{"description": "no number"}]},
        {"terms": Terms(retain_until=datetime.now(UTC), handling="Not A Code")},
        {"terms": Terms(retain_until=datetime.now(UTC), legal={"instrument": "Not A Code"})},
    ],
    ids=["tool", "unknown", "exhibit", "handling", "legal"],
)
def test_wrong_facts_are_refused_before_anything_leaves(police, exchange, terms, small, wrong):
    with pytest.raises(SchemaMismatch):
        police.send(exchange, [small], to=["court.fr"], **{"terms": terms} | wrong)
    assert police.exchanges.get(exchange.id).packages == ()
    assert police.unfinished_sends() == []


def test_what_is_received_is_private(police, court, exchange, terms, small, tmp_path):
    sent = police.send(exchange, [small], to=["court.fr"], terms=terms)
    court.receive(sent.package, tmp_path / "deep" / "in")
    assert [(tmp_path / "deep" / name).stat().st_mode & 0o077 for name in ("in", "in/evidence")] == [0, 0]


def test_an_empty_file_and_an_odd_name_arrive(police, court, exchange, terms, tmp_path):
    odd = tmp_path / "a\nb \u202e.txt"
    odd.write_bytes(b"")
    sent = police.send(exchange, [odd], to=["court.fr"], terms=terms)
    received = court.receive(sent.package, tmp_path / "in")
    assert [path.name for path in (tmp_path / "in" / "evidence").iterdir()] == [odd.name]
    assert "override" in dict(received.flagged)["a\\nb \\u202e.txt"]
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path / "in", check=True, capture_output=True)


@only(EMBEDDED)  # the client's disk
def test_a_full_disk_is_said_and_what_was_fetched_is_kept(police, court, exchange, terms, image, tmp_path, monkeypatch):
    sent = police.send(exchange, [image], to=["court.fr"], terms=terms)
    usage = receive.shutil.disk_usage
    monkeypatch.setattr(receive.shutil, "disk_usage", lambda path: usage(path)._replace(free=1000))
    with pytest.raises(DiskFull, match="are needed"):
        court.receive(sent.package, tmp_path / "in")
    monkeypatch.undo()
    stream = bodies.Fetch._stream

    def full(self, file, offset, body, part):
        stream(self, file, offset, replace(body, parts=body.parts[:1]), part)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bodies.Fetch, "_stream", full)
    with pytest.raises(DiskFull, match="no room left") as found:
        court.receive(sent.package, tmp_path / "in")
    assert exit_code_of(found.value) == 5
    monkeypatch.undo()
    court.receive(sent.package, tmp_path / "in")
    assert (tmp_path / "in" / "evidence" / "disk.dd").read_bytes() == image.read_bytes()


def test_a_target_that_holds_something_else_is_left_alone(police, court, exchange, terms, small, tmp_path):
    sent = police.send(exchange, [small], to=["court.fr"], terms=terms)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary").write_bytes(b"private")
    with pytest.raises(TargetTaken):
        court.receive(sent.package, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["diary"]


def test_someone_elses_exchange_does_not_exist(service, police, court, exchange):
    with service.enrol("stranger.be", "BE") as stranger, pytest.raises(ServiceKnowsNot) as found:
        stranger.exchange(exchange.id)
    assert exit_code_of(found.value) == 6


def test_a_clock_an_hour_off_is_named_as_the_reason(police):
    late = Client(police.profile, now=lambda: datetime.now(UTC) + timedelta(hours=1))
    with late, pytest.raises(ClockDiffers, match="ahead of") as found:
        late.list_exchanges()
    assert exit_code_of(found.value) == 23


def test_a_token_that_the_service_refuses_is_renewed_once(police):
    police.list_exchanges()
    police.connection._token = "expired"
    assert police.list_exchanges()


def test_a_revoked_client_cannot_log_in(service):
    with service.enrol("small.lu", "LU") as client:
        authority = Keyring(client.profile.keys).authority().authority
        said = enrolment.change_principal(
            authority,
            origin=client.profile.origin,
            authority="small.lu",
            principal=client.profile.principal,
            change="revoked",
            reason="lost",
            at=datetime.now(UTC),
        )
        client.lodge_registry(said)
        with pytest.raises(AuthenticationFailed) as found:
            client.list_exchanges()
        assert exit_code_of(found.value) == 4


def test_a_service_without_our_ca_is_not_spoken_to(police):
    with Client(replace(police.profile, ca_file=None)) as client, pytest.raises(CertificateRefused):
        client.service()


def test_a_service_that_is_down_is_a_temporary_failure(police, monkeypatch):
    with Client(replace(police.profile, server="https://localhost:1")) as client:
        monkeypatch.setattr(client.connection, "_sleep", lambda _: None)
        with pytest.raises(LineDown) as found:
            client.service()
    assert exit_code_of(found.value) == 5


def test_the_public_log_is_mirrored_and_serves_the_verifier(police, court, exchange, terms, small, tmp_path):
    first = police.mirror(tmp_path / "mirror")
    police.send(exchange, [small], to=["court.fr"], terms=terms)
    police.bundle(exchange, tmp_path / "bundle.zip")
    second = police.mirror(tmp_path / "mirror")
    assert second.before == first.size < second.size
    report = verify_bundle(tmp_path / "bundle.zip", police.trust, mirror=tmp_path / "mirror")
    assert report.exit_code == 0, report
    with pytest.raises(Exception, match="is there already"):
        police.bundle(exchange, tmp_path / "bundle.zip")


def test_an_auditor_exports_the_log_and_sees_no_package(service, police, court, terms, small, tmp_path):
    with service.enrol("oversight.eu", "BE", roles=("auditor",)) as auditor:
        service.trust_each_other(police, court, auditor)
        watched, _ = police.open_exchange(["court.fr"], auditors=["oversight.eu"])
        sent = police.send(watched, [small], to=["court.fr"], terms=terms)
        auditor.export(auditor.exchange(watched.id[:10]), tmp_path / "export.zip")
        assert verify_bundle(tmp_path / "export.zip", auditor.trust).exit_code == 0
        with pytest.raises(ServiceRefusal):
            auditor.look(sent.package)


def test_no_secret_stands_in_what_a_client_shows(police):
    secret = (police.profile.keys / keyring.ENCRYPTION).read_text().splitlines()[-1]
    shown = " ".join(map(repr, [police, police.connection, police.identities, police.speaker, Keyring(Path("x"))]))
    assert secret not in shown
    assert police.connection._token not in shown
