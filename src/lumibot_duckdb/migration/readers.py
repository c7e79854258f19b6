"""All readers, in the order in which their files are brought in."""

from __future__ import annotations

from lumibot_duckdb.sources.alpaca.old_cache.find import AlpacaChainReader, AlpacaReader
from lumibot_duckdb.sources.alpaca.old_cache.shared_bars import SharedBarReader
from lumibot_duckdb.sources.ccxt.old_cache.find import CcxtReader
from lumibot_duckdb.sources.polygon.old_cache.bars import PolygonBarsReader
from lumibot_duckdb.sources.polygon.old_cache.chains import PolygonChainsReader
from lumibot_duckdb.sources.shared.old_cache.reader import CacheReader
from lumibot_duckdb.sources.yahoo.old_cache.find import YahooReader

READERS: tuple[type[CacheReader], ...] = (
    PolygonBarsReader,
    PolygonChainsReader,
    YahooReader,
    AlpacaReader,
    AlpacaChainReader,
    SharedBarReader,  # after the files that Lumibot reads first, so that backtests come out as on those
    CcxtReader,
)
