"""Splits of a panel's rows into training and test, without training on what is known only later.

The label of a row spans the time from its bar to the moment at which the target is known. If that overlaps the test,
the model has seen a part of what it is tested on. So such rows are left out of the training (purged). The method is by
M. López de Prado, Advances in Financial Machine Learning (2018), sections 7.4.1 (purging) and 7.4.2 (embargo).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from lumibot_duckdb.analytics.bars import Mask
from lumibot_duckdb.analytics.errors import MissingLibraryError
from lumibot_duckdb.panels.errors import PanelError
from lumibot_duckdb.storage.times import Int64Array

try:
    from sklearn.model_selection import BaseCrossValidator
except ImportError:
    raise MissingLibraryError("splits of panels need scikit-learn: pip install 'lumibot-duckdb[ml]'") from None

if TYPE_CHECKING:
    import pandas as pd

Places: TypeAlias = "np.ndarray[Any, np.dtype[np.intp]]"


@dataclass(frozen=True)
class _Rows:
    """The rows of a panel: their times, and when their targets are known, in nanoseconds; and the different times."""

    times: Int64Array
    known_at: Int64Array
    moments: Int64Array

    def between(self, first: int, end: int) -> Mask:
        """Return which rows have one of the moments from the place `first` on and before `end`."""
        rows: Mask = self.times >= self.moments[first]
        return rows if end >= len(self.moments) else rows & (self.times < self.moments[end])


class _PurgedSplits(BaseCrossValidator):  # type: ignore[misc]  # scikit-learn ships no types
    """What both kinds of splits share. All rows of a time are in the same test."""

    # With metadata routing, scikit-learn passes groups to splitters that request them here.
    __metadata_request__split: ClassVar = {"groups": True}

    n_splits: int

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: N803
        """Return the number of splits. The arguments are ignored."""
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Places, Places]]:  # noqa: N803
        """Yield the places of the rows for training, and of those for the test, for each split in the order of time.

        Args:
            X: The features; only their number of rows counts.
            y: Ignored.
            groups: Two columns with a row for each row of `X`: the time of the bar, and when its target is known, such
                as `panel[["timestamp", "forward_return_5_known_at"]]`. A frame of pandas or polars, an Arrow table, or
                an array of `datetime64`.

        Raises:
            PanelError: There are too few times, or no row is left for training; or `groups` is missing or unusable.
        """
        rows = _rows(X, groups)
        for number, (first, end) in enumerate(self._tests(len(rows.moments))):
            test = rows.between(first, end)
            training = self._training(rows, first, end, test)
            if not training.any():
                raise PanelError(
                    f"{self!r}: no row is left for training in split {number} of {self.n_splits}, since no target is "
                    "known early enough: use fewer splits, more bars, a shorter target or a smaller embargo"
                )
            yield np.flatnonzero(training), np.flatnonzero(test)

    @abstractmethod
    def _tests(self, moments: int) -> Iterator[tuple[int, int]]:
        """Yield the places of the first moment of each test, and of the first one after it."""

    @abstractmethod
    def _training(self, rows: _Rows, first: int, end: int, test: Mask) -> Mask:
        """Return the rows for training of a test."""


class PurgedWalkForward(_PurgedSplits):
    """Walk-forward splits: each test is a period after its training, as a model is used in trading.

    The tests are the last `n_splits` periods of equal length. A row is used for training only if its target is known
    when the first bar of the test begins. It is a scikit-learn cross-validator: pass it as `cv`, and the two columns of
    times as `groups`.

    Args:
        n_splits: The number of tests.
        test_bars: The length of a test in different times of the rows (default: `times // (n_splits + 1)`, as in
            `TimeSeriesSplit`).
        train_bars: Train on the last so many times before the test, a rolling window, less what is purged (default: on
            all, an expanding window).
        embargo: How many times before the test a target must be known.

    Raises:
        PanelError: A parameter is not usable.

    Example:
        >>> import pandas as pd
        >>> days = pd.date_range("2024-01-02", periods=8, tz="America/New_York")
        >>> groups = pd.DataFrame({"timestamp": days, "known_at": days + pd.Timedelta(days=2)})  # a return over one bar
        >>> for training, test in PurgedWalkForward(3).split(groups, groups=groups):
        ...     print(training, test)
        [0] [2 3]
        [0 1 2] [4 5]
        [0 1 2 3 4] [6 7]
        >>> rolling = PurgedWalkForward(2, train_bars=3, embargo=1)
        >>> [training.tolist() for training, _ in rolling.split(groups, groups=groups)]
        [[1], [3]]
    """

    def __init__(
        self, n_splits: int = 5, *, test_bars: int | None = None, train_bars: int | None = None, embargo: int = 0
    ) -> None:
        self.n_splits = _checked("n_splits", n_splits, 1)
        self.test_bars = None if test_bars is None else _checked("test_bars", test_bars, 1)
        self.train_bars = None if train_bars is None else _checked("train_bars", train_bars, 1)
        self.embargo = _checked("embargo", embargo, 0)

    def _tests(self, moments: int) -> Iterator[tuple[int, int]]:
        length = self.test_bars or moments // (self.n_splits + 1)
        begin = moments - self.n_splits * length
        if length < 1 or begin < 1:
            needed = self.n_splits * (self.test_bars or 1) + 1
            raise PanelError(f"{self!r} needs rows of at least {needed} different times, not {moments}")
        return ((first, first + length) for first in range(begin, moments, length))

    def _training(self, rows: _Rows, first: int, end: int, test: Mask) -> Mask:
        earliest = 0 if self.train_bars is None else max(0, first - self.train_bars)
        return rows.between(earliest, first) & _known(rows, first - self.embargo)


class PurgedKFold(_PurgedSplits):
    """Splits into `n_splits` tests that follow each other, with training on the rows before and after the test.

    A row before the test is used for training only if its target is known when the test begins, and a row after it only
    if its bar begins when all targets of the test are known, and the embargo is over: features of later rows still
    reflect the prices of the test. It tests on all rows, but trains on the future, so its scores are for comparing
    models, not for estimating profits. Pass the two columns of times as `groups`.

    Args:
        n_splits: The number of tests.
        embargo: How many times after the test, and after its targets are known, are not used for training.

    Raises:
        PanelError: A parameter is not usable.

    Example:
        >>> import pandas as pd
        >>> days = pd.date_range("2024-01-02", periods=8, tz="America/New_York")
        >>> groups = pd.DataFrame({"timestamp": days, "known_at": days + pd.Timedelta(days=2)})
        >>> for training, test in PurgedKFold(4, embargo=1).split(groups, groups=groups):
        ...     print(training, test)
        [4 5 6 7] [0 1]
        [0 6 7] [2 3]
        [0 1 2] [4 5]
        [0 1 2 3 4] [6 7]
    """

    def __init__(self, n_splits: int = 5, *, embargo: int = 0) -> None:
        self.n_splits = _checked("n_splits", n_splits, 2)
        self.embargo = _checked("embargo", embargo, 0)

    def _tests(self, moments: int) -> Iterator[tuple[int, int]]:
        if moments < self.n_splits:
            raise PanelError(f"{self!r} needs rows of at least {self.n_splits} different times, not {moments}")
        borders = np.linspace(0, moments, self.n_splits + 1).astype(int)
        return zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True)

    def _training(self, rows: _Rows, first: int, end: int, test: Mask) -> Mask:
        before = rows.between(0, first) & _known(rows, first) if first else np.zeros(len(rows.times), bool)
        resumed = max(end, int(rows.moments.searchsorted(rows.known_at[test].max()))) + self.embargo
        after = rows.times >= rows.moments[resumed] if resumed < len(rows.moments) else np.zeros_like(before)
        return before | after


def _known(rows: _Rows, place: int) -> Mask:
    """Return the rows whose target is known at a moment; none if there is no such moment."""
    if place < 0:
        return np.zeros(len(rows.times), bool)
    known: Mask = rows.known_at <= rows.moments[place]
    return known


def _rows(features: Any, groups: Any) -> _Rows:
    """Return the times of the rows. Raises `PanelError` unless each row has both."""
    if groups is None:
        raise PanelError(
            "the splits need the times of the rows: pass groups=panel[['timestamp', '..._known_at']], with the column "
            "of your target"
        )
    times, known_at = _time_columns(groups)
    count = len(times) if features is None else _length(features)
    if len(times) != count:
        raise PanelError(f"groups has {len(times)} rows, and X has {count}")
    if (times.tz is None) != (known_at.tz is None):
        raise PanelError("one column of groups has a time zone and the other has none")
    missing = times.isna() | known_at.isna()
    if missing.any():
        raise PanelError(
            f"{int(missing.sum())} rows of groups have no time or no known target, the first one at place "
            f"{int(missing.argmax())}: leave rows without a target out, with panel.dropna()"
        )
    starts, ends = times.as_unit("ns").asi8, known_at.as_unit("ns").asi8
    if (ends < starts).any():
        place = int((ends < starts).argmax())
        raise PanelError(
            f"the target of the row at place {place} is known before its bar begins: the columns of groups must be the "
            "time of the bar and the time at which the target is known, in this order"
        )
    return _Rows(starts, ends, np.unique(starts))


def _time_columns(groups: Any) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
    import pandas as pd

    table = pd.DataFrame(groups.to_pandas() if hasattr(groups, "to_pandas") else groups)
    if table.shape[1] != 2:
        raise PanelError(f"groups must have two columns, the time and when the target is known, not {table.shape[1]}")
    return _times(table.iloc[:, 0]), _times(table.iloc[:, 1])


def _times(column: pd.Series[Any]) -> pd.DatetimeIndex:
    import pandas as pd

    if column.dtype.kind != "M" and pd.api.types.infer_dtype(column, skipna=True) != "datetime":
        raise PanelError(f"a column of groups has no times, but values such as {column.iloc[0]!r}")
    index: pd.DatetimeIndex = pd.DatetimeIndex(column)
    return index


def _length(features: Any) -> int:
    shape = getattr(features, "shape", None)
    return int(shape[0]) if shape else len(features)


def _checked(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise PanelError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return int(value)
