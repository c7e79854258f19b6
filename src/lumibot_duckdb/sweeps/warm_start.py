"""What a trial had to load and the next ones need not: imported libraries, and market calendars.

A trial notes both, and the process that forks the trials loads them, so that all later trials begin with them.
"""

from __future__ import annotations

import copy
import json
import sys
import sysconfig
from contextlib import suppress
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

_FILE = "loaded.json"
_OURS = __name__.split(".")[0]
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_calendars: dict[str, Any] = {}
"""A calendar computes its holidays once, which takes a tenth of a second."""


def share_calendars() -> None:
    """Let each market calendar compute its holidays once in this process and in those that it forks. Idempotent."""
    import pandas_market_calendars

    make = pandas_market_calendars.get_calendar
    if hasattr(make, "__wrapped__"):
        return

    @wraps(make)
    def get_calendar(name: str, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs:
            return make(name, *args, **kwargs)
        if name not in _calendars:
            _calendars[name] = make(name)
            _calendars[name].holidays()
        return copy.copy(_calendars[name])  # a caller may change its times

    pandas_market_calendars.get_calendar = get_calendar


def note_loaded(folder: Path, before: frozenset[str]) -> None:
    """Note in a trial's folder what its process has loaded. `before` are the modules that it began with."""
    modules = [name for name in list(sys.modules) if name not in before and _is_of_library(name)]
    (folder / _FILE).write_text(json.dumps({"modules": modules, "calendars": list(_calendars)}))


def load_as_noted(folder: Path) -> None:
    """Load in this process what a trial has noted in its folder, if anything."""
    with suppress(OSError, ValueError):
        noted = json.loads((folder / _FILE).read_text())
        for name in noted["modules"]:
            if name not in sys.modules:
                with suppress(Exception):  # a trial does without, or reports the error
                    import_module(name)
        import pandas_market_calendars

        for name in noted["calendars"]:
            pandas_market_calendars.get_calendar(name)


def _is_of_library(name: str) -> bool:
    """Return whether a module is of Python or an installed package, not of the script."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top == _OURS:
        return not top.startswith("__")
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return bool(spec is not None and spec.origin and spec.origin.startswith(_LIBRARIES))
