"""The checks of `lumibot-duckdb doctor`: versions, settings, the store, the contract with Lumibot, and a self-test."""
