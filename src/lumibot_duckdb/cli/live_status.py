"""`lumibot-duckdb live status`: shows what live trading recorded lately, and what is missing of it."""

from __future__ import annotations

import argparse

from lumibot_duckdb.cli.completers import completed_by, nothing
from lumibot_duckdb.cli.layout import printable
from lumibot_duckdb.cli.numbers import whole_number
from lumibot_duckdb.cli.parser import CommandParser
from lumibot_duckdb.cli.store import existing_store

PURPOSE = "show the series that were recorded live, and what is missing of them today"
_DESCRIPTION = """\
Show the series that were recorded live in the last days: their last bar, how far they are behind, and what is missing
today.

Only settled time can be missing: a bar is settled 15 minutes after its end, or as many as
LUMIBOT_SHARED_BARS_SETTLE_MINUTES says. Times are New York time.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb live status
  lumibot-duckdb live status --days 3 --json

exit codes: 0 success; 2 wrong usage; 3 the store cannot be used.
"""
_DAYS = 7


def configure(parser: CommandParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    days = parser.add_argument(
        "--days",
        type=whole_number,
        default=_DAYS,
        metavar="N",
        help=f"show what was recorded in so many days (default: {_DAYS})",
    )
    completed_by(days, nothing)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.cli.live_output import status_json, status_text
    from lumibot_duckdb.live.recording_status import recording_status
    from lumibot_duckdb.storage.bars.spool import Spool

    storage = existing_store(arguments.store)
    try:
        found = recording_status(storage, arguments.days)
    finally:
        storage.close()
    spool = Spool(storage.path)
    if arguments.json:
        print(status_json(found, arguments.days, spool.contents()))
        return 0
    print(status_text(found, arguments.days))
    for sentence in spool.sentences():
        print(printable(sentence) + ".")
    return 0
