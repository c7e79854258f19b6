"""The report is one self-contained page that shows everything and escapes all text from scripts."""

from __future__ import annotations

import json
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

EVIL = "</script><script>throw 1</script><img src='https://example.com/a.png'><b>&"
IN_A_PAGE = "&lt;/script&gt;&lt;script&gt;throw 1&lt;/script&gt;"


def backtest(name: str, iterations: int = 300) -> Backtest:
    times = pd.date_range("2024-01-02 09:30", periods=iterations, freq="h", tz="America/New_York")
    values = 100_000 * np.exp(np.cumsum(np.random.default_rng(1).standard_normal(iterations)) / 100)
    rows = [[str(time), repr(float(value)), "1.0"] for time, value in zip(times, values, strict=True)]
    return Backtest(
        name,
        "lumibot.backtesting.PolygonDataBacktesting",
        True,
        Table(["time", "symbol", "status", "trade_cost"], [["2024-01-02", "SPY", "fill", "1.0"]]),
        Table(["datetime", "portfolio_value", "cash"], rows),
        {},
    )


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


def test_nothing_is_loaded_from_anywhere() -> None:
    page = report_page(result())
    own = page[: page.index("<script>")] + page[page.index('<script type="application/json"') :]
    assert "http://" not in own
    assert "https://" not in own
    assert "default-src 'none'" in own
    assert own.count("data-plot=") == 6
    assert "identical: 2 fills with fees of 2.00, 600 portfolio values, 40 frames, 60 prices" in own
    assert "None in 2 fills" in own


def test_differences_are_listed_with_both_values() -> None:
    page = report_page(result(differences=[DIFFERENCE]))
    assert "NOT identical. Different: 7 frames." in page
    assert "470.25</td>" in page
    assert "470.26</td>" in page
    assert "The first 1 of 7." in page


def test_what_a_script_says_is_text_and_nothing_else() -> None:
    evil = Difference("frame", EVIL, EVIL, EVIL, EVIL, EVIL, EVIL)
    page = report_page(
        replace(result(name=EVIL, differences=[evil]), notes=[EVIL], differing_runs=[DifferingRun("duckdb", 2, evil)])
    )
    assert page.count(EVIL) == 0
    assert page.count(IN_A_PAGE) >= 10
    assert "throw 1</script>" not in page


def test_long_curves_are_drawn_with_fewer_points() -> None:
    long = run(1.0, backtest("Long", 20_001))
    page = report_page(replace(result(), reference=long, lumibot=[long], duckdb=[long]))
    assert len(page) < 2_000_000


def test_a_single_portfolio_value_is_a_point() -> None:
    one = run(1.0, backtest("Short", 1), backtest("Long", 2))
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
    assert [len(curve["x"]) for number in (0, 1) for curve in plots[f"equity-{number}"]["data"]] == [300, 300, 200, 200]


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
        assert drawn == {name: [True, 2] for name in names}
        assert page.value("document.querySelectorAll('.differences tbody tr').length") == 2
        # Nothing reaches past the edge of the window, a phone's included.
        assert page.value("document.documentElement.scrollWidth") == width
