"""The database: knows DuckDB; nothing of backtests or providers."""
