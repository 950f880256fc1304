"""Entries: one glance and a thorough look agree, and whatever is not an entry is refused with a typed error."""

import json
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody import canonical, entry, events
from custody.errors import CustodyError
from custody.leaf import registry_handle
from tests.custody.parties import ORIGIN, Authority
from tests.custody.test_exchange import Case

CASE = Case().sealed(conditions=[{"code": "use_limited", "text_sha256": "ab" * 32}])
CASE.accept([{"code": "use_limited", "text_sha256": "ab" * 32}])
CASE.release()
CASE.receipt()
POLICE = Authority("police.nl").enrolled()
ENTRIES = [*CASE.chain.entries, *POLICE.chain.entries]


@pytest.fixture
def thorough(monkeypatch):
    """Only the schemas decide."""
    monkeypatch.setattr(entry, "_glance", lambda data: None)


def looked_at(data):
    """What the thorough look says."""
    glance, entry._glance = entry._glance, lambda data: None
    try:
        return entry.parse(data)
    except CustodyError as error:
        return type(error)
    finally:
        entry._glance = glance


@pytest.mark.parametrize("made", ENTRIES, ids=lambda made: made.event)
def test_a_glance_suffices_for_an_ordinary_entry(made):
    if made.event != "package.sealed":  # its list of checks is ordered, which no pattern can tell
        assert entry._glance(made.data)
    assert entry.parse(made.data) == looked_at(made.data) == made


@given(st.sampled_from(ENTRIES), st.data())
def test_a_glance_never_accepts_what_the_schemas_refuse(made, data):
    forged = bytearray(made.data)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(forged) - 1))
        match data.draw(st.sampled_from(["flip", "drop", "double", "digit"])):
            case "flip":
                forged[place] ^= 1 << data.draw(st.integers(0, 7))
            case "drop":
                del forged[place]
            case "double":
                forged[place:place] = forged[place : place + data.draw(st.integers(1, 40))]
            case _:
                forged[place] = data.draw(st.sampled_from(b'09afz"\\,:{}[]-. '))
    if entry._glance(bytes(forged)):
        assert entry.parse(bytes(forged)) == looked_at(bytes(forged))


@given(st.sampled_from(ENTRIES), st.data())
def test_a_glance_never_accepts_another_value_in_a_member(made, data):
    fields = json.loads(made.data)
    where = fields
    name = data.draw(st.sampled_from(sorted(where)))
    while isinstance(where[name], dict) and data.draw(st.booleans()):
        where = where[name]
        name = data.draw(st.sampled_from(sorted(where)))
    values = [
        0,
        -1,
        1,
        True,
        10**15,
        2**53,
        "",
        "a",
        "A",
        "@service",
        "0" * 64,
        "0" * 32,
        "2026-02-30T00:00:00.000000Z",
    ]
    values += [
        "2024-02-29T23:59:59.999999Z",
        "0000-01-01T00:00:00.000000Z",
        "2026-01-01T24:00:00.000000Z",
        {},
        [],
        ["a"],
    ]
    where[name] = data.draw(st.sampled_from(values) | st.text(max_size=8) | st.sampled_from(sorted(events.EVENTS)))
    try:
        forged = canonical.encode(fields)
    except CustodyError:
        return
    if entry._glance(forged):
        assert entry.parse(forged) == looked_at(forged)


@given(st.binary(max_size=300))
def test_garbage_raises_typed_errors_only(data):
    with pytest.raises(CustodyError):
        entry.parse(data)


def test_an_odd_origin_is_left_to_the_thorough_look():
    made = entry.build(
        log='odd"origin\\/log', chain="ab" * 32, seq=0, prev=entry.ZERO, time=CASE.entry.fields["time"],
        event="log.viewed", nonce=secrets.token_hex(16), actor={"authority": entry.SERVICE},
        noted={"entries": 1, "by": {"authority": "police.nl"}},
    )  # fmt: skip
    assert not entry._glance(made.data)
    assert entry.parse(made.data) == made


def test_the_handle_of_a_registry_is_computed(thorough):
    assert POLICE.chain.handle == registry_handle(ORIGIN, "police.nl").hex()
    assert entry.parse(POLICE.chain.entries[0].data).chain == POLICE.chain.handle
