"""The bench itself, at its smallest: what is measured is there, and a goal that is missed is said."""

import pytest

from bench import __main__ as bench
from bench import latency, ledgers, proofs, table
from bench.series import Effort, Row, Series

SMALLEST = Effort(
    size=0, repeat=1, records=8, entries=0, memory=(), vast=0, bundle=0, chains=24, leaves=(proofs.ENTRIES + 3,)
)


def test_a_log_of_the_asked_size_gives_the_proofs_it_is_measured_by(tmp_path):
    rows = list(proofs.at_sizes(SMALLEST, tmp_path))
    assert len(rows) == 8
    assert all(row.group in table.HEADINGS and min(row.ours.values) > 0 for row in rows)


def test_every_entry_of_the_latency_measure_is_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(latency, "WRITERS", 4)
    with ledgers.databases("SQLite", tmp_path) as fresh:
        made = fresh()
        chains = ledgers.open_chains(made, 8)
        made.sequencer.start()
        middle, tail, rate = latency.run(made, chains)
    assert 0 < middle <= tail
    assert rate > 0


@pytest.mark.parametrize("met", [True, False])
def test_a_goal_that_is_missed_is_said_with_what_bounds_it(met):
    row = Row("latency", "record after its commit, x", "ms", Series((1.0, 2.0, 3.0)), goal="<= 250" if met else "<= 1")
    page = table.page([row], {}, SMALLEST)
    assert ("- Not met: record after its commit, x, 2.00 (1.00 to 3.00) where ≤ 1 is wanted. " in page) == (not met)
    assert "was not looked into" not in page


def test_every_measure_of_the_command_has_words_for_the_reader():
    for name, measure in bench.MEASURES.items():
        assert (measure.__doc__ or "").strip(), name
