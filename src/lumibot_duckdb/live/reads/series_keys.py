"""In which series of the store the bars of a live source belong.

Bars that a provider returns to a request with the parameters of our backtests' requests are the same bars, and belong
in the same series. All others are kept apart, in a series whose source ends in `_live`; and so are those of brokers for
which there is no backtest source, under the broker's name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lumibot_duckdb.lumibot_contract.live_reads_hooks import asset_read
from lumibot_duckdb.sources.ccxt.markets import SOURCE as CCXT
from lumibot_duckdb.sources.ccxt.markets import asset_of
from lumibot_duckdb.storage.api import AssetKey, SeriesKey
from lumibot_duckdb.storage.identity import asset_key
from lumibot_duckdb.storage.reference.occ import option_of
from lumibot_duckdb.storage.timeframes import canonical_timeframe

FLOATS = ("open", "high", "low", "close", "volume")
"""The columns of the backtests' series on CCXT."""

ALPACA_FLOATS = (*FLOATS, "trade_count", "vwap")
"""The columns of the backtests' series on Alpaca."""

_SPLIT = "split"
_ALPACA_KINDS = {"StockBarsRequest": "stock", "CryptoBarsRequest": "crypto", "OptionBarsRequest": "option"}


class NotRecordedError(ValueError):
    """The bars of a series are not recorded; the message says why."""


@dataclass(frozen=True)
class Destination:
    """Where the bars of a live series belong.

    Attributes:
        key: The series.
        adjusted: The source may change past prices, after a split for example.
        strict: Implausible bars, such as those with a high below their low, are refused, as the backtests' source does.
        columns: The columns that are stored, as floats; None: all that are numbers.
        metadata: Is stored with the bars.
    """

    key: SeriesKey
    adjusted: bool
    strict: bool = False
    columns: tuple[str, ...] | None = None
    metadata: tuple[tuple[str, str], ...] = ()


def destination_of(series: Any) -> Destination:
    """Return where the bars of one of Lumibot's `BarSeries` belong.

    Raises:
        NotRecordedError: They cannot be recorded.
    """
    of_provider = _PROVIDERS.get(series.provider)
    if of_provider is None:
        raise NotRecordedError(f"the provider {series.provider!r} is not known")
    contract = {name: json.loads(value) for name, value in series.contract}
    try:
        return of_provider(series, contract)
    except NotRecordedError:
        raise
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise NotRecordedError(str(error)) from error


def _alpaca(series: Any, contract: Mapping[str, Any]) -> Destination:
    kind = _ALPACA_KINDS.get(contract["requestType"])
    if kind is None:
        raise NotRecordedError(f"{contract['requestType']} is not a known kind of request")
    if contract["asof"] is not None:
        raise NotRecordedError(f"its symbol is meant as of {contract['asof']}")
    adjustment = contract["adjustment"] or "raw"
    # Backtests request stocks adjusted for splits, or for splits and dividends, from the default feed.
    variants = [text.lower() for text in (contract["feed"], contract["currency"]) if text]
    is_backtests = not variants and (kind != "stock" or adjustment in ("all", _SPLIT))
    source = "alpaca" if is_backtests else "_".join(("alpaca", *variants, "live"))
    key = SeriesKey(
        _asset_of(kind, series.symbol),
        source,
        canonical_timeframe(series.timestep),
        "" if adjustment == "raw" else adjustment,
    )
    return Destination(key, bool(key.adjustment), strict=True, columns=ALPACA_FLOATS)


def _ccxt(series: Any, contract: Mapping[str, Any]) -> Destination:
    exchange = contract["exchange"]
    if not exchange:
        raise NotRecordedError("its exchange is not known")
    # A sandbox has other prices than the exchange, on which backtests run.
    source = "ccxt_sandbox_live" if contract["sandbox"] else CCXT
    key = SeriesKey(asset_of(series.symbol, exchange), source, canonical_timeframe(series.timestep))
    return Destination(key, adjusted=False, columns=FLOATS, metadata=(("symbol", series.symbol),))


def _schwab(series: Any, contract: Mapping[str, Any]) -> Destination:
    source = "schwab" if contract["extendedHours"] else "schwab_regular"
    symbol = series.symbol.replace(" ", "").removeprefix("$")  # options are padded, indices have a dollar sign
    return _of_broker(source, _asset_of(contract["assetType"], symbol), series)


def _tradier(series: Any, contract: Mapping[str, Any]) -> Destination:
    source = "tradier" if contract["session"] == "all" else "tradier_regular"
    return _of_broker(source, _asset_of(contract["assetType"], series.symbol), series)


def _interactive_brokers(series: Any, contract: Mapping[str, Any]) -> Destination:
    asset = asset_read.get()
    if asset is None:
        raise NotRecordedError("its asset is not known")
    if str(contract["bar"]).endswith("y"):
        raise NotRecordedError("bars of years are not stored")
    source = "interactive_brokers" if contract["outsideRth"] else "interactive_brokers_regular"
    return _of_broker(source, asset_key(asset, contract["exchange"]), series)


def _of_broker(source: str, asset: AssetKey, series: Any) -> Destination:
    """Return the series of a broker, which adjusts the prices of stocks for splits."""
    adjustment = _SPLIT if asset.asset_type == "stock" else ""
    return Destination(SeriesKey(asset, source, canonical_timeframe(series.timestep), adjustment), series.adjusted)


def _asset_of(kind: str, symbol: str) -> AssetKey:
    if kind == "option":
        option = option_of(symbol)
        if option is None:
            raise NotRecordedError(f"{symbol} is not the symbol of an option")
        return option
    if kind == "crypto":
        base, _, quote = symbol.partition("/")
        return AssetKey(base, kind, quote or None)
    return AssetKey(symbol, kind)


_PROVIDERS: Mapping[str, Callable[[Any, Mapping[str, Any]], Destination]] = {
    "alpaca": _alpaca,
    "ccxt": _ccxt,
    "schwab": _schwab,
    "tradier": _tradier,
    "ibkr_rest": _interactive_brokers,
}
