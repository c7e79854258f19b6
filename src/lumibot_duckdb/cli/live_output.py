"""What `lumibot-duckdb live` prints."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.layout import count, new_york, printable, table, terminal_width
from lumibot_duckdb.cli.series_json import key_as_json
from lumibot_duckdb.storage.times import moment_of

if TYPE_CHECKING:
    from lumibot_duckdb.live.checking.check import SeriesCheck
    from lumibot_duckdb.live.checking.comparison import BarComparison
    from lumibot_duckdb.live.checking.verified import Verification
    from lumibot_duckdb.live.recording_status import RecordingStatus
    from lumibot_duckdb.storage.api import EpochSeconds, TimeRange
    from lumibot_duckdb.storage.bars.spool import SpoolContents

_SHOWN = 5
_NUMBERS_TO_THE_RIGHT = [False, True, True, True, True, True, False]


def status_text(found: Sequence[RecordingStatus], days: int) -> str:
    """Return a table of recorded series."""
    period = count(days, "day")
    if not found:
        return f"No series was recorded live in the last {period}."
    rows = [
        [
            each.key.label(),
            new_york(each.last),
            new_york(int(each.recorded_at.timestamp()) // 60 * 60),
            _duration(each.behind),
            _duration(each.missing),
            _ranges(each.gaps),
        ]
        for each in found
    ]
    header = ["series", "last bar", "recorded", "behind", "missing today", "when"]
    shown = table(header, rows, [False, False, False, True, True, False], terminal_width())
    recorded = f"{count(len(found), 'series', 'series')} recorded live in the last {period}"
    return f"{shown}\n\n{recorded}. Times are New York time."


def status_json(found: Sequence[RecordingStatus], days: int, spool: SpoolContents) -> str:
    """Return the recorded series as a JSON object. Times are UTC."""
    series = [
        {
            **key_as_json(each.key),
            "last_bar": _utc(each.last),
            "recorded_at": each.recorded_at.isoformat(timespec="seconds"),
            "seconds_behind": each.behind,
            "seconds_missing_today": each.missing,
            "missing_today": [[_utc(gap.start), _utc(gap.end)] for gap in each.gaps],
        }
        for each in found
    ]
    waiting = {"writes": spool.writes, "bars": spool.bars, "quarantined": spool.quarantined}
    return json.dumps({"days": days, "series": series, "spooled": waiting}, indent=2)


def check_text(checks: Sequence[SeriesCheck], verified: Sequence[Verification]) -> str:
    """Return a table of compared series, the first differences, and for which kinds of series warm-up is on."""
    rows = [[each.key.label(), *_numbers(each.found), _duration(each.unrecorded), _result(each)] for each in checks]
    header = ["series", "equal", "differ", "missing", "extra", "not recorded", "result"]
    parts = [table(header, rows, _NUMBERS_TO_THE_RIGHT)]
    parts += [lines for each in checks if (lines := _details(each))]
    day = checks[0].day
    if verified:
        kinds = "; ".join(each.kind.label() for each in verified)
        parts.append(f"{day}: warm-up may read {printable(kinds)}.")
    else:
        parts.append(f"{day}: no kind of series is verified.")
    return "\n\n".join(parts)


def check_json(checks: Sequence[SeriesCheck], verified: Sequence[Verification]) -> str:
    """Return what was compared as a JSON object. Times are UTC."""
    return json.dumps(
        {
            "day": checks[0].day.isoformat(),
            "series": [_check_as_json(each) for each in checks],
            "verified": [
                {
                    "source": each.kind.source,
                    "timeframe": each.kind.timeframe,
                    "adjustment": each.kind.adjustment,
                    "asset_type": each.kind.asset_type,
                    "exchange": each.kind.exchange,
                    "series": each.series,
                    "bars": each.bars,
                }
                for each in verified
            ],
        },
        indent=2,
    )


def _check_as_json(check: SeriesCheck) -> dict[str, Any]:
    found = check.found
    entry = {
        **key_as_json(check.key),
        "equal": check.verified,
        "seconds_not_recorded": check.unrecorded,
        "error": check.error or None,
    }
    if found is not None:
        values = [
            {"bar": _utc(each.start), "column": each.column, "stored": each.stored, "provider": each.returned}
            for each in found.values
        ]
        entry |= {
            "bars_compared": found.compared,
            "bars_different": found.different,
            "first_differences": values,
            "missing": [_utc(start) for start in found.missing],
            "extra": [_utc(start) for start in found.extra],
            "columns_missing": list(found.lacking),
        }
    return entry


def _numbers(found: BarComparison | None) -> list[str]:
    if found is None:
        return [""] * 4
    numbers = (found.compared - found.different, found.different, len(found.missing), len(found.extra))
    return [f"{number:,}" for number in numbers]


def _result(check: SeriesCheck) -> str:
    if check.found is None:
        return "not downloaded"
    if not check.found.equal:
        return "differs"
    return "equal" if check.found.compared else "no bars"


def _details(check: SeriesCheck) -> str:
    """Return what differs in a series; nothing if it is equal."""
    lines = []
    if check.error:
        lines.append(f"could not be downloaded: {check.error}")
    found = check.found
    if found is not None:
        lines += [
            f"{new_york(each.start)} {each.column}: stored {each.stored!r}, provider {each.returned!r}"
            for each in found.values
        ]
        lines += [
            f"{what}: {_first(starts)}"
            for what, starts in (("missing in the store", found.missing), ("not at the provider", found.extra))
            if starts
        ]
        if found.lacking:
            lines.append(f"the store lacks {', '.join(found.lacking)}, so live reads come from the broker")
    label = printable(check.key.label())
    return "\n".join([f"{label}:", *(f"  {printable(line)}" for line in lines)]) if lines else ""


def _first(starts: Sequence[EpochSeconds]) -> str:
    more = f" and {len(starts) - _SHOWN:,} more" if len(starts) > _SHOWN else ""
    return ", ".join(new_york(start) for start in starts[:_SHOWN]) + more


def _ranges(gaps: Iterable[TimeRange]) -> str:
    found = list(gaps)
    shown = [f"{new_york(gap.start)[11:] or '00:00'}-{new_york(gap.end)[11:] or '24:00'}" for gap in found[:_SHOWN]]
    return ", ".join(shown) + (", ..." if len(found) > _SHOWN else "")


def _duration(seconds: int) -> str:
    """Return a length of time in hours and minutes; "0" for none."""
    if not seconds:
        return "0"
    hours, rest = divmod(-(-seconds // 60), 60)
    return f"{hours} h {rest} min" if hours else f"{rest} min"


def _utc(seconds: EpochSeconds) -> str:
    return moment_of(seconds).isoformat()
