"""`StoredCharts`: the `Charts` of the DuckDB storage."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.charts.api import Charts, ChartStorage
from lumibot_duckdb.storage.api import AsOf, AssetLike

if TYPE_CHECKING:
    from lumibot_duckdb.charts.colors import Theme
    from lumibot_duckdb.charts.trades import Trades


class StoredCharts(ChartStorage, Charts):
    """Draws stored bars. The work is imported when it is called."""

    def chart(
        self,
        symbol: AssetLike,
        timeframe: str = "day",
        indicators: str | Iterable[str] = (),
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        *,
        source: str | None = None,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
        zone: str | None = None,
        trades: Trades | None = None,
        theme: Theme = "light",
    ) -> Any:
        from lumibot_duckdb.charts.chart import make_chart
        from lumibot_duckdb.charts.colors import palette
        from lumibot_duckdb.charts.figure import chart_figure

        palette(theme)  # refuses an unknown one
        made = make_chart(
            self,
            symbol,
            timeframe,
            indicators,
            start,
            end,
            source=source,
            adjustment=adjustment,
            as_of=as_of,
            zone=zone,
            trades=trades,
        )
        return chart_figure(made, theme)
