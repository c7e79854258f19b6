"""A loopback server that speaks the part of the Polygon REST protocol that backtests use.

Aggregates (`/v2/aggs`) with pages, splits and option contracts (`/v3/reference`), keys and plans. What it serves is raw
bars and corporate actions, as it is at the provider: history is adjusted when it is asked for, so a new split changes
all bars before it. Hours and days that it was not given are made from minutes, as Polygon makes them.

After Polygon's documentation of the REST API: dates of a range are whole days of New York (of UTC for crypto and
forex), `limit` counts the bars of a page (5,000 unless told, at most 50,000), `next_url` names the next page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from typing import Any
from urllib.parse import urlencode

import pandas as pd

from wire.loopback import Answer, LoopbackServer, Request

KEY = "loopback-key-which-no-log-may-show"
NEW_YORK = "America/New_York"

_AGGREGATES = re.compile(
    r"/v2/aggs/ticker/(?P<ticker>[^/]+)/range/(?P<n>\d+)/(?P<span>\w+)/(?P<begin>[^/]+)/(?P<end>[^/]+)"
)
_MOST_BARS = 50_000
_BARS = 5_000
_HOW = {"o": "first", "h": "max", "l": "min", "c": "last", "v": "sum", "vw": "mean", "n": "sum"}
_SPANS = {"hour": "1h", "day": "1D"}


@dataclass(frozen=True)
class Split:
    """A split of a stock: one share became `after / before` shares on `day`."""

    ticker: str
    day: str
    before: float
    after: float


@dataclass(frozen=True)
class Contract:
    """An option contract."""

    ticker: str
    underlying: str
    expiration: str
    right: str
    strike: float
    shares: int = 100

    def as_json(self) -> dict[str, Any]:
        return {
            "cfi": "OCASPS" if self.right == "call" else "OPASPS",
            "contract_type": self.right,
            "exercise_style": "american",
            "expiration_date": self.expiration,
            "primary_exchange": "BATO",
            "shares_per_contract": self.shares,
            "strike_price": self.strike,
            "ticker": self.ticker,
            "underlying_ticker": self.underlying,
        }


@dataclass
class PolygonServer(LoopbackServer):
    """Fill it with `serve`, `splits` and `contracts`. `earliest` is as far back as the plan goes."""

    splits: list[Split] = field(default_factory=list)
    contracts: list[Contract] = field(default_factory=list)
    earliest: date | None = None

    def __post_init__(self) -> None:
        super().__init__()
        self._bars: dict[tuple[str, str], pd.DataFrame] = {}
        self._made: dict[tuple[str, str], pd.DataFrame] = {}

    def serve(self, ticker: str, timespan: str, frame: pd.DataFrame) -> None:
        """Serve raw bars: open, high, low, close and, where there is one, volume, by tz-aware bar start.

        Bars without volume are an index's, which has neither trades nor their average.
        """
        bars = pd.DataFrame(index=frame.index.tz_convert("UTC"))
        traded = "volume" in frame
        if traded:
            bars["v"] = frame["volume"].astype(float)
            bars["vw"] = ((frame["high"] + frame["low"] + frame["close"]) / 3).round(4)
        for short, name in (("o", "open"), ("c", "close"), ("h", "high"), ("l", "low")):
            bars[short] = frame[name].astype(float)
        if traded:
            bars["n"] = (bars["v"] // 100).astype(int) + 1
        self._bars[ticker, timespan] = bars.sort_index()
        self._made.clear()

    def asked(self, where: str = "") -> list[Request]:
        """Return the logged requests whose path holds `where`."""
        return [request for request in self.requests if where in request.path]

    # -- answers ---------------------------------------------------------------------------------------------

    def answer(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Answer as Polygon does."""
        if headers.get("authorization") != f"Bearer {KEY}":
            return Answer({"status": "ERROR", "request_id": "0", "error": "Unknown API Key"}, 401)
        if found := _AGGREGATES.fullmatch(request.path):
            return self._aggregates(request, **found.groupdict())
        if request.path == "/v3/reference/splits":
            return self._page(request, [_split_as_json(s) for s in self.splits if s.ticker == request.query["ticker"]])
        if request.path == "/v3/reference/options/contracts":
            chosen = [c for c in self.contracts if _is_asked_for(c, request.query)]
            return self._page(request, [c.as_json() for c in sorted(chosen, key=lambda c: c.ticker)])
        return Answer({"status": "NOT_FOUND", "request_id": "0", "message": "Resource not found"}, 404)

    def _aggregates(self, request: Request, ticker: str, n: str, span: str, begin: str, end: str) -> Answer:
        zone = "UTC" if ticker.startswith(("X:", "C:")) else NEW_YORK
        first, last = _instant(begin, zone, 0), _instant(end, zone, 1)
        if self.earliest is not None and first.tz_convert(NEW_YORK).date() < self.earliest:
            message = (
                "Your plan doesn't include this data timeframe. Please upgrade your plan at https://polygon.io/pricing"
            )
            return Answer({"status": "NOT_AUTHORIZED", "request_id": "0", "message": message}, 403)
        adjusted = request.query.get("adjusted", "true") == "true"
        bars = self._series(ticker, span, zone)
        bars = bars.loc[first : last - pd.Timedelta(1, "ms")]
        limit = min(int(request.query.get("limit", _BARS)), _MOST_BARS)
        page = self._adjusted(ticker, bars.iloc[:limit]) if adjusted else bars.iloc[:limit]
        body: dict[str, Any] = {
            "ticker": ticker,
            "queryCount": len(page),
            "resultsCount": len(page),
            "adjusted": adjusted,
            "status": "OK",
            "request_id": "0",
            "count": len(page),
        }
        if len(page):
            body["results"] = _bars_as_json(page)
        if len(bars) > limit:
            following = bars.index.as_unit("ms").asi8[limit]
            query = urlencode(dict(request.query))
            body["next_url"] = f"{self.url}/v2/aggs/ticker/{ticker}/range/{n}/{span}/{following}/{end}?{query}"
        return Answer(body)

    def _page(self, request: Request, found: Sequence[dict[str, Any]]) -> Answer:
        limit, begin = int(request.query.get("limit", 10)), int(request.query.get("cursor", 0))
        body: dict[str, Any] = {"results": found[begin : begin + limit], "status": "OK", "request_id": "0"}
        if begin + limit < len(found):
            query = urlencode(dict(request.query) | {"cursor": str(begin + limit)})
            body["next_url"] = f"{self.url}{request.path}?{query}"
        return Answer(body)

    # -- bars ------------------------------------------------------------------------------------------------

    def _series(self, ticker: str, span: str, zone: str) -> pd.DataFrame:
        """Return the raw bars of a ticker: those given, or made of its minutes; none for an unknown ticker."""
        given = self._bars.get((ticker, span))
        if given is not None:
            return given
        if (ticker, span) not in self._made:
            minutes = self._bars.get((ticker, "minute"))
            if minutes is None or span not in _SPANS:
                return pd.DataFrame(columns=list(_HOW), index=pd.DatetimeIndex([], tz="UTC"))
            how = {name: rule for name, rule in _HOW.items() if name in minutes}
            larger = minutes.tz_convert(zone).resample(_SPANS[span]).agg(how).dropna()  # type: ignore[arg-type]
            self._made[ticker, span] = larger.tz_convert("UTC")
        return self._made[ticker, span]

    def _adjusted(self, ticker: str, bars: pd.DataFrame) -> pd.DataFrame:
        """Return bars as they look after the splits that came later."""
        bars = bars.copy()
        for split in self.splits:
            if split.ticker == ticker:
                before = bars.index < pd.Timestamp(split.day, tz=NEW_YORK)
                prices = bars.columns.difference(["v", "n"])
                bars.loc[before, prices] *= split.before / split.after
                if "v" in bars:
                    bars.loc[before, "v"] *= split.after / split.before
        return bars


def _instant(text: str, zone: str, days: int) -> pd.Timestamp:
    """Return a moment: milliseconds since 1970, or the start of a day (`days=1`: its end)."""
    if text.isdigit():
        return pd.Timestamp(int(text) + days, unit="ms", tz="UTC")
    return (pd.Timestamp(text, tz=zone) + pd.Timedelta(days=days)).tz_convert("UTC")


def _bars_as_json(bars: pd.DataFrame) -> list[dict[str, Any]]:
    """Write numbers as Polygon does: a price or a volume that is whole has no decimal point."""
    columns: dict[str, list[Any]] = {
        name: [int(value) if value.is_integer() else value for value in bars[name].astype(float).tolist()]
        for name in bars.columns
    }
    columns["t"] = bars.index.as_unit("ms").asi8.tolist()  # type: ignore[attr-defined]
    return [dict(zip(columns, bar, strict=True)) for bar in zip(*columns.values(), strict=True)]


def _split_as_json(split: Split) -> dict[str, Any]:
    return {
        "execution_date": split.day,
        "id": f"E{split.ticker}{split.day}",
        "split_from": split.before,
        "split_to": split.after,
        "ticker": split.ticker,
    }


def _is_asked_for(contract: Contract, query: Mapping[str, str]) -> bool:
    today = datetime.now(timezone.utc).date().isoformat()
    conditions: Iterable[tuple[str, bool]] = (
        ("underlying_ticker", contract.underlying == query.get("underlying_ticker")),
        ("contract_type", contract.right == query.get("contract_type")),
        ("expiration_date", contract.expiration == query.get("expiration_date")),
        ("expiration_date.gte", contract.expiration >= query.get("expiration_date.gte", "")),
        ("expiration_date.lte", contract.expiration <= query.get("expiration_date.lte", "")),
        ("strike_price", contract.strike == float(query.get("strike_price", "nan"))),
    )
    expired = query.get("expired", "false") == "true"
    return (contract.expiration < today) == expired and all(met for name, met in conditions if name in query)
