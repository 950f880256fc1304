"""Every route has a row of the policy, and says which event it writes, or why none."""

import pytest

from app import errors
from app.api import application
from app.api.problems import TABLE
from app.api.routes_table import ROUTES
from app.auth.policy import RULES, WORKING
from custody.events import EVENTS
from custody.kinds import ROLES

NOT_HTTP = {
    "refused": "the branch; leaves only are raised",
    "statement-replayed": "no error: whoever lodges a statement again gets its record",
}


@pytest.fixture(scope="module")
def routes(tmp_path_factory):
    from app import main
    from app.settings import Settings, Tls

    directory = tmp_path_factory.mktemp("routes")
    settings = Settings.from_environment({}, state=directory, tls=Tls.BEHIND_PROXY, origin="evidence.example.org/log")
    service = main.assemble(settings)
    paths = application.build(service.runtime).openapi()["paths"]
    service.runtime.engine.dispose()
    return paths


def named(path):
    return path.replace("/log/", "<log>/", 1) if path.startswith("/log/") else path


def served(routes):
    return {f"{method.upper()} {named(path)}": row for path, rows in routes.items() for method, row in rows.items()}


def test_the_table_has_exactly_the_routes_that_are_served(routes):
    assert {each.replace("{path:path}", "{path}") for each in ROUTES} == served(routes).keys()


@pytest.mark.parametrize("name", sorted(ROUTES))
def test_a_route_names_a_rule_and_an_event_or_says_why_none(name):
    row = ROUTES[name]
    assert row.action in RULES or row.why
    assert row.event in EVENTS or row.why


def test_every_rule_guards_a_route():
    assert {row.action for row in ROUTES.values()} - {""} == RULES.keys()


def test_every_rule_speaks_of_roles_and_relations_that_exist():
    for rule in RULES.values():
        assert rule.roles <= set(ROLES)
        assert rule.relations <= {"anyone", "party", "auditor", "sender", "recipient", "holder"}
        assert rule.relations


def test_whoever_may_do_a_thing_may_sign_what_it_needs():
    """The policy is never wider than the table of events, and an auditor does nothing but read."""
    for row in ROUTES.values():
        event = EVENTS.get(row.event)
        if event is not None and event.kind is not None and row.action:
            assert RULES[row.action].roles <= event.roles
    assert all(
        rule.roles <= WORKING for action, rule in RULES.items() if action.endswith((".sign", ".release", ".seal"))
    )


def refusals(branch=errors.Refusal):
    for kind in branch.__subclasses__():
        yield kind
        yield from refusals(kind)


def test_every_refusal_has_a_status():
    codes = {kind.code for kind in refusals() if kind.__module__ == errors.__name__}
    assert codes - NOT_HTTP.keys() <= TABLE.keys()


def test_every_answer_has_a_schema_and_every_guarded_route_documents_its_refusals(routes):
    for name, row in served(routes).items():
        answers = row["responses"]
        assert set(answers) & {"200", "201", "204", "206"}, name
        policy = ROUTES.get(name) or ROUTES[name.replace("{path}", "{path:path}")]
        if policy.action:
            assert {"401", "404"} <= answers.keys(), name
        for status, answer in answers.items():
            if status.startswith(("4", "5")) and "Token" not in str(answer) and "Ready" not in str(answer):
                assert "application/problem+json" in answer["content"], (name, status)
