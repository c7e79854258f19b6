"""`StoredBars`: the `BarReader` of the DuckDB storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.storage import readonly_sql
from lumibot_duckdb.storage.api import (
    AsOf,
    AssetLike,
    BarArrays,
    EpochSeconds,
    IngestInfo,
    SeriesKey,
    SeriesPin,
    TimeRange,
)
from lumibot_duckdb.storage.bars.columns import over_bars, pinned_rows
from lumibot_duckdb.storage.bars.ingests import (
    empty_answers_of,
    ingest_infos,
    ingests_of,
    last_writes_noting,
    series_noting,
)
from lumibot_duckdb.storage.bars.layout import ColumnLayout, Kind
from lumibot_duckdb.storage.bars.repeats import may_repeat
from lumibot_duckdb.storage.bars.series_lookup import SeriesLookup
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.sql_times import epoch_sql, timestamp_literal
from lumibot_duckdb.storage.timeframes import canonical_timeframe
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, epoch_seconds_ceiling, new_york_timestamp

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from lumibot_duckdb.storage.bars.outline import Outline
    from lumibot_duckdb.storage.bars.pinned_bars import PinnedBars
    from lumibot_duckdb.storage.bars.repeats import Repeats

_WEEK = 7 * SECONDS_PER_DAY


class StoredBars(SeriesLookup):
    """Reads bars from the store."""

    @cached_property
    def _bars(self) -> PinnedBars:
        from lumibot_duckdb.storage.bars.pinned_bars import PinnedBars  # imports pandas, which SQL does without

        return PinnedBars(self._store)

    def get_historical_prices(
        self,
        asset: AssetLike,
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> pd.DataFrame:
        return self.to_pandas(asset, start, end, timeframe, source, adjustment=adjustment, as_of=as_of)

    def to_pandas(
        self,
        asset: AssetLike | SeriesKey,
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> pd.DataFrame:
        pin = self.pin(asset, timeframe, source, adjustment=adjustment, as_of=as_of)
        return self.read_pandas(pin, self._range_of(pin, start, end))

    def to_polars(
        self,
        asset: AssetLike | SeriesKey,
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> pl.DataFrame:
        pin = self.pin(asset, timeframe, source, adjustment=adjustment, as_of=as_of)
        return self.read_polars(pin, self._range_of(pin, start, end))

    def to_arrow(
        self,
        asset: AssetLike | SeriesKey,
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> pa.Table:
        pin = self.pin(asset, timeframe, source, adjustment=adjustment, as_of=as_of)
        return self.read_arrow(pin, self._range_of(pin, start, end))

    def read_pandas(self, pin: SeriesPin, within: TimeRange | None = None) -> pd.DataFrame:
        return self._bars.frame(pin, within)

    def read_arrow(self, pin: SeriesPin, within: TimeRange | None = None) -> pa.Table:
        return self._bars.arrow(pin, within)

    def read_polars(self, pin: SeriesPin, within: TimeRange | None = None) -> pl.DataFrame:
        import polars as pl

        table = pl.from_arrow(self.read_arrow(pin, within))
        assert isinstance(table, pl.DataFrame)
        return table

    def read_bars(
        self,
        pin: SeriesPin,
        within: TimeRange | None = None,
        columns: Sequence[str] | None = None,
        *,
        remember: bool = True,
    ) -> BarArrays:
        return self._bars.arrays(pin, within, columns, remember=remember)

    def read_column(
        self, pins: Sequence[SeriesPin], column: str, within: TimeRange | None = None
    ) -> dict[SeriesPin, BarArrays]:
        from lumibot_duckdb.storage.bars.many_series import column_of

        return column_of(self._store, pins, column, within)

    def read_larger_bars(
        self,
        pin: SeriesPin,
        timeframe: str,
        within: TimeRange | None = None,
        *,
        zone: str = "America/New_York",
    ) -> BarArrays:
        from lumibot_duckdb.storage.bars.larger_bars import larger_bars

        return larger_bars(self._store, pin, canonical_timeframe(timeframe), within, zone)

    def ingests(
        self, pin: SeriesPin, within: Sequence[TimeRange] | None = None, *, having: str | None = None
    ) -> tuple[IngestInfo, ...]:
        if having is None and within is not None:
            kept = self._store.kept.get(pin)
            if kept is not None and (known := kept.writes(within)):
                return known
        with self._store.read_pinned(pin) as cursor:
            found = self._ingests(cursor, pin, within, having)
            if not found:
                self._store.refuse_if_gone(cursor, pin)
        return found

    def _ingests(
        self, cursor: StoreCursor, pin: SeriesPin, within: Sequence[TimeRange] | None, having: str | None
    ) -> tuple[IngestInfo, ...]:
        if having is not None:
            noting = self._store.current(("noting", having), lambda cursor: series_noting(cursor, having))
            return ingests_of(cursor, pin, within, having) if pin.series_id in noting else ()
        ids = None if within is None else self._bars.ingest_ids(pin, within)
        page = None if ids is None else self._store.head_page(pin.series_id)
        known = None if ids is None or page is None else page.writes(ids)
        return ingests_of(cursor, pin, within, None) if known is None else ingest_infos(known)

    def last_writes(self, having: str, since: datetime) -> dict[SeriesKey, datetime]:
        if not self._store.refresh():
            return {}
        with self._store.read() as cursor:
            found = last_writes_noting(cursor, having, since)
            records = {record.series_id: record.key for record in self._store.catalog.everything(None, None)}
        return {records[series_id]: at for series_id, at in sorted(found.items()) if series_id in records}

    def empty_answers(self, pin: SeriesPin) -> tuple[IngestInfo, ...]:
        with self._store.read_pinned(pin) as cursor:
            return empty_answers_of(cursor, pin)

    def last_time_at_or_before(
        self, pin: SeriesPin, time: EpochSeconds, column: str | None = None
    ) -> EpochSeconds | None:
        state = self._store.state(pin)
        if state.first is None or time < state.first:
            return None
        condition = ""
        named: tuple[ColumnLayout, ...] = ()
        if column is not None:
            named = (chosen,) = state.layout.chosen([column])
            if chosen.physical is None:
                return None
            condition = f' AND "{chosen.physical}" IS NOT NULL'
            if chosen.kind is Kind.NUMBER:
                condition += f' AND NOT isnan("{chosen.physical}")'
        # It nearly always is in the last week. All earlier bars are searched only if it is not.
        near = time - _WEEK
        for stretch in (
            f"ts > {timestamp_literal(near)} AND ts <= {timestamp_literal(time)}",
            f"ts <= {timestamp_literal(near)}",
        ):
            query = f"SELECT {epoch_sql('max(ts)')} FROM {{bar}} WHERE {pinned_rows(pin)} AND {stretch}{condition}"
            with self._store.read_pinned(pin) as cursor:
                ((found,),) = over_bars(cursor, cursor.rows, query, named)
                if found is None:
                    self._store.refuse_if_gone(cursor, pin)
            if found is not None:
                return int(found)
        return None

    def outline(self, pin: SeriesPin) -> Outline:
        return self._bars.outline(pin)

    def repeats(self, pin: SeriesPin) -> Repeats | None:
        if not may_repeat(pin.key.asset):
            return None
        with self._store.read_pinned(pin) as cursor:
            latest = max((block.ingest_id for block in self._store.stored_blocks(cursor, pin)), default=None)
            if latest is None or latest > pin.ingest_id:
                return None
            return self._store.stored_repeats(cursor, pin)

    def sql(
        self,
        query: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        max_rows: int | None = None,
        allow_files: bool = False,
    ) -> pa.Table:
        self._store.require()
        readonly_sql.refuse_all_but_reading(query)
        with self._store.counters.timing(), self._store.connection.query(allow_files=allow_files) as duck:
            return readonly_sql.run(duck, query, parameters, max_rows)

    def _range_of(
        self, pin: SeriesPin, start: datetime | date | str | None, end: datetime | date | str | None
    ) -> TimeRange | None:
        """Return the range that a caller means; None for all there is."""
        if start is None and end is None:
            return None
        state = self._store.state(pin)
        first = epoch_seconds_ceiling(new_york_timestamp(start)) if start is not None else state.first or 0
        after = epoch_seconds_ceiling(new_york_timestamp(end)) if end is not None else (state.last or 0) + 1
        return TimeRange(first, max(first, after))
