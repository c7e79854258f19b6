"""The page of a chart is self-contained, and a browser draws everything in it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analytics.market import frame
from charts.test_trades import table
from comparison.browser import CHROMIUM, browser
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.charts.chart import Chart, make_chart
from lumibot_duckdb.charts.heatmap import heat_map
from lumibot_duckdb.charts.page import chart_page
from lumibot_duckdb.storage.api import AssetKey, CorporateAction

EVIL = "</script><b>&"
DRAWN = """
(place => Object.fromEntries(Object.entries({
  candles: '.boxlayer .box', lines: '.scatterlayer .js-line', bars: '.barlayer .trace',
  marks: '.scatterlayer path.point', letters: '.scatterlayer .textpoint',
}).map(([name, selector]) => [name, place.querySelectorAll(selector).length])))(document.querySelector('[data-plot]'))
"""
MIDDLE = """
(box => [box.x + box.width / 2, box.y + box.height / 2])(document.querySelector('.nsewdrag').getBoundingClientRect())
"""
HOVERED = """
new Promise(done => setTimeout(done, 300)).then(
  () => [...document.querySelectorAll('.hoverlayer text')].map(each => each.textContent).join('; '))
"""
COLOR = "getComputedStyle(document.querySelector('.boxlayer .box')).stroke"


def chart_of(storage: DuckDBDataStorage) -> Chart:
    asset = AssetKey(EVIL)
    bars = frame(120, freq="B", start="2024-01-02")
    storage.store_ohlcv_data(asset, bars, "test", "day")
    storage.record_corporate_actions(asset, [CorporateAction(date(2024, 2, 1), 1, 4)], "test", "split")
    storage.record_corporate_actions(asset, [CorporateAction(date(2024, 3, 1), amount=0.2)], "test", "dividend")
    trades = table(
        *((f"2024-02-{day:02} 10:00:00-05:00", side, "fill", 3.0, EVIL, "stock", 101.5) for day, side in
          ((5, "buy"), (12, "<b>sell</b>"), (20, "buy")))
    )  # fmt: skip
    return make_chart(
        storage, asset, "day", ["sma(10)", "bollinger(20, 2)", "rsi(14)", "macd"], None, None,
        source=None, adjustment=None, as_of=None, zone=None, trades=trades,
    )  # fmt: skip


@pytest.fixture
def page(storage: DuckDBDataStorage) -> str:
    return chart_page(chart_of(storage))


def test_the_page_loads_nothing_and_names_are_text(page: str) -> None:
    own = page[: page.index("<script>")] + page[page.index('<script type="application/json"') :]
    assert "default-src 'none'" in own
    assert "http://" not in own
    assert "https://" not in own
    assert EVIL not in own
    assert "&lt;/script&gt;&lt;b&gt;&amp; stock, day bars from test" in own
    plot = json.loads(page.partition('id="plots">')[2].partition("</script>")[0])["chart"]
    assert [trace["name"] for trace in plot["data"][-2:]] == ["bought", "sold"]
    assert plot["data"][-1]["customdata"][0].startswith("&lt;b&gt;sell&lt;/b&gt; 3 at 101.5")
    assert len(page.encode()) < 2_000_000
    # The axis has the names of all candles; `plots.js` gives them to the traces that have a point in each.
    assert [trace["name"] for trace in plot["data"] if "x" in trace and len(trace["x"]) > 100] == []
    assert len(plot["layout"]["xaxis"]["categoryarray"]) == 120


CELLS = """
(place => ({
  numbers: [...place.querySelectorAll('.heatmap-label text')].filter(each => each.getClientRects().length).length,
  image: place.querySelectorAll('.heatmaplayer image').length,
  names: [...place.querySelectorAll('.yaxislayer-above .ytick text')].map(each => each.textContent).length,
  scale: place.querySelectorAll('.colorbar').length,
  middle: place.data[0].colorscale[1][1],
}))(document.querySelector('[data-plot]'))
"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_draws_heat_maps(tmp_path: Path) -> None:
    middles = set()
    with browser(tmp_path) as opened:
        for count, width, dark, numbers in ((12, 1440, False, 144), (12, 390, True, 0), (50, 390, False, 0)):
            symbols = [f"A{number}" for number in range(count)]
            file = tmp_path / f"{count}.html"
            file.write_text(chart_page(heat_map(pd.DataFrame(np.eye(count), symbols, symbols), EVIL)), encoding="utf-8")
            opened.open(file, width, 900, dark=dark)
            drawn = opened.value(CELLS)
            middles.add(drawn.pop("middle"))
            assert drawn == {"numbers": numbers, "image": 1, "names": count, "scale": 1}
            assert opened.value("document.documentElement.scrollWidth") == width
        assert len(middles) == 2  # of a light and a dark page
        assert opened.errors == []
        assert [url for url in opened.requests if not url.startswith(("file://", "data:"))] == []


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_draws_everything(page: str, tmp_path: Path) -> None:
    file = tmp_path / "chart.html"
    file.write_text(page, encoding="utf-8")
    colors = set()
    with browser(tmp_path) as opened:
        for width, dark in ((1440, False), (390, True), (1440, True), (390, False)):
            opened.open(file, width, 900, dark=dark)
            assert opened.value(DRAWN) == {"candles": 120, "lines": 1 + 3 + 1 + 2, "bars": 2, "marks": 5, "letters": 2}
            colors.add(opened.value(COLOR))
            # Nothing reaches past the edge of the window, a phone's included.
            assert opened.value("document.documentElement.scrollWidth") == width
            # On a phone, a swipe over the plot scrolls the page.
            dragged = opened.value("document.querySelector('[data-plot]').layout.dragmode")
            assert dragged == ("zoom" if width > 720 else False)
            x, y = opened.value(MIDDLE)
            opened.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
            hovered = opened.value(HOVERED)  # one box for all panes
            for name in (
                f"{EVIL} : open",
                "volume : ",
                "bollinger(20, 2) lower : ",
                "rsi(14) : ",
                "macd(12, 26, 9) signal",
            ):
                assert name in hovered
        assert len(colors) == 2  # of a light and a dark page
        assert opened.errors == []
        assert [url for url in opened.requests if not url.startswith(("file://", "data:"))] == []
