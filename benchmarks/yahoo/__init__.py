"""Lumibot's Yahoo source against ours, both on what is stored already."""
