"""`lumibot-duckdb correlate`."""

from __future__ import annotations

import csv
import io
import json
import webbrowser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from cli.files import Command
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.charts import picture
from lumibot_duckdb.cli import correlate
from templates import template

DAYS = pd.bdate_range("2024-01-02", periods=60, tz="America/New_York")


@template
def several(storage: DuckDBDataStorage) -> None:
    rng = np.random.default_rng(0)
    for symbol in ("AAPL", "MSFT"):
        close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.01, 60))), 2)
        storage.store_ohlcv_data(symbol, pd.DataFrame({"close": close}, index=DAYS), "test", "day")
    storage.store_ohlcv_data("FLAT", pd.DataFrame({"close": 1.0}, index=DAYS), "test", "day")
    every_day = pd.date_range("2024-01-02", periods=84, tz="UTC")
    close = np.round(1000 * np.exp(np.cumsum(rng.normal(0, 0.02, 84))), 2)
    storage.store_ohlcv_data(("BTC", "USD"), pd.DataFrame({"close": close}, index=every_day), "exchange", "day")
    old = pd.bdate_range("1999-01-04", periods=20, tz="America/New_York")
    storage.store_ohlcv_data("OLD", pd.DataFrame({"close": 1.0}, index=old), "test", "day")


@pytest.fixture
def filled(command: Command) -> Command:
    several(command.store)
    return command


def test_a_table(filled: Command) -> None:
    ended = filled("correlate", "AAPL", "msft", "FLAT")
    r = filled.storage().correlation(["AAPL", "MSFT"]).loc["AAPL", "MSFT"]
    assert (ended.code, ended.err) == (0, "")
    lines = [line.split() for line in ended.out.splitlines()]
    assert lines[0] == ["asset_symbol", "AAPL", "MSFT", "FLAT"]
    assert lines[2:] == [["AAPL", "1.0000", f"{r:.4f}"], ["MSFT", f"{r:.4f}", "1.0000"], ["FLAT"]]


def test_a_range_a_join_and_a_method(filled: Command) -> None:
    options = ("--from", "2024-01-22", "--to", "2024-03-01", "--join", "asof", "--method", "prices")
    ended = filled("correlate", "AAPL", "btc-usd", *options, "--format", "json")
    wanted = filled.storage().correlation(
        ["AAPL", ("BTC", "USD")], start="2024-01-22", end="2024-03-02", join="asof", method="prices"
    )
    found = json.loads(ended.out)
    assert [row["asset_symbol"] for row in found] == ["AAPL", "BTC/USD"]
    assert found[0]["BTC/USD"] == pytest.approx(wanted.loc["AAPL", "BTC/USD"])


def test_windows(filled: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = filled("correlate", "AAPL", "MSFT", "--window", "10", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    wanted = filled.storage().correlation(["AAPL", "MSFT"], window=10)
    assert len(rows) == 50
    assert rows[0]["timestamp"] == "2024-01-16 05:00:00+00:00"
    assert [float(row["correlation"]) for row in rows] == pytest.approx(wanted["correlation"].tolist())
    ended = filled("correlate", "AAPL", "MSFT", "--window", "10")
    lines = ended.out.splitlines()
    assert lines[2].split() == ["AAPL", "MSFT", "2024-01-16", f"{wanted['correlation'][0]:.4f}"]
    assert (len(lines), lines[-1]) == (54, "Times are New York time.")
    monkeypatch.setattr(correlate, "TABLE_ROWS", 20)
    ended = filled("correlate", "AAPL", "MSFT", "--window", "10")
    assert (len(ended.out.splitlines()), "The first 20 rows." in ended.err) == (24, True)
    ended = filled("correlate", "AAPL", "FLAT", "--window", "58", "--format", "json")
    assert [row["correlation"] for row in json.loads(ended.out)] == [None, None]


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_files(filled: Command, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = filled.folder / f"out.{kind}"
    ended = filled("correlate", "AAPL", "MSFT", "--output", file)
    assert (ended.code, ended.out) == (0, f"2 rows written to {file}.\n")
    read = {"parquet": pd.read_parquet, "csv": pd.read_csv, "json": pd.read_json}[kind](file)
    assert read["AAPL"].tolist()[0] == 1
    before = file.read_bytes()
    refused = filled("correlate", "AAPL", "FLAT", "--output", file)
    assert (refused.code, "exists. Replace it? Nothing was changed" in refused.err) == (2, True)
    assert file.read_bytes() == before
    assert filled("correlate", "AAPL", "FLAT", "--output", file, "--yes").code == 0
    assert file.read_bytes() != before
    monkeypatch.setattr(correlate, "_in_utc", None)
    assert filled("correlate", "AAPL", "FLAT", "--output", file, "--yes").code == 70
    assert [path.name for path in filled.folder.iterdir() if "out" in path.name] == [file.name]  # no part of a file


def test_parquet_has_times_in_utc_and_nulls(filled: Command) -> None:
    file = filled.folder / "out.parquet"
    options = ("correlate", "AAPL", "FLAT", "BTC/USD", "--join", "asof", "--window", "10")
    assert filled(*options, "--output", file).code == 0
    found = pq.read_table(file)
    assert [str(field.type) for field in found.schema][2:] == ["timestamp[us, tz=UTC]", "double"]
    rows = json.loads(filled(*options, "--json").out)
    assert [row["correlation"] for row in rows] == pytest.approx(found["correlation"].to_pylist())
    assert None in found["correlation"].to_pylist()


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_formats_have_short_forms(filled: Command, kind: str) -> None:
    short, long = (filled("correlate", "AAPL", "MSFT", *form) for form in ([f"--{kind}"], ["--format", kind]))
    assert (short.code, short.out) == (0, long.out)


def plot(page: str) -> Any:
    return json.loads(page.partition('id="plots">')[2].partition("</script>")[0])["chart"]


def test_a_heat_map(filled: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    file = filled.folder / "matrix.html"
    ended = filled("correlate", "AAPL", "BTC/USD", "MSFT", "--output", file, "--join", "asof", "--open")
    assert (ended.code, ended.out, ended.err) == (0, f"The heat map is in {file}.\n", "")
    page = file.read_text()
    assert "<h1>Correlation of returns, day bars</h1>" in page
    assert "2024-01-02 to 2024-03-25, New York time. The 60 times of AAPL, with the last closes of the others." in page
    wanted = filled.storage().correlation(["AAPL", ("BTC", "USD"), "MSFT"], join="asof")
    (cells,) = plot(page)["data"]
    assert cells["x"] == ["AAPL", "BTC/USD", "MSFT"]
    np.testing.assert_allclose(cells["z"], wanted, atol=5e-4)
    assert opened == [file.as_uri()]
    ended = filled("correlate", "AAPL", "FLAT", "--method", "log_returns", "--output", file)  # a page is replaced
    assert (ended.code, plot(file.read_text())["data"][0]["z"]) == (0, [[1.0, None], [None, None]])
    assert "The 60 times that all of them have." in file.read_text()
    monkeypatch.setattr(picture, "find_spec", lambda name: None)
    ended = filled("correlate", "AAPL", "MSFT", "--output", filled.folder / "matrix.png")
    assert (ended.code, "PNG files need Kaleido" in ended.err) == (1, True)


@pytest.mark.long
@pytest.mark.skipif(picture.find_spec("kaleido") is None, reason="needs Kaleido")
@pytest.mark.parametrize("options", [(), ("--window", "10")])
def test_kaleido_draws_it(filled: Command, options: tuple[str, ...]) -> None:
    file = filled.folder / "a.png"
    ended = filled("correlate", "AAPL", "MSFT", *options, "--output", file)
    if "could not draw" in ended.err:
        pytest.skip(ended.err)
    assert (ended.code, file.read_bytes()[:4]) == (0, b"\x89PNG")


def test_lines_over_windows(filled: Command) -> None:
    file = filled.folder / "rolling.html"
    ended = filled("correlate", "AAPL", "MSFT", "FLAT", "--window", "10", "--output", file)
    assert (ended.code, ended.out) == (0, f"The chart is in {file}.\n")
    page = file.read_text()
    assert "<h1>Correlation of returns over 10 day bars</h1>" in page
    assert "2024-01-16 to 2024-03-25, New York time." in page
    drawn = {trace["name"]: trace["y"] for trace in plot(page)["data"]}
    wanted = filled.storage().correlation(["AAPL", "MSFT"], window=10)
    assert drawn["AAPL, MSFT"] == pytest.approx(wanted["correlation"].tolist())
    assert set(drawn["AAPL, FLAT"]) == {None}
    file.write_text("precious")
    ended = filled("correlate", "AAPL", "MSFT", "--window", "10", "--output", file)
    assert (ended.code, "exists and is not an HTML page" in ended.err) == (2, True)
    assert file.read_text() == "precious"


def test_similar_assets_are_next_to_each_other(filled: Command) -> None:
    storage = filled.storage()
    twin = storage.to_pandas("AAPL", timeframe="day")[["close"]] * 1.5
    storage.store_ohlcv_data("TWIN", twin, "test", "day")
    storage.close()
    symbols = ("AAPL", "MSFT", "TWIN")
    given, similar = (
        filled("correlate", *symbols, "--order", order, "--format", "json") for order in ("given", "similar")
    )
    assert [row["asset_symbol"] for row in json.loads(given.out)] == ["AAPL", "MSFT", "TWIN"]
    rows = json.loads(similar.out)
    names = [row["asset_symbol"] for row in rows]
    assert (abs(names.index("AAPL") - names.index("TWIN")), [*rows[0]][1:]) == (1, names)
    file = filled.folder / "m.html"
    assert filled("correlate", *symbols, "--order", "similar", "--output", file).code == 0
    assert plot(file.read_text())["data"][0]["x"] == names


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "the following arguments are required: SYMBOL"),
        (("AAPL",), 2, "name two or more different assets"),
        (("AAPL", "aapl"), 2, "name two or more different assets"),
        (("AAPL", "MSFTT"), 1, "no bars of MSFTT; did you mean MSFT?"),
        (("AAPL", "MSFT", "--timeframe", "minute"), 1, "no minute bars of AAPL stock"),
        (("AAPL", "MSFT", "--timeframe", "eon"), 2, "'eon' is not a timeframe"),
        (("AAPL", "MSFT", "--window", "1"), 2, "window must be a whole number from 2 to 100000, not 1"),
        (("AAPL", "MSFT", "--window", "few"), 2, "argument --window: few is not a whole number"),
        (("AAPL", "MSFT", "--join", "left"), 2, "argument --join: invalid choice: 'left'"),
        (
            ("AAPL", "MSFT", "--from", "2030-01-01"),
            2,
            "AAPL, MSFT: no day bars from 2030-01-01; there are bars from 2024-01-02 to 2024-03-25",
        ),
        (("AAPL", "MSFT", "--source", "other"), 1, "no day bars of AAPL stock from other"),
        (
            ("AAPL", "MSFT", "--output", "a.txt"),
            2,
            "a.txt: add --format csv, parquet or json, which the name does not tell",
        ),
        (("AAPL", "MSFT", "--output", "a.csv", "--format", "table"), 2, "a file is csv, parquet or json"),
        (("AAPL", "MSFT", "--format", "parquet"), 2, "--format parquet needs --output FILE"),
        (("AAPL", "MSFT", "--csv", "--json"), 2, "argument --json: not allowed with argument --csv"),
        (("AAPL", "OLD"), 2, "have the same time (AAPL 2024-01-02 to 2024-03-25, OLD 1999-01-04"),
        (("AAPL", "OLD"), 2, ": choose another range, or --join asof or outer"),
        (("AAPL", "MSFT", "--output", "nowhere/a.csv"), 2, "name a file in an existing folder"),
        (("AAPL", "MSFT", "--output", "nowhere/a.html"), 2, "cannot write to nowhere/a.html"),
        (("AAPL", "MSFT", "--open"), 2, "--open needs --output with a name that ends in .html or .png"),
        (
            ("AAPL", "MSFT", "--order", "similar", "--window", "9"),
            2,
            "--order is for a matrix, and --window makes none",
        ),
        (("AAPL", "MSFT", "--window", "70", "--output", "a.html"), 1, "there is nothing to draw"),
        (
            ("AAPL", "MSFT", "--window", "9", "--output", "a.html", "--format", "table"),
            2,
            "a file is csv, parquet or json",
        ),
    ],
)
def test_mistakes(filled: Command, arguments: tuple[str, ...], code: int, message: str) -> None:
    ended = filled("correlate", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err
    assert ended.err.count("\n") == 1


def test_no_store(command: Command, tmp_path: Path) -> None:
    ended = command("correlate", "AAPL", "MSFT", "--store", tmp_path / "none.duckdb")
    assert (ended.code, "there is no store at" in ended.err) == (1, True)


def test_an_earlier_version(filled: Command) -> None:
    storage = filled.storage()
    then = storage.correlation(["AAPL", "MSFT"]).loc["AAPL", "MSFT"]
    storage.snapshot("before")
    storage.store_ohlcv_data("MSFT", pd.DataFrame({"close": np.arange(60) % 7 + 1.0}, index=DAYS), "test", "day")
    now = storage.correlation(["AAPL", "MSFT"]).loc["AAPL", "MSFT"]
    storage.close()
    assert now != pytest.approx(then)
    for more, wanted in ((("--as-of", "before"), then), ((), now)):
        rows = json.loads(filled("correlate", "AAPL", "MSFT", "--format", "json", *more).out)
        assert rows[0]["MSFT"] == pytest.approx(wanted)
    ended = filled("correlate", "AAPL", "MSFT", "--as-of", "after")
    assert (ended.code, ended.err) == (1, "lumibot-duckdb: the store has no snapshot 'after'; it has 'before'\n")
