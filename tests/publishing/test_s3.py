"""Snapshots on an S3 server: published, opened on another machine, and what a server or network may do."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.errors import PublishedSnapshotError, ReplicaError, SnapshotGoneError
from lumibot_duckdb.storage.published import download, s3
from lumibot_duckdb.storage.published.manifest import MANIFEST
from lumibot_duckdb.storage.published.targets import objects_at
from publishing.conftest import ACCESS_KEY, SECRET_KEY, Snapshot, bars
from publishing.fault_proxy import Fault, FaultProxy


def downloads(cache: Path) -> list[str]:
    """Return what is in the cache besides manifests: complete snapshots, and partial downloads."""
    return sorted(path.name for path in cache.rglob("*") if path.suffix in (".duckdb", ".part"))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(download, "_LONGEST_PAUSE", 0.0)


def test_a_snapshot_is_the_store(storage: DuckDBDataStorage, target: str, proxy: FaultProxy) -> None:
    report = storage.publish(target)
    opened = DuckDBDataStorage(target)
    assert (report.series, report.rows) == (2, 26_000)
    assert opened.published_as_of == report.as_of
    assert [info.key for info in opened.list_series()] == [info.key for info in storage.list_series()]
    for symbol in ("AAPL", "BTC/USD"):
        assert opened.coverage(symbol) == storage.coverage(symbol)
        pd.testing.assert_frame_equal(opened.to_pandas(symbol), storage.to_pandas(symbol))
    assert opened.verify().findings == []
    with pytest.raises(ReplicaError, match=r"snapshot that was published to s3://.*LUMIBOT_DUCKDB_OVERLAY"):
        opened.store_ohlcv_data("AAPL", bars(5), "mine", "minute")
    reads = len(proxy.reads("snapshot-"))
    DuckDBDataStorage(target)
    assert len(proxy.reads("snapshot-")) == reads  # neither the manifest nor the data


def test_an_upload_in_parts(
    storage: DuckDBDataStorage, target: str, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lumibot_duckdb.storage.published.s3._PART", 5 * 2**20)
    content = Path(storage.path).with_name("large")
    content.write_bytes(bytes(range(256)) * (12 * 2**20 // 256))
    counts: list[tuple[int, int]] = []
    objects_at(target).put_file("large", content, lambda done, total: counts.append((done, total)))
    size = content.stat().st_size
    assert counts[-1] == (size, size)
    assert sum("partNumber" in path for _, path, _ in proxy.requests) == 3
    with objects_at(target).read("large", 1, None) as body:
        assert b"".join(body.blocks) == content.read_bytes()[1:]


def test_the_data_is_uploaded_before_the_manifest(storage: DuckDBDataStorage, target: str, proxy: FaultProxy) -> None:
    first = storage.publish(target)
    opened = DuckDBDataStorage(target)
    proxy.fault = lambda method, path: Fault(403, "AccessDenied") if method == "PUT" and MANIFEST in path else None
    storage.store_ohlcv_data("AAPL", bars(20_000), "mine", "minute")
    with pytest.raises(PublishedSnapshotError, match=r"cannot write .*AccessDenied.*PutObject"):
        storage.publish(target)
    names = [each.name for each in objects_at(target).objects("snapshot-")]
    assert len(names) == 2
    assert first.data in names
    assert len(opened.to_pandas("AAPL")) == 15_000
    assert f'"data": "{first.data}"'.encode() in objects_at(target).get(MANIFEST, 10_000)


def test_503_is_retried(snapshot: Snapshot, target: str, proxy: FaultProxy) -> None:
    failures = iter(range(2))
    proxy.fault = lambda method, path: Fault(503) if next(failures, None) is not None else None
    snapshot.put(target)
    assert len(DuckDBDataStorage(target).list_series()) == 2
    assert next(failures, None) is None


def test_a_truncated_body_is_continued(snapshot: Snapshot, target: str, proxy: FaultProxy, cache: Path) -> None:
    manifest = snapshot.put(target)
    proxy.fault = lambda method, path: Fault(cut_after=200_000) if manifest.data in path else None
    opened = DuckDBDataStorage(target)
    assert opened.verify().findings == []
    ranges = [int(re.findall(r"bytes=(\d+)-", wanted)[0]) for _, wanted in proxy.reads(manifest.data)]
    assert ranges[0] == 0
    assert len(ranges) > 3
    assert ranges == sorted(set(ranges))  # no byte was requested twice from the start
    assert downloads(cache) == ["lumibot.duckdb"]


def test_a_connection_that_breaks_again_and_again(
    snapshot: Snapshot, target: str, proxy: FaultProxy, cache: Path
) -> None:
    manifest = snapshot.put(target)
    failing = {"after": 1}

    def fault(method: str, path: str) -> Fault | None:
        if manifest.data not in path:
            return None
        failing["after"] -= 1
        return Fault(cut_after=400_000) if failing["after"] >= 0 else Fault(cut_after=0)

    proxy.fault = fault
    with pytest.raises(PublishedSnapshotError, match=r"cannot be downloaded: .* after [\d,]+ of .*continues there"):
        DuckDBDataStorage(target)
    (part,) = cache.rglob("*.part")
    arrived = part.stat().st_size
    assert 0 < arrived <= 400_000
    proxy.fault = lambda method, path: None
    proxy.requests.clear()
    assert len(DuckDBDataStorage(target).to_pandas("AAPL")) == 15_000
    assert [wanted for _, wanted in proxy.reads(manifest.data)] == [f"bytes={arrived}-"]
    assert downloads(cache) == ["lumibot.duckdb"]


def test_connections_that_are_reset(snapshot: Snapshot, target: str, proxy: FaultProxy, cache: Path) -> None:
    """Before the manifest, before the data, and in the middle of it."""
    manifest = snapshot.put(target)
    faults = {
        MANIFEST: [Fault(reset=True)],
        manifest.data: [Fault(reset=True), *3 * [Fault(cut_after=200_000, reset=True)]],
    }

    def fault(method: str, path: str) -> Fault | None:
        waiting = faults[MANIFEST if MANIFEST in path else manifest.data]
        return waiting.pop(0) if waiting else None

    proxy.fault = fault
    assert DuckDBDataStorage(target).verify().findings == []
    assert faults == {MANIFEST: [], manifest.data: []}
    assert downloads(cache) == ["lumibot.duckdb"]


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (
            Fault(400, "ExpiredToken", ACCESS_KEY),
            r"ExpiredToken \(HTTP status 400\); the credentials have expired: renew",
        ),
        (Fault(403, "AccessDenied"), r"AccessDenied .*check the credentials"),
        (Fault(503), r"SlowDown \(HTTP status 503\); the server is overloaded: try again later"),
        (Fault(500, "InternalError"), r"InternalError \(HTTP status 500\); try again later"),
    ],
)
def test_a_refusal_in_the_middle_of_a_download_keeps_what_has_arrived(
    snapshot: Snapshot,
    target: str,
    proxy: FaultProxy,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    refusal: Fault,
    message: str,
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    manifest = snapshot.put(target)
    faults = iter([Fault(cut_after=300_000)])
    proxy.fault = lambda method, path: next(faults, refusal) if manifest.data in path else None
    with pytest.raises(PublishedSnapshotError, match=message) as caught:
        DuckDBDataStorage(target)
    assert ACCESS_KEY not in str(caught.value)
    (part,) = cache.rglob("*.part")
    arrived = part.stat().st_size
    assert arrived > 0
    proxy.fault = lambda method, path: None
    proxy.requests.clear()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "RENEWED")
    assert len(DuckDBDataStorage(target).to_pandas("AAPL")) == 15_000
    assert [wanted for _, wanted in proxy.reads(manifest.data)] == [f"bytes={arrived}-"]


def test_an_object_that_was_changed_between_two_downloads(
    snapshot: Snapshot, target: str, proxy: FaultProxy, cache: Path
) -> None:
    """What had arrived of the old one is not mixed with the new one, and never opened."""
    manifest = snapshot.put(target)
    proxy.fault = lambda method, path: (
        Fault(cut_after=0) if proxy.reads(manifest.data)[1:] else Fault(cut_after=300_000)
    )
    with pytest.raises(PublishedSnapshotError, match="continues there"):
        DuckDBDataStorage(target)
    proxy.fault = lambda method, path: None
    changed = bytearray(snapshot.data)
    changed[-1] ^= 1
    objects_at(target).put(manifest.data, bytes(changed))
    with pytest.raises(PublishedSnapshotError, match="is not what was published: its SHA-256 differs"):
        DuckDBDataStorage(target)
    assert downloads(cache) == []
    objects_at(target).put(manifest.data, snapshot.data)
    assert DuckDBDataStorage(target).verify().findings == []


def test_changed_bytes_are_refused(snapshot: Snapshot, target: str, proxy: FaultProxy, cache: Path) -> None:
    manifest = snapshot.put(target)
    proxy.fault = lambda method, path: Fault(change_byte=70_000) if manifest.data in path else None
    with pytest.raises(PublishedSnapshotError, match=r"is not what was published: its SHA-256 differs"):
        DuckDBDataStorage(target)
    assert downloads(cache) == []


def test_a_damaged_partial_download_begins_anew(
    snapshot: Snapshot, target: str, cache: Path, proxy: FaultProxy
) -> None:
    manifest = snapshot.put(target)
    (cache / "partial").mkdir(parents=True)
    (cache / "partial" / f"{manifest.sha256}.part").write_bytes(b"\0" * 5_000)
    assert len(DuckDBDataStorage(target).list_series()) == 2
    assert [wanted for _, wanted in proxy.reads(manifest.data)] == ["bytes=5000-", "bytes=0-"]


def test_an_object_that_is_changed_during_the_download(
    snapshot: Snapshot, target: str, proxy: FaultProxy, cache: Path
) -> None:
    manifest = snapshot.put(target)

    reads: list[str] = []

    def fault(method: str, path: str) -> Fault | None:
        if method != "GET" or manifest.data not in path:
            return None
        reads.append(path)
        if len(reads) == 2:
            objects_at(target).put(manifest.data, b"something else" * 100_000)
        return Fault(cut_after=200_000)

    proxy.fault = fault
    with pytest.raises(PublishedSnapshotError, match=r"PreconditionFailed.*changed while it was read"):
        DuckDBDataStorage(target)
    assert [name for name in downloads(cache) if name.endswith(".duckdb")] == []


def test_data_that_is_removed_during_the_download(storage: DuckDBDataStorage, target: str, proxy: FaultProxy) -> None:
    old = storage.publish(target)
    storage.store_ohlcv_data("MSFT", bars(100), "mine", "minute")

    def replace(method: str, path: str) -> Fault | None:
        if method == "GET" and old.data in path:
            proxy.fault = lambda method, path: None
            storage.publish(target)
            objects_at(target).delete(old.data)
        return None

    proxy.fault = replace
    assert len(DuckDBDataStorage(target).list_series()) == 3


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(403, "AccessDenied"), r"AccessDenied \(HTTP status 403\); check the credentials .*GetObject"),
        (Fault(403, "InvalidAccessKeyId", ACCESS_KEY + SECRET_KEY), r"InvalidAccessKeyId .*check the credentials"),
        (Fault(503), r"SlowDown \(HTTP status 503\); the server is overloaded: try again later"),
        (Fault(404, "NoSuchBucket"), r"NoSuchBucket .*create the bucket, or correct its name"),
        (Fault(418, "<b>"), r"unknown error|HTTP status 418"),
    ],
)
def test_refusals(
    target: str,
    proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
    message: str,
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    caplog.set_level(logging.INFO)
    proxy.fault = lambda method, path: fault
    with pytest.raises(PublishedSnapshotError, match=message) as caught:
        DuckDBDataStorage(target)
    shown = f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"
    assert ACCESS_KEY not in shown
    assert SECRET_KEY not in shown
    assert "127.0.0.1" in str(caught.value)


def test_a_place_without_a_snapshot(target: str, storage: DuckDBDataStorage) -> None:
    with pytest.raises(SnapshotGoneError, match=r"publish a snapshot there first, or correct the URL"):
        DuckDBDataStorage(target)
    with pytest.raises(PublishedSnapshotError, match=r"NoSuchBucket .*create the bucket"):
        storage.publish("s3://no-such-bucket/bars")


def test_no_credentials(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(PublishedSnapshotError, match=r"there are no credentials; check the credentials that boto3"):
        DuckDBDataStorage(target)


def test_unusable_settings_of_boto3(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "not a url")
    with pytest.raises(PublishedSnapshotError, match=r"AWS_ENDPOINT_URL_S3"):
        DuckDBDataStorage(target)
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(PublishedSnapshotError, match=r"check AWS_PROFILE"):
        DuckDBDataStorage(target)


def test_no_server(target: str, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    snapshot.put(target)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{SECRET_KEY}:{ACCESS_KEY}@127.0.0.1:9")
    with pytest.raises(PublishedSnapshotError, match=r"127.0.0.1 does not answer .*LUMIBOT_DUCKDB_OFFLINE") as caught:
        DuckDBDataStorage(target)
    assert SECRET_KEY not in str(caught.value)
    assert ACCESS_KEY not in str(caught.value)


def test_offline(target: str, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, proxy: FaultProxy) -> None:
    snapshot.put(target)
    monkeypatch.setenv("LUMIBOT_DUCKDB_OFFLINE", "true")
    with pytest.raises(PublishedSnapshotError, match=r"was not downloaded to this machine yet"):
        DuckDBDataStorage(target)
    monkeypatch.setenv("LUMIBOT_DUCKDB_OFFLINE", "false")
    path = DuckDBDataStorage(target).path
    monkeypatch.setenv("LUMIBOT_DUCKDB_OFFLINE", "true")
    proxy.requests.clear()
    assert DuckDBDataStorage(target).path == path
    assert proxy.requests == []


def test_a_server_that_stops_in_the_middle(
    target: str, snapshot: Snapshot, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_READ_SECONDS", 0.3)
    manifest = snapshot.put(target)
    faults = iter([Fault(cut_after=200_000, stall=1.0), Fault(pause=1.0)])
    proxy.fault = lambda method, path: next(faults, None) if manifest.data in path else None
    assert len(DuckDBDataStorage(target).list_series()) == 2
    wanted = [int(each.removeprefix("bytes=").removesuffix("-")) for _, each in proxy.reads(manifest.data)]
    assert wanted[0] == 0
    assert len(wanted) == 3
    assert wanted[1] == wanted[2] > 0


def test_an_upload_that_fails(
    target: str, storage: DuckDBDataStorage, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    proxy.fault = lambda method, path: Fault(503) if method == "PUT" else None
    with pytest.raises(PublishedSnapshotError, match=r"cannot write .*SlowDown \(HTTP status 503\); .*try again later"):
        storage.publish(target)
    proxy.fault = lambda method, path: None
    assert objects_at(target).objects("") == []
    assert [path.name for path in storage.path.parent.iterdir() if "copying" in path.name] == []


def test_a_slow_server(target: str, snapshot: Snapshot, proxy: FaultProxy) -> None:
    snapshot.put(target)
    proxy.fault = lambda method, path: Fault(pause=0.2)
    assert len(DuckDBDataStorage(target).list_series()) == 2
