"""Values at the start of a range are those of the full history."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.market import REQUESTS, SHORT, frame
from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.analytics.errors import IndicatorError
from lumibot_duckdb.analytics.requests import parsed_request
from lumibot_duckdb.analytics.warm_up import Reach, smoothed

pytest.importorskip("talib")

ROWS = 20_000
ALL = [
    f"{name}({', '.join(f'{key}={value}' for key, value in each.parameters.items())})" for name, each in SHORT.items()
]
USUAL = [*REQUESTS]


def long_frame() -> pd.DataFrame:
    """Return minutes of sessions, with a long halt, a fall to a hundredth, and a gap of weeks."""
    table = frame(ROWS, seed=3)
    days = pd.bdate_range("2023-01-02", periods=ROWS // 390 + 1, tz="America/New_York")
    days = days[:10].append(days[10:] + pd.Timedelta("21D"))
    minutes = [day + pd.Timedelta(minutes=570 + minute) for day in days for minute in range(390)]
    table.index = pd.DatetimeIndex(minutes[:ROWS], name="datetime")
    table.iloc[9_000:12_000, :4] = table["close"].iloc[9_000]
    table.iloc[9_000:12_000, 4] = 0.0
    table.iloc[15_000:, :4] *= 0.01
    return table


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DuckDBDataStorage, pd.DataFrame, pd.DataFrame]]:
    storage = DuckDBDataStorage(Path(tmp_path_factory.mktemp("warm-up")))
    storage.store_ohlcv_data("LONG", long_frame(), "test", "minute")
    storage.store_ohlcv_data("SHORT", long_frame()[:2_000], "test", "minute")
    storage.store_ohlcv_data("LONG", frame(ROWS, seed=3)[:50], "later", "day")
    yield storage, storage.indicators("LONG", [*ALL, *USUAL], "minute"), storage.indicators("LONG", ALL, "hour")
    storage.close()


def assert_same(found: pd.DataFrame, whole: pd.DataFrame, bars: pd.DataFrame) -> None:
    expected = whole.loc[found.index, found.columns]
    for column in found.columns:
        # MACD and momentum are differences of prices.
        scale = bars["close"].max() if column.startswith(("macd", "momentum")) else 1e-3
        np.testing.assert_allclose(found[column], expected[column], rtol=1e-9, atol=1e-9 * scale, err_msg=column)


@given(st.data())
@examples(30)
def test_values_are_those_of_the_full_history(
    stored: tuple[DuckDBDataStorage, pd.DataFrame, pd.DataFrame], data: st.DataObject
) -> None:
    storage, *wholes = stored
    minutes, _ = wholes
    asked = data.draw(st.lists(st.sampled_from([*ALL, *USUAL]), min_size=1, max_size=4))
    place = data.draw(
        st.one_of(st.integers(0, ROWS - 1), st.sampled_from([8_999, 9_001, 10_000, 11_999, 12_001, 15_000]))
    )
    start = minutes.index[place] + pd.Timedelta(seconds=data.draw(st.sampled_from([-1, 0, 1])))
    larger = [each for each in asked if each in ALL]
    for whole, requests, timeframe, length in zip(
        wholes, (asked, larger), ("minute", "hour"), ("200min", "2D"), strict=True
    ):
        end = start + pd.Timedelta(length)
        if not requests:
            continue
        if whole[(whole.index >= start) & (whole.index < end)].empty:
            with pytest.raises(IndicatorError, match=f"no {timeframe} bars from"):
                storage.indicators("LONG", requests, timeframe, start, end)
        else:
            assert_same(storage.indicators("LONG", requests, timeframe, start, end), whole, whole)


def test_a_range_that_begins_in_a_halt_and_ends_after_it(
    stored: tuple[DuckDBDataStorage, pd.DataFrame, pd.DataFrame],
) -> None:
    """In the halt, nothing depends on the bars before it, but afterwards averages of rises and falls do."""
    storage, minutes, _ = stored
    start = minutes.index[11_804]
    assert_same(
        storage.indicators("LONG", ["stoch_rsi", "rsi"], "minute", start, start + pd.Timedelta("9h")), minutes, minutes
    )


@pytest.mark.parametrize(
    "zone", ["Asia/Tokyo", *(pytest.param(zone, marks=pytest.mark.long) for zone in ("America/Sao_Paulo", "UTC"))]
)
@pytest.mark.parametrize("timeframe", ["minute", "hour", pytest.param("day", marks=pytest.mark.long)])
def test_days_are_whole_in_every_zone(
    stored: tuple[DuckDBDataStorage, pd.DataFrame, pd.DataFrame], timeframe: str, zone: str
) -> None:
    storage, minutes, _ = stored
    for requests in (["pivot_points"], ["vwap_session"], ["pivot_points", "sma(2)"]):
        whole = storage.indicators("LONG", requests, timeframe, zone=zone, source="test")
        for place in (500, 1_170, 1_171, 13_000):
            start = minutes.index[place]
            end = start + pd.Timedelta("1D")
            assert_same(
                storage.indicators("LONG", requests, timeframe, start, end, zone=zone, source="test"), whole, whole
            )


def test_only_what_is_needed_is_read(stored: tuple[DuckDBDataStorage, pd.DataFrame, pd.DataFrame]) -> None:
    storage, minutes, _ = stored

    def rows_read(*asked: str) -> int:
        before = storage.statistics().rows_read
        storage.indicators("LONG", asked, "minute", minutes.index[14_000], minutes.index[14_010])
        return storage.statistics().rows_read - before

    storage.indicators("LONG", "sma(20)", "minute", minutes.index[14_000])
    assert rows_read("sma(20)") < 10 + 20 + 2 * 390
    assert rows_read("rsi(14)") < 10 + parsed_request("rsi(14)").warm_up.bars + 2 * 390
    assert rows_read("vwap_session") < 400
    assert rows_read("pivot_points") < 800
    assert rows_read("obv") > 14_000


def test_a_halt_makes_recursive_indicators_read_more(
    stored: tuple[DuckDBDataStorage, pd.DataFrame, pd.DataFrame],
) -> None:
    storage, minutes, _ = stored
    start = minutes.index[11_990]
    assert minutes["rsi_14"].loc[start] != 0
    found = storage.indicators("LONG", "rsi(14)", "minute", start, minutes.index[12_100])
    assert_same(found, minutes, minutes)


def test_bars_without_volume_do_not_count(storage: DuckDBDataStorage) -> None:
    table = frame(3_000)
    table.iloc[200:2_500, 4] = np.nan
    storage.store_ohlcv_data("GAPS", table, "test", "minute")
    whole = storage.indicators("GAPS", ["mfi(5)", "vwap(4)", "sma(3)"], "minute")
    for place in (100, 199, 200, 2_000, 2_499, 2_500, 2_502, 2_700):
        start = table.index[place]
        found = storage.indicators(
            "GAPS", ["mfi(5)", "vwap(4)", "sma(3)"], "minute", start, start + pd.Timedelta("9min")
        )
        assert_same(found, whole, whole)


def test_the_whole_range_is_before_or_after_the_bars(
    stored: tuple[DuckDBDataStorage, pd.DataFrame, pd.DataFrame],
) -> None:
    storage, minutes, _ = stored
    for timeframe, span in (("minute", {"end": "2022-01-01"}), ("hour", {"start": "2026-01-01"})):
        with pytest.raises(IndicatorError, match="bars from 2023"):
            storage.indicators("LONG", ALL, timeframe, **span)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(
        storage.indicators("LONG", ALL, "minute", start="2022-01-01"), minutes[found_columns(minutes)]
    )


def found_columns(minutes: pd.DataFrame) -> list[str]:
    return ["close", *(column for name in SHORT for column in SHORT[name].columns)]


@pytest.mark.parametrize(("keep", "times"), [(0.5, 1), (0.9, 1), (0.9, 2), (0.95, 3), (1 - 1e-3, 3)])
def test_smoothing_forgets(keep: float, times: int) -> None:
    warm_up = smoothed(keep, 0, times=times)
    assert warm_up.reach is Reach.RECURSIVE
    values = np.zeros(int(warm_up.bars) + 1)
    values[0] = 1.0
    for _ in range(times):
        average, smooth = 0.0, []
        for value in values:
            average = keep * average + (1 - keep) * value
            smooth.append(average)
        values = np.array(smooth)
    assert values[-1] < 1e-12
    assert smoothed(0.0, 3).reach is Reach.BARS
