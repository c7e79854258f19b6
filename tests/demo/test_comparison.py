"""A comparison finds the smallest difference, and a side runs apart from a person's own settings."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import pytest

from lumibot_duckdb.demo.comparison import BacktestFailedError, first_difference, run_side
from lumibot_duckdb.demo.worker import Job, Outcome

OUTCOME = Outcome(
    fills=[["2024-01-02 09:30:00-05:00", "AAA", "buy", 10.0, 101.25], ["2024-01-03", "AAA", "sell", 10.0, 102.5]],
    values=[["2024-01-02", 100_000.0, 98_987.5], ["2024-01-03", math.nan, 100_012.5]],
    frames=[["2024-01-02", "AAA", "day", "ab12"]],
    seconds_to_first_bars=0.1,
    seconds=1.0,
    imports_bytes=1,
    peak_bytes=2,
    request_seconds={"60 minute": [0.001]},
)
JOB = Job("duckdb", "MomentumRotation", ["AAA"], "day", "2024-01-01", "2024-02-01", "no files", "no-store.duckdb")


def through_json(outcome: Outcome) -> Outcome:
    return Outcome(**json.loads(json.dumps(asdict(outcome))))


def test_equal_outcomes_do_not_differ_even_with_values_that_are_not_numbers():
    assert first_difference(OUTCOME, through_json(OUTCOME)) is None


def test_cost_is_not_a_difference():
    assert first_difference(OUTCOME, replace(OUTCOME, seconds=9.0, peak_bytes=77)) is None


def test_the_last_bit_of_a_price_is_a_difference():
    fills = [OUTCOME.fills[0], [*OUTCOME.fills[1][:4], math.nextafter(102.5, 200)]]
    difference = first_difference(OUTCOME, through_json(replace(OUTCOME, fills=fills)))
    assert difference is not None
    assert difference.startswith("fills, number 2: Lumibot has ['2024-01-03', 'AAA', 'sell', 10.0, 102.5]")
    assert "102.50000000000001" in difference


@pytest.mark.parametrize("part", ["fills", "values", "frames"])
def test_a_missing_row_is_a_difference(part):
    fewer = replace(OUTCOME, **{part: getattr(OUTCOME, part)[:-1]})
    assert first_difference(OUTCOME, fewer) == (
        f"{part}: Lumibot has {len(getattr(OUTCOME, part))}, lumibot-duckdb has {len(getattr(OUTCOME, part)) - 1}"
    )


def test_a_changed_portfolio_value_is_a_difference():
    values = [[*OUTCOME.values[0][:1], 100_000.01, OUTCOME.values[0][2]], OUTCOME.values[1]]
    assert "values, number 1" in str(first_difference(OUTCOME, replace(OUTCOME, values=values)))


def test_a_backtest_that_fails_is_one_line_and_keeps_its_output(tmp_path):
    with pytest.raises(BacktestFailedError, match="the backtest on lumibot-duckdb failed: ") as failure:
        run_side(JOB, tmp_path / "side")
    assert "\n" not in str(failure.value)
    assert "Traceback" in (tmp_path / "side" / "output.txt").read_text()
