"""Says which bars a published snapshot lacks that a backtest requests: it cannot be completed by downloads."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from lumibot_duckdb.sources.shared.trading_hours import TradingHours
from lumibot_duckdb.storage.api import DataStorageInterface, SeriesKey, SeriesPin, TimeRange
from lumibot_duckdb.storage.bars import coverage
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import NEW_YORK, moment_of

logger = logging.getLogger(__name__)


def gaps(
    storage: DataStorageInterface, key: SeriesKey, pin: SeriesPin | None, hours: TradingHours, wanted: TimeRange
) -> list[TimeRange]:
    """Return the trading time in a range for which the store has neither bars nor an answer, expired or not."""
    known = storage.coverage(key, include_expired=True)
    facts = None if pin is None else storage.facts(pin)
    if facts is not None and facts.first is not None and facts.last is not None:
        known.append(TimeRange(facts.first, facts.last + bar_seconds(key.timeframe)))
    missing = coverage.missing(wanted, coverage.merged(known))
    return [part for gap in missing if (part := hours.trading_part(gap, key.timeframe)) is not None]


def warn_of_gaps(key: SeriesKey, missing: Sequence[TimeRange]) -> None:
    """Log what is missing of a series, and what to do."""
    first, last = missing[0].start, missing[-1].end - 1
    logger.warning(
        "%s: the snapshot that the backtest runs on lacks bars from %s to %s (New York), and takes no downloads. "
        "Publish one that has them, or set LUMIBOT_DUCKDB_OVERLAY to a folder for a copy that takes downloads",
        key.label(),
        *(f"{moment_of(at, NEW_YORK):%Y-%m-%d %H:%M}" for at in (first, last)),
    )
