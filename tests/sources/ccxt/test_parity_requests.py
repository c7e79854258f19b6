"""Random requests to Lumibot's CCXT source and to ours: every answer is the same.

Lumibot begins on an empty cache. The result of a download depends on earlier requests (ranges between dates are
downloaded together with those that the file lacks), so requests come in random order, too.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lumibot.backtesting import CcxtBacktesting as LumibotCcxtBacktesting
from lumibot.entities import Asset, Bars

from lumibot_duckdb.backtesting import CcxtBacktesting
from lumibot_duckdb.sources.shared.errors import UnknownMarketError
from parity.ground import silence
from parity.harness import Answer, Request, ask, assert_enough_real, assert_same_answer, assert_same_frame
from sources.ccxt.binance_server import BinanceServer
from sources.ccxt.market import DOLLAR, MARKETS, CcxtMarket, moment, spring
from sources.ccxt.sides import Side, both_sides

STEPS = ("minute", "minute", "minute", "hour", "hour", "day", "day", "1D", "1Min", "1 hour", "5min", "week")
LENGTHS = (0, 1, 1, 2, 5, 14, 60, 60, 299, 3_000, None, -4)
# As the broker shifts (into the future, to see the candle that is still open), and as a strategy may.
SHIFTS = (
    *(None, None, None, 0, 1),
    *(dt.timedelta(minutes=-1), dt.timedelta(hours=-1), dt.timedelta(days=-1), dt.timedelta(minutes=7)),
)


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[str], BinanceServer]]:
    """Serve a market by name; it stays served for the other tests of this module."""
    running: dict[str, BinanceServer] = {}
    with ExitStack() as servers:

        def serve(name: str) -> BinanceServer:
            if name not in running:
                running[name] = servers.enter_context(MARKETS[name]().server())
            return running[name]

        yield serve


def requests(market: CcxtMarket, seed: int, count: int, coins: tuple[str, ...] = ()) -> list[Request]:
    """Return random requests of a clock that walks and jumps, and is seldom on a minute."""
    rng = random.Random(seed)
    pairs = [pair for pair in market.assets if not coins or pair[0].symbol in coins]
    forms = [form for base, quote in pairs for form in _forms(base, quote)]
    when = market.start
    asked = []
    for _ in range(count):
        when += dt.timedelta(seconds=rng.choice((0, 0, 60, 60, 3600, 77, 40_000)))
        if when > market.end or rng.random() < 0.15:
            when = market.start + rng.random() * (market.end - market.start)
        asset, quote = rng.choice(forms)
        span = dt.timedelta(minutes=rng.choice((0, 45, 600, 5_000)), days=rng.choice((0, 0, 3, 9)))
        request = Request(
            when=when,
            kind=rng.choices(("history", "last_price", "quote", "between_dates"), (60, 15, 5, 8))[0],
            asset=asset,
            quote=quote,
            length=rng.choice(LENGTHS),  # type: ignore[arg-type]
            timestep=rng.choice(STEPS),
            timeshift=rng.choice(SHIFTS),
            start=when - span,
            end=when + dt.timedelta(minutes=rng.choice((-1, 0, 1, 300))),
        )
        asked.append(request)
    return asked


def _forms(base: Asset, quote: Asset) -> list[tuple[Any, Any]]:
    """Return the ways in which a pair may be named; the last of them Lumibot refuses."""
    pair = Asset(f"{base.symbol}-{quote.symbol}", "crypto")
    text = f"{base.symbol}/{quote.symbol}"
    return [(base, quote)] * 6 + [((base, quote), None)] * 6 + [(pair, quote), (pair, None), (text, None), (base, None)]


def answers(side: Side, server: BinanceServer, market: CcxtMarket, asked: list[Request], **settings: Any) -> list[Any]:
    with side.entered(server), silence():
        source = side.source(market.start, market.end, **settings)
        return [_as_lumibot_says(ask(source, request)) for request in asked]


def _as_lumibot_says(answer: Answer) -> Answer:
    """The error for an unknown market is a ValueError, which is what Lumibot raises."""
    return replace(answer, error=ValueError) if answer.error is UnknownMarketError else answer


def assert_same_answers(asked: list[Request], expected: list[Answer], actual: list[Answer]) -> None:
    for number, (request, left, right) in enumerate(zip(asked, expected, actual, strict=True)):
        try:
            assert_same_answer(request, left, right)
        except AssertionError as error:
            raise AssertionError(f"request {number}: {error}") from None


def compare(
    folder: Path,
    server: BinanceServer,
    market: CcxtMarket,
    asked: list[Request],
    *,
    real: float = 0.5,
    **settings: Any,
) -> list[Answer]:
    """Compare the answers of both sides. At least the share `real` of them must hold something to compare."""
    theirs, ours = (answers(side, server, market, asked, **settings) for side in both_sides(folder))
    assert_enough_real(theirs, real)
    assert_same_answers(asked, theirs, ours)
    return theirs


# -- the harness itself ---------------------------------------------------------------------------------------


def test_two_runs_of_lumibots_class_give_the_same_answers_until_a_candle_differs(tmp_path: Path, serve: Any) -> None:
    market = spring()
    market = replace(market, start=moment("2023-03-13 02:00"), minutes={"BTC": market.minutes["BTC"].copy()})
    asked = requests(market, 1, 12)
    first, second, third = (Side(LumibotCcxtBacktesting, tmp_path / name) for name in "abc")
    expected = answers(first, serve("spring"), market, asked)
    assert sum(isinstance(answer.value, Bars) for answer in expected) > 3
    assert_same_answers(asked, expected, answers(second, serve("spring"), market, asked))

    frames = [answer.value.df for answer in expected if isinstance(answer.value, Bars) and len(answer.value.df)]
    minutes = [frame for frame in frames if frame.index[-1].minute]
    market.minutes["BTC"].loc[minutes[0].index[-1], "close"] += 0.01
    with market.server() as other, pytest.raises(AssertionError, match="request"):
        assert_same_answers(asked, expected, answers(third, other, market, asked))


# -- both sides -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [18, pytest.param(45, marks=pytest.mark.long)])
def test_random_requests_get_the_same_answers(count: int, tmp_path: Path, serve: Any) -> None:
    market = spring()
    compare(tmp_path, serve("spring"), market, requests(market, 1, count))


@pytest.mark.parametrize(
    "coin",
    [
        "GAPS",
        "NULL",
        *(pytest.param(coin, marks=pytest.mark.long) for coin in ("BTC", "LATE", "TINY", "IDLE", "GONE", "NONE")),
    ],
)
def test_one_coin_requested_at_random_gets_the_same_answers(coin: str, tmp_path: Path, serve: Any) -> None:
    market = spring()
    market.minutes.setdefault(coin, market.minutes["BTC"])  # there is no such market on the server
    real = {"LATE": 0.2, "GONE": 0.25, "NONE": 0.0}.get(coin, 0.6)  # many requests are for times without candles
    compare(tmp_path, serve("spring"), market, requests(market, 5, 20, (coin,)), real=real)


def test_random_requests_of_real_bars_get_the_same_answers(tmp_path: Path, serve: Any) -> None:
    market = MARKETS["real_bitcoin"]()
    compare(tmp_path, serve("real_bitcoin"), market, requests(market, 4, 30))


def test_the_download_limit_decides_the_same_way(tmp_path: Path, serve: Any) -> None:
    """Lumibot drops candles that repeat within a download, which has as many candles as the limit says."""
    market = spring()
    market = replace(market, start=market.end - dt.timedelta(hours=5))
    asked = requests(market, 6, 14, ("IDLE", "LATE", "GAPS"))
    compare(tmp_path, serve("spring"), market, asked, max_data_download_limit=150)


def test_a_limit_that_is_none_is_refused_in_the_same_way(tmp_path: Path, serve: Any) -> None:
    market = spring()
    asked = [Request(when=market.end, kind="history", asset=Asset("BTC", "crypto"), quote=DOLLAR)]
    expected = compare(tmp_path, serve("spring"), market, asked, real=0, max_data_download_limit=0)
    assert expected[0].error is ValueError


@pytest.mark.parametrize("coin", ["GAPS", *(pytest.param(coin, marks=pytest.mark.long) for coin in ("IDLE", "LATE"))])
def test_ranges_between_dates_in_any_order_get_the_same_answers(coin: str, tmp_path: Path, serve: Any) -> None:
    """Lumibot downloads anew what it takes for missing, and keeps of that what it had dropped before."""
    market, rng = spring(), random.Random(coin)
    pair = (Asset(coin, "crypto"), DOLLAR)
    asked = []
    for _ in range(11):
        start = moment("2023-02-22") + rng.random() * dt.timedelta(days=21)
        end = start + rng.choice((dt.timedelta(hours=5), dt.timedelta(days=3), dt.timedelta(days=8)))
        kind = rng.choice(("between_dates", "between_dates", "history"))
        step = rng.choice(("minute", "hour", "hour", "day"))
        asked.append(Request(market.end, kind, pair, None, 40, step, None, start, end))  # type: ignore[arg-type]
    compare(tmp_path, serve("spring"), market, asked, real=0.3 if coin == "LATE" else 0.8)


@pytest.mark.parametrize("count", [18, pytest.param(30, marks=pytest.mark.long)])
@pytest.mark.long
def test_what_the_store_holds_already_changes_no_answer(count: int, tmp_path: Path, serve: Any) -> None:
    """The results are those of Lumibot's first run on an empty cache, even if other backtests have filled the store."""
    market, server = spring(), serve("spring")
    theirs, ours = both_sides(tmp_path)
    another = replace(market, start=moment("2023-03-05 05:05"), end=moment("2023-03-11 11:00"))
    answers(ours, server, another, requests(another, 31, count, ("IDLE", "LATE", "GAPS")))
    asked = requests(market, 21, count)
    expected = answers(theirs, server, market, asked)
    assert_enough_real(expected, 0.5)
    assert_same_answers(asked, expected, answers(ours, server, market, asked))
    within_a_small_budget = replace(ours, source_class=CcxtBacktesting.using(ours.store, max_memory=5_000))
    assert_same_answers(asked, expected, answers(within_a_small_budget, server, market, asked))


def test_the_data_store_answers_as_lumibots_frame_does(tmp_path: Path, serve: Any) -> None:
    market = spring()
    frames = []
    for side in both_sides(tmp_path):
        with side.entered(serve("spring")), silence():
            source = side.source(market.start, market.end)
            source.get_historical_prices(Asset("GAPS", "crypto"), 1, "hour", quote=DOLLAR)
            held = source._data_store["GAPS/USDT_1h"]
            frames.append(held.copy())
            assert held["close"].iloc[-1] == frames[-1]["close"].iloc[-1]
    assert_same_frame(frames[0], frames[1], "the whole frame")


def test_requests_to_lumibots_cache_object_have_the_same_answers(tmp_path: Path, serve: Any) -> None:
    market = spring()
    found = []
    for side in both_sides(tmp_path):
        with side.entered(serve("spring")), silence():
            cache = side.source(market.start, market.end).cache_db
            start, end = dt.datetime(2023, 3, 1, 5), dt.datetime(2023, 3, 2, 17)
            frame = cache.download_ohlcv("IDLE-USDT", "1m", start, end)
            found.append(
                (frame, cache.get_data_from_cache("IDLE/USDT", "1m", start, end), "BTC/USDT" in cache.api.markets)
            )
    for theirs, ours in zip(*found, strict=True):
        if isinstance(theirs, bool):
            assert theirs is ours is True
        else:
            assert_same_frame(theirs, ours, "")


# -- prices ---------------------------------------------------------------------------------------------------


def test_exact_prices_are_those_of_the_exchange(tmp_path: Path, serve: Any) -> None:
    market, server = spring(), serve("spring")
    side = both_sides(tmp_path)[1]
    exact = replace(side, source_class=CcxtBacktesting.using(side.store, exact_prices=True))
    when = moment("2023-03-12 12:00")
    asked = [Request(when, "history", Asset("TINY", "crypto"), DOLLAR, 50)]
    (answer,) = answers(exact, server, market, asked)
    frame = answer.value.df
    expected = market.minutes["TINY"].tz_convert("America/New_York").loc[frame.index, ["open", "high", "low", "close"]]
    assert frame[list(expected)].to_numpy().tolist() == expected.to_numpy().tolist()
    (rounded,) = answers(side, server, market, asked)
    assert (rounded.value.df["close"] == 0).all()


def test_rounding_that_changes_a_price_is_reported_once_for_each_market(
    tmp_path: Path, serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    market = spring()
    side = both_sides(tmp_path)[1]
    with side.entered(serve("spring")), caplog.at_level(logging.WARNING, "lumibot_duckdb"):
        source = side.source(market.start, market.end)
        for coin in ("BTC", "TINY", "TINY", "HALF"):
            for day in range(12, 15):
                source._datetime = moment(f"2023-03-{day} 10:00")
                source.get_historical_prices(Asset(coin, "crypto"), 60, "minute", quote=DOLLAR)
    told = [record.getMessage() for record in caplog.records if "exact_prices" in record.getMessage()]
    assert [message.split()[0] for message in told] == ["TINY/USDT", "HALF/USDT"]


def test_a_number_too_large_for_lumibots_cache_stays_as_it_is(tmp_path: Path) -> None:
    """Lumibot fails on every request for this market."""
    market = spring()
    big = market.minutes["BTC"].copy()
    big["volume"] *= 1e15
    market.minutes = {"BIG": big}
    theirs, ours = both_sides(tmp_path)
    asked = [Request(market.end, "history", Asset("BIG", "crypto"), DOLLAR, 5)]
    with market.server() as server:
        assert answers(theirs, server, market, asked)[0].error.__name__ == "ConversionException"
        frame = answers(ours, server, market, asked)[0].value.df
    assert (frame["volume"].to_numpy() == big["volume"].reindex(frame.index).to_numpy()).all()
    assert (frame["close"].to_numpy() == big["close"].reindex(frame.index).to_numpy()).all()
