"""The trust file: one spelling, closed, and never silently weaker."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from custody.errors import CustodyError, FormatError
from custody.trust import ALWAYS, TRUST, Trust
from tests.custody.tsa import Tsa
from tests.custody.world import Authority, World, packed

WORLD = World(witnesses=2, auditors=1).exchange()
with tempfile.TemporaryDirectory() as _place:
    TSA = Tsa(Path(_place) / "tsa", "stamps.example", kind="ec").trusted


def spelled(fields):
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "change",
    [{}, {"checkpoint": WORLD.checkpoint()}, {"tsa": (TSA,)}, {"auditors": None}, {"authorities": {}}, {"require": ()}],
)
def test_a_trust_file_is_read_back(change):
    trust = WORLD.trust(**change)
    assert Trust.parse(trust.encode()) == trust
    TRUST.check(json.loads(trust.encode()))


@pytest.mark.parametrize("member", sorted(TRUST.required))
def test_no_member_may_be_missing(member):
    fields = json.loads(WORLD.trust().encode())
    del fields[member]
    with pytest.raises(FormatError):
        Trust.parse(spelled(fields))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"v": 2}, "trust-unsupported"),
        ({"require": ["astrology"]}, "trust-unsupported"),
        ({"extra": 1}, "schema"),
        ({"log": []}, "schema"),
        ({"origin": "other.example/log"}, "trust-malformed"),
        ({"policy": "quorum all\n"}, "policy-malformed"),
        ({"auditors": ""}, "schema"),
        ({"checkpoint": "no note"}, "note-malformed"),
        ({"skew_s": -1}, "schema"),
        ({"require": ["log", "bodies"]}, "schema"),
    ],
)
def test_what_cannot_be_trusted_is_refused(change, code):
    fields = json.loads(WORLD.trust().encode()) | change
    with pytest.raises(CustodyError) as caught:
        Trust.parse(spelled(fields))
    assert caught.value.code == code


@pytest.mark.parametrize("bad", [b"", b"{}", b"[]", b"\xff", b"null", b'{"v":1}'])
def test_garbage_is_malformed(bad):
    with pytest.raises(FormatError):
        Trust.parse(bad)


def test_a_log_key_of_another_name_is_refused():
    trust = replace(WORLD.trust(), log=(WORLD.witnesses[0].verifier,))
    with pytest.raises(FormatError):
        trust.encode()


def test_no_trust_file_demands_what_it_cannot_have():
    assert Trust.none().demanded >= ALWAYS | {"signers", "signatures", "time"}
    assert not Trust.none().given


def test_an_authority_named_like_a_chain_takes_no_chains_place():
    world = World()
    world.enrol("exchange")
    report = world.exchange().verify()
    assert report["chain"].status == "pass"
    assert not report.failed
    assert report.entries == sum(map(len, world.chains.values()))


def test_a_stranger_with_an_empty_registry_is_not_checked():
    world = World(seen=False).exchange()
    other = Authority("void.xx")
    world.lodge(
        "key.added", world.say(other, "key", world.handle, [other.key], action="add", key=other.enrolment()["keys"][0])
    )
    world.tick("dummy")
    world.tick("tail")
    empty = {"entries.jsonl": b"", "leaves.jsonl": b""}
    files = packed(world.bundle() | {f"registry/void.xx/{name}": data for name, data in empty.items()})
    report = world.verify(files)
    assert report["signers"].status == "not_checked"
    assert not report.verified
