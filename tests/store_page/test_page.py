"""The status page is self-contained, shows everything, and escapes all names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from comparison.browser import CHROMIUM, Page, browser
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, SeriesKey
from lumibot_duckdb.storage.upkeep.findings import Finding, FoundBar, VerificationReport
from lumibot_duckdb.store_page import status_page
from lumibot_duckdb.store_page.coverage import coverage_of
from store_page.stores import EVIL, daily, filled

IN_A_PAGE = "&lt;/script&gt;&lt;script&gt;throw 1&lt;/script&gt;"
REPORT = VerificationReport(7, 4_588, [Finding("doubled_bars", "error", EVIL), Finding("spool", "info", "a remark")])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBDataStorage]:
    storage = filled(tmp_path_factory.mktemp("status"))
    yield storage
    storage.close()


@pytest.fixture(scope="module")
def page(store: DuckDBDataStorage) -> str:
    return status_page(store, verification=REPORT)


def own(page: str) -> str:
    """Return the page without Plotly's code."""
    return page[: page.index("<script>")] + page[page.index('<script type="application/json"') :]


def data(page: str, name: str) -> Any:
    return json.loads(page.partition(f'<script type="application/json" id="{name}">')[2].partition("</script>")[0])


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    text = own(page)
    assert "default-src 'none'" in text
    assert "http://" not in text
    assert "https://" not in text.replace("https://example.com/a.png", "")
    assert text.count("data-plot=") == 2
    assert len(page.encode()) < 2_000_000


def test_names_are_text_and_nothing_else(page: str) -> None:
    assert EVIL not in page
    assert "throw 1</script>" not in page
    assert page.count(IN_A_PAGE) == 2  # a finding, and a spooled write
    values = page.partition('<script type="application/json" id="coverage-data">')[2].partition("</script>")[0]
    assert "u003c/script" in values
    assert not set("<>&").intersection(values)
    (group,) = [group for group in data(page, "coverage-data")["groups"] if group["name"] == "polygon, day"]
    assert f"{EVIL} stock" in {series[0] for series in group["series"]}


def test_sizes_are_shared_out_by_numbers_of_bars(page: str, store: DuckDBDataStorage) -> None:
    sizes = data(page, "plots")["sizes"]
    assert sizes["layout"]["yaxis"]["ticktext"] == [
        "polygon, hour",
        "yahoo, day (all)",
        "coinbase, day",
        "polygon, day",
    ]
    assert sum(sizes["data"][0]["x"]) == pytest.approx(store.path.stat().st_size / 1e6, abs=0.01)
    assert sizes["data"][0]["text"][2] == "365 bars"


def test_growth_ends_at_the_bars_that_there_are(page: str, store: DuckDBDataStorage) -> None:
    curves = data(page, "plots")["growth"]["data"]
    last = {curve["name"]: curve["y"][-1] for curve in curves}
    assert sum(last.values()) == sum(info.rows for info in store.list_series())
    assert last["coinbase, day"] == 365
    assert all(curve["y"][0] == 0 and len(curve["x"]) == len(curve["y"]) for curve in curves)


def test_gaps_and_provisional_days_are_counted(store: DuckDBDataStorage) -> None:
    found = coverage_of(store, store.list_series())
    assert (found.series, found.drawn) == (7, 7)
    assert (found.gaps, found.with_gaps) == (4, 2)  # three days of GAPS, one of the evil name
    assert found.provisional == 20 + 41  # sessions of January, and of November and December


def test_the_page_states_what_it_does_not_list(page: str) -> None:
    text = own(page)
    assert "The store is damaged: 1 finding of damage; 1 remark." in text
    assert "7 series with 4,588 bars were read and checked" in text
    assert "2 ranges." in text
    assert text.count("THIN stock, hour bars from polygon</td>") == 2
    assert "60 bars of 1 write wait in" in text


def test_selected_series_are_all_that_the_page_is_about(store: DuckDBDataStorage) -> None:
    page = status_page(store, series=store.list_series("AAPL"))
    assert "selected series only" in page
    assert [group["name"] for group in data(page, "coverage-data")["groups"]] == ["yahoo, day (all)"]
    assert [curve["y"][-1] for curve in data(page, "plots")["growth"]["data"]] == [501]
    assert "Not run." in page


def test_findings_are_shown_with_all_their_fields(store: DuckDBDataStorage) -> None:
    key = SeriesKey(AssetKey("<b>"), "test", "day")
    bars = (FoundBar(1_704_205_800, "low <i>"), FoundBar(1_704_205_800, end=1_704_292_200))
    found = [Finding("a", "error", "one", key, bars, 12, "--repair helps", 3), Finding("b", "info", "two")]
    page = status_page(store, series=[], verification=VerificationReport(1, 2, found))
    table = page.partition('<table class="stacked findings">')[2].partition("</table>")[0]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table.split("<tr")[1:]]
    assert rows == [
        ["severity", "check", "series", "what", "bars", "repair"],
        [
            "error",
            "a",
            "&lt;b&gt; stock, day bars from test",
            "one",
            "2024-01-02 09:30: low &lt;i&gt;<br>2024-01-02 09:30 to 2024-01-03 09:30<br>and more: 12 in all",
            "--repair helps",
        ],
        ["note", "b", "", "two", "", ""],
    ]


def test_each_group_gets_its_share_of_a_page_that_is_full(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path)
    bars = daily("2024-01-02", "2024-01-05")
    for number in range(30):
        storage.store_ohlcv_data(f"S{number:02}", bars, "large", "day")
    storage.store_ohlcv_data("ONE", bars, "small", "day")
    series = storage.list_series()
    found = coverage_of(storage, series, most_characters=10 * len("S00 stockb4" + 12 * " "))
    drawn = {group["name"]: [row[0] for row in group["series"]] for group in found.data["groups"]}
    assert drawn == {"large, day": [f"S{number:02} stock" for number in range(9)], "small, day": ["ONE stock"]}
    assert [group["total"] for group in found.data["groups"]] == [30, 1]
    assert (found.series, found.drawn) == (31, 10)


def test_an_empty_store_has_a_page(tmp_path: Path) -> None:
    page = status_page(DuckDBDataStorage(tmp_path))
    assert "The store has no series yet." in page


def test_many_sources_are_summed_up(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path)
    for number in range(15):
        storage.store_ohlcv_data("A", daily("2024-01-02", "2024-01-05"), f"s{number:02}", "day")
    plots = data(status_page(storage), "plots")
    assert plots["sizes"]["layout"]["yaxis"]["ticktext"][-1] == "4 others"
    assert plots["sizes"]["data"][0]["text"][-1] == "16 bars"
    assert [curve["name"] for curve in plots["growth"]["data"]][-1] == "others"
    assert sum(curve["y"][-1] for curve in plots["growth"]["data"]) == 60


def drawn_cells(page: Page) -> Any:
    """Return the labels and the states of the calendar as Plotly has them."""
    return page.value("(({ data, layout }) => [layout.yaxis.ticktext, data[0].z])(document.getElementById('coverage'))")


def gaps_in(row: list[float | None]) -> int:
    """Return how many columns of a row have a gap."""
    return sum(cell is not None and cell >= 2 for cell in row)


def choose(page: Page, select: str, value: str) -> None:
    page.value(
        f"(select => {{ select.value = {value!r}; select.dispatchEvent(new Event('change')); return true }})"
        f"(document.getElementById({select!r}))"
    )


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize(("width", "dark"), [(1440, False), (390, True)])
def test_a_browser_draws_everything(width: int, dark: bool, page: str, tmp_path: Path) -> None:
    file = tmp_path / "status.html"
    file.write_text(page, encoding="utf-8")
    with browser(tmp_path) as opened:
        opened.open(file, width, 900, dark=dark)
        assert opened.value(
            "Object.fromEntries([...document.querySelectorAll('[data-plot]')].map(place => [place.dataset.plot,"
            " place.querySelectorAll('.scatterlayer .trace, .barlayer .trace').length]))"
        ) == {"sizes": 1, "growth": 4}
        assert opened.value("document.querySelectorAll('#coverage .heatmaplayer image').length") == 1
        names = opened.value("[...document.getElementById('group').options].map(each => each.textContent)")
        assert names == [
            "polygon, day: 2 series",
            "polygon, hour: 2 series",
            "yahoo, day (all): 2 series",
            "coinbase, day: 1 series",
        ]
        shown = opened.value("[...document.querySelectorAll('#coverage .ytick text')].map(each => each.textContent)")
        assert [label.startswith("</script><s") and label.endswith("&amp; stock") for label in shown] == [True, False]
        choose(opened, "group", "2")
        labels, cells = drawn_cells(opened)
        assert labels == ["AAPL", "GAPS"]
        assert set(cells[0]) == {0}
        assert 0 in cells[1]
        assert gaps_in(cells[1]) == 2
        choose(opened, "period", "2023")
        assert gaps_in(drawn_cells(opened)[1][1]) == 1
        choose(opened, "group", "1")
        assert set(drawn_cells(opened)[1][1]) == {0, 1}
        # Nothing reaches past the edge of the window, a phone's included.
        assert opened.value("document.documentElement.scrollWidth") == width
        assert opened.errors == []
        assert [url for url in opened.requests if not url.startswith(("file://", "data:"))] == []


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_pages_through_many_series(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path / "store")
    whole = daily("2024-01-02", "2024-01-31")
    for number in range(60):
        missing = pd.Index([3, 5]) if number == 55 else pd.Index([4]) if number == 7 else pd.Index([])
        kept = [place for place in range(len(whole)) if place not in missing]
        storage.store_ohlcv_data(f"S{number:03}", whole.iloc[kept], "test", "day")
    file = tmp_path / "status.html"
    file.write_text(status_page(storage), encoding="utf-8")
    with browser(tmp_path) as opened:
        opened.open(file, 1440, 900)
        parts = opened.value("[...document.getElementById('part').options].map(each => each.textContent)")
        assert parts == [
            "the 2 with the most gaps",
            "1-50: S000 stock to S049 stock",
            "51-60: S050 stock to S059 stock",
        ]
        labels, cells = drawn_cells(opened)
        assert labels == ["S055", "S007"]
        assert [row.count(3) for row in cells] == [2, 1]
        choose(opened, "part", "50")
        assert len(drawn_cells(opened)[0]) == 10
        assert opened.value("document.getElementById('shown').textContent") == "10 of 60 series."
        assert opened.errors == []
