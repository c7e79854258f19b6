"""A place to run a script without the user's settings, keys, caches and network."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_KEPT = ("PATH", "LANG", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "VIRTUAL_ENV")
_KEPT_PREFIXES = ("PYTHON", "LC_", "LD_", "DYLD_", "CONDA_")
"""What Python needs to start and to find its packages, and nothing that could configure Lumibot or hold a key."""
_NOWHERE = "http://127.0.0.1:9"
"""A proxy that nobody runs, for HTTP clients whose sockets Python does not see, such as yfinance's."""


def sandbox_environment(folder: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment for a script that keeps its files in `folder` and cannot see the user's settings."""
    kept = {name: value for name, value in environment.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    return {
        "PYTHONUSERBASE": site.getuserbase(),  # packages may be installed under the home folder that is replaced
        **kept,
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "LUMIBOT_DISABLE_DOTENV": "1",
        "LUMIBOT_CACHE_FOLDER": str(folder / "cache" / "lumibot"),
        "http_proxy": _NOWHERE,
        "https_proxy": _NOWHERE,
        "all_proxy": _NOWHERE,
    }


def refuse_connections() -> list[str]:
    """Refuse every connection of this process from now on. Return the refused addresses, as they come."""
    refused: list[str] = []

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            address = arguments[1]
        elif event == "socket.getaddrinfo":
            address = arguments[:2]
        else:
            return
        if isinstance(address, tuple):  # else a path: a socket of this machine
            refused.append(":".join(map(str, address[:2])))
            raise ConnectionRefusedError(f"no connection to {refused[-1]}: this process is offline")

    sys.addaudithook(on_event)
    return refused
