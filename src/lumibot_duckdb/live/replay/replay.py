"""Replays a session: backtests its strategy on the recorded bars, and compares both."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lumibot_duckdb.live.replay.equity import EquityComparison, compare_equity
from lumibot_duckdb.live.replay.errors import ReplayError
from lumibot_duckdb.live.replay.orders import FilledOrder, OrderPair, orders_of, pair_orders
from lumibot_duckdb.live.replay.requests import (
    EXPECTED,
    EXPLANATIONS,
    MISSING,
    Iterations,
    RequestComparison,
    compare_requests,
    outcomes,
)
from lumibot_duckdb.results.live_sessions import LiveSessions

if TYPE_CHECKING:
    from lumibot_duckdb.live.replay.recorded_bars import RecordedBars, StoredTimes
    from lumibot_duckdb.results.live_records import StoredSession
    from lumibot_duckdb.storage.api import AsOf, DataStorageInterface

_LATE_BARS = (
    "Bars are recorded 15 minutes after their end, so the last ones of a session are missing at first. Backtests of "
    "its day download what was not recorded from Alpaca and exchanges, and so does the next start of live trading."
)


@dataclass(frozen=True)
class Replay:
    """A session beside its backtest.

    Attributes:
        session: What is stored of the session.
        first: When its first iteration was (UTC).
        last: When its last one was.
        source: The series that the backtest read, or the name of its data source.
        requests: Each request for bars or a price, on both sides.
        orders: Each order with its fills, on both sides.
        equity: The values of the portfolio.
        notes: What else explains differences, in sentences.
    """

    session: StoredSession
    first: datetime
    last: datetime
    source: tuple[str, ...]
    requests: tuple[RequestComparison, ...]
    orders: tuple[OrderPair, ...]
    equity: EquityComparison
    notes: tuple[str, ...]

    @property
    def saw_the_same(self) -> bool:
        """Whether the backtest saw the same closed bars in every request of the session."""
        return all(each.outcome in EXPECTED for each in self.requests)

    @property
    def traded_the_same(self) -> bool:
        """Whether both made the same orders with the same results, apart from prices and times."""
        return all(pair.is_equal for pair in self.orders)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values for JSON, without the values of the portfolio at each time."""
        return {
            "session": self.session.record.name,
            "strategy": self.session.record.strategy,
            "status": self.session.status,
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "lost": self.session.lost,
            "source": list(self.source),
            "saw_the_same": self.saw_the_same,
            "traded_the_same": self.traded_the_same,
            "outcomes": outcomes(self.requests),
            "requests": [_plain(asdict(each)) for each in self.requests],
            "orders": [
                {
                    "live": None if pair.live is None else _plain(asdict(pair.live)),
                    "backtest": None if pair.backtest is None else _plain(asdict(pair.backtest)),
                    "slippage": pair.slippage,
                    "cost": pair.cost,
                }
                for pair in self.orders
            ],
            "equity": _plain(
                {
                    name: getattr(self.equity, name)
                    for name in ("live_return", "backtest_return", "largest_difference", "largest_at")
                }
            ),
            "notes": list(self.notes),
        }


def replay_session(
    session: str,
    strategy: type[Any] | str | os.PathLike[str],
    *,
    results: str | os.PathLike[str] | None = None,
    store: str | os.PathLike[str] | None = None,
    source: str | None = None,
    adjustment: str | None = None,
    as_of: AsOf | None = None,
    data_source: Any = None,
    arguments: Sequence[str] = (),
) -> Replay:
    """Backtest a session of live trading from its recorded bars, and compare what was seen and done.

    Nothing is downloaded, unless `data_source` does it.

    Parameters:
        session: The name of the session.
        strategy: The class of its strategy, or the script that has it.
        results: The results database; by default the one of the store.
        store: The store with the bars; by default the one that the session recorded into, or else the default store.
        source: Read bars from this source only, such as "alpaca"; by default, for each asset the series that covers
            most of the session.
        adjustment: Read bars with this adjustment only.
        as_of: A moment (tz-aware) or the name of a snapshot: read the bars as they were then. By default as they are
            now.
        data_source: A class of data source for the backtest, instead of the recorded series.
        arguments: Those of the script.

    Raises `SessionNotFoundError`, and `ReplayError` if nothing was recorded, the store does not have the bars, or the
    script does not have the strategy. What the strategy raises is raised, too.
    """
    sessions = LiveSessions(_results_path(results, store))
    stored, live = sessions.session(session), sessions.tables(session)
    first, last = _span(session, live)
    chosen = _strategy(strategy, stored, arguments)
    notes = _notes(stored, live)
    kind, times = data_source, None
    names: tuple[str, ...] = (getattr(data_source, "__name__", str(data_source)),)
    if data_source is None:
        kind, bars, times = _own_bars(live, (first, last), store or stored.record.store, source, adjustment, as_of)
        names = tuple(key.label() for key in bars.series)
        if bars.missing:
            notes.append(f"The store has no {bars.timeframe} bars of {', '.join(bars.missing)}.")
    from lumibot_duckdb.live.replay.backtest import backtest_session, changed_parameters, changed_sleeptime

    settings = stored.record.settings
    if changed := changed_parameters(chosen, settings):
        notes.append(
            f"The session had other values of {', '.join(changed)}, which cannot be restored: the backtest has those "
            "of the script."
        )
    backtested = backtest_session(chosen, kind, first, last, settings, _budget(live))
    if changed_sleeptime(backtested.sleeptime, settings):
        notes.append(
            f"The sleeptime was {settings['sleeptime']} in the session, and is {backtested.sleeptime} in the backtest: "
            "one of them makes requests that the other does not make."
        )
    backtest = _until(last, backtested.tables)
    within = timedelta(microseconds=Iterations.of(backtest).step * 3 // 2)
    requests = compare_requests(live, backtest, times)
    if any(each.outcome == MISSING for each in requests):
        notes.append(_LATE_BARS)
    return Replay(
        session=stored,
        first=first,
        last=last,
        source=names,
        requests=tuple(requests),
        orders=tuple(pair_orders(orders_of(live), orders_of(backtest), within)),
        equity=compare_equity(live, backtest),
        notes=tuple(notes),
    )


def _results_path(results: str | os.PathLike[str] | None, store: str | os.PathLike[str] | None) -> Path:
    from lumibot_duckdb.results.location import results_path

    return results_path(results, store)


def _span(session: str, live: Mapping[str, pa.Table]) -> tuple[datetime, datetime]:
    """Return when the first and the last iteration requested something or had a value."""
    requested, valued = (live[table]["time"].to_pylist() for table in ("live_requests", "equity"))
    times = [*requested, *valued[1:]] or valued  # the first value is from before the first iteration
    if not times:
        raise ReplayError(f"the session {session} has recorded no request and no value, so there is nothing to replay")
    return min(times), max(times)


def _strategy(given: type[Any] | str | os.PathLike[str], stored: StoredSession, arguments: Sequence[str]) -> type[Any]:
    if isinstance(given, type):
        return given
    from lumibot_duckdb.live.replay.script_strategy import strategy_of_script

    return strategy_of_script(Path(given), str(stored.record.settings.get("class", "")), arguments)


def _own_bars(
    live: dict[str, pa.Table],
    span: tuple[datetime, datetime],
    store: str | os.PathLike[str] | None,
    source: str | None,
    adjustment: str | None,
    as_of: AsOf | None,
) -> tuple[Any, RecordedBars, StoredTimes]:
    """Return the class of the data source that reads the recorded series, these series, and which bars they have."""
    from lumibot_duckdb.backtesting import PandasDataBacktesting
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.live.replay.recorded_bars import recorded_bars, stored_times
    from lumibot_duckdb.storage.api import TimeRange
    from lumibot_duckdb.storage.times import epoch_seconds

    storage: DataStorageInterface = DuckDBDataStorage(store)
    covered = TimeRange(epoch_seconds(span[0]), epoch_seconds(span[1]) + 1)
    bars = recorded_bars(storage, live, covered, source=source, adjustment=adjustment)
    assets: dict[str, list[Any]] = {}
    for key in bars.series:
        assets.setdefault(key.source, []).append(key.asset)
    kind = PandasDataBacktesting.using(
        storage, assets=assets, timestep=bars.timeframe, adjustment=adjustment, as_of=as_of
    )
    return kind, bars, stored_times(storage, bars, live, as_of)


def _until(last: datetime, tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """Leave out what a backtest requested and ordered after the end of the session. Its last orders may still fill."""
    import pyarrow.compute as pc

    kept = dict(tables)
    for name in ("live_requests", "live_orders", "equity"):
        kept[name] = kept[name].filter(pc.less_equal(kept[name]["time"], pa.scalar(last, kept[name]["time"].type)))
    return kept


def _budget(live: Mapping[str, pa.Table]) -> float:
    values = [value for value in live["equity"]["value"].to_pylist() if value is not None]
    return float(values[0]) if values else 100_000.0


def _notes(stored: StoredSession, live: Mapping[str, pa.Table]) -> list[str]:
    notes = []
    values = live["equity"].to_pylist()
    if values and None not in (values[0]["value"], values[0]["cash"]) and values[0]["value"] != values[0]["cash"]:
        notes.append(
            f"The account held positions worth {values[0]['value'] - values[0]['cash']:,.2f} when the session began; "
            "the backtest begins with cash only."
        )
    if stored.lost:
        notes.append(f"{stored.lost:,} rows of the session were lost, so some requests cannot be compared.")
    if stored.status == "running":
        notes.append("The session still runs; this is what it has written so far.")
    return notes


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values for JSON: moments as texts."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else _plain(value) if isinstance(value, dict) else value
        for name, value in values.items()
    }


__all__ = ["EXPLANATIONS", "FilledOrder", "Replay", "ReplayError", "replay_session"]
