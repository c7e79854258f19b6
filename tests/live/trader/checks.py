"""What must hold after a simulated session."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from live.trader.director import Director
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.live.covered_time import trading_gaps
from lumibot_duckdb.live.session.session_rows import rebuilt_frames
from lumibot_duckdb.results import LiveSessions
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import in_ranges, merged, missing
from lumibot_duckdb.storage.times import bar_starts

SETTLED = 15 * 60
LENGTHS = {"minute": 60, "hour": 3_600, "day": 86_400}
KEPT_BACK = 10.0
"""For how many seconds rows of a session wait before they are written, at most."""


def differences(storage: DuckDBDataStorage, key: SeriesKey, rest: pd.DataFrame) -> list[str]:
    """Compare a series with all bars that REST returns now, over the ranges that it covers; return what differs."""
    stored, covered = storage.read_pandas(storage.pin(key)).tz_convert("UTC"), storage.coverage(key)
    rest = rest.tz_convert("UTC")
    assert in_ranges(bar_starts(stored), covered).all(), f"{key.label()}: bars outside of the coverage"
    expected = rest[in_ranges(bar_starts(rest), covered)]
    found = [f"{key.label()} {start}: not at the provider" for start in stored.index.difference(expected.index)]
    found += [f"{key.label()} {start}: not in the store" for start in expected.index.difference(stored.index)]
    common = stored.index.intersection(expected.index)
    ours, theirs = (frame.loc[common].astype("float64") for frame in (stored, expected[stored.columns]))
    changed = (ours != theirs).any(axis=1)
    return found + [f"{key.label()} {start}: other values" for start in common[changed]]


def not_proven(
    covered: Iterable[TimeRange], answered: Iterable[tuple[float, float, float]], length: int
) -> list[TimeRange]:
    """Return what is covered although no answer had it settled: answers are start, end and time."""
    proven = merged(
        TimeRange(int(start), int(min(end + length, at - SETTLED)))
        for start, end, at in answered
        if min(end + length, at - SETTLED) > start
    )
    return [part for piece in covered for part in missing(piece, proven)]


def gaps(storage: DuckDBDataStorage, key: SeriesKey, start: float, end: float) -> list[TimeRange]:
    """Return the trading time of a span that is not covered."""
    return trading_gaps(key, TimeRange(int(start), int(end)), storage.coverage(key))


def runs(lines: Sequence[list[Any]]) -> list[list[list[Any]]]:
    """Return the frames that the strategy saw in each of its processes."""
    found: list[list[list[Any]]] = []
    for line in lines:
        if line[1] == "start":
            found.append([])
        elif line[1] != "iteration":
            found[-1].append(line)
    return found


def iterations(lines: Sequence[list[Any]]) -> list[str]:
    """Return when the strategy's iterations began."""
    return [line[0] for line in lines if line[1] == "iteration"]


def closed_bars_seen(lines: Sequence[list[Any]]) -> list[list[Any]]:
    """Return the log of a strategy without what depends on the second of a request: seconds, and open bars."""
    found = []
    for moment, what, timestep, length, bars in lines:
        minute = _seconds(moment) // 60 * 60
        closed = [bar for bar in bars or [] if bar[0] + LENGTHS.get(timestep, 0) <= minute]
        found.append([minute, what, timestep, length, None if bars is None else closed])
    return found


def assert_sessions_are_what_was_seen(director: Director, sessions: Sequence[str], killed: Iterable[str]) -> int:
    """Compare the recorded requests of each session with the strategy's own log; return how many were equal."""
    lines = director.seen()
    compared = 0
    for name, seen in zip(sessions, runs(lines), strict=True):
        tables = LiveSessions(director.results).tables(name)
        found = [
            pair
            for pair in rebuilt_frames(tables["live_requests"], tables["live_bars"])
            if pair[0]["method"] == "history"
        ]
        if name not in killed:
            assert len(found) == len(seen), name
        else:
            lost = seen[len(found) :]
            assert all(_seconds(seen[-1][0]) - _seconds(line[0]) <= KEPT_BACK for line in lost), name
        for (row, frame), (_, symbol, timestep, length, bars) in zip(found, seen, strict=False):
            assert (row["timestep"], row["length"]) == (timestep, length)
            assert symbol in row["asset"]
            if bars is None:
                assert frame is None
                continue
            assert frame is not None, row
            assert (frame.times // 1_000_000).tolist() == [bar[0] for bar in bars]
            assert frame.values.tolist() == [[float(value) for value in bar[1:]] for bar in bars]
            compared += 1
    return compared


def command(director: Director, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command on the store, at the present time of the simulation."""
    page = director.page
    page.limit = page.now + 86_400
    try:
        line = director.command(*arguments)
        return subprocess.run(
            line,
            env={**director.environment, **variables},
            text=True,
            capture_output=True,
            cwd=director.folder,
            timeout=600,
            check=False,
        )
    finally:
        page.limit = page.now


def _seconds(moment: str) -> float:
    return pd.Timestamp(moment).timestamp()
