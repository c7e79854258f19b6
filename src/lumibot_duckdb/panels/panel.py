"""Makes a panel in the requested format."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from lumibot_duckdb.analytics import frames
from lumibot_duckdb.analytics.cross_asset.selection import asset_list
from lumibot_duckdb.analytics.indicators import check_zone
from lumibot_duckdb.analytics.series import chosen_series
from lumibot_duckdb.analytics.span import Span
from lumibot_duckdb.panels import arrays, tables
from lumibot_duckdb.panels.errors import PanelError
from lumibot_duckdb.panels.features import parsed_features
from lumibot_duckdb.panels.rows import JOINS, PanelRows
from lumibot_duckdb.panels.targets import Target, checked_targets
from lumibot_duckdb.storage.api import AsOf, AssetLike, BarReader
from lumibot_duckdb.storage.timeframes import canonical_timeframe

FORMATS = ("pandas", "polars", "arrow", "reader", "numpy", "torch")
DTYPES = ("float64", "float32")


def make_panel(
    storage: BarReader,
    symbols: AssetLike | Iterable[AssetLike],
    features: str | Iterable[str],
    timeframe: str,
    start: datetime | date | str | None,
    end: datetime | date | str | None,
    *,
    targets: Target | Iterable[Target],
    source: str | None,
    adjustment: str | None,
    as_of: AsOf | None,
    join: str,
    zone: str,
    dtype: str,
    format: str,
) -> Any:
    """Do what `Panels.panel` documents."""
    for name, value, choices in (("format", format, FORMATS), ("join", join, JOINS), ("dtype", dtype, DTYPES)):
        if value not in choices:
            raise PanelError(f"{value!r} is not a {name}: write one of {', '.join(choices)}")
    if format == "torch":
        arrays.torch_module()  # before the work
    check_zone(zone)
    span = Span.between(start, end)
    wanted = parsed_features(features)
    predicted = checked_targets(targets)
    schema = tables.panel_schema(wanted, predicted, dtype)
    series = chosen_series(storage, asset_list(symbols), timeframe, source, adjustment, as_of)
    wanted.check(storage, series)
    panel = PanelRows(storage, series, wanted, predicted, span, zone, join)
    rows = panel.of_each_asset(panel.indicator_values())
    if format in ("numpy", "torch"):
        dense = arrays.panel_arrays(rows, wanted, predicted, canonical_timeframe(timeframe), dtype)
        return dense if format == "numpy" else arrays.as_tensors(dense)
    reader = frames.as_reader(schema, tables.batches(rows, schema, with_nulls=format != "pandas"))
    if format == "pandas":
        return tables.pandas_frame(reader)
    if format == "polars":
        return frames.polars_frame(reader)
    return reader.read_all() if format == "arrow" else reader
