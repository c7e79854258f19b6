"""Minutes of stocks or pairs from Alpaca's data streams, and where their settled bars come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from functools import partial
from typing import Any

from alpaca.common.enums import BaseURL

from lumibot_duckdb import clock
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.streams.alpaca_connection import AlpacaConnection
from lumibot_duckdb.live.streams.recorded_market import RecordedMarket, RecordedSeries
from lumibot_duckdb.live.streams.rest_series import RestSeries
from lumibot_duckdb.sources.alpaca.actions import ADJUSTED, SOURCE, AdjustedHistory
from lumibot_duckdb.sources.alpaca.client import AlpacaProvider, frame_of_bars
from lumibot_duckdb.sources.shared.errors import InvalidKeyError, UnknownSymbolError
from lumibot_duckdb.storage.api import AssetKey, DataStorageInterface, SeriesKey, TimeRange
from lumibot_duckdb.storage.times import NEW_YORK, bar_starts

LIVE_SOURCE = f"{SOURCE}_live"
FEEDS = ("iex", "sip", "delayed_sip")

_DELAY = 16 * 60
"""Seconds for which Alpaca's smaller plans withhold bars of all exchanges; Lumibot requests none that are newer."""
_MINUTE = 60
_LONGEST_LIST = 8


@dataclass(frozen=True)
class AlpacaKey:
    """An API key and its secret."""

    key: str
    secret: str

    def __repr__(self) -> str:
        return "AlpacaKey(…)"  # tracebacks and logs show values


class AlpacaStream:
    """A `BarStream` of the minutes of some stocks, or of some pairs such as "BTC/USD".

    Bars are raw. A correction that Alpaca sends for a bar has `replace`.

    Args:
        key: The API key.
        symbols: Stocks, or pairs.
        feed: One of `FEEDS`; of no meaning for pairs.
        ping_seconds: The time between pings. A dead connection is found after up to four times as long.
    """

    def __init__(
        self, key: AlpacaKey, symbols: Sequence[str], feed: str = "iex", *, ping_seconds: float = 10.0
    ) -> None:
        self._key = key
        self._symbols = tuple(symbols)
        self._series = {symbol: SeriesKey(asset_of(symbol), LIVE_SOURCE, "minute") for symbol in symbols}
        path = "v1beta3/crypto/us" if _is_pair(self._symbols[0]) else f"v2/{feed}"
        self._url = f"{BaseURL.MARKET_DATA_STREAM.value}/{path}"
        self._metadata = {"feed": "us" if _is_pair(self._symbols[0]) else feed, "from": "stream"}
        self._ping_seconds = ping_seconds
        self._connection: AlpacaConnection | None = None

    async def run(self, on_bars: Callable[[LiveBars], None], on_connected: Callable[[], None]) -> None:
        """Receive bars over one connection; see `BarStream`."""

        async def on_bar(message: Mapping[str, Any]) -> None:
            bars = self._bars(message)
            if bars is not None:
                on_bars(bars)

        self._connection = AlpacaConnection(
            self._url,
            self._key.key,
            self._key.secret,
            self._symbols,
            on_bar=on_bar,
            on_subscribed=on_connected,
            ping_seconds=self._ping_seconds,
        )
        await self._connection.receive()

    async def close(self) -> None:
        """End `run`; see `BarStream`."""
        if self._connection is not None:
            await self._connection.end()

    def _bars(self, message: Mapping[str, Any]) -> LiveBars | None:
        """Return the bar of a message; None if it is of another symbol."""
        key = self._series.get(str(message.get("S")))
        if key is None:
            return None
        time = message["t"]
        start = time if isinstance(time, str) else time.to_datetime().isoformat()
        bar = frame_of_bars([{**message, "t": start}])
        begin = int(bar_starts(bar)[0])
        end = datetime.fromtimestamp(begin + _MINUTE, tz=timezone.utc)
        return LiveBars(
            key,
            bar,
            (TimeRange(begin, begin + _MINUTE),),
            asked_at=max(clock.utc_now(), end),  # Alpaca sends closed bars, even if this clock is behind
            metadata=self._metadata,
            replace=message.get("T") == "u",
        )


def open_market(
    key: AlpacaKey, symbols: Sequence[str], storage: DataStorageInterface, *, feed: str, adjustment: str = ADJUSTED
) -> RecordedMarket:
    """Return what a recorder of Alpaca's stream needs.

    Args:
        key: The API key.
        symbols: Stocks, or pairs such as "BTC/USD", but not both.
        storage: The store, for the splits and dividends that it knows of.
        feed: The feed of stocks, one of `FEEDS`.
        adjustment: The adjustment of the settled bars of stocks: "all", which backtests use, or "split".
    """
    pairs = _is_pair(symbols[0])
    backtests = AlpacaProvider(key.key, key.secret)
    same_feed = backtests if pairs else AlpacaProvider(key.key, key.secret, feed="iex" if feed == "iex" else "sip")
    kind = "crypto" if pairs else "stock"
    live_delay = _DELAY if feed == "delayed_sip" and not pairs else 0

    checks = _DailyChecks(storage, backtests, adjustment)

    def series(symbol: str) -> RecordedSeries:
        asset = asset_of(symbol)
        return RecordedSeries(
            live=RestSeries(SeriesKey(asset, LIVE_SOURCE, "minute"), same_feed, symbol, live_delay, same_feed.clock),
            settled=RestSeries(
                SeriesKey(asset, SOURCE, "minute", "" if pairs else adjustment),
                backtests,
                symbol,
                0 if pairs else _DELAY,
                backtests.clock,
                None if pairs else partial(checks.check, symbol),
            ),
        )

    return RecordedMarket(
        name="Alpaca (crypto)" if pairs else f"Alpaca ({feed})",
        stream=AlpacaStream(key, symbols, feed),
        series=tuple(map(series, symbols)),
        check=lambda: _check_symbols(backtests, symbols, kind),
    )


def asset_of(symbol: str) -> AssetKey:
    """Return the asset of one of Alpaca's symbols.

    >>> asset_of("BTC/USD").label()
    'BTC/USD crypto'
    """
    base, slash, quote = symbol.partition("/")
    return AssetKey(base, "crypto", quote=quote) if slash else AssetKey(symbol)


def key_from(settings: Mapping[str, str]) -> AlpacaKey:
    """Return the API key that the settings of Lumibot name.

    Raises:
        InvalidKeyError: There is none.
    """
    key, secret = (settings.get(name, "").strip() for name in ("ALPACA_API_KEY", "ALPACA_API_SECRET"))
    if not key or not secret:
        token = " ALPACA_OAUTH_TOKEN is not enough: Alpaca's data streams accept no token."
        raise InvalidKeyError(
            "There is no Alpaca API key: set ALPACA_API_KEY and ALPACA_API_SECRET in the environment or in .env."
            + (token if settings.get("ALPACA_OAUTH_TOKEN", "").strip() else "")
        )
    if not all(text.isascii() and text.isprintable() for text in (key, secret)):
        raise InvalidKeyError("The Alpaca API key or secret contains a character that no key has: copy it again.")
    return AlpacaKey(key, secret)


class _DailyChecks:
    """Checks each stock once a day for splits and dividends, which restate its adjusted series."""

    def __init__(self, storage: DataStorageInterface, provider: AlpacaProvider, adjustment: str) -> None:
        self._storage = storage
        self._provider = provider
        self._adjustment = adjustment
        self._checked: dict[str, date] = {}

    def check(self, symbol: str) -> None:
        today = clock.today(NEW_YORK)
        if self._checked.get(symbol) != today:
            history = AdjustedHistory(lambda: self._storage, lambda: self._provider)
            history.check(symbol, self._adjustment, read_before=False)
            self._checked[symbol] = today


def _check_symbols(provider: AlpacaProvider, symbols: Sequence[str], kind: str) -> None:
    """Raise `UnknownSymbolError` if Alpaca has no bar of a symbol: the stream would accept it, and send nothing."""
    traded = provider.traded_symbols(symbols, kind)
    unknown = [symbol for symbol in symbols if symbol not in traded]
    if unknown:
        more = ", …" if len(unknown) > _LONGEST_LIST else ""
        raise UnknownSymbolError(
            f"Alpaca has no bars of {', '.join(unknown[:_LONGEST_LIST])}{more}: check the spelling; pairs are written "
            "BTC/USD, and share classes BRK.B."
        )


def _is_pair(symbol: str) -> bool:
    return "/" in symbol
