"""The progress bar of downloads."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm


def progress_bar(name: str, total: int, *, unit: str = "it", shown: bool = True, leave: bool = True) -> tqdm[Any]:
    """Return a progress bar for a download, to be used as a context manager. Without a terminal, it shows nothing.

    Parameters:
        name: what is downloaded ("AAPL minute").
        total: the number of steps; call `update` with the number of completed ones.
        unit: what a step is called.
        shown: False never shows the bar.
        leave: whether the bar stays on the screen when it is complete.
    """
    return tqdm(
        total=total,
        desc=f"Downloading {name}",
        unit=unit,
        leave=leave,
        dynamic_ncols=True,
        disable=None if shown else True,
    )
