"""Ordinary strategy scripts, in the shapes of those that people publish. They know nothing of lumibot-duckdb."""
