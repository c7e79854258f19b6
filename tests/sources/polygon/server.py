"""A loopback server that speaks the part of the Polygon REST protocol that backtests use.

Aggregates (`/v2/aggs`) with pages, splits and option contracts (`/v3/reference`), keys and plans. Like the provider, it
holds raw bars and corporate actions and adjusts history at each request, so a new split changes all bars before it.
Hours and days that it was not given are made from minutes, as Polygon makes them.

After Polygon's documentation of the REST API: dates of a range are whole days of New York (of UTC for crypto and
forex), `limit` counts the bars of a page (5,000 unless told, at most 50,000), `next_url` names the next page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd

from wire.json_rows import objects_as_json
from wire.loopback import Answer, LoopbackServer, Request

KEY = "loopback-key-which-no-log-may-show"
NEW_YORK = "America/New_York"

_AGGREGATES = re.compile(
    r"/v2/aggs/ticker/(?P<ticker>[^/]+)/range/(?P<n>\d+)/(?P<span>\w+)/(?P<begin>[^/]+)/(?P<end>[^/]+)"
)
_MOST_BARS = 50_000
_BARS = 5_000
_HOW = {"o": "first", "h": "max", "l": "min", "c": "last", "v": "sum", "vw": "mean", "n": "sum", "otc": "last"}
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


@dataclass(frozen=True)
class Rows:
    """The starts of bars (milliseconds), and each bar as JSON."""

    starts: np.ndarray[Any, np.dtype[np.int64]]
    texts: list[str]


@dataclass
class PolygonServer(LoopbackServer):
    """Fill it with `serve`, `splits` and `contracts`. `earliest` is as far back as the plan goes.

    A page holds at most `page_limit` bars or entries, even if more were requested. With `whole_as_int`, whole numbers
    are written without a decimal point, as Polygon itself does. With `key_in_next_url`, pages are named with the key,
    as old versions of the protocol did.

    `raw` are the bars by ticker and timespan, as `raw_bars` returns them. `rows` are the series written as JSON so far,
    by everything that they depend on. Writing them takes longer than anything else the server does, so servers of the
    same bars may share them; `serve` starts again.
    """

    splits: list[Split] = field(default_factory=list)
    contracts: list[Contract] = field(default_factory=list)
    earliest: date | None = None
    page_limit: int = _MOST_BARS
    whole_as_int: bool = False
    key_in_next_url: bool = False
    raw: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    rows: dict[tuple[Hashable, ...], Rows] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()
        self._made: dict[tuple[str, str], pd.DataFrame] = {}

    def serve(self, ticker: str, timespan: str, frame: pd.DataFrame, *, leave_out: Sequence[str] = ()) -> None:
        """Serve raw bars (`raw_bars`)."""
        self.raw[ticker, timespan] = raw_bars(frame, leave_out)
        self._made.clear()
        self.rows = {}

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
        limit = min(int(request.query.get("limit", _BARS)), _MOST_BARS, self.page_limit)
        rows = self._rows(ticker, span, zone, adjusted)
        begin, stop = (int(rows.starts.searchsorted(_milliseconds(moment))) for moment in (first, last))
        page = rows.texts[begin : min(stop, begin + limit)]
        body: dict[str, Any] = {
            "ticker": ticker,
            "queryCount": len(page),
            "resultsCount": len(page),
            "adjusted": adjusted,
            "status": "OK",
            "request_id": "0",
            "count": len(page),
        }
        if begin + limit < stop:
            path = f"/v2/aggs/ticker/{ticker}/range/{n}/{span}/{rows.starts[begin + limit]}/{end}"
            body["next_url"] = self._next_url(path, request.query)
        text = json.dumps(body)
        if page:
            text = f'{text[:-1]}, "results": [{", ".join(page)}]}}'
        return Answer(text.encode())

    def _rows(self, ticker: str, span: str, zone: str, adjusted: bool) -> Rows:
        splits = tuple(split for split in self.splits if split.ticker == ticker) if adjusted else ()
        key = (ticker, span, splits, self.whole_as_int)
        rows = self.rows.get(key)
        if rows is None:
            bars = _adjusted(self._series(ticker, span, zone), splits)
            starts = bars.index.as_unit("ms").asi8
            rows = self.rows[key] = Rows(starts, self._as_json(bars.assign(t=starts)))
        return rows

    def _page(self, request: Request, found: Sequence[dict[str, Any]]) -> Answer:
        limit = min(int(request.query.get("limit", 10)), self.page_limit)
        begin = int(request.query.get("cursor", 0))
        body: dict[str, Any] = {"results": found[begin : begin + limit], "status": "OK", "request_id": "0"}
        if begin + limit < len(found):
            body["next_url"] = self._next_url(request.path, dict(request.query) | {"cursor": str(begin + limit)})
        return Answer(body)

    def _next_url(self, path: str, query: Mapping[str, str]) -> str:
        key = {"apiKey": KEY} if self.key_in_next_url else {}
        return f"{self.url}{path}?{urlencode(dict(query) | key)}"

    def _as_json(self, bars: pd.DataFrame) -> list[str]:
        """Return each bar as an object: `otc` only where it is so, numbers as this server writes them."""
        columns = {str(name): bars[name].tolist() for name in bars}
        if self.whole_as_int:
            columns = {name: [_whole(value) for value in values] for name, values in columns.items()}
        texts = objects_as_json(columns)
        return [text.replace(', "otc": false', "") for text in texts]

    # -- bars ------------------------------------------------------------------------------------------------

    def _series(self, ticker: str, span: str, zone: str) -> pd.DataFrame:
        """Return the raw bars of a ticker: those given, or made of its minutes; none for an unknown ticker."""
        given = self.raw.get((ticker, span))
        if given is not None:
            return given
        if (ticker, span) not in self._made:
            minutes = self.raw.get((ticker, "minute"))
            if minutes is None or span not in _SPANS:
                return pd.DataFrame(columns=list(_HOW), index=pd.DatetimeIndex([], tz="UTC"))
            how: Any = {name: way for name, way in _HOW.items() if name in minutes}
            larger = minutes.tz_convert(zone).resample(_SPANS[span]).agg(how).dropna()
            self._made[ticker, span] = larger.astype(minutes.dtypes.to_dict()).tz_convert("UTC")
        return self._made[ticker, span]


def raw_bars(frame: pd.DataFrame, leave_out: Sequence[str] = ()) -> pd.DataFrame:
    """Return bars as Polygon has them: open, high, low, close and, where there are any, volume and otc, by bar start.

    Whole-number columns stay such. `leave_out` names what the bars shall lack, as in JSON ("vw", "n").
    """
    bars = pd.DataFrame(index=frame.index.tz_convert("UTC"))
    bars["v"] = _numbers(frame["volume"]) if "volume" in frame else 0.0
    bars["vw"] = ((frame["high"] + frame["low"] + frame["close"]) / 3).round(4)
    for short, name in (("o", "open"), ("c", "close"), ("h", "high"), ("l", "low")):
        bars[short] = _numbers(frame[name])
    bars["n"] = (bars["v"] // 100).astype(int) + 1
    if "otc" in frame:
        bars["otc"] = frame["otc"]
    return bars.drop(columns=list(leave_out)).sort_index(kind="stable")


def _adjusted(bars: pd.DataFrame, splits: Sequence[Split]) -> pd.DataFrame:
    """Return bars as they look after splits that came later."""
    for split in splits:
        prices = [name for name in ("o", "h", "l", "c", "vw") if name in bars]
        bars = bars.astype(dict.fromkeys([*prices, "v"], float))
        before = bars.index < pd.Timestamp(split.day, tz=NEW_YORK)
        bars.loc[before, prices] *= split.before / split.after
        bars.loc[before, "v"] *= split.after / split.before
    return bars


def _numbers(column: pd.Series) -> pd.Series:
    return column if pd.api.types.is_integer_dtype(column.dtype) else column.astype(float)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _instant(text: str, zone: str, days: int) -> pd.Timestamp:
    """Return a moment: milliseconds since 1970, or the start of a day (`days=1`: its end)."""
    if text.isdigit():
        return pd.Timestamp(int(text) + days, unit="ms", tz="UTC")
    return (pd.Timestamp(text, tz=zone) + pd.Timedelta(days=days)).tz_convert("UTC")


def _milliseconds(moment: pd.Timestamp) -> int:
    return moment.value // 1_000_000


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
