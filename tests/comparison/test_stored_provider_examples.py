"""Lumibot's example strategies on its own classes, with a provider and then on the store in its place."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from comparison.offline import offline
from parity import alpaca_sides, ccxt_sides, polygon_sides
from parity.alpaca_market import served
from parity.backtests import BacktestResult, assert_same_result, run
from parity.ccxt_market import DOLLAR, spring
from parity.examples import EXAMPLES, Example
from parity.ground import Side
from parity.polygon_market import PolygonMarket, examples, list_options
from parity.test_alpaca_strategies import LEFT_OUT_HERE, OTHER_SPANS, settings_of
from parity.test_ccxt_strategies import RUN_ON_BINANCE
from wire.loopback import LoopbackServer
from wire.polygon_server import KEY


@dataclass(frozen=True)
class Source:
    """A source: its sides, what of them points clients at a server, a server, and what each example is run with."""

    sides: Any
    redirecting: str
    serve: Callable[[], AbstractContextManager[Any]]
    examples: dict[str, Example]
    settings: Callable[[str, Example], dict[str, Any]]
    only_online: dict[str, Any]


def with_more_options() -> PolygonMarket:
    market = examples()
    market = replace(market, bars=dict(market.bars), contracts=list(market.contracts))
    list_options(market, "SPY", [dt.date(2023, 3, 10)], [385.0, 386.0, 387.0], often=0.3, quiet=0)
    return market


ON_ALPACA = {
    name: replace(example, **dict(zip(("start", "end"), OTHER_SPANS[name], strict=True)))
    if name in OTHER_SPANS
    else example
    for name, example in EXAMPLES.items()
    if example.module not in LEFT_OUT_HERE
}
SOURCES = {
    "polygon": Source(
        polygon_sides,
        "client_redirected_to",
        lambda: examples().served(),
        EXAMPLES,
        lambda name, example: example.keywords,
        {"polygon_api_key": KEY},
    ),
    "alpaca": Source(
        alpaca_sides, "clients_redirected_to", lambda: served(with_more_options()), ON_ALPACA, settings_of, {}
    ),
    "ccxt": Source(
        ccxt_sides,
        "exchange_redirected_to",
        lambda: spring().server(),
        RUN_ON_BINANCE,
        lambda name, example: {"exchange_id": "binance", "quote_asset": DOLLAR, **example.keywords},
        {},
    ),
}
ALL = [(source, name) for source, each in SOURCES.items() for name in each.examples]


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[str], LoopbackServer]]:
    """Serve what a source has by its name; it stays served for the other tests of this module."""
    running: dict[str, LoopbackServer] = {}
    with ExitStack() as servers:

        def serve(name: str) -> LoopbackServer:
            if name not in running:
                running[name] = servers.enter_context(SOURCES[name].serve())
            return running[name]

        yield serve


@pytest.mark.long
@pytest.mark.parametrize(("source_name", "name"), ALL)
def test_an_example_trades_the_same_on_the_store(source_name: str, name: str, tmp_path: Path, serve: Any) -> None:
    source = SOURCES[source_name]
    example = source.examples[name]

    def trade(side: Side, **settings: Any) -> BacktestResult:
        settings = {**source.settings(name, example), **settings}
        span = (example.start, example.end)
        return run(example.load(), side.source_class, side.folder / "run", *span, example.all_parameters(), **settings)

    online = source.sides.both_sides(tmp_path / "online")
    found = []
    for side in online:
        with side.entered(serve(source_name)):
            found.append(trade(side, **source.only_online))
    for side in source.sides.both_sides(tmp_path / "offline"):
        with offline(side, online[1].store, source.sides, source.redirecting) as notes:
            found.append(trade(side))
        assert notes.lines() == []
    for other in found[1:]:
        assert_same_result(found[0], other, fills=example.fills)
