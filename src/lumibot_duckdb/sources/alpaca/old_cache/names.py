"""Parses the names of files in Lumibot's Alpaca cache: the asset, bar size, window, market and time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from lumibot.entities import Asset
from pandas_market_calendars import get_calendar_names

from lumibot_duckdb.sources.alpaca.actions import ADJUSTED, SOURCE, SPLIT_ADJUSTED
from lumibot_duckdb.sources.alpaca.symbols import alpaca_symbol
from lumibot_duckdb.sources.shared.old_cache.errors import LeftAloneError
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.identity import asset_key
from lumibot_duckdb.storage.timeframes import canonical_timeframe
from lumibot_duckdb.storage.times import midnight

_DATE = r"\d{4}-\d\d-\d\d"
_NAME = re.compile(
    r"(?P<symbol>.+?)-(?:ASSETTYPE\.)?(?P<type>[A-Z_]+)_(?P<quote>[^_]+?)-(?:ASSETTYPE\.)?(?P<quote_type>[A-Z_]+?)"
    rf"(?:_(?P<strike>[\d.]+)_(?P<right>CALL|PUT)_(?P<expiration>{_DATE})_TRADES)?"
    r"_(?P<market>[^_]+)_(?P<timestep>\d*(?:MINUTE|HOUR|DAY))_(?P<zone>[^_]+?)(?P<adjusted>_AA)?"
    rf"_(?P<start>{_DATE})_(?P<end>{_DATE})(?P<history>_HISTORY)?"
)


@dataclass(frozen=True)
class AlpacaName:
    """A parsed name. `window` has the whole days of the file in its zone; `market` is None if it is not known."""

    key: SeriesKey
    window: TimeRange
    zone: ZoneInfo
    market: str | None
    history: bool

    @property
    def is_filled(self) -> bool:
        """Whether Lumibot aligns such bars to a calendar and fills the gaps."""
        bare = self.key.asset.asset_type == "option" or self.history
        return not bare and self.key.timeframe in ("day", "minute")

    @property
    def symbol(self) -> str:
        """Alpaca's symbol ("AAPL", "BTC/USD", "SPY240119C00470000")."""
        return alpaca_symbol(self.key.asset)


def parsed(name: str) -> AlpacaName:
    """Parse the name of a file, without its suffix. Raises `LeftAloneError` if it is not one that Lumibot gives."""
    found = _NAME.fullmatch(name)
    kind = found["type"].lower() if found else ""
    if found is None or kind not in ("stock", "us_equity", "crypto", "option"):
        raise LeftAloneError("its name is not one that Lumibot gives to Alpaca's bars")
    if kind == "option" and found["strike"] is None:
        raise LeftAloneError("an older release wrote it and filled the bars of options; Lumibot no longer reads it")
    zone = _zones().get(found["zone"])
    if zone is None:
        raise LeftAloneError(f"its time zone is not known ({found['zone']})")
    adjustment = "" if kind in ("crypto", "option") else ADJUSTED if found["adjusted"] else SPLIT_ADJUSTED
    key = SeriesKey(_asset(found, kind), SOURCE, canonical_timeframe(found["timestep"]), adjustment)
    start, end = (date.fromisoformat(found[name]) for name in ("start", "end"))
    there = ZoneInfo(zone)
    window = TimeRange(midnight(start, there), midnight(end + timedelta(days=1), there))
    return AlpacaName(key, window, there, _markets().get(found["market"]), bool(found["history"]))


def _asset(found: re.Match[str], kind: str):  # type: ignore[no-untyped-def]
    quote = Asset(found["quote"], "forex")
    if kind == "option":
        expiration = date.fromisoformat(found["expiration"])
        option = Asset(
            found["symbol"], "option", expiration=expiration, strike=float(found["strike"]), right=found["right"]
        )
        return asset_key((option, quote))
    return asset_key((Asset(found["symbol"], "crypto" if kind == "crypto" else "stock"), quote))


@lru_cache(maxsize=1)
def _zones() -> dict[str, str]:
    return {name.replace("_", "-").replace("/", "-").upper(): name for name in sorted(available_timezones())}


@lru_cache(maxsize=1)
def _markets() -> dict[str, str]:
    names = {name.replace("/", "-").upper(): name for name in get_calendar_names()}
    return {**names, "24-7": "24/7"}
