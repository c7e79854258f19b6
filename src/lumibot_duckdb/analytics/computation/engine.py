"""What computes indicators: TA-Lib if it is installed, else the SQL macros, which give the same values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol, TypeAlias

import numpy as np

from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.computation.ta_lib_engine import TaLibEngine
from lumibot_duckdb.analytics.errors import MissingLibraryError
from lumibot_duckdb.analytics.requests import Request
from lumibot_duckdb.analytics.ta_lib import OLDEST, ta_lib

Outputs: TypeAlias = "Mapping[Request, tuple[FloatArray, ...]]"
"""The outputs of each indicator: an array for each of its columns."""


class Engine(Protocol):
    """Computes one indicator at a time.

    `continues` says whether values have the same bits wherever a computation begins, or a multiple of `WarmUp.block`
    bars later: if so, a long history is computed in pieces.
    """

    continues: ClassVar[bool]

    def compute(self, request: Request, bars: Bars) -> tuple[FloatArray, ...]:
        """Return an array for each output. Values that do not exist are not finite."""

    def close(self) -> None:
        """Release what the engine holds."""


def engine_for(requests: tuple[Request, ...]) -> Engine:
    """Return what computes some indicators. Raises `MissingLibraryError` if one needs TA-Lib, and it is missing."""
    library = ta_lib()
    if library is not None:
        return TaLibEngine(library)
    needing = [request.indicator.name for request in requests if "SQL" not in request.indicator.layers]
    if needing:
        oldest = ".".join(map(str, OLDEST))
        raise MissingLibraryError(
            f"{', '.join(needing)} need{'s' * (len(needing) == 1)} TA-Lib {oldest} or later: "
            "pip install 'lumibot-duckdb[analytics]'"
        )
    from lumibot_duckdb.analytics.computation.macro_engine import MacroEngine

    return MacroEngine()


def outputs(engine: Engine, request: Request, bars: Bars) -> tuple[FloatArray, ...]:
    """Return an array for each output of an indicator, with NaN where there is no value."""
    return tuple(map(_finite, engine.compute(request, bars)))


def _finite(values: FloatArray) -> FloatArray:
    exist = np.isfinite(values)
    return values if bool(exist.all()) else np.where(exist, values, np.nan)
