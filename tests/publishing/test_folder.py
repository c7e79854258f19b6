"""Snapshots in a folder, and what is the same wherever they are: pins, the cache, processes, overlays."""

from __future__ import annotations

import json
import logging
import os
import pickle
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from disks import mounted_disk
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.downloaded_snapshot import FACTS
from lumibot_duckdb.storage.errors import (
    DiskFullError,
    PublishedSnapshotError,
    ReplicaError,
    SeriesNotFoundError,
    SnapshotGoneError,
    StoreNotFoundError,
    StoreVersionError,
)
from lumibot_duckdb.storage.locating import located_store
from lumibot_duckdb.storage.published import cache as snapshot_cache
from lumibot_duckdb.storage.published import opening
from lumibot_duckdb.storage.published.manifest import MANIFEST
from processes import FORKED
from publishing.conftest import Snapshot, bars


@pytest.fixture
def shared(tmp_path: Path, snapshot: Snapshot) -> Path:
    """A folder in which a snapshot was published."""
    snapshot.put(str(tmp_path / "shared"))
    return tmp_path / "shared"


def forget_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behave as a new process, which has no snapshot open."""
    monkeypatch.setattr(opening, "_opened", {})
    for lock in snapshot_cache._held.values():
        lock.release()
    monkeypatch.setattr(snapshot_cache, "_held", {})


def change_manifest(folder: Path, **fields: Any) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps({**manifest, **fields}))


def test_the_folder_is_a_store(shared: Path, original: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", str(shared))
    opened, before = DuckDBDataStorage(), DuckDBDataStorage(original)
    assert opened.path.is_relative_to(cache)
    pd.testing.assert_frame_equal(opened.to_pandas("AAPL"), before.to_pandas("AAPL"))
    moment = f"{opened.published_as_of:%Y-%m-%d %H:%M} UTC"
    assert repr(opened).startswith(f"<DuckDBDataStorage '{shared} as of {moment}': ")
    # An object that is sent to another process reads the same snapshot there.
    assert pickle.loads(pickle.dumps(opened)).published_as_of == opened.published_as_of is not None
    assert before.published_as_of is None


def test_a_later_snapshot_is_for_later_processes(
    storage: DuckDBDataStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.publish(tmp_path / "shared")
    opened = DuckDBDataStorage(tmp_path / "shared")
    storage.store_ohlcv_data("AAPL", bars(15_000) + 1, "mine", "minute")
    storage.publish(tmp_path / "shared")
    assert DuckDBDataStorage(tmp_path / "shared").path == opened.path
    first = opened.to_pandas("AAPL")
    forget_what_is_open(monkeypatch)
    later = DuckDBDataStorage(tmp_path / "shared")
    assert later.path != opened.path
    pd.testing.assert_frame_equal(later.to_pandas("AAPL"), storage.to_pandas("AAPL"))
    pd.testing.assert_frame_equal(opened.to_pandas("AAPL"), first)


def test_a_refused_write_does_not_change_the_snapshot(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = DuckDBDataStorage(shared)
    content = opened.path.read_bytes()
    for write in (
        lambda: opened.store_ohlcv_data("AAPL", bars(5), "mine", "minute"),
        lambda: opened.delete_series("AAPL"),
        lambda: opened.label(["AAPL"], "sector", "Technology"),
        lambda: opened.compact(),
        lambda: opened.snapshot("mine"),
        lambda: opened.publish(shared.parent / "again"),
    ):
        with pytest.raises(ReplicaError, match="snapshot that was published to"):
            write()
    opened.close()
    assert opened.path.read_bytes() == content
    digested: list[Path] = []
    monkeypatch.setattr(snapshot_cache, "digest_of", digested.append)
    forget_what_is_open(monkeypatch)
    assert DuckDBDataStorage(shared).path == opened.path
    assert digested == []  # it need not be read to know that it is unchanged


def test_a_changed_file_is_downloaded_again(
    shared: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = DuckDBDataStorage(shared).path
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(100_000)
        file.write(b"changed")
    forget_what_is_open(monkeypatch)
    assert DuckDBDataStorage(shared).path == path
    assert path.read_bytes() == content
    assert "was changed after it was downloaded" in caplog.text


def open_and_report(folder: str, cache: str, results: Any) -> None:
    os.environ["LUMIBOT_DUCKDB_SNAPSHOT_CACHE"] = cache
    from lumibot_duckdb.storage.published import opening

    downloads: list[int] = []
    original = opening.download

    def counted(*args: Any) -> None:
        downloads.append(1)
        time.sleep(0.3)
        original(*args)

    opening.download = counted  # type: ignore[assignment]
    storage = DuckDBDataStorage(folder)
    results.put((len(downloads), len(storage.to_pandas("AAPL"))))


def test_processes_download_once(shared: Path, cache: Path) -> None:
    results = FORKED.Queue()
    workers = [FORKED.Process(target=open_and_report, args=(str(shared), str(cache), results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    found = sorted(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    assert found == [(0, 15_000), (0, 15_000), (1, 15_000)]


def test_what_is_used_least_recently_is_removed(
    snapshot: Snapshot, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / name for name in ("first", "second", "third")]
    for number, folder in enumerate(folders):
        snapshot.other(number).put(str(folder))
    size = max(each.stat().st_size for each in tmp_path.glob("*/snapshot-*"))
    monkeypatch.setenv("LUMIBOT_DUCKDB_SNAPSHOT_CACHE_SIZE", f"{2.5 * size / 1e6:.3f}MB")
    first, second = (DuckDBDataStorage(folder).path for folder in folders[:2])
    forget_what_is_open(monkeypatch)
    os.utime(second.with_name("in-use"), (1, 1))
    os.utime(first.with_name("in-use"), (2, 2))
    third = DuckDBDataStorage(folders[2]).path
    assert [path.exists() for path in (first, second, third)] == [True, False, True]
    assert {path.name for path in cache.iterdir()} == {"partial", "manifests", first.parent.name, third.parent.name}
    assert list((cache / "partial").iterdir()) == []


def hold_open(folder: str, cache: str, opened: Any, done: Any) -> None:
    os.environ["LUMIBOT_DUCKDB_SNAPSHOT_CACHE"] = cache
    storage = DuckDBDataStorage(folder)
    opened.put(str(storage.path))
    done.get(timeout=60)
    opened.put(len(storage.to_pandas("AAPL")))


def test_what_is_in_use_is_not_removed(
    snapshot: Snapshot,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for number, name in enumerate(("used", "other", "third")):
        snapshot.other(number).put(str(tmp_path / name))
    opened, done = FORKED.Queue(), FORKED.Queue()
    worker = FORKED.Process(target=hold_open, args=(str(tmp_path / "used"), str(cache), opened, done))
    worker.start()
    path = Path(opened.get(timeout=60))
    monkeypatch.setenv("LUMIBOT_DUCKDB_SNAPSHOT_CACHE_SIZE", "1KB")
    assert len(DuckDBDataStorage(tmp_path / "other").list_series()) == 2
    assert path.exists()
    assert "since all are in use" in caplog.text
    done.put(None)
    assert opened.get(timeout=60) == 15_000
    worker.join()
    forget_what_is_open(monkeypatch)
    DuckDBDataStorage(tmp_path / "third")
    assert not path.exists()


def open_in_turn(folders: list[str], cache: str, seed: int, until: float, results: Any) -> None:
    os.environ |= {"LUMIBOT_DUCKDB_SNAPSHOT_CACHE": cache, "LUMIBOT_DUCKDB_SNAPSHOT_CACHE_SIZE": "1KB"}
    numbers, opened = random.Random(seed), 0
    with pytest.MonkeyPatch.context() as patch:
        while time.monotonic() < until:
            forget_what_is_open(patch)
            with DuckDBDataStorage(numbers.choice(folders)) as storage:
                assert storage.path.exists()
                assert len(storage.to_pandas("AAPL")) == 15_000
                time.sleep(numbers.uniform(0, 0.05))
                assert len(storage.to_pandas("BTC/USD")) == 11_000
            opened += 1
    results.put(opened)


@pytest.mark.long
def test_a_cache_that_is_too_small_for_what_processes_read(snapshot: Snapshot, tmp_path: Path, cache: Path) -> None:
    """Each download removes what nobody uses at that moment, while others open the same snapshots."""
    folders = [str(tmp_path / name) for name in ("first", "second", "third")]
    for number, folder in enumerate(folders):
        snapshot.other(number).put(folder)
    results, until = FORKED.Queue(), time.monotonic() + 20
    workers = [
        FORKED.Process(target=open_in_turn, args=(folders, str(cache), seed, until, results)) for seed in range(4)
    ]
    for worker in workers:
        worker.start()
    opened = [results.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert min(opened) > 5
    assert {path.name.split("-")[0] for path in cache.iterdir()} <= {"partial", "manifests"} | {
        path.name for path in cache.iterdir() if len(path.name) == 64
    }


def test_a_path_in_the_cache_keeps_the_snapshot(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = DuckDBDataStorage(shared).path
    forget_what_is_open(monkeypatch)
    by_path = DuckDBDataStorage(path)  # as a process that was started with the path
    assert by_path.published_as_of is not None
    snapshots = snapshot_cache.SnapshotCache(path.parent.parent, 0)
    assert not snapshots._remove(path.parent)
    forget_what_is_open(monkeypatch)
    assert snapshots._remove(path.parent)


def test_a_damaged_record_of_a_download(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = DuckDBDataStorage(shared).path
    for content, changed in (("{", b""), ("[]", b"0")):
        path.with_name(FACTS).write_text(content)
        with path.open("ab") as file:
            file.write(changed)
        forget_what_is_open(monkeypatch)
        opened = DuckDBDataStorage(shared)
        assert opened.path == path
        assert opened.published_as_of is not None
        assert len(opened.list_series()) == 2
        opened.close()


def test_no_lock_is_left_beside_other_stores(original: Path, tmp_path: Path) -> None:
    shutil.copy(original, tmp_path / "bars.duckdb")
    (tmp_path / FACTS).write_text('{"mine": 1}')
    with DuckDBDataStorage(tmp_path / "bars.duckdb") as storage:
        assert storage.published_as_of is None
    assert not (tmp_path / "in-use").exists()


def test_left_overs_are_removed(shared: Path, cache: Path) -> None:
    for name in ("removed-1-x", f"adding-{2**22 + 1}-x", f"adding-{os.getpid()}-x"):
        (cache / name).mkdir(parents=True)
    (cache / "partial").mkdir()
    old, recent = (cache / "partial" / f"{digit * 64}.part" for digit in "01")
    for part in (old, recent):
        part.write_bytes(b"0")
    os.utime(old, (1, 1))
    DuckDBDataStorage(shared)
    assert not old.exists()
    assert recent.exists()
    assert [path.name for path in cache.glob("*-*-x")] == [f"adding-{os.getpid()}-x"]


def test_a_full_disk(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_cache, "_SPARE_BYTES", 0)
    with mounted_disk(tmp_path / "disk") as disk:
        monkeypatch.setenv("LUMIBOT_DUCKDB_SNAPSHOT_CACHE", str(disk / "cache"))
        (disk / "filler").write_bytes(b"0" * (31 * 2**20 + 600_000))
        with pytest.raises(DiskFullError, match=r"takes .* MB, and .* MB are free in .*LUMIBOT_DUCKDB_SNAPSHOT_CACHE"):
            DuckDBDataStorage(shared)
        # Another program may take the space meanwhile.
        monkeypatch.setattr(snapshot_cache.SnapshotCache, "_free", lambda self: 2**40)
        with pytest.raises(DiskFullError, match=r"the disk is full, and the snapshot was not downloaded"):
            DuckDBDataStorage(shared)
        assert [path.stat().st_size for path in disk.rglob("*") if path.suffix in (".duckdb", ".part")] in ([], [0])
        (disk / "filler").unlink()
        storage = DuckDBDataStorage(shared)
        assert len(storage.to_pandas("AAPL")) == 15_000
        storage.close()
        forget_what_is_open(monkeypatch)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"cannot be used: it is not JSON; publish the snapshot again"),
        (b"[1]", r"it is not a JSON object"),
        (b"[" * 50_000, r"it is not JSON"),
        (b'{"format": 0}', r"its format is 0"),
        (b"{" + b" " * 70_000 + b"}", r"more than 65,536 bytes, so it is no manifest"),
    ],
)
def test_manifests_that_are_none(shared: Path, content: bytes, message: str) -> None:
    (shared / MANIFEST).write_bytes(content)
    with pytest.raises(PublishedSnapshotError, match=message):
        DuckDBDataStorage(shared)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data": "../secret.duckdb"}, r"its data '../secret.duckdb' is not the name of an object beside it"),
        ({"data": "/etc/passwd"}, r"is not the name of an object beside it"),
        ({"data": None}, r"is not the name of an object beside it"),
        ({"sha256": "../../x"}, r"its sha256 is not a digest"),
        ({"size": -1}, r"its size is -1, not a number"),
        ({"size": True}, r"its size is True"),
        ({"rows": "1"}, r"its rows is '1'"),
        ({"as_of": "2024-01-01"}, r"its as_of is '2024-01-01', not a time with an offset"),
        ({"size": 100}, r"is larger than the 100 bytes in the manifest"),
        ({"sha256": "0" * 64}, r"its SHA-256 differs from the one in the manifest"),
    ],
)
def test_wrong_manifests(shared: Path, cache: Path, fields: dict[str, Any], message: str) -> None:
    change_manifest(shared, **fields)
    with pytest.raises(PublishedSnapshotError, match=message):
        DuckDBDataStorage(shared)
    assert [path for path in cache.rglob("*") if path.suffix in (".duckdb", ".part") and path.stat().st_size] == []


@pytest.mark.parametrize(
    ("fields", "what"), [({"schema": 1_000}, "schema 1000"), ({"format": 2, "data": ["x"]}, "manifest format 2")]
)
def test_a_newer_release_published_it(shared: Path, fields: dict[str, Any], what: str) -> None:
    change_manifest(shared, package="9.9", **fields)
    with pytest.raises(StoreVersionError, match=rf"newer release of lumibot-duckdb \(9.9; {what}.*upgrade the package"):
        DuckDBDataStorage(shared)


def test_an_older_release_published_it(
    shared: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next release, with another schema, cannot upgrade what is only read, but can upgrade an overlay."""
    schema = migrations.newest()
    monkeypatch.setattr(migrations, "newest", lambda: schema + 1)
    with pytest.raises(StoreVersionError, match=rf"older release .*schema {schema}, .*LUMIBOT_DUCKDB_OVERLAY"):
        DuckDBDataStorage(shared)
    assert not list(cache.glob("*/*.duckdb"))
    monkeypatch.setenv("LUMIBOT_DUCKDB_OVERLAY", str(tmp_path / "overlay"))
    overlay = DuckDBDataStorage(shared)
    monkeypatch.undo()
    assert len(overlay.to_pandas("AAPL")) == 15_000


def test_the_manifest_names_another_schema(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change_manifest(shared, schema=1)
    monkeypatch.setenv("LUMIBOT_DUCKDB_OVERLAY", str(shared.parent / "overlay"))
    with pytest.raises(PublishedSnapshotError, match=r"is no store that was published by lumibot-duckdb"):
        DuckDBDataStorage(shared)
    assert not (shared.parent / "overlay").exists()


def test_data_that_is_no_snapshot(shared: Path, storage: DuckDBDataStorage, cache: Path) -> None:
    """An ordinary store is refused too: backtests would write to it."""
    storage.close()
    for content in (b"no database" * 1_000, storage.path.read_bytes()):
        name = json.loads((shared / MANIFEST).read_bytes())["data"]
        (shared / name).write_bytes(content)
        change_manifest(shared, size=len(content), sha256=snapshot_cache.digest_of(shared / name))
        with pytest.raises(PublishedSnapshotError, match=r"is no store that was published by lumibot-duckdb"):
            DuckDBDataStorage(shared)
        assert [path for path in cache.rglob("*") if path.suffix in (".duckdb", ".part")] == []


def test_the_data_is_gone(shared: Path) -> None:
    (shared / json.loads((shared / MANIFEST).read_bytes())["data"]).unlink()
    with pytest.raises(SnapshotGoneError, match=r"there is no .*: publish a snapshot to .* first"):
        DuckDBDataStorage(shared)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("s3://key:secret@bucket/bars", r"must not contain '@': credentials come from the environment"),
        ("s3://b", r"has no usable bucket name; a location is written as s3://bucket/prefix"),
        ("s3://bucket/a/../b", r"has an unusable prefix"),
        ("s3://bucket/a//b", r"has an unusable prefix"),
        ("s3://bucket/a?versionId=1", r"has an unusable prefix"),
        ("s3://bucket/" + "a" * 1_000, r"has an unusable prefix"),
        ("http://bucket/a", r"a store is a path, or a published snapshot: s3://bucket/prefix"),
    ],
)
def test_unusable_locations(location: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        DuckDBDataStorage(location)
    assert "secret" not in str(caught.value)


def test_unusable_settings(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_SNAPSHOT_CACHE_SIZE", "large")
    with pytest.raises(
        ValueError, match="LUMIBOT_DUCKDB_SNAPSHOT_CACHE_SIZE must be a size such as '20GB', not 'large'"
    ):
        DuckDBDataStorage(shared)
    monkeypatch.delenv("LUMIBOT_DUCKDB_SNAPSHOT_CACHE_SIZE")
    monkeypatch.setenv("LUMIBOT_DUCKDB_OFFLINE", "perhaps")
    with pytest.raises(ValueError, match="LUMIBOT_DUCKDB_OFFLINE must be true or false, not 'perhaps'"):
        DuckDBDataStorage(shared)


def test_an_overlay_is_the_union(
    shared: Path, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("LUMIBOT_DUCKDB_OVERLAY", str(tmp_path / "overlay"))
    overlay, before = DuckDBDataStorage(shared), DuckDBDataStorage(original)
    assert overlay.published_as_of is None
    assert overlay.path.parent == tmp_path / "overlay"
    later = bars(500, "2024-03-01 09:30")
    assert overlay.store_ohlcv_data("AAPL", later, "mine", "minute").added == 500
    overlay.store_ohlcv_data("MSFT", later, "mine", "minute")
    pd.testing.assert_frame_equal(
        overlay.to_pandas("AAPL"),
        pd.concat([before.to_pandas("AAPL"), later.rename_axis("datetime")]),
        check_freq=False,
    )
    assert overlay.verify().findings == []
    assert overlay.compact().rows == 27_000
    forget_what_is_open(monkeypatch)
    (shared / json.loads((shared / MANIFEST).read_bytes())["data"]).unlink()  # it is not read again
    again = DuckDBDataStorage(shared)
    assert again.path == overlay.path
    assert len(again.to_pandas("MSFT")) == 500
    monkeypatch.delenv("LUMIBOT_DUCKDB_OVERLAY")
    plain = DuckDBDataStorage(shared)
    assert len(plain.to_pandas("AAPL")) == 15_000
    assert plain.published_as_of is not None


def test_an_overlay_belongs_to_its_snapshot(
    shared: Path, snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the next publication, `merge` takes over what was downloaded into the earlier overlay."""
    monkeypatch.setenv("LUMIBOT_DUCKDB_OVERLAY", str(tmp_path / "overlay"))
    first = DuckDBDataStorage(tmp_path / "shared")
    first.store_ohlcv_data("MSFT", bars(50), "mine", "minute")
    snapshot.other(1).put(str(shared))
    forget_what_is_open(monkeypatch)
    second = DuckDBDataStorage(tmp_path / "shared")
    assert len(second.list_series()) == 2
    assert second.merge(first.path).series_added == 1
    assert len(second.list_series()) == 3


def test_a_folder_cannot_be_published_to_if_it_has_a_store(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="already has a store, which a snapshot would hide: publish to another folder"):
        storage.publish(storage.path.parent)
    (tmp_path / "a file").write_text("")
    with pytest.raises(ValueError, match="is not a folder: publish to a folder or to s3://bucket/prefix"):
        storage.publish(tmp_path / "a file")
    with pytest.raises(ValueError, match="keep must be at least 1, not 0"):
        storage.publish(tmp_path / "new", keep=0)
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_published(tmp_path: Path) -> None:
    nothing = DuckDBDataStorage(tmp_path / "nothing.duckdb")
    with pytest.raises(StoreNotFoundError):
        nothing.publish(tmp_path / "new")
    nothing.store_ohlcv_data("AAPL", bars(3), "mine", "minute")
    (info,) = nothing.list_series()
    nothing.delete_series("AAPL")
    with pytest.raises(SeriesNotFoundError):
        nothing.publish(tmp_path / "new", [info.key])
    with pytest.raises(SeriesNotFoundError, match="there are no series to publish"):
        nothing.publish(tmp_path / "new")
    assert not list(tmp_path.glob("new/*"))
    assert not list(tmp_path.glob("*copying*"))


def test_a_full_disk_at_the_target(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    with mounted_disk(tmp_path / "disk") as disk:
        (disk / "filler").write_bytes(b"0" * (31 * 2**20 + 700_000))
        with pytest.raises(DiskFullError, match=r"nothing was published in .*disk/shared"):
            storage.publish(disk / "shared")
        assert list((disk / "shared").iterdir()) == []


def test_progress_is_reported(shared: Path, snapshot: Snapshot) -> None:
    counts: list[tuple[int, int]] = []
    path = located_store(shared, on_bytes=lambda done, total: counts.append((done, total)))
    size = snapshot.manifest.size
    assert counts[-1] == (size, size)
    assert counts == sorted(set(counts))
    counts.clear()
    assert located_store(shared, on_bytes=lambda done, total: counts.append((done, total))) == path
    assert counts == []


def test_a_snapshot_of_another_path_is_a_path(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `Path` keeps one slash of two, and a relative folder is the same as its absolute path."""
    monkeypatch.chdir(tmp_path)
    assert located_store("shared") == located_store(shared) == located_store("shared/../shared/")
    monkeypatch.setenv("LUMIBOT_DUCKDB_OFFLINE", "true")
    with pytest.raises(PublishedSnapshotError, match="s3://bucket/bars was not downloaded"):
        DuckDBDataStorage(Path("s3://bucket/bars"))
    assert not (tmp_path / "s3:").exists()
