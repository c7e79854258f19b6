"""Macros give the values of TA-Lib and of pandas-ta-classic, to 1e-9."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from storage.macros.bars import NEW_YORK, SERIES
from storage.macros.comparison import assert_equal, call
from storage.macros.references import PARAMETERS, REFERENCES

REAL = Path(__file__).parents[4] / "shared" / "data"
WITH_VOLUME = ("mfi", "obv", "vwap", "vwap_session")
OF_SERIES = {key[0]: (key[2], bars) for key, bars in SERIES.items()}

EACH = [
    pytest.param(name, number, id=f"{name}-{number}") for name in REFERENCES for number in range(len(PARAMETERS[name]))
]


@pytest.mark.parametrize(("name", "number"), EACH)
def test_talib_on_generated_bars(client: duckdb.DuckDBPyConnection, name: str, number: int) -> None:
    parameters = PARAMETERS[name][number]
    symbols = ("WALK",) if number else ("WALK", "HALTED", "DAILY", "TINY")
    for symbol in symbols:
        timeframe, bars = OF_SERIES[symbol]
        expected = REFERENCES[name](bars.tz_convert("UTC"), **parameters)
        assert_equal(call(client, name, symbol, timeframe, parameters), bars, expected)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[duckdb.DuckDBPyConnection, dict[str, pd.DataFrame]]]:
    """Real bars as "symbol timeframe", and a client of a store that has them."""
    if not REAL.is_dir():
        pytest.skip("there are no real bars here")
    series: dict[str, pd.DataFrame] = {}
    with DuckDBDataStorage(tmp_path_factory.mktemp("real")) as storage:
        for file in sorted(REAL.glob("*_[dm][a-i]*.parquet")):  # days and minutes
            for symbol, frame in pd.read_parquet(file).groupby("symbol"):
                time = "date" if "date" in frame else "ts"
                zone = NEW_YORK if time == "date" else "UTC"
                index = pd.DatetimeIndex(pd.to_datetime(frame[time]), name="datetime")
                bars = frame.drop(columns=["symbol", time]).astype(float)
                bars.index = (index if index.tz is not None else index.tz_localize(zone)).tz_convert("UTC")
                timeframe = "day" if time == "date" else "minute"
                storage.store_ohlcv_data(symbol, bars, "real", timeframe)
                series[f"{symbol} {timeframe}"] = bars
    with duckdb.connect(str(storage.path), read_only=True) as connection:
        yield connection, series


@pytest.mark.long
@pytest.mark.parametrize("name", REFERENCES)
def test_talib_on_real_bars(real: tuple[duckdb.DuckDBPyConnection, dict[str, pd.DataFrame]], name: str) -> None:
    connection, series = real
    assert len(series) > 20
    for key, bars in series.items():
        if "volume" not in bars and name in WITH_VOLUME:
            continue
        found = call(connection, name, *key.split(" "))
        assert_equal(found, bars, REFERENCES[name](bars))


def _pandas_ta() -> Mapping[str, Callable[[Any, pd.DataFrame], Mapping[str, Any]]]:
    """Return the indicators that pandas-ta-classic defines in the same way."""

    def frame(names: str, result: pd.DataFrame) -> Mapping[str, Any]:
        return dict(zip(names.split(), (column for _, column in result.items()), strict=False))

    return {
        "sma": lambda ta, b: {"sma": ta.sma(b.close, 20, talib=False)},
        "ema": lambda ta, b: {"ema": ta.ema(b.close, 20, talib=False)},
        "wma": lambda ta, b: {"wma": ta.wma(b.close, 20, talib=False)},
        "dema": lambda ta, b: {"dema": ta.dema(b.close, 20, talib=False)},
        "tema": lambda ta, b: {"tema": ta.tema(b.close, 20, talib=False)},
        "hma": lambda ta, b: {"hma": ta.hma(b.close, 20)},
        "bollinger": lambda ta, b: frame("lower middle upper", ta.bbands(b.close, 20, 2, ddof=0, talib=False)),
        "rsi": lambda ta, b: {"rsi": ta.rsi(b.close, 14, talib=False)},
        "atr": lambda ta, b: {"atr": ta.atr(b.high, b.low, b.close, 14, talib=False)},
        "natr": lambda ta, b: {"natr": ta.natr(b.high, b.low, b.close, 14, talib=False)},
        "cci": lambda ta, b: {"cci": ta.cci(b.high, b.low, b.close, 20, talib=False)},
        "williams_r": lambda ta, b: {"williams_r": ta.willr(b.high, b.low, b.close, 14, talib=False)},
        "obv": lambda ta, b: {"obv": ta.obv(b.close, b.volume, talib=False)},
        "roc": lambda ta, b: {"roc": ta.roc(b.close, 10, talib=False)},
        "momentum": lambda ta, b: {"momentum": ta.mom(b.close, 10, talib=False)},
        "trix": lambda ta, b: {"trix": ta.trix(b.close, 15).iloc[:, 0]},
        "aroon": lambda ta, b: frame("down up oscillator", ta.aroon(b.high, b.low, 25, talib=False)),
        "donchian": lambda ta, b: frame("lower middle upper", ta.donchian(b.high, b.low, 20, 20)),
        "adx": lambda ta, b: frame("adx plus_di minus_di", ta.adx(b.high, b.low, b.close, 14)),
        "ichimoku": lambda ta, b: frame(
            "span_a span_b conversion base", ta.ichimoku(b.high, b.low, b.close, include_chikou=False, as_dataframe=False)[0]
        ),
        "drawdown": lambda ta, b: {"drawdown": -ta.drawdown(b.close).iloc[:, 1]},
    }


@pytest.mark.parametrize("name", _pandas_ta())
def test_pandas_ta_classic(client: duckdb.DuckDBPyConnection, name: str) -> None:
    ta = pytest.importorskip("pandas_ta_classic")
    _, bars = OF_SERIES["DAILY"]
    found = call(client, name, "DAILY", "day")
    for output, values in _pandas_ta()[name](ta, bars).items():
        expected = values.reindex(bars.index).to_numpy(np.float64)
        np.testing.assert_allclose(found[output], expected, rtol=1e-9, atol=1e-9 * np.nanmax(np.abs(expected)))
