"""What all indicators return, in both layers, for bars that make formulas divide by zero, overflow or run short."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pytest

from analytics.market import REQUESTS, frame
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.analytics.catalogue import CATALOGUE

pytest.importorskip("talib")

HUGE, TINY = 2.0**34, 2.0**-37  # prices of 1e12 and 1e-9; multiples of two round nothing
PRICES = ["open", "high", "low", "close"]
LAYERS = ("Python", "SQL")

Values: TypeAlias = "Mapping[tuple[str, str, str], pd.DataFrame]"
"""The outputs of an indicator by layer, kind of bars and name."""


def kinds() -> dict[str, pd.DataFrame]:
    """Return bars of each kind."""
    usual = frame(200, seed=11, freq="10min")
    flat = usual.assign(**dict.fromkeys(PRICES, 10.1), volume=50.0)
    halted = usual.copy()
    halted.iloc[100:170, :4] = halted["close"].iloc[100]
    halted.iloc[100:170, 4] = 0.0
    later = pd.Series(np.where(np.arange(200) < 120, 0, 86_400 * 3), usual.index)
    jump = usual.copy()
    jump.iloc[90:, :4] *= 1e6
    oil = usual.copy()
    oil.iloc[100:103, :4] -= oil["close"].iloc[100] + 37.63
    return {
        "usual": usual,
        "huge": usual.mul({**dict.fromkeys(PRICES, HUGE), "volume": 1.0}),
        "tiny": usual.mul({**dict.fromkeys(PRICES, TINY), "volume": 1.0}),
        "below zero": usual.sub({**dict.fromkeys(PRICES, 500.0), "volume": 0.0}),
        "around zero": usual.sub({**dict.fromkeys(PRICES, usual["close"].iloc[60]), "volume": 0.0}),
        "oil": oil,
        "zero": usual.mul({**dict.fromkeys(PRICES, 0.0), "volume": 1.0}),
        "flat": flat,
        "flat without volume": flat.assign(volume=0.0),
        "no volume": usual.assign(volume=0.0),
        "unknown volume": usual.assign(volume=np.nan),
        "halted": halted,
        "gap": usual.set_axis(usual.index + pd.to_timedelta(later, "s")),
        "jump": jump,
        "some missing": halted.mask(np.random.default_rng(5).uniform(size=halted.shape) < 0.1),
        "one": usual.iloc[:1],
        "two": usual.iloc[:2],
        "no close": usual.assign(close=np.nan),
        "nothing": usual.assign(**dict.fromkeys(usual.columns, np.nan)),
    }


KINDS = kinds()
NAMES = {"Python": [*CATALOGUE], "SQL": [name for name, each in CATALOGUE.items() if "SQL" in each.layers]}
EACH = [(layer, name) for layer in LAYERS for name in NAMES[layer]]


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Values:
    found: dict[tuple[str, str, str], pd.DataFrame] = {}
    with DuckDBDataStorage(Path(tmp_path_factory.mktemp("unusual"))) as storage:
        for kind, table in KINDS.items():
            storage.store_ohlcv_data(kind.upper(), table, "test", "10minute")
        symbols = [kind.upper() for kind in KINDS]
        together = storage.indicators(symbols, NAMES["Python"], "10minute")
        for name in NAMES["Python"]:
            columns = dict(zip(REQUESTS[name].columns, CATALOGUE[name].outputs, strict=True))
            for kind in KINDS:
                rows = together[together["asset_symbol"] == kind.upper()].set_index("timestamp")
                found["Python", kind, name] = rows[[*columns]].rename(columns=columns)
        for name in NAMES["SQL"]:
            query = f"FROM {name}(?, timeframe := '10 minutes') ORDER BY asset_symbol, \"timestamp\""
            table = storage.sql(query, [symbols]).to_pandas()
            for kind in KINDS:
                rows = table[table["asset_symbol"] == kind.upper()].set_index("timestamp")
                found["SQL", kind, name] = rows[[*CATALOGUE[name].outputs]].astype(float)
    return found


def in_prices(name: str) -> bool:
    """Return whether the outputs are prices or differences of them."""
    return CATALOGUE[name].pane == "price" or name in ("momentum", "macd", "atr")


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_a_number_or_nothing_for_each_close_and_the_layers_agree(values: Values, kind: str) -> None:
    closes = int(np.isfinite(KINDS[kind]["close"]).sum())
    for layer, name in EACH:
        found = values[layer, kind, name]
        assert len(found) == closes, (layer, name)
        assert not np.isinf(found.to_numpy()).any(), (layer, name)
    for name in NAMES["SQL"]:
        python, sql = values["Python", kind, name].to_numpy(), values["SQL", kind, name].to_numpy()
        # What is the difference of prices, or of percents, has the rounding of these.
        scale = np.nanmax(np.abs(KINDS[kind][PRICES] if in_prices(name) else python), initial=0.0)
        rounding = 1e-14 * max(scale, 100.0 * (not in_prices(name)))
        np.testing.assert_allclose(sql, python, rtol=1e-9, atol=1e-9 * scale + rounding, err_msg=name)


@pytest.mark.parametrize(("kind", "factor"), [("huge", HUGE), ("tiny", TINY)])
def test_values_do_not_depend_on_the_size_of_prices(values: Values, kind: str, factor: float) -> None:
    """They are the same, or proportional to prices."""
    for layer, name in EACH:
        usual, found = values[layer, "usual", name], values[layer, kind, name]
        for output in usual:
            scale = np.nanmax(np.abs(usual[output]), initial=0.0)
            by = [k for k in (1.0, factor) if _close(found[output], usual[output] * k, 1e-9 * scale * k)]
            is_price = in_prices(name) and output not in ("percent_b", "bandwidth", "direction")
            assert by == [factor if is_price else 1.0], (layer, name, output)


def _close(found: Any, wanted: Any, tolerance: float) -> bool:
    return np.allclose(found, wanted, rtol=1e-9, atol=tolerance, equal_nan=True)


LEVELS = ("lower", "middle", "upper", "conversion", "base", "span_a", "span_b", "supertrend")
LEVEL_OF = ("sma", "ema", "wma", "dema", "tema", "hma", "kama", "psar", "pivot_points")
NOTHING = np.nan


def of_flat_prices(name: str, output: str, *, volume: bool) -> float:
    """Return the last value for prices of 10.1, as docs/indicators.md states it."""
    if name in ("vwap", "vwap_session"):
        return 10.1 if volume else NOTHING
    if name == "zscore" or output == "percent_b":
        return NOTHING
    if name == "obv":
        return 50.0 if volume else 0.0
    if name == "aroon":
        return 0.0 if output == "oscillator" else 100.0
    if output == "direction":
        return 1.0
    if output in LEVELS or name in LEVEL_OF:
        return 10.1
    return 0.0


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("kind", ["flat", "flat without volume"])
def test_prices_that_do_not_change(values: Values, layer: str, kind: str) -> None:
    for name in NAMES[layer]:
        for output, column in values[layer, kind, name].items():
            wanted = of_flat_prices(name, str(output), volume=kind == "flat")
            np.testing.assert_allclose(column.iloc[-1], wanted, atol=1e-12, err_msg=f"{name} {output}")


@pytest.mark.parametrize("layer", LAYERS)
def test_no_volume(values: Values, layer: str) -> None:
    for name in NAMES[layer]:
        none, unknown = values[layer, "no volume", name], values[layer, "unknown volume", name]
        if "volume" in CATALOGUE[name].inputs:
            assert unknown.isna().all(axis=None), name
            assert none.iloc[-1].tolist() == (
                [0.0] if name in ("obv", "mfi") else pytest.approx([NOTHING], nan_ok=True)
            )
        else:
            for found in (none, unknown):
                pd.testing.assert_frame_equal(found, values[layer, "usual", name], rtol=1e-12)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_gap_changes_nothing_but_days(values: Values, layer: str) -> None:
    for name in NAMES[layer]:
        usual, found = values[layer, "usual", name], values[layer, "gap", name]
        if name in ("vwap_session", "pivot_points"):
            assert not _close(found, usual, 0.0), name
        else:
            assert _close(found, usual, 1e-12), name


@pytest.mark.parametrize("layer", LAYERS)
def test_a_few_bars(values: Values, layer: str) -> None:
    """Only what needs no window has a value; a stop, from the second bar on."""
    for name in NAMES[layer]:
        for kind in ("one", "two"):
            found = values[layer, kind, name].iloc[-1]
            exists = name in ("vwap_session", "obv", "drawdown") or (name == "psar" and kind == "two")
            assert found.notna().all() == exists, (name, kind)
            assert exists or found.isna().all(), (name, kind)


@pytest.mark.parametrize("layer", LAYERS)
def test_logarithms_and_ratios_of_prices_that_have_none(values: Values, layer: str) -> None:
    for name in ("volatility", "parkinson", "garman_klass"):
        assert values[layer, "below zero", name].isna().all(axis=None), name
        oil = values[layer, "oil", name][name]
        assert oil.iloc[99] > 0
        assert oil.iloc[100:120].isna().all()
        assert oil.iloc[-1] > 0
    assert values[layer, "below zero", "drawdown"].isna().all(axis=None)
    around = values[layer, "around zero", "drawdown"]["drawdown"]
    positive = (KINDS["around zero"]["close"].cummax() > 0).to_numpy()
    assert around.notna().tolist() == positive.tolist()
