"""Alpaca: its client, its data source, and Lumibot's old caches of it."""
