"""Tables with one column for each price and symbol, as yfinance makes them: finds the columns of one symbol."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from lumibot_duckdb.importing.errors import FileRefusedError

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class OneSymbol:
    """The symbol that was chosen, and new names for all columns: only those of the symbol have plain names."""

    symbol: str
    names: tuple[str, ...]


def columns_of_symbol(columns: Sequence[tuple[str, str]], wanted: str | None) -> OneSymbol:
    """Return the columns of the `wanted` symbol, or of the only one.

    `columns` are pairs of a field and a symbol; a column without a symbol, such as the times, belongs to all. Raises
    `FileRefusedError` if there are several symbols and none of them is wanted.
    """
    symbols = list(dict.fromkeys(symbol for _, symbol in columns if symbol))
    chosen = [symbol for symbol in symbols if wanted is not None and symbol.upper() == wanted.upper()]
    chosen = chosen or symbols if len(symbols) == 1 else chosen
    if not chosen:
        listed = ", ".join(symbols[:_SHOWN]) + (", ..." if len(symbols) > _SHOWN else "")
        raise FileRefusedError(
            f"it has {len(symbols)} symbols side by side ({listed}): import one at a time with --symbol, or write one "
            "row for each symbol and time"
        )
    names = (name if symbol in ("", chosen[0]) else f"{symbol} {name}" for name, symbol in columns)
    return OneSymbol(chosen[0], tuple(names))


def pair_of_name(name: str) -> tuple[str, str] | None:
    """Return the parts of a column's name that pandas made of two: "('Open', 'AAPL')"."""
    if not name.startswith("('"):
        return None
    try:
        pair = ast.literal_eval(name)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    is_pair = isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(part, str) for part in pair)
    return pair if is_pair else None
