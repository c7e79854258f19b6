"""Means, variances and covariances of columns with missing values: of all rows, or of windows of rows.

All are those of a sample (divided by n - 1), as in pandas. Values are taken relative to one of their own, so that those
that do not change have a variance of exactly 0, and then relative to their mean, so that nothing cancels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lumibot_duckdb.analytics.bars import FloatArray, Mask
from lumibot_duckdb.storage.times import Int64Array

_AT_ONCE = 4_000_000
"""How many numbers windows are cut into at a time, 32 MB."""

_CANCELLED = 1e-9
"""A variance that is smaller than this part of the squares has lost digits."""


@dataclass(frozen=True)
class Moments:
    """The moments of two variables x and y, as arrays of any shape."""

    mean_x: FloatArray
    mean_y: FloatArray
    variance_x: FloatArray
    variance_y: FloatArray
    covariance: FloatArray

    @property
    def correlation(self) -> FloatArray:
        """The correlation; NaN if x or y does not change."""
        with np.errstate(all="ignore"):
            return _finite(np.clip(self.covariance / (np.sqrt(self.variance_x) * np.sqrt(self.variance_y)), -1, 1))

    @property
    def beta(self) -> FloatArray:
        """The slope of the regression of y on x; NaN if x does not change."""
        with np.errstate(all="ignore"):
            return _finite(self.covariance / self.variance_x)

    @property
    def alpha(self) -> FloatArray:
        """The intercept of that regression."""
        return self.mean_y - self.beta * self.mean_x


def pairwise(table: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return covariances and correlations of all pairs of columns, each over the rows in which both have a value."""
    table = table[np.isfinite(table).any(axis=1)]  # the first row has no returns
    if len(table) < 2:
        nothing = np.full((table.shape[1],) * 2, np.nan)
        return nothing, nothing.copy()
    present = np.isfinite(table)
    centred = _centred(table, present)
    with np.errstate(all="ignore"):
        if present.all():
            covariance = centred.T @ centred / (len(table) - 1)
            variance = np.repeat(np.diag(covariance)[:, None], len(covariance), axis=1)
        else:
            covariance, variance = _with_gaps(table, present, centred)
        deviation = np.sqrt(variance)
        correlation = np.clip(covariance / (deviation * deviation.T), -1, 1)
    changes_at_all = np.diag(variance) > 0
    np.fill_diagonal(correlation, np.where(changes_at_all, 1.0, np.nan))
    return _finite(covariance), _finite(correlation)


def moments(x: FloatArray, y: FloatArray) -> Moments:
    """Return the moments of all rows of two columns without missing values."""
    if len(x) < 2:
        nothing = np.array(np.nan)
        return Moments(nothing, nothing, nothing, nothing, nothing)
    return _of_windows(x[None, :], y[None, :])


def rolling(x: FloatArray, y: FloatArray, n: int) -> Moments:
    """Return the moments of the last n rows of two columns without missing values, from row n - 1 on."""
    pieces = [_of_windows(a, b) for a, b in zip(_windows(x, n), _windows(y, n), strict=True)]
    return Moments(
        *(
            np.concatenate([getattr(piece, name) for piece in pieces]) if pieces else np.empty(0)
            for name in Moments.__dataclass_fields__
        )
    )


def both(x: FloatArray, y: FloatArray) -> Int64Array:
    """Return the places of the rows in which two columns have values."""
    return np.flatnonzero(np.isfinite(x) & np.isfinite(y))


def _centred(table: FloatArray, present: Mask) -> FloatArray:
    """Return each column relative to its mean, and 0 where it has no value."""
    first = table[present.argmax(axis=0), np.arange(table.shape[1])]
    shifted = np.where(present, table - first, 0.0)
    with np.errstate(all="ignore"):
        mean = shifted.sum(axis=0) / present.sum(axis=0)
    return np.where(present, shifted - mean, 0.0)


def _with_gaps(table: FloatArray, present: Mask, centred: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the covariances, and the variance of each column over the rows of each other column."""
    there = present.astype(np.float64)
    count = there.T @ there
    sums = centred.T @ there
    squares = (centred**2).T @ there
    covariance = (centred.T @ centred - sums * sums.T / count) / (count - 1)
    variance = np.maximum(squares - sums**2 / count, 0) / (count - 1)
    # What cancelled is computed again, pair by pair: a column that hardly changes while the other one has values.
    doubtful = (count > 1) & (squares > 0) & (variance * (count - 1) <= _CANCELLED * squares)
    for i, j in np.argwhere(np.triu(doubtful | doubtful.T)):
        rows = both(table[:, i], table[:, j])
        exact = moments(table[rows, i], table[rows, j])
        covariance[i, j] = covariance[j, i] = exact.covariance.item()
        variance[i, j], variance[j, i] = exact.variance_x.item(), exact.variance_y.item()
    return covariance, variance


def _of_windows(x: FloatArray, y: FloatArray) -> Moments:
    shift_x, shift_y = x[:, :1], y[:, :1]
    x, y = x - shift_x, y - shift_y
    mean_x, mean_y = x.mean(axis=1, keepdims=True), y.mean(axis=1, keepdims=True)
    x -= mean_x
    y -= mean_y
    rest = x.shape[1] - 1
    return Moments(
        (shift_x + mean_x)[:, 0],
        (shift_y + mean_y)[:, 0],
        np.einsum("ij,ij->i", x, x) / rest,
        np.einsum("ij,ij->i", y, y) / rest,
        np.einsum("ij,ij->i", x, y) / rest,
    )


def _windows(values: FloatArray, n: int) -> Iterator[FloatArray]:
    if len(values) < n:
        return
    windows = np.lib.stride_tricks.sliding_window_view(values, n)
    step = max(1, _AT_ONCE // n)
    for begin in range(0, len(windows), step):
        yield windows[begin : begin + step]


def _finite(values: FloatArray) -> FloatArray:
    return np.where(np.isfinite(values), values, np.nan)
