"""Answers Polygon's official client from the store, in Polygon's protocol, in place of its connection pool.

It serves what backtests request: aggregates, splits and option contracts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import lumibot.credentials
import numpy as np
import pandas as pd
from lumibot.tools import polygon_helper
from polygon.rest.base import BaseClient

from lumibot_duckdb import clock
from lumibot_duckdb.lumibot_contract.strategy_access import strategy_module
from lumibot_duckdb.sources.polygon.chains import CHAIN_REUSE
from lumibot_duckdb.sources.polygon.client import day_range
from lumibot_duckdb.sources.polygon.frames import COLUMNS
from lumibot_duckdb.sources.polygon.metadata import SOURCE, SPLIT_ADJUSTED, TICKER, WHOLE_NUMBERS
from lumibot_duckdb.sources.shared.days import DaySpan
from lumibot_duckdb.sources.shared.replacing import replaced, without_pauses
from lumibot_duckdb.sources.shared.stored_answers import PLACEHOLDER_KEY, StoredAnswers
from lumibot_duckdb.storage.api import AssetKey, CorporateAction, SeriesKey, TimeRange
from lumibot_duckdb.storage.reference.occ import occ_symbol, option_of

_AGGREGATES = re.compile(
    r"/v2/aggs/ticker/(?P<ticker>[^/]+)/range/(?P<count>\d+)/(?P<timespan>\w+)/(?P<begin>[^/]+)/(?P<end>[^/]+)"
)
_SPLITS, _CONTRACTS = "/v3/reference/splits", "/v3/reference/options/contracts"
_TIMESPANS = ("minute", "hour", "day")
_BARS_PER_PAGE = 5_000

Query = Mapping[str, str]


@contextmanager
def answering(answers: StoredAnswers) -> Iterator[None]:
    """Answer every Polygon client that is constructed within a `with` block from the store."""
    made = BaseClient.__init__
    polygon = _StoredPolygon(answers)

    def make(client: Any, *arguments: Any, **settings: Any) -> None:
        made(client, *arguments, **settings)
        client.client = _Pool(polygon)

    with ExitStack() as replacements:
        replacements.enter_context(replaced(BaseClient, "__init__", make))
        replacements.enter_context(without_pauses(polygon_helper))
        # Lumibot's modules copied the key from the environment when they were imported.
        for module in (lumibot.credentials, strategy_module(), polygon_helper):
            if not module.POLYGON_API_KEY:
                replacements.enter_context(replaced(module, "POLYGON_API_KEY", PLACEHOLDER_KEY))
        yield


@dataclass(frozen=True)
class _Response:
    """The parts of a response that the client reads."""

    status: int
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class _Pool:
    """Takes the place of a client's connection pool."""

    def __init__(self, polygon: _StoredPolygon) -> None:
        self._polygon = polygon
        self.connection_pool_kw: dict[str, Any] = {}

    def request(self, method: str, url: str, fields: Mapping[str, Any] | None = None, **settings: Any) -> _Response:
        """Answer a request."""
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query)) | {name: str(value) for name, value in (fields or {}).items()}
        body = self._polygon.answer(unquote(parts.path), query, f"{parts.scheme}://{parts.netloc}")
        if body is None:
            return _Response(404, b'{"status": "NOT_FOUND", "message": "the store does not have this"}')
        return _Response(200, json.dumps({"status": "OK", "request_id": "0", **body}).encode())


class _StoredPolygon:
    def __init__(self, answers: StoredAnswers) -> None:
        self._answers = answers
        self._storage = answers.storage
        self._options: dict[str, AssetKey] = {}

    def answer(self, path: str, query: Query, host: str) -> dict[str, Any] | None:
        """Return the JSON object that answers a request; None for data that the store never has."""
        if found := _AGGREGATES.fullmatch(path):
            body = self._aggregates(query=query, host=host, **found.groupdict())
        elif path == _SPLITS and "ticker" in query:
            body = {"results": self._splits(query["ticker"])}
        elif path == _CONTRACTS and "strike_price" in query:
            body = {"results": self._contract(query)}
        elif path == _CONTRACTS and "underlying_ticker" in query:
            body = {"results": self._contracts(query)}
        else:
            body = None
        if body is None:
            self._answers.notes.note(f"Polygon's {path}")
        return body

    # -- bars ------------------------------------------------------------------------------------------------

    def _aggregates(
        self, *, ticker: str, count: str, timespan: str, begin: str, end: str, query: Query, host: str
    ) -> dict[str, Any] | None:
        if count != "1" or timespan not in _TIMESPANS or query.get("adjusted", "true") != "true":
            return None
        if query.get("sort", "asc") != "asc":
            return None
        asset = self._asset_of(ticker)
        adjustment = SPLIT_ADJUSTED if asset.asset_type in ("stock", "option") else ""
        wanted = TimeRange(_moment(ticker, begin, 0), _moment(ticker, end, 1))
        key = self._answers.best(SeriesKey(asset, SOURCE, timespan, adjustment), wanted)
        bars = self._answers.bars(key, wanted)
        limit = int(query.get("limit", _BARS_PER_PAGE))
        page = bars.iloc[:limit]
        body = {"ticker": ticker, "adjusted": True, "queryCount": len(page), "resultsCount": len(page)}
        if len(page):
            body["results"] = _as_json(page, self._whole_numbers(key, wanted))
        if len(bars) > limit:
            following = pd.DatetimeIndex(bars.index).as_unit("ms").asi8[limit]
            path = f"/v2/aggs/ticker/{ticker}/range/1/{timespan}/{following}/{end}"
            body["next_url"] = f"{host}{path}?{urlencode(query)}"
        return body

    def _asset_of(self, ticker: str) -> AssetKey:
        """Return the asset of a ticker."""
        prefix, _, name = ticker.rpartition(":")
        name = name.upper()
        if prefix == "O":
            return self._options.get(ticker) or option_of(name) or AssetKey(name, "option")
        if prefix == "I":
            return AssetKey(name, "index")
        if prefix not in ("X", "C"):
            return AssetKey(name)
        kind = {"X": "crypto", "C": "forex"}[prefix]
        pairs = [AssetKey(name[:cut], kind, name[cut:]) for cut in range(len(name) - 1, 0, -1)]
        stored = (pair for pair in pairs for span in _TIMESPANS if self._answers.pin(SeriesKey(pair, SOURCE, span)))
        return next(stored, AssetKey(name[:-3], kind, name[-3:]))

    def _whole_numbers(self, key: SeriesKey, wanted: TimeRange) -> set[str]:
        """Return the columns that are floats in the store but in which Polygon sent only whole numbers for a range."""
        pin = self._answers.pin(key)
        assert pin is not None
        mixed = {column.name for column in self._storage.facts(pin).columns if column.mixed}
        if not mixed:
            return mixed
        whole = [set(ingest.metadata.get(WHOLE_NUMBERS, ())) for ingest in self._storage.ingests(pin, [wanted])]
        return mixed.intersection(*whole)

    # -- splits and options ----------------------------------------------------------------------------------

    def _splits(self, ticker: str) -> list[dict[str, Any]]:
        known = self._storage.corporate_actions(AssetKey(ticker.upper()), SOURCE)
        if known is None:
            self._answers.notes.note(f"splits of {ticker} from Polygon")
            return []
        return [_split_as_json(ticker, action) for action in known.actions]

    def _contract(self, query: Query) -> list[dict[str, Any]]:
        """Return the contract that matches a request for a single one, if it exists."""
        strike, right = float(query["strike_price"]), query["contract_type"]
        expiration = date.fromisoformat(query["expiration_date"])
        underlying = query["underlying_ticker"]
        asset = AssetKey(underlying.upper(), "option", expiration=expiration, strike=strike, right=right.upper())
        tickers = self._tickers_of(asset)
        if not tickers:
            self._answers.notes.note(f"{asset.label()} from Polygon: whether this contract exists")
        ticker = next(filter(None, tickers), None)
        if ticker is None:
            return []
        self._options[ticker] = asset
        return [_contract_as_json(ticker, underlying, expiration, right, _whole(strike), 100, None)]

    def _tickers_of(self, asset: AssetKey) -> list[str | None]:
        """Return Polygon's tickers of an option at each download; None stands for a contract that did not exist."""
        keys = [SeriesKey(asset, SOURCE, timespan, SPLIT_ADJUSTED) for timespan in _TIMESPANS]
        for pin in (self._answers.pin(each) for key in keys for each in self._answers.with_any_quote(key)):
            if pin is not None:
                writes = self._storage.ingests(pin) or self._storage.empty_answers(pin)
                if tickers := [ingest.metadata[TICKER] for ingest in writes if TICKER in ingest.metadata]:
                    return tickers
                if self._storage.facts(pin).rows:  # bars from an old cache, which does not have the ticker
                    return [_ticker(asset)]
        return []

    def _contracts(self, query: Query) -> list[dict[str, Any]]:
        """Return the contracts of a chain that have expired, or those that have not, by our own rules of reuse."""
        underlying, first = query["underlying_ticker"], query["expiration_date.gte"]
        day, until = date.fromisoformat(first), query.get("expiration_date.lte")
        stock, bound = AssetKey(underlying.upper()), None
        if until is not None:
            bound = (date.fromisoformat(until) - day).days
        found = None if bound is None else self._storage.option_chain(stock, SOURCE, day, day, days_ahead=bound)
        found = found or self._storage.option_chain(stock, SOURCE, day - CHAIN_REUSE, day)
        if found is None:
            self._answers.notes.note(f"option chain of {underlying} on {day} from Polygon")
            return []
        expired, today = query.get("expired", "false") == "true", clock.today().isoformat()
        shares, exchange = found.chain["Multiplier"], found.chain["Exchange"]
        contracts = []
        for right, expirations in found.chain["Chains"].items():
            for expiration, strikes in expirations.items():
                if first <= expiration <= (until or "9999") and (expiration < today) == expired:
                    on = date.fromisoformat(expiration)
                    for strike in strikes:
                        ticker = f"O:{occ_symbol(underlying, on, right, strike)}"
                        contracts.append(
                            _contract_as_json(ticker, underlying, on, right.lower(), strike, shares, exchange)
                        )
        return contracts


def _ticker(option: AssetKey) -> str:
    assert option.expiration is not None
    assert option.right is not None
    assert option.strike is not None
    return f"O:{occ_symbol(option.symbol, option.expiration, option.right, option.strike)}"


def _moment(ticker: str, text: str, days: int) -> int:
    """Return a time in epoch seconds, given in milliseconds or as a day, which means its start (`days=1`: its end)."""
    if text.isdigit():
        return -(-(int(text) + days) // 1000)
    day = date.fromisoformat(text)
    return day_range(ticker, DaySpan(day, day))[days]


def _as_json(bars: pd.DataFrame, whole: set[str]) -> list[dict[str, Any]]:
    """Return bars as JSON objects, without missing values."""
    columns = {short: bars[name].tolist() for name, short in COLUMNS.items() if name in bars}
    for name in whole:
        columns[COLUMNS[name]] = bars[name].astype("int64").tolist()
    columns["t"] = pd.DatetimeIndex(bars.index).as_unit("ms").asi8.tolist()
    partial = {short for short, values in columns.items() if bool(pd.isna(np.array(values, dtype=object)).any())}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if partial:
        rows = [{name: each for name, each in row.items() if name not in partial or not pd.isna(each)} for row in rows]
    return rows


def _split_as_json(ticker: str, action: CorporateAction) -> dict[str, Any]:
    assert action.split_from is not None
    assert action.split_to is not None
    return {
        "execution_date": action.ex_date.isoformat(),
        "split_from": _whole(action.split_from),
        "split_to": _whole(action.split_to),
        "ticker": ticker,
    }


def _contract_as_json(
    ticker: str, underlying: str, expiration: date, right: str, strike: float, shares: Any, exchange: str | None
) -> dict[str, Any]:
    return {
        "contract_type": right,
        "exercise_style": "american",
        "expiration_date": expiration.isoformat(),
        "primary_exchange": exchange,
        "shares_per_contract": shares,
        "strike_price": strike,
        "ticker": ticker,
        "underlying_ticker": underlying,
    }


def _whole(number: float) -> float | int:
    return int(number) if number.is_integer() else number
