"""Answers the requests of the providers' official clients from the store, so that this process needs no network.

Lumibot's own classes then fill their caches as if they had queried the provider, so both sides of a comparison have the
same bars. The `stored_provider` module of each source answers its client, at the lowest level whose data is stored.

Our own sources read the store as of one moment, and neither send requests nor write. Answers of a stored provider are
never stored again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from importlib import import_module

from lumibot_duckdb import clock
from lumibot_duckdb.lumibot_contract.enforcement import load_or_explain, require
from lumibot_duckdb.sources.registry import SOURCES
from lumibot_duckdb.sources.shared.stored_answers import StoredAnswers, Unanswered
from lumibot_duckdb.storage.api import DataStorageInterface

__all__ = ["serve_from_store", "served_from", "unanswered"]

_serving = ExitStack()
_notes = Unanswered()


def serve_from_store(storage: DataStorageInterface, *, as_of: datetime | None = None) -> None:
    """Answer the providers' clients in this process from a store, until the process ends.

    Call it before a strategy's source is constructed. Missing keys that Lumibot's classes require are set to a
    placeholder, and pauses between requests are skipped.

    Parameters:
        storage: the store.
        as_of: a tz-aware moment; None for now. Two processes with the same moment read the same history, even if others
            write to the store at the same time.
    """
    global _notes
    _serving.close()
    _notes = _serving.enter_context(served_from(storage, as_of=as_of))


def unanswered() -> list[str]:
    """Return the requests that the store could not answer: one line for each series, with the missing ranges.

    The clients received no data for those ranges. The list is empty if every answer was complete.
    """
    return _notes.lines()


@contextmanager
def served_from(storage: DataStorageInterface, *, as_of: datetime | None = None) -> Iterator[Unanswered]:
    """Do the same as `serve_from_store` within a `with` block; yield the notes of requests without an answer.

    Raises:
        LumibotContractError: the installed Lumibot requests data in another way than the stored providers expect.
    """
    require("stored_provider")
    # Imported late: the clients are slow to import, and Lumibot must read the environment before it is changed.
    from lumibot_duckdb.comparison.stored_provider.conditions import stored_provider_conditions
    from lumibot_duckdb.comparison.stored_provider.live_brokers import unconnected_brokers

    notes = Unanswered()
    answers = StoredAnswers(storage, as_of or clock.utc_now(), notes)
    modules = [spec.stored_provider for spec in SOURCES.values() if spec.stored_provider is not None]
    providers = load_or_explain("stored_provider", lambda: [import_module(each) for each in modules])
    with ExitStack() as replacements:
        replacements.enter_context(stored_provider_conditions(answers.as_of))
        replacements.enter_context(unconnected_brokers())
        for provider in providers:
            replacements.enter_context(provider.answering(answers))
        yield notes
