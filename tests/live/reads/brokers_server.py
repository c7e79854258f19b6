"""A loopback server that speaks the part of three brokers' protocols in which Lumibot's live sources request bars.

Tradier (`/v1/markets/timesales`, `/v1/markets/history`), Schwab (`/marketdata/v1/pricehistory`), and the Client Portal
of Interactive Brokers (`/v1/api/iserver/…`), whose history is "the last bars before a time".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from wire.loopback import Answer, LoopbackServer, Request

NEW_YORK = "America/New_York"
CONID = 756733


@dataclass
class BrokersServer(LoopbackServer):
    """Has minutes and days of every symbol: frames of open, high, low, close, volume by tz-aware bar start."""

    minutes: pd.DataFrame
    days: pd.DataFrame

    def __post_init__(self) -> None:
        super().__init__()

    def answer(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Answer as the broker whose path it is does."""
        query = request.query
        if request.path == "/v1/markets/timesales":
            return Answer({"series": {"data": self._timesales(query)}})
        if request.path == "/v1/markets/history":
            return Answer({"history": {"day": self._history(query)}})
        if request.path == "/marketdata/v1/pricehistory":
            return Answer({"symbol": query["symbol"], "empty": False, "candles": self._candles(query)})
        if request.path == "/v1/api/iserver/marketdata/history":
            return Answer({"data": self._last_bars(query)})
        if request.path == "/v1/api/iserver/secdef/search":
            return Answer([{"conid": CONID, "symbol": query["symbol"], "sections": []}])
        if request.path.startswith("/v1/api/"):
            return Answer([{"id": "DU1"}] if "portfolio" in request.path else {"accounts": ["DU1"]})
        return Answer({"error": f"no such path: {request.path}"}, 404)

    def _timesales(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        first, last = (pd.Timestamp(query[name], tz=NEW_YORK) for name in ("start", "end"))
        bars = self.minutes.tz_convert(NEW_YORK).loc[first:last]  # type: ignore[misc]
        if query["session_filter"] == "open":
            bars = bars.between_time("09:30", "15:59")
        return [
            {
                "time": f"{time:%Y-%m-%dT%H:%M:%S}",
                "timestamp": int(time.timestamp()),
                "price": (bar["high"] + bar["low"]) / 2,
                **bar,
                "vwap": bar["close"],
            }
            for time, bar in zip(bars.index, bars.to_dict("records"), strict=True)
        ]

    def _history(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        days = self.days.tz_convert(NEW_YORK).loc[query["start"] : query["end"]]  # type: ignore[misc]
        return [
            {"date": f"{time:%Y-%m-%d}", **bar} for time, bar in zip(days.index, days.to_dict("records"), strict=True)
        ]

    def _candles(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        first, last = (pd.Timestamp(int(query[name]), unit="ms", tz="UTC") for name in ("startDate", "endDate"))
        bars = (self.days if query["frequencyType"] == "daily" else self.minutes).loc[first:last]  # type: ignore[misc]
        times = pd.DatetimeIndex(bars.index).as_unit("ms").asi8.tolist()
        return [{**bar, "datetime": time} for time, bar in zip(times, bars.to_dict("records"), strict=True)]

    def _last_bars(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        count = int(query["period"].rstrip("minhd"))
        bars = (self.days if query["bar"].endswith("d") else self.minutes).sort_index()
        bars = bars.loc[: pd.Timestamp(query["startTime"].replace("-", " "), tz="UTC")].iloc[-count:]  # type: ignore[misc]
        times = pd.DatetimeIndex(bars.index).as_unit("ms").asi8.tolist()
        short = bars.rename(columns={name: name[0] for name in bars}).to_dict("records")
        return [{"t": time, **bar} for time, bar in zip(times, short, strict=True)]
