"""Charts of stored bars as Plotly figures and as pages. Depends on the storage and its analytics, not on Lumibot."""

from lumibot_duckdb.charts.heatmap import correlation_heatmap

__all__ = ["correlation_heatmap"]
