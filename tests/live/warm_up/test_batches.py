"""Warm-up of many symbols that Lumibot reads with one request: no request for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from live.conftest import SetClock
from live.warm_up.brokers import Broker, bars_at, minutes, moment, store
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.live.reads.gap_log import GapLog
from lumibot_duckdb.live.warm_up import warm_up as warm_up_module
from lumibot_duckdb.live.warm_up.warm_up import WarmUp
from lumibot_duckdb.storage.api import AssetKey, SeriesKey

SYMBOLS = ["AAPL", "IBM", "MSFT", "NEW", "THIN"]


def key_of(symbol: str) -> SeriesKey:
    return SeriesKey(AssetKey(symbol), "alpaca", "minute", "all")


class ManySymbols:
    """Answers requests for several symbols, and keeps them."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], pd.Timestamp, pd.Timestamp]] = []
        self.brokers = {
            symbol: Broker(bars_at(range(0, 400, 7 if symbol == "THIN" else 1), seed=number))
            for number, symbol in enumerate(SYMBOLS)
        }

    def __call__(
        self, members: Sequence[str], start: pd.Timestamp, stop: pd.Timestamp
    ) -> dict[str, pd.DataFrame | None]:
        self.asked.append((tuple(members), start, stop))
        return {symbol: self.brokers[symbol].answer(start, stop) for symbol in members}


def test_symbols_that_were_recorded_together_share_requests(
    tmp_path: Path, set_clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_up_module, "BARS_WORTH_A_REQUEST", 1)
    set_clock(moment(395))
    storage, broker = DuckDBDataStorage(tmp_path), ManySymbols()
    for symbol in SYMBOLS:
        if symbol != "NEW":
            store(storage, key_of(symbol), broker.brokers[symbol].bars, minutes(0, 371))
    log = GapLog(broker, WarmUp(lambda: storage, lambda _: True, deadline_seconds=60), key_of)
    answers = log.fetch(SYMBOLS, moment(0), moment(390))
    assert answers is not None
    for symbol, each in broker.brokers.items():
        found = answers[symbol]
        assert found is not None
        pd.testing.assert_frame_equal(found[found.index < moment(390)], each.within(moment(0), moment(390)))
    everyone = tuple(SYMBOLS)
    assert broker.asked == [
        (everyone, moment(0), moment(3)),
        (everyone, moment(368), moment(390)),
        (everyone, moment(0), moment(390)),  # NEW
        (everyone, moment(0), moment(14) + pd.Timedelta("1s")),  # three bars of THIN
        (("THIN",), moment(350), moment(390)),  # more than a tenth of the whole
    ]
