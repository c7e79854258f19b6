"""Readers of Lumibot's Polygon cache."""
