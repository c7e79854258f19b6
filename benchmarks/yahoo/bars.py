"""Twenty years of generated days in Yahoo's form, in Lumibot's own pickles and in one of our stores.

Both cover everything that a backtest within 2022 needs, so neither side downloads anything.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.bars import Workplace, open_store
from benchmarks.process import run_apart
from lumibot_duckdb.demo.market import symbol_names

if TYPE_CHECKING:
    import pandas as pd

SYMBOLS = 500
FIRST_DAY, LAST_DAY = "2003-01-02", "2022-12-30"
START, END = "2022-01-03", "2022-12-29"
_NEW_YORK = "America/New_York"


@lru_cache(maxsize=1)
def _days() -> pd.DatetimeIndex:
    import pandas as pd
    import pandas_market_calendars

    schedule = pandas_market_calendars.get_calendar("NYSE").schedule(FIRST_DAY, LAST_DAY)
    return pd.DatetimeIndex(schedule.index).as_unit("ns").tz_localize(_NEW_YORK)


def yahoo_bars(symbol: str) -> pd.DataFrame:
    """Return days with the columns and dtypes of our client's responses, stamped at midnight in New York, in UTC."""
    import numpy as np
    import pandas as pd

    index = _days()
    chance = np.random.default_rng(zlib.crc32(symbol.encode()))
    close = 50 * np.exp(np.cumsum(chance.normal(0.0002, 0.015, len(index))))
    opening = close * np.exp(chance.normal(0, 0.005, len(index)))
    dividend = np.zeros(len(index))
    dividend[40::63] = 0.25
    kept = np.where(dividend > 0, 1 - dividend / np.roll(close, 1), 1.0)
    columns = {
        "open": opening,
        "high": np.maximum(opening, close) * 1.004,
        "low": np.minimum(opening, close) * 0.996,
        "close": close,
        "adj_close": close * np.append(np.cumprod(kept[::-1])[::-1][1:], 1.0),
        "volume": chance.integers(100_000, 9_000_000, len(index)),
        "dividend": dividend,
        "stock_splits": np.zeros(len(index)),
    }
    frame: pd.DataFrame = pd.DataFrame(columns, index=index.tz_convert("UTC").rename("datetime"))
    return frame


def warm_sides(workplace: Workplace, symbols: int = SYMBOLS) -> dict[str, dict[str, str]]:
    """Return the settings for a process of each side that finds so many symbols and downloads nothing."""

    def fill_cache(folder: Path) -> None:
        run_apart("yahoo.bars.fill_cache", settings={"LUMIBOT_CACHE_FOLDER": str(folder)}, symbols=symbols)

    cache = workplace.made_once(f"yahoo-cache-{symbols}", fill_cache)
    store = workplace.made_once(f"yahoo-store-{symbols}", lambda folder: _fill_store(folder, symbols)) / "bars.duckdb"
    return {"lumibot": {"LUMIBOT_CACHE_FOLDER": str(cache)}, "duckdb": {"LUMIBOT_DUCKDB_PATH": str(store)}}


def fill_cache(symbols: int) -> None:
    """Write Lumibot's pickles with Lumibot's own function."""
    from lumibot.constants import LUMIBOT_DEFAULT_PYTZ
    from lumibot.tools import YahooHelper

    from lumibot_duckdb.sources.yahoo.client import COLUMNS

    names = {ours: theirs for theirs, ours in COLUMNS.items()}
    closing = (_days() + _hours(16)).tz_convert(LUMIBOT_DEFAULT_PYTZ).rename("Date")
    for symbol in symbol_names(symbols):
        YahooHelper.dump_pickle_file(symbol, "1d", yahoo_bars(symbol).rename(columns=names).set_axis(closing))


def _hours(count: int) -> Any:
    import pandas as pd

    return pd.Timedelta(hours=count)


def _fill_store(folder: Path, symbols: int) -> None:
    from lumibot_duckdb.sources.yahoo.history import ADJUSTMENT, EARLIEST, SOURCE
    from lumibot_duckdb.storage.api import TimeRange

    covered = TimeRange(EARLIEST, int((_days()[-1] + _hours(24)).timestamp()))
    storage = open_store(folder / "bars.duckdb")
    for symbol in symbol_names(symbols):
        storage.store_ohlcv_data(
            symbol,
            yahoo_bars(symbol),
            SOURCE,
            "day",
            adjustment=ADJUSTMENT,
            covered=covered,
            metadata={"symbol": symbol, "zone": _NEW_YORK, "market": "us_market", "market_zone": _NEW_YORK},
        )
    storage.close()
