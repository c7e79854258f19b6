"""The two data sources for your own bars: Lumibot's PandasDataBacktesting with loaded frames, and ours on a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from lumibot_duckdb.demo.job import SOURCE

# The modules that a script on each side imports before its backtest starts.
_IMPORTS = {
    "lumibot": ("lumibot.backtesting.pandas_backtesting", "lumibot.entities", "pyarrow.parquet"),
    "duckdb": ("lumibot_duckdb.sources.own_bars.source", "lumibot_duckdb.storage.duckdb_storage", "lumibot.entities"),
}


def import_side(side: str) -> None:
    """Import the modules that a script on this side imports before its backtest starts."""
    for module in _IMPORTS[side]:
        import_module(module)


def make_source(side: str, bars: str, symbols: list[str], start: str, end: str) -> Any:
    """Return a data source with its data loaded. `bars` is the folder of Parquet files, or the store."""
    source_class, pandas_data = bars_of(side, bars, symbols)
    source = source_class(
        datetime_start=new_york(start),
        datetime_end=new_york(end),
        pandas_data=pandas_data,
        show_progress_bar=False,
    )
    source.load_data()
    return source


def bars_of(
    side: str, bars: str, symbols: Sequence[str], timestep: str = "minute"
) -> tuple[Any, dict[Any, Any] | None]:
    """Return a side's data source class, and on Lumibot's side its `pandas_data`: all bars of the symbols, loaded.

    `bars` is the folder of Parquet files, or the store.
    """
    if side == "duckdb":
        return on_store(bars, symbols, timestep), None

    from lumibot.backtesting import PandasDataBacktesting

    from lumibot_duckdb.demo.backtest import load_frames

    return PandasDataBacktesting, load_frames(Path(bars), symbols, timestep)


def on_store(store: str, symbols: Sequence[str], timestep: str = "minute") -> Any:
    """Return our data source class for bars in a store."""
    from lumibot.entities import Asset

    from lumibot_duckdb.backtesting import PandasDataBacktesting
    from lumibot_duckdb.storage.duckdb_storage import DuckDBDataStorage

    assets = [Asset(symbol) for symbol in symbols]
    return PandasDataBacktesting.using(DuckDBDataStorage(store), source=SOURCE, assets=assets, timestep=timestep)


def regular_minutes(start: str, days: int) -> Iterator[datetime]:
    """Yield every minute from 09:31 to 15:59 of `days` weekdays, the clock of a minute backtest."""
    day = new_york(start)
    while days > 0:
        if day.weekday() < 5:
            days -= 1
            for minute in range(389):
                yield day + timedelta(hours=9, minutes=31 + minute)
        day = new_york((day.date() + timedelta(days=1)).isoformat())


def set_clock(source: Any, moment: datetime) -> None:
    """Set the backtest's clock, as Lumibot's broker does."""
    source._datetime = moment


def new_york(day: str) -> datetime:
    """Return midnight of a day in New York."""
    from lumibot.constants import LUMIBOT_DEFAULT_PYTZ

    return LUMIBOT_DEFAULT_PYTZ.localize(datetime.fromisoformat(day))
