"""Parties that act at the same moment: every act is judged by what stood before it, on either database."""

import secrets
from threading import Barrier, Thread

import httpx

from tests.app.party import Item, Principal, token

AT_ONCE = 6


def together(*works):
    """Do all of them at the same moment; what each gave."""
    start, given, wrong = Barrier(len(works)), [None] * len(works), []

    def run(at, work):
        start.wait()
        try:
            given[at] = work()
        except Exception as error:  # noqa: BLE001 - raised again below
            wrong.append(error)

    threads = [Thread(target=run, args=pair) for pair in enumerate(works)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if wrong:
        raise wrong[0]
    return given


def lodge(service, principal, path, said):
    """Status and body of an answer, whatever it is."""
    answer = service.http.post(path, json={"envelope": said.envelope.decode()}, headers=principal.headers)
    return answer.status_code, answer.json()


def lodging(service, principal, path, said):
    return lambda: lodge(service, principal, path, said)


def proven(service, principal, matter, *authorities):
    """The bundle of an exchange, which the offline verifier accepts with all its rules."""
    said = principal.act("log.exported", matter.handle, detail={"form": "bundle"})
    bundle = principal.post(f"/v1/exchanges/{matter.id}/export", said).content
    report = service.verify(bundle, *authorities)
    assert report.verified, report


def declaration(principal, matter, recipient):
    subject, detail = {"package": token()}, {"recipients": [recipient.id]}
    return principal.act("package.declared", matter.handle, subject, detail)


def uploaded(sender, matter, recipient):
    """A package that only its manifest is missing from, and that manifest."""
    package = sender.declare(matter, recipient)
    items = [Item(b"x", [recipient.identity.recipient]) for _ in range(2)]
    for item in items:
        sender.upload(package, item)
        sender.put_header(package, item.header)
    return package, lambda: sender.manifest(matter, package, items, [recipient])


def test_one_statement_lodged_by_many_at_once_stands_once(service, police, court, alice):
    handle = secrets.token_hex(32)
    said = alice.act("exchange.opened", handle, detail={"parties": sorted([police.id, court.id])})
    answers = together(*[lodging(service, alice, "/v1/exchanges", said)] * AT_ONCE)
    assert sorted(status for status, _ in answers) == [200] * (AT_ONCE - 1) + [201]
    assert len({body["record"]["entry"] for _, body in answers}) == 1
    assert service.events(handle) == ["exchange.opened"]


def test_one_statement_of_a_registry_lodged_by_many_at_once_stands_once(service):
    authority = service.authority()
    before = len(service.entries(authority.handle))
    said = Principal(authority, ["sender"]).enrolment()
    body, path = {"envelope": said.envelope.decode()}, f"/v1/authorities/{authority.id}/registry"
    answers = together(*[lambda: service.http.post(path, json=body).status_code] * AT_ONCE)
    assert sorted(answers) == [200] * (AT_ONCE - 1) + [201]
    assert len(service.entries(authority.handle)) == before + 1


def test_two_that_take_the_same_handle_or_package_are_told_apart(service, police, court, alice, bob):
    handle, package = secrets.token_hex(32), token()
    detail = {"parties": sorted([police.id, court.id])}
    opening = [
        lodging(service, who, "/v1/exchanges", who.act("exchange.opened", handle, detail=detail))
        for who in (alice, bob)
    ]
    assert sorted(status for status, _ in together(*opening)) == [201, 409]
    matters = [alice.open_exchange(court), bob.open_exchange(police)]
    declaring = [
        lodging(
            service,
            who,
            f"/v1/exchanges/{matter.id}/packages",
            who.act("package.declared", matter.handle, {"package": package}, {"recipients": [other.id]}),
        )
        for who, matter, other in zip((alice, bob), matters, (court, police), strict=True)
    ]
    assert sorted(status for status, _ in together(*declaring)) == [201, 409]


def test_nothing_follows_the_close_of_an_exchange(service, police, court, alice, bob):
    for _ in range(4):
        matter = alice.open_exchange(court)
        package, manifest = uploaded(alice, matter, court)
        sealing = lodging(service, alice, f"/v1/packages/{package}/seal", manifest())
        declaring = [
            lodging(service, who, f"/v1/exchanges/{matter.id}/packages", declaration(who, matter, other))
            for who, other in ((alice, court), (bob, police))
        ]
        closing = lodging(service, bob, f"/v1/exchanges/{matter.id}/close", bob.act("exchange.closed", matter.handle))
        answers = together(closing, sealing, *declaring)
        assert {status for status, _ in answers} <= {201, 409}
        assert answers[0][0] == 201
        events = service.events(matter.handle)
        assert events[-1] == "exchange.closed"
        assert len(events) == 4 + sum(status == 201 for status, _ in answers)
        proven(service, alice, matter, police, court)


def test_parties_that_seal_for_each_other_do_not_stop_each_other(service, police, court, alice, bob):
    ready = []
    for sender, other in [(alice, court), (bob, police)] * 3:
        matter = sender.open_exchange(other)
        package, manifest = uploaded(sender, matter, other)
        ready.append(lodging(service, sender, f"/v1/packages/{package}/seal", manifest()))
    assert [status for status, _ in together(*ready)] == [201] * len(ready)


def test_a_package_is_sealed_and_answered_once(service, police, court, alice, bob):
    matter = alice.open_exchange(court)
    package, manifest = uploaded(alice, matter, court)
    path = f"/v1/packages/{package}/seal"
    sealing = [lodging(service, alice, path, manifest()) for _ in range(AT_ONCE)]
    answers = together(*sealing)
    assert sorted(status for status, _ in answers) == [201] + [409] * (AT_ONCE - 1)
    assert service.events(matter.handle).count("package.sealed") == 1
    proven(service, bob, matter, police, court)


def test_no_act_is_placed_behind_the_revocation_of_its_signer(service, police, court, alice):
    for _ in range(3):
        clerk = police.enrol()
        matter = clerk.open_exchange(court)
        path = f"/v1/exchanges/{matter.id}/packages"
        statements = [declaration(clerk, matter, court) for _ in range(AT_ONCE)]
        acting = [lodging(service, clerk, path, said) for said in statements]
        ended = police.says("principal.revoked", {"principal": clerk.id}, reason="left")
        *answers, revoked = together(*acting, lambda said=ended: police.lodge(said).json())
        assert {status for status, _ in answers} <= {201, 401, 404, 422}
        last = revoked["record"]["index"]
        taken = [body["record"]["index"] for status, body in answers if status == 201]
        assert all(index < last for index in taken), (taken, last)
        assert service.events(matter.handle) == ["exchange.opened"] + ["package.declared"] * len(taken)
        proven(service, alice, matter, police, court)


def test_many_connections_at_once_are_all_answered(service, court, alice):
    matter = alice.open_exchange(court)
    headers = alice.headers
    limits = httpx.Limits(max_connections=40)
    with httpx.Client(base_url=str(service.http.base_url), timeout=60, limits=limits) as http:
        seeing = [lambda: http.get(f"/v1/exchanges/{matter.id}", headers=headers).status_code] * 40
        assert together(*seeing) == [200] * 40
