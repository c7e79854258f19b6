"""Settings for backtests that nobody watches: no windows, no progress bars, and no live trading."""

from __future__ import annotations

import webbrowser
from threading import Thread
from typing import Any
from urllib.request import urlopen

# IS_BACKTESTING: a script that trades live by default must not do so because it is compared.
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
"""Environment variables for unmodified scripts. They take precedence over the script's own."""

UNATTENDED: dict[str, Any] = {
    "budget": 100_000,
    "benchmark_asset": None,
    "risk_free_rate": 0.0,
    "analyze_backtest": False,
    "show_plot": False,
    "show_tearsheet": False,
    "save_tearsheet": False,
    "show_indicators": False,
    "save_stats_file": False,
    "show_progress_bar": False,
    "quiet_logs": True,
}
"""Arguments of `Strategy.run_backtest` for our own backtests, which also make no network requests."""


def suppress_browser() -> None:
    """Keep this process from opening pages in a browser."""
    webbrowser.register("silent", None, _SilentBrowser(), preferred=True)
    webbrowser.open = _SilentBrowser().open


class _SilentBrowser(webbrowser.BaseBrowser):
    """A browser without a window."""

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        """Fetch local pages, because the library that serves one waits until it was fetched; ignore all others."""
        if url.startswith("http://127.0.0.1:"):
            Thread(target=_fetch, args=(url,), daemon=True).start()
        return True


def _fetch(url: str) -> None:
    with urlopen(url, timeout=10) as page:
        page.read()
