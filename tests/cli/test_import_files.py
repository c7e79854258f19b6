"""The import command: many files, folders and patterns, the summary, and what scripts see."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from cli.files import Command, csv_of, minutes
from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
from lumibot_duckdb.importing import importer
from lumibot_duckdb.importing.staging import Staging
from lumibot_duckdb.storage.api import AssetKey
from lumibot_duckdb.storage.errors import StoreBusyError

Write = Callable[..., Path]

DAYS = ["2024-01-02", "2024-01-03", "2024-01-04"]


def test_the_summary_of_a_file_says_what_went_in(command: Command, write: Write) -> None:
    ended = command(
        "import", write("AAPL_1min.csv", csv_of(minutes("2024-01-02 09:30", 1_500, zone="America/New_York")))
    )
    assert ended.code == 0
    header, _, row, _, totals, span = ended.out.splitlines()
    assert header.split("  ")[0] == "file"
    assert row.split() == [
        *("AAPL_1min.csv", "AAPL", "stock", "minute", "1,500", "1,500", "0", "0", "0"),
        *("2024-01-02", "09:30", "2024-01-03", "10:29"),
    ]
    assert totals == (
        "1 file imported: 1 asset, 1,500 rows = 1,500 new + 0 changed + 0 unchanged + 0 repeated + 0 quarantined."
    )
    assert span == "Bars from 2024-01-02 09:30 to 2024-01-03 10:29, New York time."
    assert ended.err == ""


def test_the_same_file_again_changes_nothing_and_reports_it(command: Command, write: Write) -> None:
    file = write("AAPL.csv", csv_of(DAYS))
    command("import", file)
    before = command.storage().pin("AAPL", "day")
    ended = command("import", file)
    assert ended.code == 0
    assert "3 rows = 0 new + 0 changed + 3 unchanged" in ended.out
    assert "Nothing new: the store had every bar already." in ended.out
    assert command.storage().pin("AAPL", "day") == before


def test_a_file_that_grew_adds_what_is_new_and_changes_what_differs(command: Command, write: Write) -> None:
    command("import", write("AAPL.csv", csv_of(DAYS)))
    grown = csv_of([*DAYS, "2024-01-05"]).replace("2024-01-03,101.25", "2024-01-03,101.5")
    ended = command("import", write("AAPL.csv", grown))
    assert "4 rows = 1 new + 1 changed + 2 unchanged" in ended.out
    assert command.bars("AAPL", "day")["open"].tolist() == [100.25, 101.5, 102.25, 103.25]


@pytest.mark.parametrize("good", [33, pytest.param(97, marks=pytest.mark.long)])
def test_many_files_with_three_bad_ones_give_a_short_summary(good: int, command: Command, write: Write) -> None:
    for number in range(good):
        write(f"many/S{number:03}.csv", csv_of(DAYS))
    write("many/SLAST.csv", csv_of(DAYS).replace("2024-01-03,101.25,102.5", "2024-01-03,101.25,1.5"))
    write("many/broken.csv", "no,bars,here\n1,2,3\n")
    write("many/naive_T1.csv", csv_of(minutes("2024-01-02 09:30", 3)))
    write("many/empty.csv", "")
    ended = command("import", "many")
    assert ended.code == 1
    lines = ended.out.splitlines()
    assert len(lines) < 20
    rows = 3 * (good + 1)
    assert f"{good + 1} files imported, 3 not: {good + 1} assets, {rows} rows = {rows - 1} new" in ended.out
    refused = lines[lines.index("Not imported:") + 1 :][:3]
    assert [Path(line.split(": ")[0]).name for line in refused] == ["broken.csv", "empty.csv", "naive_T1.csv"]
    assert "SLAST.csv: 1 row (high below low: 1), kept in" in ended.out
    assert len(command.storage().list_series()) == good + 1


def test_patterns_that_the_shell_left_alone_are_expanded(command: Command, write: Write) -> None:
    write("data/A.csv", csv_of(DAYS))
    write("data/B.csv.gz", csv_of(DAYS))
    write("data/deeper/C.csv", csv_of(DAYS))
    write("data/notes.md", "nothing")
    assert command("import", "data/*.csv", "data/[B]*").code == 0
    assert [info.key.asset.symbol for info in command.storage().list_series()] == ["A", "B"]
    assert "C stock" in command("import", "data/**/*.csv").out


def test_folders_are_searched_for_files_of_bars(command: Command, write: Write) -> None:
    for name in ("A.csv", "sub/B.CSV.GZ", "sub/notes.md", ".hidden/C.csv", "sub/.D.csv"):
        write(f"data/{name}", csv_of(DAYS))
    Path("data/sub/B.CSV.GZ").write_text(csv_of(DAYS))
    ended = command("import", "data")
    assert ended.code == 0
    assert [info.key.asset.symbol for info in command.storage().list_series()] == ["A", "B"]


def test_a_file_named_twice_is_imported_once(command: Command, write: Write) -> None:
    write("AAPL.csv", csv_of(DAYS))
    assert "1 file imported" in command("import", "AAPL.csv", "./AAPL.csv", "*.csv").out


def test_links_to_one_file_are_files_of_their_own(command: Command, write: Write) -> None:
    write("data/bars", csv_of(DAYS))
    for name in ("AA.csv", "BB.csv"):
        Path("data", name).symlink_to("bars")
    Path("again").symlink_to("data")
    assert "2 files imported: 2 assets" in command("import", "data", "again/AA.csv").out
    assert [info.key.asset.symbol for info in command.storage().list_series()] == ["AA", "BB"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [("none.csv", "there is no such file"), ("none*.csv", "no file matches"), ("nothing", "no file in this folder")],
)
def test_names_without_a_file_are_reported_and_the_others_imported(
    command: Command, write: Write, name: str, problem: str
) -> None:
    Path("nothing").mkdir()
    write("AAPL.csv", csv_of(DAYS))
    ended = command("import", name, "AAPL.csv")
    assert ended.code == 1
    assert f"{name}: {problem}" in ended.out
    assert "1 file imported, 1 not" in ended.out


def test_a_name_that_is_no_text_refuses_the_file_alone(command: Command, write: Write) -> None:
    write("A\udcff.csv", csv_of(DAYS))
    write("AAPL.csv", csv_of(DAYS))
    ended = command("import", "*.csv")
    assert ended.code == 1
    assert "A\\udcff.csv: its path is not UTF-8 text: rename it" in ended.out
    assert "1 file imported, 1 not" in ended.out


def test_several_files_may_be_of_one_symbol(command: Command, write: Write) -> None:
    write("2024-01.csv", csv_of(minutes("2024-01-31 23:50", 10, zone="UTC")))
    write("2024-02.csv", csv_of(minutes("2024-02-01 00:00", 10, zone="UTC")))
    ended = command("import", "2024-0*.csv", "--symbol", "spy")
    assert ended.code == 0
    assert "2 files imported: 1 asset, 20 rows" in ended.out
    (series,) = command.storage().list_series()
    assert (series.key.asset, series.rows, len(series.coverage)) == (AssetKey("SPY"), 20, 1)


def test_what_the_user_says_names_the_series(command: Command, write: Write) -> None:
    write("BTC-USDT.csv", csv_of(minutes("2024-01-02 09:30", 3, zone="UTC")))
    ended = command(
        *("import", "BTC-USDT.csv", "--asset-type", "crypto", "--source", "Binance", "--exchange", "binance"),
        *("--timeframe", "1h", "--adjustment", "none"),
    )
    assert ended.code == 0
    (series,) = command.storage().list_series()
    assert series.key.asset == AssetKey("BTC", "crypto", "USDT", "binance")
    assert (series.key.source, series.key.timeframe, series.key.adjustment) == ("binance", "hour", "none")


def test_bars_further_apart_than_their_name_says_are_reported(command: Command, write: Write) -> None:
    write("AAPL_5min.csv", csv_of(minutes("2024-01-02 09:30", 5, zone="UTC")))
    ended = command("import", "AAPL_5min.csv")
    assert "its name says 5minute, but most bars are one minute apart" in ended.out
    assert command.storage().list_series()[0].key.timeframe == "minute"


def test_the_timeframe_is_the_most_common_spacing_over_gaps(command: Command, write: Write) -> None:
    times = [t for day in ("02", "03", "04") for t in minutes(f"2024-01-{day} 09:30", 40, zone="UTC")[::5]]
    command("import", write("AAPL.csv", csv_of(times)))
    assert command.storage().list_series()[0].key.timeframe == "5minute"


def test_one_bar_does_not_show_its_timeframe(command: Command, write: Write) -> None:
    write("AAPL.csv", csv_of(minutes("2024-01-02 09:30", 1, zone="UTC")))
    ended = command("import", "AAPL.csv")
    assert ended.code == 1
    assert "give --timeframe" in ended.out
    assert command("import", "AAPL.csv", "--timeframe", "minute").code == 0


def test_a_file_without_a_symbol_is_refused(command: Command, write: Write) -> None:
    ended = command("import", write("data.csv", csv_of(DAYS)))
    assert ended.code == 1
    assert "give --symbol, or --symbol-column" in ended.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--timezone", "Mars/Olympus"], "--timezone Mars/Olympus is not a time zone"),
        (["--timeframe", "fortnight"], "'fortnight' is not a timeframe"),
        (["--source", "two words"], "cannot name a source"),
        (["--asset-type", "bond"], "--asset-type bond is not one of stock"),
        (["--quote", "EUR"], "--quote is for crypto, crypto_future, forex, not for --asset-type stock"),
        (["--expiration", "2024-03-15"], "--expiration is for --asset-type future"),
        (["--columns", "open"], "is not of the form NAME=COLUMN"),
        (["--delimiter", "::"], "takes one character"),
        (["--expiration", "soon", "--asset-type", "future"], "is not a date such as 2024-03-15"),
        (["--date-order", "ymd"], "invalid choice"),
        (["--nonsense"], "unrecognized arguments"),
    ],
)
def test_options_that_cannot_be_end_the_command_before_anything_is_read(
    command: Command, write: Write, options: list[str], message: str
) -> None:
    ended = command("import", write("AAPL.csv", csv_of(DAYS)), *options)
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("lumibot-duckdb: ")
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert not command.store.exists()


@pytest.mark.parametrize("option", ["--symbol", "--asset-type", "--timeframe", "--source", "--timezone"])
def test_an_empty_option_is_refused(option: str, command: Command, write: Write) -> None:
    write("AAPL.csv", csv_of(DAYS))
    ended = command("import", "AAPL.csv", option, "")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"lumibot-duckdb: {option} is empty: leave it out, or name one\n"
    assert not command.store.exists()


def test_the_store_may_be_named_after_the_command(command: Command, write: Write) -> None:
    write("AAPL.csv", csv_of(DAYS))
    assert command("import", "AAPL.csv", "--to", "other").code == 0
    assert not command.store.exists()
    assert Path("other/lumibot.duckdb").exists()


def test_trouble_with_the_store_ends_the_import_with_what_went_in(
    command: Command, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("A", "B", "C"):
        write(f"{name}.csv", csv_of(DAYS))
    stored = DuckDBDataStorage.store_ohlcv_data

    def store(self: DuckDBDataStorage, asset: AssetKey, *arguments: object, **options: object) -> object:
        if asset.symbol == "B":
            raise StoreBusyError("held by somebody else")
        return stored(self, asset, *arguments, **options)

    monkeypatch.setattr(DuckDBDataStorage, "store_ohlcv_data", store)
    ended = command("import", "A.csv", "B.csv", "C.csv")
    assert ended.code == 3
    assert ended.err == (
        "lumibot-duckdb: held by somebody else. Imported 1 of 3 files; what was stored stays, and the same command "
        "imports the rest. Or import with --spool, which does not wait\n"
    )
    assert "1 file imported" in ended.out


def test_an_interrupted_import_keeps_what_is_stored_and_reports_it(
    command: Command, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("A", "B", "C"):
        write(f"{name}.csv", csv_of(DAYS))
    imported = importer.import_file

    def import_file(path: Path, *arguments: object) -> object:
        if path.name == "B.csv":
            raise KeyboardInterrupt
        return imported(path, *arguments)

    monkeypatch.setattr(importer, "import_file", import_file)
    ended = command("import", "A.csv", "B.csv", "C.csv")
    assert ended.code == 130
    assert "1 file imported" in ended.out
    assert "interrupted: imported 1 of 3 files; what was stored stays" in ended.err
    assert len(command.bars("A", "day")) == 3


def test_a_disk_too_full_to_sort_one_file_leaves_the_others_alone(
    command: Command, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled = Staging.settle

    def settle(self: Staging) -> tuple[int, int]:
        if self.bounds() != settled_bounds:
            raise duckdb.OutOfMemoryException("Out of Memory Error: failed to offload data block\nand more")
        return settled(self)

    settled_bounds = (1704171600, 1704344400)
    monkeypatch.setattr(Staging, "settle", settle)
    write("A.csv", csv_of(minutes("2000-01-01", 100, zone="UTC")))
    write("B.csv", csv_of(DAYS))
    ended = command("import", "A.csv", "B.csv")
    assert (ended.code, ended.err) == (1, "")
    assert "A.csv: its rows could not be sorted: Out of Memory Error: failed to offload data block\n" in ended.out
    assert len(command.bars("B", "day")) == 3


def test_bad_rows_that_cannot_be_kept_anywhere_refuse_the_file(command: Command, write: Write) -> None:
    write("store/quarantine", "a file where the folder should be")
    ended = command("import", write("AAPL.csv", csv_of(DAYS) + "2024-01-05,1,0.5,1,1,1\n"))
    assert ended.code == 1
    assert f"its bad rows cannot be kept in {command.quarantine}: File exists" in ended.out
    assert not command.store.exists()


def test_the_ingest_says_from_which_file_bars_came(command: Command, write: Write) -> None:
    command("import", write("AAPL.csv", csv_of(DAYS)))
    (row,) = command.storage().sql("SELECT DISTINCT metadata FROM ohlcv_data").to_pylist()
    assert json.loads(row["metadata"]) == {"file": "AAPL.csv"}
