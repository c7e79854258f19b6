"""Charts of stored bars as Plotly figures and as pages. Depends on the storage and its analytics, not on Lumibot."""

from lumibot_duckdb.charts.heatmap import correlation_heatmap
from lumibot_duckdb.charts.lines import correlation_lines

__all__ = ["correlation_heatmap", "correlation_lines"]
