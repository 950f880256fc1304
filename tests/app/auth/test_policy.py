"""The one table: nothing that is not in it, nothing for those who stand nowhere."""

from itertools import chain, combinations

import pytest

from app.auth.policy import AUDITOR, RULES, WORKING, Caller, Decision, Kind, Thing, may, relations_of
from custody.kinds import ROLES

KINDS = {
    "service": Thing(),
    "exchange": Thing(kind=Kind.EXCHANGE, parties=frozenset({"a", "b"}), auditors=frozenset({"c"})),
    "package": Thing(
        kind=Kind.PACKAGE,
        parties=frozenset({"a", "b", "p"}),
        auditors=frozenset({"c"}),
        sender="a",
        recipients=frozenset({"b"}),
    ),
    "handle": Thing(kind=Kind.HANDLE, holder="b"),
}
SETS = [frozenset(each) for each in chain.from_iterable(combinations(ROLES, size) for size in range(3))]


def caller(authority, roles):
    return Caller(authority, "00" * 16, frozenset(roles))


@pytest.mark.parametrize("thing", KINDS.values(), ids=KINDS)
def test_what_is_not_in_the_table_is_never_allowed(thing):
    for authority in "abcpx":
        for roles in SETS:
            assert may(caller(authority, roles), "package.open-the-evidence", thing) is not Decision.ALLOWED


@pytest.mark.parametrize("thing", KINDS.values(), ids=KINDS)
def test_without_a_role_everything_is_hidden(thing):
    for authority in "abcpx":
        for action in RULES:
            assert may(caller(authority, ()), action, thing) is Decision.HIDDEN


@pytest.mark.parametrize("kind", ["exchange", "package", "handle"])
def test_from_a_stranger_every_matter_is_hidden(kind):
    for action in RULES:
        assert may(caller("x", ROLES), action, KINDS[kind]) is Decision.HIDDEN


def test_an_auditor_sees_logs_and_nothing_of_a_package():
    for authority in "abc":
        alone = caller(authority, {AUDITOR})
        assert may(alone, "log.export", KINDS["exchange"]) is Decision.ALLOWED
        assert {may(alone, action, KINDS["package"]) for action in RULES} == {Decision.HIDDEN}
        assert {may(alone, action, KINDS["handle"]) for action in RULES} == {Decision.HIDDEN}


def test_an_authority_that_was_granted_the_log_works_on_nothing():
    assert relations_of(caller("c", WORKING), KINDS["exchange"]) == frozenset()
    assert relations_of(caller("c", ROLES), KINDS["exchange"]) == {"auditor"}


def test_more_roles_never_allow_less():
    rank = {Decision.HIDDEN: 0, Decision.DENIED: 1, Decision.ALLOWED: 2}
    for thing in KINDS.values():
        for authority in "abcpx":
            for roles in SETS:
                for more in ROLES:
                    for action in RULES:
                        less = may(caller(authority, roles), action, thing)
                        assert rank[may(caller(authority, roles | {more}), action, thing)] >= rank[less]


@pytest.mark.parametrize(
    ("authority", "role", "action", "decision"),
    [
        ("a", "sender", "package.seal", Decision.ALLOWED),
        ("a", "receiver", "package.seal", Decision.DENIED),
        ("b", "sender", "package.seal", Decision.DENIED),
        ("b", "receiver", "key.release", Decision.ALLOWED),
        ("a", "receiver", "key.release", Decision.DENIED),
        ("p", "receiver", "key.release", Decision.DENIED),
        ("b", "receiver", "receipt.sign", Decision.ALLOWED),
        ("b", "approver", "receipt.sign", Decision.DENIED),
        ("p", "validator", "manifest.view", Decision.ALLOWED),
    ],
)
def test_the_lines_of_the_table_that_matter_most(authority, role, action, decision):
    assert may(caller(authority, {role}), action, KINDS["package"]) is decision
