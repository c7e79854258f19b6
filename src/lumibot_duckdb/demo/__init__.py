"""What `lumibot-duckdb demo` shows: the same backtests on Lumibot's storage and on this one, compared."""
