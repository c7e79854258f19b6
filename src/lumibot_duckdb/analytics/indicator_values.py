"""Values of indicators for the bars in a range, as they are for the full history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.computation.continuation import in_pieces
from lumibot_duckdb.analytics.computation.engine import Outputs, engine_for, outputs
from lumibot_duckdb.analytics.reading import IndicatorBars, ReadBars
from lumibot_duckdb.analytics.requests import Request
from lumibot_duckdb.analytics.series_bars import BarsInTimeframe
from lumibot_duckdb.analytics.span import Span
from lumibot_duckdb.analytics.warm_up import Reach, window
from lumibot_duckdb.storage.times import Int64Array

_SAME = 1e-10
"""The relative difference up to which a value counts as independent of what came before the bars that were read."""

_ROWS_AT_A_TIME = 16_384
"""How many bars of a long history are computed at a time: few need less memory, and many less time."""


@dataclass(frozen=True, slots=True)
class Computed:
    """Bars up to the end of a span, the place of the first one in it, and what was computed of all these bars."""

    bars: Bars
    first: int
    outputs: Outputs

    def shown(self) -> tuple[Int64Array, list[FloatArray]]:
        """Return the starts of the bars in the span, and their closes and outputs."""
        columns = [self.bars.close, *(values for each in self.outputs.values() for values in each)]
        return self.bars.times[self.first :], [column[self.first :] for column in columns]


class IndicatorValues:
    """Reads bars and computes some indicators.

    Args:
        requests: The indicators.
        zone: The time zone whose days count.
        inputs: Further columns of the bars that `compute` returns.
        bars_before: How many bars before a span are read in any case.

    Raises:
        MissingLibraryError: An indicator needs TA-Lib, which is not installed.
    """

    def __init__(
        self, requests: Sequence[Request], zone: str, inputs: Sequence[str] = (), bars_before: int = 0
    ) -> None:
        self.columns = ("close", *(column for request in requests for column in request.columns))
        self.needs_all_bars = any(request.warm_up.reach is Reach.ALL for request in requests)
        self._engine = engine_for(tuple(requests))
        self._requests = requests
        needed = [*(name for request in requests for name in request.indicator.inputs), *inputs]
        warm_ups = [window(bars_before), *(request.warm_up for request in requests)]
        self._bars = IndicatorBars(tuple(dict.fromkeys(needed)), warm_ups, zone)

    def read(self, series: BarsInTimeframe, span: Span) -> tuple[Int64Array, list[FloatArray]]:
        """Return the starts (epoch seconds) of the bars in a span, and an array for each of `columns`."""
        return self.compute(series, span).shown()

    def pieces(self, series: BarsInTimeframe, span: Span) -> Iterator[tuple[Int64Array, list[FloatArray]]]:
        """Yield what `read` returns, for a long history in pieces, so that it is never in memory as a whole."""
        pieces = None
        if self._engine.continues and (span.start is None or self.needs_all_bars):
            pieces = self._bars.pieces(series, span.end)
        if pieces is None:
            yield self.read(series, span)
            return
        for bars, found in in_pieces(self._engine, self._requests, pieces, _ROWS_AT_A_TIME):
            first = 0 if span.start is None else int(bars.times.searchsorted(span.start))
            shown = Computed(bars, first, found).shown()
            del bars, found  # not needed while the next ones are computed
            yield shown
            del shown

    def compute(self, series: BarsInTimeframe, span: Span) -> Computed:
        """Return the bars of a span with enough earlier ones, and the outputs of the indicators for them."""
        for read in self._bars.attempts(series, span):
            found = {request: outputs(self._engine, request, read.bars) for request in self._requests}
            if read.has_all or self._are_settled(read, found):
                break
        return Computed(read.bars, read.first, found)

    def close(self) -> None:
        """Release what the computations needed. Nothing can be computed after that."""
        self._engine.close()
        self._bars.close()

    def _are_settled(self, read: ReadBars, found: Outputs) -> bool:
        """Return whether other bars before those that were read would change no value that is shown.

        A calm market can make old bars count for longer than usual: averages of rises and falls keep their ratio as
        long as the price stays the same, and show it when the price moves again. So an early bar is changed, and all
        values must stay the same.
        """
        recursive = {request: each for request, each in found.items() if request.warm_up.reach is Reach.RECURSIVE}
        if not recursive or read.first == len(read.bars):
            return True
        changed = _with_early_peak(read.bars)
        return all(
            _same(column[read.first :], other[read.first :])
            for request, columns in recursive.items()
            for column, other in zip(columns, outputs(self._engine, request, changed), strict=True)
        )


def _with_early_peak(bars: Bars) -> Bars:
    """Return bars whose second one is twice as high: a rise and a fall."""
    factor = np.ones(len(bars))
    factor[1] = 2.0
    return Bars(bars.times, {name: column * factor for name, column in bars.columns.items()}, bars.zone)


def _same(values: FloatArray, others: FloatArray) -> bool:
    """Return whether the first values are the same, and the later ones in relation to the largest of them."""
    if not np.array_equal(np.isnan(values), np.isnan(others)):
        return False
    known = ~np.isnan(values)
    sizes = np.abs(values[known])
    allowed = np.full(len(sizes), _SAME * sizes.max(initial=0.0))
    if known[0]:
        allowed[0] = _SAME * max(sizes[0], abs(others[0]))
    return bool((np.abs(values - others)[known] <= allowed).all())
