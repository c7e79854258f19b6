"""Which series each row of a file belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lumibot_duckdb.importing.arrays import BoolArray, IntArray, as_text
from lumibot_duckdb.importing.columns import ColumnLayout
from lumibot_duckdb.importing.errors import FileRefusedError
from lumibot_duckdb.importing.own_view import series_of_row
from lumibot_duckdb.importing.symbols import AssetChoice, certain_type, doubt_about_stock, plain_symbol
from lumibot_duckdb.storage.api import AssetKey, SeriesKey

DEFAULT_SOURCE = "import"
_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class SeriesChoice:
    """The user's options for the series of all files; None is what each file says, or the default."""

    symbol: str | None = None
    timeframe: str | None = None
    source: str | None = None
    adjustment: str | None = None
    assets: AssetChoice = field(default_factory=AssetChoice)


class SeriesOfRows:
    """Numbers the series of a file in the order in which they come up.

    The timeframe of a series is "" where neither the file nor the user states it.
    """

    def __init__(self, choice: SeriesChoice, layout: ColumnLayout, symbol_of_file: str) -> None:
        self._choice = choice
        self._layout = layout
        self._symbol_of_file = symbol_of_file
        self._number_of: dict[tuple[str, ...], int] = {}
        self._numbers: dict[SeriesKey, int] = {}
        self.notes: list[str] = []

    @property
    def keys(self) -> list[SeriesKey]:
        """The series by their numbers."""
        return list(self._numbers)

    def read(self, table: pa.Table) -> tuple[IntArray, BoolArray]:
        """Return the number of each row's series, and whether the row has a symbol."""
        if not self._layout.keys:
            number = self._number((self._symbol_of_file,))
            return np.full(table.num_rows, number), np.ones(table.num_rows, bool)
        columns = [as_text(table[name]) for name in self._layout.keys]
        joined = pc.binary_join_element_wise(*columns, _SEPARATOR) if len(columns) > 1 else columns[0]
        encoded = pa.concat_arrays(joined.chunks or [pa.array([], pa.string())]).dictionary_encode()
        distinct = [tuple(text.split(_SEPARATOR)) for text in encoded.dictionary.to_pylist()]
        numbers = np.array([self._number(keys) if keys[0] else -1 for keys in distinct], np.int64)
        series = numbers[encoded.indices.to_numpy()]
        return series, series >= 0

    def _number(self, keys: tuple[str, ...]) -> int:
        if keys not in self._number_of:
            series = self._series(keys)
            self._number_of[keys] = self._numbers.setdefault(series, len(self._numbers))
            self._refuse_one_symbol_for_several()
        return self._number_of[keys]

    def _series(self, keys: Sequence[str]) -> SeriesKey:
        choice = self._choice
        if self._layout.is_own_view:
            try:
                found = series_of_row(keys)
            except ValueError as error:
                raise FileRefusedError(f"it is an export of ohlcv_data, but {error}") from None
        else:
            found = SeriesKey(self._asset(plain_symbol(keys[0])), DEFAULT_SOURCE, "")
        if self._layout.is_own_view and (choice.symbol or choice.assets.asset_type):
            found = replace(found, asset=self._asset(choice.symbol or found.asset.symbol))
        return SeriesKey(
            found.asset,
            choice.source or found.source,
            choice.timeframe or found.timeframe,
            found.adjustment if choice.adjustment is None else choice.adjustment,
        )

    def _asset(self, symbol: str) -> AssetKey:
        symbol = self._choice.symbol or symbol
        asset = self._choice.assets.asset(symbol)
        if self._choice.assets.asset_type is None and certain_type(symbol) in ("crypto", "forex"):
            self._add_note(f"its symbol is a pair, so its type is {asset.asset_type}, not stock")
        elif self._choice.assets.asset_type is None and (doubt := doubt_about_stock(symbol)):
            self._add_note(f"its type is stock: state {doubt}")
        return asset

    def _add_note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _refuse_one_symbol_for_several(self) -> None:
        symbols = list(dict.fromkeys(plain_symbol(keys[0]) for keys in self._number_of))
        if self._choice.symbol and len(symbols) > 1:
            column, symbol = self._layout.symbol, self._choice.symbol
            raise FileRefusedError(
                f"its column {column} has {symbols[0]} and {symbols[1]}; --symbol {symbol} cannot be both"
            )
