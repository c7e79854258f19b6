"""Symbols in file names and symbol columns, and the assets that they stand for."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from lumibot_duckdb.importing.errors import FileRefusedError
from lumibot_duckdb.importing.timeframes import timeframe_of_word
from lumibot_duckdb.importing.vocabulary import (
    COMPRESSED_SUFFIXES,
    FILE_NAME_WORDS,
    FILE_SUFFIXES,
    QUOTE_CURRENCIES,
)
from lumibot_duckdb.storage.api import AssetKey
from lumibot_duckdb.storage.reference.occ import option_of

ASSET_TYPES = ("stock", "crypto", "forex", "index", "future", "cont_future", "crypto_future", "option")
_PAIR_TYPES = ("crypto", "forex")

_DATE = r"(?:19|20)\d{2}(?:[-.]?\d{2}(?:[-.]?\d{2})?)?(?:T?\d{4,6}Z?)?"
_DATE_AT_END = re.compile(rf"[-_. ]{_DATE}$", re.IGNORECASE)
_DATE_WORD = re.compile(rf"{_DATE}|\d{{7,14}}", re.IGNORECASE)
_COUNT = re.compile(r"\(\d+\)|v\d{1,2}", re.IGNORECASE)
_SYMBOL = re.compile(r"[A-Z0-9^$][A-Z0-9.\-/:^=$&]{0,31}")


def symbol_of_file_name(name: str) -> str | None:
    """Return the symbol in a file's name, in capitals: `AAPL.csv`, `aapl_1min.csv.gz`, `BTCUSDT-1m-2024-01.csv`.

    Timeframes, dates and words such as "daily" or "data" are not symbols. None if no word is left, or several are.
    """
    words = _symbol_words(_stem(name))
    if len(words) == 2 and words[1].upper() in QUOTE_CURRENCIES:
        words = ["-".join(words)]
    symbol = plain_symbol(words[0]) if len(words) == 1 else ""
    return symbol if _SYMBOL.fullmatch(symbol) else None


def plain_symbol(text: str) -> str:
    """Return a symbol in capitals, without the ".US" that some vendors append to the symbols of American stocks."""
    return text.strip().upper().removesuffix(".US")


def timeframe_of_file_name(name: str) -> str | None:
    """Return the timeframe in a file's name, e.g. "minute" for `AAPL_1min.csv`; None if there is none."""
    words = re.split(r"[-_. ]+", _stem(name))
    return next((timeframe for word in words if len(words) > 1 and (timeframe := timeframe_of_word(word))), None)


def _stem(name: str) -> str:
    path = Path(name)
    if path.suffix.lower() in COMPRESSED_SUFFIXES:
        path = path.with_suffix("")
    return path.stem if path.suffix.lower() in FILE_SUFFIXES else path.name


def _symbol_words(stem: str) -> list[str]:
    words = [_bare(word) for word in re.split(r"[_\s,]+", stem)]
    kept = [word for word in words if word and not _says_something_else(word)]
    # ALL.csv and MIN.csv are tickers, data.csv and min.csv are not.
    return kept or [word for word in words if word.isupper()]


def _bare(word: str) -> str:
    """Return a word without the dates and timeframes at its end: `BTC-USD-1h`, `SPY.daily`."""
    while True:
        shorter = _DATE_AT_END.sub("", word)
        *head, tail = re.split(r"[-.](?=[^-.]*$)", shorter)
        # One letter at the end is a share class (BRK-B), not a timeframe.
        if any(head) and len(tail) > 1 and _says_something_else(tail) and not tail.isdigit():
            shorter = head[0]
        if shorter == word:
            return word
        word = shorter


def _says_something_else(word: str) -> bool:
    return bool(
        word.lower() in FILE_NAME_WORDS
        or timeframe_of_word(word)
        or _DATE_WORD.fullmatch(word)
        or _COUNT.fullmatch(word)
        or not re.search(r"[A-Za-z0-9]", word)
    )


@dataclass(frozen=True, slots=True)
class AssetChoice:
    """The user's options for the assets of a file; the symbols come from the file."""

    asset_type: str = "stock"
    quote: str | None = None
    exchange: str = ""
    expiration: date | None = None

    def asset(self, symbol: str) -> AssetKey:
        """Return the asset that a symbol stands for.

        Crypto and forex symbols are pairs: `BTC/USD`, `BTC-USD`, `BTCUSDT`, `EURUSD`, or a base with `quote` given.
        Option symbols are OCC symbols: `SPY240119C00470000`. Raises `FileRefusedError` if a symbol is not enough.
        """
        if self.asset_type in _PAIR_TYPES:
            base, quote = self._pair(symbol)
            return AssetKey(base, self.asset_type, quote, self.exchange)
        if self.asset_type == "option":
            return self._option(symbol)
        if self.asset_type == "future" and self.expiration is None:
            raise FileRefusedError(
                f"a future needs its expiration: give --expiration YYYY-MM-DD for {symbol}, or --asset-type cont_future"
            )
        return AssetKey(symbol, self.asset_type, self.quote, self.exchange, self.expiration)

    def _pair(self, symbol: str) -> tuple[str, str]:
        parts = re.split(r"[/\-_:]", symbol.removeprefix("X:").removeprefix("C:"))
        if len(parts) == 2 and all(parts) and self.quote in (None, parts[1]):
            return parts[0], parts[1]
        whole = parts[0] if len(parts) == 1 else ""
        quotes = (self.quote,) if self.quote else QUOTE_CURRENCIES
        quote = next((q for q in quotes if whole.endswith(q) and len(whole) > len(q)), None)
        if quote is None and self.asset_type == "forex" and len(whole) == 6 and not self.quote:
            quote = whole[3:]
        if quote is not None:
            return whole.removesuffix(quote), quote
        if whole and self.quote:
            return whole, self.quote
        if len(parts) == 2 and self.quote:
            raise FileRefusedError(f"{symbol} is quoted in {parts[1]}, not in {self.quote} as --quote says")
        raise FileRefusedError(f"cannot tell the quote currency of {symbol}: give --quote USD (or another)")

    def _option(self, symbol: str) -> AssetKey:
        option = option_of(symbol.replace(" ", "").removeprefix("O:"))
        if option is None:
            raise FileRefusedError(f"{symbol} is not an OCC option symbol such as SPY240119C00470000")
        return replace(option, exchange=self.exchange)
