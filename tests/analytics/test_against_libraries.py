"""Every indicator, in both layers, on real bars: it compares with other libraries as docs/indicators.md states."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analytics.library_values import LIBRARIES, PANDAS_TA, TA_LIB, Comparison, Kind, ta, talib
from analytics.market import DATA, REQUESTS, bars_of, stored_frames
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.analytics.bars import FloatArray
from lumibot_duckdb.analytics.catalogue import CATALOGUE
from storage.macros.references import REFERENCES

PAGE = (Path(__file__).parents[2] / "docs" / "indicators.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) \|([^|]*)\|$", re.MULTILINE)
SERIES = {f"{symbol}-{timeframe}": (symbol, timeframe, frame) for symbol, timeframe, frame in stored_frames()}
SLICE = "IBM-day"
LAYERS = ("Python", "SQL")
Values = Mapping[str, list[Any]]
"""The outputs of each indicator."""

needs_real_bars = pytest.mark.skipif(not DATA.is_dir(), reason="there are no real bars here")


def test_the_page_states_how_each_indicator_compares() -> None:
    section = PAGE.partition("## The libraries compared")[2].partition("\n## ")[0]
    stated = {name: kinds for name, *kinds in ROW.findall(section)}
    assert list(stated) == [*TA_LIB] == [*PANDAS_TA]
    assert set(stated) == set(CATALOGUE)
    for name, (ta_lib, pandas_ta, difference) in stated.items():
        comparisons = TA_LIB[name], PANDAS_TA[name]
        assert [ta_lib, pandas_ta] == [each.kind.value for each in comparisons], name
        is_plain = all(each.kind in (Kind.EQUAL, Kind.ABSENT) and each.apart is None for each in comparisons)
        assert difference.strip() or is_plain, f"{name}: what is the difference?"


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBDataStorage]:
    with DuckDBDataStorage(tmp_path_factory.mktemp("real")) as made:
        yield made


@needs_real_bars
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    "series", [pytest.param(name, marks=() if name == SLICE else pytest.mark.long) for name in SERIES]
)
def test_real_bars(storage: DuckDBDataStorage, series: str, layer: str) -> None:
    symbol, timeframe, frame = SERIES[series]
    storage.store_ohlcv_data(symbol, frame, "real", timeframe)
    names = [name for name, each in CATALOGUE.items() if "volume" not in each.inputs or "volume" in frame]
    values = (by_python if layer == "Python" else by_sql)(storage, symbol, timeframe, names)
    assert set(values) == {name for name in names if layer in CATALOGUE[name].layers}
    wrong = []
    for name, ours in values.items():
        for library, comparisons in LIBRARIES.items():
            wrong += [f"{library} {name}: {text}" for text in disagreements(name, comparisons[name], ours, frame)]
        if TA_LIB[name].kind is Kind.ABSENT:
            formula = REFERENCES[name](frame)
            wrong += [f"formula of {name}: {text}" for text in unequal(ours, [*formula.values()], frame)]
    assert wrong == []


@needs_real_bars
def test_the_formulas_of_what_differs() -> None:
    """The libraries compute what the page says of them."""
    _, _, frame = SERIES[SLICE]
    bars = bars_of(frame)
    lower, middle, upper = TA_LIB["keltner"].values(frame)
    reach = 2 * talib.ATR(bars.high, bars.low, bars.close, 20)
    typical = np.append(np.nan, talib.EMA(bars.typical[1:], 20))
    assert unequal([lower, middle, upper], [typical - reach, typical, typical + reach], frame) == []
    _, middle, upper = PANDAS_TA["keltner"].values(frame)
    reach = 2 * ta.ema(ta.true_range(frame.high, frame.low, frame.close, talib=False), 20, talib=False)
    assert unequal([middle, upper], [talib.EMA(bars.close, 20), middle + reach], frame) == []
    _, average = TA_LIB["stoch_rsi"].values(frame)
    assert unequal([*PANDAS_TA["stoch_rsi"].values(frame)], [average, talib.SMA(average, 3)], frame) == []
    stops, turns = TA_LIB["psar"].values(frame)[0], PANDAS_TA["psar"].values(frame)[0].to_numpy()
    place = int(np.flatnonzero(np.abs(stops - turns)[10:] > 1e-9)[0]) + 10
    assert turns[place] in (bars.high[place], bars.low[place])  # a touch


def by_python(storage: DuckDBDataStorage, symbol: str, timeframe: str, names: list[str]) -> Values:
    found = storage.indicators(symbol, names, timeframe)
    return {name: [found[column].to_numpy() for column in REQUESTS[name].columns] for name in names}


def by_sql(storage: DuckDBDataStorage, symbol: str, timeframe: str, names: list[str]) -> Values:
    values = {}
    for name in names:
        if "SQL" in CATALOGUE[name].layers:
            query = f'FROM {name}(?, timeframe := ?) ORDER BY "timestamp"'
            found = storage.sql(query, [symbol, timeframe]).to_pandas()
            values[name] = [found[output].to_numpy(float) for output in CATALOGUE[name].outputs]
    return values


def disagreements(name: str, comparison: Comparison, ours: list[Any], frame: pd.DataFrame) -> list[str]:
    """Return in what values are not as the comparison states."""
    if comparison.kind is Kind.ABSENT:
        return []
    with np.errstate(all="ignore"):
        theirs = [*comparison.values(frame)]
    apart = np.zeros(len(frame), bool) if comparison.apart is None else comparison.apart(bars_of(frame))
    found = []
    if comparison.kind in (Kind.DIFFERENT, Kind.IN_THE_END) and not unequal(ours, theirs, frame):
        found.append("the values are equal")
    if comparison.converted is not None:
        found += unequal(ours, comparison.converted(frame), frame, apart)
    if comparison.kind is Kind.EQUAL:
        found += unequal(ours, theirs, frame, apart)
    if comparison.kind is Kind.EARLIER:
        starts = [first(ours[0]), first(theirs[0])]
        if starts[0] <= starts[1]:
            found.append(f"the first values are at {starts}")
        found += unequal(ours, theirs, frame, apart | (np.arange(len(frame)) < starts[0]))
    if comparison.kind is Kind.IN_THE_END:
        begun = first(ours[-1]) + REQUESTS[name].warm_up.bars
        found += unequal(ours, theirs, frame, apart | (np.arange(len(frame)) < begun))
    if apart.any() and comparison.kind is not Kind.DIFFERENT and not unequal(ours, theirs, frame, ~apart):
        found.append("bars that are left out are equal")
    return found


def unequal(ours: list[Any], theirs: list[Any], frame: pd.DataFrame, apart: Any = False) -> list[str]:
    """Return where values differ by more than 1e-9 of them, or of the largest one, since oscillators pass zero."""
    found = []
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        a, b = finite(one), finite(other)
        scale = np.nanmax(np.abs(a), initial=0.0)
        same = (np.abs(a - b) <= 1e-9 * (np.abs(b) + scale)) | (np.isnan(a) & np.isnan(b)) | apart
        if not same.all():
            place = int(np.flatnonzero(~same)[0])
            found.append(
                f"output {number}: {(~same).sum()} of {len(frame)} differ, bar {place}: {a[place]}, {b[place]}"
            )
    return found


def first(values: Any) -> int:
    """Return the place of the first value."""
    return int(np.flatnonzero(np.isfinite(finite(values)))[0])


def finite(values: Any) -> FloatArray:
    """Return numbers, with NaN where they are not finite."""
    array = np.asarray(values, float)
    return np.where(np.isfinite(array), array, np.nan)
