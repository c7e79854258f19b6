"""How a storage shows itself: one line in a shell, a table in a notebook.

Showing an object must never fail, wait, or change the store. So the file is read only if it can be had at once and
without folding a log into it; otherwise the line says why there is no more to show.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, replace

from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import BarReader, SeriesInfo
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.errors import StoreBusyError, StoreDamagedError, StoreVersionError

_ROWS = 20
_BECAUSE = {
    StoreBusyError: "in use by another process",
    StoreVersionError: "written by a newer release",
    StoreDamagedError: "damaged",
}


@dataclass(frozen=True, slots=True)
class Glance:
    """What can be seen of a store at once: a line about it, and its series, sorted, if the schema is up to date."""

    line: str
    series: tuple[SeriesInfo, ...] = ()


def text(store: OpenStore) -> str:
    """Return the store in one line."""
    return f"<DuckDBDataStorage {_name(store)!r}: {_glance(store, None).line}>"


def table(store: OpenStore, reader: BarReader) -> str:
    """Return the store as HTML: the line, and a table of the first series."""
    seen = _glance(store, reader)
    shown = f"<p><b>DuckDBDataStorage</b> <code>{html.escape(_utf8(_name(store)))}</code>: {seen.line}</p>"
    if seen.series:
        shown += _table_of(seen.series[:_ROWS])
    if len(seen.series) > _ROWS:
        shown += f"<p>and {len(seen.series) - _ROWS:,} more in <code>series()</code></p>"
    return f"<div>{shown}</div>"


def _name(store: OpenStore) -> str:
    """Return the path of a store, or where a snapshot was published, and its moment."""
    published = store.snapshot
    if published is None:
        return str(store.path)
    return f"{published.location} as of {published.as_of:%Y-%m-%d %H:%M} UTC"


def _glance(store: OpenStore, reader: BarReader | None) -> Glance:
    """Look at a store; list its series with a `reader`, else only count them."""
    try:
        if not store.connection.exists():
            return Glance("no store yet")
        seen = Glance(_size(sum(file.stat().st_size for file in (store.path, store.log) if file.exists())))
    except Exception:
        return Glance("not accessible")
    if not store.connection.opens_at_once():
        return seen  # a write is going on, or was cut off
    try:
        with store.connection.read(wait_seconds=0.0) as cursor:
            is_current = migrations.state(cursor).schema_version == migrations.newest()
            ((count,),) = cursor.rows("SELECT count(*) FROM {db}.series")
            series = tuple(reader.list_series()) if reader is not None and is_current else ()
    except Exception as error:
        return replace(seen, line=f"{seen.line}, {_reason(error)}")
    return Glance(f"{seen.line}, {count:,} series", series)


def _size(number: int) -> str:
    return f"{number / 1e6:,.1f} MB" if number >= 1e6 else f"{number / 1e3:,.0f} KB"


def _utf8(text: str) -> str:
    """Return a path with escapes for bytes that are no text."""
    return text.encode("utf-8", "backslashreplace").decode()


def _reason(error: Exception) -> str:
    return next((text for kind, text in _BECAUSE.items() if isinstance(error, kind)), "not readable at the moment")


def _table_of(series: tuple[SeriesInfo, ...]) -> str:
    from lumibot_duckdb.storage.bars.series_frame import series_frame  # imports pandas, which SQL does without

    frame = series_frame(series)[["source", "timeframe", "adjustment", "bars", "first", "last"]]
    frame.insert(0, "asset", [info.key.asset.label() for info in series])
    frame["bars"] = frame["bars"].map("{:,}".format)
    made: str = frame.to_html(index=False, border=0, na_rep="", justify="left")
    return made
