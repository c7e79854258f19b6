"""The checked arguments of a call of `store_ohlcv_data`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.errors import InvalidBarsError

if TYPE_CHECKING:
    from lumibot_duckdb.storage.bars.input_checks import InputBars


@dataclass(frozen=True, slots=True)
class BarsWrite:
    """The arguments of `store_ohlcv_data`, checked. `asked_at` is in UTC."""

    key: SeriesKey
    bars: InputBars
    covered: TimeRange | None
    replace: bool
    metadata: Mapping[str, Any] | None
    onto: int | None
    asked_at: datetime
    also_covered: tuple[TimeRange, ...] = ()


def metadata_text(key: SeriesKey, metadata: Mapping[str, Any] | None) -> str | None:
    """Return metadata as the JSON text that is stored; raise `InvalidBarsError` if it cannot be written as JSON."""
    if not metadata:
        return None
    try:
        return json.dumps(dict(metadata), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidBarsError(f"{key.label()}: the metadata cannot be written as JSON: {error}") from None
