"""Runs a strategy on both storages and tells whether anything differs."""
