"""Each single refusal of the verifier switched off alone: some vector misses it, or `tests.unmissed` says why none does."""

import pytest

from tests import mutations

SHARE = 6
"""In `make test` one refusal of so many is switched off, in `make deep` all are, as far as time goes."""


@pytest.mark.deep
def test_some_vector_misses_every_refusal(effort):
    looked = []

    def chosen(count):
        drawn = effort.random.sample(range(count), count)
        for turn in effort.turns(usual=count // SHARE, full=count):
            looked.append(drawn[turn])
            yield drawn[turn]

    found, count = mutations.unmissed(chosen=chosen)
    assert count > 500
    unexplained = [row for row in found if row[:2] not in mutations.REASONS]
    assert unexplained == []
    assert len(looked) < count or mutations.REASONS.keys() == {row[:2] for row in found}


def test_what_a_switch_turns_off_is_off():
    switches = mutations.Switches()
    with mutations.switched(switches, ["checklist.proving"]):
        found = {function for _, function, _ in switches.lines}
        assert {"inclusion", "quorum", "signed"} <= found
        asked = mutations.bundle(mutations.bundles.FOLDER / "only-quorum-finds-it.json")
        whole = mutations.answer(asked)
        noticing = [number for number in sorted(switches.seen) if off(switches, number, asked) != whole]
    assert {switches.lines[number][1] for number in noticing} == {"quorum"}
    assert mutations.answer(asked) == whole


def off(switches, number, asked):
    switches.off = number
    try:
        return mutations.answer(asked)
    finally:
        switches.off = -1
