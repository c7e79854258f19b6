"""Backfill: downloads what is missing of recorded series, in the background."""
