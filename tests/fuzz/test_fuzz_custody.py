"""The fuzz target itself: it runs, reaches every reader, and would see a wrong exception."""

import pytest

from tests.fuzz import fuzz_custody
from tests.sizes.measured import forget_peak, peak

MOST = 256 * 2**20
"""Bytes of memory that hostile input may cost."""


@pytest.mark.deep
def test_hostile_bytes_raise_typed_errors_only(effort):
    before = forget_peak()
    often = [name for name in fuzz_custody.NAMES for _ in range(1 if name in fuzz_custody.SLOW else 8)]
    for turn in effort.turns(usual=2000, full=5_000_000):
        first = fuzz_custody.NAMES[turn : turn + 1]  # each of them once at least
        fuzz_custody.attempt(effort.random, effort.random.choice(first or often))
    assert peak("self") - before <= MOST


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
