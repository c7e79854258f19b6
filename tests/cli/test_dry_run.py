"""`import --dry-run` shows how files are understood, and stores nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cli.files import Command, csv_of, minutes

Write = Callable[..., Path]


def test_everything_that_was_understood_is_shown_and_nothing_is_written(command: Command, write: Write) -> None:
    text = csv_of(minutes("2024-07-02 09:30", 8), header="Time (GMT+2),o,h,l,c,v").replace("102.25,103.5", "102.25,1.5")
    write("BTC-USD_1min.csv", text)
    ended = command("import", "--dry-run", "BTC-USD_1min.csv")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "BTC-USD_1min.csv",
        "  asset:      BTC/USD crypto (from the file's name)",
        "  timeframe:  minute",
        "  source:     import",
        "  times:      Time (GMT+2), UTC+02:00 (from the heading of the times)",
        "  columns:    open=o, high=h, low=l, close=c, volume=v",
        "  left out:   nothing",
        "  prices:     as they are",
        "  rows:       8 = 7 bars + 0 repeated + 1 not bars (high below low: 1)",
        "  span:       2024-07-02 03:30 to 2024-07-02 03:37, New York time",
        "  asset           time                open   high      low   close  volume",
        "  --------------  ----------------  ------  -----  -------  ------  ------",
        "  BTC/USD crypto  2024-07-02 03:30  100.25  101.5   99.125  100.75    1000",
        "  BTC/USD crypto  2024-07-02 03:31  101.25  102.5  100.125  101.75    1001",
        "  BTC/USD crypto  2024-07-02 03:33  103.25  104.5  102.125  103.75    1003",
        "  BTC/USD crypto  2024-07-02 03:34  104.25  105.5  103.125  104.75    1004",
        "  BTC/USD crypto  2024-07-02 03:35  105.25  106.5  104.125  105.75    1005",
        "  note: its symbol is a pair, so its type is crypto, not stock",
        "  note: its times are in UTC+02:00 (from the heading of the times)",
        "",
        "Nothing was stored. 1 file would be imported.",
    ]
    assert not command.store.parent.exists()


def test_an_existing_store_stays_as_it_is(command: Command, write: Write) -> None:
    command("import", write("AAPL.csv", csv_of(["2024-01-02", "2024-01-03"])))
    before = command.store.read_bytes()
    assert command("import", "--dry-run", write("MSFT.csv", csv_of(["2024-01-02", "2024-01-03"]))).code == 0
    assert command.store.read_bytes() == before


def test_files_that_would_be_refused_are_shown_with_the_reason(command: Command, write: Write) -> None:
    write("AAPL.csv", csv_of(minutes("2024-01-02 09:30", 5)))
    write("MSFT.csv", csv_of(["2024-01-02", "2024-01-03"]))
    ended = command("import", "--dry-run", "AAPL.csv", "MSFT.csv")
    assert ended.code == 1
    assert "AAPL.csv\n  not imported: its times have no time zone" in ended.out
    assert ended.out.endswith("Nothing was stored. 1 file would be imported, 1 not.\n")


def test_many_files_are_not_all_shown(command: Command, write: Write) -> None:
    for number in range(25):
        write(f"many/S{number:03}.csv", csv_of(["2024-01-02", "2024-01-03"]))
    ended = command("import", "--dry-run", "many")
    assert ended.out.count("  asset:") == 20
    assert "... and 5 more files" in ended.out
    assert ended.out.endswith("Nothing was stored. 25 files would be imported.\n")
