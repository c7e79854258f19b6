"""What the path of a file tells about its bars: symbol, timeframe, date and Hive partitions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from urllib.parse import unquote

from lumibot_duckdb.importing.errors import FileRefusedError
from lumibot_duckdb.importing.own_view import VIEW_KEYS
from lumibot_duckdb.importing.symbols import plain_symbol
from lumibot_duckdb.importing.timeframes import timeframe_of_word
from lumibot_duckdb.importing.vocabulary import (
    COMPRESSED_SUFFIXES,
    DATE_SPELLINGS,
    FILE_NAME_WORDS,
    FILE_SUFFIXES,
    QUOTE_CURRENCIES,
    SYMBOL_SPELLINGS,
    TIMEFRAME_SPELLINGS,
)

_DATE = r"(?:19|20)\d{2}(?:[-.]?\d{2}(?:[-.]?\d{2})?)?(?:T?\d{4,6}Z?)?"
_DATE_AT_END = re.compile(rf"[-_. ]{_DATE}$", re.IGNORECASE)
_DATE_WORD = re.compile(rf"{_DATE}|\d{{7,14}}", re.IGNORECASE)
_WHOLE_DATE = re.compile(r"(?<!\d)((?:19|20)\d{2})([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")
# "(1)", "v2", and the numbers of parts: a number of up to three digits is not a symbol.
_COUNT = re.compile(r"\(\d+\)|v\d{1,2}|\d{1,3}", re.IGNORECASE)
_PART = re.compile(r"(part|chunk|shard)[-_.]?(r-)?\d+.*", re.IGNORECASE)
_SYMBOL = re.compile(r"[A-Z0-9^$][A-Z0-9.\-/:^=$&]{0,31}")
_TICKER = re.compile(r"(?=.*[A-Z])[A-Z0-9^$][A-Z0-9.\-^=$&]{0,31}|\d{4,6}")
_TIMEFRAME_ALONE = re.compile(r"(M|H|D|W|MN)\d{1,2}|\d+[A-Z]+|MINUTES?|HOUR(LY)?|DAILY|WEEK(LY)?|MONTH(LY)?")
_PARTITION = re.compile(r"([A-Za-z_]\w*)=(.*)")
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
# LEAN stores minutes in .../minute/aapl/20240102_trade.csv, days in .../daily/aapl.csv.
_LEAN_FOLDERS = ("minute", "second", "tick")
_LEAN_FILE = re.compile(r"\d{8}(?:_(?P<symbol>[a-z0-9.]+)_[a-z]+)?_(?:trade|quote)", re.IGNORECASE)
_EXCHANGES = ("exchange", "venue")
_FIELDS = ("symbol", "timeframe", "date")


@dataclass(frozen=True, slots=True)
class PathFacts:
    """What a path tells. `symbol_from` says where the symbol is if that is not the file's own name."""

    symbol: str | None = None
    symbol_from: str = ""
    timeframe: str | None = None
    date: date | None = None
    partitions: Mapping[str, str] = field(default_factory=dict)


class NamePattern:
    """A pattern of the end of paths, such as `{symbol}/{timeframe}.csv`, in which `*` matches any part of a name."""

    def __init__(self, text: str) -> None:
        """Raises ValueError for a pattern that cannot be."""
        names = re.findall(r"\{(.*?)\}", text)
        if not names or any(name not in _FIELDS for name in names) or len(set(names)) < len(names):
            raise ValueError(f"{text!r} must have {{symbol}}, {{timeframe}} or {{date}}, each at most once")
        self._text = text
        escaped = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+?)", re.escape(text)).replace(r"\*", "[^/]*")
        self._regex = re.compile(rf"(?:.*/)?{escaped}")

    def facts(self, path: Path) -> PathFacts:
        """Return what the path has in the pattern's places. Raises `FileRefusedError` if it does not match."""
        found = self._regex.fullmatch(path.absolute().as_posix())
        if found is None:
            raise FileRefusedError(f"its path does not end as --name-pattern {self._text} says")
        parts = found.groupdict()
        timeframe = timeframe_of_word(parts["timeframe"]) if "timeframe" in parts else None
        if "timeframe" in parts and timeframe is None:
            raise FileRefusedError(
                f"{parts['timeframe']!r}, where --name-pattern has {{timeframe}}, is not a timeframe"
            )
        symbol = plain_symbol(parts["symbol"]) if "symbol" in parts else None
        return PathFacts(symbol, "--name-pattern" if symbol else "", timeframe, date_of_name(parts.get("date", "")))


def facts_of_path(path: Path, pattern: NamePattern | None = None) -> PathFacts:
    """Return what a path tells. A `pattern` has precedence over what is recognised."""
    stated = PathFacts() if pattern is None else pattern.facts(path)
    partitions = _partitions(path)
    folders = [part for part in path.parent.parts if "=" not in part]
    symbol, symbol_from = stated.symbol, stated.symbol_from
    if symbol is None:
        symbol, symbol_from = _symbol_of(path, folders)
    timeframe = (
        stated.timeframe
        or _timeframe_of_partition(partitions)
        or timeframe_of_file_name(path.name)
        or (timeframe_of_word(stem_of(path.name)) if symbol_from or symbol is None else None)
    )
    day = stated.date or date_of_name(path.name) or (date_of_name(folders[-1]) if folders else None)
    return PathFacts(symbol, symbol_from, timeframe, day, partitions)


def symbol_of_file_name(name: str) -> str | None:
    """Return the symbol in a file's name, in capitals: `AAPL.csv`, `aapl_1min.csv.gz`, `BTCUSDT-1m-2024-01.csv`.

    Timeframes, dates and words such as "daily" or "data" are not symbols. None if no word is left, or several are.
    """
    words = _symbol_words(stem_of(name))
    if len(words) == 2 and words[1].upper() in QUOTE_CURRENCIES:
        words = ["-".join(words)]
    symbol = plain_symbol(words[0]) if len(words) == 1 else ""
    return symbol if _SYMBOL.fullmatch(symbol) else None


def timeframe_of_file_name(name: str) -> str | None:
    """Return the timeframe in a file's name, e.g. "minute" for `AAPL_1min.csv`; None if there is none."""
    words = re.split(r"[-_. ]+", stem_of(name))
    return next((timeframe for word in words if len(words) > 1 and (timeframe := timeframe_of_word(word))), None)


def date_of_name(name: str) -> date | None:
    """Return the one whole date in a name; None if there is none, or if there are several."""
    days = {(int(found[1]), int(found[3]), int(found[4])) for found in _WHOLE_DATE.finditer(name)}
    if len(days) != 1:
        return None
    try:
        return date(*days.pop())
    except ValueError:
        return None


def stem_of(name: str) -> str:
    """Return a file's name without the endings of formats and compressions."""
    path = Path(name)
    if path.suffix.lower() in COMPRESSED_SUFFIXES:
        path = path.with_suffix("")
    return path.stem if path.suffix.lower() in FILE_SUFFIXES else path.name


def _symbol_of(path: Path, folders: list[str]) -> tuple[str | None, str]:
    """Return the symbol of a path, and where it is if not in the file's name."""
    lean = _LEAN_FILE.fullmatch(stem_of(path.name))
    if lean is not None and lean["symbol"]:
        return lean["symbol"].upper(), ""
    if lean is not None and len(folders) > 1 and folders[-2].lower() in _LEAN_FOLDERS:
        return folders[-1].upper(), f"folder {folders[-1]}"
    symbol = symbol_of_file_name(path.name)
    if symbol is not None:
        return symbol, ""
    if _symbol_words(stem_of(path.name)):
        return None, ""
    # The nearest folder that says more than a date or a timeframe. A word in small letters may be anything.
    folder = next((folder for folder in reversed(folders) if _symbol_words(folder)), "")
    return (plain_symbol(folder), f"folder {folder}") if _TICKER.fullmatch(folder) else (None, "")


def _partitions(path: Path) -> dict[str, str]:
    """Return the Hive partitions of a path: `symbol=AAPL/year=2024/data_0.parquet`."""
    found = (_PARTITION.fullmatch(part) for part in path.absolute().parent.parts)
    pairs = {match[1]: unquote(match[2]) for match in found if match}
    return {name: "" if value == _NULL_PARTITION else value for name, value in pairs.items()}


def columns_of_partitions(partitions: Mapping[str, str]) -> dict[str, str]:
    """Return the partitions that are columns of bars: symbols, whole dates, and those of the store's own view."""
    plain = {name: name.lower().replace("_", "") for name in partitions}
    return {
        name: value
        for name, value in partitions.items()
        if plain[name] in SYMBOL_SPELLINGS
        or name in VIEW_KEYS
        or (plain[name] in DATE_SPELLINGS and date_of_name(value) is not None)
    }


def exchange_of(partitions: Mapping[str, str]) -> str:
    """Return the exchange in partitions, "" if there is none."""
    return next((value for name, value in partitions.items() if name.lower() in _EXCHANGES), "")


def _timeframe_of_partition(partitions: Mapping[str, str]) -> str | None:
    values = (value for name, value in partitions.items() if name.lower().replace("_", "") in TIMEFRAME_SPELLINGS)
    return next((timeframe for value in values if (timeframe := timeframe_of_word(value))), None)


def _symbol_words(stem: str) -> list[str]:
    if _PART.fullmatch(stem):
        return []
    words = [_bare(word) for word in re.split(r"[_\s,]+", stem)]
    kept = [word for word in words if word and not _says_something_else(word)]
    # ALL.csv and MIN.csv are tickers, data.csv and min.csv are not.
    return kept or [word for word in words if word.isupper() and not _TIMEFRAME_ALONE.fullmatch(word)]


def _bare(word: str) -> str:
    """Return a word without the dates, timeframes and other words around it: `BTC-USD-1h`, `SPY.daily`, `daily-KO`."""
    while True:
        shorter = _DATE_AT_END.sub("", word)
        *head, tail = re.split(r"[-.](?=[^-.]*$)", shorter)
        # One letter at the end is a share class (BRK-B), not a timeframe.
        if any(head) and len(tail) > 1 and _says_something_else(tail) and not tail.isdigit():
            shorter = head[0]
        first, *rest = re.split(r"-", shorter, maxsplit=1)
        # DATA-USD is a pair, daily-KO is not.
        if any(rest) and len(first) > 1 and _says_something_else(first) and rest[0].upper() not in QUOTE_CURRENCIES:
            shorter = rest[0]
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
