"""`lumibot-duckdb label`."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli.files import Command, no_store
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.cli.completers import labels_and_symbols
from lumibot_duckdb.cli.label_file import label_table
from lumibot_duckdb.storage.api import AssetKey, LabelReport
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.reference.stored_labels import StoredLabels
from storage.frames import minute_bars

OPTION = AssetKey("AAPL", "option", expiration=dt.date(2024, 1, 19), strike=190.0, right="CALL")
BTC = AssetKey("BTC", "crypto", "USD")
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with bars, which tests copy."""
    with DuckDBDataStorage(tmp_path_factory.mktemp("label")) as storage:
        for asset in ("AAPL", "MSFT", "ES=F", BTC, OPTION):
            storage.store_ohlcv_data(asset, minute_bars(rows=2), "test", "minute")
    return storage.path


@pytest.fixture
def filled(command: Command, store: Path) -> Command:
    command.store.parent.mkdir()
    shutil.copy(store, command.store)
    return command


def labels(command: Command) -> list[tuple[str, ...]]:
    with command.storage() as storage:
        return list(storage.labels()[["asset_symbol", "name", "value"]].itertuples(index=False, name=None))


def test_labels_are_set_listed_and_removed(filled: Command) -> None:
    ended = filled("label", "aapl", "btc-usd", "Sector=Technology", "index=S&P 500", "index=Dow")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == "4 labels changed, 0 unchanged."
    assert labels(filled) == [
        (symbol, name, value)
        for symbol in ("AAPL", "BTC/USD")
        for name, value in (("index", "Dow"), ("index", "S&P 500"), ("sector", "Technology"))
    ]
    listed = filled("label", "BTC").out.splitlines()
    assert listed[2:] == [
        "BTC/USD crypto  index   Dow",
        "BTC/USD crypto  index   S&P 500",
        "BTC/USD crypto  sector  Technology",
        "",
        "3 labels.",
    ]
    found = json.loads(filled("label", "--list", "--name", "sector", "--json").out)["labels"]
    assert found[1] == {
        "asset_symbol": "BTC/USD", "asset_type": "crypto", "exchange": "", "name": "sector", "value": "Technology"
    }  # fmt: skip
    assert filled("label", "AAPL", "--remove", "index=Dow", "--remove", "sector", "--yes").code == 0
    assert [row for row in labels(filled) if row[0] == "AAPL"] == [("AAPL", "index", "S&P 500")]
    assert filled("label", "AAPL", "--add", "index=Nasdaq").code == 0
    assert [row[2] for row in labels(filled) if row[0] == "AAPL"] == ["Nasdaq", "S&P 500"]


def test_status_shows_them(filled: Command) -> None:
    filled("label", "AAPL", "sector=Tech", "index=B", "index=A")
    assert "\nAAPL stock, labels: index A, B; sector Tech\n\n" in filled("status", "AAPL").out
    assert "labels" not in filled("status", "MSFT").out + filled("status").out


def test_nothing_is_replaced_or_removed_without_a_yes(filled: Command) -> None:
    filled("label", "AAPL", "MSFT", "sector=Tech")
    before = labels(filled)
    ended = filled("label", "AAPL", "MSFT", "sector=IT")
    assert (ended.code, "Replace or remove values of 2 labels? Nothing was changed" in ended.err) == (2, True)
    assert filled("label", "AAPL", "--remove", "sector").code == 2
    ended = filled("label", "AAPL", "sector=IT", "--dry-run", "--json")
    assert json.loads(ended.out) == {
        "dry_run": True,
        "changes": [
            {"symbol": "AAPL", "asset": "AAPL stock", "name": "sector", "before": ["Tech"], "after": ["IT"]},
        ],
        "unchanged": 0,
        "skipped": [],
    }
    assert filled("label", "AAPL", "--remove", "sector", "--dry-run").out.endswith(
        "1 label would be changed, 0 unchanged.\n"
    )
    assert labels(filled) == before
    assert filled("label", "AAPL", "sector=IT", "--yes").code == 0
    assert labels(filled)[0] == ("AAPL", "sector", "IT")


def test_symbols_are_not_the_options_on_them_and_may_have_an_equals_sign(filled: Command) -> None:
    filled("label", "AAPL", "ES=F", "kind=x")
    assert labels(filled) == [("AAPL", "kind", "x"), ("ES=F", "kind", "x")]
    filled("label", "AAPL240119C00190000", "kind=y")
    assert ("AAPL 2024-01-19 190 CALL", "kind", "y") in labels(filled)
    filled("label", "*", "kind=z", "--yes")
    assert {row[0] for row in labels(filled) if row[2] == "z"} == {"AAPL", "MSFT", "ES=F", "BTC/USD"}


def test_files(filled: Command, write: Write) -> None:
    write("wide.csv", "Symbol,Sector,code\nAAPL,Tech,0123\nBTC/USD,,9\n")
    assert filled("label", "--file", "wide.csv").code == 0
    assert labels(filled) == [("AAPL", "code", "0123"), ("AAPL", "sector", "Tech"), ("BTC/USD", "code", "9")]
    write("long.csv", "symbol,name,value\nMSFT,index,A\nMSFT,index,B\nNA,index,A\n")
    ended = filled("label", "--file", "long.csv")
    assert (ended.code, ended.err) == (
        1,
        "lumibot-duckdb: the store has no bars of NA, and an asset needs some to get a label. Leave out unknown assets "
        "with --skip-unknown\n",
    )
    ended = filled("label", "--file", "long.csv", "--skip-unknown")
    assert ended.out.endswith("1 label changed, 0 unchanged.\nSkipped, because the store has no bars of them: NA.\n")
    assert [row for row in labels(filled) if row[0] == "MSFT"] == [("MSFT", "index", "A"), ("MSFT", "index", "B")]
    write("returned.csv", filled.storage().labels().to_csv(index=False))
    assert filled("label", "--file", "returned.csv").out == "0 labels changed, 4 unchanged.\n"


READ: dict[str, str | bytes] = {
    "empty fields at the end": "symbol,sector\nAAPL,Tech,\nMSFT,,,\n",
    "also of the header": "symbol,sector,,\nAAPL,Tech,,\nMSFT,\n",
    "missing fields, empty lines": "\nsymbol,sector\n\nMSFT\n,\nAAPL, Tech",
    "semicolons": "symbol;sector\nAAPL;Tech\n",
    "tabs": "symbol\tsector\nAAPL\tTech\n",
    "a byte order mark": b"\xef\xbb\xbfsymbol,sector\r\nAAPL,Tech\r\n",
    "quotes": '"symbol","sector"\n"AAPL","Tech"\n',
}


def test_what_spreadsheets_write_is_read(filled: Command, write: Write) -> None:
    for name, content in READ.items():
        for file in ("a.csv", "a.csv.gz"):
            table = label_table(write(file, content))
            table = table[table["symbol"] == "AAPL"]
            assert table.to_dict("records") == [{"symbol": "AAPL", "sector": "Tech"}], name
    ended = filled("label", "--file", "a.csv.gz")
    assert (ended.code, ended.err, labels(filled)) == (0, "", [("AAPL", "sector", "Tech")])


UNREADABLE: list[tuple[str | bytes, str]] = [
    (
        "symbol,sector\nAAPL,MSFT,Tech\n",
        "line 2: 3 values, but the header has 2 columns: symbol, sector. Write a value",
    ),
    ("symbol,sector\nMSFT,Tech\n\nAAPL,Oil, Gas\n", "line 4: 3 values, but"),
    ("symbol;sector\nAAPL;Oil; Gas\n", "a value that has a ';' in double quotes"),
    ("symbol,sector,\nAAPL,Tech,x\n", "line 2: 3 values, but the header has 2 columns"),
    ("symbol,sector\nAAPL,Santé\n".encode("latin-1"), "x.csv is not in UTF-8: save it as UTF-8"),
    ("symbol,sector\n".encode("utf-16"), "x.csv is not in UTF-8: save it as UTF-8"),
    ("symbol,sector\nAAPL,\nMSFT,\n", "the table has no values: all cells of sector are empty"),
    ("symbol,name,value\nAAPL,sector,\n", "the table has no values"),
    ("symbol,symbol,sector\nAAPL,MSFT,Tech\n", "two columns of the table have the same name"),
    ("AAPL|Tech\n", "the table has no column of symbols"),
    ("\n\n", "x.csv cannot be read as CSV: it is empty"),
    ("symbol,sector\nAAPL," + "x" * 200_000, "x.csv cannot be read as CSV: field larger"),
]


def test_a_file_whose_values_are_uncertain_changes_nothing(filled: Command, write: Write) -> None:
    for content, says in UNREADABLE:
        write("x.csv", content)
        ended = filled("label", "--file", "x.csv")
        assert (ended.code, ended.out, says in ended.err) == (2, "", True), ended.err
    assert labels(filled) == []


MISTAKES: list[tuple[tuple[str, ...], int, str]] = [
    (("APPL", "a=b"), 1, "the store has no bars of APPL; did you mean AAPL?"),
    (("--list", "--name", "sektor"), 1, "no asset has a label 'sektor'; did you mean sector?"),
    (("AAPL", "--remove", "sektor"), 1, "no asset has a label 'sektor'; did you mean sector?"),
    (("MSFT", "--remove", "sector"), 1, "none of these assets has the label sector"),
    (("AAPL", "--remove", "sector=tech"), 1, "no asset has the sector 'tech'; did you mean Tech?"),
    (("a=b",), 2, "name the assets to label, such as"),
    (("AAPL", "a=b", "--remove", "a"), 2, "one of these at a time"),
    (("AAPL", "a=b", "--list"), 2, "--list and --name show labels"),
    (("AAPL", "--file", "x.csv"), 2, "--file has its own symbols: leave out AAPL"),
    (("--file", "x.csv"), 2, "there is no file x.csv; did you mean y.csv?"),
    (("--file", "y.csv"), 2, "y.csv cannot be read as CSV"),
    (("AAPL", "--add", "x"), 2, "--add needs a name and a value"),
    (("AAPL", "=b"), 2, "'' cannot be the name of a label"),
    (("AAPL", "a="), 2, "'' cannot be the value of a label"),
    (("AAPL", "x=y", "--skip-unknown"), 2, "--skip-unknown is for --file"),
]


def test_mistakes(filled: Command, write: Write) -> None:
    filled("label", "AAPL", "sector=Tech")
    write("y.csv", "")
    for arguments, code, says in MISTAKES:
        ended = filled("label", *arguments)
        assert (ended.code, says in ended.err) == (code, True), ended.err
    assert labels(filled) == [("AAPL", "sector", "Tech")]


def test_without_a_store_or_labels(command: Command) -> None:
    assert command("label", "AAPL", "a=b").err == no_store(command)
    with command.storage() as storage:
        storage.store_ohlcv_data("AAPL", minute_bars(rows=2), "test", "minute")
    assert command("label").out == "There are no labels.\n"


@contextmanager
def held(command: Command) -> Iterator[None]:
    """Hold the lock that writers need."""
    lock = StoreLock(command.store)
    lock.acquire(True, time.monotonic() + 10)
    yield
    lock.close()


def test_a_store_that_is_held_is_unchanged_and_the_error_says_so(
    filled: Command, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled("label", "AAPL", "sector=Tech", "index=A", "index=B")
    before = labels(filled)
    write("x.csv", "symbol,sector\nAAPL,Oil\n")
    storage = StoredLabels.label, StoredLabels.unlabel
    monkeypatch.setattr(StoreConnection.of(filled.store), "wait_seconds", 0.0)

    def when_planned(method: Callable[..., LabelReport], writes: int) -> Callable[..., LabelReport]:
        """Let the plan and some writes succeed, and hold the store then."""
        left = [writes]

        def call(*arguments: Any, dry_run: bool = False, **options: Any) -> LabelReport:
            if dry_run or left[0]:
                left[0] -= not dry_run
                return method(*arguments, dry_run=dry_run, **options)
            with held(filled):
                return method(*arguments, **options)

        return call

    for writes, arguments in (
        (0, ("AAPL", "sector=Oil")),
        (0, ("AAPL", "--add", "sector=Oil")),
        (0, ("AAPL", "--remove", "sector", "--remove", "index")),
        (0, ("--file", "x.csv")),
        (1, ("AAPL", "--remove", "index=A", "--remove", "sector")),
    ):
        for name, method in zip(("label", "unlabel"), storage, strict=True):
            monkeypatch.setattr(StoredLabels, name, when_planned(method, writes))
        ended = filled("label", *arguments, "--yes")
        assert (ended.code, "AAPL stock" in ended.out, "changed" in ended.out) == (3, True, False)
        if writes:
            assert ended.err.endswith(". Only index=A was removed: repeat the command for the rest\n"), ended.err
        else:
            assert ended.err.endswith(". No label was changed\n"), ended.err
            assert labels(filled) == before


def test_labels_without_bars_can_be_listed_and_removed(filled: Command) -> None:
    filled("label", "MSFT", "sector=Tech")
    filled("delete", "MSFT", "--yes")
    assert "MSFT stock  sector  Tech" in filled("label", "MSFT").out
    assert filled("label", "MSFT", "--remove", "sector", "--yes").code == 0
    assert labels(filled) == []


def test_completion(filled: Command) -> None:
    class Parsed:
        store = str(filled.store)

    filled("label", "AAPL", "sector=Tech")
    assert {"AAPL", "BTC/USD", "sector="} <= set(labels_and_symbols(Parsed(), ""))  # type: ignore[arg-type]
    assert list(labels_and_symbols(Parsed(), "sector=")) == ["sector=Tech"]  # type: ignore[arg-type]
