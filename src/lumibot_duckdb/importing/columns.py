"""Recognises the columns of a file by the usual spellings of vendors, or takes those that the user names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lumibot_duckdb.importing.errors import FileRefusedError
from lumibot_duckdb.importing.own_view import VIEW_KEYS, VIEW_TIME, is_own_view
from lumibot_duckdb.importing.vocabulary import (
    CLOCK_SPELLINGS,
    DATE_SPELLINGS,
    QUOTE_CURRENCIES,
    SYMBOL_SPELLINGS,
    TIME_SPELLINGS,
    VALUE_SPELLINGS,
)
from lumibot_duckdb.importing.zones import split_heading

PRICES = ("open", "high", "low", "close")

# How pandas writes an index that has no name; only believed when its values look like times.
_INDEX = re.compile(r"(unnamed|index|level|indexlevel)?\d*")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[ap]\.?m\.?)?( ?[A-Z]{3})?|\d{1,6}", re.IGNORECASE)
_AT_MIDNIGHT = re.compile(r"[ T]0?0:00(:00(\.0+)?)?$")
_UTC = re.compile(r"(?<![a-z])(utc|gmt)(?![a-z])", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"\([^)]*\)|\[[^\]]*\]")
_ZERO = re.compile(r"\s*[+-]?0*\.?0*\s*")
_NUMBER = re.compile(r"\d+")
_LONGEST_NAME = 100
_NUMBERING = re.compile(r"^\s*\d+[a-z]?\.\s")
_VOLUME_OF = re.compile(r"volume[ _]([a-z0-9]{2,6})", re.IGNORECASE)
_LOOKS_LIKE_SYMBOL = re.compile(r"[A-Za-z0-9^$][A-Za-z0-9.\-/:^=_]{0,30}|[A-Za-z0-9.]{1,6} *\d{6}[CP]\d{8}")
_LOOKS_LIKE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}.*|\d{1,2}[/.]\d{1,2}[/.]\d{4}.*|\d{8}|\d{10,19}")


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """The user's options for columns.

    `values` maps a stored name to the file's column, `time` may be two columns, and `left_out` are stored names that
    the file has no column for, even if a name of its columns fits.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    time: str | None = None
    symbol: str | None = None
    left_out: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ColumnLayout:
    """The columns of a file by their roles, with the file's names.

    `time` is one column, or two: a date and a time of day. `values` maps stored names to columns and has at least the
    four prices. `left_out` are the columns that are not stored. `zones` are those that the heading of the times may
    mean, usually one or none. `is_own_view`: the file is an export of the store's view.
    """

    time: tuple[str, ...]
    symbol: str | None
    values: Mapping[str, str]
    left_out: tuple[str, ...]
    zones: tuple[str, ...] = ()
    is_own_view: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that identify the series of a row."""
        if self.is_own_view:
            return VIEW_KEYS
        return () if self.symbol is None else (self.symbol,)

    @property
    def used(self) -> tuple[str, ...]:
        """The columns that an import reads, each once."""
        return tuple(dict.fromkeys((*self.time, *self.keys, *self.values.values())))


def plain_name(name: str) -> str:
    """Return a column's name without vendors' decorations: case, blanks, signs, brackets, units, numbering."""
    bare = _IN_BRACKETS.sub("", _NUMBERING.sub("", name[:_LONGEST_NAME]))
    bare = _UTC.sub("", bare.replace("_", " "))
    return re.sub(r"[^a-z0-9]+", "", bare.lower())


def recognise_columns(sample: Mapping[str, Sequence[str]], choice: ColumnChoice | None = None) -> ColumnLayout:
    """Return the layout of a file from its column names and the first values of each column as text.

    Raises `FileRefusedError` if the time or a price is missing; the message lists the columns of the file.
    """
    choice = choice or ColumnChoice()
    own_view = is_own_view(sample) and choice == ColumnChoice()
    values = {stored: _chosen(column, sample) for stored, column in choice.values.items()}
    time = _chosen_time(choice.time, sample)
    symbol = _chosen(choice.symbol, sample) if choice.symbol is not None else None
    if own_view:
        time, symbol = (VIEW_TIME,), VIEW_KEYS[0]
    free = {name: plain_name(name) for name in sample if name not in {*values.values(), *time, symbol}}

    time = time or _find_time({name: plain_name(split_heading(name)[0]) for name in free}, sample)
    free = {name: plain for name, plain in free.items() if name not in time}
    for stored, spellings in VALUE_SPELLINGS.items():
        if stored in values or stored in choice.left_out:
            continue
        found = _first_in_use(free, spellings, sample) if stored == "volume" else _first(free, spellings)
        if found is not None:
            values[stored] = found
            del free[found]
    if "volume" not in (*values, *choice.left_out) and (found := _volume_of_base(free)):
        values["volume"] = found
        del free[found]
    if symbol is None and (symbol := _find_symbol(free, sample)):
        del free[symbol]

    missing = [price for price in PRICES if price not in values]
    if not time or missing:
        raise FileRefusedError(_nothing_recognised(sample, bool(time), missing))
    if own_view:
        return ColumnLayout(time, symbol, values, (), ("UTC",), is_own_view=True)
    return ColumnLayout(time, symbol, values, tuple(free), _zones_of(time))


def _zones_of(time: Sequence[str]) -> tuple[str, ...]:
    """Return the zones that the headings of the times may mean. Raises `FileRefusedError` if two headings differ."""
    found = {}
    for name in time:
        zones = split_heading(name)[1] or (("UTC",) if _is_utc(plain_name(name)) else ())
        if zones:
            found[zones] = name
    if len(found) > 1:
        raise FileRefusedError(f"the headings {' and '.join(found.values())} name different time zones")
    return next(iter(found), ())


def score_columns(names: Sequence[str]) -> int:
    """Return how many of a bar's five required columns (time and prices) are among the names; 5 means a header."""
    plain = {name: plain_name(split_heading(name)[0]) for name in names}
    found = sum(_first(plain, VALUE_SPELLINGS[price]) is not None for price in PRICES)
    return found + any(name in TIME_SPELLINGS or _is_utc(name) for name in plain.values())


def _chosen(column: str, sample: Mapping[str, Sequence[str]]) -> str:
    if column in sample:
        return column
    alike = [name for name in sample if name.strip().lower() == column.strip().lower()]
    if len(alike) != 1:
        raise FileRefusedError(f"no column {column!r}; the file has {_listed(sample)}")
    return alike[0]


def _chosen_time(column: str | None, sample: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    if column is None:
        return ()
    if column in sample or "," not in column:
        return (_chosen(column, sample),)
    date, clock = column.split(",", 1)
    return (_chosen(date, sample), _chosen(clock, sample))


def _find_time(free: Mapping[str, str], sample: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    date, clock = _first(free, DATE_SPELLINGS), _first(free, CLOCK_SPELLINGS)
    whole = _first(free, TIME_SPELLINGS) or next((n for n, plain in free.items() if _is_utc(plain)), None)
    if whole is None:
        weak = [name for name, plain in free.items() if _INDEX.fullmatch(plain)]
        return tuple(name for name in weak if _all_match(sample[name], _LOOKS_LIKE_TIME))[:1]
    if date is None or clock is None or date == clock or whole not in (date, clock):
        return (whole,)
    if _all_match(sample[clock], _LOOKS_LIKE_TIME):
        return (clock,)
    says_it_all = any(":" in value and not _AT_MIDNIGHT.search(value) for value in sample[date])
    return (date, clock) if not says_it_all and _all_match(sample[clock], _CLOCK) else (date,)


def _is_utc(plain: str) -> bool:
    return plain.startswith(("utc", "gmt"))


def _find_symbol(free: Mapping[str, str], sample: Mapping[str, Sequence[str]]) -> str | None:
    found = _first(free, SYMBOL_SPELLINGS)
    if found is None or (free[found] == "instrumentid" and _all_match(sample[found], _NUMBER)):
        return None
    return found if _all_match(sample[found], _LOOKS_LIKE_SYMBOL) else None


def _volume_of_base(free: Mapping[str, str]) -> str | None:
    """Return the first of `Volume BTC`, `Volume USDT`: vendors name the base asset's first."""
    found = [(name, match.group(1).upper()) for name in free if (match := _VOLUME_OF.fullmatch(name.strip()))]
    return found[0][0] if any(currency in QUOTE_CURRENCIES for _, currency in found) else None


def _first(free: Mapping[str, str], spellings: Sequence[str]) -> str | None:
    by_plain = {plain: name for name, plain in reversed(list(free.items()))}
    return next((by_plain[spelling] for spelling in spellings if spelling in by_plain), None)


def _first_in_use(free: Mapping[str, str], spellings: Sequence[str], sample: Mapping[str, Sequence[str]]) -> str | None:
    """Return the first column that has something other than zero: MetaTrader 5 leaves VOL empty beside TICKVOL."""
    used = {name: plain for name, plain in free.items() if not all(map(_ZERO.fullmatch, sample[name]))}
    return _first(used, spellings) or _first(free, spellings)


def _all_match(values: Sequence[str], pattern: re.Pattern[str]) -> bool:
    filled = [value.strip() for value in values if value.strip()]
    return bool(filled) and all(pattern.fullmatch(value) for value in filled)


def _nothing_recognised(sample: Mapping[str, Sequence[str]], has_time: bool, missing: Sequence[str]) -> str:
    wanted = ([] if has_time else ["a time"]) + list(missing)
    hint = ", ".join(f"{price}=…" for price in missing)
    options = ([] if has_time else ["--time-column …"]) + ([f"--columns {hint}"] if hint else [])
    return (
        f"no column recognised for {', '.join(wanted)}; the file has {_listed(sample)}. "
        f"Name them with {' and '.join(options)}"
    )


def _listed(names: Mapping[str, Sequence[str]]) -> str:
    shown = [name or "(no name)" for name in names][:20]
    return ", ".join(shown) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
