"""A history that is computed in pieces has the values of the whole, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.market import REQUESTS, SHORT, bars_of, market
from analytics.test_warm_up import long_frame
from hypothesis_settings import examples
from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.computation import continuation
from lumibot_duckdb.analytics.computation.continuation import in_pieces
from lumibot_duckdb.analytics.computation.engine import Outputs, outputs
from lumibot_duckdb.analytics.computation.ta_lib_engine import TaLibEngine
from lumibot_duckdb.analytics.requests import Request, parsed_request

talib: Any = pytest.importorskip("talib")

ODD = [
    parsed_request(text)
    for text in ("hma(11)", "stochastic(5, 4, 6)", "stoch_rsi(3, 4, 5)", "bollinger(7)", "cci(9)", "mfi(5)", "wma(1)")
]  # fmt: skip
NEVER_SETTLE = ("kama",)
"""Indicators with running sums, whose rounding depends on all bars."""


class CountingEngine(TaLibEngine):
    """Notes how many bars each indicator was computed from."""

    def __init__(self) -> None:
        super().__init__(talib)
        self.rows: dict[Request, list[int]] = {}

    def compute(self, request: Request, bars: Bars) -> tuple[FloatArray, ...]:
        self.rows.setdefault(request, []).append(len(bars))
        return super().compute(request, bars)


def parts(bars: Bars, cuts: Sequence[int]) -> Iterator[Bars]:
    for begin, end in zip([0, *cuts], [*cuts, len(bars)], strict=True):
        yield bars.chosen(slice(begin, end))


def joined(pieces: Iterator[tuple[Bars, Outputs]]) -> tuple[Bars, dict[Request, list[FloatArray]]]:
    found = list(pieces)
    bars = Bars(
        np.concatenate([piece.times for piece, _ in found]),
        {name: np.concatenate([piece.columns[name] for piece, _ in found]) for name in found[0][0].columns},
    )
    requests = found[0][1]
    return bars, {
        request: [np.concatenate(columns) for columns in zip(*(each[request] for _, each in found), strict=True)]
        for request in requests
    }


def assert_equal(bars: Bars, requests: Sequence[Request], cuts: Sequence[int], rows_at_a_time: int) -> CountingEngine:
    engine = CountingEngine()
    seen, found = joined(in_pieces(engine, requests, parts(bars, cuts), rows_at_a_time))
    np.testing.assert_array_equal(seen.times, bars.times)
    for name, column in bars.columns.items():
        np.testing.assert_array_equal(seen.columns[name], column)
    for request in requests:
        for column, whole in zip(found[request], outputs(TaLibEngine(talib), request, bars), strict=True):
            np.testing.assert_array_equal(column, whole, err_msg=str(request.columns))
    return engine


@given(st.data())
@examples(60)
def test_pieces_of_a_few_rows_are_equal_to_the_whole(data: st.DataObject) -> None:
    bars = data.draw(market(most=300))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(bars)), max_size=5)))
    rows_at_a_time = data.draw(st.sampled_from([1, 2, 7, 40, 1000]) if len(bars) < 60 else st.integers(20, 90))
    requests = data.draw(st.lists(st.sampled_from([*SHORT.values(), *ODD]), min_size=1, max_size=12, unique=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(continuation, "_FIRST_TRY", data.draw(st.sampled_from([4, 40, 1024])))
        assert_equal(bars, requests, cuts, rows_at_a_time)


@pytest.fixture(scope="module")
def history() -> Bars:
    """20,000 minutes with a halt of 3,000, a fall to a hundredth, and a gap of weeks; some volumes are missing."""
    bars = bars_of(long_frame())
    volume = bars.volume.copy()
    volume[:700] = np.nan
    volume[5_000:5_010] = np.nan
    return Bars(bars.times, {**bars.columns, "volume": volume + 0.1})


@pytest.mark.parametrize("rows_at_a_time", [650, 700, 2_048])
def test_a_history_with_a_halt_and_a_fall(history: Bars, rows_at_a_time: int) -> None:
    requests = [*REQUESTS.values(), *SHORT.values(), *ODD]
    engine = assert_equal(history, requests, [0, 5_000, 9_000, 9_001, 16_000], rows_at_a_time)
    for request, rows in engine.rows.items():
        # Where nothing is forgotten, pieces grow, and so the work does not grow with the square of the rows.
        assert sum(rows) < 8 * len(history), request.columns


def test_what_does_not_count_any_more_is_not_kept() -> None:
    close = np.round(np.cumsum(np.random.default_rng(5).normal(0, 1, 60_000)) + 1_000, 2)
    spread = np.random.default_rng(6).uniform(0, 1, len(close))
    prices = {"open": close, "high": close + spread, "low": close - spread, "close": close}
    minutes = np.arange(len(close)) // 390 * 1_440 + np.arange(len(close)) % 390
    bars = Bars(1_704_205_800 + 60 * minutes, {**prices, "volume": np.ones(len(close)) * 0.1})
    requests = [request for name, request in REQUESTS.items() if name not in NEVER_SETTLE]
    engine = assert_equal(bars, requests, [], 4_096)
    for request, rows in engine.rows.items():
        assert max(rows) < 3 * 4_096, request.columns


def test_before_the_first_value_nothing_is_forgotten(history: Bars) -> None:
    assert_equal(history, [parsed_request("supertrend(1200)"), parsed_request("ema(1200)")], [], 1_100)


def test_a_calm_market_hides_what_came_before() -> None:
    """The RSI stays the same while the price does, whatever the averages of rises and falls are, which count later."""
    rng = np.random.default_rng(1)
    before, after = np.cumsum(rng.normal(0, 1, 500)), np.cumsum(rng.normal(0, 1e-9, 500))
    close = 1_000 + np.concatenate([before, np.full(300, before[-1]), before[-1] + after])
    columns = dict.fromkeys(("open", "high", "low", "close"), close)
    bars = Bars(60 * np.arange(len(close)), {**columns, "volume": np.ones(len(close))})
    requests = [parsed_request(text) for text in ("rsi(3)", "ema(3)", "adx(3)", "macd(3, 5, 2)", "atr(4)", "trix(2)")]
    for cut in (600, 700, 790):
        assert_equal(bars, requests, [cut], len(bars))


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_band_that_no_value_shows_counts_later(mirrored: bool) -> None:
    """Supertrend keeps the band on the other side of the price, from a thousand bars ago, until the price turns."""
    level = np.repeat([90.0, 98.0, 100.0, 97.0], [60, 300, 1_500, 60])
    close = level + 0.005 * (np.arange(len(level)) % 2)
    close = 200 - close if mirrored else close
    columns = {
        "open": close,
        "high": close + 5 / 12,
        "low": close - 5 / 12,
        "close": close,
        "volume": np.ones(len(close)),
    }
    bars = Bars(60 * np.arange(len(close)), columns)
    assert_equal(bars, [parsed_request("supertrend(10, 3)")], [1_850], len(bars))
