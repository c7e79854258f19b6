"""What the answers and errors of all providers have in common."""

from __future__ import annotations

import curl_cffi.requests.exceptions as curl
import pytest
import requests
import urllib3.exceptions as urllib3

from lumibot_duckdb.sources.shared.http_errors import (
    describe_connection_error,
    is_transient,
    json_object,
    quotable,
    quote_of,
    request_error,
)

TIMEOUT = "did not answer in time"
UNREACHABLE = "could not be reached"
NOT_FOUND = "could not be found (its name does not resolve)"
CERTIFICATE = "could not be reached safely (its certificate was not accepted)"
BROKEN = "closed the connection before the answer was complete"


@pytest.mark.parametrize(
    ("error", "description"),
    [
        (urllib3.NameResolutionError("host", None, OSError()), NOT_FOUND),
        (urllib3.NewConnectionError(None, ""), UNREACHABLE),
        (urllib3.ConnectTimeoutError(), UNREACHABLE),
        (urllib3.ReadTimeoutError(None, "", ""), TIMEOUT),
        (urllib3.SSLError(), CERTIFICATE),
        (urllib3.ProtocolError(), BROKEN),
        (urllib3.IncompleteRead(1, 2), BROKEN),
        (requests.exceptions.SSLError(), CERTIFICATE),
        (requests.exceptions.ConnectTimeout(), UNREACHABLE),
        (requests.exceptions.ReadTimeout(), TIMEOUT),
        (requests.exceptions.ChunkedEncodingError(), BROKEN),
        (requests.exceptions.ConnectionError(), UNREACHABLE),
        (curl.DNSError(""), NOT_FOUND),
        (curl.CertificateVerifyError(""), CERTIFICATE),
        (curl.Timeout(""), TIMEOUT),
        (curl.ConnectionError(""), UNREACHABLE),
        (curl.IncompleteRead(""), BROKEN),
        (ConnectionRefusedError(), UNREACHABLE),
        (TimeoutError(), TIMEOUT),
        (requests.exceptions.InvalidURL(), "something else"),
        (ValueError(), "something else"),
    ],
    ids=lambda value: f"{type(value).__module__}.{type(value).__name__}" if isinstance(value, Exception) else "",
)
def test_the_same_fault_has_the_same_description_in_every_http_library(error: Exception, description: str) -> None:
    assert describe_connection_error(error, "something else") == description


def test_transient_statuses() -> None:
    assert [status for status in range(400, 600, 1) if is_transient(status)] == [408, 425, 499, *range(500, 600)]
    assert is_transient(413, also=[413])


@pytest.mark.parametrize("body", ["", "[1]", "null", b"\xff", b"{'a': 1}", "1"])
def test_a_body_that_is_not_a_json_object(body: str | bytes) -> None:
    assert json_object(body) is None


def test_a_json_object() -> None:
    assert json_object(b'{"a": {"b": 1}}') == {"a": {"b": 1}}


def test_a_quote_has_no_secret_and_an_end() -> None:
    assert quotable("the key abc is unknown", ["abc", ""]) == "the key … is unknown"
    assert len(quotable("x" * 1_000)) == 300
    assert quote_of("Polygon", "") == ""


def test_a_request_that_is_wrong() -> None:
    assert str(request_error("Polygon", 400, "No.")) == (
        "Polygon answered with HTTP status 400 (Polygon says: No): check the symbol and the dates."
    )
