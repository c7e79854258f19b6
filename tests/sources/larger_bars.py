"""How providers make larger bars of smaller ones, by column: what `agg` takes after pandas' `resample`."""

from __future__ import annotations

from typing import Any

HOW: Any = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
