"""The errors that providers raise. Each message states what went wrong and how to fix it; none contains a key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lumibot_duckdb.sources.shared.days import DaySpan


class ProviderError(Exception):
    """Base class of the errors that this package's providers raise."""


class InvalidKeyError(ProviderError):
    """The provider does not accept the key, or there is no key."""


class PlanLimitError(ProviderError):
    """The plan behind the key does not include the requested data.

    Attributes:
        refused: the spans of days that the provider refused, in order; empty if the request was not about days. All
            other requested days were delivered.
    """

    def __init__(self, message: str, refused: Iterable[DaySpan] = ()) -> None:
        super().__init__(message)
        self.refused = tuple(sorted(refused))


class UnknownSymbolError(ProviderError):
    """The provider does not know the symbol."""


class UnknownMarketError(ProviderError, ValueError):
    """The exchange does not have this market. It is a `ValueError` because Lumibot raises one."""


class RateLimitedError(ProviderError):
    """The provider's rate limit did not end within the configured bound. Without a bound, downloads keep waiting."""


class ProviderUnavailableError(ProviderError):
    """The provider could not be reached, or every attempt failed."""


class DownloadIncompleteError(ProviderError):
    """Some of the requested days could not be downloaded; all others were delivered.

    Attributes:
        failed: the error of each span of days that failed and can be requested again, in order.
        refused: the spans that the plan does not include, in order.
    """

    def __init__(
        self, message: str, failed: Mapping[DaySpan, ProviderError] | None = None, refused: Iterable[DaySpan] = ()
    ) -> None:
        super().__init__(message)
        self.failed = dict(sorted((failed or {}).items()))
        self.refused = tuple(sorted(refused))
