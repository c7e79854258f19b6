"""Isolates a script from the user's settings, keys and caches, and from the network."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_KEPT = ("PATH", "LANG", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "VIRTUAL_ENV")
_KEPT_PREFIXES = ("PYTHON", "LC_", "LD_", "DYLD_", "CONDA_")
"""Variables that Python needs to start and find its packages. None of them configures Lumibot or holds a key."""
_DEAD_PROXY = "http://127.0.0.1:9"
"""A proxy that does not exist, for HTTP clients such as yfinance's, whose connections Python does not audit."""


def sandbox_environment(folder: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment whose home and caches are in `folder`, without the user's settings."""
    kept = {name: value for name, value in environment.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    return {
        "PYTHONUSERBASE": site.getuserbase(),  # packages may be installed in the real home folder
        **kept,
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "LUMIBOT_DISABLE_DOTENV": "1",
        "LUMIBOT_CACHE_FOLDER": str(folder / "cache" / "lumibot"),
        "http_proxy": _DEAD_PROXY,
        "https_proxy": _DEAD_PROXY,
        "all_proxy": _DEAD_PROXY,
    }


def refuse_connections() -> list[str]:
    """Refuse every connection of this process from now on; return a list to which refused addresses are added."""
    refused: list[str] = []

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            address = arguments[1]
        elif event == "socket.getaddrinfo":
            address = arguments[:2]
        else:
            return
        if isinstance(address, tuple):  # otherwise the path of a local socket
            refused.append(":".join(map(str, address[:2])))
            raise ConnectionRefusedError(f"no connection to {refused[-1]}: this process is offline")

    sys.addaudithook(on_event)
    return refused
