"""Why series in the store have no bars, for `status`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.layout import count, printable

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.storage.api import SeriesInfo

_IN_SNAPSHOTS = """
SELECT series_id, name, bars FROM (
    SELECT series_id, name, last_ingest, arg_max(version_rows, ingest_id) AS bars
    FROM ingest JOIN snapshot ON ingest_id <= last_ingest
    WHERE list_contains(?, series_id)
    GROUP BY ALL
)
WHERE bars > 0 ORDER BY series_id, last_ingest
"""


def hint(series: Sequence[SeriesInfo]) -> str:
    """Return a sentence about the series of a list that have no bars; "" if all have some."""
    number = sum(not info.rows for info in series)
    if not number:
        return ""
    return f"{count(number, 'series', 'series')} without bars: `lumibot-duckdb status SYMBOL` says why."


def reasons(storage: DuckDBDataStorage, series: Sequence[SeriesInfo]) -> dict[int, str]:
    """Return why series are in the store without bars, by their ids."""
    empty = [info for info in series if not info.rows]
    if not empty:
        return {}
    snapshots: dict[int, list[tuple[str, int]]] = {}
    for row in storage.sql(_IN_SNAPSHOTS, [[info.series_id for info in empty]]).to_pylist():
        snapshots.setdefault(row["series_id"], []).append((row["name"], row["bars"]))
    return {info.series_id: _reason(info, snapshots.get(info.series_id, [])) for info in empty}


def _reason(info: SeriesInfo, snapshots: Sequence[tuple[str, int]]) -> str:
    """Return why a series has no bars; `snapshots` are those in which it has some, with their number."""
    if snapshots:
        name, bars = snapshots[0]
        others = f" (and in {len(snapshots) - 1} more)" if len(snapshots) > 1 else ""
        return (
            f"no bars any more; it has {count(bars, 'bar')} in the snapshot {printable(name)}{others}, which keeps the "
            "series in the store"
        )
    if info.coverage:
        return "no bars; its source had none in the ranges that are covered"
    return "no bars and no coverage: the next backtest that needs it requests it; `lumibot-duckdb delete` removes it"
