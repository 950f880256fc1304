"""Every vector of tests/vectors/records, and that the reference still writes each of them."""

import io
import json
from functools import cache
from pathlib import Path

import pytest
from rogatory import ids

from custody import canonical, leaf, statement
from custody import entry as entries
from custody.errors import CustodyError
from custody.exchange import Exchange
from custody.inventory import InventoryReader
from custody.keys import KeyRecord, PublicKey
from custody.kinds import KEY
from custody.registry import Registry
from custody.text import from_base64
from tests.vectors import generate_records

FOLDER = Path(generate_records.__file__).parent / "records"
FILES = sorted(FOLDER.glob("*.json"))


def vector(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


class TooEarly(AssertionError):
    """A step before the last was refused."""


def check_canonical(given):
    data = bytes.fromhex(given["hex"])
    assert canonical.encode(canonical.decode(data)) == data


def check_statement(given):
    said = statement.parse(given["envelope"].encode())
    return {"id": said.id, "envelope": said.envelope_hash}


def check_signature(given):
    statement.parse(given["envelope"].encode()).verify(PublicKey.parse(from_base64(given["key"])))


def check_entry(given):
    return {"hash": entries.parse(given["entry"].encode()).hash.hex()}


def check_match(given):
    entries.check_statement(entries.parse(given["entry"].encode()), statement.parse(given["envelope"].encode()))


def check_key(given):
    KEY.check(given["record"])
    return {"id": KeyRecord.parse(given["record"]).id}


def registry_handle(given):
    return leaf.registry_handle(given["origin"], given["authority"]).hex()


def exchange_id(given):
    return ids.exchange_id(given["handle"])


def check_inventory(given):
    reader = InventoryReader(io.BytesIO(from_base64(given["file"])))
    for _ in reader.lines():
        pass
    reader.check(given["commitment"], package=given["package"])


def steps(given):
    for number, step in enumerate(given["steps"]):
        try:
            made = entries.parse(step["entry"].encode())
            said = statement.parse(step["envelope"].encode()) if "envelope" in step else None
            if said is not None:
                entries.check_statement(made, said)
            yield made, said, step["index"]
        except CustodyError as error:
            if number + 1 < len(given["steps"]):
                raise TooEarly(f"step {number}: {error}") from error
            raise


def replayed(given, take):
    """Take every step; only the last may be refused."""
    rows = list(given["steps"])
    for number, found in enumerate(steps(given)):
        try:
            take(*found)
        except CustodyError as error:
            if number + 1 < len(rows):
                raise TooEarly(f"step {number}: {error}") from error
            raise


def replayed_registry(given):
    registry = Registry(given["authority"])
    replayed(given, lambda made, said, index: registry.apply(made, said, index=index))
    return registry


def check_registry(given):
    registry = replayed_registry(given)
    uses = ("authority", "encryption", "login", "recovery", "statement")
    live = sorted(record.id for use in uses for record in registry.keys(use=use))
    return {"founders": sorted(registry.founders), "live": live}


def check_signers(given):
    said = statement.parse(given["envelope"].encode())
    for key in replayed_registry(given["registry"]).signers(said, event=given["event"], at=given["at"]):
        said.verify(key)


@cache
def known(name):
    given = vector(name)["input"]
    return given["authority"], replayed_registry(given)


def check_exchange(given):
    registries = dict(known(name) for name in given["registries"])
    exchange = Exchange()

    def take(made, said, index):
        if said is not None:
            for key in registries[said.authority].signers(said, event=made.event, at=index):
                said.verify(key)
        exchange.apply(made, said, index=index, registries=registries)

    replayed(given, take)


OPERATIONS = {
    "canonical": check_canonical,
    "statement": check_statement,
    "signature": check_signature,
    "entry": check_entry,
    "match": check_match,
    "key": check_key,
    "registry-handle": registry_handle,
    "exchange-id": exchange_id,
    "inventory": check_inventory,
    "registry": check_registry,
    "signers": check_signers,
    "exchange": check_exchange,
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_custody_agrees_with_the_vector(path):
    wanted = vector(path.stem)
    try:
        output = OPERATIONS[wanted["op"]](wanted["input"])
        found = "ok"
    except CustodyError as error:
        output, found = None, error.code
    assert (found, output) == (wanted["expect"], wanted.get("output"))


def test_the_reference_writes_exactly_these_vectors():
    assert {path.name: path.read_text(encoding="utf-8") for path in FILES} == generate_records.vectors()


def test_every_operation_has_a_vector_and_every_failing_one_a_succeeding_one():
    found = [vector(path.stem) for path in FILES]
    assert {x["op"] for x in found if x["expect"] == "ok"} == set(OPERATIONS)
