"""Bars in the store: input checks, layout, versions, coverage, writing and reading."""
