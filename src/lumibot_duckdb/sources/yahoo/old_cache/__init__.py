"""Readers of Lumibot's Yahoo cache."""
