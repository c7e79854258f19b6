"""Shows the downloads of a backtest and the first look at many series, unless Lumibot's progress bar is turned off."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, wraps
from typing import Any, TypeVar, cast

from lumibot_duckdb.progress import Progress, counting

SHOW_PROGRESS_BAR = "BACKTESTING_SHOW_PROGRESS_BAR"
"""Lumibot's environment variable, which Lumibot also sets to the argument `show_progress_bar` of a backtest."""

Load = TypeVar("Load", bound=Callable[..., Any])

_shown_always = False
_expected: list[_Expected] = []


class _Expected:
    """Assets that are about to be requested, in order. Their names cost time, so they are made when one is loaded."""

    def __init__(self, assets: Sequence[Any], steps: Progress) -> None:
        self._assets = assets
        self._steps = steps

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {_name(asset): place for place, asset in enumerate(self._assets)}

    def note(self, name: str) -> None:
        """Take all assets before the one of this name for loaded."""
        self._steps.done = max(self._places.get(name, 0), self._steps.done)  # threads load several at a time


def is_wanted() -> bool:
    """Return whether Lumibot shows the progress of a backtest."""
    return _shown_always or os.environ.get(SHOW_PROGRESS_BAR, "true").strip().lower() in ("true", "1", "yes", "on")


def show_always() -> None:
    """Show progress from now on even in backtests that show none, until this process ends."""
    global _shown_always
    _shown_always = True


def downloading(name: str, total: float | None, *, shown: bool = True) -> Progress:
    """Return the progress of a download, to be used as a context manager.

    Parameters:
        name: what is downloaded ("AAPL minute").
        total: the amount in any unit; call `advance` with what has arrived. None if it is not known.
        shown: False never shows it.
    """
    return Progress(f"Downloading {name}", total, shown=_shown_always or (shown and is_wanted()))


def loading(what: Any, total: int | None = None, *, shown: bool = True) -> Progress:
    """Return the progress of loading an asset's series, or many series, to be used as a context manager."""
    name = _name(what)
    for expected in _expected:
        expected.note(name)
    return Progress(f"Loading {name}", total, shown=_shown_always or (shown and is_wanted()))


def shows_loading(load: Load) -> Load:
    """Show the name of a series, and its downloads, while a method loads it.

    The method's first argument is the asset. Its object has an attribute `shows_progress`.
    """

    @wraps(load)
    def shown_load(self: Any, asset: Any, *args: Any, **kwargs: Any) -> Any:
        with loading(asset, shown=self.shows_progress):
            return load(self, asset, *args, **kwargs)

    return cast(Load, shown_load)


@contextmanager
def expecting(assets: Sequence[Any]) -> Iterator[None]:
    """Show which of some assets is loaded in a `with` block, and estimate when all are."""
    with counting(len(assets)) as steps:
        expected = _Expected(assets, steps)
        _expected.append(expected)
        try:
            yield
        finally:
            _expected.remove(expected)


def _name(asset: Any) -> str:
    return str(asset[0] if isinstance(asset, tuple) else asset)
