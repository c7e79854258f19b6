"""The report is one self-contained page that shows everything and escapes all text from scripts."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from comparison.browser import CHROMIUM, browser
from lumibot_duckdb.comparison.comparison import DifferingRun, Result
from lumibot_duckdb.comparison.differences import Comparison, Difference, Run
from lumibot_duckdb.comparison.meters import PHASES, Costs
from lumibot_duckdb.comparison.outcome import Backtest, Outcome, Table
from lumibot_duckdb.comparison.page import report_page
from lumibot_duckdb.comparison.page.plots import equity
from lumibot_duckdb.comparison.page.statistics import statistics_section
from lumibot_duckdb.comparison.page.trades import trades_table
from lumibot_duckdb.comparison.trading_statistics import STYLES

pytestmark = pytest.mark.xdist_group("statistics")  # importing quantstats takes seconds

EVIL = "</script><script>throw 1</script><img src='https://example.com/a.png'><b>&"
IN_A_PAGE = "&lt;/script&gt;&lt;script&gt;throw 1&lt;/script&gt;"


EVENTS = ["time", "symbol", "side", "filled_quantity", "price", "trade_cost", "status"]


def trade(number: int, side: str, price: float, symbol: str = "SPY") -> list[str]:
    return [f"2024-01-02 {number // 60:02d}:{number % 60:02d}:00-05:00", symbol, side, "1.0", str(price), "1.0", "fill"]


def backtest(name: str, iterations: int = 300) -> Backtest:
    times = pd.date_range("2024-01-02 09:30", periods=iterations, freq="h", tz="America/New_York")
    values = 100_000 * np.exp(np.cumsum(np.random.default_rng(1).standard_normal(iterations)) / 100)
    rows = [[str(time), repr(float(value)), "1.0"] for time, value in zip(times, values, strict=False)]
    return Backtest(
        name,
        "lumibot.backtesting.PolygonDataBacktesting",
        True,
        Table(EVENTS, [trade(570, "buy", 470.0), trade(571, "sell", 472.5)]),
        Table(["datetime", "portfolio_value", "cash"], rows),
        {},
        span=("2024-01-02 00:00:00-05:00", "2024-01-15 00:00:00-05:00"),
        benchmark="QQQ",
        parameters={"length": "20"},
        risk_free_rate=0.0,
        returns=daily_returns(13),
    )


def daily_returns(days: int) -> Table:
    returns = np.random.default_rng(2).standard_normal((days, 2)) / 100
    rows = [
        [str(pd.Timestamp("2024-01-01") + pd.Timedelta(days=day)), *map(repr, map(float, row))]
        for day, row in enumerate(returns)
    ]
    return Table(["day", "strategy", "benchmark"], rows)


def run(seconds: float, *backtests: Backtest) -> Run:
    phases = {phase: seconds / len(PHASES) for phase in PHASES}
    memory = [(at / 10, 100_000_000 + at * 1_000_000) for at in range(int(seconds * 10))]
    costs = Costs(seconds, seconds, 0.1, phases, 300_000_000, memory, {"api": 3}, 1_000_000, 2_000_000)
    return Run(Outcome(list(backtests), costs, {"python": "3.11", "lumibot": "4.6.30"}), Path())


def result(*, name: str = "Mine", differences: list[Difference] | None = None) -> Result:
    ours = run(3.0, backtest(name), backtest("Other"))
    theirs = run(9.0, *(replace(each, covered=False) for each in ours.outcome.backtests))
    found = differences or []
    counts = {difference.kind: 7 for difference in found}
    comparison = Comparison(2, 2.0, 600, 40, 60, found, counts)
    return Result(Path("script.py"), theirs, [theirs], [ours], comparison)


DIFFERENCE = Difference("frame", "Mine", "2024-01-02T10:00:00-05:00", "SPY", "bar 09:59, close", "470.25", "470.26")


def own(page: str) -> str:
    """Return the page without Plotly's code."""
    return page[: page.index("<script>")] + page[page.index('<script type="application/json"') :]


def test_nothing_is_loaded_from_anywhere() -> None:
    page = report_page(result())
    assert "http://" not in own(page)
    assert "https://" not in own(page)
    assert "default-src 'none'" in own(page)
    assert own(page).count("data-plot=") == 6
    assert "identical: 2 fills with fees of 2.00, 600 portfolio values, 40 frames, 60 prices" in page
    assert "None in 2 fills" in page


def test_differences_are_listed_with_both_values() -> None:
    page = report_page(result(differences=[DIFFERENCE]))
    assert "NOT identical. Different: 7 frames." in page
    assert "470.25</td>" in page
    assert "470.26</td>" in page
    assert "Grouped are 1 of 7 differences, the first 25 of each kind." in page


def test_the_verdict_and_the_curves_come_first() -> None:
    page = report_page(replace(result(differences=[DIFFERENCE]), notes=["a remark"]))
    parts = ['class="verdict', 'data-plot="equity-0"', 'data-plot="drawdown-0"', 'class="statistics"', ">Performance<"]
    parts += ['data-plot="memory"', 'class="costs"', ">Differences<", 'class="trades"', ">Notes<"]
    assert sorted(parts, key=page.index) == parts


def test_differences_with_one_cause_are_one_line_that_unfolds() -> None:
    found = [replace(DIFFERENCE, when=f"2024-01-02T10:{minute:02d}:00-05:00") for minute in range(25)]
    found += [replace(each, kind="portfolio", subject="", place="portfolio_value") for each in found]
    page = report_page(result(differences=found))
    assert page.count('<details class="cause">') == 1
    assert "<b>Mine, SPY: other values</b>" in page
    assert "in 25 frames; then 25 portfolio values" in page
    (unfolded,) = page.partition('<details class="cause">')[2].partition("</details>")[:1]
    assert unfolded.partition("</summary>")[2].count("<tr>") == 1 + 50  # with the head


def test_statistics_of_both_sides_and_the_benchmark_with_reasons() -> None:
    flat = replace(
        backtest("Mine"), returns=Table(["day", "strategy"], [[f"2024-01-0{day}", "0.0"] for day in (1, 2, 3)])
    )
    theirs, ours = run(9.0, backtest("Mine")), run(3.0, flat)
    page = report_page(replace(result(), reference=theirs, lumibot=[theirs], duckdb=[ours]))
    rows = page.partition('<table class="statistics">')[2].partition("</table>")[0].split("<tr")[1:]
    cells = {row[0]: row[1:] for row in (re.findall(r"<td[^>]*>(.*?)</td>", text) for text in rows[1:])}
    assert list(cells) == [label for label, _ in STYLES.values()]
    assert "Benchmark QQQ" in rows[0]
    assert cells["Winning trades"] == ["100.00 %", "100.00 %", ""]
    assert cells["Total return"][1] == "0.00 %"
    assert cells["Sharpe ratio"][1] == "\N{EN DASH}"
    assert cells["Sharpe ratio"][0] != cells["Sharpe ratio"][2] != "\N{EN DASH}"
    assert "\N{EN DASH} Sharpe ratio, Sortino ratio, Winning days: the value did not change." in page
    assert page.count(' class="differs"') == 7  # all that is computed from returns
    assert not re.search(r"\b(nan|inf)\b", own(page))


@pytest.mark.parametrize(
    ("failures", "line"),
    [
        ((None, None), None),
        (("ValueError: x", "ValueError: x"), "An error stopped this backtest."),
        (("ValueError: x", None), "An error stopped this backtest on Lumibot&#x27;s storage."),
        ((None, "ValueError: x"), "An error stopped this backtest on lumibot-duckdb."),
    ],
)
def test_statistics_of_a_failed_backtest_are_of_the_part_before_the_error(
    failures: tuple[str | None, str | None], line: str | None
) -> None:
    section = statistics_section(*(replace(backtest("Mine", 3), failure=failure) for failure in failures))
    assert ("The statistics are of the part before it." in section) == (line is not None)
    assert (line or "") in section


@pytest.mark.parametrize("values", [[100_000.0] * 5, [100_000.0, 100_000.4], [0.0, 0.0], [-5.0], [1e9, 1e9 + 1], []])
def test_a_flat_curve_has_an_axis_with_short_labels(values: list[float]) -> None:
    flat = with_values(values)
    low, high = equity(flat, flat, 1_000)["layout"]["yaxis"]["range"]
    assert low < min(values, default=0.0) <= max(values, default=0.0) < high
    assert high - low >= 1e-5 * max(map(abs, values), default=1.0)


def test_a_curve_that_moves_has_the_axis_that_plotly_chooses() -> None:
    moving = with_values([100_000.0, 100_002.0])
    assert "range" not in equity(moving, moving, 1_000)["layout"]["yaxis"]


def with_values(values: list[float]) -> Backtest:
    rows = [
        [str(time), repr(each), "1"]
        for time, each in zip(pd.date_range("2024", periods=len(values)), values, strict=True)
    ]
    bare = replace(backtest("Mine", 1), returns=Table([], []))
    return replace(bare, values=Table(["datetime", "portfolio_value", "cash"], rows))


def test_the_page_names_the_zone_of_the_time_at_which_it_was_made() -> None:
    subtitle = report_page(result()).partition('<p class="muted">')[2].partition("</p>")[0]
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d \S+$", subtitle)


def test_trades_that_only_one_side_has_are_marked() -> None:
    ours = replace(backtest("Mine"), events=Table(EVENTS, [trade(570, "buy", 470.0), trade(571, "sell", 472.51)]))
    theirs, mine = run(9.0, backtest("Mine")), run(3.0, ours)
    page = report_page(replace(result(), reference=theirs, lumibot=[theirs], duckdb=[mine]))
    rows = page.partition('<table class="trades">')[2].partition("</table>")[0].split("<tr")[2:]
    assert [("differs" in row, "--lumibot" in row, "--duckdb" in row) for row in rows] == [
        (False, False, False),
        (True, True, False),
        (True, False, True),
    ]
    assert ["472.51" in row for row in rows] == [False, False, True]


def test_amounts_are_rounded_where_both_sides_have_the_trade() -> None:
    """The exact number is in the tooltip. Of trades that differ, the last digit may be what differs."""
    long, other = 49.54085798737727, 49.54085798737728
    both = trades_table(*(with_trades(trade(1, "buy", long), trade(2, "buy", 67_123.456)) for _ in range(2)), 600)
    assert f'<td class="number" title="{long}">49.5409</td>' in both
    assert '<td class="number" title="67123.456">67123.46</td>' in both
    differing = trades_table(with_trades(trade(1, "buy", long)), with_trades(trade(1, "buy", other)), 600)
    assert f">{long}</td>" in differing
    assert f">{other}</td>" in differing
    assert "title=" not in differing


@pytest.mark.parametrize(
    ("price", "shown"),
    [
        ("470.0", "470"),
        ("0.1", "0.1"),
        ("1e-05", "1e-05"),
        ("1.23456789e-05", "0.0000123457"),
        ("123456789.123456", "123456789.12"),
        ("99999.999999", "100000"),
        ("nan", "\N{EN DASH}"),
        ("'inf'", "&#x27;inf&#x27;"),
    ],
)
def test_a_price_keeps_six_significant_digits_and_cents(price: str, shown: str) -> None:
    row = trade(1, "buy", 1.0)
    row[EVENTS.index("price")] = price
    assert f">{shown}</td>" in trades_table(with_trades(row), with_trades(row), 600)


def with_trades(*rows: list[str]) -> Backtest:
    return replace(backtest("Mine", 1), events=Table(EVENTS, list(rows)))


def test_of_many_trades_some_are_shown_and_the_rest_unfolds() -> None:
    many = replace(
        backtest("Mine"), events=Table(EVENTS, [trade(number % 1440, "buy", 1.0) for number in range(3_000)])
    )
    both = run(1.0, many)
    page = report_page(replace(result(), reference=both, lumibot=[both], duckdb=[both]))
    assert "580 more trades" in page
    assert "600 of 3,000 trades: the first, and the first that only one side has." in page


@pytest.mark.parametrize("differing", [[], [5], [2_999], [5, 100, 2_500, 2_999], range(3_000)])
def test_trades_that_only_one_side_has_are_shown_wherever_they_are(differing: Sequence[int]) -> None:
    rows = [trade(number % 1440, "buy", number) for number in range(3_000)]
    other = [[*row[:4], "0.5", *row[5:]] if number in differing else row for number, row in enumerate(rows)]
    theirs, ours = (replace(backtest("Mine"), events=Table(EVENTS, each)) for each in (rows, other))
    shown = trades_table(theirs, ours, 600)
    assert shown.count("<tr><td") + shown.count('<tr class="differs">') == 600
    assert shown.count('<tr class="differs">') >= min(2 * len(differing), 300)


def test_parameters_that_differ_are_shown_for_both_sides() -> None:
    ours = replace(backtest("Mine"), parameters={"length": "21", "extra": EVIL})
    theirs, mine = run(9.0, backtest("Mine")), run(3.0, ours)
    page = report_page(replace(result(), reference=theirs, lumibot=[theirs], duckdb=[mine]))
    assert "Lumibot: 20<br>lumibot-duckdb: 21" in page
    assert f"<i>none</i><br>lumibot-duckdb: {IN_A_PAGE}" in page
    assert "2024-01-02 00:00:00-05:00 to 2024-01-15 00:00:00-05:00" in page


def test_what_a_script_says_is_text_and_nothing_else() -> None:
    evil = Difference("frame", EVIL, EVIL, EVIL, EVIL, EVIL, EVIL)
    page = report_page(
        replace(result(name=EVIL, differences=[evil]), notes=[EVIL], differing_runs=[DifferingRun("duckdb", 2, evil)])
    )
    assert page.count(EVIL) == 0
    assert page.count(IN_A_PAGE) >= 10
    assert EVIL not in own(page)
    assert "throw 1</script>" not in page


def test_a_page_is_below_two_megabytes_whatever_is_on_it() -> None:
    trades = Table(EVENTS, [trade(number % 1440, "buy", 1 / (number + 1), "SYMBOL" * 20) for number in range(1_500)])
    parameters = {f"{number} {'name' * 50}": "value " * 100 for number in range(100)}
    long = replace(backtest("Long", 5_001), events=trades, parameters=parameters, returns=daily_returns(1_000))
    wide = [
        Difference(kind, f"Long {number}", "2024-01-02", f"S{number}", "place " * 100, "left " * 200, "right " * 200)
        for number in range(60)
        for kind in ("frame", "answer", "trade", "order", "portfolio", "chart", "analysis")
    ]
    both = run(600.0, *(replace(long, name=f"Long {number}") for number in range(12)))
    page = report_page(replace(result(differences=wide), reference=both, lumibot=[both], duckdb=[both]))
    assert len(page.encode()) < 2_000_000
    assert "All 12 backtests were compared" in page


def test_a_thinned_curve_keeps_its_extremes() -> None:
    values = [100.0 + (number % 7) for number in range(10_000)]
    values[1_234], values[7_777] = 12.5, 300.25
    times = pd.date_range("2024-01-02", periods=10_000, freq="min")
    rows = [[str(time), repr(value), "1.0"] for time, value in zip(times, values, strict=False)]
    spiky = replace(backtest("Spiky"), values=Table(["datetime", "portfolio_value", "cash"], rows))
    (curve, _, _) = equity(spiky, spiky, 1_000)["data"]
    assert len(curve["x"]) == len(curve["y"]) <= 1_002
    assert (min(curve["y"]), max(curve["y"])) == (12.5, 300.25)
    assert (curve["x"][0], curve["x"][-1]) == ("2024-01-02 00:00", "2024-01-08 22:39")
    assert curve["x"] == sorted(curve["x"])


def test_a_single_portfolio_value_is_a_point() -> None:
    without = {"returns": Table(["day", "strategy"], [])}
    one = run(1.0, *(replace(backtest(name, count), **without) for name, count in (("Short", 1), ("Long", 2))))
    page = report_page(replace(result(), reference=one, lumibot=[one], duckdb=[one]))
    plots = json.loads(page.partition('<script type="application/json" id="plots">')[2].partition("</script>")[0])
    modes = {name: {curve["mode"] for curve in plots[name]["data"]} for name in ("equity-0", "drawdown-0", "equity-1")}
    assert modes == {"equity-0": {"markers"}, "drawdown-0": {"markers"}, "equity-1": {"lines"}}


def test_the_curves_of_a_plot_are_of_one_backtest() -> None:
    """Threads had started them in another order on our side."""
    several = [backtest("Mine", 300), backtest("Other", 200)]
    ours, theirs = run(3.0, *several[::-1]), run(9.0, *several)
    page = report_page(replace(result(), reference=theirs, lumibot=[theirs], duckdb=[ours]))
    plots = json.loads(page.partition('<script type="application/json" id="plots">')[2].partition("</script>")[0])
    assert [len(curve["x"]) for number in (0, 1) for curve in plots[f"equity-{number}"]["data"]] == [
        300,
        300,
        13,
        200,
        200,
        13,
    ]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize(("width", "dark"), [(1440, False), (390, True)])
def test_a_browser_draws_everything(width: int, dark: bool, tmp_path: Path) -> None:
    evil = Difference("frame", EVIL, "2024-01-02", EVIL, EVIL, "x" * 3_000, EVIL)
    report = tmp_path / "report.html"
    report.write_text(report_page(result(name=EVIL, differences=[DIFFERENCE, evil])), encoding="utf-8")
    with browser(tmp_path) as page:
        page.open(report, width, 900, dark=dark)
        assert page.errors == []
        assert [url for url in page.requests if not url.startswith(("file://", "data:"))] == []
        drawn = page.value(
            "Object.fromEntries([...document.querySelectorAll('[data-plot]')].map(place => [place.dataset.plot,"
            "[place.querySelectorAll('.main-svg').length > 0,"
            " place.querySelectorAll('.scatterlayer .trace, .barlayer .trace').length]]))"
        )
        names = ("equity-0", "drawdown-0", "equity-1", "drawdown-1", "memory", "phases")
        assert drawn == {name: [True, 3 if name.startswith("equity") else 2] for name in names}
        assert page.value("document.querySelectorAll('.differences tbody tr').length") == 2
        # Curves below each other have the same dates at the same places.
        dates = (
            f"(layout => [layout._size.l, layout._size.r, layout.xaxis.range])"
            f"(document.querySelector('[data-plot={name}-0]')._fullLayout)"
            for name in ("equity", "drawdown")
        )
        assert page.value(next(dates)) == page.value(next(dates))
        # Nothing reaches past the edge of the window, a phone's included.
        assert page.value("document.documentElement.scrollWidth") == width


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_page_is_printed_in_light_colours_with_everything_unfolded(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    many = replace(backtest("Mine"), events=Table(EVENTS, [trade(number, "buy", 1.0) for number in range(60)]))
    both = run(1.0, many)
    report.write_text(
        report_page(replace(result(differences=[DIFFERENCE]), reference=both, lumibot=[both], duckdb=[both]))
    )
    state = """({
        folded: document.querySelectorAll('details:not([open])').length,
        text: getComputedStyle(document.documentElement).getPropertyValue('--text'),
        widths: [...document.querySelectorAll('.plot')].map(plot => plot._fullLayout.width),
    })"""
    with browser(tmp_path) as page:
        page.open(report, 1440, 900, dark=True)
        before = page.value(state)
        page.value(f"addEventListener('beforeprint', () => {{ window.printed = {state}; }})")
        document = page.call("Page.printToPDF", preferCSSPageSize=True)["data"]
        printed = page.value("window.printed")
        assert page.value(state) == before
        assert page.errors == []
    assert base64.b64decode(document).startswith(b"%PDF-")
    assert (before["folded"], printed["folded"]) == (2, 0)
    assert (before["text"], printed["text"]) == ("#e6e9ef", "#1d2433")
    assert printed["widths"] == [690] * 4
