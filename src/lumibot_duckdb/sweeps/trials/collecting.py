"""The record of a backtest that has ended, collected from its strategy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lumibot_duckdb.comparison.frame_figures import column_of_numbers, figures_of_frames, text_of
from lumibot_duckdb.comparison.parameters import parameter_values
from lumibot_duckdb.comparison.redaction import redacted, without
from lumibot_duckdb.comparison.trades import symbol_of
from lumibot_duckdb.comparison.trading_statistics import statistics_of
from lumibot_duckdb.comparison.truncate import truncate
from lumibot_duckdb.comparison.versions import versions_of_run
from lumibot_duckdb.lumibot_contract import strategy_access
from lumibot_duckdb.results.records import DAILY_SCHEMA, EQUITY_SCHEMA, TRADES_SCHEMA, Status, TrialRecord
from lumibot_duckdb.sweeps.trials.risk_free_rates import risk_free_rate_of

if TYPE_CHECKING:
    import pandas as pd

_CONTRACT = ("symbol", "asset.asset_type", "asset.expiration", "asset.strike", "asset.right")


def record_of(
    strategy: Any,
    *,
    started: datetime,
    seconds: float,
    status: Status = "complete",
    cpu_seconds: float = 0.0,
    peak_memory: int = 0,
    own_memory: int | None = None,
    objective: str | None = None,
    error: str | None = None,
    traceback: str | None = None,
    secrets: frozenset[str] = frozenset(),
) -> TrialRecord:
    """Return the record of a backtest that has ended, also of one that an error stopped.

    Parameters:
        strategy: Lumibot's strategy after its backtest.
        objective: The name of the statistic that the sweep optimises, one of `trading_statistics.STYLES`.
        secrets: Keys that are removed from all texts of the record.

    The other parameters are the attributes of `TrialRecord`. The risk-free rate of the statistics is the one that
    Lumibot read, if `note_risk_free_rates` was called before the backtest. Nothing is downloaded.

    Importing quantstats, for the first record of a process, takes seconds.
    """
    events, values = strategy_access.trade_events(strategy), strategy_access.portfolio_values(strategy)
    returns = strategy_access.daily_returns(strategy)
    own_returns = None if returns is None else returns["strategy"]
    rate = risk_free_rate_of(strategy)
    found = statistics_of(figures_of_frames(events, values, own_returns, rate))
    statistics = {name: statistic.value for name, statistic in found.items()}
    return TrialRecord(
        parameters=parameter_values(strategy_access.parameters_of(strategy), secrets),
        status=status,
        started=started,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        peak_memory=peak_memory,
        own_memory=own_memory,
        statistics=statistics,
        risk_free_rate=rate,
        objective=None if objective is None else statistics[objective],
        error=None if error is None else truncate(redacted(" ".join(error.split()), secrets)),
        traceback=None if traceback is None else redacted(traceback, secrets),
        versions=versions_of_run(),
        equity=_equity(values),
        trades=_trades(events, secrets),
        daily_returns=_daily(returns),
    )


def _equity(values: pd.DataFrame) -> pa.Table:
    if "datetime" not in values:
        return EQUITY_SCHEMA.empty_table()
    columns = {"value": "portfolio_value", "cash": "cash"}
    numbers = {ours: column_of_numbers(values, theirs).to_numpy() for ours, theirs in columns.items()}
    return _table({"time": _utc(values["datetime"]), **numbers}, EQUITY_SCHEMA)


def _trades(events: pd.DataFrame, secrets: frozenset[str]) -> pa.Table:
    """Return the log of trade events, without those that concern no asset, such as deposits."""
    if "time" not in events:
        return TRADES_SCHEMA.empty_table()
    texts = {name: [without(text_of(value), secrets) for value in events[name]] for name in ("status", "side", "type")}
    numbers = {"quantity": "filled_quantity", "price": "price", "fees": "trade_cost"}
    columns = {
        "time": _utc(events["time"]),
        "event": texts["status"],
        "asset": _assets(events, secrets),
        "side": texts["side"],
        "type": texts["type"],
        **{ours: column_of_numbers(events, theirs).to_numpy() for ours, theirs in numbers.items()},
    }
    return _table(columns, TRADES_SCHEMA)


def _assets(events: pd.DataFrame, secrets: frozenset[str]) -> list[str]:
    """Return the name of each event's asset. There are few assets, so each is named once."""
    names: dict[tuple[str, ...], str] = {}
    columns = [name for name in _CONTRACT if name in events]
    found = []
    for values in zip(*(map(text_of, events[name]) for name in columns), strict=True):
        if values not in names:
            names[values] = without(symbol_of(dict(zip(columns, values, strict=True))), secrets)
        found.append(names[values])
    return found


def _daily(returns: pd.DataFrame | None) -> pa.Table:
    if returns is None:
        return DAILY_SCHEMA.empty_table()
    numbers = {"value": "strategy", "benchmark": "benchmark"}
    columns = {ours: column_of_numbers(returns, theirs).to_numpy() for ours, theirs in numbers.items()}
    return _table({"day": returns.index.to_numpy().astype("datetime64[D]"), **columns}, DAILY_SCHEMA)


def _utc(times: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    return pd.to_datetime(times, utc=True, cache=False).astype("datetime64[us, UTC]")


def _table(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    arrays = [pa.array(columns[field.name], field.type, from_pandas=True) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)
