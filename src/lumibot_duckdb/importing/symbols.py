"""The assets that symbols stand for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from lumibot_duckdb.importing.errors import FileRefusedError
from lumibot_duckdb.importing.vocabulary import COINS, QUOTE_CURRENCIES
from lumibot_duckdb.storage.api import AssetKey
from lumibot_duckdb.storage.identity import FIAT
from lumibot_duckdb.storage.reference.occ import option_of

ASSET_TYPES = ("stock", "crypto", "forex", "index", "future", "cont_future", "crypto_future", "option")
_PAIR_TYPES = ("crypto", "forex")

_TYPES_BY_PREFIX = {"X:": "crypto", "C:": "forex", "I:": "index"}
_SEPARATED_PAIR = re.compile(r"([A-Z0-9.]+)[-/_:]([A-Z]+)")
_FUTURES_CONTRACT = re.compile(r"[A-Z0-9]{1,3}[FGHJKMNQUVXZ]\d{1,2}")
_STABLE_COINS = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD")


def plain_symbol(text: str) -> str:
    """Return a symbol in capitals, without the ".US" that some vendors append to the symbols of American stocks."""
    return text.strip().upper().removesuffix(".US")


def certain_type(symbol: str) -> str | None:
    """Return the type of asset that a symbol shows: a pair, an OCC option, or a symbol with Polygon's prefix of a type.

    A pair has a separator, or is a known coin in a stable coin.

    >>> certain_type("ADA-BTC"), certain_type("BTCUSDT"), certain_type("EUR/USD"), certain_type("SPY240119C00470000")
    ('crypto', 'crypto', 'forex', 'option')
    >>> certain_type("BRK-B"), certain_type("EURUSD")
    (None, None)
    """
    if symbol[:2] in _TYPES_BY_PREFIX:
        return _TYPES_BY_PREFIX[symbol[:2]]
    if _occ(symbol) is not None:
        return "option"
    if any(symbol.endswith(coin) and symbol.removesuffix(coin) in COINS for coin in _STABLE_COINS):
        return "crypto"
    pair = _SEPARATED_PAIR.fullmatch(symbol)
    if pair is None or pair[1] == pair[2]:
        return None
    if pair[1] in FIAT and pair[2] in FIAT:
        return "forex"
    return "crypto" if pair[2] in QUOTE_CURRENCIES else None


def doubt_about_stock(symbol: str) -> str:
    """Return how to state what a symbol is that is hardly a stock (EURUSD, WIFUSDT, ESH4), "" for other symbols."""
    if len(symbol) == 6 and symbol[:3] in FIAT and symbol[3:] in FIAT:
        return "--asset-type forex if it is a pair"
    joined = any(symbol.endswith(coin) and len(symbol) > len(coin) + 1 for coin in _STABLE_COINS)
    if joined or (len(symbol) >= 6 and symbol.isalpha() and symbol.endswith(("USD", "BTC", "ETH"))):
        return "--asset-type crypto if it is a pair"
    if _FUTURES_CONTRACT.fullmatch(symbol):
        return "--asset-type future with --expiration if it is a contract"
    return ""


@dataclass(frozen=True, slots=True)
class AssetChoice:
    """The user's options for the assets of a file; the symbols come from the file.

    Without an `asset_type` (None), symbols are stocks unless they show what they are.
    """

    asset_type: str | None = None
    quote: str | None = None
    exchange: str = ""
    expiration: date | None = None

    def asset(self, symbol: str) -> AssetKey:
        """Return the asset that a symbol stands for.

        Crypto and forex symbols are pairs: `BTC/USD`, `BTC-USD`, `BTCUSDT`, `EURUSD`, or a base with `quote` given.
        Option symbols are OCC symbols: `SPY240119C00470000`. Raises `FileRefusedError` if a symbol is not enough.
        """
        asset_type = self.asset_type or certain_type(symbol) or "stock"
        if asset_type in _PAIR_TYPES:
            base, quote = self._pair(symbol, asset_type)
            return AssetKey(base, asset_type, quote, self.exchange)
        if asset_type == "option":
            return self._option(symbol)
        if asset_type == "future" and self.expiration is None:
            raise FileRefusedError(
                f"a future needs its expiration: give --expiration YYYY-MM-DD for {symbol}, or --asset-type cont_future"
            )
        if asset_type == "index":
            symbol = symbol.removeprefix("I:")
        return AssetKey(symbol, asset_type, self.quote, self.exchange, self.expiration)

    def _pair(self, symbol: str, asset_type: str) -> tuple[str, str]:
        parts = re.split(r"[/\-_:]", symbol.removeprefix("X:").removeprefix("C:"))
        if len(parts) == 2 and all(parts) and self.quote in (None, parts[1]):
            return parts[0], parts[1]
        whole = parts[0] if len(parts) == 1 else ""
        quotes = (self.quote,) if self.quote else QUOTE_CURRENCIES
        quote = _quote_of(whole, quotes)
        if quote is None and asset_type == "forex" and len(whole) == 6 and not self.quote:
            quote = whole[3:]
        if quote is not None:
            return whole.removesuffix(quote), quote
        if whole and self.quote:
            return whole, self.quote
        if len(parts) == 2 and self.quote:
            raise FileRefusedError(f"{symbol} is quoted in {parts[1]}, not in {self.quote} as --quote says")
        raise FileRefusedError(f"cannot tell the quote currency of {symbol}: give --quote USD (or another)")

    def _option(self, symbol: str) -> AssetKey:
        option = _occ(symbol)
        if option is None:
            raise FileRefusedError(f"{symbol} is not an OCC option symbol such as SPY240119C00470000")
        return replace(option, exchange=self.exchange)


def _quote_of(whole: str, quotes: Sequence[str]) -> str | None:
    """Return the quote currency at the end of a pair in one word, None if it ends in none.

    DOTUSD ends in USD and in TUSD. Raises `FileRefusedError` if neither reading has a base that is known.
    """
    found = [quote for quote in quotes if whole.endswith(quote) and len(whole) > len(quote) + 1]
    known = [quote for quote in found if whole.removesuffix(quote) in COINS]
    meant = known or [quote for quote in found if len(whole) > len(quote) + 2] or found
    if len(meant) > 1:
        readings = " or ".join(f"{whole.removesuffix(quote)}/{quote}" for quote in meant)
        raise FileRefusedError(f"{whole} may be {readings}: give --quote")
    return next(iter(meant), None)


def _occ(symbol: str) -> AssetKey | None:
    return option_of(symbol.replace(" ", "").removeprefix("O:"))
