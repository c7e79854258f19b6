"""The interface for publishing a store."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api import AsOf, OnBytes, OnRows, SeriesKey

if TYPE_CHECKING:
    from lumibot_duckdb.publishing.publication import PublishReport


class Publishing(ABC):
    """Publishes snapshots of the store, which other machines open."""

    @abstractmethod
    def publish(
        self,
        target: str | os.PathLike[str],
        series: Collection[SeriesKey] | None = None,
        *,
        as_of: AsOf | None = None,
        keep: int | None = None,
        on_rows: OnRows | None = None,
        on_bytes: OnBytes | None = None,
    ) -> PublishReport:
        """Publish a compact, read-only copy of the store, or of some series, to S3 or a folder.

        `DuckDBDataStorage(target)` opens it, on any machine. The copy is the store at one moment; other processes read
        and write meanwhile, and writes wait only at the end. It has one version of each series, with coverage, splits,
        option chains and labels of its assets, and your own tables, views and macros. It does not have the named
        snapshots and the settings of the store, and the paths of migrated files.

        Args:
            target: `s3://bucket/prefix` or a folder. Credentials for S3 come from boto3's usual chain, and the server
                from `AWS_ENDPOINT_URL_S3`, if it is not Amazon's.
            series: The series to publish, from a listing. Default: all.
            as_of: Publish the bars as of a moment (a datetime, or text in New York time) or of a snapshot's name.
                Splits, option chains and labels have no versions; the present ones are published.
            keep: Remove all but so many of the newest data objects at `target`, except those that were superseded less
                than a day ago. Default: remove none.
            on_rows: Called with the number of bars copied so far and the number of all bars.
            on_bytes: Called with the number of bytes uploaded so far and the number of all bytes.

        Raises:
            ValueError: `target`, `as_of` or `keep` is unusable.
            StoreNotFoundError: There is no store yet.
            SeriesNotFoundError: There is no such series.
            VersionGoneError: The store no longer has the versions of `as_of`.
            ReplicaError: The store is itself a replica or a published snapshot.
            PublishedSnapshotError: The target cannot be reached, or refuses the request. Readers see what was
                published before.
            StoreWriteError: The disk is full or failed. The copy is written beside the store before it is uploaded.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02", periods=3, tz="America/New_York")
            >>> _ = storage.store_ohlcv_data("AAPL", pd.DataFrame({"close": [1.0, 2.0, 3.0]}, times), "my_csv", "day")
            >>> report = storage.publish("shared/bars", [info.key for info in storage.list_series("AAPL")])
            >>> report.series, report.rows
            (1, 3)
            >>> DuckDBDataStorage("shared/bars").get_historical_prices("AAPL", timeframe="day")["close"].tolist()
            [1.0, 2.0, 3.0]
        """
