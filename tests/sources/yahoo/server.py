"""A loopback server for `yfinance`: charts with events, cookie and crumb, a symbol's info.

What it serves is bars as traded, and corporate actions, as of a moment that a test can move: prices are split-adjusted,
the adjusted close is adjusted for dividends as well, and what happens later is not known yet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd

from sources.larger_bars import HOW
from wire.loopback import Answer, LoopbackServer, Request

COOKIE = "A3=loopback"
CRUMB = "l0opback.crumb"

_CHART = re.compile(r"/v8/finance/chart/(?P<symbol>[^/]+)")
_SUMMARY = re.compile(r"/v10/finance/quoteSummary/(?P<symbol>[^/]+)")
_TIMESERIES = re.compile(r"/ws/fundamentals-timeseries/v1/finance/timeseries/(?P<symbol>[^/]+)")
_STEPS = {"1m": "1min", "15m": "15min"}
_KEPT = {"1m": pd.Timedelta(days=8), "15m": pd.Timedelta(days=60)}
_PRICES = ["open", "high", "low", "close"]


@dataclass
class Instrument:
    """Something with a symbol at Yahoo.

    `daily` has bars as traded by day (naive index), `minutes` by tz-aware bar start; both open, high, low, close,
    volume. `splits` are new and old shares by ex-date, `dividends` and `capital_gains` the amounts as paid. `market` is
    the market in the symbol's info; None leaves it out.
    """

    daily: pd.DataFrame
    kind: str = "EQUITY"
    market: str | None = "us_market"
    zone: str = "America/New_York"
    hours: tuple[str, str] = ("09:30", "16:00")
    splits: dict[date, tuple[float, float]] = field(default_factory=dict)
    dividends: dict[date, float] = field(default_factory=dict)
    capital_gains: dict[date, float] = field(default_factory=dict)
    minutes: pd.DataFrame | None = None

    def opening(self, day: Any) -> pd.Timestamp:
        """Return when trading opens on a day."""
        return pd.Timestamp(f"{pd.Timestamp(day).date()} {self.hours[0]}", tz=self.zone)

    def closing(self, day: Any) -> pd.Timestamp:
        """Return when trading ends on a day."""
        end = pd.Timestamp(pd.Timestamp(day).date(), tz=self.zone)
        return end + pd.Timedelta(days=1) if self.hours[1] == "24:00" else end + pd.Timedelta(f"{self.hours[1]}:00")


@dataclass
class YahooServer(LoopbackServer):
    """Fill `instruments` by symbol. `now` is the moment that is served (None: the real one)."""

    instruments: dict[str, Instrument] = field(default_factory=dict)
    now: pd.Timestamp | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def moment(self) -> pd.Timestamp:
        """Return the moment that is served."""
        return self.now if self.now is not None else pd.Timestamp.now("UTC").floor("s")

    def asked(self, where: str = "") -> list[Request]:
        """Return the logged requests whose path holds `where`."""
        return [request for request in self.requests if where in request.path]

    def charts(self, symbol: str = "") -> list[Request]:
        """Return the requests for bars, of one symbol if it is given."""
        charts = [request for request in self.asked("/v8/finance/chart/") if "period1" in request.query]
        return [request for request in charts if not symbol or unquote(request.path).endswith("/" + symbol)]

    # -- answers ---------------------------------------------------------------------------------------------

    def answer(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Answer as Yahoo does."""
        if request.path.startswith("/fc"):  # the page is not found, and that is where the cookie comes from
            return Answer(b"<html>404</html>", 404, {"Set-Cookie": f"{COOKIE}; Path=/", "Content-Type": "text/html"})
        if request.path.startswith(("/guce", "/consent")):
            return Answer(b"<html>no consent is needed here</html>", headers={"Content-Type": "text/html"})
        if request.path == "/v1/test/getcrumb":
            known = COOKIE in headers.get("cookie", "")
            return Answer(CRUMB.encode()) if known else _refused("finance", 401, "Unauthorized", "Invalid Cookie")
        if found := _CHART.fullmatch(request.path):
            return self._chart(unquote(found["symbol"]), request.query)
        if request.query.get("crumb") != CRUMB or COOKIE not in headers.get("cookie", ""):
            return _refused("finance", 401, "Unauthorized", "Invalid Crumb")
        if found := _SUMMARY.fullmatch(request.path):
            return self._summary(unquote(found["symbol"]))
        if request.path == "/v7/finance/quote":
            return self._quote(request.query.get("symbols", ""))
        if _TIMESERIES.fullmatch(request.path):
            return Answer({"timeseries": {"result": [{"meta": {}}], "error": None}})
        return _refused("finance", 404, "Not Found", "No such page")

    def _summary(self, symbol: str) -> Answer:
        instrument = self.instruments.get(symbol)
        if instrument is None:
            return _refused("quoteSummary", 404, "Not Found", f"Quote not found for symbol: {symbol}")
        quote_type = {"quoteType": instrument.kind, "symbol": symbol, "maxAge": 1}
        return Answer({"quoteSummary": {"result": [{"quoteType": quote_type}], "error": None}})

    def _quote(self, symbol: str) -> Answer:
        instrument = self.instruments.get(symbol)
        found: list[dict[str, Any]] = []
        if instrument is not None:
            quote = {"symbol": symbol, "quoteType": instrument.kind, "exchangeTimezoneName": instrument.zone}
            found = [quote | ({"market": instrument.market} if instrument.market else {})]
        return Answer({"quoteResponse": {"result": found, "error": None}})

    def _chart(self, symbol: str, query: Mapping[str, str]) -> Answer:
        instrument = self.instruments.get(symbol)
        interval = query.get("interval", "1d")
        if instrument is None or (interval != "1d" and instrument.minutes is None):
            return _refused("chart", 404, "Not Found", "No data found, symbol may be delisted")
        now = self.moment()
        if "period1" in query:
            start, end = (pd.Timestamp(int(query[name]), unit="s", tz="UTC") for name in ("period1", "period2"))
        else:
            start, end = now - pd.Timedelta(days=5), now
        if interval in _KEPT and start < now - _KEPT[interval] - pd.Timedelta(days=1):
            why = f"{interval} data not available: it must be within the last {_KEPT[interval].days} days"
            return _refused("chart", 422, "Unprocessable Entity", why)
        bars = self._daily(instrument, now) if interval == "1d" else self._intraday(instrument, interval, now)
        bars = bars[(bars.index >= start) & (bars.index < min(end, now))]
        return Answer({"chart": {"result": [self._result(symbol, instrument, interval, bars, now)], "error": None}})

    def _result(
        self, symbol: str, instrument: Instrument, interval: str, bars: pd.DataFrame, now: pd.Timestamp
    ) -> dict[str, Any]:
        meta: dict[str, Any] = {
            "currency": "USD",
            "symbol": symbol,
            "instrumentType": instrument.kind,
            "exchangeTimezoneName": instrument.zone,
            "timezone": "EST",
            "gmtoffset": -18000,
            "regularMarketTime": int(now.timestamp()),
            "priceHint": 2,
            "dataGranularity": interval,
            "range": "",
            "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
        }
        if interval != "1d":
            days = sorted(set(bars.index.tz_convert(instrument.zone).date))
            meta["tradingPeriods"] = [
                [
                    {
                        "timezone": "EST",
                        "gmtoffset": -18000,
                        "start": int(instrument.opening(day).timestamp()),
                        "end": int(instrument.closing(day).timestamp()),
                    }
                ]
                for day in days
            ]
        if not len(bars):
            return {"meta": meta, "indicators": {"quote": [{}]}}
        indicators = {"quote": [{name: _listed(bars[name]) for name in (*_PRICES, "volume")}]}
        if interval == "1d":
            indicators["adjclose"] = [{"adjclose": _listed(bars["adj_close"])}]
        result = {
            "meta": meta,
            "timestamp": bars.index.as_unit("s").asi8.tolist(),
            "indicators": indicators,
        }
        first = bars.index[0].tz_convert(instrument.zone).normalize()
        events = self._events(instrument, first, now)
        return result | ({"events": events} if events else {})

    def _events(self, instrument: Instrument, start: pd.Timestamp, end: pd.Timestamp) -> dict[str, Any]:
        def happened(actions: Mapping[date, Any]) -> dict[date, int]:
            times = {day: instrument.opening(day) for day in actions}
            return {day: int(time.timestamp()) for day, time in times.items() if start <= time <= end}

        events: dict[str, Any] = {}
        for name, amounts in (("dividends", instrument.dividends), ("capitalGains", instrument.capital_gains)):
            if found := happened(amounts):
                events[name] = {
                    str(time): {"amount": amounts[day] / self._split_after(instrument, day, end), "date": time}
                    for day, time in found.items()
                }
        if found := happened(instrument.splits):
            events["splits"] = {
                str(time): {
                    "date": time,
                    "numerator": instrument.splits[day][0],
                    "denominator": instrument.splits[day][1],
                    "splitRatio": f"{instrument.splits[day][0]:g}:{instrument.splits[day][1]:g}",
                }
                for day, time in found.items()
            }
        return events

    # -- bars ------------------------------------------------------------------------------------------------

    def _split_after(self, instrument: Instrument, day: date, now: pd.Timestamp) -> float:
        """Return how many shares one of a day has become by now."""
        later = [
            new / old for ex, (new, old) in instrument.splits.items() if ex > day and instrument.opening(ex) <= now
        ]
        return float(np.prod(later)) if later else 1.0

    def _daily(self, instrument: Instrument, now: pd.Timestamp) -> pd.DataFrame:
        raw = instrument.daily
        bars = raw[list(HOW)].astype(float)
        bars["adj_close"] = bars["close"]
        days = raw.index
        for ex, (new, old) in instrument.splits.items():
            if instrument.opening(ex) <= now:
                before = days < pd.Timestamp(ex)
                bars.loc[before, [*_PRICES, "adj_close"]] *= old / new
                bars.loc[before, "volume"] *= new / old
        closes, adjusted = raw["close"].ffill().to_numpy(float), bars["adj_close"].to_numpy(copy=True)
        for paid in (instrument.dividends, instrument.capital_gains):
            for ex, amount in paid.items():
                before = int(days.searchsorted(pd.Timestamp(ex)))
                if before and instrument.opening(ex) <= now:
                    adjusted[:before] *= 1 - amount / closes[before - 1]
        bars["adj_close"] = adjusted
        bars["volume"] = bars["volume"].round()
        opens = days.normalize() + pd.Timedelta(f"{instrument.hours[0]}:00")
        bars.index = opens.tz_localize(instrument.zone).tz_convert("UTC")
        return bars

    def _intraday(self, instrument: Instrument, interval: str, now: pd.Timestamp) -> pd.DataFrame:
        assert instrument.minutes is not None
        bars = instrument.minutes[list(HOW)].astype(float).tz_convert(instrument.zone)
        if interval != "1m":
            bars = bars.resample(_STEPS[interval]).agg(HOW).dropna(how="all", subset=_PRICES)
        for ex, (new, old) in instrument.splits.items():
            if instrument.opening(ex) <= now:
                before = bars.index < pd.Timestamp(ex, tz=instrument.zone)
                bars.loc[before, _PRICES] *= old / new
                bars.loc[before, "volume"] = (bars.loc[before, "volume"] * (new / old)).round()
        return bars.tz_convert("UTC")


def _listed(column: pd.Series) -> list[float | int | None]:
    values: list[Any] = column.tolist()
    return [None if value != value else int(value) if column.name == "volume" else value for value in values]


def _refused(what: str, status: int, code: str, description: str) -> Answer:
    return Answer({what: {"result": None, "error": {"code": code, "description": description}}}, status)
