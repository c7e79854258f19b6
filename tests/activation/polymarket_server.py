"""A loopback server that answers Lumibot's requests to Polymarket: a market's terms and its contracts' prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from wire.loopback import Answer, LoopbackServer, Request


@dataclass
class PolymarketServer(LoopbackServer):
    """`prices` are of the market's contracts, by token id and tz-aware minute; the first is for "Yes"."""

    slug: str = ""
    prices: dict[str, pd.Series] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    @property
    def terms(self) -> dict[str, Any]:
        """The market's terms."""
        return {
            "id": "17",
            "slug": self.slug,
            "conditionId": "0x17",
            "question": "Will it rain?",
            "outcomes": ["Yes", "No"][: len(self.prices)],
            "clobTokenIds": list(self.prices),
            "endDate": "2030-01-01T00:00:00Z",
            "closed": False,
            "orderMinSize": 5,
        }

    def answer(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Answer as Polymarket does."""
        if request.path in (f"/markets/slug/{self.slug}", *(f"/markets/token/{token}" for token in self.prices)):
            return Answer(self.terms)
        if request.path == "/prices-history" and request.query["market"] in self.prices:
            prices = self.prices[request.query["market"]]
            first, last = (pd.Timestamp(int(request.query[name]), unit="s", tz="UTC") for name in ("startTs", "endTs"))
            prices = prices[(prices.index >= first) & (prices.index <= last)]
            times = prices.index.tz_convert("UTC").as_unit("s").asi8.tolist()
            return Answer({"history": [{"t": t, "p": p} for t, p in zip(times, prices.tolist(), strict=True)]})
        return Answer({"error": "not found"}, 404)
