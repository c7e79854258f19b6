"""The values of indicators at each candle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lumibot_duckdb.analytics.api import Analytics
from lumibot_duckdb.analytics.bars import FloatArray
from lumibot_duckdb.analytics.catalogue import PRICE_PANE
from lumibot_duckdb.analytics.parameters import number_text
from lumibot_duckdb.analytics.requests import Request
from lumibot_duckdb.charts.candles import Candles
from lumibot_duckdb.storage.api import AsOf


@dataclass(frozen=True, slots=True)
class Drawn:
    """An indicator with the values of its outputs at each candle, missing ones as NaN."""

    request: Request
    outputs: dict[str, FloatArray]

    @property
    def name(self) -> str:
        """The request as a chart shows it: `bollinger(20, 2)`."""
        values = [number_text(value) for value in self.request.values if value is not None]
        return f"{self.request.indicator.name}({', '.join(values)})" if values else self.request.indicator.name

    @property
    def on_price(self) -> bool:
        """Whether it is drawn on the prices."""
        return self.request.indicator.pane == PRICE_PANE


def drawn_indicators(
    storage: Analytics, candles: Candles, requests: Sequence[Request], texts: Sequence[str], start: Any, end: Any,
    as_of: AsOf | None,
) -> list[Drawn]:  # fmt: skip
    """Compute indicators from bars of the requested length; a candle has the value of its last bar."""
    if not requests:
        return []
    series = candles.series
    key = series.pin.key
    table = storage.indicators(
        key.asset,
        texts,
        series.timeframe,
        start,
        end,
        source=key.source,
        adjustment=key.adjustment,
        as_of=as_of,
        zone=candles.zone,
        format="arrow",
    )
    times = table["datetime"].cast("int64").to_numpy() // _ticks(table)
    last = np.append(times.searchsorted(candles.times[1:]), len(times)) - 1
    known = (last >= 0) & (times[last] >= candles.times) if len(times) else np.zeros(len(candles), bool)
    return [Drawn(request, _outputs(request, table, last, known)) for request in requests]


def _ticks(table: Any) -> int:
    from lumibot_duckdb.storage.timeframes import TICKS_PER_SECOND

    return TICKS_PER_SECOND[table.schema.field("datetime").type.unit]


def _outputs(request: Request, table: Any, last: Any, known: Any) -> dict[str, FloatArray]:
    indicator = request.indicator
    found = {}
    for output, column in zip(indicator.outputs, request.columns, strict=True):
        if indicator.drawn and output not in indicator.drawn:
            continue
        values = table[column].to_numpy().astype(float)
        found[output] = np.where(known, values[last], np.nan) if len(values) else np.full(len(known), np.nan)
    return found
