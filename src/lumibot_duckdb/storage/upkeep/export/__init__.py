"""Exports series and query results to files, and restores exported series."""
