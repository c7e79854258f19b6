"""Why a series in the store has no bars, for `status`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.layout import count, printable

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.storage.api import SeriesInfo


def hint(series: Sequence[SeriesInfo]) -> str:
    """Return a sentence about the series of a list that have no bars; "" if all have some."""
    number = sum(not info.rows for info in series)
    if not number:
        return ""
    return f"{count(number, 'series', 'series')} without bars: `lumibot-duckdb status SYMBOL` says why."


def reason(storage: DuckDBDataStorage, info: SeriesInfo) -> str:
    """Return why a series is in the store without bars, and what removes it."""
    snapshots = list(_with_bars(storage, info))
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


def _with_bars(storage: DuckDBDataStorage, info: SeriesInfo) -> Iterator[tuple[str, int]]:
    """Yield the snapshots in which a series has bars, and how many."""
    from lumibot_duckdb.storage.errors import SeriesNotFoundError, VersionGoneError

    for snapshot in storage.snapshots():
        try:
            rows = storage.facts(storage.pin(info.key, as_of=snapshot.name)).rows
        except (SeriesNotFoundError, VersionGoneError):
            continue
        if rows:
            yield snapshot.name, rows
