"""Recorded answers are read back from disk unchanged, and are small there."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.comparison.answers import (
    Answer,
    AnswersWriter,
    complete,
    frame_answer,
    read_answers,
    read_frame,
    value_answer,
)

CALL = ("2024-01-02T09:30:00-05:00", "get_historical_prices(SPY, 5, minute)", "SPY")


def bars(rows: int, start: str = "2024-01-02 09:30", zone: str | None = "America/New_York") -> pd.DataFrame:
    index = pd.date_range(start, periods=rows, freq="min", tz=zone, name="datetime")
    close = np.cumsum(np.random.default_rng(0).standard_normal(rows)) + 100
    return pd.DataFrame({"close": close, "volume": np.arange(rows)}, index=index)


def written(path: Path, *answers: Answer) -> list[Answer]:
    writer = AnswersWriter(path)
    for answer in answers:
        writer.write(answer)
    writer.close()
    return [complete(answer, path) for answer in read_answers(path)]


number = count()


@examples(30)
@given(
    st.lists(st.floats(width=64), min_size=1, max_size=6),
    st.sampled_from(["float64", "float32", "object", "Int64", "str", "datetime64[ns, UTC]"]),
    st.sampled_from([None, "UTC", "America/New_York", "Asia/Kolkata"]),
    st.sampled_from(["ns", "us", "s"]),
)
def test_a_frame_comes_back(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], dtype: str, zone: str | None, unit: str
) -> None:
    frame = bars(len(values), zone=zone)
    frame.index = frame.index.as_unit(unit)  # type: ignore[attr-defined]
    frame["close"] = values
    frame["other"] = pd.Series(range(len(values)), index=frame.index).astype(dtype)  # type: ignore[call-overload]
    path = tmp_path_factory.getbasetemp() / f"answers {next(number)}.zst"
    (answer,) = written(path, frame_answer(*CALL, frame))
    assert (answer.when, answer.call, answer.asset) == CALL
    read = read_frame(answer)
    assert [read.bar(row) for row in range(len(frame))] == [str(stamp) for stamp in frame.index]
    assert read.columns["close"].tobytes() == frame["close"].to_numpy().tobytes()
    assert read.columns["volume"].tolist() == frame["volume"].tolist()
    assert read.dtypes["other"] == str(frame["other"].dtype)
    others = frame["other"].to_numpy()
    expected = [repr(value) for value in others.tolist()] if others.dtype == object else others.tolist()
    assert read.columns["other"].tolist() == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.assign(close=np.nextafter(frame["close"], 1e9)),
        lambda frame: frame.assign(volume=frame["volume"].astype(float)),
        lambda frame: frame.tz_convert("UTC"),
        lambda frame: frame[["volume", "close"]],
        lambda frame: frame.iloc[1:],
        lambda frame: frame.rename_axis("time"),
        lambda frame: frame.set_axis(pd.DatetimeIndex(frame.index, freq=None), axis=0),
    ],
    ids=["the last bit", "a dtype", "the zone", "the order of columns", "a bar less", "a name", "the frequency"],
)
def test_nothing_of_a_frame_is_too_small_to_count(change: Any, tmp_path: Path) -> None:
    frame = bars(5)
    same, same_again, other = written(
        tmp_path / "answers.zst", *(frame_answer(*CALL, each) for each in (frame, frame.copy(), change(frame)))
    )
    assert same == same_again
    assert same != other


def test_a_long_frame_that_moves_on_is_written_once(tmp_path: Path) -> None:
    whole = bars(60_000)
    frames = [whole.iloc[: 50_000 + 60 * step] for step in range(40)]
    path = tmp_path / "answers.zst"
    read = written(path, *(frame_answer(*CALL, frame) for frame in frames))
    assert path.stat().st_size < 3 * whole.memory_usage().sum()
    for answer, frame in zip(read, frames, strict=True):
        if len(frame) in (50_000, len(frames[-1])):
            assert read_frame(answer).columns["close"].tolist() == frame["close"].tolist()


def test_a_long_part_is_equal_wherever_it_was_written_first(tmp_path: Path) -> None:
    answer = frame_answer(*CALL, bars(10_000))
    once, twice = tmp_path / "once.zst", tmp_path / "twice.zst"
    written(once, answer)
    written(twice, answer, answer)
    assert [*read_answers(once)] * 2 == [*read_answers(twice)]


@pytest.mark.parametrize("size", [16_383, 16_384, 16_385])
def test_a_part_about_as_long_as_a_long_one_comes_back(size: int, tmp_path: Path) -> None:
    answer = value_answer(*CALL, "x" * size)
    assert [each.text for each in written(tmp_path / "answers.zst", answer, answer)] == [answer.text] * 2


def test_a_frame_without_times_comes_back(tmp_path: Path) -> None:
    frame = bars(5_000).reset_index(drop=True)
    (answer,) = written(tmp_path / "answers.zst", frame_answer(*CALL, frame))
    read = read_frame(answer)
    assert read.columns["close"].tolist() == frame["close"].tolist()
    assert (read.bar(0), read.bar(4_999)) == ("0", "4999")


def test_names_of_columns_and_levels_are_compared_with_their_types() -> None:
    frame = pd.DataFrame({"1": [1.0]})
    assert frame_answer(*CALL, frame) != frame_answer(*CALL, frame.set_axis([1], axis=1))
    times = [frame_answer(*CALL, frame.set_axis([pd.Timestamp(day)], axis=1)) for day in ("2024-01-02", "2024-01-03")]
    assert times[0] != times[1]
    one, other = (
        pd.DataFrame({"close": [1.0]}, pd.MultiIndex.from_tuples([("SPY", 1)], names=["symbol", name]))
        for name in ("bar", "row")
    )
    assert frame_answer(*CALL, one) != frame_answer(*CALL, other)


def test_categories_are_part_of_a_dtype() -> None:
    one, other = (pd.DataFrame({"side": pd.Categorical(["buy"], ["buy", more])}) for more in ("sell", "hold"))
    assert frame_answer(*CALL, one) != frame_answer(*CALL, other)


def test_parts_are_the_same_wherever_a_frame_starts() -> None:
    whole = bars(10_000)
    one, other = (set(frame_answer(*CALL, frame).parts) for frame in (whole, whole.iloc[3_000:]))
    assert len(one & other) >= 4


def test_other_answers_are_texts(tmp_path: Path) -> None:
    (answer,) = written(tmp_path / "answers.zst", value_answer(*CALL, "quote {ask: 1.5, bid: 1.25}"))
    assert not answer.is_frame
    assert answer.text == "quote {ask: 1.5, bid: 1.25}"


@pytest.mark.parametrize(("rows", "parts"), [(4_096, 1), (4_097, 2)])
def test_only_long_frames_with_times_are_cut(rows: int, parts: int) -> None:
    frame = bars(rows)
    assert (len(frame_answer(*CALL, frame).parts) > 1) == (parts > 1)
    assert len(frame_answer(*CALL, frame.set_axis([f"row {number}" for number in range(rows)])).parts) == 1
