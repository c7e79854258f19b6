"""A loopback server that speaks the part of Coinbase Exchange's public API that ccxt uses for candles.

It differs from Binance's in all that matters to a download: at most 300 candles, those from `start` to `end` and no
later ones, the newest first, as numbers, with the low before the high.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from wire.loopback import Answer, LoopbackServer, Request

_CANDLES = re.compile(r"/products/(?P<market>[^/]+)/candles")
_MOST = 300


@dataclass
class CoinbaseServer(LoopbackServer):
    """Serves minutes by market ("BTC-USD")."""

    minutes: dict[str, pd.DataFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def answer(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Answer as Coinbase does."""
        if request.path == "/currencies":
            names = sorted({name for market in self.minutes for name in market.split("-")})
            return Answer([{"id": name, "name": name, "status": "online", "details": {}} for name in names])
        if request.path == "/products":
            return Answer([_product(market) for market in self.minutes])
        found = _CANDLES.fullmatch(request.path)
        if found is None or found["market"] not in self.minutes:
            return Answer({"message": "NotFound"}, 404)
        start, end = pd.Timestamp(request.query["start"]), pd.Timestamp(request.query["end"])
        if (end - start) / pd.Timedelta(int(request.query["granularity"]), "s") > _MOST:
            return Answer({"message": "granularity too small for the requested time range."}, 400)
        bars = self.minutes[found["market"]].loc[start:end].iloc[::-1]  # type: ignore[misc]
        times = bars.index.as_unit("s").asi8.tolist()  # type: ignore[attr-defined]
        rows = bars[["low", "high", "open", "close", "volume"]].to_numpy().tolist()
        return Answer([[time, *row] for time, row in zip(times, rows, strict=True)])


def _product(market: str) -> dict[str, Any]:
    base, quote = market.split("-")
    return {
        "id": market,
        "base_currency": base,
        "quote_currency": quote,
        "quote_increment": "0.01",
        "base_increment": "0.00000001",
        "display_name": f"{base}/{quote}",
        "min_market_funds": "1",
        "status": "online",
        "trading_disabled": False,
    }
