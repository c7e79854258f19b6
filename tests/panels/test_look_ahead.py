"""No row of a panel knows more than its bar did."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.market import SHORT, market
from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.analytics.bars import Bars
from lumibot_duckdb.panels import ForwardReturn, Target, TripleBarrier

pytest.importorskip("talib")

FEATURES = [
    *(f"{name}({', '.join(map(str, each.values))})" for name, each in SHORT.items()),
    "return(1)", "log_return(3)", "open", "high", "low", "close", "volume",
]  # fmt: skip
TARGETS: tuple[Target, ...] = (
    ForwardReturn(1),
    ForwardReturn(7, log=True),
    TripleBarrier(0.01, 0.02, bars=5),
    TripleBarrier(1.5, 1, bars=20, volatility=3, touch="close"),
)
NUMBER = count()


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = DuckDBDataStorage(Path(tmp_path_factory.mktemp("look-ahead")))
    yield made
    made.close()


def stored(storage: DuckDBDataStorage, bars: Bars) -> str:
    """Store bars as a new series, and return its symbol."""
    symbol = f"S{next(NUMBER)}"
    index = pd.DatetimeIndex(bars.times, dtype="M8[s]").tz_localize("UTC")
    storage.store_ohlcv_data(symbol, pd.DataFrame(dict(bars.columns), index=index), "test", "minute")
    return symbol


def with_other_future(bars: Bars, place: int, seed: int) -> Bars:
    """Return bars that are unlike the others after a place: another market, at other times."""
    rng = np.random.default_rng(seed)
    keep = slice(0, place + 1)
    rows = int(rng.integers(0, 30))
    close = np.exp(rng.normal(0, 1, rows)) * 1000
    later: dict[str, Any] = {"open": close, "high": close * 1.5, "low": close / 2, "close": close, "volume": close}
    times = bars.times[place] + 60 * np.cumsum(rng.integers(1, 50, rows))
    columns = {name: np.concatenate([column[keep], later[name]]) for name, column in bars.columns.items()}
    return Bars(np.concatenate([bars.times[keep], times]), columns)


@given(market(least=2), st.data())
@examples(30)
def test_later_bars_change_nothing_that_was_known(storage: DuckDBDataStorage, bars: Bars, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(bars) - 2))
    features = data.draw(st.lists(st.sampled_from(FEATURES), min_size=1, max_size=5, unique=True))
    symbols = [stored(storage, bars), stored(storage, with_other_future(bars, place, data.draw(st.integers(0, 99))))]
    real, other = (storage.panel(symbol, features, "minute", targets=TARGETS) for symbol in symbols)
    now = real["timestamp"][place] + pd.Timedelta(minutes=1)  # the bar at the place has ended
    for name in real.columns[2:]:
        same = np.arange(place + 1)
        if "forward" in name or "barrier" in name:
            target = name.removesuffix("_known_at")
            was_known = [table[f"{target}_known_at"][: place + 1] <= now for table in (real, other)]
            assert was_known[0].tolist() == was_known[1].tolist()
            same = np.flatnonzero(was_known[0])
        pd.testing.assert_series_equal(real[name][same], other[name][same], check_exact=True)
    # A panel at that moment is the same, and has all that was known.
    then = [storage.panel(symbol, features, "minute", end=now, targets=TARGETS) for symbol in symbols]
    pd.testing.assert_frame_equal(*(table.drop(columns="asset_symbol") for table in then), check_exact=True)
    assert then[0]["timestamp"].tolist() == real["timestamp"][: place + 1].tolist()
    for target in TARGETS:
        known = (real[f"{target.name}_known_at"][: place + 1] <= now).to_numpy()
        values = then[0][target.name].to_numpy()
        np.testing.assert_array_equal(values, np.where(known, real[target.name][: place + 1], np.nan))


@given(market(least=2, most=200), st.data())
@examples(15)
def test_a_range_has_the_values_of_the_whole_panel(storage: DuckDBDataStorage, bars: Bars, data: st.DataObject) -> None:
    features = data.draw(st.lists(st.sampled_from(FEATURES), min_size=1, max_size=5, unique=True))
    symbol = stored(storage, bars)
    whole = storage.panel(symbol, features, "minute", targets=TARGETS)
    start = whole["timestamp"][data.draw(st.integers(0, len(bars) - 1))]
    found = storage.panel(symbol, features, "minute", start, targets=TARGETS)
    expected = whole[whole["timestamp"] >= start].reset_index(drop=True)
    scale = float(np.abs(bars.close).max())
    for name in found.columns[2:]:
        if expected[name].dtype.kind == "M":
            pd.testing.assert_series_equal(found[name], expected[name])
        else:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-9 * scale, err_msg=name)
