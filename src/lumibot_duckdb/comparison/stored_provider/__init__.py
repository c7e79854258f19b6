"""The providers, answered from the store: in this process, their official clients reach no network.

Lumibot's own classes then fill caches of their own as if they had queried the provider, so both sides of a comparison
have the same bars. Each client is replaced at the lowest level at which the store has what is exchanged there; the
`stand_in` module of each source does so.

Our own sources read the store as it stood when this began, and neither request nor write anything: an answer of a
stand-in is never stored as a provider's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from importlib import import_module

from lumibot_duckdb.lumibot_contract.fallback import load_or_explain, require
from lumibot_duckdb.sources.registry import SOURCES
from lumibot_duckdb.sources.shared.stored_answers import StoredAnswers, Unanswered
from lumibot_duckdb.storage.api import DataStorageInterface

__all__ = ["serve_from_store", "served_from", "unanswered"]

_serving = ExitStack()
_notes = Unanswered()


def serve_from_store(storage: DataStorageInterface, *, as_of: datetime | None = None) -> None:
    """Let the clients of this process answer from a store, for as long as it runs.

    Call it before a strategy's source is constructed. Keys that Lumibot's classes insist on are set to a placeholder
    where there are none, and pauses between requests are left out.

    Parameters:
        storage: the store.
        as_of: a tz-aware moment; None for now. History is read as it stood then, so two processes with the same moment
            have the same history, whatever others write meanwhile.
    """
    global _notes
    _serving.close()
    _notes = _serving.enter_context(served_from(storage, as_of=as_of))


def unanswered() -> list[str]:
    """Return the requests that the store could not answer: a line for each series, with the ranges.

    The clients were told that there is nothing. The list is empty when every answer was complete.
    """
    return _notes.lines()


@contextmanager
def served_from(storage: DataStorageInterface, *, as_of: datetime | None = None) -> Iterator[Unanswered]:
    """Do as `serve_from_store` until the context ends; yield the notes of what could not be answered.

    Raises:
        LumibotContractError: the installed Lumibot requests data in another way than the stand-ins expect.
    """
    require("stored_provider")
    # Late: the clients are slow to import, and Lumibot must have read the environment before it is changed.
    from lumibot_duckdb.comparison.stored_provider.conditions import conditions_of_a_stored_provider

    notes = Unanswered()
    answers = StoredAnswers(storage, as_of or datetime.now(timezone.utc), notes)
    modules = [spec.stand_in for spec in SOURCES.values() if spec.stand_in is not None]
    stand_ins = load_or_explain("stored_provider", lambda: [import_module(each) for each in modules])
    with ExitStack() as standing_in:
        standing_in.enter_context(conditions_of_a_stored_provider(answers.as_of))
        for stand_in in stand_ins:
            standing_in.enter_context(stand_in.answering(answers))
        yield notes
