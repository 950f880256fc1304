"""Who sees what: a sample of the matrix, with the answers that the one table gives."""

import secrets

import pytest

from app.api.problems import TABLE
from app.auth.policy import RULES, Decision, may
from app.services import access
from custody.kinds import ROLES
from tests.app.party import BYTES, TUS, token


@pytest.fixture(scope="module")
def matter(service, alice, court):
    return alice.open_exchange(court)


@pytest.fixture(scope="module")
def sent(alice, court, matter):
    return alice.send(matter, court)


@pytest.fixture(scope="module")
def third(service):
    return service.authority()


@pytest.fixture(scope="module")
def principals(police, court, third):
    """One principal of each role, of each relation to the package."""
    return {
        (relation, role): authority.enrol(role)
        for relation, authority in (("sender", police), ("recipient", court), ("none", third))
        for role in ROLES
    }


ACTS = {
    "party.add": ("/v1/exchanges/{exchange}/parties", "act"),
    "exchange.close": ("/v1/exchanges/{exchange}/close", "act"),
    "package.declare": ("/v1/exchanges/{exchange}/packages", "act"),
    "log.export": ("/v1/exchanges/{exchange}/export", "act"),
    "package.seal": ("/v1/packages/{package}/seal", "act"),
    "package.withdraw": ("/v1/packages/{package}/withdrawal", "act"),
    "grant.add": ("/v1/packages/{package}/grants", "act"),
    "conditions.accept": ("/v1/packages/{package}/conditions", "act"),
    "key.release": ("/v1/packages/{package}/release", "act"),
    "download.open": ("/v1/packages/{package}/downloads", "act"),
    "receipt.sign": ("/v1/packages/{package}/receipt", "act"),
}
READS = {
    "exchange.see": "/v1/exchanges/{exchange}",
    "log.view": "/v1/exchanges/{exchange}/log",
    "package.see": "/v1/packages/{package}",
    "manifest.view": "/v1/packages/{package}/manifest",
    "parts.see": "/v1/packages/{package}/items/{item}/parts",
}


def expected(service, principal, action, sent):
    """What the table says, asked of the rows as they are."""
    from app.auth.policy import Caller
    from app.db.models import Package

    caller = Caller(principal.authority.id, principal.id, frozenset(principal.roles))
    with service.runtime.reading() as session:
        package = session.get(Package, sent.package)
        on_exchange = action.startswith(("exchange.", "party.", "log.")) or action == "package.declare"
        thing = (
            access.exchange_thing(session, package.exchange_id)
            if on_exchange
            else access.package_thing(session, package)
        )
    return may(caller, action, thing)


def paths(pattern, sent):
    return pattern.format(exchange=sent.matter.id, package=sent.package, item=sent.items[0].id)


@pytest.mark.parametrize("action", sorted(READS))
def test_reads_are_open_to_those_the_table_names(service, principals, sent, action):
    for principal in principals.values():
        decision = expected(service, principal, action, sent)
        status = {Decision.ALLOWED: 200, Decision.DENIED: 403, Decision.HIDDEN: 404}[decision]
        principal.get(paths(READS[action], sent), status)


@pytest.mark.parametrize("action", sorted(ACTS))
def test_acts_are_open_to_those_the_table_names(service, principals, sent, action):
    """A statement that fits no act is refused as such only to those who may lodge one."""
    for principal in principals.values():
        said = principal.act("role.ended", sent.matter.handle, {"principal": token()}, {"role": "sender"})
        decision = expected(service, principal, action, sent)
        status = {Decision.ALLOWED: 422, Decision.DENIED: 403, Decision.HIDDEN: 404}[decision]
        principal.post(paths(ACTS[action][0], sent), said, status)


def test_every_rule_is_asked_for_something_here_or_in_a_test_of_its_own():
    apart = {"authority.list", "registry.see", "exchange.open", "exchange.list", "package.list", "header.put"}
    apart |= {"upload.create", "upload.see", "upload.send", "upload.terminate", "download.read", "download.close"}
    assert READS.keys() | ACTS.keys() | apart == RULES.keys()


def test_only_senders_of_the_sending_authority_write_uploads(alice, court, matter, principals):
    package, item = alice.declare(matter, court), token()
    location = alice.create(package, item, 1000).headers["Location"]
    for (relation, role), principal in principals.items():
        hidden = relation == "none" or role == "auditor"
        status = 404 if hidden else (204 if (relation, role) == ("sender", "sender") else None)
        sent = {**TUS, **BYTES, "Upload-Offset": "0"}
        answer = principal.service.http.patch(location, headers={**principal.headers, **sent}, content=b"")
        assert answer.status_code == (status or answer.status_code)
        assert answer.status_code in {204, 403, 404}
        if status is None:
            assert answer.status_code != 204


def test_a_handle_works_for_its_authority_alone(alice, bob, court, sent, principals):
    handle = bob.open_download(sent).json()["download"]
    path = f"/v1/downloads/{handle}/items/{sent.items[0].id}"
    principals["recipient", "receiver"].get(path, 200)
    principals["recipient", "approver"].get(path, 403)
    alice.get(path, 404)
    principals["none", "receiver"].get(path, 404)
    alice.request("POST", f"/v1/downloads/{handle}/close", 404)


def test_what_is_not_for_you_looks_like_what_is_not_there(principals, sent):
    stranger = principals["none", "receiver"]
    for pattern in READS.values():
        there = stranger.get(paths(pattern, sent), 404)
        nothing = stranger.get(pattern.format(exchange=token(), package=token(), item=token()), 404)
        malformed = stranger.get(pattern.format(exchange="x", package="x", item="x"), 404)
        assert there.content == nothing.content == malformed.content
        assert {name for name in there.headers if name != "date"} == {
            name for name in nothing.headers if name != "date"
        }


def test_a_stranger_is_not_told_that_a_statement_is_wrong(principals, sent):
    stranger = principals["none", "receiver"]
    for pattern, _ in ACTS.values():
        there = stranger.post(paths(pattern, sent), "no envelope", 404)
        nothing = stranger.post(pattern.format(exchange=token(), package=token()), "no envelope", 404)
        assert there.content == nothing.content


def test_a_denied_act_is_noted_where_it_was_tried(service, court, sent, principals):
    principal = principals["recipient", "requester"]
    principal.post(f"/v1/packages/{sent.package}/receipt", "no envelope", 403)
    noted = service.entries(sent.matter.handle)[-1]
    assert noted.event == "access.denied"
    assert noted.subject == {"package": sent.package}
    assert noted.noted["action"] == "receipt.sign"
    assert noted.noted["by"] == {"authority": court.id, "principal": principal.id}


def test_lists_show_what_is_ones_own(principals, sent, matter):
    for (relation, role), principal in principals.items():
        exchanges = [each["id"] for each in principal.get("/v1/exchanges").json()["exchanges"]]
        packages = [each["id"] for each in principal.get("/v1/packages").json()["packages"]]
        assert (matter.id in exchanges) == (relation != "none")
        assert (sent.package in packages) == (relation != "none" and role != "auditor")


# ---------------------------------------------------------------- tokens


def test_without_a_token_nothing_is_shown(service):
    answer = service.http.get("/v1/exchanges")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("value", ["", "Basic eA==", "Bearer", "Bearer x", "Bearer a.b.c", "bearer " + "x" * 20])
def test_a_token_that_is_none_is_refused(service, value):
    answer = service.http.get("/v1/exchanges", headers={"Authorization": value})
    assert (answer.status_code, answer.json()["code"]) == (401, "token-refused")


def test_an_expired_token_says_so(service, court):
    from datetime import timedelta

    principal = court.enrol("receiver")
    headers = principal.headers
    service.now.ahead = timedelta(minutes=11)
    try:
        answer = service.http.get("/v1/exchanges", headers=headers)
    finally:
        service.now.ahead = timedelta(0)
    assert (answer.status_code, answer.json()["code"]) == (401, "token-expired")


def test_an_assertion_logs_in_once(service, court):
    principal = court.enrol("receiver")
    assertion = principal.assertion()
    principal.log_in(client_assertion=assertion)
    assert principal.log_in(401, client_assertion=assertion) == {"error": "invalid_client"}


def test_a_scope_narrows_what_a_token_may_do(service, court):
    principal = court.enrol("auditor", "receiver")
    narrowed = principal.log_in(scope="auditor")
    assert narrowed["scope"] == "auditor"
    answer = service.http.get("/v1/packages", headers={"Authorization": f"Bearer {narrowed['access_token']}"})
    assert answer.json() == {"packages": []}
    assert principal.log_in(400, scope="sender") == {"error": "invalid_scope"}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_assertion_type": "x"}, "invalid_request"),
        ({"client_assertion": "x"}, "invalid_client"),
        ({"client_id": "00" * 16}, "invalid_client"),
    ],
)
def test_other_ways_to_log_in_are_refused(bob, fields, error):
    answer = bob.log_in(401 if error == "invalid_client" else 400, **fields)
    assert answer == {"error": error}


def test_a_field_twice_is_refused(bob, service):
    data = f"grant_type=client_credentials&grant_type=client_credentials&client_assertion={bob.assertion()}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert service.http.post("/oauth/token", content=data, headers=headers).status_code == 400


# ---------------------------------------------------------------- ends of keys, principals, authorities


def end(authority, principal, how):
    match how:
        case "principal.revoked" | "principal.suspended":
            authority.lodge(authority.says(how, {"principal": principal.id}, reason="left"))
        case "authority.suspended":
            authority.lodge(authority.says(how, {"authority": authority.id}, reason="stolen"))
        case "login":
            members = {"action": "revoke", "revokes": principal.login.public.id}
            from custody import statement

            authority.lodge(statement.sign(authority.common("key", authority.handle, **members), [authority.key]))


@pytest.mark.parametrize("how", ["principal.revoked", "principal.suspended", "authority.suspended", "login"])
def test_what_was_ended_opens_nothing_any_more(service, how):
    authority = service.authority()
    principal = authority.enrol()
    principal.get("/v1/exchanges", 200)
    end(authority, principal, how)
    principal.get("/v1/exchanges", 401)
    principal.log_in(401)


def test_a_role_that_was_ended_signs_nothing_any_more(service, court):
    authority = service.authority()
    carol = authority.enrol("requester", "sender")
    matter = carol.open_exchange(court)
    for role in ("requester", "sender"):
        authority.lodge(authority.says("role.ended", {"principal": carol.id}, role=role))
    carol.post(f"/v1/exchanges/{matter.id}/close", carol.act("exchange.closed", matter.handle), 404)


def test_a_statement_key_that_was_revoked_signs_nothing_any_more(service, court):
    from custody import statement

    authority = service.authority()
    carol = authority.enrol()
    matter = carol.open_exchange(court)
    members = {"action": "revoke", "revokes": carol.voice.public.id}
    authority.lodge(statement.sign(authority.common("key", authority.handle, **members), [authority.key]))
    answer = carol.post(f"/v1/exchanges/{matter.id}/close", carol.act("exchange.closed", matter.handle), 422)
    assert answer.json()["code"] == "statement-refused"


def test_the_codes_that_are_answered_are_in_the_table(service, bob):
    answer = bob.get("/v1/nowhere", 404)
    assert answer.json()["code"] in TABLE
    assert service.http.put("/v1/exchanges").status_code == 405
    assert secrets.token_hex(4) not in TABLE
