"""Lumibot's example strategies on its own classes, with a provider and then with the stored provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from comparison.offline import offline
from parity.backtests import BacktestResult, assert_same_result, run
from parity.example_runs import BINANCE, ON_ALPACA, ON_BINANCE, alpaca_served
from parity.examples import EXAMPLES, Example
from parity.ground import Side
from sources.alpaca import sides as alpaca_sides
from sources.ccxt import sides as ccxt_sides
from sources.ccxt.market import spring
from sources.polygon import sides as polygon_sides
from sources.polygon.market import examples
from sources.polygon.server import KEY
from wire.loopback import LoopbackServer


@dataclass(frozen=True)
class Source:
    """A source: its sides, how to point clients at a server, a server, and the settings of examples."""

    sides: Any
    redirecting: str
    serve: Callable[[], AbstractContextManager[Any]]
    examples: dict[str, Example]
    settings: dict[str, Any]
    only_online: dict[str, Any]


SOURCES = {
    "polygon": Source(
        polygon_sides,
        "client_redirected_to",
        lambda: examples().served(),
        EXAMPLES,
        {},
        {"polygon_api_key": KEY},
    ),
    "alpaca": Source(alpaca_sides, "clients_redirected_to", alpaca_served, ON_ALPACA, {}, {}),
    "ccxt": Source(
        ccxt_sides,
        "exchange_redirected_to",
        lambda: spring().server(),
        ON_BINANCE,
        BINANCE,
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
        settings = {**source.settings, **example.keywords, **settings}
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
