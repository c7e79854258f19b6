"""Names of the files of Lumibot's CCXT cache, `binance/BTC_USDT_1m.duckdb`: a file for each market and timeframe."""

SUFFIX = ".duckdb"
TIMEFRAMES = ("1m", "1h", "1d")
