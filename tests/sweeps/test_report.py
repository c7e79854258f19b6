"""The report of a sweep is one self-contained page that shows everything and escapes all texts of the script."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from comparison.browser import CHROMIUM, Page, browser
from lumibot_duckdb.sweeps.overfitting import verdict
from lumibot_duckdb.sweeps.report import SweepReport, charted_trials, report_page, write_report
from lumibot_duckdb.sweeps.report.equity import equity_plot
from lumibot_duckdb.sweeps.report.failures import failures_section
from lumibot_duckdb.sweeps.report.luck import luck_plots
from lumibot_duckdb.sweeps.report.table_data import table_data
from sweeps.example_sweeps import example, walk_forward

EVIL = "</script><script>throw 1</script><img src='https://example.com/a.png'><b>&"
IN_A_PAGE = "&lt;/script&gt;&lt;script&gt;throw 1&lt;/script&gt;"
SMALL = {"fast": [5, 10, 20], "slow": [50, 100], "ma": ["sma", "ema"]}

pytestmark = pytest.mark.xdist_group("sweep-report")  # one browser


@pytest.fixture(scope="module")
def small() -> SweepReport:
    return example(SMALL, days=400)


def own(page: str) -> str:
    """Return the page without Plotly's code."""
    return page[: page.index("<script>")] + page[page.index('<script type="application/json"') :]


def data(page: str, name: str) -> Any:
    return json.loads(page.partition(f'<script type="application/json" id="{name}">')[2].partition("</script>")[0])


def evil(report: SweepReport) -> SweepReport:
    """A sweep in which every text is HTML."""
    named = {name: f"{EVIL}{name}" for name in report.parameters}
    parameters = report.parameters.rename(columns=named)
    # Shortened, both values look the same.
    parameters[f"{EVIL}ma"] = [f"{EVIL}{value}{EVIL}" for value in parameters[f"{EVIL}ma"]]
    trials = report.trials.copy()
    trials["error"] = [None if error is None else EVIL for error in trials["error"]]
    sweep = replace(
        report.sweep,
        name=EVIL,
        strategy=EVIL,
        script=EVIL,
        space={"parameters": {EVIL: {"values": [EVIL]}}, "conditions": [EVIL]},
        settings={EVIL: EVIL, "nested": {EVIL: [EVIL]}},
        store=EVIL,
        versions={EVIL: EVIL},
    )
    chosen = walk_forward()
    windows = [replace(window, parameters={EVIL: EVIL}) for window in chosen.windows]
    stability = [replace(each, name=EVIL, counts=((EVIL, 5),)) for each in chosen.stability]
    walks = replace(chosen, windows=windows, stability=stability)
    return replace(report, sweep=sweep, trials=trials, parameters=parameters, objective=EVIL, walk_forward=walks)


def test_nothing_is_loaded_from_anywhere(small: SweepReport) -> None:
    page = own(report_page(small))
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page


def test_the_warning_comes_first(small: SweepReport) -> None:
    page = own(report_page(replace(small, walk_forward=walk_forward())))
    assert small.assessment is not None
    parts = [
        "Out of sample, the sweep is within the range of luck.", verdict(small.assessment).headline,
        'class="figures"', 'id="windows"', 'id="luck"', 'id="equity"', 'id="objective"', 'id="heat-map"',
        'id="parallel"', 'id="table"', 'id="failures"',
    ]  # fmt: skip
    assert sorted(parts, key=page.index) == parts
    assert page.count('role="alert"') == 2


def test_texts_of_the_script_are_text_and_nothing_else(small: SweepReport) -> None:
    page = report_page(evil(small))
    assert EVIL not in page
    assert "throw 1</script>" not in page
    assert page.count(IN_A_PAGE) > 15
    values = page.partition('<script type="application/json" id="trials">')[2].partition("</script>")[0]
    assert not set("<>&").intersection(values)
    assert f"{EVIL}fast" in [column["id"] for column in data(page, "trials")["columns"]]


def test_a_page_of_200_trials_is_below_two_megabytes() -> None:
    report = example(days=300)
    times = pd.date_range("2020-01-01 14:30", periods=20_000, freq="min", tz="UTC")
    long = {number: pd.Series(1e5 + np.cumsum(np.random.default_rng(number).standard_normal(20_000)), times)
            for number in charted_trials(report.trials)}  # fmt: skip
    page = report_page(replace(report, equity=long))
    assert len(report.trials) == 200
    assert len(page.encode()) < 2_000_000


def test_the_equity_is_of_the_ten_best_and_the_median_with_few_points() -> None:
    report = example(days=300)
    times = pd.date_range("2020-01-01", periods=20_000, freq="h", tz="UTC")
    values = pd.Series(100.0 + np.arange(20_000) % 7, times)
    values.iloc[1_234], values.iloc[17_777] = 12.5, 300.25
    chosen = charted_trials(report.trials)
    assert len(chosen) == 11
    curves = equity_plot(replace(report, equity=dict.fromkeys(chosen, values)))["data"]
    assert [curve["name"] for curve in curves] == [
        f"median, trial {chosen[10]}", *["2 to 10"] * 9, f"best, trial {chosen[0]}",
    ]  # fmt: skip
    assert [bool(curve.get("showlegend", True)) for curve in curves] == [True, True, *[False] * 8, True]
    for curve in curves:
        assert len(curve["x"]) == len(curve["y"]) <= 1_002
        assert (min(curve["y"]), max(curve["y"])) == (12.5, 300.25)
        assert (curve["x"][0], curve["x"][-1]) == ("2019-12-31 19:00", "2022-04-13 03:00")
    assert equity_plot(replace(report, equity={}))["data"] == []


def test_columns_of_the_table_have_their_values_and_kinds() -> None:
    report = example(SMALL, days=100, failed=0)
    mixed = [1, 2.5, "x", None, True, float("nan"), *[1] * 6]
    parameters = report.parameters.assign(
        mixed=pd.Series(mixed, report.trials.index, object), sharpe=[np.int64(3)] * 12
    )
    found = table_data(replace(report, parameters=parameters))
    columns = {column["id"]: column for column in found["columns"]}
    assert list(columns)[:8] == ["trial", "status", "objective", "fast", "slow", "ma", "mixed", "sharpe"]
    assert columns["trial"]["values"] == list(range(1, 13))
    assert (columns["objective"]["role"], columns["objective"]["kind"]) == ("objective", "ratio")
    assert columns["fast"]["values"] == [5] * 4 + [10] * 4 + [20] * 4
    assert (columns["ma"]["texts"], columns["ma"]["values"]) == (["sma", "ema"], [0, 1] * 6)
    assert columns["mixed"]["texts"] == ["1", "2.5", "x", "None", "True"]
    assert columns["mixed"]["values"] == [0, 1, 2, 3, 4, 3, *[0] * 6]
    assert columns["sharpe"]["values"] == [3] * 12
    assert columns["max_drawdown"]["kind"] == "percent"
    json.dumps(found, allow_nan=False)


def test_failures_are_grouped_by_reason() -> None:
    trials = pd.DataFrame(
        {
            "status": ["complete", *["failed"] * 30, "timeout", "pruned", "odd"],
            "error": [None, *[f"E{number % 2}: {EVIL}" for number in range(30)], "no result", None, float("nan")],
        },
        range(1, 35),
    )
    section = failures_section(trials)
    assert "Trials that did not complete: 33" in section
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in section.split("<tr>")[2:]]
    assert [(row[0], row[1]) for row in rows] == [
        ("15", "failed: error of the script"),
        ("15", "failed: error of the script"),
        ("1", "timeout: took too long"),
        ("1", "pruned: stopped early, since it was worse than others"),
        ("1", "odd"),
    ]
    assert rows[0][2].startswith("E0: &lt;/script&gt;")
    assert rows[0][3] == "2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24 …"
    assert failures_section(trials.iloc[:1]) == ""
    many = pd.DataFrame({"status": "failed", "error": [f"E{number}" for number in range(80)]}, range(80))
    assert "The 50 most frequent of 80 reasons." in failures_section(many)


def test_low_values_may_be_good(small: SweepReport) -> None:
    low = replace(small, minimize=True, objective="volatility")
    complete = low.trials["objective"].dropna()
    assert low.ranking == [int(number) for number in complete.sort_values(kind="stable").index]
    assert low.ranking == small.ranking[::-1]
    assert low.assessment is not None
    assert low.assessment.best == small.ranking[-1]
    assert data(report_page(low), "trials")["minimize"] is True


def test_the_plots_of_luck_show_all_simulated_sweeps_and_splits(small: SweepReport) -> None:
    assert small.assessment is not None
    found = luck_plots(small.assessment)
    for name in ("luck", "ranks"):
        assert sum(sum(bars["y"]) for bars in found[name]["data"]) == pytest.approx(100, abs=0.3), name
    lucky = sum(found["luck"]["data"][1]["y"]) / 100
    assert small.assessment.luck is not None
    assert lucky == pytest.approx(small.assessment.luck.probability, abs=0.12)


def test_pruned_trials_and_earlier_sweeps_count_as_tried(small: SweepReport) -> None:
    trials = small.trials.copy()
    trials.loc[trials["status"] == "failed", "status"] = "pruned"
    pruned = int((trials["status"] == "pruned").sum())
    assert small.assessment is not None
    found = replace(small, trials=trials, others=100).assessment
    assert found is not None
    assert pruned > 0
    assert found.tried == small.assessment.tried + pruned + 100


def without_trials(report: SweepReport) -> SweepReport:
    return replace(
        report,
        trials=report.trials.iloc[:0],
        parameters=report.parameters.iloc[:0],
        statistics=report.statistics.iloc[:0],
        daily_returns=report.daily_returns[[]],
    )


def all_failed(report: SweepReport) -> SweepReport:
    trials = report.trials.assign(status="crashed", objective=math.nan, error="SIGSEGV", seconds=math.nan)
    return replace(report, trials=trials, daily_returns=report.daily_returns.iloc[:0, :0])


def only_one(report: SweepReport) -> SweepReport:
    first = slice(0, 1)
    return replace(
        report,
        trials=report.trials.iloc[first],
        parameters=report.parameters.iloc[first, :0],
        statistics=report.statistics.iloc[first],
        daily_returns=report.daily_returns.iloc[:, first],
    )


def few_days(report: SweepReport) -> SweepReport:
    return replace(report, daily_returns=report.daily_returns.iloc[:7])


UNUSUAL = {
    without_trials: "No trial is complete and has a value of the objective.",
    all_failed: "No trial is complete and has a value of the objective.",
    only_one: "Nothing was chosen, since there is one trial only.",
    few_days: "There are only 7 days that all trials have; at least 30 are needed.",
}


@pytest.mark.parametrize("change", UNUSUAL)
def test_an_unusual_sweep_has_a_page(change: Any, small: SweepReport) -> None:
    page = own(report_page(change(small)))
    assert UNUSUAL[change] in page
    assert not re.search(r"\b(nan|NaN|inf|Infinity)\b", page.partition('<script type="application/json"')[0])


def test_a_report_replaces_a_file_as_a_whole(
    small: SweepReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "report.html"
    file.write_text("before")
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", _full)
        with pytest.raises(OSError, match="No space left"):
            write_report(small, file)
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
    assert file.read_text() == "before"
    assert write_report(small, str(file)) == file
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(FileNotFoundError):
        write_report(small, tmp_path / "missing" / "report.html")


def _full(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_the_windows_have_both_values_and_their_parameters(small: SweepReport) -> None:
    walks = walk_forward()
    failed = replace(walks.windows[1], test=None, out_of_sample=None)
    page = report_page(replace(small, walk_forward=replace(walks, windows=[walks.windows[0], failed])))
    section = page.partition('id="windows"')[2].partition("</section>")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in section.split("<tr>")[2:]]
    assert rows[0][:4] == ["1", "2020-01-01 to 2021-01-01", "2021-01-01 to 2021-04-01", "fast=10, slow=50"]
    assert rows[0][4] == f"{walks.windows[0].in_sample:.2f}"
    assert rows[1][2] == rows[1][5] == "\N{EN DASH}"
    assert "<code>fast</code>: 10 in 3 of 5 windows, 3 changes; from 5 to 10, 33 % of the searched range" in section
    bars = data(page, "plots")["windows"]["data"]
    assert [trace["x"] for trace in bars] == [["2021-01-01", "window 2"]] * 2
    assert bars[1]["y"][1] is None


# -- in a browser ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


def opened(page: Page, report: SweepReport, folder: Path, width: int = 1440, *, dark: bool = False) -> Page:
    page.errors.clear()
    page.requests.clear()
    page.open(write_report(report, folder / "report.html"), width, 900, dark=dark)
    return page


def check_quiet(page: Page, width: int = 1440) -> None:
    assert page.errors == []
    assert [url for url in page.requests if not url.startswith(("file://", "data:"))] == []
    # Nothing reaches past the edge of the window, a phone's included.
    assert page.value("document.documentElement.scrollWidth") == width


def press(page: Page, key: str, code: int, text: str = "") -> None:
    about = {"key": key, "code": key, "windowsVirtualKeyCode": code}
    page.call("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
    page.call("Input.dispatchKeyEvent", type="keyUp", **about)


def type_filter(page: Page, text: str) -> None:
    page.value(
        f"(input => {{ input.value = {json.dumps(text)}; input.dispatchEvent(new Event('input')); return true }})"
        "(document.querySelector('#table input'))"
    )


def cells(page: Page, column: str) -> list[str]:
    names = "[...document.querySelectorAll('#table th')]"
    place = f"{names}.findIndex(each => each.textContent === {json.dumps(column)})"
    found: list[str] = page.value(
        f"(at => [...document.querySelectorAll('#table tbody tr')].map(row => row.cells[at].textContent))({place})"
    )
    return found


def position(page: Page) -> str:
    return str(page.value("document.querySelector('#table [role=status]').textContent"))


@pytest.mark.parametrize(("width", "dark"), [(1440, True), (390, False)])
def test_a_browser_draws_everything(width: int, dark: bool, small: SweepReport, chromium: Page, tmp_path: Path) -> None:
    page = opened(chromium, replace(evil(small), objective="sharpe"), tmp_path, width, dark=dark)
    check_quiet(page, width)
    drawn = page.value(
        "Object.fromEntries([...document.querySelectorAll('.plot')].map((place, at) => "
        "[place.dataset.plot || place.closest('section').id + at, place.querySelectorAll("
        "'.scatterlayer .trace, .barlayer .trace, .heatmaplayer image').length]))"
    )
    complete = len(small.ranking)
    assert {name: drawn.pop(name) for name in ("windows", "joined", "luck", "ranks", "equity")} == {
        "windows": 2, "joined": 1, "luck": 2, "ranks": 2, "equity": min(complete, 10),
    }  # fmt: skip
    objective = [count for name, count in drawn.items() if name.startswith("objective")]
    assert objective == [3, 3, 3]
    assert [count for name, count in drawn.items() if name.startswith("heat-map")] == [1]
    assert [count for name, count in drawn.items() if name.startswith("parallel")] == [5]
    colors = page.value("[...document.querySelectorAll('.barlayer path')].map(path => getComputedStyle(path).fill)")
    assert "rgb(0, 0, 0)" not in colors
    assert len(cells(page, "trial")) == len(small.trials)
    if width > 600:
        check_heat_map(page, small)
        check_missing_values_are_last(page, small)
        check_printing(page)


def check_heat_map(page: Page, report: SweepReport) -> None:
    place = "document.querySelector('#heat-map .plot')"

    def choose(number: int, value: str) -> None:
        page.value(
            f"(select => {{ select.value = {value!r}; select.dispatchEvent(new Event('change')); return true }})"
            f"(document.querySelectorAll('#heat-map select')[{number}])"
        )

    for number, value in ((0, "0"), (1, "1"), (2, "best")):
        choose(number, value)
    trace = page.value(f"(({{ x, y, z }}) => ({{ x, y, z }}))({place}.data[0])")
    assert (trace["x"], trace["y"]) == (["5", "10", "20"], ["50", "100"])
    joined = report.parameters.assign(objective=report.trials["objective"]).dropna()
    places = [[(slow, fast) for fast in SMALL["fast"]] for slow in SMALL["slow"]]
    best = joined.groupby(["slow", "fast"])["objective"].max()
    assert trace["z"] == [[pytest.approx(best.get(cell), rel=1e-5) for cell in row] for row in places]
    choose(2, "trials")
    counts = joined.groupby(["slow", "fast"]).size()
    assert page.value(f"{place}.data[0].z") == [[counts.get(cell) for cell in row] for row in places]
    # The same parameter twice would be a line: the other selection changes.
    choose(0, "1")
    assert page.value("[...document.querySelectorAll('#heat-map select')].map(each => each.value)")[:2] == ["1", "0"]
    # Texts that look the same when they are shortened keep their cells, and their places over the objective.
    choose(0, "2")
    counts = joined.groupby(["fast", "ma"]).size()
    assert page.value(f"{place}.data[0].z") == [
        [counts.get((fast, ma)) for ma in ("ema", "sma")] for fast in SMALL["fast"]
    ]
    assert page.value(f"{place}._fullLayout.xaxis._categories.length") == 2
    assert page.value("document.querySelectorAll('#objective .plot')[2]._fullLayout.xaxis._categories.length") == 2
    check_quiet(page)


def check_missing_values_are_last(page: Page, report: SweepReport) -> None:
    header = "[...document.querySelectorAll('#table th button')].find(each => each.textContent === 'sharpe').click()"
    failed = int(report.trials["objective"].isna().sum())
    for direction in (-1, 1):
        values = cells(page, "sharpe")
        assert values[-failed:] == ["\N{EN DASH}"] * failed
        numbers = [direction * float(value) for value in values[:-failed]]
        assert numbers == sorted(numbers)
        page.value(f"{header}, true")


def check_printing(page: Page) -> None:
    """The page is dark, and printed in light colours."""
    state = """({
        text: getComputedStyle(document.documentElement).getPropertyValue('--text'),
        widths: [...document.querySelectorAll('.plot')].map(plot => plot._fullLayout.width),
    })"""
    before = page.value(state)
    page.value(f"addEventListener('beforeprint', () => {{ window.printed = {state}; }})")
    document = page.call("Page.printToPDF", preferCSSPageSize=True)["data"]
    printed = page.value("window.printed")
    assert page.value(state) == before
    assert page.errors == []
    assert base64.b64decode(document).startswith(b"%PDF-")
    assert (before["text"], printed["text"]) == ("#e6e9ef", "#1d2433")
    assert set(printed["widths"]) == {690}


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.long)])
def test_the_table_sorts_filters_and_turns_pages_by_keyboard(count: int, chromium: Page, tmp_path: Path) -> None:
    report = many(count)
    page = opened(chromium, report, tmp_path)
    check_quiet(page)
    assert position(page) == f"1 to 50 of {count}"
    objectives = report.trials["objective"].sort_values(ascending=False)
    assert cells(page, "trial") == [str(number) for number in objectives.index[:50]]
    # Tab reaches the filter, the buttons and the names of columns; Enter sorts and turns pages.
    page.value("document.querySelector('#table input').focus()")
    press(page, "Tab", 9)
    assert page.value("document.activeElement.textContent") == "next"  # "previous" cannot be used on the first page
    press(page, "Enter", 13, "\r")
    assert position(page) == f"51 to 100 of {count}"
    assert cells(page, "trial") == [str(number) for number in objectives.index[50:100]]
    for _ in range(2):
        press(page, "Tab", 9)
    assert page.value("document.activeElement.textContent") == "trial"
    press(page, "Enter", 13, "\r")
    assert cells(page, "trial") == [str(number) for number in range(1, 51)]
    assert page.value("document.activeElement.closest('th').getAttribute('aria-sort')") == "ascending"
    press(page, "Enter", 13, "\r")
    assert cells(page, "trial")[:3] == [str(count - number) for number in range(3)]
    type_filter(page, "kind = b length < 3.5 max_drawdown > -40%")
    parameters, drawdown = report.parameters, report.statistics["max_drawdown"]
    expected = report.trials.index[(parameters["kind"] == "b") & (parameters["length"] < 3.5) & (drawdown > -0.4)]
    assert len(expected) > 5
    assert cells(page, "trial") == [str(number) for number in expected[::-1][:50]]
    assert position(page).endswith(f"of {len(expected)} (of {count})")
    type_filter(page, "colour = red")
    assert page.value("document.querySelector('#table .problem').textContent").startswith("There is no column colour.")
    assert len(cells(page, "trial")) == min(50, len(expected))  # the rows stay
    type_filter(page, "length > many")
    assert page.value("document.querySelector('#table .problem').textContent") == "length has numbers; many is none."
    type_filter(page, "no-such-word")
    assert (cells(page, "trial"), position(page)) == ([], f"none of {count}")
    type_filter(page, "")
    assert position(page) == f"1 to 50 of {count}"


def many(count: int) -> SweepReport:
    """Return a sweep of trials of sixty days."""
    rng = np.random.default_rng(3)
    numbers = pd.RangeIndex(1, count + 1)
    returns = pd.DataFrame(0.01 * rng.standard_normal((60, count)), pd.date_range("2024-01-01", periods=60), numbers)
    sharpe = 365**0.5 * returns.mean() / returns.std()
    return replace(
        example(SMALL, days=60, failed=0),
        trials=pd.DataFrame({"status": "complete", "objective": sharpe, "seconds": 0.1, "error": None}, numbers),
        parameters=pd.DataFrame(
            {"length": rng.uniform(1, 9, count), "kind": rng.choice(["a", "b", "c"], count)}, numbers
        ),
        statistics=pd.DataFrame({"sharpe": sharpe, "max_drawdown": -rng.random(count)}, numbers),
        daily_returns=returns,
        equity={},
    )


@pytest.mark.parametrize("change", [without_trials, *(pytest.param(each, marks=pytest.mark.long) for each in UNUSUAL)])
def test_a_browser_shows_an_unusual_sweep(change: Any, small: SweepReport, chromium: Page, tmp_path: Path) -> None:
    check_quiet(opened(chromium, change(small), tmp_path, 390), 390)
