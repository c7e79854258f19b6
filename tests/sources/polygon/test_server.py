"""The loopback server is what Polygon's own client takes it for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pandas as pd
import pytest
from polygon import RESTClient
from polygon.exceptions import BadResponse
from urllib3.exceptions import MaxRetryError

from sources.polygon.server import KEY, Contract, PolygonServer, Split
from wire.loopback import Answer, Fault


@pytest.fixture
def server() -> Iterator[PolygonServer]:
    with PolygonServer() as server:
        yield server


def client_of(server: PolygonServer, key: str = KEY) -> RESTClient:
    return RESTClient(api_key=key, base=server.url)


def minutes(day: str, count: int, price: float = 100.0) -> pd.DataFrame:
    index = pd.date_range(f"{day} 09:30", periods=count, freq="min", tz="America/New_York")
    close = price + pd.Series(range(count), index=index) / 100
    return pd.DataFrame({"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 200.0})


def test_bars_come_in_pages_and_as_they_are(server: PolygonServer) -> None:
    frame = minutes("2024-03-08", 300)
    server.serve("AAPL", "minute", frame)
    bars = list(client_of(server).list_aggs("AAPL", 1, "minute", "2024-03-08", "2024-03-08", limit=100))
    assert [bar.close for bar in bars] == frame["close"].tolist()
    assert [bar.timestamp for bar in bars] == (frame.index.as_unit("ms").asi8).tolist()
    assert len(server.asked("/v2/aggs")) == 3
    assert server.requests[0].query["limit"] == "100"


def test_numbers_are_written_as_requested(server: PolygonServer) -> None:
    frame = minutes("2024-03-08", 3).assign(volume=200, otc=[False, True, False])
    server.serve("AAPL", "minute", frame, leave_out=["vw"])
    client = client_of(server)
    first, second, _ = client.get_aggs("AAPL", 1, "minute", "2024-03-08", "2024-03-08")
    assert (first.open, type(first.open), first.volume, type(first.volume)) == (100.0, float, 200, int)
    assert (first.vwap, first.otc, second.otc) == (None, None, True)
    (day,) = client.get_aggs("AAPL", 1, "day", "2024-03-08", "2024-03-08")
    assert (day.volume, type(day.volume), day.transactions) == (600, int, 9)
    server.whole_as_int = True
    first, second, _ = client.get_aggs("AAPL", 1, "minute", "2024-03-08", "2024-03-08")
    assert (type(first.open), type(second.open)) == (int, float)
    server.page_limit = 2
    assert len(list(client.list_aggs("AAPL", 1, "minute", "2024-03-08", "2024-03-08", limit=50_000))) == 3
    assert len(client.get_aggs("AAPL", 1, "minute", "2024-03-08", "2024-03-08", limit=50_000)) == 2


def test_a_range_is_whole_days_of_new_york(server: PolygonServer) -> None:
    server.serve("AAPL", "minute", pd.concat([minutes("2024-03-08", 700), minutes("2024-03-11", 5)]))
    client = client_of(server)
    assert len(client.get_aggs("AAPL", 1, "minute", "2024-03-08", "2024-03-08", limit=50_000)) == 700
    assert len(client.get_aggs("AAPL", 1, "minute", "2024-03-09", "2024-03-11", limit=50_000)) == 5
    assert client.get_aggs("AAPL", 1, "minute", "2024-03-09", "2024-03-10") == []
    assert client.get_aggs("NONE", 1, "minute", "2024-03-08", "2024-03-08") == []


def test_days_are_made_of_minutes_and_stamped_at_midnight(server: PolygonServer) -> None:
    frame = pd.concat([minutes("2024-03-08", 300), minutes("2024-03-11", 200)])
    server.serve("AAPL", "minute", frame)
    days = client_of(server).get_aggs("AAPL", 1, "day", "2024-03-01", "2024-03-31")
    assert [pd.Timestamp(day.timestamp, unit="ms", tz="UTC").tz_convert("America/New_York") for day in days] == [
        pd.Timestamp("2024-03-08", tz="America/New_York"),
        pd.Timestamp("2024-03-11", tz="America/New_York"),
    ]
    assert [(day.open, day.high, day.volume) for day in days] == [(100.0, 103.99, 60_000.0), (100.0, 102.99, 40_000.0)]


def test_a_split_changes_the_history_before_it(server: PolygonServer) -> None:
    server.serve("AAPL", "minute", pd.concat([minutes("2020-08-28", 2, 500.0), minutes("2020-08-31", 2, 125.0)]))
    server.splits.append(Split("AAPL", "2020-08-31", 1, 4))
    client = client_of(server)
    bars = client.get_aggs("AAPL", 1, "minute", "2020-08-28", "2020-08-31")
    assert [bar.open for bar in bars] == [125.0, 125.0025, 125.0, 125.01]
    assert [bar.volume for bar in bars] == [800.0, 800.0, 200.0, 200.0]
    raw = client.get_aggs("AAPL", 1, "minute", "2020-08-28", "2020-08-31", adjusted=False)
    assert [bar.open for bar in raw] == [500.0, 500.01, 125.0, 125.01]
    (split,) = client.list_splits(ticker="AAPL")
    assert (split.execution_date, split.split_from, split.split_to) == ("2020-08-31", 1, 4)


def test_contracts_are_listed_by_the_request(server: PolygonServer) -> None:
    server.contracts = [
        Contract(f"O:SPY2308{day}{right[0].upper()}00{strike}000", "SPY", f"2023-08-{day}", right, float(strike))
        for day in ("02", "03")
        for right in ("call", "put")
        for strike in (456, 457)
    ]
    client = client_of(server)
    every = list(client.list_options_contracts(underlying_ticker="SPY", expired=True, limit=3))
    assert len(every) == 8
    assert len(server.asked("/v3/reference/options/contracts")) == 3
    assert list(client.list_options_contracts(underlying_ticker="SPY", expired=False)) == []
    (one,) = client.list_options_contracts(
        underlying_ticker="SPY", expiration_date="2023-08-02", contract_type="call", strike_price=457, expired=True
    )
    assert one.ticker == "O:SPY230802C00457000"
    later = client.list_options_contracts(underlying_ticker="SPY", expiration_date_gte="2023-08-03", expired=True)
    assert {contract.expiration_date for contract in later} == {"2023-08-03"}


def test_keys_and_plans_are_checked(server: PolygonServer) -> None:
    server.serve("AAPL", "minute", minutes("2024-03-08", 3))
    with pytest.raises(BadResponse, match="Unknown API Key"):
        client_of(server, "wrong").get_aggs("AAPL", 1, "minute", "2024-03-08", "2024-03-08")
    server.earliest = date(2024, 3, 9)
    with pytest.raises(BadResponse, match="plan doesn't include this data timeframe"):
        client_of(server).get_aggs("AAPL", 1, "minute", "2024-03-08", "2024-03-08")


def test_faults_come_as_often_as_they_should(server: PolygonServer) -> None:
    server.serve("AAPL", "minute", minutes("2024-03-08", 3))
    busy = Answer({"status": "ERROR", "error": "too many requests"}, 429, {"Retry-After": "0"})
    server.faults = [Fault("/v2/aggs", times=2, answer=busy)]
    client = client_of(server)
    assert len(client.get_aggs("AAPL", 1, "minute", "2024-03-08", "2024-03-08")) == 3  # it retries three times
    assert len(server.requests) == 3
    server.faults = [Fault("/v2/aggs", times=4, answer=Answer({}, 503))]
    with pytest.raises(MaxRetryError):
        client.get_aggs("AAPL", 1, "minute", "2024-03-08", "2024-03-08")
    server.requests.clear()
    server.faults = [Fault("/v2/aggs", drop=True)]
    assert len(client.get_aggs("AAPL", 1, "minute", "2024-03-08", "2024-03-08")) == 3
    assert len(server.requests) == 2  # the broken one, and another try
