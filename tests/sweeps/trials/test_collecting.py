"""A record of a backtest has the statistics that `compare` computes from the same backtest's texts."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lumibot.entities import Asset, Order

from hypothesis_settings import examples
from lumibot_duckdb.comparison.outcome import Backtest, Table
from lumibot_duckdb.comparison.parameters import parameter_values
from lumibot_duckdb.comparison.trading_statistics import Statistic, trading_statistics
from lumibot_duckdb.comparison.value_text import cell
from lumibot_duckdb.lumibot_contract import strategy_access
from lumibot_duckdb.results.records import DAILY_SCHEMA, EQUITY_SCHEMA, TRADES_SCHEMA
from lumibot_duckdb.sweeps.trials.collecting import record_of
from lumibot_duckdb.sweeps.trials.risk_free_rates import risk_free_rate_of

pytestmark = pytest.mark.xdist_group("statistics")  # importing quantstats takes seconds

NOW = datetime(2024, 6, 3, tzinfo=timezone.utc)
STATUSES = ("new", "fill", "partial_fill", "cash_settled", "canceled", "expired", "stock_split")
NUMBERS = st.sampled_from([0.0, 1.0, 2.0, 2.5, math.nan, None])
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "status": st.sampled_from(STATUSES),
            "side": st.sampled_from([Order.OrderSide.BUY, Order.OrderSide.SELL, "buy_to_open", None]),
            "symbol": st.sampled_from(["SPY", "7203"]),
            "filled_quantity": NUMBERS,
            "price": NUMBERS,
            "trade_cost": NUMBERS,
            "asset.multiplier": st.sampled_from([1, 100]),
            "asset.strike": st.sampled_from([0.0, 400.0]),
            "asset.asset_type": st.sampled_from([Asset.AssetType.STOCK, Asset.AssetType.OPTION]),
            "asset.expiration": st.sampled_from([None, pd.Timestamp("2024-01-19").date()]),
            "asset.right": st.sampled_from([None, "CALL"]),
        }
    ),
    max_size=12,
)
VALUES = st.lists(
    st.tuples(st.sampled_from([0.0, 99.5, 100.0, 101.0, 103.25, math.nan]), st.sampled_from([[], [{"x": 1}], None])),
    max_size=8,
)


def ended(events: list[dict[str, Any]], values: list[tuple[float, Any]], rate: float | None, step: str) -> Any:
    """Return what is read of a strategy whose backtest has ended."""
    times = pd.date_range("2024-01-02 23:00", periods=len(values), freq=step, tz="America/New_York")
    frame = pd.DataFrame(values, times, ["portfolio_value", "positions"]).rename_axis("datetime")
    frame["cash"] = 1.0
    log = pd.DataFrame(events)
    if events:
        log.insert(0, "time", times[:1].append([times[:1]] * (len(events) - 1)) if len(times) else pd.NaT)
        log["type"] = Order.OrderType.MARKET
    return SimpleNamespace(
        broker=SimpleNamespace(_trade_event_log_df=log),
        stats=frame if values else None,
        _stats_list=[],
        _strategy_returns_df=frame if values else None,
        _benchmark_returns_df=None,
        _risk_free_rate=rate,
        parameters={"fast": 5},
    )


def as_recorded(strategy: Any) -> Backtest:
    """Return the backtest as `compare` records it: as texts."""
    events, values = strategy_access.trade_events(strategy), strategy_access.portfolio_values(strategy)
    returns = strategy_access.daily_returns(strategy)
    days = [] if returns is None else [[str(day), repr(float(value))] for day, value in returns["strategy"].items()]
    return Backtest(
        "Mine", "x.Source", True, _table(events), _table(values), {},
        risk_free_rate=strategy._risk_free_rate, returns=Table(["day", "strategy"], days),
    )  # fmt: skip


def _table(frame: pd.DataFrame) -> Table:
    rows = [[cell(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    return Table(list(frame.columns), rows)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@examples(80)
@given(EVENTS, VALUES, st.sampled_from([None, 0.0, 0.03]), st.sampled_from(["D", "h"]))
def test_statistics_are_those_of_the_recorded_texts(
    events: list[dict[str, Any]], values: list[tuple[float, Any]], rate: float | None, step: str
) -> None:
    strategy = ended(events, values, rate, step)
    record = record_of(strategy, started=NOW, seconds=1.0, objective="sharpe")
    expected: dict[str, Statistic] = trading_statistics(as_recorded(strategy))
    assert record.statistics == {name: statistic.value for name, statistic in expected.items()}
    assert record.objective == expected["sharpe"].value


def test_tables_have_the_times_in_utc_and_the_names_of_contracts() -> None:
    option = {"symbol": "SPY", "asset.asset_type": Asset.AssetType.OPTION, "asset.expiration": "2024-01-19"}
    option |= {"asset.strike": 470.0, "asset.right": "CALL", "status": "fill", "side": Order.OrderSide.BUY}
    option |= {"filled_quantity": Decimal("2"), "price": 1.5, "trade_cost": None}
    record = record_of(ended([option], [(100.0, []), (math.nan, [])], 0.0, "D"), started=NOW, seconds=1.0)
    assert record.equity is not None
    assert record.trades is not None
    assert record.daily_returns is not None
    assert (record.equity.schema, record.trades.schema) == (EQUITY_SCHEMA, TRADES_SCHEMA)
    assert record.daily_returns.schema == DAILY_SCHEMA
    first = datetime(2024, 1, 3, 4, tzinfo=timezone.utc)
    assert record.equity.to_pylist()[0] == {"time": first, "value": 100.0, "cash": 1.0}
    assert record.equity["value"].to_pylist() == [100.0, None]
    assert record.trades.to_pylist() == [
        {
            "time": first,
            "event": "fill",
            "asset": "SPY 2024-01-19 470.0 CALL",
            "side": "buy",
            "type": "market",
            "quantity": 2.0,
            "price": 1.5,
            "fees": None,
        }
    ]


def test_a_backtest_without_an_iteration_has_empty_tables() -> None:
    record = record_of(ended([], [], None, "D"), started=NOW, seconds=1.0, status="failed", error="no\n bars")
    assert [len(table) for table in (record.equity, record.trades, record.daily_returns)] == [0, 0, 0]  # type: ignore[arg-type]
    assert (record.status, record.error) == ("failed", "no bars")
    assert record.statistics["end_value"] is None


def test_keys_are_removed() -> None:
    strategy = ended([], [], None, "D")
    strategy.parameters = {"token": "abcdef12345", "note": "key is HIDE-ME-NOW", "fast": 5}
    record = record_of(
        strategy,
        started=NOW,
        seconds=1.0,
        error="HIDE-ME-NOW failed",
        traceback="a\n  password='HIDE-ME-NOW'",
        secrets=frozenset({"HIDE-ME-NOW"}),
    )
    assert "HIDE-ME-NOW" not in repr(record)
    assert record.parameters == {"token": "[hidden]", "note": "key is [hidden]", "fast": 5}


def test_parameters_are_json_values() -> None:
    given_values = {
        "int": np.int64(5), "float": np.float32(0.5), "bool": np.True_, "none": None, "text": "a", "nan": math.nan,
        "day": datetime(2024, 1, 2), "asset": Asset("SPY"), "list": (1, [2.5]), "map": {1: Asset("QQQ")}, 5: 6,
        "decimal": Decimal("1.5"),
    }  # fmt: skip
    assert parameter_values(given_values, frozenset()) == {
        "int": 5, "float": 0.5, "bool": True, "none": None, "text": "a", "nan": "nan",
        "day": "2024-01-02T00:00:00", "asset": "SPY", "list": [1, [2.5]], "map": {"1": "QQQ"}, "5": 6,
        "decimal": "Decimal('1.5')",
    }  # fmt: skip


def test_a_rate_that_was_not_given_or_read_is_zero() -> None:
    class Strategy:
        _risk_free_rate: float | None = None

    strategy = Strategy()
    assert risk_free_rate_of(strategy) == 0.0
    strategy._risk_free_rate = 0.04
    assert risk_free_rate_of(strategy) == 0.04
