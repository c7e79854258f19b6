"""Imports one file of bars: recognises its columns, reads and checks its rows, and stores those that are bars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from lumibot_duckdb.importing.checks import refuse_implausible
from lumibot_duckdb.importing.columns import PRICES, ColumnChoice, ColumnLayout, plain_name, recognise_columns
from lumibot_duckdb.importing.earlier_files import EarlierFiles
from lumibot_duckdb.importing.errors import FileRefusedError
from lumibot_duckdb.importing.examples import Examples
from lumibot_duckdb.importing.exported import exported_series, preview, restore_exported
from lumibot_duckdb.importing.formats import first_line, open_table
from lumibot_duckdb.importing.numbers import Numbers, decimal_mark, read_numbers
from lumibot_duckdb.importing.paths import NamePattern, columns_of_partitions, exchange_of, facts_of_path
from lumibot_duckdb.importing.quarantine import write_quarantine
from lumibot_duckdb.importing.refusal import Refusal, mark, remedy
from lumibot_duckdb.importing.report import FileReport, FirstBar, Preview
from lumibot_duckdb.importing.scale import SCALED, find_scale
from lumibot_duckdb.importing.series import SeriesChoice, SeriesOfRows
from lumibot_duckdb.importing.staging import Staging
from lumibot_duckdb.importing.steps import OnStep, Step, ignore
from lumibot_duckdb.importing.table_file import Piece, WithConstants
from lumibot_duckdb.importing.text_form import TextChoice
from lumibot_duckdb.importing.text_stream import MAX_EXPANSION
from lumibot_duckdb.importing.timeframes import timeframe_of_gaps
from lumibot_duckdb.importing.times import TimeChoice, TimeReader
from lumibot_duckdb.importing.writing import FormOfSeries, store_bars
from lumibot_duckdb.storage.api import DataStorageInterface, SeriesKey
from lumibot_duckdb.storage.errors import InvalidBarsError, InvalidExportError, StorageError

MAX_BAD_ROWS = 50
"""A file is refused if more than so many percent of its rows cannot be bars."""

_BARS_OF_PREVIEW = 5


@dataclass(frozen=True, slots=True)
class ImportChoice:
    """The user's options for all files. What is None or empty is recognised from each file.

    `decimal` is the mark "." or "," of numbers in text. Prices are divided by `price_scale`. `max_bad_rows` is the
    percentage of rows that may be refused, and `max_expansion` how many times larger than a file its content may be.
    With `spool`, bars wait beside the store if another program holds it.
    """

    series: SeriesChoice = field(default_factory=SeriesChoice)
    decimal: str | None = None
    price_scale: int | None = None
    max_bad_rows: int = MAX_BAD_ROWS
    max_expansion: int = MAX_EXPANSION
    name_pattern: NamePattern | None = None
    columns: ColumnChoice = field(default_factory=ColumnChoice)
    times: TimeChoice = field(default_factory=TimeChoice)
    text: TextChoice = field(default_factory=TextChoice)
    spool: bool = False


def import_files(
    paths: Sequence[Path],
    storage: DataStorageInterface | None,
    choice: ImportChoice,
    quarantine_folder: Path,
    on_step: OnStep = ignore,
    earlier: EarlierFiles | None = None,
) -> list[FileReport]:
    """Import one file, or exported series that are stored `together`; see `import_file`."""
    if len(paths) > 1 and storage is not None:
        try:
            _refuse_options(choice)
            return restore_exported(paths, storage, on_step)
        except Exception as error:
            if isinstance(error, StorageError) and not isinstance(error, InvalidExportError | InvalidBarsError):
                raise
            # One by one, only those are refused that must be; what is stored already is not changed by that.
    return [import_file(path, storage, choice, quarantine_folder, on_step, earlier) for path in paths]


def import_file(
    path: Path,
    storage: DataStorageInterface | None,
    choice: ImportChoice,
    quarantine_folder: Path,
    on_step: OnStep = ignore,
    earlier: EarlierFiles | None = None,
) -> FileReport:
    """Import one file and return the outcome. Nothing is stored of a file that is refused as a whole.

    Without a `storage`, nothing is written at all, and the report has a preview. `on_step` receives what is being
    done. `earlier` are the files of the same run. Errors of the store itself are raised.
    """
    report = FileReport(path)
    try:
        exported = exported_series(path)
        if exported is not None:
            _refuse_options(choice)
            if storage is not None:
                return restore_exported([path], storage, on_step)[0]
            preview(path, exported, report)
        else:
            _Import(path, choice, report).run(storage, quarantine_folder, on_step, earlier or EarlierFiles())
    except (FileRefusedError, InvalidExportError) as error:
        report.error = str(error)
    except InvalidBarsError as error:
        report.error = f"the store refused its bars: {first_line(error)}"
    except StorageError:
        raise
    except (pa.ArrowException, OSError) as error:
        report.error = f"it cannot be read: {first_line(error)}"
    except duckdb.Error as error:
        report.error = f"its rows could not be sorted: {first_line(error)}"
    except Exception as error:
        # A file that nobody foresaw must not keep the other files of a run from being imported.
        report.error = f"it cannot be understood ({type(error).__name__}: {first_line(error)}): please report this"
    return report


def _refuse_options(choice: ImportChoice) -> None:
    """Refuse options that would make something else of an export than it is."""
    if replace(choice, max_bad_rows=MAX_BAD_ROWS, max_expansion=MAX_EXPANSION) != ImportChoice():
        raise FileRefusedError(
            "it is an exported series, which is restored as it was: leave out the options that say what it is"
        )


class _Import:
    """The import of one file: recognises everything about it, then reads its rows once and stores them."""

    def __init__(self, path: Path, choice: ImportChoice, report: FileReport) -> None:
        self._choice = choice
        self._report = report
        self._facts = facts_of_path(path, choice.name_pattern)
        wanted = (*choice.columns.values.values(), choice.columns.time, choice.columns.symbol)
        table = open_table(
            path, choice.text, [name for name in wanted if name], choice.series.symbol, choice.max_expansion
        )
        self._file = WithConstants(table, columns_of_partitions(self._facts.partitions))
        sample = self._file.sample()
        self._layout = recognise_columns(sample, choice.columns)
        report.left_out = tuple(
            name for name in self._layout.left_out if name.strip() and name not in self._facts.partitions
        )
        self._decimal = choice.decimal or _decimal_mark(sample, self._layout, self._file.delimiter)
        self._scale = find_scale(self._file, sample, self._layout, choice.price_scale)
        self._series = SeriesOfRows(self._series_choice(), self._layout, self._symbol_of_file())
        self._whole = dict.fromkeys(self._layout.values, True)
        self._examples = Examples(self._layout, len(table.columns))
        self._times = TimeReader(
            choice.times,
            (piece.table for piece in self._file.pieces(self._layout.time)),
            self._layout.zones,
            self._facts.date,
            self._file.is_lean,
        )

    def run(
        self,
        storage: DataStorageInterface | None,
        quarantine_folder: Path,
        on_step: OnStep,
        earlier: EarlierFiles,
    ) -> None:
        """Read, check and store the file."""
        with Staging(tuple(self._layout.values)) as staging:
            for piece in self._file.pieces(self._layout.used):
                self._stage(piece, staging)
                on_step(Step.READING, piece.progress)
            with staging.reporting(Step.CHECKING, on_step):
                unsure, self._report.repeated = staging.settle()
            self._report.refused = staging.refusals()
            self._add_notes(unsure)
            self._refuse_hopeless(staging)
            if self._report.refused and storage is not None:
                self._keep_refused(staging, quarantine_folder)
            bounds = staging.bounds()
            if bounds is None:
                self._report.notes.append("no bars in it")
                return
            self._report.first, self._report.last = bounds
            with staging.reporting(Step.FINDING_TIMEFRAME, on_step):
                series = self._series_with_timeframes(staging)
            self._report.timeframe = ", ".join(dict.fromkeys(key.timeframe for key in series))
            if storage is None:
                self._preview(staging, series)
            else:
                spool = self._choice.spool
                store_bars(storage, staging, series, self._form(), self._report, earlier, on_step, spool=spool)

    def _series_choice(self) -> SeriesChoice:
        """Return the user's choice, with the exchange of the path where the user states none."""
        choice = self._choice.series
        exchange = choice.assets.exchange or exchange_of(self._facts.partitions)
        return replace(choice, assets=replace(choice.assets, exchange=exchange))

    def _symbol_of_file(self) -> str:
        if self._layout.keys:
            return ""
        symbol = self._choice.series.symbol or self._file.symbol or self._facts.symbol
        if symbol is None:
            raise FileRefusedError(
                "neither its name nor a column has a symbol: give --symbol, or --symbol-column if a column has it, or "
                "--name-pattern if its path has it"
            )
        if symbol == self._facts.symbol and self._facts.symbol_from.startswith("folder"):
            self._report.notes.append("its symbol is the name of its folder")
        return symbol

    def _stage(self, piece: Piece, staging: Staging) -> None:
        table = piece.table
        times = self._times.read(table.select(list(self._layout.time)))
        columns = {name: self._numbers(name, table[column]) for name, column in self._layout.values.items()}
        for name, numbers in columns.items():
            self._whole[name] &= numbers.whole
        values = {name: numbers.values for name, numbers in columns.items()}
        unreadable = {name: numbers.unreadable for name, numbers in columns.items()}
        any_unreadable = np.any(list(unreadable.values()), axis=0)
        series, has_symbol = self._series.read(table)

        refusals = times.refusals
        empty = np.all([np.isnan(column) for column in values.values()], axis=0) & ~any_unreadable
        blank = empty & (refusals == Refusal.NO_TIME) & ~(has_symbol & bool(self._layout.keys))
        mark(refusals, ~has_symbol, Refusal.NO_SYMBOL)
        mark(refusals, any_unreadable, Refusal.UNREADABLE_NUMBER)
        refuse_implausible(values, refusals)
        refusals[blank] = Refusal.NONE

        good, bad = (refusals == Refusal.NONE) & ~blank, refusals != Refusal.NONE
        kept = {name: column[good] for name, column in values.items()}
        staging.add(piece.numbers[good], series[good], times.utc[good], times.later[good], kept)
        # Rows that are refused for their prices show the timeframe like any other.
        timed = refusals > Refusal.NO_SYMBOL
        staging.add_times(series[timed], times.utc[timed])
        staging.refuse(piece.numbers[bad], refusals[bad])
        malformed = np.array([number for number, _ in piece.malformed], np.int64)
        staging.refuse(malformed, np.full(len(malformed), Refusal.FIELDS, np.uint8))
        self._examples.add(piece, refusals, unreadable)
        self._report.rows += int(good.sum() + bad.sum()) + len(malformed)

    def _numbers(self, name: str, column: pa.ChunkedArray) -> Numbers:
        try:
            return read_numbers(column, self._decimal, self._scale.divisor if name in SCALED else 1)
        except FileRefusedError as error:
            raise FileRefusedError(f"its column {self._layout.values[name]}: {error}") from None

    def _add_notes(self, unsure: int) -> None:
        notes = self._report.notes
        notes += self._file.notes() + self._series.notes
        if self._scale.origin:
            notes.append(f"prices were divided by {self._scale.divisor:,} ({self._scale.origin})")
        if self._times.ignores_stated_zone:
            notes.append(f"--timezone {self._choice.times.zone} was not needed: the zone of its times is known")
        elif self._times.zone_is_from_heading and not self._layout.is_own_view:
            notes.append(f"its times are in {self._times.zone}")
        if "tick" in plain_name(self._layout.values.get("volume", "")):
            notes.append(f"its volume is {self._layout.values['volume']}, the number of price changes")
        if unsure:
            notes.append(
                f"{unsure} bars of an hour that came twice (the clocks went back), taken for the first of the two"
            )

    def _refuse_hopeless(self, staging: Staging) -> None:
        report = self._report
        first = staging.first_refused()
        rows, refused = report.rows, sum(report.refused.values())
        if first is None:
            return
        if refused < rows:
            # Rows without prices do not make a file doubtful: some vendors write one for every minute.
            rows, refused = rows - report.refused[Refusal.NO_PRICES], refused - report.refused[Refusal.NO_PRICES]
        if 100 * refused <= self._choice.max_bad_rows * rows:
            return
        reasons = ", ".join(f"{reason.text} ({count})" for reason, count in report.refused.most_common())
        place, values = self._file.place_of(first), self._examples.of_row(first)
        help_with = remedy(report.refused.most_common(1)[0][0])
        raise FileRefusedError(
            f"{sum(report.refused.values())} of {report.rows} rows cannot be bars: {reasons}; the first is {place}"
            + (f": {values}" if values else "")
            + (f"; {help_with}" if help_with else "")
            + ("; --max-bad-rows 100 imports the other rows" if refused < rows else "")
        )

    def _keep_refused(self, staging: Staging, folder: Path) -> None:
        try:
            self._report.quarantine = write_quarantine(self._file, self._report.path, staging, folder)
        except OSError as error:
            raise FileRefusedError(f"its bad rows cannot be kept in {folder}: {first_line(error)}") from error

    def _series_with_timeframes(self, staging: Staging) -> list[SeriesKey]:
        series = self._series.keys
        if all(key.timeframe for key in series):
            return series
        timeframe = self._timeframe(staging)
        return [key if key.timeframe else replace(key, timeframe=timeframe) for key in series]

    def _timeframe(self, staging: Staging) -> str:
        named = self._facts.timeframe
        gaps = staging.gaps()
        if not gaps:
            found = named or ("day" if self._times.only_dates else None)
            if found is None:
                raise FileRefusedError(
                    "a single bar does not show the timeframe: give --timeframe, e.g. --timeframe minute"
                )
            return found
        guess = timeframe_of_gaps(gaps, named)
        if guess is None:
            raise FileRefusedError(
                "the distances between its bars do not show the timeframe: give --timeframe, e.g. --timeframe day"
            )
        if guess.doubt:
            self._report.notes.append(guess.doubt)
        return guess.timeframe

    def _form(self) -> FormOfSeries:
        # An export of the view has a column for every value, also for those that a series never had.
        return FormOfSeries(self._whole, PRICES) if self._layout.is_own_view else FormOfSeries(self._whole)

    def _preview(self, staging: Staging, series: Sequence[SeriesKey]) -> None:
        origin = f"column {self._layout.keys[0]}" if self._layout.keys else self._facts.symbol_from or "the file's name"
        self._report.symbols = tuple(dict.fromkeys(key.asset.label() for key in series))
        self._report.preview = Preview(
            "--symbol" if self._choice.series.symbol else origin,
            ", ".join(dict.fromkeys(key.source for key in series)),
            " and ".join(self._layout.time) or "(no name)",
            self._times.zone,
            f"divided by {self._scale.divisor:,} ({self._scale.origin})" if self._scale.origin else "as they are",
            self._layout.values,
            list(_first_bars(staging, series)),
        )


def _first_bars(staging: Staging, series: Sequence[SeriesKey]) -> Iterator[FirstBar]:
    for bars in islice(staging.bars(1), _BARS_OF_PREVIEW):
        values = {name: float(column[0]) for name, column in bars.values.items()}
        yield FirstBar(series[bars.series].asset.label(), int(bars.times[0]), values)


def _decimal_mark(sample: Mapping[str, Sequence[str]], layout: ColumnLayout, delimiter: str) -> str:
    prices = [(text, layout.values[price]) for price in PRICES for text in sample[layout.values[price]]]
    found = decimal_mark([text for text, _ in prices], delimiter)
    if found is None:
        example, column = next((text, column) for text, column in prices if "," in text)
        raise FileRefusedError(
            f'the comma in "{example}" may be a decimal mark or not (column {column}): give --decimal , or --decimal .'
        )
    return found
