"""Migrates Lumibot's old caches into the store: finds and reads files, stores their contents, verifies the result."""
