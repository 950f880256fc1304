"""Each `throw` of the second verifier switched off alone: some vector misses it, or `unmissed.txt` names it."""

import pytest

from tests.verifier import second
from tests.verifier.test_bundle_vectors import FILES
from tests.verifier.test_second_verifier import facts

HERE = second.ROOT / "tests" / "verifier"
SHARE = 4
"""In `make test` one refusal of so many is switched off; in `make deep` all are, a share after the other."""


def listed():
    """(file, text) of each refusal that no vector misses, below the reason why."""
    found, reason = set(), ""
    for line in (HERE / "unmissed.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            reason = line
        elif line:
            assert reason
            found.add(tuple(line.split(": ", 1)))
    return found


@pytest.mark.deep
def test_some_vector_misses_every_refusal_of_the_second_verifier(effort):
    first, found, shares = effort.random.randrange(SHARE), set(), 0
    for turn in effort.turns(usual=1, full=SHARE):
        words = [*(path for path, _ in facts()), "--", *FILES, "--", SHARE, (first + turn) % SHARE]
        *missed, counted = second.run(words, ["node", str(HERE / "refusals.mjs")])
        assert counted["looked"] * SHARE > 280
        found |= {(row["file"], row["text"]) for row in missed}
        shares += 1
    assert found - listed() == set()
    assert shares < SHARE or found == listed()
