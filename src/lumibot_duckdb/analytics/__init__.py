"""Analytics of stored bars. Depends on the storage, not on Lumibot, backtests or providers."""
