"""The method of `self.indicators` that computes every indicator: what is around it, and what takes its place.

Lumibot's own, or what takes its place, is always the innermost, in whichever order these functions are called.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias

Dispatch: TypeAlias = Callable[..., Any]
"""Its parameters are `self, asset, timestep, name, kwargs, custom_fn`, and keywords."""

_INNERMOST = "_lumibot_duckdb_dispatch"


def wrap_dispatch(wrap: Callable[[Dispatch], Dispatch]) -> None:
    """Put a wrapper around the method."""
    indicators = _prepared()
    indicators._dispatch = wrap(indicators._dispatch)


def replace_dispatch(replacement: Callable[[Dispatch], Dispatch]) -> None:
    """Put what `replacement` makes of Lumibot's method in its place, within all wrappers."""
    indicators = _prepared()
    setattr(indicators, _INNERMOST, replacement(getattr(indicators, _INNERMOST)))


def _prepared() -> Any:
    """Return Lumibot's class, whose method finds the innermost one when it is called."""
    from lumibot.indicators.indicators import Indicators

    if _INNERMOST not in vars(Indicators):
        original = Indicators._dispatch
        setattr(Indicators, _INNERMOST, original)

        @wraps(original)
        def dispatch(self: Any, *args: Any, **kwargs: Any) -> Any:
            return getattr(self, _INNERMOST)(*args, **kwargs)

        Indicators._dispatch = dispatch
    return Indicators
