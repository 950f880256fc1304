"""The fuzz target itself: it runs, reaches every reader, and would see a wrong exception."""

import pytest

from tests.fuzz import fuzz_custody


def test_hostile_bytes_raise_typed_errors_only():
    tried = fuzz_custody.run(3, seed=20261122)
    assert sum(tried.values()) > 0


@pytest.mark.parametrize("name", fuzz_custody.NAMES)
def test_a_reader_takes_its_seeds_and_their_neighbours(name):
    number = fuzz_custody.NAMES.index(name)
    for data in fuzz_custody.seeds(name)[:5]:
        for changed in (data, data[:-1], data + b"\n"):
            fuzz_custody.one(bytes([number]) + changed)


def test_an_error_of_another_family_is_seen(monkeypatch):
    def broken(data):
        raise KeyError(data)

    monkeypatch.setitem(fuzz_custody.TARGETS, "canonical", broken)
    with pytest.raises(KeyError):
        fuzz_custody.one(b"\0{}")
