"""Two runs are compared in everything recorded, and the first difference is shown with both values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb.comparison.answers import Answer, AnswersWriter, frame_answer, value_answer
from lumibot_duckdb.comparison.differences import Comparison, Run, compare_runs
from lumibot_duckdb.comparison.meters import PHASES, Costs
from lumibot_duckdb.comparison.outcome import (
    Backtest,
    Outcome,
    Table,
    TableWriter,
    answers_file,
    charts_file,
    inputs_folder,
    messages_file,
    orders_file,
)

EVENT = {"time": "2024-01-02 10:00:00-05:00", "symbol": "SPY", "side": "buy", "status": "fill", "price": "470.25"}
VALUE = {"datetime": "2024-01-02 10:00:00-05:00", "portfolio_value": "100000.0", "cash": "53000.0"}
COSTS = Costs(1.0, 1.0, 0.0, dict.fromkeys(PHASES, 0.1), 1, [], {}, 0, 0)


def table(*rows: dict[str, str]) -> Table:
    return Table(list(rows[0]) if rows else [], [list(row.values()) for row in rows])


def bars(rows: int = 5, **changes: Any) -> pd.DataFrame:
    index = pd.date_range("2024-01-02 09:30", periods=rows, freq="min", tz="America/New_York")
    return pd.DataFrame({"close": np.arange(rows) + 470.0, "volume": np.arange(rows) * 100}, index=index).assign(
        **changes
    )


def asked(frame: pd.DataFrame, when: str = "2024-01-02T09:40:00-05:00") -> Answer:
    return frame_answer(when, "get_historical_prices(SPY, 5, minute)", "SPY", frame)


def price(value: float, when: str = "2024-01-02T09:45:00-05:00") -> Answer:
    return value_answer(when, "get_last_price(SPY)", "SPY", repr(value))


@dataclass
class Recorded:
    """A recorded run."""

    answers: list[Answer] = field(default_factory=lambda: [asked(bars()), price(470.5)])
    events: list[dict[str, str]] = field(default_factory=lambda: [dict(EVENT)])
    values: list[dict[str, str]] = field(default_factory=lambda: [dict(VALUE)])
    analysis: dict[str, str] = field(default_factory=lambda: {"sharpe": "1.5"})
    count: int = 1

    def run(self, folder: Path) -> Run:
        folder.mkdir(exist_ok=True)
        backtests = []
        for number in range(self.count):
            writer = AnswersWriter(answers_file(folder, number))
            for answer in self.answers:
                writer.write(answer)
            writer.close()
            backtests.append(
                Backtest(f"Mine {number}", "x.Source", True, table(*self.events), table(*self.values), self.analysis)
            )
        return Run(Outcome(backtests, COSTS), folder)


@pytest.fixture
def compare(tmp_path: Path) -> Callable[[Recorded, Recorded], Comparison]:
    return lambda left, right: compare_runs(left.run(tmp_path / "left"), right.run(tmp_path / "right"))


def test_the_same_is_identical_and_counted(compare: Any) -> None:
    found = compare(Recorded(), Recorded())
    assert found.identical
    assert (found.fills, found.values, found.frames, found.answers) == (1, 1, 1, 1)


def test_a_value_of_a_bar(compare: Any) -> None:
    other = bars()
    other.iloc[3, 0] = np.nextafter(473.0, 474)
    found = compare(Recorded(), Recorded([asked(other), price(470.5)]))
    (difference,) = found.differences
    assert (difference.kind, difference.when, difference.subject) == ("frame", "2024-01-02T09:40:00-05:00", "SPY")
    assert difference.place == "get_historical_prices(SPY, 5, minute), bar 2024-01-02 09:33:00-05:00, close"
    assert (difference.left, difference.right) == ("473.0", "473.00000000000006")


def test_a_bar_that_is_missing(compare: Any) -> None:
    (difference,) = compare(Recorded(), Recorded([asked(bars(4)), price(470.5)])).differences
    assert difference.place.endswith(", bar")
    assert difference.left == "2024-01-02 09:34:00-05:00 (close 474.0, volume 400)"
    assert difference.right == "nothing"


def test_a_column_that_is_missing(compare: Any) -> None:
    (difference,) = compare(Recorded(), Recorded([asked(bars()[["close"]]), price(470.5)])).differences
    assert (difference.place.split(", ")[-1], difference.left, difference.right) == (
        "columns",
        "close, volume",
        "close",
    )


def test_a_dtype_alone_is_distinguished_from_a_value(compare: Any) -> None:
    whole = bars()
    found = compare(Recorded(), Recorded([asked(whole.astype({"volume": float})), price(470.5)]))
    (difference,) = found.differences
    assert difference.kind == "dtypes"
    assert (difference.left, difference.right) == ("int64", "float64")


def test_a_value_shows_through_other_dtypes(compare: Any) -> None:
    other = bars().astype({"volume": float})
    other.iloc[2, 1] = 7.0
    (difference,) = compare(Recorded(), Recorded([asked(other), price(470.5)])).differences
    assert (difference.kind, difference.left, difference.right) == ("frame", "200", "7.0")


def test_a_value_is_found_after_any_number_of_other_dtypes(compare: Any) -> None:
    times = pd.date_range("2024-01-02", periods=200, freq="min", tz="UTC").map(lambda time: time.isoformat())
    floats = bars().astype({"volume": float})
    other = floats.copy()
    other.iloc[1, 0] = 1.0
    frames = [asked(other if number == 150 else floats, when) for number, when in enumerate(times)]
    found = compare(Recorded([asked(bars(), when) for when in times]), Recorded(frames))
    assert found.counts == {"dtypes": 199, "frame": 1}
    (difference,) = [each for each in found.differences if each.kind == "frame"]
    assert (difference.when, difference.left, difference.right) == (times[150], "471.0", "1.0")


def test_a_missing_value_is_the_same_as_a_missing_value(compare: Any) -> None:
    holes = bars(close=[470.0, np.nan, 1.0, np.inf, 2.0])
    assert compare(Recorded([asked(holes)]), Recorded([asked(holes.copy())])).identical


def test_a_price(compare: Any) -> None:
    (difference,) = compare(Recorded(), Recorded([asked(bars()), price(470.51)])).differences
    assert (difference.kind, difference.place) == ("answer", "get_last_price(SPY)")
    assert (difference.left, difference.right) == ("470.5", "470.51")


def test_requests_are_recorded(compare: Any) -> None:
    """From then on, the answers belong to different requests and cannot be compared."""
    other = [value_answer("2024-01-02T09:40:00-05:00", "get_last_price(QQQ)", "QQQ", "400.0"), price(470.5)]
    found = compare(Recorded(), Recorded(other))
    (difference,) = found.differences
    assert difference.place == "the strategy's request"
    assert difference.right == "get_last_price(QQQ) at 2024-01-02T09:40:00-05:00"
    assert (found.frames, found.answers) == (1, 1)


TOGETHER = [
    value_answer("2024-01-02T09:45:00-05:00", f"get_last_price({symbol})", symbol, text)
    for symbol, text in (("SPY", "470.5"), ("QQQ", "400.0"), ("SPY", "470.5"))
]


def test_the_order_in_which_threads_ask_is_no_difference(compare: Any) -> None:
    found = compare(Recorded([asked(bars()), *TOGETHER]), Recorded([asked(bars()), *TOGETHER[1:], TOGETHER[0]]))
    assert found.identical
    assert (found.answers, found.reordered) == (3, 1)


def test_a_value_is_found_in_any_order_of_the_threads_requests(compare: Any) -> None:
    other = value_answer("2024-01-02T09:45:00-05:00", "get_last_price(QQQ)", "QQQ", "400.01")
    found = compare(Recorded(TOGETHER), Recorded([other, TOGETHER[0], TOGETHER[2]]))
    (difference,) = found.differences
    assert (difference.subject, difference.place) == ("QQQ", "get_last_price(QQQ)")
    assert (difference.left, difference.right) == ("400.0", "400.01")


def test_a_question_that_one_thread_asked_on_one_side_alone(compare: Any) -> None:
    found = compare(Recorded(TOGETHER), Recorded([TOGETHER[1], TOGETHER[0]]))
    (difference,) = found.differences
    assert found.reordered == 0
    assert difference.kind == "request"
    assert difference.left == "get_last_price(SPY) at 2024-01-02T09:45:00-05:00"
    assert difference.right == "no further request"


def test_the_order_in_which_threads_ask_is_none_in_lumibots_own_record(compare: Any, tmp_path: Path) -> None:
    rows = ["2024-01-02T09:45:00-05:00,SPY,minute,a", "2024-01-02T09:45:00-05:00,QQQ,minute,b"]
    for side, lines in (("left", rows), ("right", rows[::-1])):
        folder = tmp_path / side / "inputs-1"
        folder.mkdir(parents=True)
        numbered = [f"{line},{number}" for number, line in enumerate(lines)]
        text = "\n".join(["observedAt,asset,timestep,frameSha256,sequence", *numbered])
        (folder / "market_input_observations.csv").write_text(text)
    assert compare(Recorded(), Recorded()).identical


@pytest.mark.parametrize(("right", "shown"), [("np.float64(470.51)", "470.51"), ("470.5", "470.5")])
def test_numbers_are_plain_but_where_their_types_alone_differ(right: str, shown: str, compare: Any) -> None:
    answers = [
        [value_answer("2024-01-02", "get_last_price(SPY)", "SPY", text)] for text in ("np.float64(470.5)", right)
    ]
    (difference,) = compare(*map(Recorded, answers)).differences
    assert (difference.left, difference.right) == ("470.5" if shown != "470.5" else "np.float64(470.5)", shown)


def test_an_answer_more(compare: Any) -> None:
    (difference,) = compare(Recorded(), Recorded([asked(bars())])).differences
    assert difference.left == "get_last_price(SPY) at 2024-01-02T09:45:00-05:00"
    assert difference.right == "no further request"


def test_a_trade(compare: Any) -> None:
    (difference,) = compare(Recorded(), Recorded(events=[{**EVENT, "price": "470.26"}])).differences
    assert (difference.kind, difference.when, difference.subject) == ("trade", EVENT["time"], "SPY")
    assert difference.place == "number 1: buy fill, price"
    assert (difference.left, difference.right) == ("470.25", "470.26")


def test_a_trade_less(compare: Any) -> None:
    (difference,) = compare(Recorded(), Recorded(events=[])).differences
    assert "SPY, side buy, status fill, price 470.25" in difference.left
    assert difference.right == "nothing"


def test_a_portfolio_value_and_a_statistic(compare: Any) -> None:
    other = Recorded(values=[{**VALUE, "portfolio_value": "100000.01"}], analysis={"sharpe": "1.6"})
    found = compare(Recorded(), other)
    assert [difference.kind for difference in found.differences] == ["portfolio", "analysis"]
    assert found.counts == {"portfolio": 1, "analysis": 1}


def test_a_backtest_less(compare: Any) -> None:
    (difference,) = compare(Recorded(count=2), Recorded(count=1)).differences
    assert (difference.kind, difference.left, difference.right) == ("backtests", "Mine 1", "nothing")


def test_the_earliest_comes_first_and_causes_before_effects(compare: Any) -> None:
    other = bars()
    other.iloc[0, 0] = 1.0
    late = "2024-01-02T10:00:00-05:00"
    found = compare(
        Recorded([asked(bars(), late)]),
        Recorded([asked(other, late)], events=[{**EVENT, "price": "1.0"}], values=[{**VALUE, "cash": "1.0"}]),
    )
    assert [difference.kind for difference in found.differences] == ["frame", "trade", "portfolio"]


def test_many_differences_are_counted_and_not_all_listed(compare: Any) -> None:
    times = pd.date_range("2024-01-02", periods=200, freq="min", tz="UTC").map(lambda time: time.isoformat())
    found = compare(Recorded([price(1.0, when) for when in times]), Recorded([price(2.0, when) for when in times]))
    assert found.counts == {"answer": 200}
    assert 10 < len(found.differences) < 50


def test_long_texts_are_cut_to_where_they_differ(compare: Any) -> None:
    left, right = ("a" * 5_000 + tail + "z" * 5_000 for tail in ("left", "right"))
    answers = [[value_answer("2024-01-02", "get_chains(SPY)", "SPY", text)] for text in (left, right)]
    (difference,) = compare(*map(Recorded, answers)).differences
    assert len(difference.left) < 300
    assert "aleft" in difference.left
    assert "aright" in difference.right


# -- orders, charts and messages --------------------------------------------------------------------------------------

ORDER = {
    "time": "2024-01-02T09:40:00-05:00",
    "action": "submitted",
    "number": "1",
    "symbol": "SPY",
    "side": "buy",
    "limit_price": "1.0",
}
POINT = {"kind": "lines", "datetime": "2024-01-02 09:40:00-05:00", "name": "average", "value": "1.0"}
MESSAGES = {"time": "2024-01-02T09:40:00-05:00", "messages": "2"}
FILES = {"order": orders_file, "chart": charts_file, "message": messages_file}


def with_table(run: Run, kind: str, *rows: dict[str, str]) -> Run:
    writer = TableWriter(FILES[kind](run.folder, 0), str)
    for row in rows:
        writer.begin(list(row))
        writer.write(list(row.values()))
    writer.close()
    return run


@pytest.mark.parametrize(
    ("kind", "row", "column", "place"),
    [
        ("order", ORDER, "limit_price", "number 2: buy submitted, limit_price"),
        ("chart", POINT, "value", "number 2: value"),
        ("message", MESSAGES, "messages", "number 2: messages"),
    ],
)
def test_rows_of_tables(kind: str, row: dict[str, str], column: str, place: str, tmp_path: Path) -> None:
    runs = [Recorded().run(tmp_path / side) for side in ("left", "right")]
    with_table(runs[0], kind, row, row)
    assert compare_runs(runs[0], with_table(runs[1], kind, row, row)).identical
    (difference,) = compare_runs(runs[0], with_table(runs[1], kind, row, {**row, column: "3"})).differences
    assert (difference.kind, difference.place) == (kind, place)
    assert (difference.left, difference.right) == (row[column], "3")
    assert difference.when == row.get("time", row.get("datetime"))
    (difference,) = compare_runs(runs[0], with_table(runs[1], kind, row)).differences
    assert (difference.right, row[column] in difference.left) == ("nothing", True)
    (difference,) = compare_runs(runs[0], with_table(runs[1], kind, {**row, "more": ""}, row)).differences
    assert difference.place == "columns"
    (difference,) = compare_runs(with_table(runs[0], kind), with_table(runs[1], kind, row)).differences
    assert (difference.left, row[column] in difference.right) == ("nothing", True)


def test_orders_and_chart_points_are_counted(tmp_path: Path) -> None:
    runs = [Recorded().run(tmp_path / side) for side in ("left", "right")]
    rows = [ORDER, {**ORDER, "number": "2"}, {**ORDER, "action": "at the end"}, {**ORDER, "number": "2"}]
    for run in runs:
        with_table(with_table(run, "order", *rows), "chart", POINT, POINT, POINT)
    found = compare_runs(*runs)
    assert (found.identical, found.orders, found.chart_points) == (True, 2, 3)


@pytest.mark.parametrize(("action", "by_script"), [("submitted", True), ("modified", True), ("at the end", False)])
def test_the_script_decides_what_is_submitted_and_modified(action: str, by_script: bool, tmp_path: Path) -> None:
    runs = [
        with_table(Recorded().run(tmp_path / price), "order", {**ORDER, "action": action, "limit_price": price})
        for price in ("1.0", "2.0")
    ]
    assert compare_runs(*runs).caused_by_script is by_script


# -- Lumibot's own record ---------------------------------------------------------------------------------------------

BAR_HEAD = "firstObservedAt,asset,timestep,barTime,close,sequence"
OBSERVED_HEAD = "observedAt,asset,timestep,returnedRows,frameSha256,observedSequence"


def with_inputs(run: Run, bar: str = "", observed: str = "") -> Run:
    folder = inputs_folder(run.folder, 0)
    folder.mkdir(exist_ok=True)
    for name, head, rows in (("market_inputs", BAR_HEAD, bar), ("market_input_observations", OBSERVED_HEAD, observed)):
        (folder / f"{name}.csv").write_text("\n".join(filter(None, [head if rows else "", rows])))
    return run


def compared_inputs(folder: Path, left: tuple[str, str], right: tuple[str, str]) -> Comparison:
    return compare_runs(
        *(with_inputs(Recorded().run(folder / side), *each) for side, each in (("left", left), ("right", right)))
    )


BAR = "2024-01-02T09:40:00-05:00,SPY,minute,2024-01-02T09:39:00-05:00,470.0,7"
OBSERVED = "2024-01-02T09:40:00-05:00,SPY,minute,5,abc,9"


def test_a_bar_of_lumibots_own_record(tmp_path: Path) -> None:
    other = BAR.replace("470.0", "470.5"), OBSERVED.replace("abc", "def")
    found = compared_inputs(tmp_path, (BAR, OBSERVED), other)
    (difference,) = found.differences
    assert found.counts == {"input": 1}
    assert (difference.kind, difference.when, difference.subject) == ("input", "2024-01-02T09:40:00-05:00", "SPY")
    assert difference.place == "Lumibot's own record, minute bar 2024-01-02T09:39:00-05:00, close"
    assert (difference.left, difference.right) == ("470.0", "470.5")


def test_a_bar_less_in_lumibots_own_record(tmp_path: Path) -> None:
    (difference,) = compared_inputs(tmp_path, (BAR, OBSERVED), ("", OBSERVED.replace("abc", "def"))).differences
    assert (difference.place.rpartition(", ")[2], difference.left, difference.right) == (
        "firstObservedAt",
        "2024-01-02T09:40:00-05:00",
        "nothing",
    )


def test_only_the_digest_of_a_frame_in_lumibots_own_record(tmp_path: Path) -> None:
    found = compared_inputs(tmp_path, (BAR, OBSERVED), (BAR, OBSERVED.replace("abc", "def")))
    (difference,) = found.differences
    assert difference.place == "Lumibot's own record, 5 minute bars"
    assert (difference.left, difference.right) == ("abc", "def")


def test_a_frame_less_in_lumibots_own_record(tmp_path: Path) -> None:
    (difference,) = compared_inputs(tmp_path, (BAR, OBSERVED), (BAR, "")).differences
    assert (difference.left, difference.right) == ("abc", "nothing")


def test_numbers_of_requests_in_lumibots_own_record_are_no_difference(tmp_path: Path) -> None:
    assert compared_inputs(tmp_path, (BAR, OBSERVED), (BAR[:-1] + "8", OBSERVED[:-1] + "4")).identical


def test_lumibots_own_record_is_compared_only_if_answers_are_identical(tmp_path: Path) -> None:
    left = with_inputs(Recorded().run(tmp_path / "left"), BAR, OBSERVED)
    right = with_inputs(Recorded([asked(bars()), price(1.0)]).run(tmp_path / "right"), BAR, "")
    assert set(compare_runs(left, right).counts) == {"answer"}


# -- frames to the last bit -------------------------------------------------------------------------------------------


def test_the_sign_of_zero(compare: Any) -> None:
    zeros = [bars(close=[470.0, zero, 472.0, 473.0, 474.0]) for zero in (0.0, -0.0)]
    (difference,) = compare(*(Recorded([asked(frame)]) for frame in zeros)).differences
    assert difference.place.endswith("bar 2024-01-02 09:31:00-05:00, close")
    assert (difference.left, difference.right) == ("0.0", "-0.0")
    (difference,) = compare(Recorded([price(0.0)]), Recorded([price(-0.0)])).differences
    assert (difference.left, difference.right) == ("0.0", "-0.0")


def test_the_sign_of_zero_shows_through_other_dtypes(compare: Any) -> None:
    frames = [bars(2, close=pd.Series([0.0, 1.0]).to_numpy(dtype)) for dtype in ("float32", "float64")]
    assert compare(*(Recorded([asked(frame)]) for frame in frames)).counts == {"dtypes": 1}
    frames[1].iloc[0, 0] = -0.0
    (difference,) = compare(*(Recorded([asked(frame)]) for frame in frames)).differences
    assert (difference.kind, difference.left, difference.right) == ("frame", "0.0", "-0.0")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([1.0, 2.0], [1.0, np.nan]),
        ([2**53, 2**53 + 1], [float(2**53), float(2**53)]),
        (["a", "b"], ["a", "c"]),
        (["1.0", "2.0"], [1.0, 2.0]),
        ([True, False], [True, True]),
        ([1 + 2j, 0j], [1 + 2j, 1j]),
        (pd.to_datetime(["2024-01-01", None]), pd.to_datetime(["2024-01-01", "2024-01-02"])),
        (pd.array([1, None], dtype="Int64"), pd.array([1, 2], dtype="Int64")),
        ([[1.0] * 2_000, [2.0] * 2_000], [[1.0] * 2_000, [2.0] * 1_999 + [3.0]]),
        (pd.Categorical(["a", "b"]), pd.Categorical(["a", "b"], ["a", "b", "c"])),
    ],
)
def test_columns_of_any_type(left: Any, right: Any, compare: Any) -> None:
    frames = [bars(2).assign(other=values) for values in (left, right)]
    found = compare(Recorded([asked(frames[0])]), Recorded([asked(frames[1])]))
    (difference,) = found.differences
    assert "other" in difference.place
    assert difference.left != difference.right
    assert compare(Recorded([asked(frames[0])]), Recorded([asked(frames[0].copy())])).identical


def test_missing_times_are_equal(compare: Any) -> None:
    frames = [bars(2, close=[1.0, other]).assign(at=pd.to_datetime([None, "2024-01-01"])) for other in (2.0, 3.0)]
    (difference,) = compare(Recorded([asked(frames[0])]), Recorded([asked(frames[1])])).differences
    assert difference.place.endswith(", close")


def test_columns_with_the_same_name(compare: Any) -> None:
    frames = [pd.concat([bars(2, close=[1.0, other]), bars(2)], axis=1) for other in (2.0, 3.0)]
    (difference,) = compare(Recorded([asked(frames[0])]), Recorded([asked(frames[1])])).differences
    assert (difference.left, difference.right) == ("2.0", "3.0")


def test_the_unit_of_times_is_a_dtype(compare: Any) -> None:
    frames = [bars(), bars().set_axis(bars().index.as_unit("s"), axis=0)]  # type: ignore[attr-defined]
    (difference,) = compare(Recorded([asked(frames[0])]), Recorded([asked(frames[1])])).differences
    assert (difference.kind, difference.place.rpartition(", ")[2]) == ("dtypes", "dtype of the index")


def test_the_time_of_a_bar(compare: Any) -> None:
    times = bars().index.to_series()
    times.iloc[3] += pd.Timedelta("30s")
    (difference,) = compare(
        Recorded([asked(bars())]), Recorded([asked(bars().set_axis(pd.DatetimeIndex(times), axis=0))])
    ).differences
    assert difference.place.endswith(", bar")
    assert difference.left == "2024-01-02 09:33:00-05:00 (close 473.0, volume 300)"
    assert difference.right == "2024-01-02 09:33:30-05:00 (close 473.0, volume 300)"


def test_missing_values_are_equal_in_other_dtypes(compare: Any) -> None:
    frames = [bars(2, close=np.array([1.0, np.nan], dtype)) for dtype in ("float32", "float64")]
    assert compare(*(Recorded([asked(frame)]) for frame in frames)).counts == {"dtypes": 1}


def test_what_holds_a_frame(compare: Any) -> None:
    answers = [frame_answer("2024-01-02", "get_historical_prices(SPY)", "SPY", bars(), of) for of in ("a", "b")]
    (difference,) = compare(*(Recorded([answer]) for answer in answers)).differences
    assert (difference.kind, difference.place) == ("frame", "get_historical_prices(SPY), what holds the frame")
    assert (difference.left, difference.right) == ("a", "b")
