"""`lumibot-duckdb chart`."""

from __future__ import annotations

import json
import sys
import webbrowser
from types import SimpleNamespace
from typing import Any

import pytest

from analytics.market import frame
from charts.test_trades import table
from cli.files import Command, no_store
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.charts import picture
from templates import template

DAYS = frame(60, freq="D", start="2024-01-02")
PNG = b"\x89PNG\r\n\x1a\n"


@template
def three_series(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", DAYS, "test", "day")
    storage.store_ohlcv_data(("BTC", "USD"), frame(300), "test", "minute")
    storage.store_ohlcv_data(("BTC", "EUR"), frame(300), "test", "minute")


@pytest.fixture
def filled(command: Command) -> Command:
    three_series(command.store)
    rows = [("2024-01-20 10:00:00-05:00", "buy", "fill", 1.0, "AAPL", "stock", 5.0)]
    table(*rows).to_csv(command.folder / "My_trades.csv", index=False)
    return command


def plot(page: str) -> Any:
    return json.loads(page.partition('id="plots">')[2].partition("</script>")[0])["chart"]


def test_a_page(filled: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    file = filled.folder / "a.html"
    options = ("--with", "sma(5)", "--with", "rsi", "--from", "2024-01-10", "--to", "2024-02-10")
    trades = filled.folder / "My_trades.csv"
    ended = filled("chart", "aapl", *options, "--trades", trades, "--output", file)
    assert (ended.code, ended.out, ended.err) == (0, f"The chart is in {file}.\n", "")
    data = plot(file.read_text())["data"]
    assert [trace["name"] for trace in data] == ["AAPL", "volume", "sma(5)", "rsi(14)", "bought"]
    assert data[0]["close"] == DAYS["close"].loc["2024-01-10":"2024-02-10"].tolist()  # type: ignore[misc]
    assert not opened
    assert filled("chart", "AAPL", "--timeframe", "week", "--output", file, "--open").code == 0
    assert len(plot(file.read_text())["layout"]["xaxis"]["categoryarray"]) == 9
    assert opened == [file.as_uri()]


def test_a_picture(filled: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    file = filled.folder / "a.png"
    monkeypatch.setattr(picture, "find_spec", lambda name: None)
    ended = filled("chart", "AAPL", "--output", file)
    assert (ended.code, file.exists()) == (1, False)
    assert "PNG files need Kaleido: pip install 'lumibot-duckdb[charts]'; HTML files need nothing more" in ended.err
    drawn = SimpleNamespace(to_image=lambda **options: PNG + repr(options).encode())
    monkeypatch.setattr(picture, "find_spec", lambda name: True)
    monkeypatch.setattr("lumibot_duckdb.charts.figure.chart_figure", lambda chart, theme: drawn)
    assert filled("chart", "AAPL", "--output", file).out == f"The chart is in {file}.\n"
    assert file.read_bytes() == PNG + b"{'format': 'png', 'width': 1200, 'scale': 2}"

    def fail(**_: Any) -> bytes:
        raise RuntimeError("The browser closed.\nand more")

    drawn.to_image = fail
    ended = filled("chart", "AAPL", "--output", file)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "Kaleido could not draw the picture: The browser closed. It needs Chrome or Chromium" in ended.err
    assert file.read_bytes().startswith(PNG)


@pytest.mark.long
@pytest.mark.skipif("kaleido" not in sys.modules and picture.find_spec("kaleido") is None, reason="needs Kaleido")
def test_kaleido_draws_it(filled: Command) -> None:
    file = filled.folder / "a.png"
    ended = filled("chart", "AAPL", "--output", file)
    if "could not draw" in ended.err:
        pytest.skip(ended.err)
    assert file.read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("AAPL",), 2, "--output"),
        (
            ("AAPL", "--with", "sma", "rsi", "--output", "a.html"),
            2,
            "arguments: rsi; --with takes one value: repeat it",
        ),
        (("AAPL", "--output", "a.pdf"), 2, "a.pdf: name a file that ends in .html or .png"),
        (("AAPL", "--output", "nowhere/a.html"), 2, "cannot write to nowhere/a.html"),
        (("AAPL", "--output", "text.html"), 2, "text.html exists and is not an HTML page"),
        (("AAPL", "--output", "text.png"), 2, "text.png exists and is not a PNG picture"),
        (("APL", "--output", "a.html"), 1, "no bars of APL; did you mean AAPL?"),
        (("BTC", "--timeframe", "minute", "--output", "a.html"), 2, 'BTC stands for 2: write "BTC/EUR crypto" or'),
        (("AAPL", "--timeframe", "hour", "--output", "a.html"), 1, "no hour bars of AAPL stock"),
        (("AAPL", "--source", "other", "--output", "a.html"), 1, "no day bars of AAPL stock from other"),
        (("AAPL", "--with", "rsii", "--output", "a.html"), 2, "there is no indicator 'rsii'; did you mean rsi?"),
        (("AAPL", "--from", "2030-01-01", "--output", "a.html"), 1, "no bars from 2030-01-01; there are bars from"),
        (("AAPL", "--trades", "My_trade.csv", "--output", "a.html"), 2, "My_trade.csv; did you mean My_trades.csv?"),
        (
            ("btc-usd", "--timeframe", "minute", "--trades", "My_trades.csv", "--output", "a.html"),
            1,
            "My_trades.csv has no fill of BTC/USD crypto; it has fills of AAPL",
        ),
    ],
)
def test_mistakes(
    filled: Command, arguments: tuple[str, ...], code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(filled.folder)
    for kind in ("html", "png"):
        (filled.folder / f"text.{kind}").write_text("precious")
    ended = filled("chart", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err
    assert not (filled.folder / "a.html").exists()
    assert (filled.folder / "text.html").read_text() == "precious"


def test_there_is_no_store(command: Command) -> None:
    ended = command("chart", "AAPL", "--output", "a.html")
    assert (ended.code, ended.err) == (1, no_store(command))


def test_an_earlier_version(filled: Command) -> None:
    storage = filled.storage()
    storage.snapshot("before")
    storage.store_ohlcv_data("AAPL", DAYS * 2, "test", "day")
    storage.close()
    file = filled.folder / "a.html"
    assert filled("chart", "AAPL", "--with", "sma(5)", "--as-of", "before", "--output", file).code == 0
    prices, _, average = plot(file.read_text())["data"]
    assert prices["close"] == DAYS["close"].tolist()
    assert average["y"][-1] == pytest.approx(DAYS["close"].iloc[-5:].mean())
    assert "Bars as they were stored as of before." in file.read_text()
    ended = filled("chart", "AAPL", "--as-of", "never", "--output", file)
    assert (ended.code, ended.out) == (1, "")
    assert "no snapshot 'never'" in ended.err
