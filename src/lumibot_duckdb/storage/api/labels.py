"""Labels of assets, by which they are chosen and grouped: a sector, the indexes that have them, any tag."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from lumibot_duckdb.storage.api.types import AssetKey, AssetLike, LabelReport

if TYPE_CHECKING:
    import pandas as pd

LabelValue: TypeAlias = "str | int | float | Iterable[str | int | float]"
"""A value, or all values of a label. Numbers are stored as texts."""


class AssetLabels(ABC):
    """Stores labels of assets, and returns them.

    A label has a name and one value or several: "sector" is "Technology", and "index" both "S&P 500" and "Nasdaq 100".
    Names are in lower case; values are kept unchanged. An asset keeps its labels if its bars are deleted.

    Labels have no history: old bars and snapshots have the labels of today. So a backtest that chooses assets by the
    present members of an index has survivorship bias.
    """

    @abstractmethod
    def label(
        self,
        symbols: AssetLike | Iterable[AssetLike] | Mapping[Any, Any] | pd.DataFrame,
        name: str | None = None,
        value: LabelValue | None = None,
        *,
        add: bool = False,
        skip_unknown: bool = False,
        dry_run: bool = False,
    ) -> LabelReport:
        """Set labels of assets. Other values of the same names are replaced; other names stay. One transaction.

        Args:
            symbols: One asset or several, for `name` and `value`. Or the labels of many assets: a mapping of assets to
                values of `name`, a mapping of assets to mappings of names to values, or a table (pandas, polars,
                Arrow). A table has a column `symbol` or, as `labels()` returns it, `asset_symbol` with `asset_type` and
                `exchange`, and an index of numbers; else the index has the symbols. Further columns are labels, or
                there are just two, `name` and `value`, with a row for each value. Empty cells are left out, but not all
                may be.
            name: The name of the label, such as "sector". Upper and lower case are the same.
            value: Its value, or a list of all its values.
            add: Keep the values that an asset has, too.
            skip_unknown: Leave out assets that the store does not know, instead of raising an error.
            dry_run: Report what would be changed, and change nothing.

        Returns:
            The labels whose values have changed, and the unknown assets that were skipped.

        Raises:
            SeriesNotFoundError: The store has neither bars nor labels of an asset. The message suggests similar ones.
            AmbiguousSeriesError: A symbol stands for several assets: pass an asset, or a pair.
            InvalidRecordError: A name or a value is unusable.
            StoreNotFoundError: There is no store yet.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> days = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> for symbol in ("AAPL", "MSFT", "XOM"):
            ...     _ = storage.store_ohlcv_data(symbol, pd.DataFrame({"close": 10.0}, index=days), "my_csv", "day")
            >>> _ = storage.label(["AAPL", "MSFT"], "sector", "Technology")
            >>> _ = storage.label({"XOM": {"sector": "Energy", "index": ["S&P 500", "Dow Jones"]}})
            >>> storage.label("XOM", "sector", "Energy and Materials").changes[0].before
            ('Energy',)
            >>> storage.labels()
              asset_symbol asset_type exchange    name                 value
            0         AAPL      stock           sector            Technology
            1         MSFT      stock           sector            Technology
            2          XOM      stock            index             Dow Jones
            3          XOM      stock            index               S&P 500
            4          XOM      stock           sector  Energy and Materials
        """

    @abstractmethod
    def unlabel(
        self,
        symbols: AssetLike | Iterable[AssetLike],
        name: str | None = None,
        value: LabelValue | None = None,
        *,
        dry_run: bool = False,
    ) -> LabelReport:
        """Remove labels of assets. One transaction.

        Args:
            symbols: One asset or several.
            name: The name of the label (default: all names).
            value: The value or values to remove (default: all values of the name).
            dry_run: Report what would be removed, and change nothing.

        Returns:
            The labels that were removed, or have fewer values now. It is no error if there is nothing to remove.

        Raises:
            SeriesNotFoundError: The store has neither bars nor labels of an asset.
            AmbiguousSeriesError: A symbol stands for several assets.
            InvalidRecordError: The name or a value is unusable.
            StoreNotFoundError: There is no store yet.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> days = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> _ = storage.store_ohlcv_data("AAPL", pd.DataFrame({"close": 10.0}, index=days), "my_csv", "day")
            >>> _ = storage.label("AAPL", "index", ["S&P 500", "Nasdaq 100"])
            >>> storage.unlabel("AAPL", "index", "S&P 500").changes[0].after
            ('Nasdaq 100',)
        """

    @abstractmethod
    def labels(self, name: str | None = None) -> pd.DataFrame:
        """Return the labels of all assets, or those of one name.

        Args:
            name: The name of the label (default: all names).

        Returns:
            A row for each value: `asset_symbol`, `asset_type`, `exchange`, `name`, `value`, in this order. It is the
            view `asset_labels`; `label` takes it back.

        Raises:
            LabelNotFoundError: No asset has a label of this name. The message suggests a similar one.
        """

    @abstractmethod
    def labelled(self, name: str, value: str | None = None) -> list[AssetKey]:
        """Return the assets with a label, for methods that take several assets.

        Args:
            name: The name of the label.
            value: Its value, in upper and lower case as it was set (default: any value).

        Returns:
            The assets that have bars, by their symbols.

        Raises:
            LabelNotFoundError: No asset has this label. The message suggests a similar one.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> days = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> for symbol, closes in (("AAPL", [10, 11, 10, 12, 12.6]), ("MSFT", [20, 23, 22, 26, 26])):
            ...     _ = storage.store_ohlcv_data(symbol, pd.DataFrame({"close": closes}, index=days), "my_csv", "day")
            >>> _ = storage.label(["AAPL", "MSFT"], "sector", "Technology")
            >>> storage.closes(storage.labelled("sector", "Technology")).columns.tolist()
            ['AAPL', 'MSFT']
        """
