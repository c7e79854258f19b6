"""Every error that a provider raises on purpose. Each message says what was wrong and what to do; none holds a key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lumibot_duckdb.sources.shared.days import DaySpan


class ProviderError(Exception):
    """Base of all errors of this package's providers."""


class InvalidKeyError(ProviderError):
    """The provider does not know the key, or there is none."""


class PlanLimitError(ProviderError):
    """The plan behind the key does not include what was asked for.

    `refused` holds the spans of days that were refused, in order; everything else that was asked for was delivered.
    It is empty where no days were asked for.
    """

    def __init__(self, message: str, refused: Iterable[DaySpan] = ()) -> None:
        super().__init__(message)
        self.refused = tuple(sorted(refused))


class UnknownSymbolError(ProviderError):
    """The provider has nothing under that symbol."""


class UnknownMarketError(ProviderError, ValueError):
    """The exchange has no such market. A `ValueError`, since that is what Lumibot raises."""


class RateLimitedError(ProviderError):
    """The provider's rate limit outlasted the bounds that the environment sets; without bounds a download waits."""


class ProviderUnavailableError(ProviderError):
    """The provider could not be reached, or went on failing, however often it was asked."""


class DownloadIncompleteError(ProviderError):
    """Some of the days that were asked for could not be downloaded; all the others were delivered.

    `failed` maps each span of days that is to be asked for again to what went wrong with it. `refused` holds the spans
    that the plan does not include, if there were any as well.
    """

    def __init__(
        self, message: str, failed: Mapping[DaySpan, ProviderError] | None = None, refused: Iterable[DaySpan] = ()
    ) -> None:
        super().__init__(message)
        self.failed = dict(sorted((failed or {}).items()))
        self.refused = tuple(sorted(refused))
