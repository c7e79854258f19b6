"""`lumibot-duckdb live replay`: backtests a session of live trading, and compares what was seen and done."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.completers import completed_by, live_sessions, nothing
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import printable, table, terminal_width
from lumibot_duckdb.cli.page_file import check_page_file, write_page_file
from lumibot_duckdb.cli.results_store import add_results, open_results
from lumibot_duckdb.cli.store import chosen_path

if TYPE_CHECKING:
    from lumibot_duckdb.cli.parser import CommandParser
    from lumibot_duckdb.live import Replay

PURPOSE = "backtest a session of live trading from its recorded bars, and compare both"
_DESCRIPTION = """\
Backtest a session of live trading from its recorded bars, and compare both: the bars and prices that the strategy saw,
its orders and fills, and the value of its portfolio.

SCRIPT has the strategy. It is imported, so what it does as a main program does not run, and no broker is connected.
The bars come from the store, and nothing is downloaded. Of several series of an asset, the one that covers most of the
session is read.

`lumibot-duckdb results` lists the sessions. A session that still runs is compared as far as it has got.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb live replay crossover-live my_strategy.py
  lumibot-duckdb live replay crossover-live my_strategy.py --html replay.html
  lumibot-duckdb live replay crossover-live my_strategy.py --source alpaca_live --json

exit codes: 0 the backtest saw the same closed bars; 1 it saw others, or the session cannot be replayed; 2 wrong usage;
3 the store or the results cannot be used.
"""
_SHOWN = 20
"""Rows of a table on the terminal."""


def configure(parser: CommandParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.usage = "lumibot-duckdb live replay SESSION SCRIPT [OPTION]... [-- ARGUMENT ...]"
    parser.takes_script_arguments = True
    add = parser.add_argument
    completed_by(add("session", metavar="SESSION", help="the name of the session"), live_sessions)
    add("script", metavar="SCRIPT", type=Path, help="the script with its strategy")
    add_results(parser)
    completed_by(add("--source", help="read bars from this source only, such as alpaca"), nothing)
    completed_by(add("--adjustment", help="read bars with this adjustment only"), nothing)
    completed_by(add("--as-of", metavar="WHEN", help="read the bars that were in the store then"), nothing)
    add("--html", type=Path, metavar="FILE", help="also write the comparison as an HTML page")
    add("--json", action="store_true", help="print one JSON object with every request and order")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.html is not None:
        check_page_file(arguments.html)
    if not arguments.script.is_file():
        raise CommandError(f"there is no script {arguments.script}")
    results = open_results(arguments, arguments.script).path
    store = chosen_path(arguments.store, arguments.script)
    with _refusals(), _output_of_script_elsewhere():
        replay = _replayed(arguments, results, store)
    if arguments.html is not None:
        from lumibot_duckdb.live.replay.page import replay_page

        write_page_file(arguments.html, replay_page(replay))
    if arguments.json:
        print(json.dumps(replay.to_dict(), indent=2, allow_nan=False, default=str))
    else:
        print(_text(replay))
        if arguments.html is not None:
            print(f"\nThe page is in {printable(str(arguments.html))}.")
    return 0 if replay.saw_the_same else 1


def _replayed(arguments: argparse.Namespace, results: Path, store: Path) -> Replay:
    from lumibot_duckdb.live import replay_session
    from lumibot_duckdb.progress import Progress

    with Progress("Backtesting the session"):
        return replay_session(
            arguments.session,
            arguments.script,
            results=results,
            store=store,
            source=arguments.source,
            adjustment=arguments.adjustment,
            as_of=arguments.as_of,
            arguments=arguments.script_arguments,
        )


@contextmanager
def _refusals() -> Iterator[None]:
    """Report sessions that do not exist or cannot be replayed with exit code 1."""
    from lumibot_duckdb.live.replay.errors import ReplayError
    from lumibot_duckdb.results import ResultsNotFoundError, SessionNotFoundError
    from lumibot_duckdb.storage.errors import AmbiguousSeriesError, SnapshotNotFoundError, StorageError

    absent = (ResultsNotFoundError, SessionNotFoundError, AmbiguousSeriesError, SnapshotNotFoundError)
    try:
        yield
    except (ReplayError, *absent) as error:
        raise CommandError(str(error), exit_code=1) from error
    except StorageError:
        raise
    except Exception as error:
        if os.environ.get("LUMIBOT_DUCKDB_DEBUG"):
            raise
        raise CommandError(
            f"the backtest of the session failed: {type(error).__name__}: {error} "
            "(LUMIBOT_DUCKDB_DEBUG=1 shows the traceback)",
            exit_code=1,
        ) from error


@contextmanager
def _output_of_script_elsewhere() -> Iterator[None]:
    """Send what the script and Lumibot print to standard error, because the output is the comparison."""
    import sys
    from contextlib import redirect_stdout

    with redirect_stdout(sys.stderr):
        yield


def _text(replay: Replay) -> str:
    from lumibot_duckdb.live.replay import text
    from lumibot_duckdb.live.replay.requests import EXPLANATIONS, outcomes

    record = replay.session.record
    source = ", ".join(replay.source[:3]) + (f" and {len(replay.source) - 3} more" if len(replay.source) > 3 else "")
    parts = [
        f"Session {printable(record.name)} of {printable(record.strategy)}, {text.moment(replay.first)} to "
        f"{text.moment(replay.last)} New York time, backtested on {printable(source)}",
        text.verdict(replay),
    ]
    if found := outcomes(replay.requests):
        rows = [[name, f"{number:,}", EXPLANATIONS[name]] for name, number in found.items()]
        parts.append(_table(("outcome", "requests", "what it means"), rows, ("requests",)))
    if rows := text.request_rows(text.unexpected(replay)):
        parts.append(_table(text.REQUEST_COLUMNS, rows, ()))
    if rows := text.order_rows(replay):
        parts.append(_table(text.ORDER_COLUMNS, rows, ("quantity", "live price", "backtest price", "slippage")))
    returns = replay.equity.live_return, replay.equity.backtest_return
    parts.append(f"Return: {text.percent(returns[0])} live, {text.percent(returns[1])} in the backtest.")
    parts += replay.notes
    parts.append(text.EXPECTED_DIFFERENCES)
    return "\n\n".join(parts)


def _table(columns: Any, rows: list[list[str]], numbers: Any) -> str:
    shown = table(columns, rows[:_SHOWN], [name in numbers for name in columns], terminal_width())
    more = len(rows) - _SHOWN
    return f"{shown}\n... and {more:,} more (--html and --json have them)" if more > 0 else shown
