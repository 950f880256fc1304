"""The published schemas say what the code says: made samples, and every way of spoiling them, meet the same answer."""

import copy
import json
from pathlib import Path

import pytest

from custody import canonical, entry, events
from custody.entry_schema import ENTRY
from custody.errors import FormatError, UnsupportedError
from custody.events import EVENTS
from custody.kinds import KINDS
from custody.schema import Hex, ListOf, OneOf, Record, SchemaMismatch, Text, Whole
from docs.pages import schemas
from tests.architecture.json_schema import accepts

SCHEMAS = Path(__file__).resolve().parents[2] / "docs/spec/schemas"
ODD = (True, False, 0, -1, "", "Ä", "a b", "0" * 64, [], {}, [0], {"a": 0})
TEXTS = (
    "a", "b", "NL", "0" * 32, "0" * 64, "0" * 128, "2026-11-22T10:00:00.000000Z", "AAAA", "1.2.3", "10.0.0.1",
    "a+00000000+AAAA", "bundle.json",
)  # fmt: skip


def published(name):
    return json.loads((SCHEMAS / f"{name}.json").read_text("utf-8"))


def holds(check, value):
    try:
        check(value)
    except UnsupportedError:
        return None
    except FormatError:
        return False
    return True


def sample(schema, *, full, pick=0):
    """A value of the shape; with every optional member or with none."""
    match schema:
        case Record():
            members = schema.required | (schema.optional if full else {})
            return {name: sample(member, full=full) for name, member in members.items()}
        case ListOf():
            count = max(schema.least, 1)
            made = [sample(schema.item, full=full, pick=place if schema.ordered else 0) for place in range(count)]
            return sorted(made) if schema.ordered is True else made
        case Hex():
            return f"{pick:0{2 * schema.size}x}"
        case Whole():
            return schema.least
        case OneOf():
            return schema.values[pick]
        case Text():
            return [text for text in TEXTS if holds(schema.check, text)][pick]
    return {"a": 0}  # detail, noted: filled in by the event


def entries(name, *, full):
    event = EVENTS[name]
    fields = sample(ENTRY, full=full) | {"event": name}
    subject = sorted(event.subject | (event.may_name if full else set()))
    for member in ("subject", "statement", "noted"):
        fields.pop(member, None)
    if subject:
        fields["subject"] = dict.fromkeys(subject, "0" * 32)
        fields["subject"] |= {each: "0" * 64 for each in subject if each in ("key", "statement")}
    if event.kind is None:
        fields["actor"] = {"authority": entry.SERVICE}
    else:
        fields["statement"] = {"id": "0" * 64, "envelope": "1" * 64}
        fields["actor"] = {"authority": "a", "key": "0" * 64} | ({"principal": "0" * 32} if full else {})
    if event.noted is not None and (full or event.noted_required):
        fields["noted"] = sample(event.noted, full=full)
    return fields


def acts(name, *, full):
    event = EVENTS[name]
    payload = sample(KINDS["act"], full=full) | {"kind": "act", "event": name}
    payload.pop("subject", None)
    payload.pop("detail", None)
    subject = entries(name, full=full).get("subject")
    if subject:
        payload["subject"] = subject
    if event.detail is not None:
        payload["detail"] = sample(event.detail, full=full)
    return payload


def check_entry(fields):
    entry.parse(canonical.encode(fields))


def check_act(payload):
    KINDS["act"].check(payload)
    event = events.lookup(payload["event"])
    if event.kind != "act":
        raise UnsupportedError("another kind's event")
    events.check_subject(payload["event"], event, payload.get("subject", {}))
    events.check_detail(payload["event"], event, payload)


def spoiled(value):
    """Every value that differs at one place: a member gone, a member more, a member of another shape."""
    yield from ODD
    if isinstance(value, dict):
        yield {**value, "stray": 1}
        for name, member in value.items():
            yield {other: each for other, each in value.items() if other != name}
            for changed in spoiled(member):
                yield {**value, name: changed}
    if isinstance(value, list):
        yield [*value, *copy.deepcopy(value)]
        yield value[1:]
        for changed in spoiled(value[0]):
            yield [changed, *value[1:]]


def agree(schema, check, value):
    assert holds(check, value) is True
    assert accepts(schema, value)
    for changed in spoiled(value):
        expected = holds(check, changed) if isinstance(changed, dict) else None
        if expected is not None:
            assert accepts(schema, changed) is expected, changed


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("name", EVENTS)
def test_the_schema_of_entries_and_the_code_agree(name, full):
    agree(published("entry"), check_entry, entries(name, full=full))


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("name", [name for name, event in EVENTS.items() if event.kind == "act"])
def test_the_schema_of_acts_and_the_code_agree(name, full):
    agree(published("act"), check_act, acts(name, full=full))


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"act"}))
def test_the_schemas_of_statements_and_the_code_agree(kind, full):
    def check(payload):
        KINDS[kind].check(payload)
        if payload["kind"] != kind:
            raise SchemaMismatch("kind")

    agree(published(kind), check, sample(KINDS[kind], full=full) | {"kind": kind})


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("name", schemas.RECORDS)
def test_the_schemas_of_files_and_the_code_agree(name, full):
    record = schemas.RECORDS[name]
    agree(published(name), record.check, sample(record, full=full))
