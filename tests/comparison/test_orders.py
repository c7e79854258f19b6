"""Every order is compared with all its fields, also if it is never filled, and so are charts and log messages.

One script runs several backtests on each side; each does one thing differently on ours.
"""

from __future__ import annotations

import csv

import pytest

from comparison.ground import on_ground
from lumibot_duckdb.comparison.differences import Comparison, Difference, Run, compare_runs
from lumibot_duckdb.comparison.outcome import DUCKDB, LUMIBOT, SIDES, orders_file
from lumibot_duckdb.comparison.runner import Script, run_side

pytestmark = pytest.mark.xdist_group("orders")  # the backtests are run once

SCRIPT = """\
import os
from datetime import datetime

import numpy as np
import pandas as pd
from lumibot.backtesting import PandasDataBacktesting
from lumibot.entities import Asset, Data
from lumibot.strategies import Strategy

OURS = os.environ["LUMIBOT_USE_DUCKDB"] == "true"
DAYS = pd.date_range("2024-01-01", "2024-02-01", tz="America/New_York")
BARS = pd.DataFrame({name: np.full(len(DAYS), 40.0) for name in ("open", "high", "low", "close", "volume")}, DAYS)


class Ordering(Strategy):
    def initialize(self):
        self.sleeptime = "1D"
        self.day = 0

    def on_trading_iteration(self):
        self.day += 1
        self.act(self.day)

    def submit(self, *args, **kwargs):
        order = self.create_order("AAA", *args, **kwargs)
        self.submit_order(order)
        return order


class StopPrice(Ordering):
    def act(self, day):
        if day == 1:
            self.submit(10, "sell", stop_price=20.0 if OURS else 30.0)


class LimitAndQuantity(Ordering):
    def act(self, day):
        if day == 1:
            self.submit(*(20, "buy") if OURS else (10, "buy"), limit_price=2.0 if OURS else 1.0)


class Modified(Ordering):
    def act(self, day):
        if day == 1:
            self.order = self.submit(10, "buy", limit_price=1.0)
        elif day == 3:
            self.modify_order(self.order, limit_price=3.0 if OURS else 2.0)
        elif day == 4:
            self.modify_order(self.order, limit_price=4.0)


class Assigned(Ordering):
    def act(self, day):
        if day == 1:
            self.order = self.submit(10, "buy", limit_price=1.0)
        elif day in (3, 4):
            self.order.limit_price = (3.0 if OURS else 2.0) if day == 3 else 4.0


class Bracket(Ordering):
    def act(self, day):
        if day == 1:
            prices = dict(secondary_limit_price=90.0, secondary_stop_price=1.0 if OURS else 2.0)
            self.submit(10, "buy", limit_price=1.5, order_class="bracket", **prices)


class Refused(Ordering):
    def act(self, day):
        if day == 1:
            option = Asset("AAA", "option", datetime(2024, 1, 19).date(), 40.0, "CALL")
            try:
                self.submit_order(self.create_order(option, 2 if OURS else 1, "sell_to_close"))
            except ValueError:
                pass


class Line(Ordering):
    def act(self, day):
        self.add_line("average", 1.0 + (OURS and day == 3))


class Marker(Ordering):
    def act(self, day):
        self.add_marker("signal", value=40.0, color="red" if OURS and day == 3 else "green")


class Messages(Ordering):
    def act(self, day):
        for number in range(1 + (OURS and day == 3)):
            self.log_message(f"message {number}")


class Same(Ordering):
    def act(self, day):
        order = self.create_order("AAA", 1, "buy", limit_price=1.0 + day, custom_params={"depth": day})
        order.tag = f"day {day}"
        self.submit_order(order)
        self.add_line("average", float(day))
        self.add_marker(f"signal {day}", value=40.0)
        self.log_message("as usual")
        if day == 3:
            self.cancel_order(order)


for kind in (
    StopPrice, LimitAndQuantity, Modified, Assigned, Bracket, Refused, Line, Marker, Messages, Same
):
    kind.run_backtest(
        PandasDataBacktesting, datetime(2024, 1, 8), datetime(2024, 1, 20),
        pandas_data={Asset("AAA"): Data(Asset("AAA"), BARS, timestep="day")},
        benchmark_asset=None, risk_free_rate=0.0, analyze_backtest=False,
    )
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("orders")
    script = folder / "script.py"
    script.write_text(SCRIPT)
    with on_ground(folder, {}), pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        return [run_side(Script(script, (), folder / "lumibot.duckdb"), side, folder / side) for side in SIDES]


@pytest.fixture(scope="module")
def found(runs: list[Run]) -> Comparison:
    assert [run.folder.name for run in runs] == [LUMIBOT, DUCKDB]
    return compare_runs(*runs)


def of(found: Comparison, backtest: str) -> list[Difference]:
    return [each for each in found.differences if each.backtest == backtest]


def test_a_stop_price_of_an_unfilled_order(found: Comparison) -> None:
    first = of(found, "StopPrice")[0]
    assert (first.kind, first.when[:10], first.subject) == ("order", "2024-01-09", "AAA")
    assert (first.place, first.left, first.right) == ("number 1: sell submitted, stop_price", "30.0", "20.0")
    assert {each.kind for each in of(found, "StopPrice")} == {"order"}


def test_quantity_and_limit_of_an_unfilled_order(found: Comparison) -> None:
    assert {each.kind for each in of(found, "LimitAndQuantity")} == {"order"}


@pytest.mark.parametrize(("backtest", "action"), [("Modified", "modified"), ("Assigned", "changed")])
def test_an_order_that_is_modified_and_modified_again(backtest: str, action: str, found: Comparison) -> None:
    """In the end it is the same on both sides."""
    differences = [each for each in of(found, backtest) if each.kind == "order"]
    assert [each.place.partition(": ")[2] for each in differences][:1] == [f"buy {action}, limit_price"]
    assert (differences[0].left, differences[0].right) == ("2.0", "3.0")
    assert not [each.place for each in differences if "at the end" in each.place]


def test_a_price_of_an_order_that_depends_on_another(found: Comparison) -> None:
    places = [each.place for each in of(found, "Bracket")]
    assert "number 3: sell_to_close submitted, stop_price" in places


def test_an_order_that_the_broker_refuses(found: Comparison) -> None:
    (first, *_) = of(found, "Refused")
    assert (first.kind, first.place) == ("order", "number 1: sell_to_close submitted, quantity")


@pytest.mark.parametrize(
    ("backtest", "kind", "place", "values"),
    [
        ("Line", "chart", "number 3: value", ("1.0", "2.0")),
        ("Messages", "message", "number 4: messages", ("1", "2")),
    ],
)
def test_a_line_of_a_chart_and_messages(
    backtest: str, kind: str, place: str, values: tuple[str, str], found: Comparison
) -> None:
    (difference,) = of(found, backtest)
    assert (difference.kind, difference.place, (difference.left, difference.right)) == (kind, place, values)
    assert difference.when.startswith("2024-01-11")


def test_a_marker_of_a_chart(found: Comparison) -> None:
    (difference,) = of(found, "Marker")
    assert (difference.kind, difference.place) == ("chart", "number 3: others")
    assert "color: green" in difference.left
    assert "color: red" in difference.right


def test_the_same_orders_charts_and_messages(found: Comparison) -> None:
    assert of(found, "Same") == []
    assert found.orders > 10
    assert found.chart_points > 30


def test_orders_are_the_same_in_every_run(runs: list[Run]) -> None:
    """Identifiers are random, so orders are numbered; and there is every field."""
    number = next(n for n, each in enumerate(runs[0].outcome.backtests) if each.name == "Same")
    files = [orders_file(run.folder, number) for run in runs]
    assert files[0].read_text() == files[1].read_text()
    with files[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    submitted = [row for row in rows if row["action"] == "submitted"]
    assert [row["number"] for row in submitted] == [str(n + 1) for n in range(len(submitted))]
    assert [row["limit_price"] for row in submitted][:3] == ["2.0", "3.0", "4.0"]
    assert [row["custom_params"] for row in submitted][:2] == ["{depth: 1}", "{depth: 2}"]
    assert [row["tag"] for row in submitted][:2] == ["day 1", "day 2"]
    assert {row["status"] for row in rows if row["number"] == "3" and row["action"] == "at the end"} == {"canceled"}
    fields = ("quantity", "order_type", "time_in_force", "stop_price", "trail_percent", "tag", "good_till_date")
    assert set(fields) <= set(rows[0])
