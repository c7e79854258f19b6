"""All readers, in the order in which their files are brought in."""

from __future__ import annotations

from lumibot_duckdb.migration.polygon_bars import PolygonBarsReader
from lumibot_duckdb.migration.polygon_chains import PolygonChainsReader
from lumibot_duckdb.migration.reader import CacheReader

READERS: tuple[type[CacheReader], ...] = (
    PolygonBarsReader,
    PolygonChainsReader,
)
