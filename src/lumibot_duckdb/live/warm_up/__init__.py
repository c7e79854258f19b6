"""Warm-up: history of a live strategy comes from the store where it is covered, and from the broker elsewhere."""
