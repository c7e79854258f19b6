"""File names of Lumibot's CCXT cache, with one file for each market and timeframe: `binance/BTC_USDT_1m.duckdb`."""

SUFFIX = ".duckdb"
TIMEFRAMES = ("1m", "1h", "1d")
