"""The two data sources for your own bars: Lumibot's PandasDataBacktesting with loaded frames, and ours on a store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from lumibot_duckdb.demo.worker import Job, source_of


def make_source(side: str, bars: str, symbols: list[str], start: str, end: str) -> Any:
    """Return a data source with its data loaded. `bars` is the folder of Parquet files, or the store."""
    job = Job(side, "", symbols, "minute", start, end, files=bars, store=bars)
    source_class, pandas_data = source_of(job)
    source = source_class(
        datetime_start=new_york(start),
        datetime_end=new_york(end),
        pandas_data=pandas_data,
        show_progress_bar=False,
    )
    source.load_data()
    return source


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
