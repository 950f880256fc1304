"""Exchanges and registries go on in the log after: two services that run, one after the other."""

from argparse import Namespace
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from app.errors import StatementRefused
from app.main import endings
from app.services import continuing, enrolment, state, succession
from app.settings import Settings, Tls
from custody.report import Status
from custody.trust import Trust
from custody.verify import verify_bundle
from tests.app import party
from tests.app.running import DEMANDED, Running

OLD, NEW = "evidence.example.org/log", "evidence.example.org/log2"


def trusting(service, *authorities):
    pins = {each.id: frozenset({each.key.public.id}) for each in authorities}
    log = tuple(sorted(service.log_keys, key=str))
    return Trust(service.origin, log, "quorum none\n", pins, tuple(sorted({*DEMANDED})))


def enrolled_again(service, was):
    """The same authority with the same keys in the log after."""
    made = party.Authority(service, was.id)
    made.key, made.recovery, made.identity = was.key, was.recovery, was.identity
    said = made.founding()
    noted = continuing.of_registry(service.settings, said)
    enrolment.admit(service.runtime.unit_of_work(), said, origin=service.origin, at=service.now(), noted=noted)
    return made


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A log that has ended, with four open exchanges and a closed one, and its successor, running."""
    directory = tmp_path_factory.mktemp("succession")
    old = Running(directory / "old", origin=OLD)
    authorities = [old.authority("police.nl"), old.authority("court.fr")]
    police, court = (each.enrol() for each in authorities)
    matters = [police.open_exchange(court.authority) for _ in range(5)]
    sent = police.send(matters[0], court.authority, count=2, size=100)
    court.release(sent)
    court.receipt(sent)
    police.post(f"/v1/exchanges/{matters[3].id}/close", police.act("exchange.closed", matters[3].handle))
    old.stop()

    settings = Settings.from_environment(
        {}, state=directory / "new" / "state", port=8443, tls=Tls.BEHIND_PROXY, origin=NEW
    )
    keys = [str(signer.verifier) for signer in state.prepare(settings, old.now()).signers]
    options = Namespace(
        state=old.settings.state, origin=NEW, keys=keys, output=directory / "old.jsonl", bundles=directory / "bundles"
    )
    assert endings.succeed(options) == 0
    succession.follow(settings, options.output.read_bytes(), begun=False)
    new = Running(directory / "new", origin=NEW)
    again = [enrolled_again(new, each) for each in authorities]
    yield SimpleNamespace(
        old=old,
        new=new,
        authorities=authorities,
        matters=matters,
        people=[each.enrol() for each in again],
        bundles=options.bundles,
        handed=options.output,
        trusts={"trust": trusting(new, *again), "before_trust": trusting(old, *authorities)},
    )
    new.stop()


def opened_again(who, matter, *others, expect=201):
    detail = {"parties": sorted([who.authority.id, *others])}
    return who.post("/v1/exchanges", who.act("exchange.opened", matter.handle, detail=detail), expect)


def report_on(world, matter):
    """What a reader finds who has the exchange's bundle of either log, and both trust files."""
    police = world.people[0]
    said = police.act("log.exported", matter.handle, detail={"form": "bundle"})
    path = world.new.directory / f"{matter.id}.zip"
    path.write_bytes(police.post(f"/v1/exchanges/{matter.id}/export", said, None).content)
    return verify_bundle(path, before=world.bundles / f"{matter.id}.zip", **world.trusts)


@contextmanager
def lying(world, change):
    """The operator changes what it was handed of the log before."""
    path = world.new.settings.state / succession.PREDECESSOR
    honest = path.read_bytes()
    changed = change(honest)
    assert changed != honest
    path.write_bytes(changed)
    try:
        yield
    finally:
        path.write_bytes(honest)


def test_an_exchange_goes_on_is_handed_over_and_proves_offline_where_it_went_on_from(world):
    police, court = world.people
    matter = world.matters[0]
    answer = opened_again(police, matter, "court.fr").json()
    assert answer["exchange"] == matter.id
    sent = police.send(matter, court.authority, count=2, size=100)
    court.release(sent)
    court.receipt(sent)
    first = world.new.entries(matter.handle)[0]
    assert (first.seq, first.prev, first.noted["continues"]["origin"]) == (0, "00" * 32, OLD)
    report = report_on(world, matter)
    assert report.verified, report.text()
    assert report["succession"].status is Status.PASS
    assert not any("goes on from" in line for line in report.trusting)


def another_hash(data, row):
    return data.replace(row["hash"].encode(), b"11" * 32)


def no_past(data, row):
    return data.replace(row["chain"].encode(), b"22" * 32)


@pytest.mark.parametrize(
    ("number", "lie"), [(1, another_hash), (2, no_past)], ids=["another hash", "as if it were new"]
)
def test_an_operator_who_lies_about_an_exchanges_past_is_found(world, number, lie):
    matter = world.matters[number]
    row = continuing.Past.parse(world.handed.read_bytes()).exchanges[matter.handle]
    with lying(world, lambda data: lie(data, row)):
        opened_again(world.people[0], matter, "court.fr")
    report = report_on(world, matter)
    assert (report.exit_code, [each.id for each in report.failed]) == (20, ["succession"])
    assert (report["succession"].code, report["succession"].place.seq) == ("succession-broken", 0)
    alone = verify_bundle(world.new.directory / f"{matter.id}.zip", world.trusts["trust"])
    assert alone.verified
    assert alone["succession"].status is Status.NOT_CHECKED
    assert any("goes on from" in line for line in alone.trusting)


def test_a_closed_exchange_does_not_go_on_nor_without_a_party(world):
    police = world.people[0]
    assert "closed" in opened_again(police, world.matters[3], "court.fr", expect=409).text
    world.new.authority("other.be")
    assert "names all" in opened_again(police, world.matters[4], "other.be", expect=409).text


def test_nobody_founds_a_registry_that_was_anothers(world):
    stranger = party.Authority(world.new, "police.nl")
    with pytest.raises(StatementRefused, match=r"stood in evidence\.example\.org/log"):
        continuing.of_registry(world.new.settings, stranger.founding())
