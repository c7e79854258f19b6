"""`lumibot-duckdb live check`: compares what was recorded live with the provider's bars."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from lumibot_duckdb import clock
from lumibot_duckdb.cli.completers import completed_by, nothing
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import printable
from lumibot_duckdb.cli.store import RECORD, existing_store
from lumibot_duckdb.storage.times import NEW_YORK

if TYPE_CHECKING:
    from lumibot_duckdb.cli.parser import CommandParser
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.live.checking.check import SeriesCheck
    from lumibot_duckdb.storage.api import SeriesInfo

PURPOSE = "compare what was recorded live with the provider's bars, which allows warm-up"
_DESCRIPTION = """\
Download a recorded day from the provider, and compare it with the recorded bars.

If all series of a kind (source, timeframe, adjustment, type of asset, exchange) are equal, live strategies may read
their history from the store instead of requesting it from the broker. If one differs, they may not.

Only settled bars are compared: those that ended 15 minutes ago (or as many as LUMIBOT_SHARED_BARS_SETTLE_MINUTES says),
which the provider does not correct any more. Keys come from the environment or .env, as for live trading. Times are New
York time.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb live check
  lumibot-duckdb live check --provider alpaca --symbols SPY,QQQ --day 2026-11-27

exit codes: 0 all recorded bars are equal; 1 something differs, could not be downloaded, or was not recorded; 2 wrong
usage; 3 the store cannot be used.
"""


def configure(parser: CommandParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    add("--provider", choices=("alpaca", "ccxt"), help="check only bars of this provider")
    completed_by(add("--symbols", metavar="A,B", help="check only these symbols, separated by commas"), nothing)
    completed_by(
        add("--day", metavar="DATE", help="check this day, YYYY-MM-DD (default: the last one that was recorded)"),
        nothing,
    )
    add("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    day = _day(arguments.day)
    storage = existing_store(arguments.store, RECORD)
    try:
        return _check(storage, arguments, day)
    finally:
        storage.close()


def _check(storage: DuckDBDataStorage, arguments: argparse.Namespace, day: date | None) -> int:
    from lumibot_duckdb.cli.live_check_output import check_json, check_text
    from lumibot_duckdb.cli.settings import settings
    from lumibot_duckdb.live.checking.check import checked, outcome
    from lumibot_duckdb.live.checking.verified import VerifiedKinds
    from lumibot_duckdb.live.rest_bars import RestBars
    from lumibot_duckdb.progress import Progress

    day, series = _to_check(storage, arguments, day)
    with Progress("Comparing series", len(series)) as progress:
        checks = list(checked(storage, RestBars(settings()), day, series, progress.advance))
    verified, differing = outcome(checks)
    try:
        VerifiedKinds(storage.path).update(verified, differing)
    except OSError as error:
        raise CommandError(f"the result cannot be kept in {error.filename}: {error.strerror}", exit_code=3) from None
    print(check_json(checks, verified) if arguments.json else check_text(checks, verified))
    return 0 if _all_equal(checks) else 1


def _all_equal(checks: Sequence[SeriesCheck]) -> bool:
    """Return whether bars were compared, all series could be, and no bar differs."""
    equal = all(each.found is not None and each.found.equal for each in checks)
    return equal and any(each.verified for each in checks)


def _to_check(
    storage: DuckDBDataStorage, arguments: argparse.Namespace, day: date | None
) -> tuple[date, list[SeriesInfo]]:
    """Return the day and the series to check. Raises `CommandError` if nothing was recorded."""
    from lumibot_duckdb.live.checking.check import series_to_check
    from lumibot_duckdb.live.rest_bars import PROVIDERS

    names = [name.strip() for name in (arguments.symbols or "").split(",") if name.strip()]
    if arguments.symbols is not None and not names:
        raise CommandError("--symbols names no symbol: separate symbols by commas, as in SPY,QQQ")
    chosen = series_to_check(
        storage, day, [arguments.provider] if arguments.provider else PROVIDERS, _named(storage, names)
    )
    if chosen is None:
        what = f"of {', '.join(names)} " if names else ""
        when = f"on {day}" if day else "in the last 30 days"
        raise CommandError(
            f"no settled bars {what}were recorded live {when}: `lumibot-duckdb live status` shows what was, and "
            "`lumibot-duckdb run --live` records",
            exit_code=1,
        )
    return chosen


def _named(storage: DuckDBDataStorage, names: Sequence[str]) -> list[SeriesInfo] | None:
    """Return the series of some symbols; None if there are no names. Raises `CommandError` for an unknown one."""
    from lumibot_duckdb.cli.series import named_series

    return named_series(storage, names) if names else None


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--day {printable(text)} is not a day: write it as in 2026-11-27") from None
    today = clock.today(NEW_YORK)
    if day > today:
        raise CommandError(f"--day {day} has not begun: name a recorded day, until {today} (New York)")
    return day
