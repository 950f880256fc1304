"""A service with witnesses: what they cosign is published, none of them is ever waited for, and a log that one of them
knows to be another takes no entry."""

import socket
import sqlite3
import threading
from argparse import Namespace
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from rogatory.witness import Witness
from rogatory.witness_server import WitnessServer
from sqlalchemy import text

from app import main
from app.db import cosignatures, ledger
from app.db.engine import connect, writing
from app.db.guard import guard
from app.db.log_reader import LogReader
from app.errors import BadInput, ReadOnly
from app.jobs.witnesses import Witnesses, WitnessSilent
from app.main import witnesses
from app.services import witnessing
from app.services.fsck import witnessed
from app.services.fsck.findings import Findings
from app.services.policies import Member
from app.settings import Settings, Tls
from custody import leaf
from custody.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from custody.note import KeyType, SignerKey, parse_note
from custody.policy import Policy
from custody.witness import AddCheckpoint
from custody.witness import cosignatures as cosignatures_in
from tests.app.running import Running

ORIGIN = "evidence.example.org/log"
SERVICE = leaf.registry_handle(ORIGIN, leaf.SERVICE).hex()


class Asked:
    """A witness with its server, which can be silent."""

    def __init__(self, directory, name, log_keys):
        self.name = name
        self.witness = Witness.create(directory / name, f"{name}/witness")
        self.witness.follow(ORIGIN, log_keys)
        self.server = None

    def start(self, port=0):
        self.server = WitnessServer(("127.0.0.1", port), self.witness, time=lambda: int(self.clock().timestamp()))
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        return self.server.url

    def stop(self):
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.thread.join()
            self.server = None

    @property
    def size(self):
        held = self.witness.held(ORIGIN)
        return held.checkpoint.size if held else 0


def operator(running, function, **options):
    defaults = {"state": running.settings.state, "auditor": False, "quorum": None, "url": "", "wait": "0s"}
    return function(Namespace(**{**defaults, **options}))


def add(running, each, url="", **more):
    keys = [str(key) for key in each.witness.keys]
    assert operator(running, witnesses.add, authority=each.name, keys=keys, url=url, **more) == 0


def note_something(running, code="a-test"):
    """An entry of the service's own chain; its place, once it is published."""
    runtime = running.runtime
    with runtime.unit_of_work() as uow:
        entry = ledger.append(
            uow.session, chain=SERVICE, event="incident.noted", at=runtime.now(), origin=ORIGIN, noted={"code": code}
        )
        uow.commit()
    return ledger.wait_for_record(runtime.engine, entry, 20).index


def raw(running, method, path, body=b""):
    with httpx.Client(trust_env=False, timeout=20) as http:
        return http.request(method, f"http://127.0.0.1:{running.port}/log/{path}", content=body)


@contextmanager
def started(directory, **facts):
    running = Running(directory, witness_interval=timedelta(seconds=1), **facts)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A service with a witness in each of two countries, which it asks."""
    directory = tmp_path_factory.mktemp("witnessed")
    with started(directory) as running:
        running.asked = [Asked(directory, name, running.log_keys) for name in ("fr.lyon", "nl.zeeland")]
        for each in running.asked:
            each.clock = running.now
            add(running, each, each.start())
        yield running
        for each in running.asked:
            each.stop()


def test_what_is_published_is_cosigned_by_both_countries(stage):
    place = note_something(stage)
    size = witnessing.await_quorum(stage.runtime, place, 20)
    note = raw(stage, "GET", "cosigned").content
    keys = [key for each in stage.asked for key in each.witness.keys]
    shown, opened = open_checkpoint(note, origin=ORIGIN, log=stage.log_keys, witnesses=keys)
    assert shown.size >= size > place
    assert {found.verifier for found in opened.signatures} >= set(keys)
    policy = Policy.parse(raw(stage, "GET", "policy").text)
    assert policy.satisfied({key for key, _ in opened.cosignatures()})
    assert not policy.satisfied({key.full_id for key in stage.asked[0].witness.keys}), "one country is no quorum of two"
    assert raw(stage, "GET", "auditors").text == "quorum none\n"


def test_who_cosigns_stands_in_the_services_chain(stage):
    found = [entry.fields["noted"]["vkey"] for entry in stage.entries(SERVICE) if entry.event == "witness.added"]
    assert sorted(found) == sorted(str(key) for each in stage.asked for key in each.witness.keys)
    digests = [e.fields["noted"].get("text_sha256") for e in stage.entries(SERVICE) if e.event == "policy.changed"]
    text = raw(stage, "GET", "policy").content
    assert digests[-1] == witnesses.sha256(text).hexdigest()


def test_the_operator_sees_who_is_behind(stage, capsys):
    late = Asked(stage.directory, "be.gent", stage.log_keys)
    add(stage, late)
    operator(stage, witnesses.show)
    said = capsys.readouterr().out
    assert "be.gent  BEHIND: has cosigned nothing  fetches" in said
    assert operator(stage, witnesses.remove, authority="be.gent") == 0
    assert "be.gent" not in raw(stage, "GET", "policy").text
    events = [entry.event for entry in stage.entries(SERVICE)]
    assert events.count("witness.removed") == 2


@pytest.mark.parametrize(
    "change", ["size = size + 1000003", "key = 'x' || substr(key, 2)", "time = time + 1", "line = x'41'"]
)
def test_the_check_finds_a_cosignature_that_was_edited(stage, change):
    place = note_something(stage)
    assert witnessing.await_quorum(stage.runtime, place, 20)
    found = []
    path, kept = stage.settings.state / "rogatory.db", stage.directory / "edited.db"
    copy(path, kept)
    engine = connect(f"sqlite:///{kept}")
    try:
        runtime = replace(stage.runtime, engine=engine)
        with runtime.reading() as session:
            witnessed.check(session, runtime, Findings(found.append))
        assert found == []
        with writing(engine).begin() as connection:
            connection.execute(text(f"UPDATE cosignatures SET {change} WHERE rowid = 1"))
        with runtime.reading() as session:
            witnessed.check(session, runtime, Findings(found.append))
        assert len(found) == 1
    finally:
        engine.dispose()


class TestHandingBack:
    @pytest.fixture
    def fetching(self, stage):
        """A witness that fetches, and has cosigned the newest checkpoint; the note it would hand back."""
        each = Asked(stage.directory, f"xx.{stage.now().timestamp()}", stage.log_keys)
        add(stage, each)
        shown = raw(stage, "GET", "checkpoint").content
        each.witness.cosign(AddCheckpoint(0, (), shown), time=int(stage.now().timestamp()))
        yield each, each.witness.held(ORIGIN).note
        operator(stage, witnesses.remove, authority=each.name)

    def fetch(self, stage, each):
        """What `rogatory witness once` does."""
        with stage.runtime.reading() as session:
            log, old = LogReader(session), each.size
            path = log.consistency(old) if 0 < old < log.size else ()
        each.witness.cosign(AddCheckpoint(old, tuple(path), log.note), time=int(stage.now().timestamp()))
        assert raw(stage, "POST", "cosignatures", each.witness.held(ORIGIN).note).status_code == 204

    def test_a_change_waits_for_a_witness_that_fetches_if_it_is_told_to(self, stage, capsys):
        each = Asked(stage.directory, "xx.fetches", stage.log_keys)
        add(stage, each, quorum=3)
        add(stage, each, quorum=3)
        said = capsys.readouterr().out
        assert "some fetch when they like (xx.fetches)" in said
        assert "`rogatory trust policy`, and compare" in said
        facts = {"authority": each.name, "wait": "60s"}
        changing = threading.Thread(target=operator, args=(stage, witnesses.remove), kwargs=facts, daemon=True)
        changing.start()
        while changing.is_alive():
            self.fetch(stage, each)
            changing.join(0.1)
        said = capsys.readouterr().out
        assert "members take it over with `rogatory trust update`" in said
        assert "not cosigned" not in said
        with pytest.raises(BadInput, match="--wait"):
            operator(stage, witnesses.remove, authority="nl.zeeland", wait="soon")

    def test_a_cosigned_note_is_kept_once_and_shown(self, stage, fetching):
        each, note = fetching
        for _ in range(2):
            assert raw(stage, "POST", "cosignatures", note).status_code == 204
        size = each.size
        with stage.runtime.reading() as session:
            kept = cosignatures.cosigned_note(session, size)
        assert set(cosignatures_in(kept, each.witness.keys)) == set(each.witness.keys)

    def test_what_a_key_cosigned_last_is_shown_to_anybody(self, stage, fetching):
        each, note = fetching
        raw(stage, "POST", "cosignatures", note)
        for key in each.witness.keys:
            answer = raw(stage, "GET", f"cosigned/{key.full_id}")
            shown = parse_note(answer.content)
            assert (answer.status_code, shown.text) == (200, parse_note(note).text)
            assert set(cosignatures_in(answer.content, each.witness.keys)) == set(each.witness.keys)
        assert raw(stage, "GET", f"cosigned/{'0' * 64}").status_code == 404

    def test_a_later_time_of_one_key_replaces_an_earlier_one_and_never_the_other_way(self, stage, fetching):
        each, first = fetching
        raw(stage, "POST", "cosignatures", first)
        later = int(stage.now().timestamp()) + 7
        shown = parse_note(first)
        lines = [signer.sign(shown.text, later) for signer in each.witness.signers]
        own = [line for line in shown.lines if line.split(" ")[1] == ORIGIN]
        second = "".join([shown.text, "\n", *(f"{line}\n" for line in [*own, *lines])]).encode()
        for note in (second, first):
            assert raw(stage, "POST", "cosignatures", note).status_code == 204
        with stage.runtime.reading() as session:
            assert cosignatures.newest_of(session, [key.full_id for key in each.witness.keys])[1] == later

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            (lambda note: b"", 400),
            (lambda note: b"nothing\n", 400),
            (lambda note: note.replace(b"\n\n", b"\nmore\n\n", 1), 403),
            (lambda note: note.replace(b"evidence", b"evidenza"), 403),
            (lambda note: b"\n".join(note.split(b"\n")[:-3]) + b"\n", 403),
            (lambda note: note[:-9] + (b"A" if note[-9:-8] != b"A" else b"B") + note[-8:], 403),
            (lambda note: note + b" " * witnessing.MAX_NOTE, 413),
        ],
        ids=["empty", "no note", "other text", "other log", "no cosignature", "a bit of one", "too large"],
    )
    def test_anything_else_is_refused(self, stage, fetching, change, status):
        assert raw(stage, "POST", "cosignatures", change(fetching[1])).status_code == status

    def test_keys_of_nobody_we_know_are_not_kept(self, stage):
        stranger = Asked(stage.directory, f"stranger-{stage.now().timestamp()}", stage.log_keys)
        shown = raw(stage, "GET", "checkpoint").content
        stranger.witness.cosign(AddCheckpoint(0, (), shown), time=1)
        assert raw(stage, "POST", "cosignatures", stranger.witness.held(ORIGIN).note).status_code == 403


class TestAsking:
    def submit(self, stage, member):
        job = Witnesses(stage.runtime)
        try:
            job.submit(member)
        finally:
            job.close()

    def member(self, each, url):
        return Member(each.name, each.witness.keys, url)

    @pytest.fixture
    def another(self, stage):
        each = Asked(stage.directory, f"yy.{stage.now().timestamp()}", stage.log_keys)
        each.clock = stage.now
        url = each.start()
        yield each, self.member(each, url)
        each.stop()

    def test_a_witness_that_remembers_another_size_is_met_there(self, stage, another):
        """It forgot everything, or was shown a checkpoint by another: 409 says where to go on from."""
        each, member = another
        with stage.runtime.reading() as session:
            log = LogReader(session)
            old = log.size
        each.witness.cosign(AddCheckpoint(0, (), log.note), time=1)
        note_something(stage)
        self.submit(stage, member)
        assert each.size > old
        (each.witness.directory / "memory" / witnesses.sha256(ORIGIN.encode()).hexdigest()).unlink()
        note_something(stage)
        self.submit(stage, member)
        assert each.size > old

    def test_a_size_is_not_given_again_while_an_entry_waits_nor_while_it_is_young(self, stage, another):
        each, member = another
        self.submit(stage, member)
        job = Witnesses(stage.runtime)
        size = each.size
        assert job._next(member) is None
        stage.now.ahead += timedelta(seconds=90)
        with stage.service.sequencer._turn:
            with stage.runtime.reading() as session:
                if cosignatures.newest_size(session) == size:
                    assert job._next(member).old == size
            with stage.runtime.unit_of_work() as uow:
                entry = ledger.append(
                    uow.session, chain=SERVICE, event="incident.noted", at=stage.now(), origin=ORIGIN,
                    noted={"code": "waits"},
                )  # fmt: skip
                uow.commit()
            assert job._next(member) is None
        stage.now.ahead -= timedelta(seconds=90)
        ledger.wait_for_record(stage.runtime.engine, entry, 20)

    def test_a_witness_that_lies_is_its_own_trouble(self, stage, another, monkeypatch):
        """It claims a larger size and shows nothing; it shows another log's checkpoint; its lines do not hold."""
        _, member = another
        stranger = SignerKey.generate(ORIGIN, KeyType.ED25519)
        forged = sign_checkpoint(Checkpoint(ORIGIN, 10**6, bytes(32)), [stranger], 1)
        for post, shown in (
            ((409, "text/x.tlog.size", b"1000000\n"), (404, "", b"")),
            ((409, "text/x.tlog.size", b"1000000\n"), (200, "", forged)),
            ((409, "text/x.tlog.size", b"many\n"), (404, "", b"")),
            ((409, "text/plain", b"7\n"), (404, "", b"")),
            ((422, "", b""), (200, "", b"nothing")),
            ((200, "", b"\xff"), (404, "", b"")),
            ((200, "", stranger.sign("x\n").encode() + b"\n"), (404, "", b"")),
        ):
            monkeypatch.setattr(
                Witnesses, "_speak", lambda _, method, *__, post=post, shown=shown: post if method == "POST" else shown
            )
            with pytest.raises(WitnessSilent):
                self.submit(stage, member)
        note_something(stage)

    def test_one_that_never_answers_keeps_neither_entries_nor_the_other_waiting(self, stage):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            each = Asked(stage.directory, "zz.silent", stage.log_keys)
            add(stage, each, f"http://127.0.0.1:{silent.getsockname()[1]}", quorum=2)
            taken = silent.accept()[0]  # the job has asked, and waits
            place = note_something(stage)
            assert witnessing.await_quorum(stage.runtime, place, 20) > place
            operator(stage, witnesses.remove, authority="zz.silent")
            taken.close()


class TestPolicies:
    def test_a_key_cannot_be_witness_and_auditor(self, stage):
        with pytest.raises(Exception, match="auditor"):
            add(stage, stage.asked[0], auditor=True)

    def test_a_policy_written_by_hand_is_not_rewritten(self, stage, tmp_path):
        text = "# ours\n" + raw(stage, "GET", "policy").text
        (tmp_path / "policy").write_text(text)
        before = raw(stage, "GET", "policy").text
        operator(stage, witnesses.policy, file=tmp_path / "policy")
        assert raw(stage, "GET", "policy").text == text
        with pytest.raises(Exception, match="by hand"):
            operator(stage, witnesses.remove, authority="fr.lyon")
        (tmp_path / "policy").write_text(before)
        operator(stage, witnesses.policy, file=tmp_path / "policy")

    def test_more_than_there_are_cannot_be_demanded(self):
        key = SignerKey.generate("a", KeyType.COSIGN_ED25519).verifier
        for quorum in (0, 2):
            with pytest.raises(Exception, match="quorum"):
                witnesses.write([Member("a", (key,))], [], quorum)


def stripped(note):
    """The note with the log's own signatures alone."""
    shown = parse_note(note)
    own = [line for line in shown.lines if line.split(" ")[1] == ORIGIN]
    return "".join([shown.text, "\n", *(f"{line}\n" for line in own)]).encode()


def copy(database, target):
    with sqlite3.connect(database) as source, sqlite3.connect(target) as made:
        source.backup(made)
    source.close()
    made.close()


class TestStarting:
    @pytest.fixture
    def witnessed(self, tmp_path):
        """A state whose witness has cosigned what came after `old.db` was copied, and is away now."""
        with started(tmp_path) as running:
            each = Asked(tmp_path, "fr.lyon", running.log_keys)
            each.clock = running.now
            port = each.start().rpartition(":")[2]
            add(running, each, f"http://127.0.0.1:{port}")
            place = note_something(running)
            witnessing.await_quorum(running.runtime, place, 20)
            copy(running.settings.state / "rogatory.db", tmp_path / "old.db")
            each.old = raw(running, "GET", "cosigned").content
            place = note_something(running)
            witnessing.await_quorum(running.runtime, place, 20)
        each.stop()
        each.port = int(port)
        yield each
        each.stop()

    def restart(self, tmp_path, **facts):
        return started(tmp_path, origin=ORIGIN, **facts)

    def set_back(self, tmp_path):
        state = tmp_path / "state"
        for name in ("rogatory.db-wal", "rogatory.db-shm"):
            (state / name).unlink(missing_ok=True)
        (tmp_path / "old.db").replace(state / "rogatory.db")

    def await_guard(self, running, holds):
        held, turn = guard(running.runtime.engine), threading.Event()
        for _ in range(400):
            if holds(held):
                return held
            running.runtime.ask_witnesses()
            turn.wait(0.05)
        raise AssertionError(f"the guard says {held.why!r}")

    def signed(self, running):
        with running.runtime.reading() as session:
            return LogReader(session).note

    def test_an_hour_old_copy_of_the_database_takes_no_entry(self, witnessed, tmp_path, capsys):
        self.set_back(tmp_path)
        witnessed.start(witnessed.port)
        with self.restart(tmp_path) as running:
            before = self.signed(running)
            held = self.await_guard(running, lambda held: held.refused)
            assert "this database has" in held.why
            with pytest.raises(ReadOnly, match="a witness has cosigned"):
                note_something(running)
            with pytest.raises(ReadOnly):
                running.service.sequencer.run_once()
            assert not held.open(), "nothing opens it again"
            assert raw(running, "GET", "checkpoint").status_code == 200, "it can be read"
            assert self.signed(running) == before
            with pytest.raises(ReadOnly):
                witnesses.without_witnesses(running.service)
            made = running.service
        with pytest.raises(ReadOnly):
            operator(running, witnesses.remove, authority="fr.lyon")
        assert made.runtime.log_failure() is not None

    def test_a_witness_that_fetches_shows_it_too(self, witnessed, tmp_path):
        self.set_back(tmp_path)
        with self.restart(tmp_path) as running:
            assert raw(running, "POST", "cosignatures", witnessed.witness.held(ORIGIN).note).status_code == 409
            assert guard(running.runtime.engine).refused

    def test_what_was_cosigned_before_the_start_opens_nothing_whoever_hands_it_back(self, witnessed, tmp_path):
        self.set_back(tmp_path)
        with self.restart(tmp_path) as running:
            assert raw(running, "POST", "cosignatures", witnessed.old).status_code == 204
            with pytest.raises(ReadOnly, match="no witness has confirmed"):
                note_something(running)

    def test_a_witness_that_fetches_opens_it_by_cosigning_now(self, witnessed, tmp_path):
        with self.restart(tmp_path) as running:
            running.now.ahead = timedelta(seconds=5)
            size = witnessed.size
            request = AddCheckpoint(size, (), raw(running, "GET", "checkpoint").content)
            witnessed.witness.cosign(request, time=int(running.now().timestamp()))
            note = witnessed.witness.held(ORIGIN).note
            assert raw(running, "POST", "cosignatures", note).status_code == 204
            assert note_something(running) >= size

    def test_a_witness_must_have_cosigned_what_it_shows(self, witnessed, tmp_path, monkeypatch):
        with self.restart(tmp_path) as running:
            bare = raw(running, "GET", "checkpoint").content
            monkeypatch.setattr(running.service.witnesses, "_speak", lambda *_: (200, "", stripped(bare)))
            with pytest.raises(WitnessSilent, match="has not cosigned"):
                running.service.witnesses._newest(witnessing.all_members(running.runtime)[0])
            assert guard(running.runtime.engine).why

    def test_another_log_of_the_same_size_takes_no_entry(self, witnessed, tmp_path):
        """Set back, then grown again with other entries, before the witness came back: a fork, by our own keys."""
        self.set_back(tmp_path)
        with self.restart(tmp_path) as running:
            held = guard(running.runtime.engine)
            witnesses.without_witnesses(running.service)
            assert not held.why
            while note_something(running, "other") + 2 < witnessed.size + 4:
                pass
            witnessed.start(witnessed.port)
            self.await_guard(running, lambda held: held.refused)
            assert "root" in held.why

    def test_it_only_reads_until_a_witness_answers(self, witnessed, tmp_path):
        with self.restart(tmp_path) as running:
            with pytest.raises(ReadOnly, match="no witness has confirmed"):
                note_something(running)
            witnessed.start(witnessed.port)
            self.await_guard(running, lambda held: not held.why)
            place = note_something(running)
            assert witnessing.await_quorum(running.runtime, place, 20) > place

    def test_it_goes_on_without_any_if_told_to_and_says_so(self, witnessed, tmp_path):
        with self.restart(tmp_path) as running:
            witnesses.without_witnesses(running.service)
            note_something(running)
            noted = [e.fields["noted"]["code"] for e in running.entries(SERVICE) if e.event == "incident.noted"]
            assert noted[-2:] == ["without-witnesses", "a-test"]

    def test_a_lost_database_is_not_begun_again(self, witnessed, tmp_path):
        (tmp_path / "state" / "rogatory.db").unlink()
        facts = {"state": tmp_path / "state", "tls": Tls.BEHIND_PROXY}
        with pytest.raises(ReadOnly, match="no witness has confirmed"):
            main.assemble(Settings.from_environment({}, **facts))
        witnessed.start(witnessed.port)
        with pytest.raises(ReadOnly, match="this database has none"):
            main.assemble(Settings.from_environment({}, **facts))
