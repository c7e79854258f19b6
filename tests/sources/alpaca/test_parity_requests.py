"""Random requests to Lumibot's Alpaca source and to ours: every answer is the same.

A case is a span of some market with settings drawn at random; both sources get the same requests in the same order,
ours a second time on what is stored by then.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytz
from lumibot.entities import Asset, Bars

from parity.ground import silence
from parity.harness import NO_LENGTHS, Answer, Request, ask, assert_enough_real, assert_same_answer, random_requests
from sources.alpaca.market import MARKETS, PolygonMarket, pairs_of, served
from sources.alpaca.server import Action, AlpacaServer
from sources.alpaca.sides import IN_THE_ENVIRONMENT, Side, both_sides
from sources.polygon.market import DOLLAR

KINDS = {"history": 60, "last_price": 20, "quote": 8, "frame": 4, "chains": 2}
STEPS = (
    *("minute", "minute", "5min", "15 minutes", "7min", "hour", "2hour", "90min", "day", "day", "2day", "3day"),
    *("36hour", "30S", "week"),
)
LENGTHS = (1, 2, 3, 5, 14, 30, 60)
ZONES = (*["America/New_York"] * 4, "America/Chicago", "UTC", "America/Los_Angeles", "Asia/Tokyo")
DIVIDENDS = (Action("AUCT", "2023-11-14", amount=0.5), Action("AUCT", "2024-03-14", amount=0.5))
Serve = Callable[[str], AlpacaServer]
Span = tuple[dt.datetime, dt.datetime]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Serve a market by name; it stays served for the other tests of this module."""
    running: dict[str, AlpacaServer] = {}
    with ExitStack() as servers:

        def serve(name: str) -> AlpacaServer:
            if name not in running:
                running[name] = servers.enter_context(served(MARKETS[name](), *DIVIDENDS))
            return running[name]

        yield serve


def a_week_of(market: PolygonMarket, rng: random.Random) -> Span:
    """Return a week or so of a market, in some zone."""
    zone = pytz.timezone(rng.choice(ZONES))
    first = market.start + dt.timedelta(days=rng.randrange(max(1, (market.end - market.start).days - 9)))
    start = dt.datetime(first.year, first.month, first.day, rng.choice([0, 0, 9]), rng.choice([0, 30]))
    end = dt.datetime(first.year, first.month, first.day) + dt.timedelta(days=rng.choice([5, 6, 8]))
    return zone.localize(start), zone.localize(end)


def settings_of(rng: random.Random) -> dict[str, Any]:
    """Return settings of a source, with an explicit config or (a fifth) with what stands in the environment."""
    settings = {
        "timestep": rng.choice(["minute", "minute", "day", None]),
        "auto_adjust": rng.random() < 0.6,
        "warm_up_trading_days": rng.choice([0, 0, 3, 10]),
        "market": rng.choice(["NASDAQ", "NYSE", "24/7", None]),
        "remove_incomplete_current_bar": rng.choice([None, True, False]),
        "refresh_cache": rng.random() < 0.15,
        "option_chain_max_days": rng.choice([None, 10, 40]),
    }
    if rng.random() < 0.2:
        return {**settings, "config": None}
    return {**settings, "full_window": rng.random() < 0.7, "history_before_start": rng.random() < 0.5}


def requests(span: Span, rng: random.Random, pairs: Sequence[Any], count: int = 40, **settings: Any) -> list[Request]:
    start, end = span
    index = pd.date_range(start, end + dt.timedelta(days=1), freq="min", tz=start.tzinfo)
    # Every step of every asset is a separate download, so a case has some of each.
    settings = {"kinds": KINDS, "steps": rng.sample(STEPS, 4), "lengths": LENGTHS, **settings}
    drawn = random_requests(rng, pairs, index, count, **settings)
    # A shift that is no timedelta is refused by both; a few of those will do.
    return [
        request
        if isinstance(request.timeshift, dt.timedelta) or rng.random() < 0.05
        else replace(request, timeshift=None)
        for request in drawn
    ]


def answer(source: Any, request: Request) -> Answer:
    if request.kind != "frame":
        return ask(source, request)
    try:
        frame = source.get_historical_prices_between_dates(
            base_asset=request.asset, quote_asset=request.quote, timestep=request.timestep
        )
        return Answer(frame.copy())
    except Exception as error:
        return Answer(error=type(error))


def answers(
    side: Side, server: AlpacaServer, span: Span, asked: Sequence[Request], settings: dict[str, Any]
) -> list[Answer]:
    with side.entered(server, **IN_THE_ENVIRONMENT), silence():
        source = side.source(*span, **settings)
        return [answer(source, request) for request in asked]


def compare(
    folder: Path,
    server: AlpacaServer,
    span: Span,
    asked: Sequence[Request],
    settings: dict[str, Any],
    *,
    real: float = 0.32,
) -> None:
    """Compare the answers of both sides, and of ours once more, which asks Alpaca for nothing then."""
    theirs, ours = both_sides(folder)
    expected = answers(theirs, server, span, asked, settings)
    assert_enough_real(expected, real)
    assert_same_answers(asked, expected, answers(ours, server, span, asked, settings))
    before = len(server.requests)
    assert_same_answers(asked, expected, answers(ours, server, span, asked, settings))
    if not settings.get("refresh_cache"):
        assert not server.requests[before:]


def assert_same_answers(asked: Sequence[Request], expected: Sequence[Answer], actual: Sequence[Answer]) -> None:
    for request, left, right in zip(asked, expected, actual, strict=True):
        assert_same_answer(request, left, right)


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("autumn", 3),
        pytest.param("spring", 3, marks=pytest.mark.long),
        ("real_split", 15),
        pytest.param("real_half_day", 3, marks=pytest.mark.long),
        ("real_crypto", 15),
    ],
)
def test_random_requests_under_random_settings_get_the_same_answers(
    name: str, seed: int, tmp_path: Path, serve: Serve
) -> None:
    rng = random.Random(f"{name} {seed}")
    market, server = MARKETS[name](), serve(name)
    span, settings = a_week_of(market, rng), settings_of(rng)
    pairs = pairs_of(market)
    pairs = rng.sample(pairs, min(len(pairs), 4))
    compare(tmp_path, server, span, requests(span, rng, pairs), settings, real=0.2)


@pytest.mark.parametrize(
    ("timestep", "closed", "reaching"),
    [
        pytest.param("minute", False, False, marks=pytest.mark.long),
        pytest.param("minute", True, True, marks=pytest.mark.long),
        pytest.param("day", True, False, marks=pytest.mark.long),
        ("day", False, True),
    ],
)
def test_both_values_of_the_settings_that_decide_what_is_seen(
    timestep: str, closed: bool, reaching: bool, tmp_path: Path, serve: Serve
) -> None:
    """Over the end of summer time, on stocks that are dense, illiquid, newly listed and split, and on crypto."""
    rng = random.Random(f"{timestep} {closed} {reaching}")
    server = serve("autumn")
    server.page_limit = 997
    new_york = pytz.timezone("America/New_York")
    span = (new_york.localize(dt.datetime(2023, 11, 3)), new_york.localize(dt.datetime(2023, 11, 9)))
    chosen = ("SPLT", "THIN", "BTC") if reaching else ("SPY", "IPOX", "ETH")
    pairs = [
        pair for pair in pairs_of(MARKETS["autumn"]()) if pair[0].symbol in chosen and pair[0].asset_type != "option"
    ]
    settings = {
        "timestep": timestep,
        "remove_incomplete_current_bar": closed,
        "history_before_start": reaching,
        "full_window": True,
        "auto_adjust": reaching != closed,
    }
    compare(tmp_path, server, span, requests(span, rng, pairs), settings)


def test_an_asset_of_each_type_with_and_without_a_quote_gets_the_same_answers(tmp_path: Path, serve: Serve) -> None:
    rng = random.Random(11)
    new_york = pytz.timezone("America/New_York")
    span = (new_york.localize(dt.datetime(2023, 11, 20)), new_york.localize(dt.datetime(2023, 11, 24)))
    one_of_each = {asset.asset_type: asset for asset, _ in reversed(pairs_of(MARKETS["autumn"]()))}
    assert {"stock", "option", "crypto"} <= set(one_of_each)
    pairs = [(asset, quote) for asset in one_of_each.values() for quote in (None, DOLLAR, Asset("EUR", "forex"))]
    settings = {"timestep": "minute", "full_window": True, "history_before_start": True}
    compare(tmp_path, serve("autumn"), span, requests(span, rng, pairs), settings, real=0.15)


@pytest.mark.parametrize("settings", [{}, {"history_before_start": True}, {"warm_up_trading_days": 5}], ids=str)
def test_options_are_what_was_traded(settings: dict[str, Any], tmp_path: Path, serve: Serve) -> None:
    rng = random.Random(7)
    server = serve("autumn")
    new_york = pytz.timezone("America/New_York")
    span = (new_york.localize(dt.datetime(2023, 11, 20)), new_york.localize(dt.datetime(2023, 11, 29)))
    pairs = [pair for pair in pairs_of(MARKETS["autumn"]()) if pair[0].asset_type == "option"]
    settings = {"timestep": "minute", "full_window": True, **settings}
    compare(tmp_path, server, span, requests(span, rng, rng.sample(pairs, 6)), settings, real=0.25)


@pytest.mark.parametrize("reaching", [False, pytest.param(True, marks=pytest.mark.long)])
def test_lengths_of_zero_and_below_get_the_same_answers(reaching: bool, tmp_path: Path, serve: Serve) -> None:
    rng = random.Random(2)
    span = a_week_of(MARKETS["autumn"](), rng)
    asked = requests(span, rng, [(Asset("SPY"), None)], 25, lengths=NO_LENGTHS, kinds={"history": 1})
    compare(tmp_path, serve("autumn"), span, asked, {"timestep": "minute", "history_before_start": reaching}, real=0.15)


@pytest.mark.long
def test_what_the_store_holds_already_changes_no_answer(tmp_path: Path, serve: Serve) -> None:
    """Other windows, markets and zones, adjusted the same way, have been read before."""
    market, server = MARKETS["autumn"](), serve("autumn")
    rng = random.Random(11)
    new_york, tokyo = pytz.timezone("America/New_York"), pytz.timezone("Asia/Tokyo")
    pairs = [pair for pair in pairs_of(market) if pair[0].symbol in ("THIN", "IPOX", "BTC")]
    span = (new_york.localize(dt.datetime(2023, 11, 6)), new_york.localize(dt.datetime(2023, 11, 11)))
    theirs, ours = both_sides(tmp_path)
    settings = {"timestep": "minute", "full_window": True, "history_before_start": True}
    steps = ("minute", "5min", "day")
    for first, last, zone, other in (
        (1, 8, tokyo, {"market": "24/7"}),
        (9, 15, new_york, {"market": "NYSE", "warm_up_trading_days": 1}),
    ):
        another = (zone.localize(dt.datetime(2023, 11, first)), zone.localize(dt.datetime(2023, 11, last)))
        answers(ours, server, another, requests(another, rng, pairs, 25, steps=steps), {**settings, **other})
    asked = requests(span, rng, pairs, 60, steps=steps)
    expected = answers(theirs, server, span, asked, settings)
    assert_same_answers(asked, expected, answers(ours, server, span, asked, settings))
    assert_enough_real(expected, 0.8)


def test_chains_follow_hints_and_the_clock(tmp_path: Path, serve: Serve) -> None:
    server = serve("autumn")
    new_york = pytz.timezone("America/New_York")
    span = (new_york.localize(dt.datetime(2023, 10, 30)), new_york.localize(dt.datetime(2023, 11, 29)))
    hints = [
        None,
        {"min_expiration_date": dt.date(2023, 11, 10), "max_expiration_date": dt.date(2023, 11, 30)},
        {"max_expiration_date": "2024-06-30"},
        {"max_expiration_date": dt.date(2020, 1, 1)},
    ]
    found = []
    for side in (*both_sides(tmp_path), both_sides(tmp_path)[1]):
        with side.entered(server), silence():
            source = side.source(*span, option_chain_max_days=20)
            seen = []
            for day in (0, 5, 17, 3, 28):
                for hint in hints:
                    source._datetime, source._chain_constraints = span[0] + dt.timedelta(days=day), hint
                    seen.append(source.get_chains(Asset("SPY")))
            found.append(seen)
    assert found[0] == found[1] == found[2]
    assert any(chain["Chains"]["CALL"] for chain in found[0])


def test_pairs_texts_and_what_is_no_asset(tmp_path: Path, serve: Serve) -> None:
    server = serve("autumn")
    new_york = pytz.timezone("America/New_York")
    span = (new_york.localize(dt.datetime(2023, 11, 6)), new_york.localize(dt.datetime(2023, 11, 9)))
    bitcoin = Asset("BTC", "crypto")
    questions: list[Callable[[Any], Any]] = [
        lambda source: source.get_historical_prices((bitcoin, DOLLAR), 5, "minute"),
        lambda source: source.get_last_price("SPY"),
        lambda source: source.get_last_price("BTC/USD"),
        lambda source: source.get_last_price((bitcoin, DOLLAR)),
        lambda source: source.get_historical_prices(Asset("SPY"), 0),
        lambda source: source.get_historical_prices(Asset("SPY"), 5, "fortnight"),
        lambda source: source.get_historical_prices(Asset("SPY"), 100_000),
        lambda source: source.get_historical_prices(Asset("AA-B"), 5, "day"),
        lambda source: source.get_historical_prices(Asset("SPY"), 5, "day", return_polars=True),
        lambda source: source.get_historical_prices_between_dates(),
        lambda source: source.get_historical_prices_between_dates(base_asset="SPY", market="NYSE"),
        lambda source: source.get_historical_prices_between_dates(base_asset="SPY", timestep="day"),
        lambda source: source.get_last_price(17),
    ]
    found: list[list[Any]] = []
    for side in both_sides(tmp_path):
        with side.entered(server), silence():
            source = side.source(*span, timestep="minute", full_window=True, market="NASDAQ")
            source._datetime = span[0] + dt.timedelta(days=1, hours=11)
            found.append([_outcome(question, source) for question in questions])
    for number, (theirs, ours) in enumerate(zip(*found, strict=True)):
        assert_same_answer(Request(span[0], f"question {number}", bitcoin), theirs, ours)


def _outcome(question: Callable[[Any], Any], source: Any) -> Answer:
    try:
        found = question(source)
    except Exception as error:
        return Answer(error=type(error))
    return Answer(found.df if isinstance(found, Bars) and isinstance(found.df, pd.DataFrame) else repr(found))


@pytest.mark.parametrize("reaching", [False, True], ids=["window", "history"])
def test_a_window_that_reaches_today_ends_with_bars_that_are_still_open(reaching: bool, tmp_path: Path) -> None:
    """They are seen, not stored, and never asked for in the latest sixteen minutes. Bars close as the test runs."""
    new_york = pytz.timezone("America/New_York")
    now = pd.Timestamp.now(tz="UTC").floor("min")
    index = pd.date_range(end=now, periods=4000, freq="min")
    close = pd.Series(100 + np.random.default_rng(5).normal(0, 0.1, len(index)).cumsum(), index=index)
    bars = pd.DataFrame({"open": close - 0.1, "high": close + 1, "low": close - 1, "close": close, "volume": 7})
    today = new_york.localize(dt.datetime.combine(now.tz_convert(new_york).date(), dt.time()))
    pairs = [(Asset("SPY"), None), (Asset("BTC", "crypto"), DOLLAR)]
    asked = [
        Request(today + dt.timedelta(hours=23), kind, *pair, length=3, timestep=step)
        for pair in pairs
        for step in ("day", "hour", "5minute")
        for kind in ("frame", "history")
    ]
    settings = {"timestep": "minute", "market": "24/7", "full_window": True, "history_before_start": reaching}
    theirs, ours = both_sides(tmp_path)
    with AlpacaServer() as server:
        server.serve("stock", "SPY", bars)
        server.serve("crypto", "BTC/USD", bars)
        span = (today - dt.timedelta(days=3), today)
        expected, *both = (
            [_as_frame(found) for found in answers(side, server, span, asked, settings)]
            for side in (theirs, ours, ours)
        )
    for actual in both:
        for request, left, right in zip(asked, expected, actual, strict=True):
            assert_same_answer(request, *_but_the_last_bar(left, right))
    assert_enough_real(expected, 0.8)


def _as_frame(found: Answer) -> Answer:
    return Answer(found.value.df if isinstance(found.value, Bars) else found.value, found.error)


def _but_the_last_bar(first: Answer, later: Answer) -> tuple[Answer, Answer]:
    """Return two frames without the last row of the first, to which a minute may have been added since.

    The later frame may have moved on by a bar: it has one more, or lacks the first one.
    """
    if first.value is None or later.value is None:
        return first, later
    index, moved = first.value.index, later.value.index
    assert moved[0] in index[:2]
    assert moved[-1] >= index[-1]
    start = index[0] if moved[0] == index[0] else moved[1]
    left, right = (each.value[(each.value.index >= start) & (each.value.index < index[-1])] for each in (first, later))
    return Answer(left, first.error), Answer(right, later.error)
