"""What the parts of a storage share: the connection to its file, and what this process knows about the contents."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import duckdb

from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import OnRows, SeriesKey, SeriesPin
from lumibot_duckdb.storage.bars.head_page import HeadPage
from lumibot_duckdb.storage.bars.known_contents import STATE_BYTES, KnownContents
from lumibot_duckdb.storage.bars.outline_records import StoredBlock, stored_blocks
from lumibot_duckdb.storage.bars.removal import Removal
from lumibot_duckdb.storage.bars.repeats import Repeats, few_repeats, repeats_in, stored_repeats
from lumibot_duckdb.storage.bars.spool import Spool, SpooledWrite
from lumibot_duckdb.storage.bars.upgrade import build_outlines
from lumibot_duckdb.storage.bars.version_state import VersionState, head_after, version_state
from lumibot_duckdb.storage.bars.writing import Write
from lumibot_duckdb.storage.catalog import Head
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.interruption import postponed
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.counters import Counters
from lumibot_duckdb.storage.downloaded_snapshot import snapshot_at
from lumibot_duckdb.storage.errors import (
    HistoryRestatedError,
    StoreNotFoundError,
    StoreWriteError,
    VersionGoneError,
)
from lumibot_duckdb.storage.location import ensure_folder
from lumibot_duckdb.storage.times import naive_utc, utc_now

logger = logging.getLogger(__name__)

# A usual answer about the present contents takes about this much memory; other answers say how much they take.
_ANSWER_BYTES = 2_000

Answer = TypeVar("Answer")


class OpenStore:
    """A store file with its connection, spool, results of reads and counters, and what the process knows about it."""

    def __init__(self, path: Path, connection: StoreConnection, cache_bytes: int) -> None:
        self.path = path
        self.snapshot = snapshot_at(connection.path)
        self.connection = connection
        self.spool = Spool(connection.path)
        self._known = KnownContents.of(connection)
        self.last_use = self._known.last_use
        self.catalog = self._known.catalog
        self.kept = self._known.kept
        self.results = self._known.results(cache_bytes)
        self.counters = Counters()
        self.after_first_write: Callable[[OpenStore], None] | None = None

    @property
    def log(self) -> Path:
        """Path of DuckDB's log, which exists while there is something in it."""
        return self.path.with_name(self.path.name + ".wal")

    # -- blocks ----------------------------------------------------------------------------------------------

    @contextmanager
    def read(self, wait_seconds: float | None = None) -> Iterator[StoreCursor]:
        """Yield a cursor for reading. The time is counted.

        `wait_seconds` is how long to wait for other processes, if not as usual.
        """
        with self.counters.timing(), self.connection.read(wait_seconds) as cursor:
            self._notice_other_history(cursor)
            yield cursor

    @contextmanager
    def read_pinned(self, *pins: SeriesPin) -> Iterator[StoreCursor]:
        """Yield a cursor for reading pinned versions; raise `VersionGoneError` if a restored backup lacks one."""
        with self.read() as cursor:
            for pin in pins:
                self._refuse_other_history(cursor, pin)
            yield cursor

    def _notice_other_history(self, cursor: StoreCursor) -> None:
        """Forget what is known of the contents if the store was restored from a backup."""
        generation = self.connection.generation()
        if generation in (self._known.seen_generation, self.catalog.generation):
            return
        try:
            continued = self.catalog.is_continued(cursor)
        except duckdb.CatalogException:  # another database is there now
            continued = False
        if not continued:
            self.catalog.clear()
            self._known.forget()
            self._known.was_restored = True
        self._known.seen_generation = generation

    def _refuse_other_history(self, cursor: StoreCursor, pin: SeriesPin) -> None:
        if not self._known.was_restored or pin.ingested_at is None:
            return
        found = cursor.rows("SELECT ingested_at FROM {db}.ingest WHERE ingest_id = ?", [pin.ingest_id])
        if found != [(pin.ingested_at,)]:
            raise self._gone(pin)

    def current(
        self,
        question: Hashable,
        read: Callable[[StoreCursor], Answer],
        size: Callable[[Answer], int] = lambda answer: _ANSWER_BYTES,
    ) -> Answer:
        """Return what `read` returns. The answer is kept until any process writes to the store."""
        kept: tuple[Answer] | None = self._known.current.get((self.connection.generation(), question))
        if kept is not None:
            return kept[0]
        with self.read() as cursor:
            generation = self.connection.generation()
            answer = read(cursor)
        self._known.current.put((generation, question), (answer,), size(answer))
        return answer

    @contextmanager
    def write(self, wait_seconds: float | None = None) -> Iterator[StoreCursor]:
        """Yield a cursor for one transaction, after merging small writes of the spool in further transactions.

        `wait_seconds` is how long to wait for other processes, if not as usual.
        """
        ensure_folder(self.path)
        self._merge_in_passing(wait_seconds)
        with self.transaction(wait_seconds) as cursor:
            yield cursor
        act, self.after_first_write = self.after_first_write, None
        if act is not None:
            with postponed():
                act(self)

    @contextmanager
    def transaction(self, wait_seconds: float | None = None) -> Iterator[StoreCursor]:
        """Yield a cursor for one transaction on a store of the newest schema, with the catalog up to date."""
        with self.counters.timing(), self.connection.write(wait_seconds) as cursor:
            self._refresh_catalog(cursor, migrations.migrate(cursor, build_outlines))
            yield cursor

    def refresh(self, *, upgrade: bool = True) -> bool:
        """Bring the catalog up to date with what is committed; return whether there is a store at all.

        A store of an older schema is upgraded. Without `upgrade` it stays unchanged and counts as none.
        """
        if not self.connection.exists():
            self.catalog.clear()
            self._known.forget()
            return False
        if self.connection.generation() == self.catalog.generation:
            return True
        with self.counters.timing(), self.connection.read() as cursor:
            state = migrations.state(cursor)
            if state.schema_version == migrations.newest():
                self._refresh_catalog(cursor, state)
                return True
        if state.schema_version == 0 or not upgrade:
            return False
        with self.transaction():
            return True

    def require(self) -> None:
        """Upgrade a store of an older schema; raise `StoreNotFoundError` if there is no store.

        This does not read the catalog, which takes a while for many series.
        """
        if self.connection.exists():
            if self.connection.generation() == self.catalog.generation:
                return
            with self.read() as cursor:
                version = migrations.state(cursor).schema_version
            if version == migrations.newest():
                return
            if version:
                with self.transaction():
                    return
        raise StoreNotFoundError(f"there is no store at {self.path} yet; store some bars first")

    def _refresh_catalog(self, cursor: StoreCursor, state: migrations.StoreState) -> None:
        self.last_use.of_replica = bool(state.replica_of)
        if self.catalog.refresh(cursor, state, self.connection.generation()):
            self._known.forget()
            self._known.was_restored = True

    # -- writes ----------------------------------------------------------------------------------------------

    def write_to(self, cursor: StoreCursor, key: SeriesKey, on_rows: OnRows | None = None) -> Write:
        """Return the one write of a `write` or `transaction` block."""
        return Write(cursor, key, self.current_state(cursor, key), *self.next_ingest(), on_rows)

    def writes_to(self, cursor: StoreCursor, keys: Iterable[SeriesKey]) -> Iterator[Write]:
        """Yield a write for each of some different series, to be used before the next, in one `write` block."""
        first_id, now = self.next_ingest()
        for ingest_id, key in enumerate(keys, first_id):
            yield Write(cursor, key, self.current_state(cursor, key), ingest_id, now)

    def removals(self, cursor: StoreCursor, keys: Iterable[SeriesKey]) -> tuple[list[Removal], datetime]:
        """Return what a `write` block removes from different series, those that there are, and when (naive UTC)."""
        first_id, now = self.next_ingest()
        states = ((key, self.current_state(cursor, key)) for key in keys)
        found = [(key, state) for key, state in states if state is not None]
        return [Removal(key, state, ingest_id) for ingest_id, (key, state) in enumerate(found, first_id)], now

    def current_state(self, cursor: StoreCursor, key: SeriesKey) -> VersionState | None:
        """Return the state of the current version of a series; None if there is no such series."""
        record = self.catalog.find(key)
        head = self.catalog.head(record.series_id) if record is not None else None
        return self._state_of(cursor, record.series_id, head) if record is not None and head is not None else None

    def next_ingest(self) -> tuple[int, datetime]:
        """Return id and time (naive UTC) of the next ingest, inside a `write` block."""
        # The time of a write is now, but never before that of an earlier write, even if the clock was set back.
        now = naive_utc(utc_now())
        return self.catalog.last_ingest + 1, max(now, self.catalog.last_ingested_at + timedelta(microseconds=1))

    def merge_spooled(self, only: Callable[[SeriesKey], bool] | None = None) -> int:
        """Write the downloads that wait in the spool, or those of some series; return how many were merged."""
        return self.spool.merge(self.merge_file, only=only)

    def _merge_in_passing(self, wait_seconds: float | None) -> None:
        try:
            self.spool.merge(partial(self.merge_file, wait_seconds=wait_seconds), in_passing=True)
        except StoreWriteError as error:  # a smaller write may still have room
            logger.warning("could not merge what waits in %s: %s", self.spool.folder, error)

    def merge_file(self, kept: SpooledWrite, file: Path, wait_seconds: float | None = None) -> bool:
        """Write the contents of a file of the spool, unless another process just did; return whether it was written."""
        write = kept.write
        with self.transaction(wait_seconds) as cursor:
            if not file.exists():
                return False
            if write.onto is not None and kept.store_id not in ("", self.catalog.store_id):
                raise HistoryRestatedError(f"the store was replaced by another, without version {write.onto}")
            self.write_to(cursor, write.key).bars(write)
            return True

    # -- versions --------------------------------------------------------------------------------------------

    def state(self, pin: SeriesPin) -> VersionState:
        """Return the state of the pinned version after the pinned ingest, which never changes."""
        held: VersionState | None = self._known.states.get(pin.ingest_id)
        if held is None:
            with self.read_pinned(pin) as cursor:
                held = self._state_after(cursor, pin)
        if held is None:
            raise self._gone(pin)
        return held

    def _state_after(self, cursor: StoreCursor, pin: SeriesPin) -> VersionState | None:
        """Return the state that the pinned ingest left behind; None if there is no such ingest."""
        head = self.catalog.head(pin.series_id)
        series_id = pin.series_id
        if head is None or (head.ingest_id, head.ingested_at) != (pin.ingest_id, pin.ingested_at):
            found = head_after(cursor, pin.ingest_id)
            if found is None:
                return None
            series_id, head = found
        return self._state_of(cursor, series_id, head)

    def _state_of(self, cursor: StoreCursor, series_id: int, head: Head) -> VersionState | None:
        state = version_state(cursor, series_id, head, self._known.layouts)
        if state is not None:
            self._known.states.put(head.ingest_id, state, STATE_BYTES)
        return state

    def head_page(self, series_id: int) -> HeadPage | None:
        """Return what is known of a series and of others that are usually touched next; None if it is unknown."""
        if self.catalog.head(series_id) is None:
            return None
        page = self.catalog.page_of(series_id)
        return self.current(
            ("heads", *page), lambda cursor: HeadPage(cursor, self._heads_of(page)), lambda found: found.nbytes
        )

    def _heads_of(self, page: Iterable[int]) -> dict[int, Head]:
        heads = ((series_id, self.catalog.head(series_id)) for series_id in page)
        return {series_id: head for series_id, head in heads if head is not None}

    def stored_repeats(self, cursor: StoreCursor, pin: SeriesPin) -> Repeats:
        """Return the recorded repeats of the pinned version, inside a `read_pinned` block.

        Those of others that are usually touched next are read as well, if they are few.
        """
        page = self.catalog.page_of(pin.series_id)
        versions = frozenset(head.version_id for head in self._heads_of(page).values())
        few = None
        if pin.version_id in versions:
            few = self.current(
                ("repeats", versions),
                lambda cursor: few_repeats(cursor, versions),
                lambda found: _ANSWER_BYTES if found is None else found.nbytes,
            )
        return stored_repeats(cursor, pin) if few is None else repeats_in(few, pin)

    def stored_blocks(self, cursor: StoreCursor, pin: SeriesPin) -> list[StoredBlock]:
        """Return the stored outline of the pinned version, inside a `read_pinned` block."""
        page = self.head_page(pin.series_id)
        known = None if page is None else page.outline(pin.version_id)
        return stored_blocks(cursor, pin.version_id) if known is None else known

    def refuse_if_gone(self, cursor: StoreCursor, pin: SeriesPin) -> None:
        """Raise `VersionGoneError` unless the store still has the pinned version."""
        head = self.catalog.head(pin.series_id)
        if head is not None and head.version_id == pin.version_id and self._catalog_is_current():
            return
        if not cursor.rows("SELECT 1 FROM {db}.series_version WHERE version_id = ?", [pin.version_id]):
            raise self._gone(pin)

    def _catalog_is_current(self) -> bool:
        return self.connection.generation() == self.catalog.generation

    def _gone(self, pin: SeriesPin) -> VersionGoneError:
        what = f"version {pin.version_id} of {pin.key.label()}"
        again = "run the backtest again, or pin the series again"
        if self._known.was_restored:
            return VersionGoneError(f"{what} is not in the backup that was restored in the meantime: {again}")
        return VersionGoneError(
            f"{what} was superseded or deleted and is no longer in the store: {again} (`compact` removes "
            "superseded versions after a day; `lumibot-duckdb config set versions.keep 7d` keeps them for longer)"
        )
