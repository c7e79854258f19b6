"""The settings that a script would run with: the environment, and the `.env` file that Lumibot loads.

Lumibot loads the nearest `.env` when it is imported: at or above the script's folder, else the working folder.
Backtests use the store or bucket that is named there, so commands read the file too. The environment
is not changed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from lumibot_duckdb.cli.errors import CommandError

_ON = ("1", "true", "yes", "on")


def settings(script: Path | None = None) -> Mapping[str, str]:
    """Return the environment with the additions of `.env` and the replacements of `.env.local`, as in Lumibot.

    `script` is the file that will run, if there is one.
    """
    return {name: value for _, values in reversed(layers(script)) for name, value in values.items()}


def layers(script: Path | None = None) -> list[tuple[str, Mapping[str, str]]]:
    """Return the sources of settings, highest precedence first: "environment", or the path of a file."""
    found: list[tuple[str, Mapping[str, str]]] = [("environment", dict(os.environ))]
    if _says_yes("LUMIBOT_DISABLE_DOTENV"):
        return found
    here = Path.cwd()
    beside = Path(os.path.abspath(script)).parents if script is not None else ()  # noqa: PTH100 - links stay links
    folders = (*beside, here, *here.parents)
    file = next((folder / ".env" for folder in folders if (folder / ".env").is_file()), None)
    if file is None:
        return found
    found.append((str(file), _values(file)))
    local = file.with_name(".env.local")
    if local.is_file() and not _says_yes("LUMIBOT_DISABLE_DOTENV_LOCAL"):
        found.insert(0, (str(local), _values(local)))
    return found


def _values(file: Path) -> dict[str, str]:
    from dotenv import dotenv_values

    try:
        values = dotenv_values(file, verbose=False)
    except UnicodeDecodeError:
        raise CommandError(f"{file} is not UTF-8 text: save it as UTF-8") from None
    return {name: value for name, value in values.items() if value is not None}


def _says_yes(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() in _ON
