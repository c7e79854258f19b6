"""Which data of earlier snapshots `--keep` removes."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.publishing.retention import remove_old
from lumibot_duckdb.storage.published.folder import FolderObjects
from lumibot_duckdb.storage.published.manifest import MANIFEST, data_name
from publishing.conftest import Snapshot

HOUR = 3_600


def data_of(folder: Path, snapshot: Snapshot, hours_ago: list[float], current: int = -1) -> list[str]:
    """Make data objects that were published some hours ago, one of them current; return their names, oldest first."""
    names = []
    for number, hours in enumerate(hours_ago):
        moment = datetime.now(timezone.utc) - timedelta(hours=hours)
        names.append(data_name(moment, snapshot.manifest.sha256, f"{number:08x}"))
    snapshot.put(str(folder), data=names[current])
    for name, hours in zip(names, hours_ago, strict=True):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - hours * HOUR,) * 2)
    return names


@pytest.mark.parametrize(
    ("hours_ago", "keep", "removed"),
    [
        ([90, 80, 70, 60], 1, [0, 1, 2]),
        ([90, 80, 70, 60], 3, [0]),
        ([90, 80, 70, 60], 4, []),
        ([90, 80, 70, 60], 6, []),
        ([90, 80, 20, 0], 1, [0]),  # the second was current until 20 hours ago
        ([90, 20, 10, 0], 1, []),  # the first, too
        ([90, 25, 10, 0], 2, [0]),
        ([0], 1, []),
    ],
)
def test_what_was_superseded_a_day_ago_is_removed(
    hours_ago: list[float], keep: int, removed: list[int], tmp_path: Path, snapshot: Snapshot
) -> None:
    names = data_of(tmp_path, snapshot, hours_ago)
    for name in ("snapshot-of-mine.duckdb", "bars.csv"):
        (tmp_path / name).write_text("not ours")
    assert remove_old(FolderObjects(tmp_path), keep) == tuple(names[number] for number in removed)
    left = [name for number, name in enumerate(names) if number not in removed]
    assert {path.name for path in tmp_path.iterdir()} == {*left, MANIFEST, "snapshot-of-mine.duckdb", "bars.csv"}


def test_the_data_of_the_manifest_stays(tmp_path: Path, snapshot: Snapshot) -> None:
    """Of two machines that publish at once, the manifest of the first may be the last."""
    names = data_of(tmp_path, snapshot, [90, 80, 70], current=0)
    assert remove_old(FolderObjects(tmp_path), 1) == (names[1],)


def test_publishing_removes_old_data(storage: DuckDBDataStorage, tmp_path: Path, snapshot: Snapshot) -> None:
    names = data_of(tmp_path / "shared", snapshot, [90, 80])
    assert storage.publish(tmp_path / "shared").removed == ()
    report = storage.publish(tmp_path / "shared", keep=1)
    assert report.removed == (names[0],)  # the other was current until just now
    assert len(DuckDBDataStorage(tmp_path / "shared").list_series()) == 2
