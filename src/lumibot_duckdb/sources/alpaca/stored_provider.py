"""Answers Alpaca's official clients from the store, in Alpaca's protocols, at the method that sends every request.

It serves what backtests request: bars of stocks, crypto and options, and the option contracts on a stock. The account
of a live broker is empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
from alpaca.common.exceptions import APIError
from alpaca.common.rest import RESTClient
from lumibot.backtesting import AlpacaBacktesting as LumibotAlpacaBacktesting
from lumibot.backtesting import alpaca_backtesting

from lumibot_duckdb import clock
from lumibot_duckdb.sources.alpaca.chains import SOURCE
from lumibot_duckdb.sources.shared.replacing import replaced
from lumibot_duckdb.sources.shared.stored_answers import StoredAnswers
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
from lumibot_duckdb.storage.reference.occ import occ_symbol, option_of
from lumibot_duckdb.storage.timeframes import bar_seconds, canonical_timeframe

_BARS = {"/v2/stocks/bars": "stock", "/v1beta3/crypto/us/bars": "crypto", "/v1beta1/options/bars": "option"}
_CONTRACTS = "/v2/options/contracts"
_SHORT = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v", "trade_count": "n", "vwap": "vw"}
_BARS_A_PAGE = 10_000
_UNLIMITED = 10**9
_NOBODY = "00000000-0000-0000-0000-000000000000"

_EMPTY_ACCOUNT: dict[str, Any] = {
    "/v2/account": {
        "id": _NOBODY,
        "account_number": "none",
        "status": "ACTIVE",
        "currency": "USD",
        **dict.fromkeys(("cash", "equity", "portfolio_value", "long_market_value", "short_market_value"), "0"),
    },
    "/v2/positions": [],
    "/v2/orders": [],
}
"""The account of a live broker that a script constructs although its backtests do not use it."""

Query = Mapping[str, Any]


_needed: ContextVar[TimeRange | None] = ContextVar("range for which Lumibot needs bars", default=None)


@contextmanager
def answering(answers: StoredAnswers) -> Iterator[None]:
    """Answer all of Alpaca's clients from the store within a `with` block."""
    alpaca, fetch = _StoredAlpaca(answers), alpaca_backtesting.fetch_alpaca_bars

    def fetch_alpaca_bars(client: Any, request: Any, *arguments: Any, **settings: Any) -> Any:
        """Fetch like Lumibot, and remember the range that it needs: its shared cache requests an extra bar per end."""
        first, last = _first_second(request.start), _last_second(request.end)
        before = _needed.set(TimeRange(first, max(first, last + 1)))
        try:
            return fetch(client, request, *arguments, **settings)
        finally:
            _needed.reset(before)

    def one_request(client: Any, method: str, url: str, opts: Mapping[str, Any], retry: int) -> Any:
        query = {name: getattr(value, "value", value) for name, value in (opts.get("params") or {}).items()}
        path = urlsplit(url).path
        if method == "GET" and path in _EMPTY_ACCOUNT:
            return _EMPTY_ACCOUNT[path]
        return alpaca.answer(path, query)

    with (
        replaced(RESTClient, "_one_request", one_request),
        replaced(alpaca_backtesting, "fetch_alpaca_bars", fetch_alpaca_bars),
        replaced(LumibotAlpacaBacktesting, "ALPACA_MAX_REQUESTS_PER_MINUTE", _UNLIMITED),
    ):
        yield


class _StoredAlpaca:
    def __init__(self, answers: StoredAnswers) -> None:
        self._answers = answers
        self._storage = answers.storage

    def answer(self, path: str, query: Query) -> dict[str, Any]:
        """Return the JSON object that answers a request. Raises `APIError` for data that the store never has."""
        if path in _BARS and query.get("sort") in (None, "asc"):
            return self._bars(_BARS[path], query)
        if path == _CONTRACTS:
            return {"option_contracts": self._contracts(query), "next_page_token": None}
        self._answers.notes.note(f"Alpaca's {path}")
        raise APIError('{"code": 40410000, "message": "the store does not have this"}')  # type: ignore[no-untyped-call]

    # -- bars ------------------------------------------------------------------------------------------------

    def _bars(self, kind: str, query: Query) -> dict[str, Any]:
        """Return a page of bars: one symbol, for a span that cannot have more bars than a page allows."""
        symbols, timeframe = str(query["symbols"]).split(","), canonical_timeframe(str(query["timeframe"]))
        first, last = _first_second(query["start"]), _last_second(query["end"])
        place, start = map(int, str(query.get("page_token") or f"0:{first}").split(":"))
        adjustment = str(query.get("adjustment") or "raw") if kind == "stock" else ""
        requested = TimeRange(first, max(first, last + 1))
        key = SeriesKey(_asset_of(kind, symbols[place]), SOURCE, timeframe, "" if adjustment == "raw" else adjustment)
        key = self._answers.best(key, requested)
        if start == first:
            self._note(key, requested)
        end = min(last + 1, start + _BARS_A_PAGE * bar_seconds(timeframe))
        bars = self._read(key, TimeRange(start, max(start, end)))
        token = f"{place}:{end}" if end <= last else f"{place + 1}:{first}" if place + 1 < len(symbols) else None
        return {"bars": {symbols[place]: bars} if bars else {}, "next_page_token": token}

    def _note(self, key: SeriesKey, requested: TimeRange) -> None:
        """Note the parts of a request that Lumibot needs and that are not stored."""
        needed = _needed.get() or requested
        start, end = max(requested.start, needed.start), min(requested.end, needed.end)
        self._answers.note(key, self._answers.missing(key, TimeRange(start, max(start, end))))

    def _read(self, key: SeriesKey, within: TimeRange) -> list[dict[str, Any]]:
        pin = self._answers.pin(key)
        if pin is None:
            return []
        found = self._storage.read_bars(pin, within, remember=False)
        columns: dict[str, list[Any]] = {"t": np.datetime_as_string(found.times.astype("datetime64[s]")).tolist()}
        for name, short in _SHORT.items():
            if name in found.columns:
                columns[short] = [None if value != value else value for value in found.columns[name].tolist()]
        rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
        return [row | {"t": f"{row['t']}Z"} for row in rows]

    # -- options ---------------------------------------------------------------------------------------------

    def _contracts(self, query: Query) -> list[dict[str, Any]]:
        """Return the contracts on a stock that expire in a range of days and have the requested status."""
        underlying = str(query["underlying_symbols"])
        first, last = (date.fromisoformat(str(query[f"expiration_date_{end}"])) for end in ("gte", "lte"))
        status, today = str(query["status"]), clock.today()
        return [
            _contract_as_json(underlying, expiration, right, strike, status)
            for expiration, right, strike in self._listed(underlying, first, last)
            if (expiration < today) == (status == "inactive")
        ]

    def _listed(self, underlying: str, first: date, last: date) -> list[tuple[date, str, float]]:
        """Return expiration, right and strike of the stored contracts, from as many listings as needed.

        A listing has all contracts that expire from its day on, for a number of days.
        """
        extra = int(LumibotAlpacaBacktesting.OPTION_CHAIN_LISTING_EXTRA_DAYS)
        usual = int(LumibotAlpacaBacktesting.OPTION_CHAIN_MAX_DAYS) + extra
        found: dict[tuple[date, str, float], None] = {}
        day = first
        while day <= last:
            until = self._add_listing(found, underlying, day, (usual, (last - first).days))
            if until is None:
                self._answers.notes.note(f"option contracts on {underlying} expiring from {day} to {last} from Alpaca")
                break
            day = until + timedelta(days=1)
        return [contract for contract in found if first <= contract[0] <= last]

    def _add_listing(
        self, found: dict[tuple[date, str, float], None], underlying: str, day: date, bounds: tuple[int, ...]
    ) -> date | None:
        """Add the contracts of the longest listing that includes a day; return its last day, None if there is none."""
        listings = [
            listing
            for ahead in dict.fromkeys(bounds)
            if (
                listing := self._storage.option_chain(
                    AssetKey(underlying.upper()), SOURCE, day - timedelta(days=ahead), day, days_ahead=ahead
                )
            )
        ]
        if not listings:
            return None
        best = max(listings, key=lambda listing: listing.as_of + timedelta(days=listing.days_ahead or 0))
        for right, expirations in best.chain["Chains"].items():
            for expiration, strikes in expirations.items():
                found |= dict.fromkeys((date.fromisoformat(expiration), right, strike) for strike in strikes)
        return best.as_of + timedelta(days=best.days_ahead or 0)


def _asset_of(kind: str, symbol: str) -> AssetKey:
    if kind == "option":
        return option_of(symbol) or AssetKey(symbol.upper(), "option")
    base, _, quote = symbol.upper().partition("/")
    return AssetKey(base, kind, quote or None)


def _contract_as_json(underlying: str, expiration: date, right: str, strike: float, status: str) -> dict[str, Any]:
    symbol = occ_symbol(underlying, expiration, right, strike)
    return {
        "id": _NOBODY,
        "symbol": symbol,
        "name": symbol,
        "status": status,
        "tradable": status == "active",
        "expiration_date": expiration.isoformat(),
        "root_symbol": underlying,
        "underlying_symbol": underlying,
        "underlying_asset_id": _NOBODY,
        "type": right.lower(),
        "style": "american",
        "strike_price": repr(strike),
        "size": "100",
    }


def _nanoseconds(moment: Any) -> int:
    stamp = pd.Timestamp(moment)
    return int((stamp.tz_localize("UTC") if stamp.tz is None else stamp).as_unit("ns").value)


def _first_second(moment: Any) -> int:
    return -(-_nanoseconds(moment) // 10**9)


def _last_second(moment: Any) -> int:
    """Return the last whole second at or before a moment, because both ends of a request are included."""
    return _nanoseconds(moment) // 10**9
