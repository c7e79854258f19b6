"""The processes in which live scripts of the tests run."""

from __future__ import annotations

import os
from pathlib import Path

TESTS = Path(__file__).parents[1]


def live_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a script that may import the tests, with Lumibot's cache in a folder."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(TESTS)]),
        "LUMIBOT_CACHE_FOLDER": str(folder / "cache"),
        "LUMIBOT_DISABLE_DOTENV": "1",
        "LUMIBOT_LOG_LEVEL": "ERROR",
        "LUMIBOT_SHARED_BARS_SETTLE_MINUTES": "1",
        "IS_BACKTESTING": "false",
    }
