"""The `lumibot-duckdb` command."""
