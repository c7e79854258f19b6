"""Lets a script run with nobody there: no windows, no bars of progress, and no trading."""

from __future__ import annotations

import webbrowser
from threading import Thread
from urllib.request import urlopen

# A script that starts trading when it is not told to backtest must not do so because it is compared.
ENVIRONMENT = {
    "IS_BACKTESTING": "true",
    "SHOW_PLOT": "False",
    "SHOW_INDICATORS": "False",
    "SHOW_TEARSHEET": "False",
    "BACKTESTING_SHOW_PROGRESS_BAR": "false",
    "LOG_BACKTEST_PROGRESS_TO_FILE": "",
    "LOG_ERRORS_TO_CSV": "false",
    "MPLBACKEND": "Agg",
    "PYTHONUNBUFFERED": "1",
}
"""What both sides are told, whatever the script's own environment says."""


def open_no_windows() -> None:
    """Let nothing that this process wants to show appear in a browser, whatever the script asks for."""
    webbrowser.register("nobody", None, _Nobody(), preferred=True)
    webbrowser.open = _Nobody().open


class _Nobody(webbrowser.BaseBrowser):
    """A browser that nobody looks at."""

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        """Fetch a page that a library serves to be fetched just once, since it would wait for that; ignore others."""
        if url.startswith("http://127.0.0.1:"):
            Thread(target=_fetch, args=(url,), daemon=True).start()
        return True


def _fetch(url: str) -> None:
    with urlopen(url, timeout=10) as page:
        page.read()
