"""Parses the names of files in Lumibot's Polygon cache: the asset and timeframe, or the stock of a chain."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime

from lumibot_duckdb.sources.polygon.metadata import SOURCE, SPLIT_ADJUSTED
from lumibot_duckdb.sources.shared.old_cache.errors import LeftAloneError
from lumibot_duckdb.storage.api import AssetKey, SeriesKey
from lumibot_duckdb.storage.identity import PAIR_TYPES

SPLITS = "_splits"
"""The suffix that the name of a snapshot of splits adds to the name of its bars."""

TIMESPANS = ("minute", "hour", "day")

_ADJUSTED = ("stock", "option")
_BARS = re.compile(r"(?P<type>stock|index|crypto|forex)_(?P<symbol>[^_]+)(?:_(?P<quote>[^_]+))?_(?P<span>[a-z]+)")
_OPTION = re.compile(
    r"option_(?P<symbol>[^_]+)_(?P<day>\d{6})_(?P<strike>\d+(?:\.\d+)?)_(?P<right>call|put)_(?P<span>[a-z]+)", re.I
)
_CHAIN = re.compile(r"(?P<symbol>[^_]+)_(?P<day>\d{4}-\d\d-\d\d)(?:_max(?P<ahead>\d+)d)?")


@dataclass(frozen=True)
class BarsName:
    """The series of a file, and Polygon's ticker of it (None for options, whose tickers only Polygon knows)."""

    key: SeriesKey
    ticker: str | None


@dataclass(frozen=True)
class ChainName:
    """The stock of an option chain, its date, and how many days ahead its expirations reach (None: no limit)."""

    underlying: AssetKey
    as_of: date
    days_ahead: int | None


def bars_name(stem: str) -> BarsName:
    """Parse the name of a file of bars, without its suffix. Raises `LeftAloneError`."""
    found = _BARS.fullmatch(stem) or _OPTION.fullmatch(stem)
    if found is None:
        raise LeftAloneError("its name is not one that Lumibot gives to bars of an asset")
    if found["span"] not in TIMESPANS:
        raise LeftAloneError(f"no Polygon backtest uses {found['span']} bars")
    symbol = found["symbol"]
    asset_type = found["type"] if found.re is _BARS else "option"
    if asset_type == "option":
        try:
            expiration = datetime.strptime(found["day"], "%y%m%d").date()
        except ValueError:
            raise LeftAloneError(f"{found['day']} in its name is not an expiration date") from None
        asset = AssetKey(
            symbol.upper(), "option", expiration=expiration, strike=float(found["strike"]), right=found["right"].upper()
        )
        return BarsName(SeriesKey(asset, SOURCE, found["span"], SPLIT_ADJUSTED), None)
    quote = found["quote"]
    if asset_type in PAIR_TYPES and quote is None:
        raise LeftAloneError("an older Lumibot named it without the currency of its prices, so that is not known")
    kept = quote.upper() if quote and (asset_type in PAIR_TYPES or quote.upper() != "USD") else None
    asset = AssetKey(symbol.upper(), asset_type, kept)
    adjustment = SPLIT_ADJUSTED if asset_type in _ADJUSTED else ""
    ticker = {"crypto": f"X:{symbol}{quote}", "forex": f"C:{symbol}{quote}", "index": f"I:{symbol}"}
    return BarsName(SeriesKey(asset, SOURCE, found["span"], adjustment), ticker.get(asset_type, symbol))


def chain_name(stem: str) -> ChainName:
    """Parse the name of a file of an option chain, without its suffix. Raises `LeftAloneError`."""
    found = _CHAIN.fullmatch(stem)
    try:
        if found is not None:
            ahead = None if found["ahead"] is None else int(found["ahead"])
            return ChainName(AssetKey(found["symbol"].upper()), date.fromisoformat(found["day"]), ahead)
    except ValueError:
        pass
    raise LeftAloneError("its name is not one that Lumibot gives to option chains")
