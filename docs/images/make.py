"""Draws the pictures of the documentation: `python docs/images/make.py [FOLDER]` writes all of them.

The bars are generated, the same ones each time. It needs the extras `analytics` and `charts`, and Chromium or Chrome.
"""

from __future__ import annotations

import io
import itertools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.charts import correlation_heatmap, correlation_lines
from lumibot_duckdb.charts.figure import chart_figure
from lumibot_duckdb.charts.lines import LinePane, line_chart
from lumibot_duckdb.demo.market import us_stock_bars
from lumibot_duckdb.results.records import SweepRecord
from lumibot_duckdb.storage.api import AssetKey, CorporateAction
from lumibot_duckdb.sweeps.report import SweepReport, write_report

WIDTH, MOST_BYTES = 800, 60_000
_SCREEN = 1_240
"""The width of the browser's window; its picture is made smaller."""
_COLORS = 256
"""Of a picture that would be too large with all colours. Candles and lines have few."""
_STOCK, _PAYER, _START = "SIM002", "SIM003", "2023-07-03"
"""A stock, one that pays dividends, and the first day that is drawn."""
_SECTORS = {"BANK": 0.6, "TECH": 0.9, "OIL": 0.3, "BOND": -0.5}
"""Symbols of the assets that are compared, and how they follow the market."""
_UNIVERSE = [f"{sector}{number}" for sector in _SECTORS for number in (1, 2, 3)]


def moving_averages(storage: DuckDBDataStorage) -> Any:
    """Averages that follow the price more and less closely."""
    return storage.chart(_STOCK, "day", ["sma(20)", "ema(20)", "hma(20)", "kama(10)"], _START)


def bands(storage: DuckDBDataStorage) -> Any:
    """Bands and a channel."""
    return storage.chart(_STOCK, "day", ["bollinger(20, 2)", "donchian(20)"], _START)


def momentum(storage: DuckDBDataStorage) -> Any:
    """Oscillators below the prices."""
    return storage.chart(_STOCK, "day", ["rsi(14)", "stochastic", "macd", "cci(20)"], _START)


def trend(storage: DuckDBDataStorage) -> Any:
    """Trend and its strength."""
    return storage.chart(_STOCK, "day", ["ichimoku", "psar", "adx(14)", "aroon(25)"], _START)


def volatility(storage: DuckDBDataStorage) -> Any:
    """Ranges and deviations."""
    return storage.chart(_STOCK, "day", ["atr(14)", "volatility(20, 252)", "zscore(20)", "drawdown"], _START)


def volume(storage: DuckDBDataStorage) -> Any:
    """Averages and oscillators of prices and volume."""
    return storage.chart(_STOCK, "day", ["vwap(20)", "obv", "mfi(14)"], _START)


def chart(storage: DuckDBDataStorage) -> Any:
    """A chart with everything: indicators, dividends and trades."""
    bars = storage.get_historical_prices(_PAYER, start=_START, timeframe="day")
    rows = [
        (bars.index[place] + pd.Timedelta(hours=10), side, "fill", 10, _PAYER, bars["close"].iloc[place])
        for place, side in ((24, "buy"), (52, "sell"), (83, "buy"), (110, "sell"))
    ]
    trades = pd.DataFrame(rows, columns=["time", "side", "status", "filled_quantity", "symbol", "price"])
    return storage.chart(_PAYER, "day", ["sma(50)", "bollinger(20, 2)", "rsi(14)"], _START, trades=trades)


def correlation(storage: DuckDBDataStorage) -> Any:
    """A heat map."""
    return correlation_heatmap(storage.correlation(_UNIVERSE), title="Correlation of daily returns", order="similar")


def rolling_correlation(storage: DuckDBDataStorage) -> Any:
    """Correlations over windows."""
    rolling = storage.correlation(["BANK1", "TECH1", "BOND1"], window=60)
    return correlation_lines(rolling, title="Correlation of returns over 60 days")


def spread(storage: DuckDBDataStorage) -> Any:
    """A spread and its z-score."""
    found = storage.spread("BANK1", "BANK2", window=30)
    found = found.rename(columns={"spread": "BANK1 - BANK2", "spread_zscore": "z-score"})
    panes = [
        LinePane(found[["BANK1 - BANK2"]], height=240, axis={"nticks": 5}),
        LinePane(found[["z-score"]], "z-score over 30 days", 200, {"tickvals": [-2, 0, 2]}),
    ]
    return chart_figure(line_chart("Spread of two stocks", panes), "light")


def breadth(storage: DuckDBDataStorage) -> Any:
    """Relative strength and breadth."""
    change = storage.relative_strength(["BANK1", "TECH1", "OIL1", "BOND1"], n=60)
    table = 100 * change.pivot(index="timestamp", columns="asset_symbol", values="change").dropna()
    members = storage.breadth(_UNIVERSE, n=50)["above"].reindex(table.index).to_frame("members above")
    panes = [
        LinePane(table, height=240, axis={"nticks": 5, "ticksuffix": " %"}),
        LinePane(members, f"members of {len(_UNIVERSE)} above their average of 50 days", 160, {"nticks": 4}),
    ]
    return chart_figure(line_chart("Change over 60 days, and breadth", panes), "light")


class PageTop(NamedTuple):
    """The upper part of a page, as a browser shows it."""

    report: SweepReport
    height: int

    def picture(self) -> Image.Image:
        """Return a picture of it, taken by a browser without a window."""
        browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        assert browser, "install Chromium or Chrome"
        with tempfile.TemporaryDirectory() as folder:
            page, picture = write_report(self.report, Path(folder) / "report.html"), Path(folder) / "report.png"
            size = f"--window-size={_SCREEN},{self.height * _SCREEN // WIDTH}"
            command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", size]
            command += [f"--user-data-dir={folder}/profile", "--virtual-time-budget=5000", f"--screenshot={picture}"]
            subprocess.run([*command, page.as_uri()], check=True, stderr=subprocess.DEVNULL)
            with Image.open(picture) as taken:
                return taken.convert("RGB").resize((WIDTH, self.height), Image.Resampling.LANCZOS)


def sweep_report(storage: DuckDBDataStorage) -> Any:
    """The report of a sweep: 60 pairs of averages on a stock that moves at random."""
    closes = storage.get_historical_prices("BOND1", start="2022-01-03", timeframe="day")["close"]
    days = closes.index.tz_localize(None).normalize()
    changes = closes.pct_change().fillna(0.0).to_numpy()
    pairs = list(itertools.product(range(5, 55, 5), (20, 40, 60, 80, 100, 120)))
    averages = {length: closes.rolling(length, min_periods=1).mean() for pair in pairs for length in pair}
    held = {
        number: (averages[fast] > averages[slow]).shift(fill_value=False)
        for number, (fast, slow) in enumerate(pairs, 1)
    }
    returns = pd.DataFrame({number: each.to_numpy() * changes for number, each in held.items()}, days)
    returns = returns.asfreq("D", fill_value=0.0)  # as Lumibot's tear sheet has them
    statistics = pd.DataFrame({"sharpe": 365**0.5 * returns.mean() / returns.std()})
    statistics["total_return"] = (1 + returns).prod() - 1
    trials = pd.DataFrame({"status": "complete", "objective": statistics["sharpe"], "seconds": 0.6, "error": None})
    moment = datetime(2024, 1, 2, 15, tzinfo=timezone.utc)
    searched = {"fast": {"start": 5, "stop": 50, "step": 5}, "slow": {"start": 20, "stop": 120, "step": 20}}
    return PageTop(
        SweepReport(
            sweep=SweepRecord(
                "crossing-1",
                "Crossing",
                "crossing.py",
                {"parameters": searched},
                {"search": "grid"},
                moment,
                moment,
                None,
            ),
            objective="sharpe",
            minimize=False,
            trials=trials,
            parameters=pd.DataFrame(pairs, trials.index, ["fast", "slow"]),
            statistics=statistics,
            equity={number: 100_000 * (1 + returns[number]).cumprod() for number in returns},
            daily_returns=returns,
        ),
        height=655,
    )


PICTURES: dict[str, Callable[[DuckDBDataStorage], Any]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        moving_averages, bands, momentum, trend, volatility, volume,
        chart, correlation, rolling_correlation, spread, breadth, sweep_report,
    )
}  # fmt: skip


@contextmanager
def generated_store() -> Iterator[DuckDBDataStorage]:
    """Yield a store with two years of two stocks, and with a few assets to compare."""
    with tempfile.TemporaryDirectory() as folder, DuckDBDataStorage(folder) as storage:
        for symbol in (_STOCK, _PAYER):
            minutes = us_stock_bars(symbol, date(2022, 6, 1), date(2024, 1, 1))
            storage.store_ohlcv_data(symbol, _days(minutes), "demo", "day")
        dividends = [CorporateAction(date(2023, month, 15), amount=0.42) for month in (9, 12)]
        storage.record_corporate_actions(AssetKey(_PAYER), dividends, "demo", "dividend")
        for symbol, closes in _universe().items():
            storage.store_ohlcv_data(str(symbol), closes.to_frame("close"), "demo", "day")
        yield storage


def _days(minutes: pd.DataFrame) -> pd.DataFrame:
    rules = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    return minutes.between_time("09:30", "15:59").resample("1D").agg(rules).dropna()


def _universe() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    days = pd.bdate_range("2022-01-03", "2023-12-29", tz="America/New_York")
    market = rng.normal(0.0003, 0.008, len(days))
    found = {}
    for sector, part in _SECTORS.items():
        own = rng.normal(0, 0.008, len(days))
        for symbol in [each for each in _UNIVERSE if each.startswith(sector)]:
            changes = part * market + own + rng.normal(0, 0.006, len(days))
            found[symbol] = (100 * np.exp(changes.cumsum())).round(2)
    return pd.DataFrame(found, days)


def png(figure: Any) -> bytes:
    """Return a figure or the top of a page as a small PNG file."""
    drawn = figure.picture() if isinstance(figure, PageTop) else _drawn(figure)
    full = _file(drawn)
    if len(full) <= MOST_BYTES:
        return full
    return _file(drawn.quantize(_COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE))


def _drawn(figure: Any) -> Image.Image:
    figure.update_layout(width=min(WIDTH, figure.layout.width or WIDTH))
    return Image.open(io.BytesIO(figure.to_image(format="png", scale=1))).convert("RGB")


def _file(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def main(folder: Path) -> None:
    """Write all pictures to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with generated_store() as storage:
        for name, draw in PICTURES.items():
            (folder / f"{name}.png").write_bytes(png(draw(storage)))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
