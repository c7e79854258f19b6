"""Markets for an `AlpacaServer`: those made for Polygon, as Alpaca has them, with dividends besides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import pandas as pd
from lumibot.entities import Asset

from sources.alpaca.server import Action, AlpacaServer, Contract
from sources.polygon import market as polygon_market
from sources.polygon.market import DOLLAR, Pair, PolygonMarket

MARKETS: dict[str, Callable[[], PolygonMarket]] = {
    name: lru_cache(make) for name, make in polygon_market.MARKETS.items() if name != "real_forex"
}


def pairs_of(market: PolygonMarket) -> list[Pair]:
    """Return the part of a market that Alpaca has, by Lumibot's names; crypto is quoted in dollars."""
    return [
        (asset, DOLLAR if asset.asset_type == "crypto" else None)
        for asset, _ in market.assets
        if asset.asset_type in ("stock", "option", "crypto")
    ]


@contextmanager
def served(market: PolygonMarket, *dividends: Action) -> Iterator[AlpacaServer]:
    """Serve a market on a loopback server."""
    with AlpacaServer() as server:
        fill(server, market)
        server.actions += dividends
        yield server


def fill(server: AlpacaServer, market: PolygonMarket) -> None:
    """Serve the bars, splits and contracts of a market."""
    for (ticker, timespan), frame in market.bars.items():
        prefix, _, name = ticker.rpartition(":")
        if prefix in ("", "O", "X") and "volume" in frame:
            kind = {"": "stock", "O": "option", "X": "crypto"}[prefix]
            symbol = f"{name[:-3]}/{name[-3:]}" if kind == "crypto" else name
            server.serve(kind, symbol, _in_hours(frame), {"minute": "1Min", "day": "1Day"}[timespan])
    server.actions += [Action(split.ticker, split.day, split.before, split.after) for split in market.splits]
    server.contracts += [
        Contract(c.ticker.removeprefix("O:"), c.underlying, c.expiration, c.right, c.strike, c.shares)
        for c in market.contracts
    ]


def _in_hours(frame: pd.DataFrame) -> pd.DataFrame:
    """Return bars that pass Lumibot's check of Alpaca's bars: the high is the highest price, and the low the lowest."""
    prices = frame[["open", "high", "low", "close"]]
    return frame.assign(high=prices.max(axis=1), low=prices.min(axis=1))


def stock(symbol: str) -> Asset:
    return Asset(symbol)
