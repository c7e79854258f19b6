"""How long to pause between attempts, and how often to try."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime

from lumibot_duckdb import clock


@dataclass(frozen=True)
class RetryPolicy:
    """How a provider's requests are repeated. All pauses are in seconds.

    Parameters:
        limit_pause: pause after a rate limit that does not state its length. It doubles with each further rejection;
            with the defaults, the fifth pause ends a minute after the first rejection.
        fault_pause: pause after the first failed attempt. It doubles with each further failure.
        longest_pause: bound of both pauses.
        attempts: how often a request that fails is sent in all. Rejections by a rate limit do not count.
        log_interval: how often, at most, a rate limit is logged.
    """

    limit_pause: float = 2.0
    fault_pause: float = 0.5
    longest_pause: float = 60.0
    attempts: int = 5
    log_interval: float = 300.0


def exponential_pause(first: float, count: int, longest: float) -> float:
    """Return the pause after the count-th failure: twice the previous one, at most `longest`.

    >>> [exponential_pause(2.0, count, 60.0) for count in range(1, 7)]
    [2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    """
    return min(first * 2.0 ** min(max(count, 1) - 1, 30), longest)


def retry_after_seconds(header: str | None) -> float | None:
    """Return the seconds that a Retry-After header requests, which may be a number or a date; None if neither.

    >>> retry_after_seconds("1.5")
    1.5
    """
    if header is None:
        return None
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*", header):
        return float(header)
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=timezone.utc)
    return max((until - clock.utc_now()).total_seconds(), 0.0)
