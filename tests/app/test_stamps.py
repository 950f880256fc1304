"""A service with two time-stamping authorities, made by `openssl ts`, under different roots: what they stamp bounds the
times in every bundle, one that fails or lies is nobody's trouble, and nothing wrong is kept."""

import io
import json
import sqlite3
import subprocess
import threading
import zipfile
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from sqlalchemy import text

from app.db import stamps
from app.db.engine import connect, writing
from app.db.log_models import StampRow, ValidationRow
from app.errors import BadInput, Refusal
from app.jobs import revocations
from app.jobs.revocations import ListSilent
from app.jobs.stamps import Asker, AuthoritySilent
from app.services import brackets, stamping, witnessing
from app.services.fsck import stamped as stamps_check
from app.services.fsck.findings import Findings
from custody.errors import CustodyError
from custody.timestamp import TimestampInvalid, TimestampMalformed, TimestampStranger
from custody.trust import USUAL, Trust
from custody.verify import verify_bundle
from tests.app.running import Running
from tests.app.test_witnesses import Asked, add, copy, note_something
from tests.custody.tsa import Tsa, served
from tests.verifier.second import COMMAND

NAMES = ("nl", "de")


class Authority:
    """A time-stamping authority at an address, that answers rightly unless told otherwise."""

    def __init__(self, stack, directory, name):
        self.stamps, self.lists = self.rightly, lambda _: (200, self.tsa.listing())
        self.url = stack.enter_context(served(self._stamp, self._list))
        self.tsa = Tsa(directory / name, name, kind="ec", lists=f"{self.url.removesuffix('/tsa')}/list.crl")

    def _stamp(self, query):
        return self.stamps(query)

    def _list(self, path):
        return self.lists(path)

    def rightly(self, query):
        return 200, self.tsa.answer(query)


def await_stamps(running, made):
    """Until the service has had its log stamped by each, by itself."""
    turn = threading.Event()
    for _ in range(400):
        if {tsa for _, _, tsa in kept(running)} == {each.url for each in made}:
            return
        running.service.stamps.ask()
        turn.wait(0.05)
    raise AssertionError(f"stamps: {kept(running)}")


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    directory = tmp_path_factory.mktemp("stamped")
    with ExitStack() as stack:
        made = [Authority(stack, directory, name) for name in NAMES]
        pem = serialization.Encoding.PEM
        (directory / "roots.pem").write_bytes(b"".join(each.tsa.root.public_bytes(pem) for each in made))
        running = Running(
            directory, tsa=tuple(each.url for each in made), tsa_roots=directory / "roots.pem", stamp_validation=True,
            witness_interval=timedelta(seconds=1),
        )  # fmt: skip
        stack.callback(running.stop)
        await_stamps(running, made)
        running.service.stamps.stop()
        running.tsa, running.asked = made, Asked(directory, "fr.lyon", running.log_keys)
        running.asked.clock = running.now
        stack.callback(running.asked.stop)
        add(running, running.asked, running.asked.start())
        yield running


@pytest.fixture
def liar(stage):
    """The first of the authorities, to be put right again, and what is asked of it."""
    yield stage.tsa[0], Asker(stage.runtime, stage.tsa[0].url)
    made = stage.tsa[0]
    made.stamps, made.lists = made.rightly, lambda _: (200, made.tsa.listing())
    stage.now.ahead = timedelta(0)


def something_due(stage):
    return witnessing.await_quorum(stage.runtime, note_something(stage), 20)


def kept(stage):
    with stage.runtime.reading() as session:
        return [(row.size, row.number, row.tsa) for row in stamps.of_sizes(session, stamps.sizes(session, 10**9))]


def ask_all(stage):
    """Have what is newest stamped by both; a size that both have stamped."""
    place = note_something(stage)
    for _ in range(20):
        witnessing.await_quorum(stage.runtime, place, 20)
        for each in stage.tsa:
            Asker(stage.runtime, each.url).ask()
        sizes = [{size for size, _, tsa in kept(stage) if tsa == each.url} for each in stage.tsa]
        found = max(sizes[0] & sizes[1], default=0)
        if found > place:
            return found
    raise AssertionError(f"stamps: {kept(stage)}")


def trust(stage, authorities, tsa):
    policy = httpx.get(f"http://127.0.0.1:{stage.port}/log/policy", trust_env=False).text
    pins = {each.id: frozenset({each.key.public.id}) for each in authorities}
    trusted = tuple(sorted((each.tsa.trusted for each in tsa), key=lambda each: each.name))
    return Trust(stage.origin, tuple(stage.log_keys), policy, pins, (*USUAL, "timestamps"), tsa=trusted)


def test_a_bundle_carries_what_bounds_its_entries_and_verifies_by_either_authority(stage):
    police, court = stage.authority("police.nl"), stage.authority("court.de")
    alice = police.enrol()
    matter = alice.open_exchange(court)
    first = ask_all(stage)
    alice.send(matter, court)
    second = ask_all(stage)
    said = alice.act("log.exported", matter.handle, {}, {"form": "bundle"})
    data = alice.post(f"/v1/exchanges/{matter.id}/export", said, None).content
    path = stage.directory / "bundle.zip"
    path.write_bytes(data)
    names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    for size in (first, second):
        assert {f"checkpoints/{size}", f"timestamps/{size}-0.tsr", f"timestamps/{size}-1.tsr"} <= set(names)
    assert len([name for name in names if name.startswith("validation/")]) == 2
    now = datetime.now(UTC)
    for tsa in ([stage.tsa[0]], [stage.tsa[1]], stage.tsa):
        report = verify_bundle(path, trust(stage, (police, court), tsa), now=now)
        assert report.verified, report.text()
        assert f"by {', '.join(sorted(each.tsa.name for each in tsa))}, over" in report["timestamps"].detail
        assert "stamps" in report["time"].detail
    alone = replace(trust(stage, (police, court), stage.tsa), policy=f"log {stage.log_keys[0]}\nquorum none\n")
    bounds = verify_bundle(path, alone, now=now).times
    assert abs(datetime.fromisoformat(bounds[0].not_after) - now) < timedelta(minutes=5), "by stamps alone"
    assert bounds[-1].not_after is None, "what came after the newest stamp is not bounded by it"
    other = replace(trust(stage, (police, court), stage.tsa), require=USUAL)
    path.with_suffix(".json").write_bytes(other.encode())
    done = subprocess.run(
        [*COMMAND, "verify", path, "--trust", path.with_suffix(".json"), "--json"],
        capture_output=True,
        check=True,
    )
    found = {each["id"]: each["status"] for each in json.loads(done.stdout)["checks"]}
    assert (found["timestamps"], found["time"], found["packing"]) == ("not_checked", "pass", "pass")


def test_an_authority_is_asked_again_when_its_interval_is_over_and_something_is_new(stage, monkeypatch):
    ask_all(stage)
    something_due(stage)
    before = kept(stage)
    for each in stage.tsa:
        assert timedelta(minutes=59) < stamping.wait(stage.runtime, each.url) <= timedelta(hours=1)
        assert 0 < Asker(stage.runtime, each.url).step() <= 30
    assert kept(stage) == before, "not before"
    monkeypatch.setattr(stamping, "wait", lambda *_: timedelta(0))
    for _ in range(2):
        assert Asker(stage.runtime, stage.tsa[0].url).step() == 30
    assert len(kept(stage)) == len(before) + 1, "and once"


def test_every_stamp_of_a_size_is_of_the_same_bytes(stage):
    """The second is asked when more have cosigned: what was stamped stays as it was."""
    size = something_due(stage)
    Asker(stage.runtime, stage.tsa[0].url).ask()
    late = Asked(stage.directory, "zz.late", stage.log_keys)
    add(stage, late, quorum=1)
    due = stamping.due(stage.runtime, stage.tsa[1].url)
    with stage.runtime.reading() as session:
        assert due.size > size or due.note == stamps.note_of(session, size)
    other = stamping.Due(size, due.note + b" ")
    with pytest.raises((BadInput, CustodyError)):
        stamping.keep(stage.runtime, stage.tsa[1].url, other, 1, stage.tsa[1].tsa.stamp(other.note), sent=stage.now())


def flipped(reply):
    return reply[:-9] + bytes([reply[-9] ^ 1]) + reply[-8:]


LIES = {
    "other bytes": (lambda tsa, _: (200, tsa.stamp(b"another note")), TimestampInvalid),
    "another nonce": (lambda tsa, due: (200, tsa.stamp(due.note)), TimestampInvalid),
    "wrong signature": (lambda tsa, _: (200, None), TimestampInvalid),
    "no stamp": (lambda *_: (200, b"<html>please log in</html>"), TimestampMalformed),
    "nothing": (lambda *_: (200, b""), TimestampMalformed),
    "unavailable": (lambda *_: (503, b"later"), AuthoritySilent),
    "elsewhere": (lambda *_: (302, b""), AuthoritySilent),
    "too much": (lambda *_: (200, b"0" * 100_000), AuthoritySilent),
}


@pytest.mark.parametrize("lie", LIES)
def test_nothing_wrong_is_kept(stage, liar, lie):
    (authority, asker), (answer, error) = liar, LIES[lie]
    something_due(stage)
    due, before = stamping.due(stage.runtime, authority.url), kept(stage)

    def stamps(query):
        status, body = answer(authority.tsa, due)
        return status, flipped(authority.tsa.answer(query)) if body is None else body

    authority.stamps = stamps
    with pytest.raises(error):
        asker.ask()
    assert kept(stage) == before


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_stamp_of_another_time_is_not_kept(stage, liar, hours):
    _, asker = liar
    something_due(stage)
    before = kept(stage)
    stage.now.ahead = timedelta(hours=hours)
    with pytest.raises(TimestampInvalid, match="the stamp bears"):
        asker.ask()
    assert kept(stage) == before


def test_a_stamp_of_a_stranger_is_not_kept(stage, liar, tmp_path):
    authority, asker = liar
    something_due(stage)
    before, stranger = kept(stage), Tsa(tmp_path / "x", "x", kind="ec")
    authority.stamps = lambda query: (200, stranger.answer(query))
    with pytest.raises(TimestampStranger):
        asker.ask()
    assert kept(stage) == before


def test_one_that_is_too_slow_is_left_and_the_other_stamps(stage, liar, monkeypatch, caplog):
    authority, asker = liar
    something_due(stage)
    hung = threading.Event()
    authority.stamps = lambda _: (hung.wait(20), (503, b""))[1]
    monkeypatch.setattr("app.jobs.stamps._STEP", 0.05)
    monkeypatch.setattr(stamping, "wait", lambda *_: timedelta(0))
    pauses = [asker.step() for _ in range(3)]
    hung.set()
    assert pauses == [10, 20, 40], "longer each time"
    said = [each.facts for each in caplog.records if each.name == "rogatory.stamps"]
    assert [each["code"] for each in said] == ["tsa-behind"], "and told once"
    monkeypatch.undo()
    assert Asker(stage.runtime, stage.tsa[1].url).ask()


@pytest.mark.parametrize("redirected", [False, True])
def test_no_address_that_others_chose_leads_into_our_own_network(redirected, monkeypatch):
    asked = []

    def forbidden(path):
        asked.append(path)
        return (302, b"", "http://169.254.169.254/secret") if redirected else (200, b"x")

    with served(None, forbidden) as url:
        tsa = url if redirected else "http://8.8.8.8/tsa"
        with pytest.raises(ListSilent, match="no public address"):
            revocations.fetch(url, tsa)
    assert asked == (["/tsa"] if redirected else [])
    for each in (
        "ftp://127.0.0.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://0.0.0.0/",
        "http://u@127.0.0.1/",
        "http://[",
    ):
        with pytest.raises(ListSilent):
            revocations.fetch(each, "http://10.0.0.1/tsa")


def test_only_lists_of_the_chain_are_kept_and_none_that_is_older(stage, liar, tmp_path):
    authority, asker = liar
    ask_all(stage)
    now, stranger = datetime.now(UTC), Tsa(tmp_path / "x", "x", kind="ec")

    def lists():
        with stage.runtime.reading() as session:
            return stamps.lists(session, [authority.url])

    before = lists()
    assert len(before) == 1
    for wrong in (
        stranger.listing(),
        b"<html>",
        authority.tsa.listing(made=now - timedelta(days=9)),
        authority.tsa.listing(until=now - timedelta(hours=1)),
        authority.tsa.listing(made=now + timedelta(hours=1)),
        b"0" * (4 * 1024 * 1024 + 1),
    ):
        authority.lists = lambda _, wrong=wrong: (200, wrong)
        asker._fetched.clear()
        something_due(stage)
        assert asker.ask()
        assert lists() == before
    newer = authority.tsa.listing(made=now)
    authority.lists = lambda _: (200, newer)
    something_due(stage)
    asker.ask()
    assert list(lists().values()) == [newer], "the newest alone is handed out"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE stamps SET size = size + 1000003",
        "UPDATE stamps SET number = number + 5",
        "UPDATE stamps SET at = replace(at, '20', '21')",
        "UPDATE stamps SET note = CAST(note || x'41' AS BLOB)",
        "UPDATE stamps SET reply = CAST(substr(reply, 1, length(reply) - 1) || x'41' AS BLOB)",
        "UPDATE stamps SET reply = (SELECT reply FROM stamps ORDER BY size DESC LIMIT 1)",
        "UPDATE validation SET sha256 = 'x' || substr(sha256, 2)",
        "UPDATE validation SET at = replace(at, '20', '21')",
        "UPDATE validation SET data = x'41'",
    ],
)
def test_the_check_finds_what_was_edited(stage, change):
    if not kept(stage):
        ask_all(stage)
    found = []
    path, spare = stage.settings.state / "rogatory.db", stage.directory / "edited.db"
    copy(path, spare)
    with closing(sqlite3.connect(spare, isolation_level=None)) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
    engine = connect(f"sqlite:///{spare}")
    try:
        runtime = replace(stage.runtime, engine=engine)
        with runtime.reading() as session:
            stamps_check.check(session, runtime, Findings(found.append))
        assert found == []
        with writing(engine).begin() as connection:
            table = change.split()[1]
            connection.execute(text(f"{change} WHERE rowid = (SELECT min(rowid) FROM {table})"))
        with runtime.reading() as session:
            stamps_check.check(session, runtime, Findings(found.append))
        assert found != []
    finally:
        engine.dispose()


def test_of_many_stamped_checkpoints_few_are_carried_and_each_bounds_what_is_before_it(sqlite_world):
    world, at = sqlite_world, datetime.now(UTC)
    with world.unit_of_work() as uow:
        for size in range(3, 603, 3):
            for tsa in NAMES:
                stamps.keep(uow.session, StampRow(size=size, tsa=tsa, at=at, note=b"%d" % size, reply=tsa.encode()))
        uow.session.add(ValidationRow(tsa="nl", sha256="ab" * 32, source="", at=at, data=b"list"))
        uow.commit()
        few = brackets.stamped(uow.session, [4, 5, 6, 590], 580)
        assert sorted(few.checkpoints) == [6, 9]
        assert few.files["timestamps/6-1.tsr"] == b"de"
        assert few.files[f"validation/{'ab' * 32}.der"] == b"list"
        many = brackets.stamped(uow.session, range(600), 600)
        assert brackets.stamped(uow.session, [], 600) == brackets.Stamped()
    assert len(many.checkpoints) == brackets.MOST
    assert {3, 600} <= many.checkpoints.keys()
    assert len(many.files) == 2 * brackets.MOST + 1


def test_roots_that_cannot_be_read_are_said_and_nothing_is_asked(stage, tmp_path):
    (tmp_path / "roots").write_text("none\n")
    runtime = replace(stage.runtime, settings=replace(stage.settings, tsa_roots=tmp_path / "roots"))
    something_due(stage)
    with pytest.raises(Refusal, match="no root certificates"):
        Asker(runtime, stage.tsa[0].url).ask()


def test_anybody_sees_how_far_the_log_is_stamped(stage):
    size = ask_all(stage)
    with httpx.Client(trust_env=False) as http:
        said = http.get(f"http://127.0.0.1:{stage.port}/log/stamped").json()
    assert (said["size"] >= size, said["published"] >= said["size"]) == (True, True)
    assert abs(datetime.fromisoformat(said["time"]) - datetime.now(UTC)) < timedelta(minutes=5)
