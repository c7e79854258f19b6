"""Random reads through Lumibot's own bar cache: what is recorded is what the provider has, and what is covered is all.

The provider is late, shows bars that are not finished, leaves the beginning of answers out, and fails at times.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lumibot import constants
from lumibot.tools import shared_bar_cache

from hypothesis_settings import examples
from live.reads.moments import SetClock, set_clock
from lumibot_duckdb.live.closed import settle_margin
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.reads.read_bars import ReadBars
from lumibot_duckdb.live.reads.read_recording import ReadRecording
from lumibot_duckdb.lumibot_contract.live_reads_hooks import wrap_shared_reads
from lumibot_duckdb.storage.bars.coverage import merged

START = pd.Timestamp("2024-03-12 12:00", tz="UTC")
MINUTE = pd.Timedelta("1min")


@dataclass
class Provider:
    """Has bars in some minutes. A bar appears when it begins, and is final 14 minutes after its end at the latest."""

    minutes: list[int]
    clock: SetClock
    late: int = 0
    fails: bool = False
    leaves_out: int = 0

    @property
    def final(self) -> pd.Series:
        """The final closes."""
        times = [START + minute * MINUTE for minute in self.minutes]
        return pd.Series(np.array(self.minutes, float) + 1, index=pd.DatetimeIndex(times, tz="UTC"), dtype=float)

    def fetch(self, members: Sequence[Any], start: pd.Timestamp, stop: pd.Timestamp) -> dict[Any, Any]:
        if self.fails:
            return {}
        closes = self.final
        now = pd.Timestamp(self.clock.now)
        closes = closes[(closes.index >= start) & (closes.index < stop)]
        closes = closes[closes.index <= now - self.late * MINUTE].iloc[self.leaves_out :]
        unfinished = closes.index + MINUTE * 15 > now
        closes = closes.where(~unfinished, closes + 0.5)
        frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), closes)).assign(volume=1.0)
        return dict.fromkeys(members, frame)


@dataclass
class Taken:
    """Takes the place of the recorder."""

    kept: list[LiveBars] = field(default_factory=list)
    rechecked: int = 0

    def record_read(self, read_bars: ReadBars) -> None:
        self.kept.append(read_bars.live_bars())

    def recheck(self, key: Any) -> None:
        self.rechecked += 1


reads = st.tuples(
    st.integers(0, 25),  # minutes since the last read
    st.integers(1, 60),  # how far back it goes
    st.integers(0, 20),  # how long before now it ends
    st.sampled_from([0, 0, 1, 14]),  # how late the provider is
    st.sampled_from([False, False, False, True]),  # whether it fails
    st.sampled_from([0, 0, 2]),  # how many bars it leaves out at the beginning
)


@examples(24)
@given(
    without=st.sets(st.integers(0, 170)),
    asked=st.lists(reads, min_size=1, max_size=8),
    adjusted=st.booleans(),
    cached=st.sampled_from(["on", "on", "off"]),
)
def test_recorded_bars_are_final_and_covered_ranges_complete(
    without: set[int], asked: list[Any], adjusted: bool, cached: str
) -> None:
    taken = Taken()
    shared_bar_cache._reset_process_memory()
    series = shared_bar_cache.BarSeries.make(
        *("ccxt", "BTC/USDT", "1minute"), scope="s", adjusted=False, exchange="binance", sandbox=False
    )
    if adjusted:
        contract = {"assetType": "stock", "extendedHours": True}
        series = shared_bar_cache.BarSeries.make("schwab", "SPY", "1minute", scope="s", adjusted=True, **contract)
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(constants, "LUMIBOT_CACHE_FOLDER", folder),
        mock.patch.dict("os.environ", {"LUMIBOT_SHARED_BARS": cached}),
        set_clock(START.to_pydatetime() + dt.timedelta(minutes=30, seconds=30)) as clock,
    ):
        provider = Provider([minute for minute in range(171) if minute not in without], clock)
        end_wrapping = wrap_shared_reads(shared_bar_cache, ReadRecording(taken).observe)  # type: ignore[arg-type]
        try:
            for wait, back, ago, provider.late, provider.fails, provider.leaves_out in asked:
                clock.let_pass(minutes=wait)
                end = pd.Timestamp(clock.now) - ago * MINUTE
                shared_bar_cache.read_bars_many(
                    [series], end - back * MINUTE, end, provider.fetch, coverage_from_rows=True
                )
        finally:
            end_wrapping()
        final = provider.final
        for live_bars in taken.kept:
            _check(live_bars, final)
        bars = [time for live_bars in taken.kept for time in live_bars.bars.index]
        assert len(bars) - len(set(bars)) <= len(taken.kept)  # one may come again, along with coverage


def _check(live_bars: LiveBars, final: pd.Series) -> None:
    covered = list(live_bars.covered)
    assert merged(covered) == sorted(covered, key=lambda piece: piece.start)
    seconds = final.index.as_unit("s").asi8
    inside = np.zeros(len(final), bool)
    for piece in covered:
        inside |= (seconds >= piece.start) & (seconds < piece.end)
    pd.testing.assert_series_equal(
        live_bars.bars["close"], final[inside], check_names=False, check_freq=False, check_index_type=False
    )
    settled = pd.Timestamp(live_bars.asked_at) - 15 * MINUTE
    assert (live_bars.bars.index + MINUTE <= settled).all()


@pytest.mark.parametrize("minutes", [None, "", "20", "0.5", "-3", "soon"])
def test_bars_settle_as_in_lumibots_cache(minutes: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if minutes is None:
        monkeypatch.delenv("LUMIBOT_SHARED_BARS_SETTLE_MINUTES", raising=False)
    else:
        monkeypatch.setenv("LUMIBOT_SHARED_BARS_SETTLE_MINUTES", minutes)
    assert settle_margin() == shared_bar_cache.settle_margin()
