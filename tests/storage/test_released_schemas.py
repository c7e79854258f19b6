"""Stores of earlier schemas, as the code of their time wrote them, are upgraded at their first use and work."""

from __future__ import annotations

import datetime as dt
import gzip
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import CorporateAction
from storage.frames import assert_same, minute_bars
from storage.stores.write_store import CALL, CHAIN, DAY, EMPTY, long_bars

SCHEMAS = range(1, migrations.newest())
LATER = minute_bars("2024-02-01 09:30")
ALL_BARS = 120 + 200 + 60 + 60 + 30 + 12_000


def unpacked(schema: int, folder: Path) -> Path:
    """Return the store of a schema, as a file that may be changed."""
    path = folder / f"schema-{schema}.duckdb"
    path.write_bytes(gzip.decompress((Path(__file__).parent / "stores" / f"schema-{schema}.gz").read_bytes()))
    return path


def stored_schema(path: Path) -> int:
    """Return the schema of a file that no storage has open."""
    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute("SELECT value FROM store_meta WHERE key = 'schema_version'").fetchall()
    return int(found[0][0])


def check_bars(storage: DuckDBDataStorage) -> None:
    """Fail unless the store has the bars and the coverage that were written to it."""
    bars = minute_bars(rows=120)
    assert_same(storage.get_historical_prices("AAPL", timeframe="minute", end="2024-01-31"), bars)
    assert_same(storage.get_historical_prices("AAPL", timeframe="day"), minute_bars("2023-01-03", 200, 1, "D"))
    assert_same(storage.get_historical_prices("MSFT"), minute_bars(rows=60, seed=2))
    assert_same(storage.get_historical_prices(CALL), minute_bars(rows=30, seed=3).assign(note=["ü"] * 30))
    assert_same(storage.get_historical_prices("LONG"), long_bars())
    assert storage.missing_ranges("AAPL", DAY, "minute", "polygon") == []
    assert storage.missing_ranges("MSFT", EMPTY, "minute", "polygon") == [EMPTY]


def check_reference_data(storage: DuckDBDataStorage, schema: int) -> None:
    """Fail unless the store has the split, the chain and the migrated file, as far as its schema has them."""
    actions = storage.corporate_actions("AAPL", "polygon")
    chain = storage.option_chain("SPY", "polygon", dt.date(2024, 1, 2), dt.date(2024, 1, 2))
    if schema == 1:
        assert (actions, chain) == (None, None)
    else:
        assert actions is not None
        assert actions.actions == (CorporateAction(dt.date(2020, 8, 31), 1, 4),)
        assert chain is not None
        assert chain.chain == CHAIN
    assert storage.migrated_files.rows("/old/MSFT.feather", "60") == (60 if schema >= 3 else None)


def test_every_schema_before_this_one_has_a_store() -> None:
    stores = {path.name for path in (Path(__file__).parent / "stores").glob("*.gz")}
    assert stores == {f"schema-{schema}.gz" for schema in SCHEMAS}


def read(storage: DuckDBDataStorage) -> None:
    check_bars(storage)


def write(storage: DuckDBDataStorage) -> None:
    assert storage.store_ohlcv_data("AAPL", LATER, "polygon", "minute").added == 60


def verify(storage: DuckDBDataStorage) -> None:
    assert storage.verify().sound


def compact(storage: DuckDBDataStorage) -> None:
    assert storage.compact(dt.timedelta(0)).versions_removed == 1


def back_up(storage: DuckDBDataStorage) -> None:
    assert storage.backup(storage.path.with_name("copy.duckdb")).rows == ALL_BARS
    with DuckDBDataStorage(storage.path.with_name("copy.duckdb")) as copy:
        check_bars(copy)


def copy_current(storage: DuckDBDataStorage) -> None:
    assert storage.replica(storage.path.with_name("replica.duckdb")).rows == ALL_BARS - 60


def export(storage: DuckDBDataStorage) -> None:
    storage.export(storage.path.with_name("exported"))
    with DuckDBDataStorage(storage.path.with_name("restored.duckdb")) as restored:
        restored.import_exported(storage.path.with_name("exported"))
        check_bars(restored)


def take_snapshot(storage: DuckDBDataStorage) -> None:
    storage.snapshot("kept")
    assert [each.name for each in storage.snapshots()] == ["kept"]


def configure(storage: DuckDBDataStorage) -> None:
    storage.settings.set("versions.keep", "7d")
    assert storage.settings.get("versions.keep") == dt.timedelta(days=7)


def rename(storage: DuckDBDataStorage) -> None:
    storage.rename("MSFT", "RENAMED")
    storage.rename("RENAMED", "MSFT")


def forget(storage: DuckDBDataStorage) -> None:
    for info in storage.list_series("MSFT"):
        storage.forget_coverage(info.key)


def delete(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("GONE", LATER, "polygon", "minute")
    assert storage.delete_series("GONE") == 60


FIRST_USES: tuple[Callable[[DuckDBDataStorage], None], ...] = (
    read,
    write,
    verify,
    compact,
    back_up,
    copy_current,
    export,
    take_snapshot,
    configure,
    rename,
    forget,
    delete,
)


# Every use of the store on one of the schemas, and on the others in the long tests.
EACH_ON_EACH = [
    pytest.param(
        schema,
        use,
        id=f"{use.__name__}-{schema}",
        marks=() if schema == SCHEMAS[number % len(SCHEMAS)] else pytest.mark.long,
    )
    for number, use in enumerate(FIRST_USES)
    for schema in SCHEMAS
]


@pytest.mark.older_duckdb
@pytest.mark.parametrize(("schema", "use"), EACH_ON_EACH)
def test_the_first_use_upgrades_it(schema: int, use: Callable[[DuckDBDataStorage], None], tmp_path: Path) -> None:
    path = unpacked(schema, tmp_path)
    assert stored_schema(path) == schema
    with DuckDBDataStorage(path) as storage:
        use(storage)
        check_bars(storage)
        if use is not rename:  # the file was migrated to a series with another name
            check_reference_data(storage, schema)
        assert storage.verify().findings == []
    assert stored_schema(path) == migrations.newest()


def on(*schemas: int) -> pytest.MarkDecorator:
    """Run a test on these schemas, and on the others in the long tests: the use of the upgraded store is the same."""
    marks = {schema: () if schema in schemas else pytest.mark.long for schema in SCHEMAS}
    return pytest.mark.parametrize("schema", [pytest.param(schema, marks=marks[schema]) for schema in SCHEMAS])


@pytest.mark.older_duckdb
@on(SCHEMAS[0])
def test_it_is_looked_after_like_any_store(schema: int, tmp_path: Path) -> None:
    """One use after the other on the upgraded store: each leaves it sound, with everything in it."""

    def check(storage: DuckDBDataStorage) -> None:
        assert storage.verify().findings == []
        check_bars(storage)
        check_reference_data(storage, schema)

    backup = tmp_path / "backup.duckdb"
    with DuckDBDataStorage(unpacked(schema, tmp_path)) as storage:
        check(storage)
        compact(storage)
        check(storage)
        export(storage)
        storage.backup(backup)
        with DuckDBDataStorage(backup) as copy:
            check(copy)
        storage.delete_series("LONG")
        write(storage)
        assert storage.restore(backup).restored
        check(storage)
        storage.export(tmp_path / "again")
        for exported in ("exported", "again"):  # what was exported comes back into the store itself, too
            assert {(each.added, each.changed) for each in storage.import_exported(tmp_path / exported)} == {(0, 0)}
        check(storage)


@on(SCHEMAS[0], SCHEMAS[-1])
def test_pruning_it(schema: int, tmp_path: Path) -> None:
    with DuckDBDataStorage(unpacked(schema, tmp_path)) as storage:
        storage.prune(dt.timedelta(days=1), ["LONG"])
        assert {info.key.asset.symbol for info in storage.list_series()} == {"AAPL", "MSFT", "SPY", "NONE"}
        assert storage.verify().findings == []


@pytest.mark.parametrize("schema", SCHEMAS)
def test_restoring_it(schema: int, tmp_path: Path) -> None:
    backup = unpacked(schema, tmp_path)
    content = backup.read_bytes()
    with DuckDBDataStorage(tmp_path / "store.duckdb") as storage:
        storage.store_ohlcv_data("OTHER", LATER, "polygon", "minute")
        assert storage.restore(backup, confirm=lambda report: True).restored
        check_bars(storage)
        check_reference_data(storage, schema)
        assert storage.verify().findings == []
    assert backup.read_bytes() == content


@pytest.mark.parametrize("schema", SCHEMAS)
def test_merging_it(schema: int, tmp_path: Path) -> None:
    other = unpacked(schema, tmp_path)
    content = other.read_bytes()
    with DuckDBDataStorage(tmp_path / "store.duckdb") as storage:
        assert storage.merge(other).series_added == 6
        check_bars(storage)
        assert storage.merge(other).series_changed == 0
        assert storage.verify().findings == []
    assert other.read_bytes() == content


@on(SCHEMAS[0], SCHEMAS[-1])
def test_merging_into_it(schema: int, tmp_path: Path) -> None:
    with DuckDBDataStorage(tmp_path / "new.duckdb") as new:
        new.store_ohlcv_data("AAPL", LATER, "polygon", "minute")
    with DuckDBDataStorage(unpacked(schema, tmp_path)) as storage:
        assert storage.merge(new.path).bars_added == len(LATER)
        check_bars(storage)
        check_reference_data(storage, schema)
        assert storage.verify().findings == []
