"""What a trial had to load and the next ones need not: libraries, market calendars, and short series of the store.

The first trial notes them, and the process that forks the trials loads them, so that all later trials begin with them.
"""

from __future__ import annotations

import json
import sys
import sysconfig
from contextlib import suppress
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

from lumibot_duckdb.lumibot_contract import strategy_access
from lumibot_duckdb.sources.shared.lifecycle import make_steps_cheaper
from lumibot_duckdb.storage.bars.keeping import keep_series
from lumibot_duckdb.storage.bars.known_contents import KnownContents
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.connection.store_connection import StoreConnection

_FILE = "loaded.json"
_OURS = __name__.split(".")[0]
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_holidays: dict[str, Any] = {}
"""By market. A calendar takes a tenth of a second to compute them."""
_stores: list[OpenStore] = []
"""Those that trials read: what is known of a store is forgotten with its last user."""
_continuous: dict[str, bool] = {}
"""Whether a market, by its name, trades around the clock. Lumibot computes a schedule to find out."""


def share_calendars() -> None:
    """Let this process, and those that it forks, compute the holidays and the type of each market once. Idempotent."""
    import pandas_market_calendars

    make = pandas_market_calendars.get_calendar
    if hasattr(make, "__wrapped__"):
        return

    @wraps(make)
    def get_calendar(name: str, *args: Any, **kwargs: Any) -> Any:
        calendar = make(name, *args, **kwargs)
        if name not in _holidays:
            _holidays[name] = calendar.holidays()
        calendar._holidays = _holidays[name]  # where `holidays` keeps them
        return calendar

    pandas_market_calendars.get_calendar = get_calendar
    strategy_access.wrap_market_type(_remembered)


def _remembered(is_continuous: Any) -> Any:
    @wraps(is_continuous)
    def remembered(executor: Any, market_name: str) -> bool:
        if market_name not in _continuous:
            _continuous[market_name] = is_continuous(executor, market_name)
        return _continuous[market_name]

    return remembered


def fill_caches() -> None:
    """Compute what each process computes once: the versions of packages, and what the first statistics set up."""
    import pandas as pd

    from lumibot_duckdb.comparison.trading_statistics import return_statistics
    from lumibot_duckdb.comparison.versions import versions_of_run

    versions_of_run()
    days = pd.date_range("2024-01-01", periods=4, name="day")
    return_statistics(pd.Series([0.01, -0.02, 0.0, 0.03], days), 0.0)


def note_loaded(folder: Path, before: frozenset[str]) -> None:
    """Note in a trial's folder what its process has loaded. `before` are the modules that it began with."""
    modules = [name for name in list(sys.modules) if name not in before and _is_of_library(name)]
    stores = {str(path): series for path, series in KnownContents.read_series().items()}
    (folder / _FILE).write_text(
        json.dumps({"modules": modules, "calendars": list(_holidays), "continuous": _continuous, "stores": stores})
    )


def load_as_noted(folder: Path) -> bool:
    """Load in this process what a trial has noted in its folder; return whether it has noted anything."""
    import pandas_market_calendars

    try:
        noted = json.loads((folder / _FILE).read_text())
    except (OSError, ValueError):
        return False
    for name in noted["modules"]:
        if name not in sys.modules:
            with suppress(Exception):  # a trial does without, or reports the error
                import_module(name)
    for name in noted["calendars"]:
        pandas_market_calendars.get_calendar(name)
    _continuous.update(noted["continuous"])
    fill_caches()
    make_steps_cheaper()
    for path, series in noted["stores"].items():
        with suppress(Exception):  # each trial reads it, or reports the error
            _keep_series(Path(path), series)
    return True


def _keep_series(path: Path, series: list[int]) -> None:
    store = OpenStore(path, StoreConnection.of(path), 0)
    _stores.append(store)
    keep_series(store, series)


def _is_of_library(name: str) -> bool:
    """Return whether a module is of Python or an installed package, not of the script."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top == _OURS:
        return not top.startswith("__")
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return bool(spec is not None and spec.origin and spec.origin.startswith(_LIBRARIES))
