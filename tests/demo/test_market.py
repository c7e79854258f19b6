"""The invented bars look like a market, and are the same wherever they are made."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, time, timedelta

import numpy as np
import pandas as pd
import pandas_market_calendars as market_calendars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.demo.market import crypto_bars, symbol_names, us_stock_bars

spans = st.tuples(st.dates(date(1990, 1, 1), date(2026, 1, 1)), st.integers(1, 60)).map(
    lambda first_and_days: (first_and_days[0], first_and_days[0] + timedelta(days=first_and_days[1]))
)
symbols = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ.", min_size=1, max_size=6)


def fingerprint(frame: pd.DataFrame) -> int:
    return int(pd.util.hash_pandas_object(frame).sum())


@examples(40)
@given(symbols, spans, st.integers(0, 1000), st.sampled_from([us_stock_bars, crypto_bars]))
def test_bars_are_consistent_and_their_times_increase(symbol, span, seed, invent):
    bars = invent(symbol, *span, seed=seed)
    assert list(bars.columns) == ["open", "high", "low", "close", "volume"]
    assert (bars.dtypes == np.float64).all()
    assert str(bars.index.tz) == "America/New_York"
    assert bars.index.name == "datetime"
    assert bars.index.is_monotonic_increasing
    assert bars.index.is_unique
    assert (bars.index.second == 0).all()
    assert np.isfinite(bars.to_numpy()).all()
    assert (bars["high"] >= bars[["open", "close", "low"]].max(axis=1)).all()
    assert (bars["low"] <= bars[["open", "close", "high"]].min(axis=1)).all()
    assert (bars["low"] > 0).all()
    assert (bars["volume"] > 0).all()
    prices = bars[["open", "high", "low", "close"]].to_numpy()
    assert (prices == np.round(prices, 2)).all()


@examples(40)
@given(symbols, spans)
def test_stocks_trade_only_while_new_york_is_open(symbol, span):
    first, after_last = span
    bars = us_stock_bars(symbol, first, after_last)
    schedule = market_calendars.get_calendar("NYSE").schedule(first, after_last - timedelta(days=1))
    days = bars.index.normalize()
    firsts, lasts = bars.index[~days.duplicated()], bars.index[~days.duplicated(keep="last")]
    assert list(firsts.normalize().tz_localize(None)) == list(schedule.index)
    assert all(first.time() >= time(4, 0) for first in firsts)
    assert all(last < close + timedelta(hours=4) for last, close in zip(lasts, schedule["market_close"], strict=True))


@examples(40)
@given(symbols, spans, st.integers(0, 1000))
def test_stock_volume_is_in_whole_shares(symbol, span, seed):
    volume = us_stock_bars(symbol, *span, seed=seed)["volume"]
    assert (volume == np.round(volume)).all()


def test_a_span_without_a_session_has_no_bars():
    weekend = us_stock_bars("AAA", date(2024, 1, 6), date(2024, 1, 8))
    assert len(weekend) == 0
    assert list(weekend.columns) == ["open", "high", "low", "close", "volume"]


def test_an_empty_span_is_refused():
    with pytest.raises(ValueError, match="must come before"):
        us_stock_bars("AAA", date(2024, 1, 8), date(2024, 1, 8))


def test_the_half_day_after_thanksgiving_ends_at_five():
    bars = us_stock_bars("AAA", date(2023, 11, 24), date(2023, 11, 25))
    assert bars.index[0].time() < time(4, 30)
    assert bars.between_time("12:50", "12:59").shape[0] >= 8
    assert bars.index[-1].time() < time(17, 0)
    busy = bars.between_time("12:30", "12:59")["volume"].mean()
    assert busy > 5 * bars.between_time("13:00", "13:29")["volume"].mean()


def test_two_years_have_the_expected_rows_sessions_and_shape():
    bars = us_stock_bars("AAA", date(2022, 1, 1), date(2024, 1, 1))
    assert 390_000 < len(bars) < 450_000
    regular = bars.between_time("09:30", "15:59")
    extended = bars.drop(regular.index)
    assert 0.97 < len(regular) / (501 * 390 - 2 * 180) <= 1.0
    assert 0.6 < len(extended) / (501 * 570) < 0.95
    assert extended["volume"].mean() < 0.2 * regular["volume"].mean()
    by_hour = regular.groupby(regular.index.hour)["volume"].mean()
    assert by_hour[9] > 1.5 * by_hour[12] < by_hour[15]
    returns = regular["close"].pct_change().abs()
    assert returns.autocorr(1) > 0.1, "volatility comes in bursts"
    assert returns.max() > 10 * returns.mean(), "tails are fat"


def test_trading_halts_now_and_then_in_the_regular_session():
    gaps: list[int] = []
    for symbol in symbol_names(8):
        times = us_stock_bars(symbol, date(2022, 1, 1), date(2024, 1, 1)).between_time("10:00", "15:30").index
        minutes = np.diff(times.asi8) // 60_000_000_000
        gaps += minutes[(minutes >= 5) & (minutes < 12 * 60)].tolist()
    assert 8 <= len(gaps) <= 80
    assert max(gaps) >= 10


def test_symbols_move_together_but_not_alike():
    closes = pd.DataFrame(
        {
            s: us_stock_bars(s, date(2023, 1, 1), date(2024, 1, 1))["close"].resample("1D").last()
            for s in symbol_names(6)
        }
    ).dropna()
    correlations = closes.pct_change().corr().to_numpy()[np.triu_indices(6, 1)]
    assert 0.05 < correlations.mean() < 0.7
    assert correlations.max() < 0.95


def test_bars_do_not_depend_on_what_was_invented_before():
    span = (date(2023, 3, 1), date(2023, 4, 1))
    forwards = {s: fingerprint(us_stock_bars(s, *span, seed=3)) for s in symbol_names(4)}
    crypto_bars("BTC", *span)
    backwards = {s: fingerprint(us_stock_bars(s, *span, seed=3)) for s in reversed(symbol_names(4))}
    assert forwards == backwards
    assert len(set(forwards.values())) == 4
    assert fingerprint(us_stock_bars("SIM001", *span, seed=4)) != forwards["SIM001"]


def test_bars_are_the_same_in_another_process():
    program = (
        "from datetime import date; import pandas as pd; from lumibot_duckdb.demo.market import us_stock_bars;"
        "bars = us_stock_bars('AAA', date(2023, 3, 1), date(2023, 4, 1));"
        "print(int(pd.util.hash_pandas_object(bars).sum()))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert int(answer) == fingerprint(us_stock_bars("AAA", date(2023, 3, 1), date(2023, 4, 1)))


def test_crypto_trades_around_the_clock_and_over_clock_changes():
    bars = crypto_bars("BTC", date(2023, 3, 11), date(2023, 3, 14))
    assert 0.9 * 3 * 1440 < len(bars) <= 3 * 1440
    assert bars.index[0] >= pd.Timestamp("2023-03-11", tz="UTC")
    assert bars.index[-1] < pd.Timestamp("2023-03-14", tz="UTC")
    assert set(bars.index.tz_convert("UTC").hour) == set(range(24))
