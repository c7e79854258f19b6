"""Upkeep of the store: compaction and verification."""
