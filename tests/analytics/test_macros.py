"""Without TA-Lib, the SQL macros compute the same values."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from analytics.market import REQUESTS, SHORT, assert_close, bars_of, frame, market
from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.analytics import ta_lib
from lumibot_duckdb.analytics.bars import Bars
from lumibot_duckdb.analytics.catalogue import CATALOGUE
from lumibot_duckdb.analytics.computation.engine import engine_for, outputs
from lumibot_duckdb.analytics.computation.macro_engine import MacroEngine
from lumibot_duckdb.analytics.computation.ta_lib_engine import TaLibEngine
from lumibot_duckdb.analytics.errors import MissingLibraryError
from lumibot_duckdb.analytics.requests import Request, parsed_requests
from lumibot_duckdb.storage.macros import scripts

THERE = [
    name
    for name, each in CATALOGUE.items()
    if "SQL" in each.layers and any(f"{{db}}.{name}(" in script for script in scripts())
]


@pytest.fixture
def without_ta_lib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lumibot_duckdb.analytics.computation.engine.ta_lib", lambda: None)


@pytest.fixture(scope="module")
def macros() -> Iterator[MacroEngine]:
    engine = MacroEngine()
    yield engine
    engine.close()


@pytest.mark.parametrize("name", THERE)
@pytest.mark.parametrize("requests", [REQUESTS, SHORT], ids=["usual", "short"])
def test_macros_compute_what_ta_lib_does(name: str, requests: dict[str, Request], macros: MacroEngine) -> None:
    talib = pytest.importorskip("talib")
    table = frame(1200)
    table.iloc[[0, *range(500, 540), 700], 4] = np.nan
    bars = bars_of(table)
    bars = Bars(bars.times, bars.columns, "Asia/Tokyo" if requests is SHORT else "America/New_York")
    found = outputs(macros, requests[name], bars)
    for one, other in zip(found, outputs(TaLibEngine(talib), requests[name], bars), strict=True):
        assert_close(one, other, 100.0, name)


@given(bars=market(least=5))
@examples(30)
def test_windows_of_any_bars(macros: MacroEngine, bars: Bars) -> None:
    talib = pytest.importorskip("talib")
    for name in sorted({"sma", "bollinger", "donchian"} & set(THERE)):
        scale = float(np.abs(bars.close).max())
        for one, other in zip(
            outputs(macros, SHORT[name], bars), outputs(TaLibEngine(talib), SHORT[name], bars), strict=True
        ):
            assert_close(one, other, scale, name)


def test_what_has_no_macro_names_the_extra(without_ta_lib: None) -> None:
    with pytest.raises(MissingLibraryError) as error:
        engine_for(parsed_requests(["sma(3)", "psar", "kama(10)"]))
    assert str(error.value) == "psar, kama need TA-Lib 0.8 or later: pip install 'lumibot-duckdb[analytics]'"
    assert isinstance(error.value, ImportError)
    with pytest.raises(MissingLibraryError, match="supertrend needs TA-Lib"):
        engine_for(parsed_requests("supertrend"))


def test_the_storage_computes_with_macros(without_ta_lib: None, storage: DuckDBDataStorage) -> None:
    table = frame(500, freq="h", start="2024-01-02 00:00")
    storage.store_ohlcv_data("AAPL", table, "test", "hour")
    found = storage.indicators("AAPL", ["sma(4)", "ema(5)"], "hour", start=table.index[300])
    np.testing.assert_allclose(found["sma_4"], table["close"].rolling(4).mean()[300:])
    expected = table["close"].copy()
    expected.iloc[4] = expected.iloc[:5].mean()
    np.testing.assert_allclose(found["ema_5"], expected[4:].ewm(span=5, adjust=False).mean()[296:], rtol=1e-9)
    days = storage.indicators(["AAPL"], "sma(2)", "day", start="2024-01-10")
    closes = table["close"].resample("D").last()
    np.testing.assert_allclose(days["sma_2"], closes.rolling(2).mean()["2024-01-10":])  # type: ignore[misc]
    assert pd.DatetimeIndex(days["timestamp"]).equals(pd.DatetimeIndex(closes["2024-01-10":].index).as_unit("us"))  # type: ignore[misc]


def test_a_release_of_ta_lib_that_lacks_functions_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    talib = pytest.importorskip("talib")
    ta_lib.ta_lib.cache_clear()
    assert ta_lib.ta_lib() is talib
    monkeypatch.setattr(talib, "__version__", "0.6.8")
    ta_lib.ta_lib.cache_clear()
    assert ta_lib.ta_lib() is None
    monkeypatch.setitem(__import__("sys").modules, "talib", None)
    ta_lib.ta_lib.cache_clear()
    assert ta_lib.ta_lib() is None
    ta_lib.ta_lib.cache_clear()
