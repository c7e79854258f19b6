"""TA-Lib, if it is installed."""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

OLDEST = (0, 8)
"""The oldest release with all functions that are used."""


@cache
def ta_lib() -> Any:
    """Return the module of TA-Lib; None if it is not installed, or older than the functions that are used."""
    try:
        module = import_module("talib")
    except ImportError:
        return None
    return module if _release(module) >= OLDEST else None


def _release(module: Any) -> tuple[int, ...]:
    try:
        text = str(getattr(module, "__version__", "")) or version("ta-lib")
    except PackageNotFoundError:
        return ()
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])
