"""What `lumibot-duckdb live check` prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.layout import new_york, printable, table
from lumibot_duckdb.cli.live_status import duration
from lumibot_duckdb.cli.series_json import key_as_json
from lumibot_duckdb.storage.times import moment_of

if TYPE_CHECKING:
    from lumibot_duckdb.live.bar_comparison import BarComparison
    from lumibot_duckdb.live.checking.check import SeriesCheck
    from lumibot_duckdb.live.checking.verified import Verification
    from lumibot_duckdb.storage.api import EpochSeconds

_SHOWN = 5
_NUMBERS_TO_THE_RIGHT = [False, True, True, True, True, True, False]


def check_text(checks: Sequence[SeriesCheck], verified: Sequence[Verification]) -> str:
    """Return a table of compared series, the first differences, and for which kinds of series warm-up is on."""
    rows = [[each.key.label(), *_numbers(each.found), duration(each.unrecorded), _result(each)] for each in checks]
    header = ["series", "equal", "differ", "missing", "extra", "not recorded", "result"]
    parts = [table(header, rows, _NUMBERS_TO_THE_RIGHT)]
    parts += [*_failures(checks), *(lines for each in checks if (lines := _details(each)))]
    return "\n\n".join([*parts, f"{checks[0].day}: {_conclusion(checks, verified)}."])


def _conclusion(checks: Sequence[SeriesCheck], verified: Sequence[Verification]) -> str:
    if verified:
        return f"warm-up may read {printable('; '.join(each.kind.label() for each in verified))}"
    if not any(each.found for each in checks):
        return "nothing was compared, so warm-up reads the same series as before"
    return "no kind of series is verified"


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
        "adjusted_anew": check.readjusted,
        "seconds_not_recorded": check.unrecorded,
        "error": check.error or None,
    }
    if found is not None:
        values = [
            {"bar": _utc(each.start), "column": each.column, "stored": each.stored, "provider": each.returned}
            for each in found.values[:_SHOWN]
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
    if check.readjusted:
        return "adjusted anew"
    if not check.found.equal:
        return "differs"
    return "equal" if check.found.compared else "no bars"


def _failures(checks: Sequence[SeriesCheck]) -> list[str]:
    """Return why series could not be downloaded, each reason once."""
    failed: dict[str, list[str]] = {}
    for each in checks:
        if each.error:
            failed.setdefault(each.error, []).append(each.key.label())
    shown = []
    for reason, (first, *others) in failed.items():
        more = f" and {len(others):,} more" if others else ""
        shown.append(f"{printable(first)}{more}:\n  could not be downloaded: {printable(reason)}")
    return shown


def _details(check: SeriesCheck) -> str:
    """Return what differs in a series; nothing if it is equal."""
    lines = []
    found = check.found
    if check.readjusted:
        lines.append("every bar differs, as after a split or dividend since that day: check a later day")
    elif found is not None:
        lines += [
            f"{new_york(each.start)} {each.column}: stored {each.stored!r}, provider {each.returned!r}"
            for each in found.values[:_SHOWN]
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


def _utc(seconds: EpochSeconds) -> str:
    return moment_of(seconds).isoformat()
