"""A store to publish, a cache of its own for each test, and an S3 server on a loopback port with a proxy before it."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.published import s3
from lumibot_duckdb.storage.published.manifest import MANIFEST, Manifest, data_name, read_manifest
from lumibot_duckdb.storage.published.targets import objects_at
from publishing.fault_proxy import FaultProxy, fault_proxy

ACCESS_KEY, SECRET_KEY = "AKIAEXAMPLEOFATEST", "a-secret-key-of-a-test"
_buckets = itertools.count(1)


def bars(rows: int, first: str = "2024-01-02 09:30") -> pd.DataFrame:
    """Return bars with random prices, a minute apart."""
    times = pd.date_range(first, periods=rows, freq="min", tz="America/New_York")
    closes = 100 + np.random.default_rng(rows).normal(size=rows).cumsum()
    return pd.DataFrame({"open": closes, "close": closes + 0.5, "volume": np.arange(rows)}, times)


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that was published once: its data and its manifest."""

    data: bytes
    manifest: Manifest

    def other(self, number: int) -> Snapshot:
        """Return a snapshot with the same bars in another file, as a later publication of the store has."""
        data = self.data + bytes(4_096 * number)  # DuckDB reads none of these
        digest = hashlib.sha256(data).hexdigest()
        name = data_name(self.manifest.as_of, digest, f"{number:08x}")
        return Snapshot(data, replace(self.manifest, data=name, sha256=digest, size=len(data)))

    def put(self, target: str, **changes: Any) -> Manifest:
        """Publish it somewhere else, with some fields of the manifest changed."""
        manifest = replace(self.manifest, **changes)
        objects = objects_at(target)
        objects.put(manifest.data, self.data)
        objects.put(MANIFEST, manifest.to_json())
        return manifest


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a store with two series, which no test changes."""
    path = tmp_path_factory.mktemp("original") / "original.duckdb"
    with DuckDBDataStorage(path) as storage:
        storage.store_ohlcv_data("AAPL", bars(15_000), "mine", "minute")
        storage.store_ohlcv_data("BTC/USD", bars(11_000), "mine", "minute")
    return path


@pytest.fixture(scope="session")
def snapshot(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """A snapshot of that store."""
    folder = tmp_path_factory.mktemp("published")
    with DuckDBDataStorage(original) as storage:
        report = storage.publish(folder)
    manifest = read_manifest((folder / MANIFEST).read_bytes(), str(folder), 10**6)
    return Snapshot((folder / report.data).read_bytes(), manifest)


@pytest.fixture
def storage(tmp_path: Path, original: Path) -> Iterator[DuckDBDataStorage]:
    """A store with two series."""
    with DuckDBDataStorage(shutil.copy(original, tmp_path / "original.duckdb")) as storage:
        yield storage


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of downloaded snapshots."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("LUMIBOT_DUCKDB_SNAPSHOT_CACHE", str(folder))
    for variable in ("LUMIBOT_DUCKDB_SNAPSHOT_CACHE_SIZE", "LUMIBOT_DUCKDB_OFFLINE", "LUMIBOT_DUCKDB_OVERLAY"):
        monkeypatch.delenv(variable, raising=False)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _service_descriptions_kept() -> Iterator[None]:
    """Let all clients share what boto3 reads of its descriptions of services, which takes a while for each."""
    import botocore.session
    from botocore.loaders import create_loader

    loader = create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", lambda *args: loader)
        yield


@pytest.fixture(scope="session")
def moto_port() -> Iterator[int]:
    """The port of an S3 server of moto."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def proxy(moto_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FaultProxy]:
    """The proxy before the S3 server, which the environment names."""
    with fault_proxy("127.0.0.1", moto_port) as proxy:
        use_server(monkeypatch, proxy.url, tmp_path)
        yield proxy


def use_server(monkeypatch: pytest.MonkeyPatch, url: str, folder: Path) -> None:
    """Let boto3 use a server, with credentials, and nothing else that is on this machine."""
    for name, value in {
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(folder / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-credentials"),
        "AWS_MAX_ATTEMPTS": "3",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_RETRY_MODE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def target(proxy: FaultProxy) -> str:
    """The URL of a place in a bucket of its own."""
    bucket = f"bucket-{next(_buckets)}"
    s3.S3Objects(bucket, "")._client.create_bucket(Bucket=bucket)
    proxy.requests.clear()
    return f"s3://{bucket}/team/bars"
