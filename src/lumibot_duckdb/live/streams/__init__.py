"""Bars from the websocket streams of providers, for `lumibot-duckdb record`."""
