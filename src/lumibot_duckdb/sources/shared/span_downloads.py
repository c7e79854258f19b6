"""Downloads spans of days in parallel, with a progress bar and one error at the end for everything that is missing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import Any, TypeVar

from lumibot_duckdb.sources.shared.days import DaySpan, joined
from lumibot_duckdb.sources.shared.errors import DownloadIncompleteError, InvalidKeyError, PlanLimitError, ProviderError
from lumibot_duckdb.sources.shared.parallel import as_they_finish
from lumibot_duckdb.sources.shared.progress import downloading

Span = TypeVar("Span", bound=DaySpan)
Result = TypeVar("Result")


def download_spans(
    download: Callable[[Span], Result],
    spans: Sequence[Span],
    *,
    name: str,
    provider: str,
    workers: int,
    stop: threading.Event,
    progress: bool = True,
) -> Generator[tuple[Span, Result], None, None]:
    """Yield each span with its download as soon as it arrives.

    Close the generator to stop early: this sets `stop`, and no further span is requested.

    Parameters:
        download: downloads one span.
        spans: what to download.
        name: the series, for the progress bar and errors ("AAPL minute").
        provider: the provider's name, for errors.
        workers: how many spans are downloaded at a time.
        stop: set to end the downloads; share it with `call_with_retries`.
        progress: whether a progress bar may be shown.

    Raises:
        InvalidKeyError: the provider does not accept the key.
        PlanLimitError: the plan does not include some of the spans. All others were yielded before.
        DownloadIncompleteError: some of the spans could not be downloaded. All others were yielded before.
    """
    failed: dict[DaySpan, ProviderError] = {}
    refused: dict[DaySpan, PlanLimitError] = {}
    with (
        downloading(name, len(spans), shown=progress) as bar,
        closing(as_they_finish(download, spans, workers=workers, stop=stop)) as finished,
    ):
        for span, outcome in finished:
            bar.advance()
            if isinstance(outcome, PlanLimitError):
                refused[span] = outcome
            elif isinstance(outcome, InvalidKeyError):
                raise outcome
            elif isinstance(outcome, ProviderError):
                failed[span] = outcome
            elif isinstance(outcome, Exception):
                failed[span] = ProviderError(f"{provider}'s answer could not be read ({outcome!r}).")
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                yield span, outcome
    if failed or refused:
        raise _missing_spans_error(name, failed, refused)


def _missing_spans_error(
    name: str, failed: Mapping[DaySpan, ProviderError], refused: Mapping[DaySpan, PlanLimitError]
) -> ProviderError:
    plan = f"{name} of {_days(refused)} refused: {next(iter(refused.values()))}" if refused else ""
    if not failed:
        return PlanLimitError(plan, refused)
    causes = " ".join(dict.fromkeys(str(error) for error in failed.values()))
    message = f"{name} of {_days(failed)} could not be downloaded (a second run requests only these): {causes}"
    return DownloadIncompleteError(f"{message} {plan}".rstrip(), failed, refused)


def _days(spans: Mapping[DaySpan, Any]) -> str:
    return ", ".join(str(span) for span in joined(spans))
