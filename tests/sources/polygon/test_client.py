"""The Polygon provider, with the real client, against a server that behaves and misbehaves as Polygon does."""

from __future__ import annotations

import logging
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lumibot.tools.polygon_helper import PolygonClient, update_polygon_data
from polygon import RESTClient

from lumibot_duckdb.sources.polygon.client import OptionContract, PolygonProvider, day_range, days_of
from lumibot_duckdb.sources.provider import BarRequest, StockSplit
from lumibot_duckdb.sources.retry_policy import RetryPolicy
from lumibot_duckdb.sources.shared.days import DaySpan, chunks
from lumibot_duckdb.sources.shared.errors import (
    DownloadIncompleteError,
    InvalidKeyError,
    PlanLimitError,
    ProviderError,
    ProviderUnavailableError,
    RateLimitedError,
)
from sources.polygon.server import KEY, Contract, PolygonServer, Split
from wire.loopback import Answer, Fault

REAL_DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"
HASTY = RetryPolicy(limit_pause=0.01, fault_pause=0.01, longest_pause=0.05)
BUSY = {"status": "ERROR", "error": "You've exceeded the maximum requests per minute."}
COLUMNS = ["open", "high", "low", "close", "volume", "vwap", "transactions", "otc"]


@pytest.fixture
def server() -> Iterator[PolygonServer]:
    with PolygonServer() as server:
        yield server


@pytest.fixture(params=[0, 3], ids=["a client that tries once", "a client that tries again"])
def retries(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(autouse=True)
def no_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POLYGON_MAX_RETRY_ATTEMPTS", "POLYGON_MAX_RETRY_SLEEP_SECONDS", "POLYGON_WAIT_SECONDS_RETRY"):
        monkeypatch.delenv(name, raising=False)


def provider_of(
    server: PolygonServer, key: str = KEY, *, workers: int = 4, policy: RetryPolicy = HASTY, **settings: Any
) -> PolygonProvider:
    return PolygonProvider(RESTClient(key, base=server.url, **settings), workers=workers, retry_policy=policy)


def day(number: int) -> date:
    return date(2024, 3, number)


def span(first: int, last: int | None = None) -> DaySpan:
    return DaySpan(day(first), day(last or first))


def minutes(first: str = "2024-03-04", last: str = "2024-03-08", count: int = 30) -> pd.DataFrame:
    """Return some minutes of each weekday."""
    openings = pd.date_range(f"{first} 09:30", f"{last} 09:30", freq="B", tz="America/New_York")
    index = pd.DatetimeIndex([opening + pd.Timedelta(minute, "min") for opening in openings for minute in range(count)])
    close = pd.Series(100 + np.arange(len(index)) / 100, index=index)
    return pd.DataFrame({"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 250.5})


@dataclass(frozen=True)
class Part:
    """The bars of a span of days."""

    days: DaySpan
    frame: pd.DataFrame


def request_for(ticker: str, timespan: str, days: Sequence[DaySpan]) -> BarRequest:
    return BarRequest(ticker, timespan, tuple(day_range(ticker, each) for each in days))


def bars(provider: PolygonProvider, ticker: str, timespan: str, days: Sequence[DaySpan]) -> Generator[Part, None, None]:
    """Yield what the provider delivers of spans of days, which are whole days."""
    with closing(provider.bars(request_for(ticker, timespan, days))) as arriving:
        for response in arriving:
            whole = days_of(ticker, response.start, response.end)
            assert day_range(ticker, whole) == (response.start, response.end)
            yield Part(whole, response.bars)


def download(provider: PolygonProvider, *days: DaySpan, ticker: str = "AAPL", timespan: str = "minute") -> pd.DataFrame:
    return pd.concat([part.frame for part in sorted_parts(bars(provider, ticker, timespan, days))])


def sorted_parts(parts: Iterator[Any]) -> list[Any]:
    return sorted(parts, key=lambda part: part.days)


def as_lumibot(server: PolygonServer, days: DaySpan, ticker: str = "AAPL", timespan: str = "minute") -> pd.DataFrame:
    """Return what Lumibot makes of the same answer, without the column that repeats the index."""
    client = PolygonClient(KEY, base=server.url)
    frame = update_polygon_data(
        None, client.get_aggs(ticker, 1, timespan, from_=days.first, to=days.last, limit=50_000)
    )
    return frame.drop(columns="timestamp")


def collect(parts: Iterator[Any]) -> tuple[list[Any], ProviderError | None]:
    """Return what a download delivered, and the error at its end."""
    delivered = []
    try:
        for part in parts:
            delivered.append(part)
    except ProviderError as error:
        return delivered, error
    return delivered, None


def spans_asked(server: PolygonServer) -> list[DaySpan]:
    """Return the spans of days that aggregates were asked for, next pages left out."""
    found = []
    for request in server.asked("/v2/aggs"):
        first, last = request.path.rsplit("/", 2)[1:]
        if not first.isdigit():
            found.append(DaySpan(date.fromisoformat(first), date.fromisoformat(last)))
    return sorted(found)


# -- bars ------------------------------------------------------------------------------------------------------


def whole(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.round().astype(int)


def now_and_then(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(otc=np.arange(len(frame)) % 3 == 0)


@pytest.mark.parametrize(
    ("change", "leave_out"),
    [
        (lambda frame: frame, []),
        (whole, []),
        (lambda frame: frame.assign(volume=200), []),
        (lambda frame: frame.drop(columns="volume"), ["v"]),
        (lambda frame: frame, ["vw", "n"]),
        (now_and_then, []),
        (lambda frame: frame.assign(otc=True), []),
    ],
    ids=[
        "prices and volumes with fractions",
        "whole numbers",
        "whole volumes",
        "no volumes",
        "no vwap and transactions",
        "otc now and then",
        "otc all through",
    ],
)
@pytest.mark.parametrize("whole_as_int", [False, True], ids=["decimals", "numbers as Polygon writes them"])
@pytest.mark.parametrize("timespan", ["minute", "day"])
def test_a_frame_is_what_lumibot_makes_of_the_answer(
    server: PolygonServer, change: Any, leave_out: list[str], whole_as_int: bool, timespan: str
) -> None:
    server.whole_as_int = whole_as_int
    server.serve("AAPL", "minute", change(minutes()), leave_out=leave_out)
    (part,) = bars(provider_of(server), "AAPL", timespan, [span(1, 10)])
    expected = as_lumibot(server, span(1, 10), timespan=timespan)
    pd.testing.assert_frame_equal(part.frame, expected, check_exact=True, check_freq=True)
    assert list(part.frame.columns) == COLUMNS
    assert str(part.frame.index.dtype) == "datetime64[ns, UTC]"
    if leave_out:
        assert all(part.frame[name].isna().all() for name in part.frame if name in ("vwap", "transactions")) == (
            "vw" in leave_out
        )


def test_values_that_only_some_bars_have_are_as_lumibot_has_them(server: PolygonServer) -> None:
    rows = [
        {"o": 1, "h": 2, "l": 1, "c": 2, "v": 10, "t": 1_709_562_600_000, "n": 3},
        {"o": 1.5, "h": 2, "l": 1, "c": 2, "v": 10, "vw": 1.5, "t": 1_709_562_660_000, "otc": True},
    ]
    server.faults = [Fault("/v2/aggs", times=2, answer=Answer({"status": "OK", "resultsCount": 2, "results": rows}))]
    (part,) = bars(provider_of(server), "AAPL", "minute", [span(4)])
    pd.testing.assert_frame_equal(part.frame, as_lumibot(server, span(4)), check_exact=True)


def test_bars_come_in_order_and_the_last_of_two_with_the_same_start_wins(server: PolygonServer) -> None:
    rows = [
        {"o": price, "h": 9, "l": 1, "c": 5, "v": 10, "t": 1_709_562_600_000 + 60_000 * minute}
        for price, minute in [(1, 2), (2, 0), (3, 1), (4, 0)]
    ]
    server.faults = [Fault("/v2/aggs", answer=Answer({"status": "OK", "resultsCount": 4, "results": rows}))]
    (part,) = bars(provider_of(server), "AAPL", "minute", [span(4)])
    assert part.frame["open"].tolist() == [4, 3, 1]
    assert part.frame.index.is_monotonic_increasing


@pytest.mark.skipif(not REAL_DATA.exists(), reason="the shared data is not here")
def test_real_minutes_are_as_lumibot_has_them(server: PolygonServer) -> None:
    real = pd.read_parquet(REAL_DATA / "us_equities_minute.parquet")
    server.whole_as_int = True
    for symbol, frame in real.groupby("symbol"):
        series = frame.set_index("ts").drop(columns="symbol")
        if series.index.tz is None:
            series = series.tz_localize("UTC")
        server.serve(str(symbol), "minute", series)
        first, last = (time.tz_convert("America/New_York").date() for time in (series.index[0], series.index[-1]))
        parts = sorted_parts(bars(provider_of(server), str(symbol), "minute", [DaySpan(first, last)]))
        arrived = pd.concat([part.frame for part in parts if len(part.frame)])  # empty frames have other dtypes
        expected = as_lumibot(server, DaySpan(first, last), ticker=str(symbol))
        pd.testing.assert_frame_equal(arrived, expected, check_exact=True)
        assert len(arrived) == len(series)


@pytest.mark.parametrize("key_in_next_url", [False, True])
def test_all_pages_are_followed_and_none_is_requested_with_the_key(
    server: PolygonServer, key_in_next_url: bool
) -> None:
    server.serve("AAPL", "minute", minutes())
    (whole_part,) = bars(provider_of(server), "AAPL", "minute", [span(4, 8)])
    server.page_limit, server.key_in_next_url = 40, key_in_next_url
    server.requests.clear()
    (part,) = bars(provider_of(server), "AAPL", "minute", [span(4, 8)])
    pd.testing.assert_frame_equal(part.frame, whole_part.frame)
    assert len(server.requests) == 4
    assert all("apiKey" not in request.query and request.query["limit"] == "50000" for request in server.requests)


def test_each_span_is_requested_once_and_all_of_it_arrives(server: PolygonServer) -> None:
    frame = minutes("2024-01-02", "2024-06-28", count=3)
    server.serve("AAPL", "minute", frame)
    days = chunks(DaySpan(date(2024, 1, 1), date(2024, 6, 30)), 7)
    arrived = download(provider_of(server, workers=10), *days)
    assert spans_asked(server) == days
    assert len(server.requests) == len(days)
    assert arrived.index.equals(frame.index.tz_convert("UTC"))
    assert arrived["close"].tolist() == frame["close"].tolist()
    assert "adjusted" not in server.requests[0].query


def test_spans_are_delivered_as_they_arrive(server: PolygonServer) -> None:
    server.serve("AAPL", "minute", minutes())
    second_has_arrived = threading.Event()
    server.faults = [Fault("/2024-03-04/", until=second_has_arrived)]
    order = []
    for part in bars(provider_of(server), "AAPL", "minute", [span(4), span(5)]):
        order.append(part.days)
        second_has_arrived.set()
    assert order == [span(5), span(4)]


def test_no_bars_are_an_empty_frame_and_no_error(server: PolygonServer) -> None:
    server.serve("AAPL", "minute", minutes())
    for ticker, days in [("AAPL", span(9, 10)), ("NONE", span(4, 8)), ("NO/NE", span(4))]:
        (part,) = bars(provider_of(server), ticker, "minute", [days])
        assert part.frame.empty
        assert list(part.frame.columns) == COLUMNS
        assert str(part.frame.index.dtype) == "datetime64[ns, UTC]"
    assert list(bars(provider_of(server), "AAPL", "minute", [])) == []


def test_nothing_is_shown_where_there_is_no_terminal(server: PolygonServer, capfd: pytest.CaptureFixture[str]) -> None:
    download(provider_of(server), span(4))
    assert capfd.readouterr() == ("", "")


def test_days_are_those_of_the_market() -> None:
    for ticker in ("AAPL", "O:SPY240310C00457000", "I:SPX"):
        start, end = day_range(ticker, span(10))  # the clocks go forward
        assert pd.Timestamp(start, unit="s", tz="UTC") == pd.Timestamp("2024-03-10", tz="America/New_York")
        assert end - start == 23 * 3600
    for ticker in ("X:BTCUSD", "C:EURUSD"):
        start, end = day_range(ticker, span(10, 11))
        assert pd.Timestamp(start, unit="s") == pd.Timestamp("2024-03-10")
        assert end - start == 48 * 3600


def test_chunks_are_the_days_once_each() -> None:
    assert chunks(span(1, 10), 4) == [span(1, 4), span(5, 8), span(9, 10)]
    assert chunks(span(1, 8), 4) == [span(1, 4), span(5, 8)]
    assert chunks(span(3)) == [span(3)]
    assert all(part.last - part.first <= timedelta(days=29) for part in chunks(DaySpan(day(1), date(2025, 3, 1))))
    with pytest.raises(ValueError, match="must not end"):
        DaySpan(day(2), day(1))


# -- rate limits -----------------------------------------------------------------------------------------------


def test_the_servers_own_pause_is_kept(server: PolygonServer, retries: int) -> None:
    server.serve("AAPL", "minute", minutes())
    server.faults = [Fault(answer=Answer(BUSY, 429, {"Retry-After": "0.3"}))]
    assert len(download(provider_of(server, retries=retries), span(4))) == 30
    first, second = server.requests
    assert second.time - first.time >= 0.3


def test_a_pause_may_be_given_as_a_date(server: PolygonServer) -> None:
    server.faults = [
        Fault(answer=Answer(BUSY, 429, {"Retry-After": text}))
        for text in ("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00", "whenever", "inf", "0", "-1")
    ]
    download(provider_of(server), span(4))
    assert len(server.requests) == 7


def test_without_the_servers_own_pauses_they_grow_and_a_download_continues(server: PolygonServer, retries: int) -> None:
    server.serve("AAPL", "minute", minutes())
    server.faults = [Fault(times=7, answer=Answer(BUSY, 429))]
    policy = RetryPolicy(limit_pause=0.02, longest_pause=0.1)
    assert len(download(provider_of(server, policy=policy, retries=retries), span(4))) == 30
    times = [request.time for request in server.requests]
    assert len(times) == 8
    for earlier, later, pause in zip(times[:-1], times[1:], [0.02, 0.04, 0.08, 0.1, 0.1, 0.1, 0.1], strict=True):
        assert later - earlier >= pause


def test_all_workers_hold_back_when_one_is_told_to_wait(server: PolygonServer) -> None:
    told = threading.Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.set()

    listener = Listener()
    source = logging.getLogger("lumibot_duckdb.sources")
    source.addHandler(listener)
    server.faults = [
        Fault("/2024-03-04/", answer=Answer(BUSY, 429, {"Retry-After": "0.4"})),
        Fault("/2024-03-05/", until=told),
    ]
    try:
        download(provider_of(server, workers=2), *(span(number) for number in range(4, 9)))
    finally:
        source.removeHandler(listener)
    refused = next(request for request in server.requests if "/2024-03-04/" in request.path)
    later = [request for request in server.requests if not request.path.endswith(("-04", "-05"))]
    assert len(later) == 3
    assert all(request.time - refused.time >= 0.4 for request in later)


def test_after_a_wait_one_request_tries_whether_the_others_may(server: PolygonServer) -> None:
    everyone_has_asked = threading.Barrier(4)

    class Together(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            everyone_has_asked.wait(timeout)
            return True

    busy = Answer(BUSY, 429, {"Retry-After": "0.2"})
    server.faults = [Fault(times=4, answer=busy, until=Together()), Fault(times=2, answer=busy)]
    policy = RetryPolicy(limit_pause=30.0)
    download(provider_of(server, workers=4, policy=policy), *(span(number) for number in range(4, 8)))
    assert len(server.requests) == 4 + 2 + 4
    tries = [request.time for request in server.requests[4:7]]
    assert tries[1] - tries[0] >= 0.2
    assert tries[2] - tries[1] >= 0.2


def test_waiting_is_reported_once(server: PolygonServer, caplog: pytest.LogCaptureFixture) -> None:
    server.faults = [Fault(times=12, answer=Answer(BUSY, 429))]
    provider = provider_of(server)
    download(provider, *(span(number) for number in range(4, 9)))
    server.faults = [Fault(times=3, answer=Answer(BUSY, 429))]
    provider.splits("AAPL")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "rate limit" in record.getMessage()


def test_waiting_is_reported_again_after_a_while(server: PolygonServer, caplog: pytest.LogCaptureFixture) -> None:
    server.faults = [Fault(times=3, answer=Answer(BUSY, 429))]
    provider_of(server, policy=RetryPolicy(limit_pause=0.01, log_interval=0.0)).splits("AAPL")
    assert len([record for record in caplog.records if record.name.startswith("lumibot_duckdb")]) == 3


def test_the_environment_bounds_the_attempts(server: PolygonServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGON_MAX_RETRY_ATTEMPTS", "2")
    server.faults = [Fault(times=2, answer=Answer(BUSY, 429))]
    assert provider_of(server).splits("AAPL") == []
    server.faults = [Fault(times=3, answer=Answer(BUSY, 429))]
    with pytest.raises(RateLimitedError, match="POLYGON_MAX_RETRY_ATTEMPTS"):
        provider_of(server).splits("AAPL")
    server.faults = [Fault(times=3, answer=Answer(BUSY, 429))]
    delivered, error = collect(bars(provider_of(server, workers=1), "AAPL", "minute", [span(4), span(5)]))
    assert [part.days for part in delivered] == [span(5)]
    assert isinstance(error, DownloadIncompleteError)
    assert isinstance(error.failed[span(4)], RateLimitedError)


def test_the_environment_bounds_and_sets_the_pauses(server: PolygonServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGON_MAX_RETRY_SLEEP_SECONDS", "1")
    monkeypatch.setenv("POLYGON_WAIT_SECONDS_RETRY", "3600")  # as in Lumibot, cut to what is left of the bound
    server.faults = [Fault(times=2, answer=Answer(BUSY, 429))]
    with pytest.raises(RateLimitedError, match="POLYGON_MAX_RETRY_SLEEP_SECONDS"):
        provider_of(server).splits("AAPL")
    first, second = server.requests
    assert second.time - first.time >= 1


@pytest.mark.parametrize("text", ["soon", "-1", "1.5"])
def test_a_bound_that_is_no_number_is_refused(
    server: PolygonServer, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("POLYGON_MAX_RETRY_ATTEMPTS", text)
    server.faults = [Fault(answer=Answer(BUSY, 429))]
    with pytest.raises(ProviderError, match=f"POLYGON_MAX_RETRY_ATTEMPTS must be a whole number, not '{text}'"):
        provider_of(server).splits("AAPL")


# -- faults ----------------------------------------------------------------------------------------------------

FAULTS = {
    "an error of the server": lambda: Fault(answer=Answer({"status": "ERROR"}, 500)),
    "unavailable": lambda: Fault(answer=Answer(b"<html>try again</html>", 503)),
    "unavailable, with a pause": lambda: Fault(answer=Answer({}, 503, {"Retry-After": "0.01"})),
    "a gateway's timeout": lambda: Fault(answer=Answer({}, 504)),
    "a slow answer": lambda: Fault(delay=2.0),
    "a drop in mid-page": lambda: Fault(drop=True),
    "no JSON": lambda: Fault(answer=Answer(b"{'status': ", 200)),
    "no JSON object": lambda: Fault(answer=Answer([1, 2], 200)),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("page", [1, 2])
def test_passing_faults_pass(server: PolygonServer, fault: Any, page: int, retries: int) -> None:
    server.serve("AAPL", "minute", minutes())
    server.page_limit = 100
    server.faults = [fault()]
    if page == 2:
        server.faults[0].where = f"/{pd.Timestamp('2024-03-07 09:40', tz='America/New_York').value // 10**6}/"
    provider = provider_of(server, retries=retries, read_timeout=0.5)
    assert len(download(provider, span(4, 8))) == 150
    assert server.faults[0].times == 0
    assert len(server.requests) == 3


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_chunk_that_fails_is_no_empty_chunk(server: PolygonServer, fault: Any, retries: int) -> None:
    server.serve("AAPL", "minute", minutes())
    broken = fault()
    broken.where, broken.times = "/2024-03-06/", 3
    server.faults = [broken]
    policy = RetryPolicy(fault_pause=0.01, attempts=3)
    provider = provider_of(server, policy=policy, retries=retries, read_timeout=0.5)
    days = [span(number) for number in range(4, 9)]
    delivered, error = collect(bars(provider, "AAPL", "minute", days))
    assert [part.days for part in sorted_parts(iter(delivered))] == [days[0], days[1], days[3], days[4]]
    assert all(len(part.frame) == 30 for part in delivered)
    assert isinstance(error, DownloadIncompleteError)
    assert list(error.failed) == [span(6)]
    assert isinstance(error.failed[span(6)], ProviderUnavailableError)
    assert error.refused == ()
    assert "AAPL minute of 2024-03-06 could not be downloaded" in str(error)
    assert "3 times in a row" in str(error)
    again = pickle.loads(pickle.dumps(error))  # as a pool of processes hands it on
    assert (str(again), list(again.failed)) == (str(error), [span(6)])
    assert len(server.asked("/2024-03-06/")) == 3
    assert len(download(provider, *error.failed)) == 30


def test_a_server_that_is_not_there_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = PolygonProvider(RESTClient(KEY, base="http://127.0.0.1:9"), retry_policy=HASTY)
    with pytest.raises(ProviderUnavailableError, match="Polygon could not be reached, 5 times in a row"):
        provider.splits("AAPL")

    def no_name_is_known(*arguments: Any, **settings: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_name_is_known)
    provider = PolygonProvider(RESTClient(KEY, base="http://nowhere.invalid"), retry_policy=HASTY)
    with pytest.raises(ProviderUnavailableError, match="could not be found"):
        provider.splits("AAPL")


def test_what_is_wrong_with_the_request_is_reported_and_not_tried_again(server: PolygonServer) -> None:
    wrong = {"status": "ERROR", "error": "The parameter 'to' cannot be a time that occurs before 'from'"}
    server.serve("AAPL", "minute", minutes())
    server.faults = [Fault("/2024-03-05/", answer=Answer(wrong, 400))]
    delivered, error = collect(bars(provider_of(server), "AAPL", "minute", [span(4), span(5)]))
    assert [part.days for part in delivered] == [span(4)]
    assert isinstance(error, DownloadIncompleteError)
    assert "HTTP status 400 (Polygon says: The parameter 'to' cannot be" in str(error)
    assert len(server.asked("/2024-03-05/")) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"status": "ERROR", "error": "something is wrong"},
        {"status": "OK", "results": [{"o": 1}]},
        {"status": "OK", "results": [None]},
        {"status": "OK", "results": 5},
    ],
)
def test_an_answer_that_is_no_bars_is_no_empty_chunk(server: PolygonServer, body: dict[str, Any]) -> None:
    server.serve("AAPL", "minute", minutes())
    server.faults = [Fault("/2024-03-05/", answer=Answer(body))]
    delivered, error = collect(bars(provider_of(server), "AAPL", "minute", [span(4), span(5)]))
    assert [part.days for part in delivered] == [span(4)]
    assert isinstance(error, DownloadIncompleteError)
    assert list(error.failed) == [span(5)]


# -- refusals --------------------------------------------------------------------------------------------------


def test_days_that_the_plan_does_not_include_are_named_and_the_others_delivered(server: PolygonServer) -> None:
    server.serve("AAPL", "minute", minutes())
    server.earliest = day(6)
    delivered, error = collect(bars(provider_of(server), "AAPL", "minute", [span(n) for n in range(4, 9)]))
    assert sorted(part.days for part in delivered) == [span(6), span(7), span(8)]
    assert isinstance(error, PlanLimitError)
    assert error.refused == (span(4), span(5))
    assert "AAPL minute of 2024-03-04 to 2024-03-05 refused" in str(error)
    assert "Your plan doesn't include this data timeframe" in str(error)
    assert len(server.requests) == 5


def test_failures_and_refusals_are_one_error_that_says_both(server: PolygonServer) -> None:
    server.serve("AAPL", "minute", minutes())
    server.earliest = day(5)
    server.faults = [Fault("/2024-03-07/", times=5, answer=Answer({}, 500))]
    delivered, error = collect(bars(provider_of(server), "AAPL", "minute", [span(n) for n in range(4, 9)]))
    assert sorted(part.days for part in delivered) == [span(5), span(6), span(8)]
    assert isinstance(error, DownloadIncompleteError)
    assert (list(error.failed), error.refused) == ([span(7)], (span(4),))
    assert "2024-03-07 could not be downloaded" in str(error)
    assert "2024-03-04 refused" in str(error)


def test_what_a_plan_does_not_include_at_all_is_reported(server: PolygonServer) -> None:
    body = {"status": "NOT_AUTHORIZED", "message": "You are not entitled to this data."}
    server.faults = [Fault(answer=Answer(body, 403))]
    with pytest.raises(PlanLimitError, match="You are not entitled to this data\\): ask for"):
        provider_of(server).option_contracts("SPY", expiring_from=day(4), expiring_to=None)


def test_a_wrong_key_ends_a_download_at_once(server: PolygonServer, retries: int) -> None:
    provider = provider_of(server, "wrong-key", workers=2, retries=retries)
    delivered, error = collect(bars(provider, "AAPL", "minute", chunks(DaySpan(day(1), date(2025, 3, 1)), 7)))
    assert delivered == []
    assert isinstance(error, InvalidKeyError)
    assert "Unknown API Key" in str(error)
    assert len(server.requests) <= 8
    with pytest.raises(InvalidKeyError):
        provider.splits("AAPL")


@pytest.mark.parametrize("key", ["", "  ", None, "split\nin two", "schlüssel"])
def test_what_can_be_no_key_is_refused_unseen(key: Any) -> None:
    with pytest.raises(InvalidKeyError) as caught:
        PolygonProvider.with_key(key)
    assert not (key and key.strip()) or key not in told(caught.value)


def test_a_provider_is_made_of_a_key(server: PolygonServer) -> None:
    server.serve("AAPL", "minute", minutes())
    provider = PolygonProvider.with_key(KEY + "\n", base=server.url, read_timeout=5.0, workers=2, retry_policy=HASTY)
    assert len(download(provider, span(4), span(5))) == 60
    assert KEY not in repr(provider)


# -- the key ---------------------------------------------------------------------------------------------------


def told(error: BaseException) -> str:
    """Return everything that an error and those behind it would show."""
    texts = traceback.format_exception(error)
    behind: BaseException | None = error
    while behind is not None:
        texts += [str(behind), repr(behind), repr(vars(behind))]
        behind = behind.__cause__ or behind.__context__
    return "\n".join(texts)


@pytest.mark.parametrize(
    "fault",
    [
        *(make for make in FAULTS.values()),
        lambda: Fault(answer=Answer(BUSY, 429)),
        lambda: Fault(answer=Answer({"error": f"Unknown API Key {KEY}"}, 401)),
        lambda: Fault(answer=Answer({"message": f"{KEY} is NOT_AUTHORIZED"}, 403)),
        lambda: Fault(answer=Answer({"error": f"no {KEY}"}, 404)),
    ],
)
def test_the_key_is_shown_nowhere(
    server: PolygonServer,
    fault: Any,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POLYGON_MAX_RETRY_ATTEMPTS", "1")
    server.serve("AAPL", "minute", minutes())
    server.page_limit, server.key_in_next_url = 40, True
    policy = RetryPolicy(limit_pause=0.01, fault_pause=0.01, attempts=2)
    provider = provider_of(server, policy=policy, read_timeout=0.5, trace=True, verbose=True)
    with caplog.at_level(logging.DEBUG):
        assert len(download(provider, span(4, 8))) == 150
        for where in ("/2024-03-04/", "/splits"):
            broken = fault()
            broken.where, broken.times = where, 2
            server.faults.append(broken)
        _, error = collect(bars(provider, "AAPL", "minute", [span(4), span(5)]))
        assert error is not None
        with pytest.raises(ProviderError) as caught:
            provider.splits("AAPL")
    assert caplog.records
    shown = [caplog.text, *capfd.readouterr(), told(error), told(caught.value), repr(provider)]
    shown += [told(each) for each in getattr(error, "failed", {}).values()]
    assert all(KEY not in text for text in shown)


# -- stopping --------------------------------------------------------------------------------------------------


def wait_for_downloads_to_end() -> None:
    for thread in threading.enumerate():
        if thread.name == "download":
            thread.join(timeout=30)
            assert not thread.is_alive()


def test_when_the_consumer_stops_nothing_more_is_requested(server: PolygonServer) -> None:
    server.serve("AAPL", "minute", minutes())
    days = chunks(DaySpan(date(2023, 1, 1), date(2024, 3, 31)), 3)
    with closing(bars(provider_of(server, workers=2), "AAPL", "minute", days)) as parts:
        next(parts)
    wait_for_downloads_to_end()
    assert (
        len(server.requests) <= 1 + 2 + 2 + 2
    )  # taken, waiting, in the workers' hands, begun before the stop was seen
    assert len(days) > 100


def test_downloads_do_not_run_ahead_of_a_consumer_that_is_slow(server: PolygonServer) -> None:
    days = chunks(DaySpan(date(2023, 1, 1), date(2024, 3, 31)), 3)
    ahead = []
    for count, _ in enumerate(bars(provider_of(server, workers=2), "AAPL", "minute", days), start=1):
        if count in (1, 10):
            time.sleep(0.5)  # long enough for all there is
        ahead.append(len(server.requests) - count)
    assert max(ahead) <= 2 + 2 + 2
    assert len(server.requests) == len(days)


def test_a_download_that_waits_can_be_stopped(server: PolygonServer, caplog: pytest.LogCaptureFixture) -> None:
    server.serve("AAPL", "minute", minutes())
    server.faults = [Fault("/2024-03-05/", times=100, answer=Answer(BUSY, 429, {"Retry-After": "3600"}))]
    with closing(bars(provider_of(server, workers=1), "AAPL", "minute", [span(4), span(5)])) as parts:
        assert next(parts).days == span(4)
        while not caplog.records:
            threading.Event().wait(0.01)
    wait_for_downloads_to_end()
    assert len(server.requests) == 2


INTERRUPTED = """
import logging, sys
from polygon import RESTClient
from lumibot_duckdb.sources.polygon.client import PolygonProvider
from lumibot_duckdb.sources.provider import BarRequest
logging.basicConfig(stream=sys.stdout, format="%(message)s")
provider = PolygonProvider(RESTClient("{key}", base="{url}"))
try:
    if "{what}" == "splits":
        provider.splits("AAPL")
    for part in provider.bars(BarRequest("AAPL", "minute", ((1672549200, 1704085200),))):
        raise SystemExit("bars came")
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.mark.parametrize("what", ["bars", "splits"])
def test_ctrl_c_ends_a_download_that_waits(server: PolygonServer, what: str) -> None:
    server.faults = [Fault(times=1000, answer=Answer(BUSY, 429, {"Retry-After": "3600"}))]
    script = INTERRUPTED.format(key=KEY, url=server.url, what=what)
    with subprocess.Popen([sys.executable, "-u", "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "rate limit" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "stopped\n"
        assert process.wait(timeout=60) == 0


def test_importing_the_package_imports_no_client_and_a_provider_no_lumibot() -> None:
    check = (
        (
            "import sys, lumibot_duckdb; assert not {{'polygon', 'urllib3', 'pandas'}} & set(sys.modules);"
            "import lumibot_duckdb.sources.polygon.client;"
            "assert not [name for name in sys.modules if name.startswith(('lumibot.', 'lumibot_duckdb.storage'))]"
        )
        .replace("{{", "{")
        .replace("}}", "}")
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=120)


# -- splits and options ----------------------------------------------------------------------------------------


def test_splits_come_the_oldest_first_over_all_pages(server: PolygonServer) -> None:
    server.splits = [
        Split("AAPL", "2020-08-31", 1, 4),
        Split("AAPL", "2014-06-09", 1, 7),
        Split("TSLA", "2022-08-25", 1, 3),
    ]
    server.page_limit = 1
    assert provider_of(server).splits("AAPL") == [
        StockSplit(date(2014, 6, 9), 1, 7),
        StockSplit(date(2020, 8, 31), 1, 4),
    ]
    assert len(server.requests) == 2
    assert provider_of(server).splits("NONE") == []


@pytest.fixture
def chain(server: PolygonServer) -> PolygonServer:
    server.contracts = [
        Contract(f"O:SPY{day:%y%m%d}{right[0].upper()}{int(strike * 1000):08d}", "SPY", day.isoformat(), right, strike)
        for day in (date(2023, 8, 2), date(2023, 9, 1), date.today() + timedelta(days=30))
        for right in ("call", "put")
        for strike in (456, 457.5)
    ]
    return server


def test_an_option_is_found_by_what_it_is(chain: PolygonServer) -> None:
    provider = provider_of(chain)
    assert provider.option_ticker("SPY", date(2023, 8, 2), "CALL", 457.5) == "O:SPY230802C00457500"
    assert provider.option_ticker("SPY", date(2023, 8, 2), "put", 456.0) == "O:SPY230802P00456000"
    assert provider.option_ticker("SPY", date(2023, 8, 2), "put", 458.0) is None
    ahead = date.today() + timedelta(days=30)
    assert provider.option_ticker("SPY", ahead, "call", 456) == f"O:SPY{ahead:%y%m%d}C00456000"


def test_contracts_come_as_lumibot_asks_for_them(chain: PolygonServer) -> None:
    client = RESTClient(KEY, base=chain.url)
    expected = [
        contract
        for expired in (True, False)
        for contract in client.list_options_contracts(
            underlying_ticker="SPY", expiration_date_gte="2023-08-03", expired=expired, limit=1000
        )
    ]
    chain.page_limit = 3
    contracts = provider_of(chain).option_contracts("SPY", expiring_from=date(2023, 8, 3), expiring_to=None)
    assert [contract.ticker for contract in contracts] == [contract.ticker for contract in expected]
    assert len(contracts) == 8
    assert contracts[0] == OptionContract("O:SPY230901C00456000", "SPY", date(2023, 9, 1), "call", 456, 100, "BATO")
    assert [type(contract.strike) for contract in contracts[:2]] == [int, float]


def test_contracts_can_be_bounded(chain: PolygonServer) -> None:
    contracts = provider_of(chain).option_contracts("SPY", expiring_from=date(2023, 8, 1), expiring_to=date(2023, 8, 2))
    assert {contract.expiration for contract in contracts} == {date(2023, 8, 2)}
    assert len(contracts) == 4


def test_a_client_of_lumibots_own_serves_too(server: PolygonServer) -> None:
    server.serve("AAPL", "minute", minutes())
    server.faults = [Fault(answer=Answer(BUSY, 429)), Fault(answer=Answer({}, 503))]
    client = PolygonClient(KEY, base=server.url)
    provider = PolygonProvider(client, retry_policy=HASTY)
    assert len(download(provider, span(4))) == 30
    assert len(client.get_aggs("AAPL", 1, "minute", day(4), day(4))) == 30  # it is as it was
