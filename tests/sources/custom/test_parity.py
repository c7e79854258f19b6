"""`ProviderDataBacktesting` against Lumibot's own `PandasData`, extended to load the same frames on demand."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lumibot.entities import Asset

from lumibot_duckdb.backtesting import ProviderDataBacktesting
from parity.backtests import assert_same_result, run
from parity.ground import silence
from parity.harness import DAY_STEPS, HOUR_STEPS, KINDS, MINUTE_STEPS, ask, assert_same_answer, random_requests
from parity.series import AROUND_THE_CLOCK, BUSINESS_DAYS, NEW_YORK, SESSIONS, walk
from parity.strategies import Brackets, Crossing, ManyHorizons
from sources.custom.providers import FramesProvider, lumibot_class

MINUTES = {("AAA", "minute"): walk(1, SESSIONS), ("BBB", "minute"): walk(2, SESSIONS, missing=0.3)}
DAYS = {("AAA", "day"): walk(3, BUSINESS_DAYS), ("BBB", "day"): walk(4, BUSINESS_DAYS, missing=0.1)}
HOURS = {
    ("AAA", "hour"): walk(5, pd.date_range("2024-02-20", "2024-03-20", freq="1h", tz=NEW_YORK), missing=0.3),
    ("BBB", "hour"): walk(6, pd.date_range("2024-02-20", "2024-03-20", freq="1h", tz=NEW_YORK)),
}
CRYPTO = {("BTC/USD", "minute"): walk(7, AROUND_THE_CLOCK, missing=0.02, volume="float64")}
STOCKS = [Asset("AAA"), Asset("BBB"), Asset("NOTHERE")]
CASES: dict[str, tuple[Any, Any, Any, Any, Any]] = {
    "minutes": (MINUTES, STOCKS, MINUTE_STEPS, "2024-03-11 10:00", "2024-03-13 15:00"),
    "days": (DAYS, STOCKS, DAY_STEPS, "2023-06-01", "2024-03-01"),
    "hours": (HOURS, STOCKS, HOUR_STEPS, "2024-03-05", "2024-03-15"),
    "minutes and days": ({**MINUTES, **DAYS}, STOCKS, MINUTE_STEPS, "2024-03-11 10:00", "2024-03-13 15:00"),
    "crypto": (CRYPTO, [Asset("BTC", "crypto")], MINUTE_STEPS, "2024-03-11 10:00", "2024-03-13 15:00"),
}
MORE = ("hours", "minutes and days")
LONG = pytest.mark.long
PIECE = 200
"""Days in a response: each is a transaction, and a request for 1,500 days reaches back for six years."""
ON_DEMAND = {kind: often for kind, often in KINDS.items() if kind not in ("chains", "between", "data_bars", "snapshot")}


def both(name: str, folder: Path, **settings: Any) -> tuple[Any, Any, FramesProvider]:
    frames, *_, start, end = CASES[name]
    provider = FramesProvider(frames, days_a_piece=PIECE)
    span = {
        "datetime_start": pd.Timestamp(start, tz=NEW_YORK).to_pydatetime(),
        "datetime_end": pd.Timestamp(end, tz=NEW_YORK).to_pydatetime(),
    }
    theirs = lumibot_class(frames)(**span, show_progress_bar=False)
    if "minute" not in provider.timeframes:
        theirs._timestep = provider.timeframes[0]
    ours = ProviderDataBacktesting.using(folder / "store.duckdb", provider=provider, **settings)(
        **span, show_progress_bar=False
    )
    theirs.load_data()
    ours.load_data()
    return theirs, ours, provider


@pytest.mark.parametrize("name", ["minutes", "days", "crypto", *(pytest.param(name, marks=LONG) for name in MORE)])
@pytest.mark.parametrize(("seed", "count"), [(1, 70), pytest.param(2, 120, marks=pytest.mark.long)])
def test_random_requests_get_the_same_answers(name: str, seed: int, count: int, tmp_path: Path) -> None:
    theirs, ours, _ = both(name, tmp_path)
    _, assets, steps, start, end = CASES[name]
    clock = pd.date_range(start, end, freq="1min", tz=NEW_YORK)
    asked = [(asset, quote) for asset in assets for quote in (None, Asset("USD", "forex"))]
    with silence():
        for request in random_requests(random.Random(seed), asked, clock, count, steps, kinds=ON_DEMAND):
            assert_same_answer(request, ask(theirs, request), ask(ours, request))


@pytest.mark.parametrize(
    ("name", "strategy", "parameters"),
    [
        ("minutes", Brackets, {"sleeptime": "3M"}),
        ("days", Crossing, {"sleeptime": "1D", "step": "day"}),
        pytest.param(
            "minutes",
            ManyHorizons,
            {"sleeptime": "23M", "requests": [(60, "minute"), (60, "5min"), (3, "day")]},
            marks=LONG,
        ),
        ("minutes and days", Crossing, {"sleeptime": "30M", "step": "day", "length": 6}),
        pytest.param("crypto", Crossing, {"sleeptime": "10M", "step": "15 minutes", "market": "24/7"}, marks=LONG),
    ],
)
def test_whole_backtests_are_the_same(name: str, strategy: Any, parameters: dict[str, Any], tmp_path: Path) -> None:
    frames, assets, _, start, end = CASES[name]
    parameters = {**parameters, "assets": [asset for asset in assets if asset.symbol != "NOTHERE"]}
    theirs_class = lumibot_class(frames)
    theirs = run(strategy, theirs_class, tmp_path / "theirs", start, end, parameters)
    ours_class = ProviderDataBacktesting.using(
        tmp_path / "store.duckdb", provider=FramesProvider(frames, days_a_piece=PIECE)
    )
    ours = run(strategy, ours_class, tmp_path / "ours", start, end, parameters)
    assert_same_result(theirs, ours, fills=2)
    provider = FramesProvider(frames)
    again_class = ProviderDataBacktesting.using(tmp_path / "store.duckdb", provider=provider)
    again = run(strategy, again_class, tmp_path / "again", start, end, parameters)
    assert_same_result(theirs, again, fills=2)
    assert provider.requests == []  # all bars are stored
