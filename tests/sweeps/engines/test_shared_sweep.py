"""What must be the same on a worker: folder, script and store."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.sweeps.engines.errors import EngineError, WorkerError
from lumibot_duckdb.sweeps.engines.shared_store import StoreAtPath, StorePublished, shared_store
from lumibot_duckdb.sweeps.engines.shared_sweep import SharedSweep, shared_sweep
from lumibot_duckdb.sweeps.trials.target import ScriptTarget, TargetDescription
from publishing.conftest import bars

DESCRIPTION = TargetDescription("Strategy", "", {}, None, None, is_forked=True)
WORKER = "the worker on far (process 7)"


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SharedSweep:
    """A sweep of a script in the current folder, as a worker receives it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONHASHSEED", "5")
    Path("work").mkdir()
    monkeypatch.chdir("work")
    Path("crossing.py").write_text("1\n")
    target = ScriptTarget("crossing.py", ("a",), environment={"NAME": "x"})
    received: SharedSweep = pickle.loads(pickle.dumps(shared_sweep(target, DESCRIPTION)))
    monkeypatch.chdir("/")
    return received


def test_a_script_is_found_from_another_folder(sweep: SharedSweep, tmp_path: Path) -> None:
    target = sweep.target_here(WORKER)
    assert isinstance(target, ScriptTarget)
    assert (target.script, target.arguments, target.folder) == ("crossing.py", ("a",), tmp_path / "work")
    assert target.environment == {"NAME": "x", "PYTHONHASHSEED": "5"}
    assert target.store is None


def test_a_changed_or_missing_script(sweep: SharedSweep, tmp_path: Path) -> None:
    script = tmp_path / "work" / "crossing.py"
    script.write_text("2\n")
    with pytest.raises(WorkerError, match=rf"^the worker on far \(process 7\) has another {script}: copy the present"):
        sweep.target_here(WORKER)
    script.unlink()
    with pytest.raises(WorkerError, match=rf"has no script {script}: copy the script and what it reads to the same"):
        sweep.target_here(WORKER)
    script.parent.rmdir()
    with pytest.raises(WorkerError, match=rf"has no folder {script.parent}: a sweep needs its working folder at"):
        sweep.target_here(WORKER)


def test_a_store_at_a_path(tmp_path: Path) -> None:
    path = tmp_path / "own.duckdb"
    assert shared_store(path).path_here(WORKER) == path  # a script with its own frames needs no store
    path.write_bytes(b"store")
    shared = shared_store(path)
    assert isinstance(shared, StoreAtPath)
    assert shared.path_here(WORKER) == path
    far = replace(shared, host="another machine")
    assert far.path_here(WORKER) == path  # in a shared folder
    path.rename(tmp_path / "kept")
    with pytest.raises(WorkerError, match=rf"has no store {path}: publish the store of the sweep \(lumibot-duckdb pub"):
        shared.path_here(WORKER)
    path.write_bytes(b"another")
    assert shared.path_here(WORKER) == path  # compacted meanwhile on this machine
    with pytest.raises(WorkerError, match=rf"has another store at {path}: publish the store of the sweep"):
        far.path_here(WORKER)


def test_workers_open_the_snapshot_that_the_sweep_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_SNAPSHOT_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "shared"
    with DuckDBDataStorage(tmp_path / "own") as storage:
        storage.store_ohlcv_data("AAPL", bars(100), "mine", "minute")
        storage.publish(place)
        shared = shared_store(DuckDBDataStorage(place).path)
        assert isinstance(shared, StorePublished)
        storage.store_ohlcv_data("AAPL", bars(200), "mine", "minute")
        storage.publish(place)
    monkeypatch.setenv("LUMIBOT_DUCKDB_SNAPSHOT_CACHE", str(tmp_path / "cache of another machine"))
    path = shared.path_here(WORKER)
    assert path.is_relative_to(tmp_path / "cache of another machine")
    assert len(DuckDBDataStorage(path).to_pandas("AAPL")) == 100
    assert len(DuckDBDataStorage(place).to_pandas("AAPL")) == 200  # a new process would see this
    for data in place.glob("*.duckdb"):
        data.unlink()
    monkeypatch.setenv("LUMIBOT_DUCKDB_SNAPSHOT_CACHE", str(tmp_path / "cache of a third one"))
    with pytest.raises(WorkerError, match=r"^the worker on far \(process 7\) cannot open the snapshot of the sweep: "):
        shared.path_here(WORKER)


def test_a_snapshot_that_another_process_has_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_SNAPSHOT_CACHE", str(tmp_path / "cache"))
    with DuckDBDataStorage(tmp_path / "own") as storage:
        storage.store_ohlcv_data("AAPL", bars(100), "mine", "minute")
        storage.publish(tmp_path / "shared")
        path = DuckDBDataStorage(tmp_path / "shared").path
        for manifest in (tmp_path / "cache" / "manifests").iterdir():
            manifest.write_bytes(manifest.read_bytes().replace(path.parent.name.encode(), b"0" * 64))
    with pytest.raises(EngineError, match=r"another snapshot was published to .* meanwhile; begin the sweep again"):
        shared_store(path)
