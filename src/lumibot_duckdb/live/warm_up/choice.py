"""Whether live history comes from the store: by an argument, else by an environment variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum
from typing import Literal, TypeAlias

VARIABLE = "LUMIBOT_DUCKDB_LIVE_WARM_UP"

WarmUpArgument: TypeAlias = 'bool | Literal["auto"] | None'


class WarmUpChoice(Enum):
    """For which series history comes from the store."""

    OFF = "false"
    ON = "true"
    """All series."""
    AUTO = "auto"
    """Those that `lumibot-duckdb live check` has verified."""


_WORDS = {
    **dict.fromkeys(("1", "true", "yes", "on"), WarmUpChoice.ON),
    **dict.fromkeys(("0", "false", "no", "off"), WarmUpChoice.OFF),
    **dict.fromkeys(("auto", ""), WarmUpChoice.AUTO),
}


def chosen_warm_up(argument: WarmUpArgument = None, environment: Mapping[str, str] = os.environ) -> WarmUpChoice:
    """Return the choice. An argument takes precedence over the variable; without either, it is `AUTO`.

    Raises:
        ValueError: the argument or the variable is none of true, false and auto.

    >>> chosen_warm_up(None, {"LUMIBOT_DUCKDB_LIVE_WARM_UP": "off"})
    <WarmUpChoice.OFF: 'false'>
    """
    if isinstance(argument, bool):
        return WarmUpChoice.ON if argument else WarmUpChoice.OFF
    name, text = ("warm_up", argument) if argument is not None else (VARIABLE, environment.get(VARIABLE, ""))
    choice = _WORDS.get(text.strip().lower()) if isinstance(text, str) else None
    if choice is None:
        raise ValueError(f"{name} must be true, false or auto, not {text!r}")
    return choice
