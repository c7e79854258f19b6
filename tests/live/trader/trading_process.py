"""Runs the command in simulated time, with the clients of a provider pointed at a loopback server.

    python -m live.trader.trading_process CLOCK alpaca|binance URL ARGUMENT...

The arguments are those of `lumibot-duckdb`; with `python SCRIPT`, the script runs without recording.
"""

from __future__ import annotations

import runpy
import sys
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from live.trader.simulated_time import SimulatedTime, live_in


def main(clock: str, provider: str, url: str, *arguments: str) -> int:
    """Run the command, or a script."""
    simulated = live_in(Path(clock))
    with ExitStack() as entered:
        entered.enter_context(_redirected(provider, url))
        _stop_clock_during_requests(simulated)
        _remember_schedules()
        simulated.start()
        if arguments[0] == "python":
            runpy.run_path(arguments[1], run_name="__main__")
            return 0
        from lumibot_duckdb.cli.main import main as command

        sys.argv[1:] = arguments
        return command()


def _redirected(provider: str, url: str) -> AbstractContextManager[None]:
    if provider == "alpaca":
        from sources.alpaca.loopback_client import clients_redirected_to

        return clients_redirected_to(url)
    from sources.ccxt.exchanges import exchange_redirected_to

    return exchange_redirected_to(url)


def _stop_clock_during_requests(simulated: SimulatedTime) -> None:
    """Count what the official clients send; both use `requests`."""
    import requests

    session: Any = requests.Session
    send = session.send

    def counted(*arguments: Any, **options: Any) -> Any:
        with simulated.answering():
            return send(*arguments, **options)

    session.send = counted


def _remember_schedules() -> None:
    """Compute each schedule of a market once: Lumibot's loop requests three in each second, for 0.2 s of CPU time."""
    import pandas as pd
    from pandas_market_calendars import MarketCalendar

    calendars: Any = MarketCalendar
    schedule = calendars.schedule
    known: dict[Any, Any] = {}

    def remembered(calendar: Any, start_date: Any, end_date: Any, *more: Any, **options: Any) -> Any:
        days = [pd.Timestamp(moment).date() for moment in (start_date, end_date)]  # its time of day is ignored
        asked = (calendar.name, *days, str(more), str(options))
        if asked not in known:
            known[asked] = schedule(calendar, start_date, end_date, *more, **options)
        return known[asked]

    calendars.schedule = remembered


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
