"""Calls a provider until it answers, refuses, or has failed too often. Rate limits are in `rate_limit.py`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lumibot_duckdb.sources.retry_policy import exponential_pause
from lumibot_duckdb.sources.shared.errors import ProviderError, ProviderUnavailableError
from lumibot_duckdb.sources.shared.rate_limit import RateLimit, StoppedError

Result = TypeVar("Result")


@dataclass(frozen=True)
class RequestFailure:
    """Why a request was not answered.

    Parameters:
        reason: completes the sentence "Polygon …".
        rate_limited: whether there were too many requests; waiting for that does not count as a failed attempt.
        retry_after: the pause that the provider requests, in seconds.
        refusal: the error to raise at once, because sending the request again is pointless.
    """

    reason: str
    rate_limited: bool = False
    retry_after: float | None = None
    refusal: ProviderError | None = None


class RequestFailedError(Exception):
    """Carries a `RequestFailure` from where a request is sent to `call_with_retries`."""

    def __init__(self, failure: RequestFailure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def explain_nothing(error: Exception) -> RequestFailure | None:
    """Explain no exception, for calls that raise nothing but `RequestFailedError`."""
    return None


def call_with_retries(
    call: Callable[[], Result],
    limit: RateLimit,
    *,
    name: str,
    explain: Callable[[Exception], RequestFailure | None] = explain_nothing,
    stop: threading.Event | None = None,
) -> Result:
    """Call a provider until it answers; during an outage, call it once.

    Errors of HTTP libraries may quote a request with its key, so no error that is raised here is chained to one.

    Parameters:
        call: sends the request, and returns the answer or raises.
        limit: the provider's rate limit, with the policy for retries.
        name: the provider's name, for error messages.
        explain: returns what an exception of `call` means, or None to raise it unchanged. `RequestFailedError` needs
            no explanation.
        stop: set it from another thread to end the call early.

    Returns:
        the answer.

    Raises:
        ProviderUnavailableError: every attempt failed, or the only one during an outage.
        RateLimitedError: the rate limit outlasted its bound (`RateLimit.longest_wait`).
        ProviderError: the provider refused the request (`RequestFailure.refusal`).
        StoppedError: `stop` was set.
    """
    policy, outage = limit.policy, limit.outage
    stop = stop or threading.Event()
    began = time.monotonic()
    failures = waits = 0
    waited = 0.0
    while True:
        limit.wait(stop)
        sent = time.monotonic()
        try:
            answer = call()
        except RequestFailedError as error:
            failure = error.failure
        except Exception as error:
            explained = explain(error)
            if explained is None:
                raise
            failure = explained
        else:
            limit.record_success(sent)
            outage.record_answer()
            return answer
        if failure.refusal is not None:
            outage.record_answer()
            raise failure.refusal
        if failure.rate_limited:
            outage.record_answer()
            waits += 1
            waited += limit.record_rejection(sent, failure.retry_after, limit.longest_wait(waits, waited))
            continue
        failures += 1
        if failures >= policy.attempts or outage.lasts:
            times = "as in earlier requests" if failures < policy.attempts else f"{failures} times in a row"
            outage.record_failure(began)
            raise ProviderUnavailableError(
                f"{name} {failure.reason}, {times}: try again later, and check the network connection if that does not "
                "help."
            )
        pause = failure.retry_after or exponential_pause(policy.fault_pause, failures, policy.longest_pause)
        if stop.wait(min(pause, policy.longest_pause)):
            raise StoppedError
