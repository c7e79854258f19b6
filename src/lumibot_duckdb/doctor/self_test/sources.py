"""The names of the tested sources, and the file in which a side reports errors."""

from __future__ import annotations

from pathlib import Path

from lumibot_duckdb.sources.registry import SOURCES

LABELS = {spec.name: spec.title for spec in SOURCES.values()}
"""The display names of the sources."""


def errors_file(folder: Path, is_ours: bool) -> Path:
    """Return the file in which a side notes the errors that stopped backtests, by source."""
    return folder / f"{'duckdb' if is_ours else 'lumibot'}-errors.json"
