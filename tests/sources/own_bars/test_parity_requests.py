"""Random requests to Lumibot's pandas source and to ours on the same bars: every answer is the same.

Our bars are in the store, or in frames that are passed as Lumibot's are.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lumibot.entities import Asset

from lumibot_duckdb.backtesting import WindowedData
from parity.ground import silence
from parity.harness import (
    DAY_STEPS,
    HOUR_STEPS,
    MINUTE_STEPS,
    NO_LENGTHS,
    ask,
    assert_enough_real,
    assert_same_answer,
    assert_same_frame,
    random_requests,
)
from parity.series import DOLLAR, INVENTED, REAL, Market
from parity.sides import all_sources, store

STEPS = {"minute": MINUTE_STEPS, "hour": HOUR_STEPS, "day": DAY_STEPS}
MARKETS = {**INVENTED, **{f"real_{name}": market for name, market in REAL.items()}}


def sources(market: Market, folder: Path, *span: pd.Timestamp, **settings: Any) -> tuple[Any, list[Any]]:
    """Return Lumibot's source, and ours: on stored bars and on frames that are passed."""
    return all_sources(market, [store(market, folder), None], *span, **settings)


def compare(market: Market, theirs, ours, seed: int, count: int, *, real: float = 0.3, **settings: Any) -> None:
    """Compare the answers to random requests. At least the share `real` of them must hold something to compare."""
    assets = [(asset, quote) for asset, known in market.frames for quote in (None, known or DOLLAR)]
    assets.append((Asset("NOTHERE"), None))
    steps = STEPS[market.timestep]
    expected = []
    with silence():
        for request in random_requests(random.Random(seed), assets, theirs._date_index, count, steps, **settings):
            expected.append(ask(theirs, request))
            for source in ours:
                assert_same_answer(request, expected[-1], ask(source, request))
    assert_enough_real(expected, real)


def assert_same_data(theirs: Any, ours: Any) -> None:
    """Compare the index of time, the trading days and all series with their indexes and columns."""
    pd.testing.assert_index_equal(theirs._date_index, ours._date_index, exact=True)
    pd.testing.assert_frame_equal(theirs.get_trading_days_pandas(), ours.get_trading_days_pandas())
    assert list(theirs._data_store) == list(ours._data_store)
    for key, expected in theirs._data_store.items():
        actual = ours._data_store[key]
        assert isinstance(actual, WindowedData)
        assert_same_frame(expected.df, actual.whole_frame(), str(key))
        for field in ("datetime_start", "datetime_end", "date_start", "date_end", "_data_len", "timestep", "symbol"):
            assert getattr(expected, field) == getattr(actual, field), field
        pd.testing.assert_series_equal(expected.iter_index, actual.iter_index, check_names=False, check_freq=False)
        assert set(expected.datalines) == set(actual.datalines)
        for column in ("close", "datetime"):
            assert (pd.Series(getattr(expected, column)).dropna() == pd.Series(getattr(actual, column)).dropna()).all()
        assert_same_frame(expected.df, actual.df, str(key))


@pytest.mark.parametrize("name", MARKETS)
@pytest.mark.parametrize(
    ("seed", "count"), [(1, 20), *(pytest.param(seed, 100, marks=pytest.mark.long) for seed in (1, 2))]
)
def test_random_requests_and_whole_frames_are_the_same(name: str, seed: int, count: int, tmp_path: Path) -> None:
    market = MARKETS[name]()
    theirs, ours = sources(market, tmp_path)
    compare(market, theirs, ours, seed, count)
    for source in ours:
        assert_same_data(theirs, source)


@pytest.mark.parametrize("name", ["dense", "holes", "days"])
def test_lengths_of_zero_and_below_get_the_same_answers(name: str, tmp_path: Path) -> None:
    market = MARKETS[name]()
    theirs, ours = sources(market, tmp_path)
    compare(market, theirs, ours, 5, 80, real=0.2, lengths=NO_LENGTHS, kinds={"history": 4, "data_bars": 1})


@pytest.mark.parametrize("name", ["dense", "quotes", "days"])
def test_a_backtest_inside_of_the_data_sees_what_is_before_and_nothing_after(name: str, tmp_path: Path) -> None:
    market = MARKETS[name]()
    index = next(iter(market.frames.values())).index
    start, end = index[len(index) // 4], index[-len(index) // 4]
    theirs, ours = sources(market, tmp_path, start, end)
    for source in ours:
        pd.testing.assert_index_equal(theirs._date_index, source._date_index, exact=True)
    compare(market, theirs, ours, 3, 60)


@pytest.mark.parametrize("name", ["dense", "holes", "crypto"])
def test_a_budget_far_too_small_changes_no_answer(name: str, tmp_path: Path) -> None:
    market = MARKETS[name]()
    theirs, ours = sources(market, tmp_path, max_memory=100_000)
    compare(market, theirs, ours, 4, 100)
    for source in ours:
        assert source.budget.statistics.evictions > 0


def test_minutes_and_days_side_by_side_merge_as_in_lumibot(tmp_path: Path) -> None:
    from lumibot.backtesting import PandasDataBacktesting as Theirs
    from lumibot.entities import Data

    from lumibot_duckdb import DuckDBDataStorage
    from lumibot_duckdb.backtesting import PandasDataBacktesting as Ours

    minutes, days = INVENTED["dense"](), INVENTED["days"]()
    storage = DuckDBDataStorage(tmp_path / "mixed.duckdb")
    (asset, quote), frame = next(iter(minutes.frames.items()))
    storage.store_ohlcv_data((asset, quote), frame, "parity", "minute")
    daily_frame = next(iter(days.frames.values()))
    span = {"datetime_start": minutes.start.to_pydatetime(), "datetime_end": minutes.end.to_pydatetime()}

    def daily() -> Data:
        return Data(Asset("DAILY"), daily_frame.copy(), timestep="day", quote=DOLLAR)

    theirs = Theirs(
        **span,
        pandas_data=[Data(asset, frame.copy(), timestep="minute", quote=quote), daily()],
        show_progress_bar=False,
    )
    # A backtest can combine stored series with frames that the script passes.
    ours = Ours.using(storage, source="parity")(**span, pandas_data=[daily()], show_progress_bar=False)
    ours.pandas_data.move_to_end((Asset("DAILY"), DOLLAR))
    theirs.load_data()
    ours.load_data()
    pd.testing.assert_index_equal(theirs._date_index, ours._date_index, exact=True)
    requests = random_requests(
        random.Random(5), [(asset, quote), (Asset("DAILY"), DOLLAR)], theirs._date_index, 200, MINUTE_STEPS
    )
    expected = []
    with silence():
        for request in requests:
            expected.append(ask(theirs, request))
            assert_same_answer(request, expected[-1], ask(ours, request))
    assert_enough_real(expected, 0.5)
