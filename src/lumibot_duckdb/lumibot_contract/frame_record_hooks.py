"""Lumibot's record of the frames that a strategy received."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeAlias

from lumibot.backtesting import market_input_evidence
from lumibot.backtesting.market_input_evidence import MARKET_COLUMNS, MarketInputEvidence, _encoded, asset_identity

__all__ = ["MARKET_COLUMNS", "MarketInputEvidence", "encoded", "series_name", "write_rows_of"]

WriteRows: TypeAlias = Callable[[Any, Path], dict[str, Any]]
"""Writes the rows of a record to a file, and returns what the manifest says of the file."""

_ROWS, _MANIFEST = "market_inputs.csv", "market_input_manifest.json"
_KIND = "_lumibot_duckdb_writes_rows_of"

_NAMES = 10_000
_names: dict[str, str] = {}
"""Names of series, by what they are made of: JSON takes several times as long as the look-up."""


def encoded(value: Any) -> str:
    """Return JSON as Lumibot writes it."""
    text: str = _encoded(value)
    return text


def series_name(asset: Any, quote: Any) -> str:
    """Return how the record names the series of an asset."""
    identity = asset_identity(asset, quote)  # texts only, and such a dictionary
    text = repr(identity)
    name = _names.get(text)
    if name is None:
        if len(_names) >= _NAMES:
            _names.clear()
        name = _names[text] = encoded(identity)
    return name


def write_rows_of(kind: type[Any], can_write: Callable[[Any], bool], write_rows: WriteRows) -> None:
    """Write the rows of records of a class by `write_rows` if `can_write`. Lumibot writes all else. Idempotent."""
    original = market_input_evidence.write_market_input_evidence
    if getattr(original, _KIND, None) is kind:
        return

    @wraps(original)
    def write(source: Any, directory: Any, *, prefix: str = "") -> None:
        record = getattr(source, "_market_input_evidence", None)
        if not isinstance(record, kind) or not can_write(record):
            original(source, directory, prefix=prefix)
            return
        with record.lock:
            rows, record.rows = record.rows, {}
            try:
                original(source, directory, prefix=prefix)
            finally:
                record.rows = rows
            manifest_path = Path(directory) / f"{prefix}{_MANIFEST}"
            manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
            name = f"{prefix}{_ROWS}"
            manifest["files"][name] = write_rows(record, Path(directory) / name)
            manifest_path.write_text(encoded(manifest) + "\n", encoding="utf-8")

    setattr(write, _KIND, kind)
    market_input_evidence.write_market_input_evidence = write
