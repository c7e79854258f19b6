"""`ProviderDataBacktesting`: what it downloads, stores, resumes and refuses."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
from lumibot.entities import Asset

from lumibot_duckdb import BarProvider, BarRequest, BarResponse, DuckDBDataStorage, ProviderError, StockSplit, clock
from lumibot_duckdb.backtesting import ProviderDataBacktesting
from lumibot_duckdb.sources.custom.symbols import symbol_of
from lumibot_duckdb.sources.retry_policy import RetryPolicy
from lumibot_duckdb.sources.shared.errors import InvalidKeyError, ProviderUnavailableError
from lumibot_duckdb.storage.api import AssetKey
from lumibot_duckdb.storage.errors import HistoryRestatedError, SnapshotNotFoundError
from lumibot_duckdb.storage.identity import asset_key
from parity.series import BUSINESS_DAYS, NEW_YORK, SESSIONS, walk
from sources.conftest import LetPass
from sources.custom.providers import FramesProvider, SplitProvider

AAA = Asset("AAA")
MINUTES = {("AAA", "minute"): walk(1, SESSIONS), ("AAA", "day"): walk(2, BUSINESS_DAYS)}


def source(
    provider: BarProvider, store: Path, start: str = "2024-03-11", end: str = "2024-03-12", **settings: Any
) -> Any:
    made = ProviderDataBacktesting.using(store, provider=provider, **settings)(
        datetime_start=pd.Timestamp("2024-03-11", tz=NEW_YORK).to_pydatetime(),
        datetime_end=pd.Timestamp(end, tz=NEW_YORK).to_pydatetime(),
        show_progress_bar=False,
    )
    made.load_data()
    return made


def bars_at(made: Any, time: str, length: int = 10, step: str = "minute", asset: Asset = AAA) -> Any:
    made._datetime = pd.Timestamp(time, tz=NEW_YORK).to_pydatetime()
    found = made.get_historical_prices(asset, length, timestep=step)
    return None if found is None else found.df


def test_nothing_is_downloaded_before_it_is_needed_and_nothing_twice(tmp_path: Path) -> None:
    provider = FramesProvider(MINUTES)
    made = source(provider, tmp_path)
    assert provider.requests == []
    first = bars_at(made, "2024-03-11 12:00")
    assert len(provider.requests) == 1
    assert provider.requests[0].symbol == "AAA"
    bars_at(made, "2024-03-11 12:01")
    made.get_last_price(AAA)
    assert len(provider.requests) == 1
    again = FramesProvider(MINUTES)
    pd.testing.assert_frame_equal(bars_at(source(again, tmp_path), "2024-03-11 12:00"), first)
    assert again.requests == []
    longer = FramesProvider(MINUTES)
    bars_at(source(longer, tmp_path, end="2024-03-13"), "2024-03-11 12:00")
    starts = [start for start, _ in longer.answered]
    assert min(starts) == pd.Timestamp("2024-03-12", tz=NEW_YORK).timestamp()


def test_a_failed_download_resumes_where_it_stopped(tmp_path: Path) -> None:
    provider = FramesProvider(MINUTES)
    provider.fails_after = 3
    with pytest.raises(Exception, match="the answer has no bars"):
        bars_at(source(provider, tmp_path), "2024-03-11 12:00")
    stored = provider.answered
    assert len(stored) == 3
    second = FramesProvider(MINUTES)
    bars_at(source(second, tmp_path), "2024-03-11 12:00")
    assert min(start for start, _ in second.answered) == max(end for _, end in stored)


@pytest.mark.parametrize("late", [True, False], ids=["the rest comes later", "there is no more"])
def test_a_partial_response_is_requested_again_until_a_second_one_agrees(
    late: bool, tmp_path: Path, let_pass: LetPass
) -> None:
    whole = MINUTES["AAA", "minute"]
    frames = {("AAA", "minute"): whole.loc[:"2024-03-08 12:00"]}  # type: ignore[misc]

    def requested() -> tuple[Any, list[tuple[int, int]]]:
        provider = FramesProvider(frames)
        bars = bars_at(source(provider, tmp_path), "2024-03-11 12:00", 100)
        return bars, [each for request in provider.requests for each in request.ranges]

    first, _ = requested()
    assert first.index[-1] == pd.Timestamp("2024-03-08 12:00", tz=NEW_YORK)
    for days in (0, 29):
        let_pass(days)
        assert requested()[1] == []
    let_pass(31)
    if late:
        frames = {("AAA", "minute"): whole}
    again, ranges = requested()
    noon, close = (pd.Timestamp(text, tz=NEW_YORK).timestamp() for text in ("2024-03-08 12:01", "2024-03-11 16:00"))
    assert next(start for start, _ in ranges if start >= first.index[-1].timestamp()) == noon
    assert ranges[-1][1] == close
    fresh = bars_at(source(FramesProvider(frames), tmp_path / "fresh"), "2024-03-11 12:00", 100)
    pd.testing.assert_frame_equal(again, fresh)
    assert again.index[-1].date() == (date(2024, 3, 11) if late else date(2024, 3, 8))
    let_pass(4_000)
    assert requested()[1] == []


class Faulty(FramesProvider):
    """Raises errors before it answers."""

    retry_policy = RetryPolicy(limit_pause=0.01, fault_pause=0.01, attempts=3)

    def __init__(self, errors: list[Exception]) -> None:
        super().__init__(MINUTES)
        self.errors = errors

    def between(self, request: BarRequest, start: int, end: int) -> pd.DataFrame:
        if self.errors and len(self.answered) > 2:
            raise self.errors.pop(0)
        return super().between(request, start, end)


def http_error(status: int, **headers: str) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return requests.HTTPError(f"{status} for url: https://acme.example/bars?key=4711", response=response)


@pytest.mark.parametrize(
    "errors",
    [
        [requests.ConnectionError(), requests.Timeout()],
        [ConnectionResetError(), TimeoutError()],
        [http_error(503), http_error(500)],
        [http_error(429, Retry_After="0.01")] * 6,
    ],
)
def test_transient_failures_are_retried_from_where_they_happened(errors: list[Exception], tmp_path: Path) -> None:
    provider = Faulty(list(errors))
    expected = bars_at(source(FramesProvider(MINUTES), tmp_path / "a"), "2024-03-11 12:00")
    pd.testing.assert_frame_equal(bars_at(source(provider, tmp_path / "b"), "2024-03-11 12:00"), expected)
    assert provider.errors == []
    whole, *again = provider.requests
    assert len(again) == len(errors)
    assert all(request.ranges[0][0] > whole.ranges[0][0] for request in again)


@pytest.mark.parametrize(
    ("errors", "expected", "message"),
    [
        ([http_error(503)] * 3, ProviderUnavailableError, r"Faulty answered with HTTP status 503, 3 times in a row"),
        ([http_error(401)], InvalidKeyError, r"Faulty answered with HTTP status 401: check the key"),
        ([http_error(404)], ProviderError, r"Faulty answered with HTTP status 404: check the symbol"),
        ([ProviderError("Acme is closed on Sundays")], ProviderError, r"Acme is closed on Sundays"),
    ],
)
def test_other_failures_end_the_backtest_without_showing_an_address(
    errors: list[Exception], expected: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(expected, match=message) as caught:
        bars_at(source(Faulty(errors), tmp_path), "2024-03-11 12:00")
    assert "4711" not in "".join(traceback.format_exception(caught.value))


def test_the_store_has_the_bars_under_the_name_of_the_provider(tmp_path: Path) -> None:
    bars_at(source(FramesProvider(MINUTES), tmp_path), "2024-03-11 12:00")
    bars_at(source(FramesProvider(MINUTES), tmp_path, source="mine"), "2024-03-11 12:00")
    storage = DuckDBDataStorage(tmp_path)
    assert {info.key.source for info in storage.list_series()} == {"frames", "mine"}
    stored = storage.read_pandas(storage.pin("AAA", source="frames", timeframe="minute"))
    expected = MINUTES["AAA", "minute"]
    inside = expected[(expected.index >= stored.index[0]) & (expected.index <= stored.index[-1])]
    assert stored["close"].tolist() == inside["close"].tolist()


def test_as_of_reads_history_as_it_stood_and_downloads_nothing(tmp_path: Path) -> None:
    first = bars_at(source(FramesProvider(MINUTES), tmp_path), "2024-03-11 12:00")
    moment = datetime.now(timezone.utc)
    dearer = {key: frame * 2 for key, frame in MINUTES.items()}
    DuckDBDataStorage(tmp_path).store_ohlcv_data("AAA", dearer["AAA", "minute"], "frames", "minute")
    provider = FramesProvider(dearer)
    made = source(provider, tmp_path, as_of=moment)
    pd.testing.assert_frame_equal(bars_at(made, "2024-03-11 12:00"), first)
    assert provider.requests == []


def test_a_snapshot_is_read_as_it_stood_and_nothing_is_downloaded(tmp_path: Path) -> None:
    first = bars_at(source(FramesProvider(MINUTES), tmp_path), "2024-03-11 12:00")
    DuckDBDataStorage(tmp_path).snapshot("before")
    dearer = {key: frame * 2 for key, frame in MINUTES.items()}
    DuckDBDataStorage(tmp_path).store_ohlcv_data("AAA", dearer["AAA", "minute"], "frames", "minute")
    provider = FramesProvider(dearer)
    pd.testing.assert_frame_equal(bars_at(source(provider, tmp_path, as_of="before"), "2024-03-11 12:00"), first)
    assert provider.requests == []
    with pytest.raises(SnapshotNotFoundError, match="no snapshot 'befroe'; did you mean 'before'"):
        source(provider, tmp_path, as_of="befroe")


def test_a_timeframe_that_the_provider_lacks_is_served_by_a_finer_one(tmp_path: Path) -> None:
    provider = FramesProvider({("AAA", "minute"): MINUTES["AAA", "minute"]})
    assert len(bars_at(source(provider, tmp_path), "2024-03-11 12:00", 2, "day")) == 2
    assert {request.timeframe for request in provider.requests} == {"minute"}


def test_days_only(tmp_path: Path) -> None:
    provider = FramesProvider({("AAA", "day"): MINUTES["AAA", "day"]})
    made = source(provider, tmp_path)
    assert bars_at(made, "2024-03-11 12:00", 10, "minute") is None
    assert len(bars_at(made, "2024-03-11 12:00", 10, "day")) == 10


def test_an_unknown_symbol_has_no_bars_and_is_requested_once(tmp_path: Path, caplog: Any) -> None:
    provider = FramesProvider(MINUTES)
    made = source(provider, tmp_path)
    for _ in range(3):
        assert bars_at(made, "2024-03-11 12:00", asset=Asset("NOTHERE")) is None
    assert len(provider.requests) == 1
    assert "FramesProvider has no bars of NOTHERE" in caplog.text


@pytest.mark.parametrize(
    ("asset", "symbol"),
    [
        (Asset("AAA"), "AAA"),
        (Asset("SPX", "index"), "SPX"),
        (Asset("SPY", "option", expiration=date(2024, 1, 19), strike=470.5, right="CALL"), "SPY240119C00470500"),
        ((Asset("BTC", "crypto"), Asset("USDT", "crypto")), "BTC/USDT"),
        ((Asset("EUR", "forex"), Asset("USD", "forex")), "EUR/USD"),
        (Asset("ES", "future", expiration=date(2024, 3, 15)), "ES 2024-03-15"),
    ],
)
def test_symbols(asset: Any, symbol: str) -> None:
    assert symbol_of(asset_key(asset)) == symbol


# -- splits ---------------------------------------------------------------------------------------------------


def adjusted(provider: SplitProvider, tmp_path: Path) -> Any:
    return bars_at(source(provider, tmp_path), "2024-03-11 12:00", 5, "day")


def test_a_new_split_restates_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = SplitProvider(MINUTES, days_a_piece=400)
    first = adjusted(before, tmp_path)
    after = SplitProvider({key: frame / 2 for key, frame in MINUTES.items()}, days_a_piece=400)
    after.known_splits = [StockSplit(date(2024, 3, 12), 1, 2)]
    assert adjusted(after, tmp_path)["close"].tolist() == first["close"].tolist()  # checked today already
    assert after.requests == []
    _a_day_passes(monkeypatch)
    assert adjusted(after, tmp_path)["close"].tolist() == (first["close"] / 2).tolist()
    key = DuckDBDataStorage(tmp_path).list_series("AAA")[0].key
    assert key.adjustment == "split"


def test_a_backtest_on_the_old_history_adds_nothing_of_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = source(SplitProvider(MINUTES, days_a_piece=400), tmp_path)
    bars_at(old, "2024-03-11 12:00", 5, "day")
    _a_day_passes(monkeypatch)
    after = SplitProvider({key: frame / 2 for key, frame in MINUTES.items()}, days_a_piece=400)
    after.known_splits = [StockSplit(date(2024, 3, 12), 1, 2)]
    adjusted(after, tmp_path)
    with pytest.raises(HistoryRestatedError, match="AAA was split"):
        bars_at(old, "2024-03-11 12:00", 300, "day")


def test_a_split_that_is_only_announced_changes_nothing(tmp_path: Path) -> None:
    provider = SplitProvider(MINUTES, days_a_piece=400)
    provider.known_splits = [StockSplit(date.today() + timedelta(days=3), 1, 2)]
    adjusted(provider, tmp_path)
    known = DuckDBDataStorage(tmp_path).corporate_actions(AssetKey("AAA"), "split")
    assert known is not None
    assert known.actions == ()


def _a_day_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "today", lambda zone=None: date.today() + timedelta(days=1))


# -- answers that are wrong -----------------------------------------------------------------------------------


class Wrong(FramesProvider):
    """Answers with what `make` returns for a correct response."""

    make: Any = staticmethod(lambda response: response)

    def bars(self, request: BarRequest) -> Iterator[BarResponse]:
        for response in super().bars(request):
            made = self.make(response)
            if made is not None:
                yield made


def _late(response: BarResponse) -> BarResponse:
    return BarResponse(response.start, response.end, response.bars.shift(freq="2D"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda response: response.bars, r"must yield BarResponse objects, not DataFrame"),
        (lambda response: None, r"did not answer for 2024-.*yield a response without bars"),
        (lambda response: BarResponse(response.end, response.start, response.bars), r"must end after it starts"),
        (lambda response: BarResponse(response.start, response.end, []), r"must be a pandas DataFrame, not list"),
        (_late, r"the bar of 2024-03-\d\d.* starts outside of the response"),
        (
            lambda response: BarResponse(response.start, response.end, response.bars.tz_localize(None)),
            r"indexed by their starts with a time zone",
        ),
        (
            lambda response: BarResponse(response.start, response.end, response.bars.drop(columns="open")),
            r"the bars have no column open",
        ),
    ],
)
def test_an_unusable_response_is_refused(make: Any, message: str, tmp_path: Path) -> None:
    provider = Wrong(MINUTES)
    provider.make = make
    with pytest.raises(ProviderError, match=message) as caught:
        bars_at(source(provider, tmp_path), "2024-03-11 12:00")
    assert "Wrong.bars(AAA minute)" in str(caught.value)


def test_the_same_bar_twice_is_refused_by_the_store(tmp_path: Path) -> None:
    provider = Wrong(MINUTES)
    provider.make = lambda response: BarResponse(
        response.start, response.end, pd.concat([response.bars, response.bars])
    )
    with pytest.raises(Exception, match="AAA stock, minute bars from wrong"):
        bars_at(source(provider, tmp_path), "2024-03-11 12:00")


def test_what_is_not_a_provider_is_refused() -> None:
    with pytest.raises(TypeError, match="subclass BarProvider"):
        ProviderDataBacktesting.using(provider=FramesProvider)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"using\(provider=...\)"):
        ProviderDataBacktesting(datetime_start=datetime(2024, 1, 2), datetime_end=datetime(2024, 1, 3))
    with pytest.raises(TypeError, match="remove the argument use_duckdb"):
        ProviderDataBacktesting.using(provider=FramesProvider(MINUTES))(
            datetime_start=datetime(2024, 1, 2), datetime_end=datetime(2024, 1, 3), use_duckdb=False
        )
    provider = FramesProvider(MINUTES)
    provider.timeframes = ["5minute"]
    with pytest.raises(ValueError, match="'minute', 'hour' and 'day', not \\['5minute'\\]"):
        ProviderDataBacktesting.using(provider=provider)


def test_todays_bar_is_seen_once_when_another_process_has_stored_it(tmp_path: Path) -> None:
    today = pd.Timestamp.now("UTC").normalize()
    bars = walk(2, pd.date_range(end=today, periods=60, freq="D").as_unit("ns"))
    provider = FramesProvider({("AAA", "day"): bars})
    made = ProviderDataBacktesting.using(tmp_path, provider=provider)(
        datetime_start=(today - pd.Timedelta(days=3)).to_pydatetime(),
        datetime_end=(today + pd.Timedelta(days=2)).to_pydatetime(),
        show_progress_bar=False,
    )
    made.load_data()
    before = bars_at(made, str(today.date() + timedelta(days=1)), 3, "day")
    assert before.index[-1] == today, "the open bar is seen"
    storage = DuckDBDataStorage(tmp_path)
    (info,) = storage.list_series()
    assert info.last is not None
    closed = bars.iloc[[-1]].assign(close=7.0)
    storage.store_ohlcv_data(info.key.asset, closed, info.key.source, "day", adjustment=info.key.adjustment)
    after = bars_at(made, str(today.date() + timedelta(days=1)), 30, "day")
    assert len(after) == 30
    assert after.index.is_unique
    assert after["close"].iloc[-1] == 7.0
