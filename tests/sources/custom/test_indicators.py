"""`indicators` of a source with the user's own provider: it downloads the bars that values need."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lumibot_duckdb import DuckDBDataStorage
from sources.custom.providers import FramesProvider
from sources.custom.test_source import AAA, MINUTES, NEW_YORK, source

REQUESTS = ["sma(3)", "donchian(2)"]


def test_values_are_those_of_the_newest_bar_that_has_closed(tmp_path: Path) -> None:
    provider = FramesProvider(MINUTES)
    made = source(provider, tmp_path)
    made._datetime = pd.Timestamp("2024-03-11 12:02", tz=NEW_YORK).to_pydatetime()
    newest = {"minute": "2024-03-11 12:01", "5min": "2024-03-11 11:55", "day": "2024-03-08"}
    found = {step: made.indicators(AAA, REQUESTS, step, 2) for step in newest}
    requests = len(provider.requests)
    assert made.indicators(AAA, REQUESTS, "day").equals(found["day"].tail(1))
    assert len(provider.requests) == requests
    made.shutdown()
    with DuckDBDataStorage(tmp_path) as storage:
        for step, values in found.items():
            assert values.index[-1] == pd.Timestamp(newest[step], tz=NEW_YORK), step
            full = storage.indicators("AAA", REQUESTS, step)
            expected = full[full.index <= values.index[-1]].tail(2)
            pd.testing.assert_frame_equal(values, expected, rtol=1e-9, check_freq=False, check_index_type=False)
