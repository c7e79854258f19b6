"""`export` and the `import` of what it wrote: the same series, without options."""

from __future__ import annotations

import io
import json
from pathlib import Path

import polars as pl
import pytest

from cli.files import Command, no_store
from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
from storage.frames import assert_same, minute_bars
from templates import template

FRAME = minute_bars(rows=60)


@template
def several_series(storage: DuckDBDataStorage) -> None:
    for source, timeframe in (("polygon", "minute"), ("alpaca", "minute"), ("polygon", "5minute")):
        storage.store_ohlcv_data("AAPL", FRAME, source, timeframe)
    storage.store_ohlcv_data(("BTC", "USD"), FRAME, "ccxt", "minute", adjustment="x", metadata={"of": "it"})


@pytest.fixture
def filled(command: Command) -> Command:
    several_series(command.store)
    return command


def exported_into(command: Command, folder: Path) -> DuckDBDataStorage:
    """Return another store, into which the command has imported a folder."""
    another = Command(command.folder / "another", command.capture)
    ended = another("import", folder)
    assert (ended.code, ended.err) == (0, "")
    return another.storage()


@pytest.mark.parametrize("file_format", ["parquet", "csv", "arrow"])
def test_import_restores_an_export(filled: Command, file_format: str) -> None:
    out = filled.folder / "out"
    ended = filled("export", "--to", out, "--format", file_format)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"4 series with 240 bars exported to {out}, ")
    restored, storage = exported_into(filled, out), filled.storage()
    assert [(i.key, i.coverage) for i in restored.list_series()] == [(i.key, i.coverage) for i in storage.list_series()]
    for info in restored.list_series():
        assert_same(restored.read_pandas(restored.pin(info.key)), FRAME)
    (write,) = restored.ingests(restored.pin(("BTC", "USD")))
    assert write.metadata == {"of": "it"}


def test_a_changed_file_keeps_no_other_one_from_being_imported(filled: Command) -> None:
    """Short series are stored together, but only the changed one is refused."""
    out = filled.folder / "out"
    filled("export", "--to", out, "--format", "csv")
    changed = next(out.rglob("*alpaca*/**/*.csv"))
    changed.write_text(changed.read_text().replace("1", "2", 1))
    another = Command(filled.folder / "another", filled.capture)
    ended = another("import", out)
    assert ended.code == 1
    assert "3 files imported" in ended.out
    assert f"{changed.name} was changed since it was exported" in ended.out + ended.err
    assert {info.key.source for info in another.storage().list_series()} == {"polygon", "ccxt"}
    assert another("import", out).code == 1
    assert len(another.storage().list_series()) == 3


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        (("aapl",), [60, 60, 60]),
        (("AAPL", "--source", "Alpaca"), [60]),
        (("--timeframe", "5min"), [60]),
        (("BTC/USD", "--adjustment", "x"), [60]),
        (("BTC/USD", "--from", "2024-01-02 09:40"), [50]),
        (("BTC/USD", "--from", "2024-01-02", "--until", "2024-01-02 09:40"), [10]),
        (("BTC/USD", "--until", "2024-01-02"), [60]),
    ],
)
def test_what_is_chosen_is_exported(filled: Command, options: tuple[str, ...], rows: list[int]) -> None:
    planned = json.loads(filled("export", "--to", filled.folder / "out", *options, "--json", "--dry-run").out)
    assert not (filled.folder / "out").exists()
    printed = json.loads(filled("export", "--to", filled.folder / "out", *options, "--json").out)
    for each in (planned, printed):
        assert [file["rows"] for file in each["files"]] == rows
        assert each["rows"] == sum(rows)
    assert (planned["dry_run"], printed["dry_run"]) == (True, False)
    assert [file["file"] for file in planned["files"]] == [file["file"] for file in printed["files"]]
    assert printed["bytes"] == sum((filled.folder / "out" / file["file"]).stat().st_size for file in printed["files"])


def test_a_dry_run_lists_series(filled: Command) -> None:
    ended = filled("export", "--to", filled.folder / "out", "BTC/USD", "--dry-run")
    first, last = ended.out.splitlines()
    assert first.startswith("BTC/USD crypto, minute bars from ccxt (x): 60 bars, about 4.")
    assert last.startswith(f"1 series with 60 bars would be exported to {filled.folder / 'out'}, about 4.")


def test_the_result_of_a_query(filled: Command) -> None:
    out = filled.folder / "out"
    query = "SELECT asset_symbol, count(*) AS bars FROM ohlcv_data GROUP BY ALL ORDER BY ALL"
    ended = filled("export", "--to", out, "--query", query)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"2 rows exported to {out}/query.parquet, ")
    assert pl.read_parquet(out / "query.parquet").rows() == [("AAPL", 180), ("BTC/USD", 60)]


def test_the_view_exported_by_a_query_is_imported_like_any_export_of_it(filled: Command) -> None:
    filled("export", "--to", filled.folder / "out", "--query", "FROM ohlcv_data WHERE source = 'alpaca'")
    assert [info.key.label() for info in exported_into(filled, filled.folder / "out").list_series()] == [
        "AAPL stock, minute bars from alpaca"
    ]


def test_an_earlier_export_is_replaced_after_a_question(filled: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    out = filled.folder / "out"
    filled("export", "--to", out, "BTC/USD")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    ended = filled("export", "--to", out)
    assert (ended.code, ended.out) == (2, "")
    assert f"{out} has an export of 1 file. Replace it? Nothing was changed" in ended.err
    assert len(list(out.rglob("bars-*"))) == 1
    assert filled("export", "--to", out, "--yes").code == 0
    assert len(list(out.rglob("bars-*"))) == 4
    (out / "notes.txt").write_text("mine")
    ended = filled("export", "--to", out, "--yes")
    assert (ended.code, ended.out) == (1, "")
    assert "other files, such as notes.txt" in ended.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "--to"),
        (("--to", "out", "NONE"), 1, "the store has no bars of NONE"),
        (("--to", "out", "AAPL", "--source", "yahoo"), 1, "no series matches --source yahoo"),
        (("--to", "out", "--from", "2024-02-01", "--until", "2024-01-01"), 2, "--until 2024-01-01 is not after --from"),
        (("--to", "out", "--from", "2024-01-01", "--to", "2024-01-02"), 2, "the end of a range of time is --until"),
        (("--to", "out", "--from", "2030-01-01"), 1, "none of these series has bars or coverage in this range"),
        (("--to", "out", "--until", "soon"), 2, "--until soon: write a date as 2024-01-31"),
        (("--to", "out", "--format", "xlsx"), 2, "invalid choice: 'xlsx'"),
        (("--to", "out", "AAPL", "--query", "SELECT 1"), 2, "leave out SYMBOL"),
        (("--to", "out", "--query", "SELECT 1", "--until", "2024-01-01"), 2, "leave out SYMBOL"),
        (("--to", "out", "--query", "SELECT oops"), 1, 'Referenced column "oops" was not found'),
        (("--to", "out", "--query", "DROP TABLE bar"), 1, "only statements that read are allowed here"),
        (("--to", "out", "--query", "SELECT 1; SELECT 2"), 1, "give one statement, not 2"),
        (("--to", ".."), 1, "is not empty"),
    ],
)
def test_mistakes(
    filled: Command, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (filled.folder / "here").mkdir()
    monkeypatch.chdir(filled.folder / "here")
    ended = filled("export", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert not Path("out").exists()


def test_without_a_store(command: Command) -> None:
    ended = command("export", "--to", command.folder / "out")
    assert (ended.code, ended.err) == (1, no_store(command))
    assert not command.store.exists()


# -- imports -------------------------------------------------------------------------------------------------------


@pytest.fixture
def exported(filled: Command) -> Path:
    filled("export", "--to", filled.folder / "out", "BTC/USD", "--format", "csv")
    return filled.folder / "out"


@pytest.fixture
def another(filled: Command) -> Command:
    return Command(filled.folder / "another", filled.capture)


def test_a_preview_of_an_export(another: Command, exported: Path) -> None:
    ended = another("import", exported, "--dry-run")
    assert (ended.code, ended.err) == (0, "")
    lines = [line.strip() for line in ended.out.splitlines()]
    assert "asset:      BTC/USD crypto (from export.jsonl)" in lines
    assert "source:     ccxt (x)" in lines
    assert "rows:       60 = 60 bars + 0 repeated + 0 not bars" in lines
    assert "span:       2024-01-02 09:30 to 2024-01-02 10:29, New York time" in lines
    assert lines[-1] == "Nothing was stored. 1 file would be imported."
    assert not another.store.exists()


def refused(another: Command, path: Path, *options: str) -> str:
    """Return why an import is refused, with and without `--dry-run`. Nothing is stored."""
    for dry in ((), ("--dry-run",)):
        ended = another("import", path, *options, *dry)
        assert ended.code == 1 or dry
        assert "imported" in ended.out
    assert not another.store.exists() or another.storage().list_series() == []
    return another("import", path, *options).out


def test_what_is_not_as_it_was_exported_is_not_imported(another: Command, exported: Path) -> None:
    (file,) = exported.rglob("bars-*")
    assert "leave out the options that say what it is" in refused(another, exported, "--source", "mine")
    content = file.read_text()
    file.write_text(content[:-20])
    assert "is cut off since it was exported" in refused(another, exported)
    file.write_text(content.replace("2024", "2023"))
    assert "was changed since it was exported" in refused(another, exported)
    file.write_text(content)
    manifest = (exported / "export.jsonl").read_text()
    (exported / "export.jsonl").write_text(manifest[:-20])
    assert "export.jsonl is damaged (its end is missing)" in refused(another, exported)
    (exported / "export.jsonl").unlink()
    assert "but no export.jsonl in the folders above describes it" in refused(another, exported)
    (exported / "export.jsonl").write_text(manifest)
    file.unlink()
    assert "its export lists it, but it is missing" in refused(another, exported)


def test_other_files_named_like_a_manifest_do_not_matter(another: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "export.jsonl").write_text('{"a": 1}\n')
    (tmp_path / "mine" / "AAPL.csv").write_text("date,open,high,low,close\n2024-01-02,1,2,1,2\n2024-01-03,2,3,2,3\n")
    ended = another("import", tmp_path / "mine")
    assert ended.code == 0, ended.out
    assert len(another.bars(timeframe="day")) == 2
