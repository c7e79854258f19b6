"""Values of indicators for the bars in a range, as they are for the full history."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.computation.engine import engine_for, outputs
from lumibot_duckdb.analytics.reading import IndicatorBars, Span
from lumibot_duckdb.analytics.requests import Request
from lumibot_duckdb.analytics.series_bars import BarsInTimeframe
from lumibot_duckdb.analytics.warm_up import Reach
from lumibot_duckdb.storage.times import Int64Array

_SAME = 1e-10
"""The relative difference up to which a value counts as independent of what came before the bars that were read."""


class IndicatorValues:
    """Reads bars and computes some indicators.

    Args:
        requests: The indicators.
        zone: The time zone whose days count.

    Raises:
        MissingLibraryError: An indicator needs TA-Lib, which is not installed.
    """

    def __init__(self, requests: Sequence[Request], zone: str) -> None:
        self.columns = ("close", *(column for request in requests for column in request.columns))
        self.needs_all_bars = any(request.warm_up.reach is Reach.ALL for request in requests)
        self._engine = engine_for(tuple(requests))
        self._requests = requests
        inputs = tuple(dict.fromkeys(name for request in requests for name in request.indicator.inputs))
        self._bars = IndicatorBars(inputs, [request.warm_up for request in requests], zone)

    def read(self, series: BarsInTimeframe, span: Span) -> tuple[Int64Array, list[FloatArray]]:
        """Return the starts (epoch seconds) of the bars in a span, and an array for each of `columns`."""
        bars, first = self._bars.read(series, span, self._is_enough)
        shown = [bars.close[first:]]
        for request in self._requests:
            shown += [values[first:] for values in outputs(self._engine, request, bars)]
        return bars.times[first:], shown

    def close(self) -> None:
        """Release what the computations needed. Nothing can be computed after that."""
        self._engine.close()
        self._bars.close()

    def _is_enough(self, bars: Bars, first: int) -> bool:
        """Return whether the bars before a place are enough for the values of recursive indicators from there on."""
        return all(self._is_settled(request, bars, first) for request in self._requests)

    def _is_settled(self, request: Request, bars: Bars, first: int) -> bool:
        """Return whether other bars before these would change no value from a place on.

        A calm market can make old bars count for longer than usual: averages of rises and falls keep their ratio as
        long as the price stays the same, and show it when the price moves again. So an early bar is changed, and all
        values must stay the same.
        """
        if request.warm_up.reach is not Reach.RECURSIVE:
            return True
        if not first:
            return False
        pairs = zip(
            outputs(self._engine, request, bars), outputs(self._engine, request, _with_early_peak(bars)), strict=True
        )
        return all(_same(values[first:], others[first:]) for values, others in pairs)


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
