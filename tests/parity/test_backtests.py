"""The digest of a frame tells any two frames apart that Lumibot's record of them does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from parity.backtests import digest_of

INDEX = pd.date_range("2024-03-08 09:30", periods=3, freq="min", tz="America/New_York")


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {"open": [1.0, np.nan, 0.0], "volume": [1, 2, 3], "note": ["a", None, "c"]}, index=INDEX.rename("datetime")
    )


def last_bit(changed: pd.DataFrame) -> pd.DataFrame:
    return changed.assign(open=[np.nextafter(1.0, 2.0), np.nan, 0.0])


@pytest.mark.parametrize(
    "change",
    [
        last_bit,
        lambda same: same.assign(open=[1.0, np.nan, -0.0]),
        lambda same: same.assign(open=[1.0, 0.0, np.nan]),
        lambda same: same.assign(volume=[1.0, 2.0, 3.0]),
        lambda same: same.assign(note=["a", None, "d"]),
        lambda same: same[["volume", "open", "note"]],
        lambda same: same.rename(columns={"open": "close"}),
        lambda same: same.iloc[:2],
        lambda same: same.iloc[::-1],
        lambda same: same.shift(1, "s"),
        lambda same: same.tz_convert("UTC"),
        lambda same: same.rename_axis("timestamp"),
        lambda same: same.set_axis(same.index.as_unit("us")),
        lambda same: None,
    ],
)
def test_a_change_is_another_digest(change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> None:
    assert digest_of(change(frame())) != digest_of(frame())


def test_equal_frames_have_the_same_digest() -> None:
    other_nan = np.array([0x7FF8000000000001], dtype="u8").view("f8")[0]
    assert digest_of(frame().assign(open=[1.0, other_nan, 0.0])) == digest_of(frame()) == digest_of(frame().copy())
    assert digest_of(None) == digest_of(None)
