"""Random requests to Lumibot's Alpaca source and to ours: every answer is the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from parity.alpaca_market import MARKETS, PolygonMarket, pairs_of, served
from parity.alpaca_sides import Side, both_sides
from parity.ground import silence
from parity.harness import Answer, Request, ask, assert_same_answer, random_requests
from wire.alpaca_server import AlpacaServer

KINDS = {"history": 60, "last_price": 20, "quote": 8, "frame": 4, "chains": 2}
STEPS = (
    *("minute", "minute", "5min", "15 minutes", "7min", "hour", "2hour", "90min", "day", "day", "2day", "3day"),
    *("36hour", "30S", "week"),
)
LENGTHS = (1, 2, 3, 5, 14, 20, 60, 120)
Serve = Callable[[str], AlpacaServer]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Serve a market by name; it stays served for the other tests of this module."""
    running: dict[str, AlpacaServer] = {}
    with ExitStack() as servers:

        def serve(name: str) -> AlpacaServer:
            if name not in running:
                running[name] = servers.enter_context(served(MARKETS[name]()))
            return running[name]

        yield serve


def requests(market: PolygonMarket, seed: int, count: int, **settings: Any) -> list[Request]:
    """Return random requests; there are many options, so everything else is drawn thrice as often."""
    pairs = settings.pop("pairs", None) or pairs_of(market)
    weighted = [pair for pair in pairs for _ in range(1 if pair[0].asset_type == "option" else 3)]
    index = next(iter(market.bars.values())).index
    index = index[(index >= market.start) & (index <= market.end)].tz_convert(settings.pop("zone", market.start.tzinfo))
    settings = {"kinds": KINDS, "steps": STEPS, "lengths": LENGTHS, **settings}
    return list(random_requests(random.Random(seed), weighted, index, count, **settings))


def answer(source: Any, request: Request) -> Answer:
    if request.kind != "frame":
        return ask(source, request)
    try:
        return Answer(
            source.get_historical_prices_between_dates(
                base_asset=request.asset, quote_asset=request.quote, timestep=request.timestep
            ).copy()
        )
    except Exception as error:
        return Answer(error=type(error))


def answers(
    side: Side, server: AlpacaServer, span: tuple[Any, Any], asked: Sequence[Request], **settings: Any
) -> list[Answer]:
    with side.entered(server), silence():
        source = side.source(*span, **settings)
        return [answer(source, request) for request in asked]


def compare(
    tmp_path: Path, server: AlpacaServer, market: PolygonMarket, asked: Sequence[Request], **settings: Any
) -> None:
    zone = settings.pop("zone", None)
    span = tuple(moment if zone is None else moment.astimezone(zone) for moment in (market.start, market.end))
    theirs, ours = (answers(side, server, span, asked, **settings) for side in both_sides(tmp_path))
    assert sum(found.error is None and found.value is not None for found in theirs) > len(asked) // 4
    for request, expected, actual in zip(asked, theirs, ours, strict=True):
        assert_same_answer(request, expected, actual)


@pytest.mark.parametrize("name", ["autumn", "spring"])
@pytest.mark.parametrize("timestep", ["minute", "day"])
@pytest.mark.parametrize("reaching", [False, True])
def test_random_requests_get_the_same_answers(
    name: str, timestep: str, reaching: bool, tmp_path: Path, serve: Serve
) -> None:
    market = MARKETS[name]()
    asked = requests(market, 1, 70)
    settings = {"timestep": timestep, "history_before_start": reaching, "full_window": reaching}
    compare(tmp_path, serve(name), market, asked, **settings)
