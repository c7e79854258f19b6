"""The two data sources for your own bars: Lumibot's PandasDataBacktesting with loaded frames, and ours on a store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from lumibot_duckdb.demo.job import SOURCE

# The modules that a script on each side imports before its backtest starts.
_IMPORTS = {
    "lumibot": ("lumibot.backtesting.pandas_backtesting", "lumibot.entities", "pyarrow.parquet"),
    "duckdb": ("lumibot_duckdb.sources.own_bars.source", "lumibot_duckdb.duckdb_storage", "lumibot.entities"),
}


def activate_ours(side: str) -> None:
    """Activate our sources on our side, as `lumibot-duckdb run` does before it runs a script."""
    if side == "duckdb":
        from lumibot_duckdb import activate

        activate()


def import_side(side: str) -> None:
    """Import the modules that a script on this side imports before its backtest starts."""
    for module in _IMPORTS[side]:
        import_module(module)


def make_source(side: str, bars: str, symbols: list[str], start: str, end: str) -> Any:
    """Return a data source with its data loaded. `bars` is the folder of Parquet files, or the store."""
    source_class, pandas_data = (_lumibot if side == "lumibot" else _duckdb)(bars, symbols)
    source = source_class(
        datetime_start=new_york(start),
        datetime_end=new_york(end),
        pandas_data=pandas_data,
        show_progress_bar=False,
    )
    source.load_data()
    return source


def _lumibot(files: str, symbols: list[str]) -> tuple[Any, dict[Any, Any]]:
    from lumibot.backtesting import PandasDataBacktesting

    from lumibot_duckdb.demo.backtest import load_frames

    return PandasDataBacktesting, load_frames(Path(files), symbols, "minute")


def _duckdb(store: str, symbols: list[str]) -> tuple[Any, None]:
    return on_store(store, symbols), None


def on_store(store: str, symbols: list[str]) -> Any:
    """Return our data source class for minute bars in a store."""
    from lumibot.entities import Asset

    from lumibot_duckdb.backtesting import PandasDataBacktesting
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage

    assets = [Asset(symbol) for symbol in symbols]
    return PandasDataBacktesting.using(DuckDBDataStorage(store), source=SOURCE, assets=assets, timestep="minute")


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
