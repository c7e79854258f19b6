"""How panels are made of stored bars."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from lumibot_duckdb.storage.api import AsOf, AssetLike

if TYPE_CHECKING:
    from lumibot_duckdb.panels.targets import Target


class Panels(ABC):
    """Makes panels."""

    @abstractmethod
    def panel(
        self,
        symbols: AssetLike | Iterable[AssetLike],
        features: str | Iterable[str],
        timeframe: str = "day",
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        *,
        targets: Target | Iterable[Target] = (),
        source: str | None = None,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
        join: Literal["outer", "inner"] = "outer",
        zone: str = "America/New_York",
        dtype: Literal["float64", "float32"] = "float64",
        format: Literal["pandas", "polars", "arrow", "reader", "numpy", "torch"] = "pandas",
    ) -> Any:
        """Return features and targets of assets: a row for each asset and bar.

        A feature depends on its bar and earlier ones, so it is known when its bar ends. A target depends on later bars;
        a column tells when it is known. Neither uses anything that was not known at `end`.

        Args:
            symbols: One asset, or a list of assets. A tuple is a (base, quote) pair.
            features: Indicators as for `indicators`, such as "rsi(14)"; "return(n)" and "log_return(n)", the return
                over the last n bars; and columns of the bars, such as "close" and "volume", or one of your own. A name
                that is both is the indicator. A missing open, high or low counts as the close.
            timeframe: The length of the bars. Those that are not stored are made of smaller ones.
            start: The first bar start to return (default: from the first bar). Naive times are New York's. Bars before
                are read as far as features need them.
            end: The panel is as of this moment: it has the bars that ended by then, and the targets that were known.
                Bars of days and longer end after so many calendar days, bars that begin at midnight in UTC at its
                midnight. Default: all stored bars.
            targets: What is predicted: `ForwardReturn` and `TripleBarrier` objects of `lumibot_duckdb.panels`.
            source: The source; not needed if only one source has such bars.
            adjustment: The adjustment; not needed if there is only one.
            as_of: Read the series as they were at that moment (tz-aware), or in the snapshot of that name (default:
                now), so that bars that were restated later do not change the panel.
            join: "outer" for all bars of each asset, "inner" for those whose time all assets have. Features are
                computed before, from all bars of the asset. Bars of days and longer are joined by date, as in `closes`.
            zone: The time zone whose days count for indicators of a day, and for larger bars.
            dtype: The type of the numbers, in all formats.
            format: "pandas", "polars", "arrow" (a table), or "reader": a `pyarrow.RecordBatchReader` that computes one
                asset after another while it is read, for panels that do not fit into memory; "numpy" or "torch".

        Returns:
            As pandas, polars, Arrow and reader, a long table: `asset_symbol`; `timestamp`, the start of the bar; a
            column for each feature, named as by `indicators`; and two for each target, `forward_return_5` and
            `forward_return_5_known_at`. The rows of an asset are together, in the order of `symbols` and of time. Times
            are New York's in pandas, and UTC elsewhere. Missing values are NaN and NaT in pandas, and null elsewhere.

            As "numpy" and "torch", a `PanelArrays`: features in an array or tensor of the shape (time, asset, feature),
            targets likewise, and the labels of the axes. A value is NaN if the asset has no bar at the time. Bars of
            days and longer are stamped at midnight in New York.

        Raises:
            PanelError: An argument is not usable: a target, a join, a format; a feature that is neither an indicator
                nor a column; or the panel has no rows.
            AnalysisError: `start` is not before `end`.
            IndicatorError: An indicator has a wrong parameter; or a series has no closes.
            MissingLibraryError: `format="torch"` without PyTorch, or an indicator without TA-Lib that needs it.
            SeriesNotFoundError: There are no such bars, and none that they can be made of; or there were none yet at
                `as_of`.
            SnapshotNotFoundError: There is no snapshot `as_of`.
            AmbiguousSeriesError: Several series match. The message names them.
            VersionGoneError: A compaction has removed the version of `as_of`.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> from lumibot_duckdb.panels import ForwardReturn
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02", periods=4, tz="America/New_York")
            >>> for symbol, first in (("AAPL", 10.0), ("MSFT", 20.0)):
            ...     bars = pd.DataFrame({"close": [first + step for step in range(4)]}, index=times)
            ...     _ = storage.store_ohlcv_data(symbol, bars, "my_csv", "day")
            >>> both = ["AAPL", "MSFT"]
            >>> panel = storage.panel(both, ["sma(2)", "close"], start="2024-01-04", targets=ForwardReturn(1))
            >>> panel[["asset_symbol", "timestamp", "sma_2", "forward_return_1"]].round(3)
              asset_symbol                 timestamp  sma_2  forward_return_1
            0         AAPL 2024-01-04 00:00:00-05:00   11.5             0.083
            1         AAPL 2024-01-05 00:00:00-05:00   12.5               NaN
            2         MSFT 2024-01-04 00:00:00-05:00   21.5             0.045
            3         MSFT 2024-01-05 00:00:00-05:00   22.5               NaN
            >>> panel["forward_return_1_known_at"][0]
            Timestamp('2024-01-06 00:00:00-0500', tz='America/New_York')
            >>> storage.panel(both, "close", format="numpy").values.shape
            (4, 2, 1)
        """
