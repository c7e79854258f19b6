"""Replaces Lumibot's classes by ours, and runs unmodified scripts on them."""
