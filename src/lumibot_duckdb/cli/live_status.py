"""`lumibot-duckdb live status`: shows what was recorded live, and what is missing of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.completers import completed_by, nothing
from lumibot_duckdb.cli.layout import count, new_york, printable, table, terminal_width
from lumibot_duckdb.cli.numbers import whole_number
from lumibot_duckdb.cli.series_json import key_as_json
from lumibot_duckdb.cli.store import RECORD, existing_store
from lumibot_duckdb.storage.times import moment_of

if TYPE_CHECKING:
    from lumibot_duckdb.cli.parser import CommandParser
    from lumibot_duckdb.live.recording_status import RecordingStatus
    from lumibot_duckdb.storage.api import TimeRange
    from lumibot_duckdb.storage.bars.spool import SpoolContents

PURPOSE = "show what was recorded live, and what is missing of it"
_DESCRIPTION = """\
Show the series that were recorded live in the last days: their last bar, how much trading time has passed since, and
which trading time of today is missing.

Only settled time can be missing: bars are settled 15 minutes after their end (or as many as
LUMIBOT_SHARED_BARS_SETTLE_MINUTES says), when the provider does not correct them any more. Times are New York time.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb live status
  lumibot-duckdb live status --days 30 --json

exit codes: 0 success; 1 there is no store; 2 wrong usage; 3 the store cannot be used.
"""
_DAYS = 7
_GAPS_SHOWN = 5


def configure(parser: CommandParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    days = parser.add_argument(
        "--days", type=whole_number, metavar="N", default=_DAYS, help=f"look back so many days (default: {_DAYS})"
    )
    completed_by(days, nothing)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.live.recording_status import recording_status
    from lumibot_duckdb.storage.bars.spool import Spool

    storage = existing_store(arguments.store, RECORD)
    try:
        found = recording_status(storage, arguments.days)
    finally:
        storage.close()
    spool = Spool(storage.path)
    if arguments.json:
        print(_json(found, arguments.days, spool.contents()))
        return 0
    print(_text(found, arguments.days))
    for sentence in spool.sentences():
        print(printable(sentence) + ".")
    return 0


def _text(found: Sequence[RecordingStatus], days: int) -> str:
    period = count(days, "day")
    if not found:
        return f"No series was recorded live in the last {period}."
    rows = [
        [
            each.key.label(),
            new_york(each.last),
            new_york(int(each.recorded_at.timestamp()) // 60 * 60),
            duration(each.behind),
            duration(each.missing),
            _ranges(each.gaps),
        ]
        for each in found
    ]
    header = ["series", "last bar", "recorded", "behind", "missing today", "when"]
    shown = table(header, rows, [False, False, False, True, True, False], terminal_width())
    recorded = f"{count(len(found), 'series', 'series')} recorded live in the last {period}"
    return f"{shown}\n\n{recorded}. Times are New York time."


def _json(found: Sequence[RecordingStatus], days: int, spool: SpoolContents) -> str:
    """Return the recorded series as a JSON object. Times are UTC."""
    series = [
        {
            **key_as_json(each.key),
            "last_bar": moment_of(each.last).isoformat(),
            "recorded_at": each.recorded_at.isoformat(timespec="seconds"),
            "seconds_behind": each.behind,
            "seconds_missing_today": each.missing,
            "missing_today": [[moment_of(gap.start).isoformat(), moment_of(gap.end).isoformat()] for gap in each.gaps],
        }
        for each in found
    ]
    waiting = {"writes": spool.writes, "bars": spool.bars, "quarantined": spool.quarantined}
    return json.dumps({"days": days, "series": series, "spooled": waiting}, indent=2)


def duration(seconds: int) -> str:
    """Return a length of time in hours and minutes, rounded up; "0" for none."""
    if not seconds:
        return "0"
    hours, rest = divmod(-(-seconds // 60), 60)
    return f"{hours} h {rest} min" if hours else f"{rest} min"


def _ranges(gaps: Iterable[TimeRange]) -> str:
    found = list(gaps)
    shown = [f"{new_york(gap.start)[11:] or '00:00'}-{new_york(gap.end)[11:] or '24:00'}" for gap in found]
    return ", ".join([*shown[:_GAPS_SHOWN], *(["..."] if len(shown) > _GAPS_SHOWN else [])])
