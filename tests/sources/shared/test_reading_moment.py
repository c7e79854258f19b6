"""A process whose sources read as of a moment, and download what had not been requested then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.sources.shared import reading_moment
from lumibot_duckdb.sources.shared.downloaded_series import ALWAYS, DownloadedSeries
from lumibot_duckdb.storage.api import AssetKey, TimeRange
from lumibot_duckdb.storage.errors import HistoryRestatedError
from lumibot_duckdb.storage.times import bar_starts, epoch_seconds
from sources.conftest import LetPass
from sources.shared.test_downloaded_series import KEY, Lacking, Provider, minutes

symbols = count()


@contextmanager
def reading_as_of(moment: datetime) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading_moment, "_moment", None)
        reading_moment.read_as_of(moment)
        yield


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> DuckDBDataStorage:
    return DuckDBDataStorage(tmp_path_factory.mktemp("moment") / "store.duckdb")


def seen_in(series: DownloadedSeries, within: TimeRange) -> dict[int, float]:
    """Return the closes that a backtest sees in a range, by bar start."""
    view = series.view(within)
    if view is None:
        return {}
    bars = view.bars(ALWAYS)
    return dict(zip(bars.times.tolist(), bars.columns["close"].tolist(), strict=True))


spans = st.tuples(st.integers(0, 30), st.integers(1, 12)).map(lambda span: minutes(span[0], span[0] + span[1]))
others = st.sampled_from(["restate", "refresh", "nothing", "nothing"])


@examples(12)
@given(st.lists(spans, max_size=3), st.lists(st.tuples(others, spans, spans), min_size=1, max_size=5))
def test_backtests_see_the_same_bars_whatever_happens_after_the_moment(
    storage: DuckDBDataStorage, before: list[TimeRange], trials: list[tuple[str, TimeRange, TimeRange]]
) -> None:
    """Against a model: the provider's bars of that time, in every requested range without a gap, or an error."""
    key = replace(KEY, asset=AssetKey(f"S{next(symbols)}"))
    for wanted in before:
        DownloadedSeries(storage, key).ensure(wanted, Provider(100.0))
    covered = {minute for wanted in before for minute in range(wanted.start, wanted.end, 60)}
    moment, price, is_restated = clock.utc_now(), 100.0, False
    for other, elsewhere, wanted in trials:
        if other != "nothing" and covered:
            price += 1.0
            is_restated = True
            if other == "restate":
                storage.restate_series(key.asset, key.source, key.timeframe, adjustment=key.adjustment)
            DownloadedSeries(storage, key).refresh(elsewhere, Provider(price))
        with reading_as_of(moment):
            provider = Provider(price)
            series = DownloadedSeries(storage, key)
            asked = set(range(wanted.start, wanted.end, 60)) - covered
            try:
                series.ensure(wanted, provider)
            except HistoryRestatedError:
                assert is_restated
                continue
            seen = seen_in(series, wanted)
            assert list(seen) == list(range(wanted.start, wanted.end, 60))
            assert {price for minute, price in seen.items() if minute in covered} <= {100.0}
            requested = {minute for piece in provider.asked for minute in range(piece.start, piece.end, 60)}
            assert requested <= asked


def test_a_series_that_was_not_stored_is_downloaded_once(storage: DuckDBDataStorage) -> None:
    key = replace(KEY, asset=AssetKey("NEW"))
    provider = Provider()
    with reading_as_of(clock.utc_now()):
        for _ in range(2):
            series = DownloadedSeries(storage, key)
            series.ensure(minutes(0, 10), provider)
            assert len(seen_in(series, minutes(0, 10))) == 10
    assert provider.asked == [minutes(0, 10)]


def test_what_expires_is_not_requested_again(tmp_path: Path, let_pass: LetPass) -> None:
    storage, key = DuckDBDataStorage(tmp_path / "store.duckdb"), replace(KEY, asset=AssetKey("OLD"))
    provider = Lacking(minutes(20, 20).start)
    DownloadedSeries(storage, key, trusts_provisional=False).ensure(minutes(0, 60), provider)
    moment = clock.utc_now()
    let_pass(31)
    with reading_as_of(moment):
        series = DownloadedSeries(storage, key, trusts_provisional=False)
        series.ensure(minutes(0, 60), provider)
        assert provider.asked == [minutes(0, 60)]
        series.ensure(minutes(0, 70), provider)
        assert provider.asked == [minutes(0, 60), minutes(60, 70)]


def test_what_lies_after_the_moment_is_never_requested(tmp_path: Path) -> None:
    storage, now = DuckDBDataStorage(tmp_path / "store.duckdb"), clock.epoch_now() // 60 * 60
    until_now, later = TimeRange(now - 6000, now + 60), TimeRange(now - 6000, now + 6000)
    provider = Provider()
    DownloadedSeries(storage, KEY).ensure(until_now, provider)
    with reading_as_of(clock.utc_now() + timedelta(minutes=10)):
        DownloadedSeries(storage, KEY).ensure(later, provider)
        assert provider.asked == [until_now]
        other = replace(KEY, asset=AssetKey("OTHER"))
        moment = epoch_seconds(pd.Timestamp(reading_moment.reading_moment()))
        DownloadedSeries(storage, other).ensure(later, provider)
        assert provider.asked[1:] == [TimeRange(later.start, moment)]


def test_nothing_is_downloaded_again_to_replace_stored_bars(storage: DuckDBDataStorage) -> None:
    key, provider = replace(KEY, asset=AssetKey("KEPT")), Provider()
    DownloadedSeries(storage, key).ensure(minutes(0, 10), provider)
    with reading_as_of(clock.utc_now()):
        series = DownloadedSeries(storage, key)
        series.refresh(minutes(0, 10), Provider(50.0))
        assert set(seen_in(series, minutes(0, 10)).values()) == {100.0}
    assert bar_starts(storage.read_pandas(storage.pin(key))).tolist() == list(seen_in(series, minutes(0, 10)))
