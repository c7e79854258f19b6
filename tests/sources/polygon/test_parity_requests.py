"""Random requests to Lumibot's Polygon source and to ours, in random order: every answer is the same.

Order matters to Lumibot: an asset has one series at a time, minutes replace hours and days and then answer for them,
and a request that looks back further than what is there replaces it again.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lumibot.backtesting import PolygonDataBacktesting as LumibotPolygonDataBacktesting
from lumibot.entities import Asset, Bars
from pyarrow.lib import ArrowNotImplementedError

from parity.ground import silence
from parity.harness import NO_LENGTHS, Answer, Request, ask, assert_enough_real, assert_same_answer, random_requests
from sources.polygon.market import DOLLAR, MARKETS, PolygonMarket, autumn, spring
from sources.polygon.server import PolygonServer
from sources.polygon.sides import Side, both_sides

KINDS = {
    "history": 60,
    "last_price": 15,
    "quote": 8,
    "between": 4,
    "between_dates": 6,
    "data_bars": 4,
    "snapshot": 2,
    "dividend": 1,
    "chains": 2,
}
# Polygon's source knows larger bars of minutes, hours and days, and refuses or ignores some of these.
STEPS = ("minute", "minute", "5min", "15 minutes", "7min", "hour", "hour", "2hour", "day", "day", "2day")
LENGTHS = (1, 2, 3, 5, 14, 20, 60, 120)


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[str], PolygonServer]]:
    """Serve a market by name; it stays served for the other tests of this module."""
    running: dict[str, PolygonServer] = {}
    with ExitStack() as servers:

        def serve(name: str) -> PolygonServer:
            if name not in running:
                running[name] = servers.enter_context(MARKETS[name]().served())
            return running[name]

        yield serve


def requests(market: PolygonMarket, seed: int, count: int, **settings: Any) -> list[Request]:
    """Return random requests; there are many options, so everything else is drawn thrice as often.

    Chains are requested for the one stock that has options on every day, since Lumibot cannot keep a chain without any.
    """
    clock = pd.date_range(market.start, market.end, freq="min", inclusive="left")
    others = [pair for pair in market.assets if pair[0].asset_type != "option"]
    pairs = settings.pop("pairs", [*market.assets, *others, *others])
    settings = {"steps": STEPS, "kinds": KINDS, "lengths": LENGTHS, **settings}
    drawn = random_requests(random.Random(seed), pairs, clock, count, **settings)
    optionable = Asset("SPY") if market.contracts else None
    return [
        replace(request, asset=optionable) if request.kind == "chains" else request
        for request in drawn
        if request.kind != "chains" or optionable
    ]


def answers(side: Side, server: PolygonServer, market: PolygonMarket, asked: list[Request]) -> list[Answer]:
    with side.entered(server), silence():
        source = side.source(market.start, market.end)
        return [ask(source, request) for request in asked]


def assert_same_answers(asked: list[Request], expected: list[Answer], actual: list[Answer]) -> None:
    for number, (request, left, right) in enumerate(zip(asked, expected, actual, strict=True)):
        try:
            assert_same_answer(request, left, right)
        except AssertionError as error:
            raise AssertionError(f"request {number}: {error}") from None


def compare(
    folder: Path, server: PolygonServer, market: PolygonMarket, asked: list[Request], *, real: float = 0.5
) -> None:
    """Compare the answers of both sides. At least the share `real` of them must hold something to compare."""
    theirs, ours = both_sides(folder)
    expected = answers(theirs, server, market, asked)
    assert_enough_real(expected, real)
    assert_same_answers(asked, expected, answers(ours, server, market, asked))


# -- the harness itself ---------------------------------------------------------------------------------------


def test_two_runs_of_lumibots_class_give_the_same_answers_until_a_bar_differs(tmp_path: Path) -> None:
    market = autumn()
    stock = [pair for pair in market.assets if pair[0] == Asset("SPY")]
    asked = requests(market, 1, 20, pairs=stock)
    with market.served() as server:
        first, second, third = (Side(LumibotPolygonDataBacktesting, tmp_path / name) for name in "abc")
        expected = answers(first, server, market, asked)
        assert_enough_real(expected, 0.9)
        assert_same_answers(asked, expected, answers(second, server, market, asked))

        frame = market.minutes("SPY").copy()
        frames = [answer.value.df for answer in expected if isinstance(answer.value, Bars)]
        one_bar = next(df.index[-1] for df in frames if df.index[-1] in frame.index)
        frame.loc[one_bar, "close"] += 0.01
        server.serve("SPY", "minute", frame)
        with pytest.raises(AssertionError, match="request"):
            assert_same_answers(asked, expected, answers(third, server, market, asked))


# -- both sides -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["autumn", pytest.param("spring", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("seed", "count"), [(1, 28), *(pytest.param(seed, 70, marks=pytest.mark.long) for seed in (1, 2))]
)
def test_random_requests_get_the_same_answers(name: str, seed: int, count: int, tmp_path: Path, serve: Any) -> None:
    market = MARKETS[name]()
    compare(tmp_path, serve(name), market, requests(market, seed, count))


@pytest.mark.parametrize(
    ("seed", "count"), [(21, 18), *(pytest.param(seed, 40, marks=pytest.mark.long) for seed in (21, 22))]
)
def test_what_the_store_holds_already_changes_no_answer(seed: int, count: int, tmp_path: Path, serve: Any) -> None:
    """The results are those of Lumibot's first run on an empty cache, even if other backtests have filled the store."""
    market, server = autumn(), serve("autumn")
    theirs, ours = both_sides(tmp_path)
    another = replace(market, start=market.start + dt.timedelta(days=4), end=market.end - dt.timedelta(days=9))
    answers(ours, server, another, requests(another, seed + 10, count))
    asked = requests(market, seed, count)
    expected = answers(theirs, server, market, asked)
    assert_enough_real(expected, 0.5)
    assert_same_answers(asked, expected, answers(ours, server, market, asked))
    assert_same_answers(asked, expected, answers(ours, server, market, asked))


@pytest.mark.parametrize(
    "name",
    [
        "real_split",
        pytest.param("real_half_day", marks=pytest.mark.long),
        pytest.param("real_crypto", marks=pytest.mark.long),
        pytest.param("real_forex", marks=pytest.mark.long),
    ],
)
def test_random_requests_of_real_bars_get_the_same_answers(name: str, tmp_path: Path, serve: Any) -> None:
    market = MARKETS[name]()
    compare(tmp_path, serve(name), market, requests(market, 4, 40))


@pytest.mark.parametrize(
    "symbol",
    [
        "SPY",
        "THIN",
        pytest.param("IPOX", marks=pytest.mark.long),
        pytest.param("SPLT", marks=pytest.mark.long),
        pytest.param("AUCT", marks=pytest.mark.long),
    ],
)
def test_one_asset_requested_at_random_gets_the_same_answers(symbol: str, tmp_path: Path, serve: Any) -> None:
    market = autumn()
    pairs = [pair for pair in market.assets if pair[0].symbol == symbol and pair[0].asset_type == "stock"]
    compare(tmp_path, serve("autumn"), market, requests(market, 5, 40, pairs=pairs))


def test_lengths_of_zero_and_below_get_the_same_answers(tmp_path: Path, serve: Any) -> None:
    market = autumn()
    pairs = [pair for pair in market.assets if pair[0].symbol in ("SPY", "THIN") and pair[0].asset_type == "stock"]
    settings = {"pairs": pairs, "lengths": NO_LENGTHS, "kinds": {"history": 8, "data_bars": 1}}
    compare(tmp_path, serve("autumn"), market, requests(market, 9, 30, **settings), real=0.1)


STEP_ORDERS = [
    ("day", "minute", "day"),
    ("day", "hour", "day", "minute", "hour", "day"),
    ("hour", "day", "minute"),
    ("minute", "day", "hour"),
    ("minute", "5min", "2day", "hour", "30min"),
]


@pytest.mark.parametrize(
    ("symbol", "steps"),
    [
        *(("THIN", steps) for steps in STEP_ORDERS),
        *(pytest.param("SPLT", steps, marks=pytest.mark.long) for steps in STEP_ORDERS),
        *(pytest.param("AUCT", steps, marks=pytest.mark.long) for steps in STEP_ORDERS),
    ],
)
def test_the_order_of_timesteps_decides_the_same_way(
    symbol: str, steps: tuple[str, ...], tmp_path: Path, serve: Any
) -> None:
    """Minutes take the place of hours and days, and a longer look-back that of a shorter one."""
    market = autumn()
    moments = [market.start + dt.timedelta(days=days, hours=11) for days in (0, 9, 20)]
    asked = [
        Request(when=when, kind=kind, asset=Asset(symbol), length=length, timestep=step, timeshift=0)
        for when in moments
        for step in steps
        for length in (2, 12)
        for kind in ("history", "last_price", "quote")
    ]
    compare(tmp_path, serve("autumn"), market, asked)


@pytest.mark.parametrize("count", [20, pytest.param(35, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "kind", ["option", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("crypto", "forex")), "index"]
)
def test_all_assets_of_a_kind_get_the_same_answers(kind: str, count: int, tmp_path: Path, serve: Any) -> None:
    market = spring()
    pairs = [pair for pair in market.assets if pair[0].asset_type == kind]
    real = 0.15 if kind == "option" else 0.5  # most options are not traded on most days
    compare(tmp_path, serve("spring"), market, requests(market, 6, count, pairs=pairs), real=real)


@pytest.mark.parametrize("what", ["never traded", "no such contract"])
def test_an_option_without_bars_gets_the_same_answers(what: str, tmp_path: Path, serve: Any) -> None:
    """What Lumibot has of it are the rows of empty days."""
    market = autumn()
    expiration, strike = {
        "never traded": (dt.date(2023, 11, 30), 140.0),
        "no such contract": (dt.date(2023, 11, 29), 3.0),
    }[what]
    option = Asset("SPY", "option", expiration=expiration, strike=strike, right="CALL")
    kinds = {"history": 4, "between": 4, "between_dates": 4, "data_bars": 1, "last_price": 1, "quote": 1}
    asked = requests(market, 8, 40, pairs=[(option, None)], kinds=kinds, steps=("minute", "day", "hour"))
    compare(tmp_path, serve("autumn"), market, asked, real=0.15)


@pytest.mark.parametrize("hours", [(-200, -100), (2, 4)], ids=["only such rows", "bars after such rows"])
def test_bars_between_dates_beside_rows_of_empty_days(hours: tuple[int, int], tmp_path: Path, serve: Any) -> None:
    """Such rows exist once a range is requested again. Lumibot fills all columns forwards, `missing` as well."""
    market, newcomer = autumn(), Asset("IPOX")
    first = market.minutes("IPOX").index[0]
    start, end = ((first + dt.timedelta(hours=hour)).to_pydatetime() for hour in hours)
    asked = [Request(when=end, kind="between_dates", asset=newcomer, start=start, end=end)] * 2
    compare(tmp_path, serve("autumn"), market, asked)


@pytest.mark.long
def test_a_pair_with_and_without_its_quote_gets_the_same_answers(tmp_path: Path, serve: Any) -> None:
    market = autumn()
    bitcoin, euro = Asset("BTC", "crypto"), Asset("EUR", "forex")
    pairs = [(bitcoin, None), (bitcoin, DOLLAR), (bitcoin, euro), (euro, None), (Asset("SPY"), DOLLAR)]
    compare(tmp_path, serve("autumn"), market, requests(market, 7, 24, pairs=pairs), real=0.2)


@pytest.mark.long
def test_an_asset_of_each_type_with_and_without_a_quote_gets_the_same_answers(tmp_path: Path, serve: Any) -> None:
    market = autumn()
    one_of_each = {asset.asset_type: asset for asset, _ in reversed(market.assets)}
    assert {"stock", "option", "crypto", "forex", "index"} <= set(one_of_each)
    pairs = [(asset, quote) for asset in one_of_each.values() for quote in (None, DOLLAR)]
    compare(tmp_path, serve("autumn"), market, requests(market, 8, 30, pairs=pairs), real=0.15)


@pytest.mark.parametrize("days", [None, "30", "8"])
def test_chains_are_the_same(days: str | None, tmp_path: Path, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over more than the fourteen days for which a chain is reused, forwards and back again."""
    market = autumn()
    if days is None:
        monkeypatch.delenv("LUMIBOT_OPTION_CHAIN_MAX_DAYS", raising=False)
    else:
        monkeypatch.setenv("LUMIBOT_OPTION_CHAIN_MAX_DAYS", days)
    moments = [market.start + dt.timedelta(days=day) for day in (3, 4, 10, 17, 18, 2, 25)]
    asked = [Request(when=when, kind="chains", asset=Asset("SPY")) for when in moments]
    compare(tmp_path, serve("autumn"), market, asked)


def test_without_options_there_is_an_empty_chain_where_lumibot_fails(tmp_path: Path, serve: Any) -> None:
    """Lumibot writes a chain to Parquet before it gives it out, and Parquet has no place for an empty one."""
    market, server = autumn(), serve("autumn")
    asked = [Request(when=market.start, kind="chains", asset=Asset("AUCT"))]
    theirs, ours = (answers(side, server, market, asked)[0] for side in both_sides(tmp_path))
    assert theirs.error is ArrowNotImplementedError
    assert ours.value == {"Multiplier": None, "Exchange": None, "Chains": {"CALL": {}, "PUT": {}}}
