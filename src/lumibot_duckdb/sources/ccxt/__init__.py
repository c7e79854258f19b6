"""Crypto exchanges through ccxt: their client, the data source, and Lumibot's old cache of it."""
