"""What Yahoo says of a symbol beside its bars: its market, and which of several spellings has bars.

Both are metadata of writes. Markets move and Yahoo adds symbols, so each note has the moment of its request, and is
valid for a limited time. Nothing is requested for bars that are stored: a market is requested again with the next bars,
as Lumibot requests it with each download.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from lumibot_duckdb import clock
from lumibot_duckdb.sources.yahoo.client import EARLIEST, Market
from lumibot_duckdb.storage.api import AsOf, DataStorageInterface, IngestInfo, SeriesKey, TimeRange
from lumibot_duckdb.storage.errors import SeriesNotFoundError

MARKET_VALID_FOR = timedelta(days=30)
UNNAMED_VALID_FOR = timedelta(days=1)
"""How long it is believed that Yahoo names no market of a symbol: sometimes it leaves out the name by mistake."""

SPELLING_VALID_FOR = timedelta(days=30)

ASIDE = TimeRange(EARLIEST - 86_400, EARLIEST)
"""A range that never has bars, for writes of metadata alone."""

SYMBOL = "symbol"
_SYMBOL_SINCE, _MARKET_SINCE = "symbol_since", "market_since"
"""Keys of metadata: when the symbol or the market was requested (ISO, UTC)."""


@dataclass(frozen=True)
class KnownMarket:
    """The market of a symbol, and when it was requested; None if that is not known."""

    market: Market
    since: datetime | None

    @classmethod
    def requested_now(cls, market: Market) -> KnownMarket:
        """Return a market that Yahoo has just named."""
        return cls(market, clock.utc_now().replace(microsecond=0))

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> KnownMarket | None:
        """Return the market in the metadata of a write, if it has one."""
        if "market" not in metadata:
            return None
        return cls(Market(metadata["market"], metadata["market_zone"]), _moment(metadata.get(_MARKET_SINCE)))

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata to store."""
        since = {} if self.since is None else {_MARKET_SINCE: self.since.isoformat()}
        return {"market": self.market.name, "market_zone": self.market.zone, **since}

    @property
    def is_current(self) -> bool:
        """Whether the market is still valid."""
        return _is_current(self.since, MARKET_VALID_FOR if self.market.name else UNNAMED_VALID_FOR)


def notes_of(storage: DataStorageInterface, key: SeriesKey, as_of: AsOf | None = None) -> tuple[IngestInfo, ...]:
    """Return the writes to a series, with or without bars, earliest first."""
    try:
        pin = storage.pin(key, as_of=as_of)
    except SeriesNotFoundError:
        return ()
    return tuple(sorted((*storage.ingests(pin), *storage.empty_answers(pin)), key=lambda ingest: ingest.ingest_id))


def store_metadata(storage: DataStorageInterface, key: SeriesKey, note: Mapping[str, Any]) -> None:
    """Store metadata with a series, which may have no bars."""
    nothing = pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC"))
    storage.store_ohlcv_data(
        key.asset, nothing, key.source, key.timeframe, adjustment=key.adjustment, covered=ASIDE, metadata=note
    )


def symbol_that_answered(storage: DataStorageInterface, key: SeriesKey, as_of: AsOf | None = None) -> tuple[str, bool]:
    """Return Yahoo's symbol under which the bars of an asset were found ("": none), and whether that is still valid."""
    for note in reversed(notes_of(storage, key, as_of)):
        if symbol := note.metadata.get(SYMBOL):
            since = _moment(note.metadata.get(_SYMBOL_SINCE))
            return str(symbol), as_of is not None or _is_current(since, SPELLING_VALID_FOR)
    return "", False


def remember_symbol(storage: DataStorageInterface, key: SeriesKey, symbol: str) -> None:
    """Remember Yahoo's symbol under which the bars of an asset were found."""
    since = clock.utc_now().isoformat(timespec="seconds")
    store_metadata(storage, key, {SYMBOL: symbol, _SYMBOL_SINCE: since})


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _is_current(since: datetime | None, valid_for: timedelta) -> bool:
    return since is not None and clock.utc_now() - since <= valid_for
