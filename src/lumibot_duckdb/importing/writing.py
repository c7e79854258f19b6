"""Writes the sorted bars of a file into the store."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd

from lumibot_duckdb.importing.arrays import FloatArray, IntArray
from lumibot_duckdb.importing.columns import PRICES
from lumibot_duckdb.importing.earlier_files import EarlierFiles
from lumibot_duckdb.importing.report import FileReport
from lumibot_duckdb.importing.scale import SCALED
from lumibot_duckdb.importing.staging import StagedBars, Staging
from lumibot_duckdb.importing.steps import OnStep, Step
from lumibot_duckdb.storage.api import DataStorageInterface, SeriesKey, TimeRange, WriteResult
from lumibot_duckdb.storage.bars.batches import in_batches
from lumibot_duckdb.storage.timeframes import bar_seconds

BARS_A_WRITE = 2_000_000
"""The most bars of a series in one write; a longer series takes several writes."""

# A whole number up to here is the same in a double.
_EXACT = 2**53
_NEVER_WHOLE = SCALED | {"dividend", "split_ratio"}


@dataclass(frozen=True, slots=True)
class FormOfSeries:
    """How the columns of a file are stored.

    Columns are whole numbers if `is_whole` says so, and are stored even where a whole series has no value in them if
    they are among `always`.
    """

    is_whole: Mapping[str, bool]
    always: Collection[str] = (*PRICES, "volume")

    def frame(self, bars: StagedBars, empty: Collection[str]) -> pd.DataFrame:
        """Return bars as the store takes them. `empty` are the columns without a value in the whole series."""
        index = pd.DatetimeIndex(bars.times.astype("M8[s]"), name="datetime").as_unit("ns").tz_localize("UTC")
        values = {
            name: self._typed(name, column)
            for name, column in bars.values.items()
            if name in self.always or name not in empty
        }
        frame: pd.DataFrame = pd.DataFrame(values, index=index)
        return frame

    def _typed(self, name: str, column: FloatArray) -> FloatArray | IntArray:
        """Return counts as whole numbers if the file has whole numbers."""
        is_count = name not in _NEVER_WHOLE and self.is_whole[name] and bool((np.abs(column) <= _EXACT).all())
        return column.astype(np.int64) if is_count else column


def store_bars(
    storage: DataStorageInterface,
    staging: Staging,
    series: Sequence[SeriesKey],
    form: FormOfSeries,
    report: FileReport,
    earlier: EarlierFiles,
    on_step: OnStep,
    *,
    spool: bool = False,
) -> None:
    """Store all bars of a file, and count them in its report.

    With `spool`, they wait beside the store if another program holds it.
    The report notes which of the `earlier` files of the same run stored bars that this file changed.
    """
    empty, total, done = staging.empty_columns(), staging.count(), 0
    metadata = {"file": report.path.name}
    before: StagedBars | None = None

    def on_rows(written: int, of: int) -> None:
        on_step(Step.STORING, (done + written) / total)

    def stored(batch: Sequence[StagedBars]) -> list[WriteResult]:
        """Store bars: short series together, and each part of a long one with the time since the part before."""
        frames = {series[bars.series]: form.frame(bars, empty[bars.series]) for bars in batch}
        if len(batch) > 1:
            return storage.store_many(frames, metadata=metadata, spool=spool)
        ((key, frame),) = frames.items()
        covered = _between(before, batch[0], key.timeframe)
        return [
            storage.store_ohlcv_data(
                key.asset,
                frame,
                key.source,
                key.timeframe,
                adjustment=key.adjustment,
                covered=covered,
                metadata=metadata,
                on_rows=on_rows,
                spool=spool,
            )
        ]

    sorted_bars = staging.bars(BARS_A_WRITE)
    with staging.reporting(Step.SORTING, on_step):
        first = next(sorted_bars)
    for batch in _batches(chain([first], sorted_bars)):
        for bars, result in zip(batch, stored(batch), strict=True):
            key = series[bars.series]
            report.added += result.added
            report.changed += result.changed
            report.unchanged += result.unchanged
            report.spooled += result.spooled
            other = earlier.overlapping(report.path, key, bars) if result.changed else None
            if other is not None:
                report.notes.append(
                    f"bars of {key.label()} that it changed: {result.changed:,}; {other} had stored bars of that time "
                    "in the same run"
                )
            earlier.add(report.path, key, bars)
            if before is None or before.series != bars.series:
                report.symbols = (*report.symbols, key.asset.label())
            before = bars
            done += len(bars.times)
        on_rows(0, 0)


def _batches(bars: Iterable[StagedBars]) -> Iterator[list[StagedBars]]:
    """Yield bars that are stored together: none of one series twice."""
    for batch in in_batches(bars, lambda each: len(each.times)):
        if len({each.series for each in batch}) == len(batch):
            yield batch
        else:
            yield from ([each] for each in batch)


def _between(before: StagedBars | None, bars: StagedBars, timeframe: str) -> TimeRange | None:
    """Return the coverage of one of several writes of a series: it includes the time since the previous bars."""
    if before is None or before.series != bars.series:
        return None
    return TimeRange(int(before.times[-1]) + 1, int(bars.times[-1]) + bar_seconds(timeframe))
