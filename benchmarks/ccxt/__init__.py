"""What CCXT users gain: our source on a filled store against Lumibot's own with its files of candles warm."""
