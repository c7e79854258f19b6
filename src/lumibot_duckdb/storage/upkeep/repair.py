"""Repair: makes a store sound again from what is stored, as far as that is possible.

Each repair of bars begins a new version of their series. So it can be undone until a compaction removes the version
from before. A repair of coverage records the coverage from before. Both are refused once the series was written to, and
if the version from before lacks bars: its coverage would claim bars that are not there. Such a version is deleted,
unless a snapshot needs it, since pins of it would show fewer bars.

The others leave nothing to undo: what is derived from bars (checksums, outlines) is computed again; damaged versions
that are superseded already, which only running backtests may still show, and rows that belong to no series are
deleted; and a salvage keeps the damaged file.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from lumibot_duckdb.storage.api import OnRows, SeriesInfo, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars import outline_records, repeats
from lumibot_duckdb.storage.bars.checksums import (
    computed_checksums,
    differing,
    read_checksums,
    segment_days,
    segment_range,
    stored_checksums,
    unchecked_to,
)
from lumibot_duckdb.storage.bars.coverage import merged
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.series_lookup import described
from lumibot_duckdb.storage.bars.snapshots import kept_versions
from lumibot_duckdb.storage.bars.version_state import VersionState, head_after, version_state
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.interruption import deferred
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import (
    DiskFullError,
    RepairError,
    StoreDamagedError,
    StoreWriteError,
    VersionGoneError,
)
from lumibot_duckdb.storage.partial_work import partial_work
from lumibot_duckdb.storage.sql_files import sql_file
from lumibot_duckdb.storage.sql_times import epoch_sql
from lumibot_duckdb.storage.stored_values import reading
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import Int64Array, naive_utc, utc_now
from lumibot_duckdb.storage.upkeep.bar_checks import impossible_times
from lumibot_duckdb.storage.upkeep.bar_scan import ROWS_AT_A_TIME, stretches
from lumibot_duckdb.storage.upkeep.findings import Finding, VerificationReport
from lumibot_duckdb.storage.upkeep.salvage import Lost, salvage
from lumibot_duckdb.storage.upkeep.store_copy import pieces
from lumibot_duckdb.storage.upkeep.verification import REPAIRS, verify
from lumibot_duckdb.storage.upkeep.version_keys import keys_of_versions

logger = logging.getLogger(__name__)

_OF_BARS = ("checksums", "doubled_bars", "recorded_facts", "bars_of_no_ingest")
_BAD_BARS = "impossible_bars"
_OF_COVERAGE = "coverage_ranges"
_OF_TABLES = ("bars_of_no_version", "versions_of_no_series", "coverage_ranges", "rows_of_nothing")
_MOST_ROUNDS = 20
"""A report names at most 20 findings of a check, so a store with more is repaired in rounds."""

_TOO_FEW = """
SELECT 1 FROM {db}.ingest WHERE version_id = ?
HAVING arg_max(version_rows, ingest_id) > (SELECT count(DISTINCT ts) FROM {db}.bar WHERE version_id = ?)
"""

_REPAIRS = """
SELECT ingest_id, repaired FROM (
    SELECT ingest_id, CAST(json_extract_string(metadata, '$.repaired_version') AS INTEGER) AS repaired
    FROM {db}.ingest WHERE kind = 'repair' AND json_exists(metadata, '$.coverage')
)
WHERE repaired IS NULL OR repaired IN (SELECT version_id FROM {db}.series_version)
ORDER BY ingest_id DESC LIMIT 5
"""

_FUTURE = "coverage that reaches into the future"

_NO_TIMES: Int64Array = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Repair:
    """One repair.

    Attributes:
        what: What was wrong, and what was done.
        series: The series; None if rows belonged to none.
        repair_id: Its id for `undo_repair`; None if it cannot be undone: neither the current bars nor the coverage of a
            series were changed, or bars from before are lost.
        removed: How many bars the series lost.
        forgotten: The ranges that the next backtest requests again.
    """

    what: str
    series: SeriesKey | None = None
    repair_id: int | None = None
    removed: int = 0
    forgotten: tuple[TimeRange, ...] = ()


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was repaired (or would be), and what a verification finds afterwards."""

    dry_run: bool
    repairs: list[Repair] = field(default_factory=list)
    left: VerificationReport = field(default_factory=lambda: VerificationReport(0, 0))


def repair(
    store: OpenStore, bad_bars_of: Sequence[SeriesInfo], on_rows: OnRows | None = None, *, dry_run: bool = False
) -> RepairReport:
    """Repair what can be repaired, and drop the impossible bars of some series."""
    with partial_work("nothing was repaired") as work, deferred():

        def on_repair(done: Sequence[Repair]) -> None:
            if not dry_run:
                work.outcome = _outcome(done)

        done, left = _in_rounds(store, bad_bars_of, on_rows, on_repair, dry_run=dry_run)
    return RepairReport(dry_run, done, left)


def _in_rounds(
    store: OpenStore,
    bad_bars_of: Sequence[SeriesInfo],
    on_rows: OnRows | None = None,
    on_repair: Callable[[Sequence[Repair]], None] | None = None,
    *,
    dry_run: bool = False,
) -> tuple[list[Repair], VerificationReport]:
    """Repair until nothing is left that can be repaired; return the repairs, and what a verification finds then."""
    done: list[Repair] = []
    report = verify(store.connection, bad_bars_of, on_rows)
    for _ in range(_MOST_ROUNDS):
        before = len(done)
        for made in _Round(store, report, bad_bars_of, dry_run=dry_run).repairs():
            done.append(made)
            if on_repair is not None:
                on_repair(done)
        if dry_run or len(done) == before:
            break
        bad_bars_of = _as_they_are_now(store, bad_bars_of)
        report = verify(store.connection, bad_bars_of, on_rows)
    return done, report


def _repair_copy(file: Path) -> list[Repair]:
    """Repair a store that is about to replace another, and leave no log beside it; return the repairs."""
    connection = StoreConnection.of(file)
    try:
        done, _ = _in_rounds(OpenStore(file, connection, cache_bytes=0), ())
        with connection.exclusive():
            return done
    except DiskFullError:
        raise
    except StoreWriteError as error:
        raise StoreWriteError(f"nothing was repaired: {error.cause}", cause=error.cause) from error
    finally:
        connection.close()


def _outcome(done: Sequence[Repair]) -> str:
    """Return what to report if repairing ends now."""
    made = "made 1 repair" if len(done) == 1 else f"made {len(done):,} repairs"
    undo = ", ".join(f"--undo {each.repair_id}" for each in done if each.repair_id is not None)
    return f"{made}{f' ({undo})' if undo else ''}: repair again for the rest"


def _as_they_are_now(store: OpenStore, series: Sequence[SeriesInfo]) -> list[SeriesInfo]:
    store.refresh()
    with store.read() as cursor:
        found = [store.catalog.find(info.key) for info in series]
        return described(cursor, [record for record in found if record is not None])


class _Round:
    """Repairs what one report names."""

    def __init__(
        self, store: OpenStore, report: VerificationReport, bad_bars_of: Sequence[SeriesInfo], *, dry_run: bool
    ) -> None:
        self._store = store
        self._dry_run = dry_run
        self._found = [finding for finding in report.findings if finding.damage or finding.check == _BAD_BARS]
        self._bad_bars_of = {info.key: info.version_id for info in bad_bars_of}

    def repairs(self) -> Iterator[Repair]:
        """Yield the repairs when they are made."""
        if self._named("blocks"):
            yield from self._salvaged()
            return
        if self._named(_OF_COVERAGE):
            yield from self._of_coverage()
        for check in _OF_TABLES:
            if self._named(check):
                yield self._of_tables(check)
        by_version: dict[int, list[Finding]] = {}
        for finding in self._found:
            version_id = self._version_of(finding)
            if version_id is not None:
                by_version.setdefault(version_id, []).append(finding)
        for version_id, findings in sorted(by_version.items()):
            yield from self._of_version(version_id, findings)

    def _salvaged(self) -> list[Repair]:
        blocks = self._named("blocks")
        if blocks[0].repair != REPAIRS["blocks"]:
            raise StoreDamagedError(f"{self._store.path} has blocks that cannot be read, and {blocks[0].repair}")
        what = "; ".join(finding.what.partition(":")[0] for finding in blocks)
        if self._dry_run:
            return [Repair(f"{what}: what can be read is copied into a new file")]
        repairs: list[Repair] = []
        lost, kept = salvage(self._store.connection, lambda file: repairs.extend(_repair_copy(file)))
        text = f"{what}: {_loss(lost)}; the damaged file is kept as {kept}"
        logger.info("repaired %s: %s", self._store.path, text)
        return [Repair(text), *repairs]

    def _named(self, check: str) -> list[Finding]:
        return [finding for finding in self._found if finding.check == check]

    def _version_of(self, finding: Finding) -> int | None:
        if finding.check == _BAD_BARS:
            return self._bad_bars_of.get(finding.series) if finding.series is not None else None
        return finding.version_id if finding.check in (*_OF_BARS, "outlines") else None

    def _of_tables(self, check: str) -> Repair:
        (first, *others) = self._named(check)
        more = f" (and {len(others)} more)" if others else ""
        if not self._dry_run:
            with self._store.write() as cursor:
                for name in (check, "derived"):
                    cursor.execute(_table_repair(name))
            logger.info("repaired %s: %s%s", check, first.what, more)
        return Repair(f"{first.what}{more}: is deleted")

    def _of_coverage(self) -> list[Repair]:
        """Remove coverage that reaches into the future. It can be put back, since perhaps the clock is wrong now."""
        if self._dry_run:
            self._store.refresh()
            with self._store.read() as cursor:
                future = self._future_coverage(cursor)
            done = [_of_future_coverage(key, pieces, None) for key, pieces in future.items()]
        else:
            with self._store.write() as cursor:
                future = self._future_coverage(cursor)
                ids = [write.record_coverage([_FUTURE]) for write in self._store.writes_to(cursor, future)]
                cursor.execute(_table_repair(_OF_COVERAGE))
            done = [_of_future_coverage(*each, repair_id) for each, repair_id in zip(future.items(), ids, strict=True)]
        if done:
            self._found = [finding for finding in self._found if finding.check != _OF_COVERAGE]
            logger.info("repaired the coverage of %d series: %s", len(done), _FUTURE)
        return done

    def _future_coverage(self, cursor: StoreCursor) -> dict[SeriesKey, list[TimeRange]]:
        keys = {record.series_id: record.key for record in self._store.catalog.everything(None, None)}
        found: dict[SeriesKey, list[TimeRange]] = {}
        for series_id, start, end in cursor.rows(_table_repair("future_coverage")):
            if series_id in keys:
                found.setdefault(keys[series_id], []).append(TimeRange(start, end))
        return found

    def _of_version(self, version_id: int, findings: Sequence[Finding]) -> list[Repair]:
        with self._store.read() as cursor:
            key = keys_of_versions(cursor, version_id).get(version_id)
            current = bool(cursor.rows("SELECT 1 FROM {db}.series WHERE current_version = ?", [version_id]))
        checks = {finding.check for finding in findings}
        if key is None:
            return [self._without_series(version_id, findings)]
        if checks == {"outlines"}:
            return [self._derived(version_id, key, findings)]
        work = self._of_series if current else self._of_superseded
        return [work(version_id, key, findings)]

    def _without_series(self, version_id: int, findings: Sequence[Finding]) -> Repair:
        if not self._dry_run:
            with self._store.write() as cursor:
                cursor.execute(_table_repair("derived"))
        return Repair(f"{findings[0].what}: is deleted")

    def _derived(self, version_id: int, key: SeriesKey, findings: Sequence[Finding]) -> Repair:
        if not self._dry_run:
            with self._store.write() as cursor:
                rebuild_outline(cursor, version_id, key)
        return Repair(f"{findings[0].what}: is computed again", key)

    def _of_series(self, version_id: int, key: SeriesKey, findings: Sequence[Finding]) -> Repair:
        checks = {finding.check for finding in findings}
        what = [finding.what for finding in findings]
        with self._store.read() as cursor:
            damaged = _damaged_ranges(cursor, version_id, key)
        bad = self._impossible(version_id) if _BAD_BARS in checks else _NO_TIMES
        length = bar_seconds(key.timeframe)
        forgotten = merged([*damaged, *(TimeRange(time, time + length) for time in bad.tolist())])
        text = f"{'; '.join(what)}: {_deed(checks, len(bad))}"
        if self._dry_run:
            return Repair(text, key, removed=len(bad), forgotten=tuple(forgotten))
        with self._store.write() as cursor:
            write = self._store.write_to(cursor, key)
            if not write.is_onto(version_id):
                raise RepairError(f"{key.label()} was changed by another process meanwhile; repair again")
            undoable = not _lacks_bars(cursor, version_id)
            repair_id, removed = write.repair(bad, forgotten, what, lacks_bars=not undoable)
        logger.info("repaired %s: %s", key.label(), text)
        return Repair(text, key, repair_id if undoable else None, removed, tuple(forgotten))

    def _of_superseded(self, version_id: int, key: SeriesKey, findings: Sequence[Finding]) -> Repair:
        """Delete a version that only pins show, unless a snapshot needs it: nothing can give its bars again."""
        what = [finding.what for finding in findings]
        with self._store.read() as cursor:
            needed = version_id in kept_versions(cursor)
        done = "is kept for a snapshot, which shows it unchanged" if needed else "is deleted, since it is superseded"
        text = f"{'; '.join(what)}: {done}"
        if not self._dry_run:
            with self._store.write() as cursor:
                self._store.write_to(cursor, key).drop_superseded(version_id, what)
            logger.info("repaired %s: %s", key.label(), text)
        return Repair(text, key)

    def _impossible(self, version_id: int) -> Int64Array:
        connection = self._store.connection
        with connection.read() as cursor:
            todo = pieces(cursor, {version_id}, ROWS_AT_A_TIME)
            types = {version: key.asset.asset_type for version, key in keys_of_versions(cursor, version_id).items()}
        found = [
            impossible_times(stretch, types[version_id])
            for stretch in stretches(connection, todo)
            if stretch.version_id == version_id
        ]
        return np.concatenate([_NO_TIMES, *found])


def _loss(lost: Lost) -> str:
    """Return what could not be copied into a new file."""
    parts = [
        f"{number:,} {noun}{'' if number == 1 else 's'} could not be read and {'is' if number == 1 else 'are'} lost"
        for number, noun in ((lost.bars, "bar"), (lost.ranges, "covered range"))
        if number
    ]
    if lost.ranges:
        parts.append("the next backtest requests what is not covered any more")
    return ", ".join(parts if lost.bars else ["no bar is lost", *parts])


def rebuild_outline(cursor: StoreCursor, version_id: int, key: SeriesKey) -> None:
    """Compute the outline and the repeats of a version again."""
    outline_records.delete_outline(cursor, version_id)
    repeats.delete_repeats(cursor, version_id)
    ((rows, first, last),) = cursor.rows(
        f"SELECT count(*), {epoch_sql('min(ts)')}, {epoch_sql('max(ts)')} FROM {{db}}.bar WHERE version_id = ?",
        [version_id],
    )
    if outline_records.has_outline(rows):
        outline_records.store_outline(cursor, version_id, first, last)
        if repeats.may_repeat(key.asset):
            repeats.store_repeats(cursor, version_id, key.timeframe, TimeRange(first, last + 1))


def undo_repair(store: OpenStore, repair_id: int) -> SeriesKey:
    """Make the bars and the coverage from before a repair current again; return the series."""
    store.require()
    with store.transaction() as cursor:
        found = cursor.rows(
            "SELECT version_id, metadata FROM {db}.ingest WHERE ingest_id = ? AND kind = 'repair'", [repair_id]
        )
        with reading(f"the record of repair {repair_id}"):
            note = json.loads(found[0][1]) if found else {}
        if "coverage" not in note:  # the record of a repair that changed no current bars, or of an undoing
            raise RepairError(f"there is no repair {repair_id}; {_known_repairs(cursor)}")
        version_id = found[0][0]
        key = keys_of_versions(cursor, version_id).get(version_id)
        write = None if key is None else store.write_to(cursor, key)
        if key is None or write is None or not write.is_onto(version_id, last_write=repair_id):
            raise RepairError(
                f"repair {repair_id} cannot be undone, because its series was written to since, and that would be lost"
            )
        if "repaired_version" not in note:
            write.undo_repair_of_coverage(repair_id, note["coverage"])
            return key
        before = _last_state(cursor, note["repaired_version"])
        lacks_bars = note.get("lacks_bars", False)
        if before is None and not lacks_bars:
            raise VersionGoneError(f"repair {repair_id} cannot be undone: a compaction removed the bars from before it")
        if before is None or lacks_bars or _lacks_bars(cursor, before.version_id):
            raise RepairError(
                f"repair {repair_id} cannot be undone: bars from before it are lost, but the coverage would claim them"
            )
        write.undo_repair(before, repair_id, note["coverage"])
    return key


def _known_repairs(cursor: StoreCursor) -> str:
    found = cursor.rows(_REPAIRS)
    ids = [str(repair_id) for repair_id, before in found if before is None or not _lacks_bars(cursor, before)]
    return f"the latest repairs are {', '.join(ids)}" if ids else "the store has none that can be undone"


def _of_future_coverage(key: SeriesKey, pieces: Sequence[TimeRange], repair_id: int | None) -> Repair:
    return Repair(
        f"{_FUTURE}: is removed, and the next backtest requests it", key, repair_id, forgotten=tuple(merged(pieces))
    )


def _lacks_bars(cursor: StoreCursor, version_id: int) -> bool:
    """Return whether a version has fewer bars than its last write recorded; a doubled bar counts once."""
    return bool(cursor.rows(_TOO_FEW, [version_id] * 2))


def _last_state(cursor: StoreCursor, version_id: int) -> VersionState | None:
    """Return the state of a version after its last write; None if the store no longer has the version."""
    ((last,),) = cursor.rows(
        "SELECT max(ingest_id) FROM {db}.ingest JOIN {db}.series_version USING (version_id) WHERE version_id = ?",
        [version_id],
    )
    found = None if last is None else head_after(cursor, last)
    return None if found is None else version_state(cursor, *found, {})


def _damaged_ranges(cursor: StoreCursor, version_id: int, key: SeriesKey) -> list[TimeRange]:
    """Return the ranges in which bars are not those that were stored, or lack some."""
    stored = stored_checksums(cursor, version_id)
    if version_id <= unchecked_to(cursor) or not stored:  # an older release stored them, or their block was lost
        too_few = _lacks_bars(cursor, version_id)
        if too_few or not stored:
            return [TimeRange(-(2**40), 2**40)] if too_few else []
    days = segment_days(key.timeframe)
    wrong = differing(stored, computed_checksums(cursor, version_id, key.timeframe))
    return [segment_range(number, days) for number, *_ in wrong if not _only_doubled(cursor, version_id, number, days)]


def _only_doubled(cursor: StoreCursor, version_id: int, number: int, days: int) -> bool:
    """Return whether a segment has the stored bars once the doubled ones are left out."""
    within = segment_range(number, days)
    single = read_checksums(cursor, version_id, days, within, once=True)
    stored = stored_checksums(cursor, version_id)
    return not list(differing({number: stored[number]} if number in stored else {}, single))


def _deed(checks: set[str], dropped: int) -> str:
    deeds = []
    if "doubled_bars" in checks:
        deeds.append("of two equal times, the bar that was written last stays")
    if "checksums" in checks:
        deeds.append("the next backtest requests what is damaged or missing")
    if dropped:
        deeds.append(f"{dropped:,} bar{'s are' if dropped > 1 else ' is'} dropped, and requested by the next backtest")
    return ", ".join(deeds) or "what is there is recorded"


def _table_repair(name: str) -> str:
    """Return the SQL of a repair of tables."""
    values = {
        "now": f"TIMESTAMP '{naive_utc(utc_now())}'",
        "range": f"{epoch_sql('range_start')}, {epoch_sql('range_end')}",
    }
    sql = _table_repairs()[name]
    for placeholder, value in values.items():
        sql = sql.replace(f"{{{placeholder}}}", value)
    return sql


@cache
def _table_repairs() -> dict[str, str]:
    """Return the SQL of each repair of tables, by the name in the comment above it."""
    parts = re.split(r"^-- (\w+)\n", sql_file("repair_tables.sql"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
