"""`StoredPanels`: the `Panels` of the DuckDB storage."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from lumibot_duckdb.panels.api import Panels
from lumibot_duckdb.storage.api import AsOf, AssetLike, BarReader

if TYPE_CHECKING:
    from lumibot_duckdb.panels.targets import Target


class StoredPanels(BarReader, Panels):
    """Makes panels of stored bars. The work is imported when it is called."""

    def panel(
        self,
        symbols: AssetLike | Iterable[AssetLike],
        features: str | Iterable[str],
        timeframe: str = "day",
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        *,
        targets: Target | Iterable[Target] = (),
        source: str | None = None,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
        join: Literal["outer", "inner"] = "outer",
        zone: str = "America/New_York",
        dtype: Literal["float64", "float32"] = "float64",
        format: Literal["pandas", "polars", "arrow", "reader", "numpy", "torch"] = "pandas",
    ) -> Any:
        from lumibot_duckdb.panels.panel import make_panel

        return make_panel(
            self,
            symbols,
            features,
            timeframe,
            start,
            end,
            targets=targets,
            source=source,
            adjustment=adjustment,
            as_of=as_of,
            join=join,
            zone=zone,
            dtype=dtype,
            format=format,
        )
