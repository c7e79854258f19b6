"""Checks of JSON, quotes and error messages for the HTTP responses of all providers."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from lumibot_duckdb.sources.shared.errors import ProviderError

TOO_MANY_REQUESTS = 429

_LONGEST_QUOTE = 300
_TRANSIENT = frozenset({408, 425, 499})  # and every status from 500

# The official clients use different HTTP libraries (urllib3, requests, curl_cffi) with similar names of errors. The
# first row that has the class of an error, or one of its base classes, describes the error.
_CONNECTION_ERRORS: tuple[tuple[str, frozenset[str]], ...] = (
    ("could not be found (its name does not resolve)", frozenset({"NameResolutionError", "DNSError"})),
    (
        "could not be reached safely (its certificate was not accepted)",
        frozenset({"SSLError", "CertificateVerifyError"}),
    ),
    ("could not be reached", frozenset({"NewConnectionError", "ConnectTimeoutError", "ConnectTimeout"})),
    ("did not answer in time", frozenset({"ReadTimeoutError", "ReadTimeout", "Timeout", "TimeoutError"})),
    (
        "closed the connection before the answer was complete",
        frozenset({"ChunkedEncodingError", "ProtocolError", "IncompleteRead"}),
    ),
    ("could not be reached", frozenset({"ConnectionError", "ConnectionRefusedError"})),
)


def describe_connection_error(error: BaseException, otherwise: str) -> str:
    """Return what went wrong with a connection, completing the sentence "Polygon …"; `otherwise` for other errors.

    The error's own text is left out, because it may quote the request with its key.
    """
    classes = {each.__name__ for each in type(error).__mro__}
    return next((description for description, names in _CONNECTION_ERRORS if names & classes), otherwise)


def is_transient(status: int, also: Collection[int] = ()) -> bool:
    """Return whether the same request may succeed later after an answer with this HTTP status (or one of `also`)."""
    return status >= 500 or status in _TRANSIENT or status in also


def json_object(text: str | bytes) -> Mapping[str, Any] | None:
    """Return a body as a JSON object; None if it is something else."""
    try:
        body = json.loads(text)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def quotable(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a provider's message without secrets, cut to a readable length."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "…")
    return text[:_LONGEST_QUOTE]


def quote_of(provider: str, message: str) -> str:
    """Return a provider's message in parentheses, to be appended to ours; empty if there is none.

    >>> quote_of("Polygon", "Unknown API Key.")
    ' (Polygon says: Unknown API Key)'
    """
    message = message.rstrip(".")
    return f" ({provider} says: {message})" if message else ""


def request_error(provider: str, status: int, message: str) -> ProviderError:
    """Return the error for a request that the provider rejects as invalid."""
    quote = quote_of(provider, message)
    return ProviderError(f"{provider} answered with HTTP status {status}{quote}: check the symbol and the dates.")
