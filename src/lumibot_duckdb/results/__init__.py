"""The results of backtests as tables of a DuckDB file. It knows neither Lumibot nor sweeps' processes."""
