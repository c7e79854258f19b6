"""The record of the frames that a strategy received: the files are Lumibot's, byte for byte."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lumibot.backtesting import market_input_evidence
from lumibot.backtesting.market_input_evidence import MarketInputEvidence, record_market_input
from lumibot.entities import Asset

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import PandasDataBacktesting
from lumibot_duckdb.lumibot_contract.frame_record_holder import RecordHolder
from lumibot_duckdb.sources.shared import enhanced_data_source, frame_record
from lumibot_duckdb.sources.shared.frame_record import FrameRecord

START = datetime(2024, 3, 8, 14, 30, tzinfo=timezone.utc)
FILES = ["market_input_manifest.json", "market_input_observations.csv", "market_inputs.csv"]


class LumibotsSource:
    """A source with Lumibot's own record."""


class OurSource(RecordHolder):
    """A source with our record, like those on the store."""

    def improved_record(self, record: Any) -> Any:
        return FrameRecord.take_over(record)


@dataclass(frozen=True)
class Call:
    """A frame that a strategy received."""

    frame: Any
    asset: Any = field(default_factory=lambda: Asset("SPY"))
    minutes: int = 0
    timestep: str = "minute"
    purpose: str = "history"
    quote: Any = None

    def record_in(self, source: Any) -> None:
        record_market_input(
            source=source,
            asset=self.asset,
            timestep=self.timestep,
            when=START + timedelta(minutes=self.minutes),
            frame=self.frame,
            purpose=self.purpose,
            quote=self.quote,
        )


def files_of(source: Any, folder: Path) -> dict[str, bytes]:
    """Return the files that Lumibot writes for a source."""
    market_input_evidence.write_market_input_evidence(source, folder)
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def assert_same_files(calls: Sequence[Call], folder: Path, limits: dict[str, int] | None = None) -> dict[str, bytes]:
    """Record the calls on both sides and compare the files; return ours."""
    written = []
    for number, source in enumerate((LumibotsSource(), OurSource())):
        if limits:
            source._market_input_evidence = MarketInputEvidence(**limits)  # type: ignore[union-attr]
        for call in calls:
            call.record_in(source)
        written.append(files_of(source, folder / str(number)))
    assert written[1] == written[0]
    return written[1]


def bars(count: int, start: int = 0, *, zone: str | None = "America/New_York", unit: str = "ns") -> pd.DataFrame:
    """Return minute bars, the same ones for the same minutes."""
    minutes = np.arange(start, start + count)
    index = pd.DatetimeIndex(START.replace(tzinfo=None) + pd.to_timedelta(minutes, unit="min")).as_unit(unit)
    index = index if zone is None else index.tz_localize("UTC").tz_convert(zone)
    prices = {name: 100 + minutes / 7 + shift for shift, name in enumerate(("open", "high", "low", "close"))}
    return pd.DataFrame({**prices, "volume": minutes * 10, "trade_count": minutes}, index)


def test_a_source_without_frames_writes_no_files(tmp_path: Path) -> None:
    source = OurSource()
    market_input_evidence.write_market_input_evidence(source, tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("known", [True, False])
def test_sources_have_our_record_unless_lumibots_is_unknown(
    known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enhanced_data_source, "keeps_contract", lambda part, otherwise: known)
    storage = DuckDBDataStorage(tmp_path / "s.duckdb")
    storage.store_ohlcv_data("SPY", _FRAME, source="mine", timeframe="minute")
    source = PandasDataBacktesting.using(source="mine", storage=storage)(START, START + timedelta(days=1))
    assert source._market_input_evidence is None
    Call(_FRAME).record_in(source)
    assert type(source._market_input_evidence) is (FrameRecord if known else MarketInputEvidence)
    lumibots = LumibotsSource()
    Call(_FRAME).record_in(lumibots)
    assert files_of(source, tmp_path / "ours") == files_of(lumibots, tmp_path / "lumibots")


def test_rows_are_recorded_once_and_frames_each_time(tmp_path: Path) -> None:
    calls = [Call(bars(30, start), minutes=start) for start in range(0, 20, 2)]
    written = assert_same_files([*calls, *calls], tmp_path)
    assert sorted(written) == FILES
    assert len(written["market_inputs.csv"].splitlines()) == 1 + 48
    assert len(written["market_input_observations.csv"].splitlines()) == 1 + 10


def changed(frame: pd.DataFrame, row: int, column: str, value: Any) -> pd.DataFrame:
    copy = frame.copy()
    copy.iloc[row, copy.columns.get_loc(column)] = value
    return copy


_FRAME = bars(6)
_FRAMES = {
    "nothing": None,
    "no rows": _FRAME.iloc[:0],
    "a missing price": changed(_FRAME, 2, "close", np.nan),
    "infinite prices": changed(changed(_FRAME, 2, "close", np.inf), 3, "low", -np.inf),
    "zeros": changed(_FRAME, 2, "close", 0.0),
    "negative zeros": changed(_FRAME, 2, "close", -0.0),
    "another price": changed(_FRAME, 2, "close", 1e-300),
    "huge volumes": changed(_FRAME, 1, "volume", 2**63 - 1),
    "volumes with fractions": _FRAME.astype({"volume": float}),
    "floats of 32 bits": _FRAME.astype("float32"),
    "integers of 32 bits": _FRAME.astype({"volume": "int32"}),
    "missing integers": _FRAME.astype({"volume": "Int64"}),
    "objects": _FRAME.astype(object),
    "truth values": _FRAME.assign(split=[True, False] * 3),
    "texts": _FRAME.assign(vwap=["a", "b", None] * 2),
    "times": _FRAME.assign(vwap=_FRAME.index),
    "lists": _FRAME.assign(vwap=[[1, 2], [3, 4]] * 3),
    "other columns": _FRAME.assign(dividend=0.5, vwap=1.25, bid=99.0, note="x"),
    "only other columns": _FRAME[["trade_count"]],
    "columns in another order": _FRAME[_FRAME.columns[::-1]],
    "columns that occur twice": pd.concat([_FRAME, _FRAME[["close"]]], axis=1),
    "columns that are numbers": _FRAME.rename(columns={"open": 1}),
    "seconds": bars(6, unit="s"),
    "no zone": bars(6, zone=None),
    "another zone": bars(6, zone="Asia/Kolkata"),
    "UTC": bars(6, zone="UTC"),
    "times that are not in order": _FRAME.iloc[[3, 1, 2]],
    "times that occur twice": _FRAME.iloc[[0, 1, 1]],
    "a missing time": _FRAME.set_axis(_FRAME.index.insert(0, pd.NaT)[:6]),
    "no times": _FRAME.reset_index(drop=True),
    "levels": pd.concat({"SPY": _FRAME}),
    "nanoseconds": _FRAME.set_axis(_FRAME.index + pd.Timedelta(1, "ns")),
    "not a frame": 5,
}


@pytest.mark.parametrize("name", _FRAMES)
def test_frames_of_any_kind(name: str, tmp_path: Path) -> None:
    frame = _FRAMES[name]
    assert_same_files([Call(_FRAME), Call(frame, minutes=1), Call(_FRAME, minutes=2), Call(frame, minutes=3)], tmp_path)


@pytest.mark.parametrize(
    ("other", "volumes"),
    [
        (_FRAME[["close"]], {"0.0", ""}),
        (_FRAME.assign(volume=np.nan), {"0.0", ""}),
        (_FRAME.assign(volume=0.5), {"0.0", "0.5"}),
        (_FRAME.assign(volume=[np.inf, 0.5] * 3), {"0", "inf", "0.5"}),
        (_FRAME[["close", "volume"]], {"0", "10"}),
    ],
)
def test_volumes_are_integers_or_floats_in_all_rows(other: pd.DataFrame, volumes: set[str], tmp_path: Path) -> None:
    """As in a column of a frame: beside gaps and floats, integers are floats, but beside texts they are not."""
    calls = [Call(_FRAME[:1]), Call(other[:2], asset=Asset("QQQ"))]
    written = assert_same_files(calls, tmp_path)["market_inputs.csv"].decode()
    assert {row["volume"] for row in csv.DictReader(io.StringIO(written))} == volumes


def test_a_frame_is_recorded_once_whichever_way_its_values_are_read(tmp_path: Path) -> None:
    """Floats and integers are compared bit by bit; the same values as objects take Lumibot's path."""
    calls = [Call(_FRAME), Call(_FRAMES["objects"]), Call(_FRAME)]
    written = assert_same_files(calls, tmp_path / "floats first")
    assert len(written["market_input_observations.csv"].splitlines()) == 1 + 1
    assert_same_files(calls[1:], tmp_path / "objects first")


def test_frames_that_move_forward_are_not_compared_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    one_by_one = frame_record._Series._texts_one_by_one

    def count(series: Any, given: Any) -> Any:
        compared.append(given.cells.shape[1])
        return one_by_one(series, given)

    monkeypatch.setattr(frame_record._Series, "_texts_one_by_one", count)
    forward = [Call(bars(20, start), minutes=start) for start in (0, 1, 2, 2, 10)]
    within = [Call(bars(5, 20), minutes=20)]
    assert_same_files([*forward, *within], tmp_path / "moving forward")
    assert not compared
    # A row that changed, and rows before those that are known.
    assert_same_files([*forward, Call(changed(bars(20, 10), 4, "close", 1.5), minutes=11)], tmp_path / "changed")
    assert_same_files([Call(bars(5, 30)), Call(bars(30, 3), minutes=1), *forward], tmp_path / "earlier rows")
    assert compared[:3] == [20, 30, 20]
    # More rows than are recorded: the older ones are forgotten.
    del compared[:]
    forward = [Call(bars(20, start), minutes=start) for start in range(0, 300, 3)]
    assert_same_files(forward, tmp_path / "long", {"max_rows": 60})
    assert not compared


ASSETS = (
    Asset("SPY"),
    Asset("ES", "future", expiration=START.date(), multiplier=50),
    Asset("SPY", "option", expiration=START.date(), strike=500, right="CALL"),
    (Asset("BTC", "crypto"), Asset("USD", "forex")),
    "Ünïcode",
)


@st.composite
def _call(draw: st.DrawFn) -> Call:
    frame = draw(
        st.one_of(
            st.builds(bars, st.integers(1, 40), st.integers(0, 60)),
            st.builds(bars, st.integers(1, 40), st.integers(0, 60), zone=st.sampled_from(["UTC", None])),
            st.sampled_from(list(_FRAMES.values())),
        )
    )
    if isinstance(frame, pd.DataFrame) and len(frame) and draw(st.booleans()) and "close" in frame:
        value = draw(st.floats() | st.sampled_from([np.nan, 0.0, -0.0, 100.0]))
        row = draw(st.integers(0, len(frame) - 1))
        if frame.columns.is_unique and frame["close"].dtype == float:
            frame = changed(frame, row, "close", value)
    return Call(
        frame,
        asset=draw(st.sampled_from(ASSETS)),
        minutes=draw(st.integers(0, 5)),
        timestep=draw(st.sampled_from(["minute", "day", "5minute"])),
        purpose=draw(st.sampled_from(["history", "indicator"])),
        quote=draw(st.sampled_from([None, Asset("USD", "forex")])),
    )


@examples(40)
@given(
    st.lists(_call(), min_size=1, max_size=25),
    st.none() | st.fixed_dictionaries({"max_rows": st.integers(1, 60), "max_observations": st.integers(1, 20)}),
)
def test_any_frames_and_any_limits(
    tmp_path_factory: pytest.TempPathFactory, calls: list[Call], limits: dict[str, int] | None
) -> None:
    assert_same_files(calls, tmp_path_factory.mktemp("record"), limits)


@examples(150)
@given(
    st.sampled_from(["America/New_York", "UTC", "Asia/Kathmandu", "-00:30", None]),
    st.sampled_from(["s", "ms", "us", "ns"]),
    st.sampled_from([1, 60, 1_800, 86_400]),
    st.lists(st.integers(-106_000, 106_000), min_size=1, max_size=20),  # as many days as nanoseconds can count
    st.none() | st.integers(0, 999),
)
def test_times_are_written_as_by_isoformat(
    zone: str | None, unit: str, step: int, numbers: list[int], fraction: int | None
) -> None:
    ticks = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[unit]
    values = np.array(numbers) * step * ticks
    if fraction is not None:
        values[0] += fraction % ticks
    times = pd.DatetimeIndex(values.view(f"M8[{unit}]")).tz_localize("UTC")
    times = times.tz_localize(None) if zone is None else times.tz_convert(zone)
    assert list(frame_record._iso_texts(times)) == [time.isoformat() for time in times]


@pytest.mark.long
def test_more_frames_and_rows_than_are_recorded(tmp_path: Path) -> None:
    """The limits are 4,096 frames and 50,000 rows."""
    long = bars(52_000)
    calls = [Call(long), Call(long[:30_000]), Call(long[25_000:51_000], minutes=1), Call(long[50_900:], minutes=2)]
    frames = [Call(long[start % 900 : start % 900 + 3], minutes=start) for start in range(4_200)]
    manifest = assert_same_files([*calls, *frames], tmp_path)[FILES[0]]
    assert b'"incompleteReasons":["observation_limit","row_limit"]' in manifest


def test_frames_of_many_threads(tmp_path: Path) -> None:
    """The order is the only difference."""
    calls = [Call(bars(20, start), asset=Asset(f"S{start % 4}"), minutes=start) for start in range(200)]
    source = OurSource()
    calls[0].record_in(source)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda call: call.record_in(source), calls[1:]))
    record = source._market_input_evidence
    lumibots = LumibotsSource()
    by_time = {(START + timedelta(minutes=call.minutes)).isoformat(): call for call in calls}
    for observation in record.observations:
        by_time[observation["observedAt"]].record_in(lumibots)
    assert len(record.observations) == len(calls)
    assert files_of(source, tmp_path / "ours") == files_of(lumibots, tmp_path / "lumibots")


def test_an_error_is_noted_as_lumibot_notes_it(tmp_path: Path) -> None:
    good = Call(_FRAME)
    written = assert_same_files([good, replace(good, frame=_FRAMES["lists"]), replace(good, minutes=1)], tmp_path)
    assert b'"incompleteReasons":["capture_error"]' in written[FILES[0]]
