"""How a request is repeated, and how threads share a rate limit."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

import pytest

from lumibot_duckdb.sources.retry_policy import RetryPolicy, exponential_pause, retry_after_seconds
from lumibot_duckdb.sources.shared.errors import ProviderError, ProviderUnavailableError, RateLimitedError
from lumibot_duckdb.sources.shared.rate_limit import RateLimit, StoppedError, Throttle
from lumibot_duckdb.sources.shared.retry import RequestFailedError, RequestFailure, call_with_retries

QUICK = RetryPolicy(limit_pause=0.01, fault_pause=0.01, longest_pause=0.05, attempts=3)
SECRET = "a-key-that-must-not-leave"
FAULT = RequestFailure("is down")
BUSY = RequestFailure("is busy", rate_limited=True)


class Server:
    """Answers "good" after some failures, and counts the requests."""

    def __init__(self, *failures: RequestFailure | Exception) -> None:
        self.failures = list(failures)
        self.requests: list[float] = []

    def __call__(self) -> str:
        self.requests.append(time.monotonic())
        if not self.failures:
            return "good"
        failure = self.failures.pop(0)
        raise failure if isinstance(failure, Exception) else RequestFailedError(failure)


def call(server: Callable[[], str], limit: RateLimit | None = None, stop: threading.Event | None = None) -> str:
    limit = limit or RateLimit(QUICK, "the test")
    return call_with_retries(server, limit, name="Test", stop=stop)


def test_failures_are_repeated_with_growing_pauses() -> None:
    server = Server(FAULT, FAULT)
    assert call(server) == "good"
    first, second, third = server.requests
    assert second - first >= 0.01
    assert third - second >= 0.02


def test_the_last_attempt_ends_with_an_error_that_names_the_reason() -> None:
    server = Server(FAULT, FAULT, FAULT, FAULT)
    with pytest.raises(ProviderUnavailableError, match=r"^Test is down, 3 times in a row: try again later"):
        call(server)
    assert len(server.requests) == 3


def test_during_an_outage_a_request_is_sent_once() -> None:
    limit, server = RateLimit(QUICK, "the test"), Server(*[FAULT] * 6)
    with pytest.raises(ProviderUnavailableError, match="3 times in a row"):
        call(server, limit)
    for _ in range(2):
        with pytest.raises(ProviderUnavailableError, match=r"^Test is down, as in earlier requests: try again later"):
            call(server, limit)
    assert len(server.requests) == 5
    assert call(Server(), limit) == "good"
    assert call(server, limit) == "good", "the answer has ended the outage, so the last fault is repeated"
    assert len(server.requests) == 7


@pytest.mark.parametrize(
    "answer", [None, RequestFailure("refuses", refusal=ProviderError("no")), BUSY], ids=["good", "refused", "limited"]
)
def test_a_provider_that_answers_other_requests_has_no_outage(answer: RequestFailure | None) -> None:
    limit, other = RateLimit(QUICK, "the test"), Server(*[] if answer is None else [answer])
    server = Server(*[FAULT] * 5)

    def fail_while_another_request_is_answered() -> str:
        if len(server.requests) == 1:
            with suppress(ProviderError):
                call(other, limit)
        return server()

    with pytest.raises(ProviderUnavailableError):
        call(fail_while_another_request_is_answered, limit)
    assert call(server, limit) == "good"
    assert len(server.requests) == 6


def test_a_refusal_is_raised_at_once() -> None:
    server = Server(RequestFailure("refuses", refusal=ProviderError("no such symbol")))
    with pytest.raises(ProviderError, match="no such symbol"):
        call(server)
    assert len(server.requests) == 1


def test_rejections_do_not_count_as_failed_attempts() -> None:
    server = Server(BUSY, FAULT, BUSY, BUSY, FAULT, BUSY)
    assert call(server) == "good"
    assert len(server.requests) == 7


def test_a_failure_may_request_its_pause() -> None:
    server = Server(RequestFailure("is down", retry_after=0.04))
    call(server)
    assert server.requests[1] - server.requests[0] >= 0.04


def test_an_exception_that_is_not_explained_is_raised_unchanged() -> None:
    bug = KeyError("a bug")
    with pytest.raises(KeyError) as caught:
        call(Server(bug))
    assert caught.value is bug


@pytest.mark.parametrize("refusal", [None, ProviderError("refused")])
def test_no_error_is_chained_to_one_that_may_quote_the_request(refusal: ProviderError | None) -> None:
    def send() -> str:
        raise OSError(f"GET /bars?key={SECRET}")

    with pytest.raises(ProviderError) as caught:
        call_with_retries(
            send,
            RateLimit(QUICK, "the test"),
            name="Test",
            explain=lambda _: RequestFailure("is down", refusal=refusal),
        )
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


@pytest.mark.parametrize("failure", [BUSY, FAULT])
def test_a_call_that_waits_can_be_stopped(failure: RequestFailure) -> None:
    stop = threading.Event()
    limit = RateLimit(RetryPolicy(limit_pause=60, fault_pause=60), "the test")
    threading.Timer(0.05, stop.set).start()
    begun = time.monotonic()
    with pytest.raises(StoppedError):
        call(Server(failure, failure), limit, stop)
    assert time.monotonic() - begun < 30


def test_a_rate_limit_may_be_bounded() -> None:
    class Bounded(RateLimit):
        def longest_wait(self, waits: int, waited: float) -> float:
            if waits > 2:
                raise RateLimitedError(f"waited {waits - 1} times")
            return 0.001

    server = Server(BUSY, BUSY, BUSY)
    with pytest.raises(RateLimitedError, match="waited 2 times"):
        call(server, Bounded(RetryPolicy(limit_pause=60), "the test"))
    assert len(server.requests) == 3


def test_a_pause_that_the_provider_requests_is_kept() -> None:
    limit = RateLimit(QUICK, "the test")
    assert limit.pause_after(1, 7.0) == 7.0
    assert limit.pause_after(1, 0.0) == 0.0
    assert limit.pause_after(2, 0.0) == 0.02  # it said so before, and rejected the next request
    assert limit.pause_after(1, None) == 0.01


def test_requests_under_way_at_a_rejection_count_once() -> None:
    limit = RateLimit(QUICK, "the test")
    sent = time.monotonic()
    pauses = [limit.record_rejection(sent, None, float("inf")) for _ in range(3)]
    assert pauses == [0.01, 0.01, 0.01]
    assert limit.record_rejection(time.monotonic(), None, float("inf")) == 0.02
    limit.record_success(sent)  # an answer to an older request does not end the pause
    assert limit.record_rejection(time.monotonic(), None, float("inf")) == 0.04
    limit.record_success(time.monotonic())
    assert limit.record_rejection(time.monotonic(), None, float("inf")) == 0.01


def test_the_log_names_the_limit_the_pause_and_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    limit = RateLimit(QUICK, "the Test plan", "a larger plan has no limit")
    with caplog.at_level(logging.WARNING):
        limit.record_rejection(time.monotonic(), 3.0, float("inf"))
        limit.record_rejection(time.monotonic(), 3.0, float("inf"))
    (message,) = caplog.messages
    assert message == (
        "The rate limit of the Test plan is reached: waiting 3 seconds as requested before the next request. "
        "The download takes longer, but nothing will be missing; a larger plan has no limit."
    )


def test_a_throttle_lets_so_many_through_in_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = [1000.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    throttle = Throttle(2)
    for _ in range(5):
        throttle.wait()
        now[0] += 1
    assert slept == [58.0, 58.0]


def test_pauses_double_up_to_a_bound() -> None:
    assert [exponential_pause(2.0, count, 60.0) for count in (0, 1, 2, 5, 6, 10_000)] == [2, 2, 4, 32, 60, 60]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        (" 0.5 ", 0.5),
        ("soon", None),
        ("-1", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00", 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header) == seconds
