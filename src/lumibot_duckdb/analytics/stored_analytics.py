"""`StoredAnalytics`: the `Analytics` of the DuckDB storage."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Literal

from lumibot_duckdb.analytics.api import Analytics
from lumibot_duckdb.storage.api import AsOf, AssetLike, BarReader


class StoredAnalytics(BarReader, Analytics):
    """Analyses stored bars. The work is imported when it is called."""

    def indicators(
        self,
        symbols: AssetLike | Iterable[AssetLike],
        indicators: str | Iterable[str],
        timeframe: str = "day",
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        *,
        source: str | None = None,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
        zone: str = "America/New_York",
        format: Literal["pandas", "polars", "arrow", "reader"] = "pandas",
    ) -> Any:
        from lumibot_duckdb.analytics.indicators import indicator_table

        return indicator_table(
            self,
            symbols,
            indicators,
            timeframe,
            start,
            end,
            source=source,
            adjustment=adjustment,
            as_of=as_of,
            zone=zone,
            format=format,
        )
