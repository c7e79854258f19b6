"""No macro's value depends on a later bar: of every indicator, of several assets, and of larger bars."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from analytics.market import SHORT, frame
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.timeframes import bar_seconds, canonical_timeframe
from storage.macros.bars import NEW_YORK, utc, walk
from storage.macros.test_conditions import INDICATORS

ROWS, CUTS = 60, (13, 29, 47)
MARKETS = {
    "WALK": walk(ROWS, "2024-01-02 23:30", seed=21),
    "HALTS": frame(ROWS, seed=22, start="2024-01-02 23:30"),
    "NEGATIVE": walk(ROWS, "2024-01-02 23:30", seed=23) - [100.0, 100.0, 100.0, 100.0, 0.0],
}


def with_another_future(bars: pd.DataFrame, cut: int) -> pd.DataFrame:
    """Return bars that differ from some place on: by other prices and volumes, and some are missing."""
    rng = np.random.default_rng(cut)
    changed = bars.copy()
    changed.iloc[cut:] *= rng.uniform(-2, 5, (len(bars) - cut, len(bars.columns)))
    changed["volume"] = changed["volume"].abs()
    changed["high"], changed["low"] = changed[["open", "high", "close"]].max(axis=1), changed.iloc[:, :4].min(axis=1)
    kept = np.append(np.ones(cut, bool), rng.uniform(size=len(bars) - cut) > 0.2)
    return changed[kept]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBDataStorage]:
    """A store in which each market has several futures, and none."""
    with DuckDBDataStorage(tmp_path_factory.mktemp("futures")) as made:
        for name, bars in MARKETS.items():
            made.store_ohlcv_data(name, bars, "test", "minute")
            for cut in CUTS:
                made.store_ohlcv_data(f"{name}.{cut}", with_another_future(bars, cut), "test", "minute")
                made.store_ohlcv_data(f"{name}.{cut}.END", bars.iloc[:cut], "test", "minute")
        yield made


def symbols() -> list[str]:
    return [*MARKETS, *(f"{name}.{cut}{end}" for name in MARKETS for cut in CUTS for end in ("", ".END"))]


@pytest.mark.parametrize("name", INDICATORS)
def test_indicators(storage: DuckDBDataStorage, name: str) -> None:
    given = "".join(f", {key} := {value}" for key, value in SHORT[name].parameters.items() if value is not None)
    query = f"FROM {name}(?, timeframe := 'minute'{given}) ORDER BY asset_symbol, \"timestamp\""
    found = dict([*storage.sql(query, [symbols()]).to_pandas().groupby("asset_symbol")])
    for market, bars in MARKETS.items():
        for cut in CUTS:
            first_changed = utc(bars)[cut]
            parts = [found[f"{market}{end}"] for end in ("", f".{cut}", f".{cut}.END")]
            whole, *others = [
                part[part["timestamp"] < first_changed].iloc[:, 1:].reset_index(drop=True) for part in parts
            ]
            assert len(whole) == cut
            for other in others:
                pd.testing.assert_frame_equal(other, whole, rtol=1e-9, atol=1e-9)
    assert found["WALK"].iloc[: CUTS[-1], 3:].notna().any(axis=None), "nothing to compare"


@pytest.mark.parametrize(
    "query",
    [
        "rolling_correlation('WALK{0}', 'HALTS{1}', timeframe := 'minute', n := 4)",
        "rolling_correlation('WALK{0}', 'HALTS{1}', timeframe := 'minute', n := 4, method := 'log_returns')",
        "rolling_beta('WALK{0}', 'HALTS{1}', timeframe := 'minute', n := 4)",
        "spread('WALK{0}', 'HALTS{1}', timeframe := 'minute', n := 4)",
    ],
)
def test_several_assets(storage: DuckDBDataStorage, query: str) -> None:
    def values(first: str, second: str) -> pd.DataFrame:
        return storage.sql(f'FROM {query.format(first, second)} ORDER BY "timestamp"').to_pandas()

    whole = values("", "")
    for cut in CUTS:
        earlier = whole[whole["timestamp"] < utc(MARKETS["WALK"])[cut]]
        assert len(earlier) > cut - 6
        for first, second in ((f".{cut}", ""), ("", f".{cut}"), (f".{cut}", f".{cut}.END")):
            other = values(first, second)
            other = other[other["timestamp"] < utc(MARKETS["WALK"])[cut]]
            pd.testing.assert_frame_equal(other, earlier, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("timeframe", ["2 minutes", "7 minutes", "hour", "day"])
def test_larger_bars(storage: DuckDBDataStorage, timeframe: str) -> None:
    """A bar that is complete before a moment is the same whatever comes then, in SQL and in the database for charts."""
    rows = storage.sql('FROM resample(?, ?) ORDER BY "timestamp"', [symbols(), timeframe]).to_pandas()
    made = {symbol: table.set_index("timestamp").iloc[:, 1:] for symbol, table in rows.groupby("asset_symbol")}
    for symbol in ("HALTS", "HALTS.29", "HALTS.29.END"):
        larger = storage.read_larger_bars(storage.pin(symbol, "minute"), timeframe)
        pd.testing.assert_frame_equal(
            pd.DataFrame({name: larger.columns[name] for name in made[symbol]}, pd.to_datetime(larger.times, unit="s")),
            made[symbol], check_names=False, check_index_type=False,
        )  # fmt: skip
    for market, bars in MARKETS.items():
        for cut in CUTS:
            parts = [made[f"{market}{end}"] for end in ("", f".{cut}", f".{cut}.END")]
            complete = [part[_ends(part.index, timeframe) <= utc(bars)[cut]] for part in parts]
            assert len(complete[0]) or cut < CUTS[-1]
            for other in complete[1:]:
                pd.testing.assert_frame_equal(other, complete[0])


def _ends(starts: pd.Index, timeframe: str) -> pd.DatetimeIndex:
    """Return the ends of bars: a bar of the last minutes of a day ends with it."""
    local = pd.DatetimeIndex(starts).tz_localize("UTC").tz_convert(NEW_YORK)
    days = (local.normalize() + pd.DateOffset(days=1)).tz_convert("UTC").tz_localize(None)
    length = pd.Timedelta(bar_seconds(canonical_timeframe(timeframe)), "s")
    return days if timeframe == "day" else pd.DatetimeIndex(np.minimum(starts + length, days))
