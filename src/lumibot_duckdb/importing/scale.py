"""What the prices of a file are divided by: vendors store them as whole numbers of small units."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lumibot_duckdb.importing.columns import PRICES, ColumnLayout
from lumibot_duckdb.importing.table_file import TableFile

SCALED = frozenset((*PRICES, "adj_close", "vwap", "bid", "ask"))
"""The stored columns that are prices."""

_DATABENTO_COLUMNS = {"ts_event", "rtype", "publisher_id", "instrument_id"}
_DATABENTO_SCALE = 1_000_000_000
_WHOLE = re.compile(r"-?\d+")


@dataclass(frozen=True, slots=True)
class PriceScale:
    """What prices are divided by, and how that is known ("" if they are not divided)."""

    divisor: int = 1
    origin: str = ""


def find_scale(
    file: TableFile, sample: Mapping[str, Sequence[str]], layout: ColumnLayout, stated: int | None
) -> PriceScale:
    """Return the scale of a file's prices: the `stated` one, or that of Databento's and LEAN's formats."""
    if stated is not None:
        return PriceScale(stated, "--price-scale")
    if file.scale != 1:
        return PriceScale(file.scale, "LEAN's format")
    prices = [text for price in PRICES for text in sample[layout.values[price]] if text]
    if set(file.columns) >= _DATABENTO_COLUMNS and prices and all(map(_WHOLE.fullmatch, prices)):
        return PriceScale(_DATABENTO_SCALE, "Databento's fixed-point format")
    return PriceScale()
