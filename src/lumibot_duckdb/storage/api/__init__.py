"""The interface of the storage: what the rest of the package may use of a store, and the values it deals in.

`DataStorageInterface` combines five small interfaces. Code that only reads bars can take a `BarReader`, and so on.
"""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api.bar_reader import BarReader
from lumibot_duckdb.storage.api.bar_writer import BarWriter
from lumibot_duckdb.storage.api.labels import AssetLabels
from lumibot_duckdb.storage.api.migrated_files import MigratedFiles
from lumibot_duckdb.storage.api.reference_data import ReferenceData
from lumibot_duckdb.storage.api.types import (
    ArrowTable,
    AsOf,
    AssetKey,
    AssetLike,
    BarArrays,
    BarFrame,
    BatchOutcome,
    BatchWrite,
    ColumnSpec,
    CorporateAction,
    IngestInfo,
    KnownActions,
    LabelChange,
    LabelReport,
    LumibotAsset,
    OnBytes,
    OnRows,
    OptionChain,
    ProvisionalRange,
    SeriesFacts,
    SeriesInfo,
    SeriesKey,
    SeriesPin,
    Snapshot,
    StorageUse,
    StoreStatistics,
    TimeRange,
    WriteResult,
)
from lumibot_duckdb.storage.api.upkeep import Upkeep
from lumibot_duckdb.storage.times import EpochSeconds

if TYPE_CHECKING:
    from lumibot_duckdb.storage.counters import Counters

__all__ = [
    "ArrowTable",
    "AsOf",
    "AssetKey",
    "AssetLabels",
    "AssetLike",
    "BarArrays",
    "BarFrame",
    "BarReader",
    "BarWriter",
    "BatchOutcome",
    "BatchWrite",
    "ColumnSpec",
    "CorporateAction",
    "DataStorageInterface",
    "EpochSeconds",
    "IngestInfo",
    "KnownActions",
    "LabelChange",
    "LabelReport",
    "LumibotAsset",
    "MigratedFiles",
    "OnBytes",
    "OnRows",
    "OptionChain",
    "ProvisionalRange",
    "ReferenceData",
    "SeriesFacts",
    "SeriesInfo",
    "SeriesKey",
    "SeriesPin",
    "Snapshot",
    "StorageUse",
    "StoreStatistics",
    "TimeRange",
    "Upkeep",
    "WriteResult",
]


class DataStorageInterface(BarReader, BarWriter, ReferenceData, AssetLabels, Upkeep):
    """A store of bars and reference data, for any number of threads and processes."""

    @property
    def published_as_of(self) -> datetime | None:
        """The moment (UTC) whose bars a published snapshot has, which is only read; None for every other store."""
        return None

    @property
    @abstractmethod
    def counters(self) -> Counters:
        """Counts of what this process does with the storage; sources add their downloads."""

    @property
    @abstractmethod
    def migrated_files(self) -> MigratedFiles:
        """The record of migrated files of old caches, for `migrate`."""
