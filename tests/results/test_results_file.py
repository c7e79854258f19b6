"""A file that is no results database is refused with a remedy, and a failed write leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from disks import make_read_only, make_writable, mounted_disk
from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
from lumibot_duckdb.results import NotResultsError, ResultsDatabase, schema
from lumibot_duckdb.storage.errors import DiskFullError, StoreDamagedError, StoreVersionError, StoreWriteError
from results.samples import results_at, sweep, trial


def fill(folder: Path) -> ResultsDatabase:
    results = results_at(folder)
    results.begin_sweep(sweep())
    results.add_trials("one", [(1, trial(1.0, 5_000))])
    return results


@pytest.mark.parametrize(
    ("tables", "found"),
    [("CREATE TABLE prices (x INT)", "it has prices"), ("CREATE TABLE store_meta (x INT)", "it is a store of bars")],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, tables: str, found: str) -> None:
    results = results_at(tmp_path)
    with duckdb.connect(str(results.path)) as client:
        client.execute(tables)
    before = results.path.read_bytes()
    for call in (results.sweeps, lambda: results.begin_sweep(sweep()), lambda: results.sql("SELECT 1")):
        with pytest.raises(NotResultsError, match=rf"no results database .*\({found}\): choose another file"):
            call()
    assert results.path.read_bytes() == before


def test_a_store_refuses_results(tmp_path: Path) -> None:
    results = fill(tmp_path)
    with pytest.raises(StoreDamagedError, match="not a lumibot-duckdb store"):
        DuckDBDataStorage(results.path).list_series()


def test_a_file_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    results = fill(tmp_path)
    with duckdb.connect(str(results.path)) as client:
        client.execute("UPDATE results_meta SET value = '99'")
    for call in (results.sweeps, lambda: results.delete("one")):
        with pytest.raises(StoreVersionError, match=r"newer release .*\(schema 99; .*upgrade the package"):
            call()
    with duckdb.connect(str(results.path)) as client:
        client.execute("UPDATE results_meta SET value = 'x'")
    with pytest.raises(NotResultsError, match="damaged table results_meta"):
        results.sweeps()


@pytest.mark.parametrize("content", [b"time,close\n2024-01-02,5\n", bytes(20_000)])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    results = results_at(tmp_path)
    results.path.write_bytes(content)
    for call in (results.sweeps, lambda: results.begin_sweep(sweep())):
        with pytest.raises(NotResultsError, match=r"not a DuckDB file, or it is damaged.* move it away, and the next"):
            call()
    assert results.path.read_bytes() == content


def test_damage_is_reported_with_the_remedy_for_results(tmp_path: Path) -> None:
    results = fill(tmp_path)
    content = bytearray(results.path.read_bytes())
    for byte in range(12_288, len(content), 512):
        content[byte] ^= 0xFF
    results.path.write_bytes(content)
    with pytest.raises(NotResultsError, match="move it away") as raised:
        results.equity("one")
    assert "lumibot-duckdb restore" not in str(raised.value)


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    results = results_at(tmp_path)
    results.path.touch()
    assert not results.has_sweep("one")
    fill(tmp_path)
    assert len(results.trials("one")) == 1


def test_an_older_file_is_upgraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = fill(tmp_path)
    first = schema.migration_scripts("lumibot_duckdb.results")
    further = (len(first) + 1, "ALTER TABLE {db}.trials ADD COLUMN note VARCHAR;")
    monkeypatch.setattr(schema, "migration_scripts", lambda package: (*first, further))
    assert results.sql("SELECT note FROM trials").to_pylist() == [{"note": None}]
    assert results.sql("SELECT value FROM results_meta").to_pylist() == [{"value": str(len(first) + 1)}]


def test_a_full_disk_leaves_nothing_of_a_trial(tmp_path: Path) -> None:
    with mounted_disk(tmp_path / "disk") as disk:
        results = fill(disk)
        filler = disk / "filler"
        filler.write_bytes(bytes(2**20))
        size = 2**20
        while True:  # leave a few hundred kilobytes
            try:
                with filler.open("ab") as file:
                    file.write(bytes(2**18))
                size += 2**18
            except OSError:
                break
        with filler.open("r+b") as file:
            file.truncate(size - 2**18)
        with pytest.raises(DiskFullError, match=r"nothing was stored in .*my-results\.duckdb.* Free some space"):
            results.add_trials("one", [(2, trial(0.1, 200_000))])
        assert list(results.records("one")) == [1]
        assert len(results.equity("one")) == 5_000
        filler.unlink()
        results.add_trials("one", [(2, trial(2.0, 20_000))])
        assert len(results.equity("one")) == 25_000


def test_results_on_a_read_only_disk_can_be_read(tmp_path: Path) -> None:
    with mounted_disk(tmp_path / "disk") as disk:
        results = fill(disk)
        make_read_only(disk)
        try:
            assert len(results.equity("one")) == 5_000
            assert results.sql("SELECT count(*) AS n FROM trials").to_pylist() == [{"n": 1}]
            with pytest.raises(StoreWriteError, match=r"not writable|can only be read"):
                results.add_trials("one", [(2, trial())])
        finally:
            make_writable(disk)
