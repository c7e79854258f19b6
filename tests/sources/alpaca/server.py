"""A loopback server that speaks the part of Alpaca's protocols that backtests use.

Market data (`/v2/stocks/bars`, `/v1beta3/crypto/us/bars`, `/v1beta1/options/bars`), corporate actions
(`/v1/corporate-actions`) and the trading API's list of option contracts (`/v2/options/contracts`, of paper and of live
accounts). It holds raw bars and corporate actions, and adjusts history at each request. Larger bars that
it was not given are made from minutes.

After Alpaca's documentation: `start` and `end` are both included, `limit` counts the bars of a page (1,000 unless told,
at most 10,000), `next_page_token` names the next page. Days of stocks begin at midnight in New York, those of crypto at
midnight in Chicago.
"""

from __future__ import annotations

import json
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from wire.json_rows import objects_as_json
from wire.loopback import Answer, LoopbackServer, Request

KEY = "PKLOOPBACKKEYFORTESTS"
SECRET = "loopback-secret-which-no-log-may-show"
TOKEN = "loopback-token-which-no-log-may-show"
NEW_YORK, CHICAGO = "America/New_York", "America/Chicago"

_DATA = {"/v2/stocks/bars": "stock", "/v1beta3/crypto/us/bars": "crypto", "/v1beta1/options/bars": "option"}
_HOW = {"o": "first", "h": "max", "l": "min", "c": "last", "v": "sum", "n": "sum", "vw": "mean"}
_UNITS = {"Min": "min", "Hour": "h", "Day": "D"}
_DELAY = 15 * 60
Rows: TypeAlias = "tuple[np.ndarray[Any, np.dtype[np.int64]], list[str]]"


@dataclass(frozen=True)
class Action:
    """A split (`before` old shares became `after`), or a dividend of `amount` a share, on an ex-date."""

    symbol: str
    day: str
    before: float = 1.0
    after: float = 1.0
    amount: float | None = None

    @property
    def kind(self) -> str:
        if self.amount is not None:
            return "cash_dividends"
        return "forward_splits" if self.after > self.before else "reverse_splits"

    def as_json(self) -> dict[str, Any]:
        dates = {"ex_date": self.day, "process_date": self.day, "record_date": self.day, "payable_date": self.day}
        if self.amount is not None:
            return {
                "symbol": self.symbol,
                "cusip": "1",
                "rate": self.amount,
                "special": False,
                "foreign": False,
                "id": "00000000-0000-0000-0000-000000000001",
                **dates,
            }
        cusips = {"cusip": "1"} if self.after > self.before else {"old_cusip": "1", "new_cusip": "2"}
        rates = {"new_rate": self.after, "old_rate": self.before}
        return {"symbol": self.symbol, "id": "00000000-0000-0000-0000-000000000002", **cusips, **rates, **dates}


@dataclass(frozen=True)
class Contract:
    """An option contract."""

    symbol: str
    underlying: str
    expiration: str
    right: str
    strike: float
    size: int = 100
    root: str | None = None

    def as_json(self, status: str) -> dict[str, Any]:
        return {
            "id": "00000000-0000-0000-0000-000000000003",
            "symbol": self.symbol,
            "name": self.symbol,
            "status": status,
            "tradable": status == "active",
            "expiration_date": self.expiration,
            "root_symbol": self.root or self.underlying,
            "underlying_symbol": self.underlying,
            "underlying_asset_id": "00000000-0000-0000-0000-000000000004",
            "type": self.right,
            "style": "american",
            "strike_price": f"{self.strike:g}",
            "size": str(self.size),
        }


@dataclass
class AlpacaServer(LoopbackServer):
    """Fill it with `serve`, `actions` and `contracts`.

    `accounts` are those ("paper", "live") whose trading API knows the key. A page holds at most `page_limit` entries,
    even if more were requested. `entitled=False` refuses corporate actions, `recent` serves the latest fifteen minutes.
    """

    actions: list[Action] = field(default_factory=list)
    contracts: list[Contract] = field(default_factory=list)
    accounts: tuple[str, ...] = ("paper",)
    page_limit: int = 10_000
    entitled: bool = True
    recent: bool = False

    def __post_init__(self) -> None:
        super().__init__()
        self._bars: dict[tuple[str, str, str], pd.DataFrame] = {}
        self._made: dict[tuple[str, str, str], pd.DataFrame] = {}
        self._written: dict[tuple[Hashable, ...], Rows] = {}

    def serve(self, kind: str, symbol: str, frame: pd.DataFrame, timeframe: str = "1Min") -> None:
        """Serve raw bars of a "stock", "crypto" or "option": open, high, low, close, volume by tz-aware bar start."""
        bars = pd.DataFrame(index=frame.index.tz_convert("UTC"))
        for short, name in (("o", "open"), ("h", "high"), ("l", "low"), ("c", "close"), ("v", "volume")):
            bars[short] = frame[name]
        bars["n"] = (bars["v"] // 100).astype(int) + 1
        bars["vw"] = ((bars["h"] + bars["l"] + bars["c"]) / 3).round(6)
        self._bars[kind, symbol, timeframe] = bars.sort_index()
        self._made.clear()
        self._written.clear()

    def asked(self, where: str = "") -> list[Request]:
        """Return the logged requests whose path holds `where`."""
        return [request for request in self.requests if where in request.path]

    # -- answers ---------------------------------------------------------------------------------------------

    def answer(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Answer as Alpaca does."""
        known = (headers.get("apca-api-key-id") == KEY and headers.get("apca-api-secret-key") == SECRET) or headers.get(
            "authorization"
        ) == f"Bearer {TOKEN}"
        account, _, path = request.path[1:].partition("/")
        if account in ("paper", "live"):
            if not known or account not in self.accounts:
                return Answer({"code": 40110000, "message": "request is not authorized"}, 401)
            if path == "v2/options/contracts":
                return self._contracts(request)
        elif not known:
            return Answer({"message": "forbidden."}, 403)
        elif request.path in _DATA:
            return self._bars_answer(_DATA[request.path], request)
        elif request.path == "/v1/corporate-actions":
            return self._actions_answer(request)
        return Answer({"message": "endpoint not found"}, 404)

    def _bars_answer(self, kind: str, request: Request) -> Answer:
        query = request.query
        symbols, timeframe = query["symbols"].split(","), query["timeframe"]
        for symbol in symbols:
            if not symbol.replace("/", "").replace(".", "").isalnum():
                return Answer({"message": f"invalid symbol: {symbol}"}, 400)
        first, last = (_seconds(query[name]) for name in ("start", "end"))
        if last < first:
            return Answer({"message": "end should not be before start"}, 400)
        if kind == "stock" and not self.recent and last > time.time() - _DELAY:
            return Answer({"message": "subscription does not permit querying recent SIP data"}, 403)
        begin = int(query.get("page_token", 0))
        left = min(int(query.get("limit", 1000)), 10_000, self.page_limit)
        bars, passed = [], 0  # the bars of the symbols follow each other, and pages end anywhere
        token: str | None = None
        for symbol in symbols:
            starts, rows = self._rows(kind, symbol, timeframe, query.get("adjustment", "raw"))
            low, high = int(starts.searchsorted(first)), int(starts.searchsorted(last, side="right"))
            page = rows[min(high, low + max(0, begin - passed)) : high]
            if len(page) > left:
                token = str(max(begin, passed) + left)
            if page[:left]:
                bars.append(f"{json.dumps(symbol)}: [{', '.join(page[:left])}]")
            passed += high - low
            left -= len(page[:left])
            if token is not None:
                break
        return Answer(f'{{"bars": {{{", ".join(bars)}}}, "next_page_token": {json.dumps(token)}}}'.encode())

    def _actions_answer(self, request: Request) -> Answer:
        if not self.entitled:
            return Answer({"message": "subscription does not permit querying corporate actions"}, 403)
        query = request.query
        types = query["types"].split(",") if "types" in query else None
        found = [
            action
            for action in sorted(self.actions, key=lambda action: action.day)
            if action.symbol in query["symbols"].split(",")
            and query.get("start", "") <= action.day <= query.get("end", "9")
            and (types is None or action.kind.removesuffix("s") in types)
        ]
        begin = int(query.get("page_token", 0))
        end = begin + min(int(query.get("limit", 100)), 1000, self.page_limit)
        answer: dict[str, list[dict[str, Any]]] = {}
        for action in found[begin:end]:
            answer.setdefault(action.kind, []).append(action.as_json())
        return Answer({"corporate_actions": answer, "next_page_token": str(end) if end < len(found) else None})

    def _contracts(self, request: Request) -> Answer:
        query = request.query
        status = query.get("status", "active")
        today = datetime.now(timezone.utc).date().isoformat()
        found = [
            contract
            for contract in sorted(self.contracts, key=lambda contract: contract.symbol)
            if contract.underlying in query["underlying_symbols"].split(",")
            and query.get("expiration_date_gte", "") <= contract.expiration <= query.get("expiration_date_lte", "9")
            and (status == "active") == (contract.expiration >= today)
        ]
        begin = int(query.get("page_token", 0))
        end = begin + min(int(query.get("limit", 100)), 10_000, self.page_limit)
        page = [contract.as_json(status) for contract in found[begin:end]]
        return Answer({"option_contracts": page, "next_page_token": str(end) if end < len(found) else None})

    # -- bars ------------------------------------------------------------------------------------------------

    def _rows(self, kind: str, symbol: str, timeframe: str, adjustment: str) -> Rows:
        """Return the starts of a series (seconds) and each of its bars as JSON, which takes long to write."""
        actions = tuple(action for action in self.actions if action.symbol == symbol) if kind == "stock" else ()
        key = (kind, symbol, timeframe, adjustment, actions)
        if key not in self._written:
            bars = self._series(kind, symbol, timeframe)
            adjusted = self._adjusted(symbol, bars, adjustment) if kind == "stock" else bars
            starts = bars.index.as_unit("s").asi8
            times = np.datetime_as_string(starts.astype("datetime64[s]"), timezone="UTC").tolist()
            columns = {str(name): adjusted[name].tolist() for name in adjusted}
            self._written[key] = starts, objects_as_json({"t": times, **columns})
        return self._written[key]

    def _series(self, kind: str, symbol: str, timeframe: str) -> pd.DataFrame:
        """Return the raw bars of a symbol: those given, or made of its minutes; none for an unknown one."""
        key = (kind, symbol, timeframe)
        if key in self._bars:
            return self._bars[key]
        if key not in self._made:
            minutes = self._bars.get((kind, symbol, "1Min"))
            if minutes is None:
                return pd.DataFrame(columns=list(_HOW), index=pd.DatetimeIndex([], tz="UTC"))
            unit = timeframe.lstrip("0123456789")
            step = timeframe.removesuffix(unit) + _UNITS[unit]
            zone = CHICAGO if kind == "crypto" else NEW_YORK
            how: Any = _HOW
            larger = minutes.tz_convert(zone).resample(step, origin=pd.Timestamp("2020-01-01", tz=zone)).agg(how)
            self._made[key] = larger.dropna().tz_convert("UTC").astype(minutes.dtypes.to_dict())
        return self._made[key]

    def _adjusted(self, symbol: str, bars: pd.DataFrame, adjustment: str) -> pd.DataFrame:
        """Return bars as they look after the splits (and, with "all", the dividends) that came later."""
        for action in self.actions:
            if action.symbol != symbol or adjustment == "raw" or (action.amount is not None and adjustment != "all"):
                continue
            bars = bars.astype(dict.fromkeys(("o", "h", "l", "c", "vw"), float))
            before = bars.index < pd.Timestamp(action.day, tz=NEW_YORK)
            factor = self._dividend_factor(action) if action.amount is not None else action.before / action.after
            bars.loc[before, ["o", "h", "l", "c", "vw"]] *= factor
            if action.amount is None:
                bars.loc[before, "v"] = (bars.loc[before, "v"] / factor).round().astype(bars["v"].dtype)
        return bars

    def _dividend_factor(self, action: Action) -> float:
        minutes = self._series("stock", action.symbol, "1Day")
        before = minutes[minutes.index < pd.Timestamp(action.day, tz=NEW_YORK)]
        return 1.0 - (action.amount or 0.0) / float(before["c"].iloc[-1]) if len(before) else 1.0


def _seconds(text: str) -> float:
    moment = pd.Timestamp(text)
    return (moment.tz_localize("UTC") if moment.tz is None else moment).timestamp()
