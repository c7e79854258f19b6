"""Numbers in options."""

from __future__ import annotations

import argparse
from math import isfinite


def whole_number(text: str) -> int:
    """Return a whole number of at least 1. Raises `argparse.ArgumentTypeError`."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number


def percentage(text: str) -> int:
    """Return a whole number from 0 to 100. Raises `argparse.ArgumentTypeError`."""
    if not (text.isascii() and text.isdigit() and int(text) <= 100):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 100")
    return int(text)


def positive_number(text: str) -> float:
    """Return a number above zero. Raises `argparse.ArgumentTypeError`."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not isfinite(number) or number <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return number
