"""Stands in for the providers in this process: their official clients answer from the store, and reach no network.

Lumibot's own classes then fill caches of their own as if they had asked the provider, and both sides of a comparison
are on the same bars. Each client is replaced at the lowest level at which the store has what is exchanged there:

- Polygon: where the client keeps its connection pool. JSON in Polygon's protocol, so that pages, types and dtypes are
  the client's own work.
- Alpaca: where all of the clients send one request and decode its JSON.
- Yahoo: `Ticker.history` and a ticker's info. What the store holds is what `history` gave; charts of Yahoo's would have
  to be computed back from that.
- ccxt: `load_markets` and `fetch_ohlcv`. Each of its exchanges has a protocol of its own, and ccxt hides it there.

Our own sources read the store as it stood when this began, ask for nothing and write nothing: what a stand-in answers
is never taken for something that a provider said.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone

from lumibot_duckdb.sources.shared.stored_answers import StoredAnswers, Unanswered
from lumibot_duckdb.storage.api import DataStorageInterface

__all__ = ["serve_from_store", "served_from", "unanswered"]

_serving = ExitStack()
_notes = Unanswered()


def serve_from_store(storage: DataStorageInterface, *, as_of: datetime | None = None) -> None:
    """Let the clients of this process answer from a store, for as long as it runs.

    History is read as it stood at `as_of` (tz-aware; default: now), so that two processes that are given the same
    moment have the same, whatever others write meanwhile. Call it before a strategy's source is made. Keys that
    Lumibot's classes insist on are set to a placeholder where there are none, and pauses between requests are left out.
    """
    global _notes
    _serving.close()
    _notes = _serving.enter_context(served_from(storage, as_of=as_of))


def unanswered() -> list[str]:
    """Return what the clients were asked for and the store does not have, a line for each series, with the ranges.

    The clients were told that there is nothing. The list is empty when every answer was complete.
    """
    return _notes.lines()


@contextmanager
def served_from(storage: DataStorageInterface, *, as_of: datetime | None = None) -> Iterator[Unanswered]:
    """Do what `serve_from_store` does for a while; give the notes of what could not be answered."""
    # Late: the clients are slow to import, and Lumibot must have read the environment before it is changed.
    from lumibot_duckdb.comparison.stored_provider import conditions
    from lumibot_duckdb.sources.alpaca import stand_in as alpaca
    from lumibot_duckdb.sources.ccxt import stand_in as ccxt
    from lumibot_duckdb.sources.polygon import stand_in as polygon
    from lumibot_duckdb.sources.yahoo import stand_in as yahoo

    notes = Unanswered()
    answers = StoredAnswers(storage, as_of or datetime.now(timezone.utc), notes)
    with ExitStack() as standing_in:
        standing_in.enter_context(conditions.of_a_stored_provider(answers.as_of))
        for provider in (polygon, yahoo, alpaca, ccxt):
            standing_in.enter_context(provider.answering(answers))
        yield notes
