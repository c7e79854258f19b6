"""Imports one file of bars: recognises its columns, reads and checks its rows, and stores those that are bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from lumibot_duckdb.importing.arrays import BoolArray, FloatArray, IntArray, as_text
from lumibot_duckdb.importing.checks import refuse_implausible
from lumibot_duckdb.importing.columns import PRICES, ColumnChoice, ColumnLayout, recognise_columns
from lumibot_duckdb.importing.delimited import TextChoice
from lumibot_duckdb.importing.errors import FileRefusedError
from lumibot_duckdb.importing.formats import first_line, open_table
from lumibot_duckdb.importing.numbers import decimal_mark, read_numbers
from lumibot_duckdb.importing.quarantine import write_quarantine
from lumibot_duckdb.importing.refusal import Refusal, mark
from lumibot_duckdb.importing.report import FileReport
from lumibot_duckdb.importing.staging import StagedBars, Staging
from lumibot_duckdb.importing.symbols import AssetChoice, plain_symbol, symbol_of_file_name, timeframe_of_file_name
from lumibot_duckdb.importing.table_file import Piece, TableFile
from lumibot_duckdb.importing.timeframes import timeframe_of_spacing
from lumibot_duckdb.importing.times import TimeChoice, TimeReader
from lumibot_duckdb.storage.api import AssetKey, DataStorageInterface, TimeRange
from lumibot_duckdb.storage.errors import InvalidBarsError, StorageError
from lumibot_duckdb.storage.timeframes import bar_seconds

BARS_A_WRITE = 2_000_000
"""The most bars of a series in one write; a longer series takes several writes."""

# A whole number up to here is the same in a double.
_EXACT = 2**53
_NEVER_WHOLE = frozenset((*PRICES, "adj_close", "dividend", "split_ratio", "vwap", "bid", "ask"))


@dataclass(frozen=True, slots=True)
class ImportChoice:
    """The user's options for all files. What is None or empty is recognised from each file.

    `decimal` is the mark "." or "," of numbers in text. `source` and `adjustment` name the series that are written.
    """

    symbol: str | None = None
    timeframe: str | None = None
    source: str = "import"
    adjustment: str = ""
    decimal: str | None = None
    assets: AssetChoice = field(default_factory=AssetChoice)
    columns: ColumnChoice = field(default_factory=ColumnChoice)
    times: TimeChoice = field(default_factory=TimeChoice)
    text: TextChoice = field(default_factory=TextChoice)


def import_file(
    path: Path,
    storage: DataStorageInterface,
    choice: ImportChoice,
    quarantine_folder: Path,
    on_progress: Callable[[float], None] = lambda done: None,
) -> FileReport:
    """Import one file and return the outcome. Nothing is stored of a file that is refused as a whole.

    `on_progress` receives the part of the file that was read, from 0 to 1. Errors of the store itself are raised.
    """
    report = FileReport(path)
    try:
        _Import(path, choice, report).run(storage, quarantine_folder, on_progress)
    except FileRefusedError as error:
        report.error = str(error)
    except InvalidBarsError as error:
        report.error = f"the store refused its bars: {first_line(error)}"
    except StorageError:
        raise
    except (pa.ArrowException, OSError) as error:
        report.error = f"it cannot be read: {first_line(error)}"
    except duckdb.Error as error:
        report.error = f"its rows could not be sorted: {first_line(error)}"
    return report


class _Import:
    """The import of one file: recognises everything about it, then reads its rows once and stores them."""

    def __init__(self, path: Path, choice: ImportChoice, report: FileReport) -> None:
        self._choice = choice
        self._report = report
        wanted = (*choice.columns.values.values(), choice.columns.time, choice.columns.symbol)
        self._file: TableFile = open_table(path, choice.text, [name for name in wanted if name])
        sample = self._file.sample()
        self._layout = recognise_columns(sample, choice.columns)
        report.left_out = tuple(name for name in self._layout.left_out if name.strip())
        self._decimal = choice.decimal or _decimal_mark(sample, self._layout, self._file.delimiter)
        self._symbol = "" if self._layout.symbol else self._symbol_of_file(path)
        self._series: dict[AssetKey, int] = {}
        self._series_of_symbol: dict[str, int] = {}
        self._whole = dict.fromkeys(self._layout.values, True)
        self._times = TimeReader(
            choice.times,
            (piece.table for piece in self._file.pieces(self._layout.time)),
            self._layout.says_utc,
        )

    def run(self, storage: DataStorageInterface, quarantine_folder: Path, on_progress: Callable[[float], None]) -> None:
        """Read, check and store the file."""
        with Staging(tuple(self._layout.values)) as staging:
            for piece in self._file.pieces(self._layout.used):
                self._stage(piece, staging)
                on_progress(piece.progress)
            unsure, self._report.repeated = staging.settle()
            self._report.refused = staging.refusals()
            if unsure:
                self._report.notes.append(
                    f"{unsure} bars of an hour that came twice (the clocks went back), taken for the first of the two"
                )
            self._refuse_hopeless(staging)
            if self._report.refused:
                self._keep_refused(staging, quarantine_folder)
            bounds = staging.bounds()
            if bounds is None:
                self._report.notes.append("no bars in it")
                return
            self._report.first, self._report.last = bounds
            self._report.timeframe = self._timeframe(staging)
            self._store(storage, staging)

    def _stage(self, piece: Piece, staging: Staging) -> None:
        table = piece.table
        times = self._times.read(table.select(list(self._layout.time)))
        columns = {name: read_numbers(table[column], self._decimal) for name, column in self._layout.values.items()}
        for name, numbers in columns.items():
            self._whole[name] &= numbers.whole
        values = {name: numbers.values for name, numbers in columns.items()}
        unreadable = np.any([numbers.unreadable for numbers in columns.values()], axis=0)
        series, has_symbol = self._series_of(table)

        refusals = times.refusals
        empty = np.all([np.isnan(column) for column in values.values()], axis=0) & ~unreadable
        blank = empty & (refusals == Refusal.NO_TIME) & ~(has_symbol & (self._layout.symbol is not None))
        mark(refusals, ~has_symbol, Refusal.NO_SYMBOL)
        mark(refusals, unreadable, Refusal.UNREADABLE_NUMBER)
        refuse_implausible(values, refusals)

        good = refusals == Refusal.NONE
        bad = ~good & ~blank
        kept = {name: column[good] for name, column in values.items()}
        staging.add(piece.numbers[good], series[good], times.utc[good], times.later[good], kept)
        staging.refuse(piece.numbers[bad], refusals[bad])
        malformed = np.array([number for number, _ in piece.malformed], np.int64)
        staging.refuse(malformed, np.full(len(malformed), Refusal.FIELDS, np.uint8))
        self._report.rows += int(good.sum() + bad.sum()) + len(malformed)

    def _series_of(self, table: pa.Table) -> tuple[IntArray, BoolArray]:
        """Return the number of each row's series, and whether the row has a symbol."""
        if self._layout.symbol is None:
            series = self._series_number(self._symbol)
            return np.full(table.num_rows, series), np.ones(table.num_rows, bool)
        encoded = pa.concat_arrays(as_text(table[self._layout.symbol]).chunks or [pa.array([], pa.string())])
        encoded = encoded.dictionary_encode()
        symbols = [plain_symbol(symbol) for symbol in encoded.dictionary.to_pylist()]
        series_of_symbol = np.array([self._series_number(symbol) if symbol else -1 for symbol in symbols], np.int64)
        series = series_of_symbol[encoded.indices.to_numpy()]
        return series, series >= 0

    def _series_number(self, symbol: str) -> int:
        if symbol not in self._series_of_symbol:
            asset = self._choice.assets.asset(self._choice.symbol or symbol)
            self._series_of_symbol[symbol] = self._series.setdefault(asset, len(self._series))
            if self._choice.symbol and len(self._series_of_symbol) > 1:
                one, other, *_ = self._series_of_symbol
                column, symbol = self._layout.symbol, self._choice.symbol
                raise FileRefusedError(f"its column {column} has {one} and {other}; --symbol {symbol} cannot be both")
        return self._series_of_symbol[symbol]

    def _symbol_of_file(self, path: Path) -> str:
        symbol = self._choice.symbol or self._file.symbol or symbol_of_file_name(path.name)
        if symbol is None:
            raise FileRefusedError(
                "neither its name nor a column has a symbol: give --symbol, or --symbol-column if a column has it"
            )
        return symbol

    def _refuse_hopeless(self, staging: Staging) -> None:
        refused = sum(self._report.refused.values())
        first = staging.first_refused()
        if first is None or 2 * refused <= self._report.rows:
            return
        reasons = ", ".join(f"{reason.text} ({count})" for reason, count in self._report.refused.most_common())
        raise FileRefusedError(
            f"{refused} of {self._report.rows} rows cannot be bars: {reasons}; the first is row {first}"
        )

    def _keep_refused(self, staging: Staging, folder: Path) -> None:
        try:
            self._report.quarantine = write_quarantine(self._file, self._report.path, staging, folder)
        except OSError as error:
            raise FileRefusedError(f"its bad rows cannot be kept in {folder}: {first_line(error)}") from error

    def _timeframe(self, staging: Staging) -> str:
        if self._choice.timeframe:
            return self._choice.timeframe
        named = timeframe_of_file_name(self._report.path.name)
        spacing = staging.most_common_spacing()
        if spacing is None:
            found = named or ("day" if self._times.only_dates else None)
            if found is None:
                raise FileRefusedError(
                    "a single bar does not show the timeframe: give --timeframe, e.g. --timeframe minute"
                )
            return found
        found = timeframe_of_spacing(spacing)
        if named not in (None, found):
            self._report.notes.append(f"its name says {named}, but most bars are one {found} apart")
        return found

    def _store(self, storage: DataStorageInterface, staging: Staging) -> None:
        assets = list(self._series)
        report = self._report
        before: StagedBars | None = None
        for bars in staging.bars(BARS_A_WRITE):
            result = storage.store_ohlcv_data(
                assets[bars.series],
                self._frame(bars),
                self._choice.source,
                report.timeframe,
                adjustment=self._choice.adjustment,
                covered=_between(before, bars, report.timeframe),
                metadata={"file": report.path.name},
            )
            report.added += result.added
            report.changed += result.changed
            report.unchanged += result.unchanged
            if before is None or before.series != bars.series:
                report.symbols = (*report.symbols, assets[bars.series].label())
            before = bars

    def _frame(self, bars: StagedBars) -> pd.DataFrame:
        index = pd.DatetimeIndex(bars.times.astype("M8[s]"), name="datetime").as_unit("ns").tz_localize("UTC")
        values = {name: self._typed(name, column) for name, column in bars.values.items()}
        frame: pd.DataFrame = pd.DataFrame(values, index=index)
        return frame

    def _typed(self, name: str, column: FloatArray) -> FloatArray | IntArray:
        """Return counts as whole numbers if the file has whole numbers."""
        is_count = name not in _NEVER_WHOLE and self._whole[name] and bool((np.abs(column) <= _EXACT).all())
        return column.astype(np.int64) if is_count else column


def _between(before: StagedBars | None, bars: StagedBars, timeframe: str) -> TimeRange | None:
    """Return the coverage of one of several writes of a series: it includes the time since the previous bars."""
    if before is None or before.series != bars.series:
        return None
    return TimeRange(int(before.times[-1]) + 1, int(bars.times[-1]) + bar_seconds(timeframe))


def _decimal_mark(sample: Mapping[str, Sequence[str]], layout: ColumnLayout, delimiter: str) -> str:
    prices = [text for price in PRICES for text in sample[layout.values[price]]]
    found = decimal_mark(prices, delimiter)
    if found is None:
        example = next(text for text in prices if "," in text)
        raise FileRefusedError(
            f'the comma in "{example}" may be a decimal mark or not: give --decimal , or --decimal .'
        )
    return found
