"""All readers, in the order in which their files are brought in."""

from __future__ import annotations

from lumibot_duckdb.migration.alpaca import AlpacaChainReader, AlpacaReader
from lumibot_duckdb.migration.ccxt import CcxtReader
from lumibot_duckdb.migration.polygon_bars import PolygonBarsReader
from lumibot_duckdb.migration.polygon_chains import PolygonChainsReader
from lumibot_duckdb.migration.reader import CacheReader
from lumibot_duckdb.migration.shared_bars import SharedBarReader
from lumibot_duckdb.migration.yahoo import YahooReader

READERS: tuple[type[CacheReader], ...] = (
    PolygonBarsReader,
    PolygonChainsReader,
    YahooReader,
    AlpacaReader,
    AlpacaChainReader,
    SharedBarReader,  # after the files that Lumibot reads first, so that backtests come out as on those
    CcxtReader,
)
