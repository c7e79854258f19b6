"""The bars for which a series is restated are recorded in its new version."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from live.recording.live_items import closes, live, stored
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.live.reads.adjusted_recorder import compared
from lumibot_duckdb.live.recording.recorder import Recorder, RecorderCounts


def test_the_bars_that_show_a_split_are_stored_after_it(tmp_path: Path) -> None:
    with DuckDBDataStorage(tmp_path / "s.duckdb") as storage, Recorder(lambda: storage, pause_seconds=60) as recorder:
        recorder.record(live(0, 5, asked_at=datetime.now(timezone.utc)))
        recorder.flush()
        split = live(0, 8, seed=1, asked_at=datetime.now(timezone.utc))
        recorder.record(compared(storage, split))
        recorder.flush()
        assert recorder.counts == RecorderCounts(recorded=13, written=13)
        assert stored(storage) == closes(range(8), seed=1)
