from __future__ import annotations

import pytest

from lumibot_duckdb.storage.timeframes import bar_seconds, canonical_timeframe


@pytest.mark.parametrize(
    ("given", "canonical", "seconds"),
    [
        ("minute", "minute", 60),
        ("1Min", "minute", 60),
        ("1m", "minute", 60),
        ("1M", "month", 31 * 86_400),
        ("M", "month", 31 * 86_400),
        ("1MO", "month", 31 * 86_400),
        ("5MIN", "5minute", 300),
        ("T", "minute", 60),
        ("5min", "5minute", 300),
        ("5 Minutes", "5minute", 300),
        ("15T", "15minute", 900),
        ("60m", "hour", 3600),
        ("90min", "90minute", 5400),
        ("120 min", "2hour", 7200),
        ("1H", "hour", 3600),
        ("4hours", "4hour", 14_400),
        ("60s", "minute", 60),
        ("3600sec", "hour", 3600),
        ("1D", "day", 86_400),
        ("day", "day", 86_400),
        ("24h", "24hour", 86_400),
        ("1wk", "week", 604_800),
        ("1mo", "month", 31 * 86_400),
        ("month", "month", 31 * 86_400),
    ],
)
def test_spellings_of_timeframes(given: str, canonical: str, seconds: int) -> None:
    assert canonical_timeframe(given) == canonical
    assert canonical_timeframe(canonical) == canonical
    assert bar_seconds(canonical) == seconds


@pytest.mark.parametrize("given", ["", "0min", "fortnight", "5", "min5", "-1d", "1.5h", "1y", "99999999d"])
def test_what_is_no_timeframe_is_refused_with_the_valid_ones(given: str) -> None:
    with pytest.raises(ValueError, match="second, minute, hour, day, week, month"):
        canonical_timeframe(given)


@pytest.mark.parametrize("given", ["5M", "15M", "12 M", "60M"])
def test_a_number_of_upper_case_m_may_be_minutes_or_months(given: str) -> None:
    with pytest.raises(ValueError, match='may be minutes or months: write "'):
        canonical_timeframe(given)
