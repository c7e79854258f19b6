"""Figures of stored bars: what is drawn equals what is stored."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analytics.market import DATA, frame, stored_frames
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.analytics.catalogue import CATALOGUE
from lumibot_duckdb.analytics.errors import IndicatorError
from lumibot_duckdb.analytics.ta_lib import ta_lib
from lumibot_duckdb.charts.candles import MOST_CANDLES
from lumibot_duckdb.charts.errors import ChartError
from lumibot_duckdb.storage.api import AssetKey, CorporateAction
from lumibot_duckdb.storage.errors import AmbiguousSeriesError, SeriesNotFoundError

PRICES = ["open", "high", "low", "close"]
DAYS = frame(300, freq="B", start="2023-01-02")


def traces(figure: Any) -> dict[str, Any]:
    """Return the traces of a figure by their names."""
    return {trace.name: trace for trace in figure.data}


def candles(figure: Any) -> pd.DataFrame:
    """Return the candles of a figure."""
    drawn = figure.data[0]
    table = pd.DataFrame({name: np.array(drawn[name], float) for name in PRICES}, index=list(drawn.x))
    return table.assign(volume=np.array(traces(figure)["volume"].y, float)) if "volume" in traces(figure) else table


def values(trace: Any) -> Any:
    """Return the values of a trace, missing ones as NaN."""
    return np.array(trace.y, float)


def assert_drawn(figure: Any, expected: pd.DataFrame) -> None:
    """Fail unless the candles are exactly the bars of a frame."""
    drawn = candles(figure)
    np.testing.assert_array_equal(drawn[PRICES].to_numpy(), expected[PRICES].to_numpy())
    if "volume" in drawn:
        np.testing.assert_allclose(drawn["volume"], expected["volume"], rtol=1e-12)


def larger(bars: pd.DataFrame, by: Any) -> pd.DataFrame:
    """Return larger bars, made by pandas."""
    rules = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    return bars.groupby(by).agg(rules)


# -- candles -----------------------------------------------------------------------------------------------------


def test_the_candles_are_the_stored_bars(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", DAYS, "test", "day")
    figure = storage.chart("AAPL", "day", ["sma(20)", "rsi(14)", "bollinger(20, 2)"])
    assert_drawn(figure, DAYS)
    assert figure.data[0].x == tuple(DAYS.index.strftime("%Y-%m-%d"))
    expected = storage.indicators("AAPL", ["sma(20)", "rsi(14)", "bollinger(20, 2)"])
    drawn = traces(figure)
    np.testing.assert_array_equal(values(drawn["sma(20)"]), expected["sma_20"])
    np.testing.assert_array_equal(values(drawn["rsi(14)"]), expected["rsi_14"])
    np.testing.assert_array_equal(values(drawn["bollinger(20, 2) upper"]), expected["bollinger_20_2_upper"])
    assert "bollinger(20, 2) bandwidth" not in drawn
    assert "AAPL stock, day bars from test" in figure.layout.title.text
    assert "Each candle" not in figure.layout.title.text


def test_a_range_begins_with_the_values_of_the_full_history(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", DAYS, "test", "day")
    figure = storage.chart("AAPL", "day", "ema(10)", start="2023-06-01", end="2023-07-01")
    part = DAYS.loc["2023-06-01":"2023-06-30"]  # type: ignore[misc]
    assert_drawn(figure, part)
    full = storage.indicators("AAPL", "ema(10)")["ema_10"].loc[part.index]
    np.testing.assert_allclose(values(traces(figure)["ema(10)"]), full, rtol=1e-9)


def test_gaps_take_no_room_and_no_two_candles_share_a_name(storage: DuckDBDataStorage) -> None:
    # Two nights, one of them with the hour that the clocks repeat, and a day without trading.
    first = pd.date_range("2024-11-03 00:30", "2024-11-03 02:30", freq="10min", tz="America/New_York")
    second = pd.date_range("2024-11-05 09:30", periods=20, freq="10min", tz="America/New_York")
    bars = frame(len(first) + len(second)).set_axis(first.append(second))
    storage.store_ohlcv_data("BTC", bars, "test", "10minute")
    figure = storage.chart("BTC", "10minute")
    names = figure.data[0].x
    assert (len(names), len(set(names))) == (len(bars), len(bars))
    assert names[len(first) - 1 : len(first) + 1] == ("2024-11-03<br>02:30", "2024-11-05<br>09:30")
    assert {name for name in names if "01:30" in name} == {"2024-11-03<br>01:30:00 EDT", "2024-11-03<br>01:30:00 EST"}
    assert figure.layout.xaxis.type == "category"
    assert list(figure.layout.xaxis.categoryarray) == list(names)


@pytest.mark.parametrize(("rows", "length", "by"), [(9_000, "5 minutes", "5min"), (40_000, "30 minutes", "30min")])
def test_many_bars_are_reduced_exactly(storage: DuckDBDataStorage, rows: int, length: str, by: str) -> None:
    bars = frame(rows)
    storage.store_ohlcv_data("SPY", bars, "test", "minute")
    figure = storage.chart("SPY", "minute", ["sma(7)", "rsi(14)"])
    expected = larger(bars, bars.index.floor(by))
    assert len(expected) <= MOST_CANDLES
    assert_drawn(figure, expected)
    assert f"Each candle: {length}, since {rows:,} bars are too many" in figure.layout.title.text
    assert "Zooming shows no smaller ones" in figure.layout.title.text
    computed = storage.indicators("SPY", ["sma(7)"], "minute")["sma_7"]
    last = computed.groupby(computed.index.floor(by)).last()
    np.testing.assert_array_equal(values(traces(figure)["sma(7)"]), last)


def test_a_part_of_a_long_day_is_not_reduced(storage: DuckDBDataStorage) -> None:
    bars = frame(5_000, freq="20s")
    storage.store_ohlcv_data("SPY", bars, "test", "20second")
    within = {"start": bars.index[700], "end": bars.index[2_700]}
    assert_drawn(storage.chart("SPY", "20second", **within), bars.iloc[700:2_700])
    more = storage.chart("SPY", "20second", start=within["start"], end=bars.index[2_701])
    assert "Each candle: 1 minute, since 2,001 bars" in more.layout.title.text


def test_days_become_weeks(storage: DuckDBDataStorage) -> None:
    bars = frame(2_600, freq="B", start="2010-01-04")
    storage.store_ohlcv_data("SPY", bars, "test", "day")
    figure = storage.chart("SPY")
    assert_drawn(figure, larger(bars, bars.index.tz_localize(None).to_period("W")))
    assert figure.data[0].x[:2] == ("2010-01-04", "2010-01-11")
    assert "Each candle: 1 week" in figure.layout.title.text
    assert_drawn(storage.chart("SPY", start="2019-01-01"), bars.loc["2019-01-01":])  # type: ignore[misc]


def test_a_length_that_is_not_stored(storage: DuckDBDataStorage) -> None:
    bars = frame(3_000)
    storage.store_ohlcv_data("SPY", bars, "test", "minute")
    figure = storage.chart("SPY", "30min", "sma(3)", start="2024-01-02 10:10", end="2024-01-02 15:10")
    expected = larger(bars, bars.index.floor("30min")).loc["2024-01-02 10:30":"2024-01-02 15:00"]  # type: ignore[misc]
    assert_drawn(figure, expected)
    computed = storage.indicators("SPY", "sma(3)", "30min", "2024-01-02 10:10", "2024-01-02 15:10")
    np.testing.assert_array_equal(values(traces(figure)["sma(3)"]), computed["sma_3"])
    assert "Each candle" not in figure.layout.title.text


def test_daily_bars_of_coins_are_utc_days(storage: DuckDBDataStorage) -> None:
    bars = frame(10).set_axis(pd.date_range("2024-01-01", periods=10, tz="UTC"))
    storage.store_ohlcv_data(("BTC", "USD"), bars, "test", "day")
    assert storage.chart(("BTC", "USD")).data[0].x[:2] == ("2024-01-01", "2024-01-02")
    assert storage.chart(("BTC", "USD"), zone="America/New_York").data[0].x[:2] == ("2023-12-31", "2024-01-01")


def test_missing_values(storage: DuckDBDataStorage) -> None:
    bars = DAYS.copy()
    bars.iloc[3, 3] = np.nan  # no close: no bar
    bars.iloc[5, :3] = np.nan  # prices that are missing count as the close
    bars.iloc[7, 4] = np.nan
    storage.store_ohlcv_data("AAPL", bars, "test", "day")
    figure = storage.chart("AAPL")
    drawn = candles(figure)
    assert len(drawn) == len(bars) - 1
    assert drawn.iloc[4, :4].tolist() == [bars["close"].iloc[5]] * 4
    assert traces(figure)["volume"].y[6] is None
    assert "NaN" not in figure.to_json()


def test_closes_alone_are_a_line(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("VIX", DAYS[["close"]], "test", "day")
    figure = storage.chart("VIX", "day", "sma(5)")
    assert [trace.type for trace in figure.data] == ["scatter", "scatter"]
    assert figure.data[0].line.color != figure.data[1].line.color
    assert figure.data[0].showlegend is not False
    np.testing.assert_array_equal(values(figure.data[0]), DAYS["close"])
    storage.store_ohlcv_data("TEXT", DAYS[["open"]], "test", "day")
    with pytest.raises(IndicatorError, match="TEXT stock, day bars from test has no closes"):
        storage.chart("TEXT")


@pytest.mark.skipif(not DATA.exists(), reason="needs the real data")
def test_real_bars_are_drawn_unchanged(storage: DuckDBDataStorage) -> None:
    seen = set()
    for symbol, timeframe, bars in stored_frames():
        if (kind := (timeframe, symbol[:3])) in seen or len(bars) < 50:
            continue
        seen.add(kind)
        storage.store_ohlcv_data(symbol, bars, f"real{len(seen)}", timeframe)
        part = bars.iloc[-1_500:]
        figure = storage.chart(symbol, timeframe, start=part.index[0], source=f"real{len(seen)}")
        assert_drawn(figure, part)
        whole = candles(storage.chart(symbol, timeframe, source=f"real{len(seen)}"))
        assert len(whole) <= MOST_CANDLES
        assert (whole["high"].max(), whole["low"].min()) == (bars["high"].max(), bars["low"].min())
        assert (whole["open"].iloc[0], whole["close"].iloc[-1]) == (bars["open"].iloc[0], bars["close"].iloc[-1])
        if "volume" in whole:
            assert whole["volume"].sum() == pytest.approx(bars["volume"].sum())
    assert len(seen) > 10


# -- panes -------------------------------------------------------------------------------------------------------


def test_every_indicator_can_be_drawn(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", DAYS, "test", "day")
    shown = [each for each in CATALOGUE.values() if "SQL" in each.layers or ta_lib() is not None]
    figure = storage.chart("AAPL", "day", [each.name for each in shown])
    drawn, pane = list(figure.data[2:]), 2
    for indicator in shown:
        pane += indicator.pane == "own"
        for _ in indicator.drawn or indicator.outputs:
            trace = drawn.pop(0)
            assert trace.name.startswith(indicator.name)
            assert trace.yaxis == ("y" if indicator.pane == "price" else f"y{pane}"), trace.name
            assert np.isfinite(values(trace)[-1]), trace.name
    assert not drawn


def test_panes_are_below_each_other(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", DAYS, "test", "day")
    layout = storage.chart("AAPL", "day", ["sma(5)", "macd", "rsi"]).layout
    domains = [layout[name].domain for name in ("yaxis", "yaxis2", "yaxis3", "yaxis4")]
    assert domains[0][1] == 1
    assert domains[-1][0] == pytest.approx(0)
    assert all(upper[0] > lower[1] for upper, lower in pairwise(domains))
    assert layout.xaxis.anchor == "y4"
    assert [note.text for note in layout.annotations] == ["volume", "macd(12, 26, 9)", "rsi(14)"]


def test_themes(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", DAYS, "test", "day")
    light, dark = (storage.chart("AAPL", theme=theme).layout.paper_bgcolor for theme in ("light", "dark"))
    assert light != dark
    assert '"--' not in storage.chart("AAPL", "day", ["bollinger", "macd"], theme="dark").to_json()
    with pytest.raises(ValueError, match="'blue' is not a theme: write 'light' or 'dark'"):
        storage.chart("AAPL", theme="blue")


# -- corporate actions -------------------------------------------------------------------------------------------


def actions_at(figure: Any, name: str) -> list[tuple[str, str]]:
    marks = traces(figure)[name]
    return list(zip(marks.x, marks.customdata, strict=True))


def test_splits_and_dividends_are_marked(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", DAYS, "test", "day")
    storage.record_corporate_actions("AAPL", [CorporateAction(date(2023, 3, 1), 1, 4)], "test", "split")
    dividends = [
        CorporateAction(day, amount=0.25)
        for day in (date(2022, 12, 30), date(2023, 3, 1), date(2023, 3, 4), date(2030, 1, 2))
    ]
    storage.record_corporate_actions("AAPL", dividends, "test", "dividend")
    storage.record_corporate_actions("AAPL", [CorporateAction(date(2023, 5, 1), 1, 9)], "other", "split")
    figure = storage.chart("AAPL")
    assert actions_at(figure, "splits") == [("2023-03-01", "2023-03-01 split 4 for 1")]
    assert actions_at(figure, "dividends") == [
        ("2023-03-01", "2023-03-01 dividend 0.25"),
        ("2023-03-06", "2023-03-04 dividend 0.25"),  # a Saturday
    ]
    weeks = storage.chart("AAPL", "week")
    assert actions_at(weeks, "dividends") == [
        ("2023-02-27", "2023-03-01 dividend 0.25<br>2023-03-04 dividend 0.25"),
    ]
    assert "splits" not in traces(storage.chart("AAPL", start="2023-03-02"))


def test_an_action_is_at_the_first_bar_of_its_day(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", frame(2 * 1440), "test", "minute")
    storage.record_corporate_actions("AAPL", [CorporateAction(date(2024, 1, 3), 2, 1)], "test", "split")
    figure = storage.chart("AAPL", "15min")
    assert actions_at(figure, "splits") == [("2024-01-03<br>00:00", "2024-01-03 split 1 for 2")]


# -- mistakes ----------------------------------------------------------------------------------------------------


def test_mistakes_are_named(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", DAYS, "test", "day")
    with pytest.raises(ChartError, match="no bars from 2030-01-01; there are bars from 2023-01-02 to 2024-02-23"):
        storage.chart("AAPL", start="2030-01-01")
    with pytest.raises(ChartError, match="no bars from 2023-01-07 before 2023-01-08; there are"):
        storage.chart("AAPL", start="2023-01-07", end="2023-01-08")
    with pytest.raises(SeriesNotFoundError, match=r"no day bars of APL; did you mean AAPL\?$"):
        storage.chart("APL")
    with pytest.raises(SeriesNotFoundError, match="no hour bars of AAPL; it has: AAPL stock, day bars from test"):
        storage.chart("AAPL", "hour")
    with pytest.raises(IndicatorError, match="there is no indicator 'rsii'; did you mean rsi"):
        storage.chart("AAPL", "day", "rsii")
    with pytest.raises(IndicatorError, match="'Mars' is not a time zone"):
        storage.chart("AAPL", zone="Mars")
    storage.store_ohlcv_data("AAPL", DAYS, "other", "day")
    with pytest.raises(AmbiguousSeriesError, match="one of other, test"):
        storage.chart("AAPL")


def test_names_are_text(storage: DuckDBDataStorage) -> None:
    evil = "<b>x</b>"
    storage.store_ohlcv_data(AssetKey(evil), DAYS, "test", "day")
    title = storage.chart(AssetKey(evil)).layout.title.text
    assert evil not in title
    assert "&lt;b&gt;" in title
