"""The database. Depends on DuckDB, not on Lumibot, backtests or providers."""
