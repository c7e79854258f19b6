"""Replaces Lumibot's classes with ours, and runs unmodified scripts on them."""
