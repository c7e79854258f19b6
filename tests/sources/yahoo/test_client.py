"""`yfinance` on the loopback server, and how our provider handles its answers, faults and refusals."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yfinance

from lumibot_duckdb.sources.provider import BarRequest, BarResponse
from lumibot_duckdb.sources.retry_policy import RetryPolicy
from lumibot_duckdb.sources.shared.errors import (
    ProviderError,
    ProviderUnavailableError,
    RateLimitedError,
    UnknownSymbolError,
)
from lumibot_duckdb.sources.yahoo import client as yahoo
from lumibot_duckdb.sources.yahoo import http
from lumibot_duckdb.sources.yahoo.client import EARLIEST, ZONE, Market, YahooProvider
from sources.yahoo.loopback_client import yfinance_redirected_to
from sources.yahoo.market import made_up, new_york_days, with_minutes
from sources.yahoo.server import YahooServer
from wire.loopback import Answer, Fault

HASTE = RetryPolicy(limit_pause=0.01, fault_pause=0.01, longest_pause=0.02, attempts=3)
CHART = "/v8/finance/chart"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[YahooServer]:
    with YahooServer(instruments=made_up(dt.date.today())) as server, yfinance_redirected_to(server.url, tmp_path):
        yield server


@pytest.fixture
def provider() -> YahooProvider:
    return YahooProvider(retry_policy=HASTE)


def bars(provider: YahooProvider, symbol: str, timeframe: str, since: dt.datetime | None = None) -> BarResponse:
    """Return the bars from a moment on, by default all that Yahoo has."""
    start = EARLIEST if since is None else int(since.timestamp())
    (response,) = provider.bars(BarRequest(symbol, timeframe, ((start, start + 1),)))
    assert response.start == start
    return response


def failing(status: int, body: object = b"<html>out of order</html>") -> Answer:
    return Answer(body, status)


def test_yfinance_understands_the_server(server: YahooServer) -> None:
    """Splits change prices and volumes before them, dividends the adjusted close, as of the moment that is served."""
    stock = server.instruments["AAA"]
    split = max(stock.splits)
    known = yfinance.Ticker("AAA").history(period="max", auto_adjust=False)
    before = known[known.index.date < split]
    raw = stock.daily["close"][: len(before)]
    reverse = sorted(stock.splits)[0]
    early = before.index.date < reverse
    assert before["Close"].to_numpy()[~early] == pytest.approx(raw[~early].to_numpy() / 4)
    assert before["Close"].to_numpy()[early] == pytest.approx(raw[early].to_numpy() * 3 / 4)
    assert known["Stock Splits"].loc[str(split)] == 4.0
    paid = known["Dividends"][known["Dividends"] > 0]
    assert len(paid) == len(stock.dividends)
    assert (known["Adj Close"].iloc[0] < known["Close"].iloc[0], known["Adj Close"].iloc[-1]) == (
        True,
        known["Close"].iloc[-1],
    )
    server.now = pd.Timestamp(split, tz="America/New_York").tz_convert("UTC")
    unsplit = yfinance.Ticker("AAA").history(period="max", auto_adjust=False)
    assert unsplit["Close"].iloc[-1] == pytest.approx(raw.iloc[-1])


def test_days_with_dividends_splits_and_capital_gains(server: YahooServer, provider: YahooProvider) -> None:
    fund = bars(provider, "FUND", "day")
    assert fund.metadata[ZONE] == "America/New_York"
    assert set(fund.bars.columns) == set(yahoo.COLUMNS.values())
    assert str(fund.bars.index.dtype) == "datetime64[ns, UTC]"
    assert (fund.bars["capital_gains"] > 0).sum() == 2
    assert set(fund.bars.index.tz_convert(fund.metadata[ZONE]).hour) == {0}
    assert "capital_gains" not in bars(provider, "AAA", "day").bars


def test_bars_from_a_moment_on(server: YahooServer, provider: YahooProvider) -> None:
    everything = bars(provider, "7203.T", "day")
    assert everything.metadata[ZONE] == "Asia/Tokyo"
    since = everything.bars.index[-5]
    later = bars(provider, "7203.T", "day", since.to_pydatetime())
    pd.testing.assert_frame_equal(later.bars, everything.bars.iloc[-5:], check_freq=False)


@pytest.mark.parametrize(("timeframe", "kept"), [("minute", 7), ("15minute", 60)])
def test_intraday_bars_as_far_back_as_yahoo_keeps_them(
    server: YahooServer, provider: YahooProvider, timeframe: str, kept: int
) -> None:
    days = new_york_days(str(dt.date.today() - dt.timedelta(days=6)), str(dt.date.today()))
    with_minutes(server.instruments["AAA"], 1, [day.date() for day in days])
    index = bars(provider, "AAA", timeframe).bars.index
    asked = server.charts("AAA")[-1].query
    assert int(asked["period2"]) - int(asked["period1"]) == pytest.approx(kept * 86_400, abs=5)
    local = index.tz_convert("America/New_York")
    assert local.time.min() >= dt.time(9, 30)
    assert local.time.max() < dt.time(16)


def test_a_market_and_none(server: YahooServer, provider: YahooProvider) -> None:
    assert provider.market("AAA") == Market("us_market", "America/New_York")
    assert provider.market("BTC-USD") == Market("ccc_market", "UTC")
    assert provider.market("SILENT") == Market("", "America/New_York")
    assert provider.market("NOSUCH") == Market()


def test_an_unknown_symbol(server: YahooServer, provider: YahooProvider) -> None:
    with pytest.raises(UnknownSymbolError, match="NOSUCH"):
        bars(provider, "NOSUCH", "day")
    server.faults.append(Fault(CHART, 9, failing(404)))
    with pytest.raises(ProviderUnavailableError, match="404"):
        bars(provider, "AAA", "day")  # a page that is not Yahoo's: a proxy, say


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_out_of_order_gets_another_request(server: YahooServer, provider: YahooProvider, status: int) -> None:
    server.faults.append(Fault(CHART, 2, failing(status)))
    assert len(bars(provider, "AAA", "day").bars)
    server.faults.append(Fault(CHART, 99, failing(status)))
    with pytest.raises(ProviderUnavailableError, match=str(status)):
        bars(provider, "AAA", "day")


def test_a_broken_connection_is_made_again(server: YahooServer, provider: YahooProvider) -> None:
    server.faults.append(Fault(CHART, 1, drop=True))
    assert len(bars(provider, "AAA", "day").bars)
    server.faults.append(Fault(CHART, 99, drop=True))
    with pytest.raises(ProviderUnavailableError, match="3 times"):
        bars(provider, "AAA", "day")


def test_an_answer_that_is_not_json_is_requested_again(server: YahooServer, provider: YahooProvider) -> None:
    server.faults.append(Fault(CHART, 2, Answer(b"Will be right back", 200)))
    assert len(bars(provider, "AAA", "day").bars)


def test_no_one_at_the_address(tmp_path: Path, provider: YahooProvider) -> None:
    with YahooServer() as closed:
        address = closed.url
    with (
        yfinance_redirected_to(address, tmp_path),
        pytest.raises(ProviderUnavailableError, match="could not be reached"),
    ):
        bars(provider, "AAA", "day")


def test_a_rate_limit_is_waited_for(
    server: YahooServer, provider: YahooProvider, caplog: pytest.LogCaptureFixture
) -> None:
    server.faults.append(Fault(CHART, 5, failing(429, b"Too Many Requests")))
    assert len(bars(provider, "AAA", "day").bars)
    assert "The rate limit of Yahoo is reached" in caplog.text


def test_a_rate_limit_that_does_not_end(
    server: YahooServer, provider: YahooProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "LONGEST_LIMIT", 0.03)
    server.faults.append(Fault("/v", 10_000, failing(429, b"Too Many Requests")))
    with pytest.raises(RateLimitedError, match="network address"):
        bars(provider, "AAA", "day")


def test_no_bars_in_a_range_are_no_error(server: YahooServer, provider: YahooProvider) -> None:
    tomorrow = dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=1)
    assert bars(provider, "AAA", "day", tomorrow).bars.empty
    error = {"code": "Bad Request", "description": "Data doesn't exist for startDate = 1, endDate = 2"}
    server.faults.append(Fault(CHART, 2, failing(400, {"chart": {"result": None, "error": error}})))
    assert bars(provider, "AAA", "day").bars.empty


def test_a_refusal_quotes_yahoo(server: YahooServer, provider: YahooProvider) -> None:
    days = new_york_days(str(dt.date.today() - dt.timedelta(days=6)), str(dt.date.today()))
    with_minutes(server.instruments["AAA"], 1, [day.date() for day in days])
    with pytest.raises(ProviderError, match="must be within the last 8 days"):
        bars(provider, "AAA", "minute", dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=30))


def test_a_crumb_that_yahoo_no_longer_accepts_is_replaced(server: YahooServer, provider: YahooProvider) -> None:
    assert provider.market("AAA").name
    error = {"finance": {"result": None, "error": {"code": "Unauthorized", "description": "Invalid Crumb"}}}
    server.faults.append(Fault("/v7/finance/quote", 1, failing(401, error)))
    assert provider.market("FUND").name == "us_market"


def test_info_that_cannot_be_had(server: YahooServer, provider: YahooProvider) -> None:
    server.faults.append(Fault("/v7/finance/quote", 99, failing(503)))
    with pytest.raises(ProviderUnavailableError):
        provider.market("AAA")
