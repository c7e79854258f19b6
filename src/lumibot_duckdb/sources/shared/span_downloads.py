"""Downloads of spans of days: several at once, a progress bar, and one error at the end for all that is missing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import Any, TypeVar

from tqdm import tqdm

from lumibot_duckdb.sources.shared.days import DaySpan, joined
from lumibot_duckdb.sources.shared.errors import DownloadIncompleteError, InvalidKeyError, PlanLimitError, ProviderError
from lumibot_duckdb.sources.shared.parallel import as_they_arrive

Result = TypeVar("Result")


def downloaded(
    download: Callable[[DaySpan], Result],
    spans: Sequence[DaySpan],
    *,
    what: str,
    provider: str,
    workers: int,
    stop: threading.Event,
    progress: bool = True,
) -> Generator[tuple[DaySpan, Result], None, None]:
    """Yield each span with what `download` made of it, as soon as it has arrived.

    `what` names the series in the progress bar and in errors. Stop early by closing the iterator: `stop` is set, and no
    further span is begun then.

    Raises:
        InvalidKeyError: the provider does not accept the key.
        PlanLimitError: the plan does not include some of the spans. All others were yielded before.
        DownloadIncompleteError: some of the spans could not be downloaded. All others were yielded before.
    """
    failed: dict[DaySpan, ProviderError] = {}
    refused: dict[DaySpan, PlanLimitError] = {}
    with (
        tqdm(
            total=len(spans), desc=f"Downloading {what}", dynamic_ncols=True, disable=None if progress else True
        ) as bar,
        closing(as_they_arrive(download, spans, workers=workers, stop=stop)) as arriving,
    ):
        for span, outcome in arriving:
            bar.update(1)
            if isinstance(outcome, PlanLimitError):
                refused[span] = outcome
            elif isinstance(outcome, InvalidKeyError):
                raise outcome
            elif isinstance(outcome, ProviderError):
                failed[span] = outcome
            elif isinstance(outcome, Exception):
                failed[span] = ProviderError(f"{provider}'s answer could not be understood ({outcome!r}).")
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                yield span, outcome
    if failed or refused:
        raise _shortfall(what, failed, refused)


def _shortfall(
    what: str, failed: Mapping[DaySpan, ProviderError], refused: Mapping[DaySpan, PlanLimitError]
) -> ProviderError:
    """Return the error for the spans that are missing at the end of a download."""
    plan = f"{what} of {_named(refused)} refused: {next(iter(refused.values()))}" if refused else ""
    if not failed:
        return PlanLimitError(plan, refused)
    causes = " ".join(dict.fromkeys(str(error) for error in failed.values()))
    message = f"{what} of {_named(failed)} could not be downloaded (asking again will ask for these only): {causes}"
    return DownloadIncompleteError(f"{message} {plan}".rstrip(), failed, refused)


def _named(spans: Mapping[DaySpan, Any]) -> str:
    return ", ".join(str(span) for span in joined(spans))
