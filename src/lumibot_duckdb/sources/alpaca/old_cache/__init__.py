"""Readers of Lumibot's Alpaca caches."""
