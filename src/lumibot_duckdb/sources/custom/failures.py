"""What an exception of a user's provider means: whether to retry, and which error to raise."""

from __future__ import annotations

from typing import Any

from lumibot_duckdb.sources.retry_policy import retry_after_seconds
from lumibot_duckdb.sources.shared.errors import InvalidKeyError
from lumibot_duckdb.sources.shared.http_errors import (
    TOO_MANY_REQUESTS,
    describe_connection_error,
    is_transient,
    request_error,
)
from lumibot_duckdb.sources.shared.retry import RequestFailure


def explain(error: Exception, provider: str) -> RequestFailure | None:
    """Return what an exception means for the request; None for one that is raised unchanged.

    Exceptions with an HTTP response (`requests.HTTPError`, `httpx.HTTPStatusError`) are explained by its status, and
    those of a connection by their class. Their texts are not used, since they may quote an address with a key.
    """
    response: Any = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if isinstance(status, int):
        return _explain_status(status, retry_after_seconds(response.headers.get("Retry-After")), provider)
    reason = describe_connection_error(error, "")
    return RequestFailure(reason) if reason else None


def _explain_status(status: int, retry_after: float | None, provider: str) -> RequestFailure:
    reason = f"answered with HTTP status {status}"
    if status == TOO_MANY_REQUESTS:
        return RequestFailure(reason, rate_limited=True, retry_after=retry_after)
    if is_transient(status):
        return RequestFailure(reason, retry_after=retry_after)
    if status in (401, 403):
        refusal = InvalidKeyError(f"{provider} {reason}: check the key, and whether its plan includes these bars.")
        return RequestFailure(reason, refusal=refusal)
    return RequestFailure(reason, refusal=request_error(provider, status, ""))
