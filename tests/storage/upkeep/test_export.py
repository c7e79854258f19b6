"""An export restores to the same series: assets, columns, dtypes, values to the bit, coverage, writes."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.dataset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, CorporateAction, SeriesKey, TimeRange
from lumibot_duckdb.storage.errors import InvalidExportError, SeriesNotFoundError, StoreWriteError
from lumibot_duckdb.storage.upkeep.export import exporter, file_formats
from lumibot_duckdb.storage.upkeep.export.file_formats import FORMATS
from lumibot_duckdb.storage.upkeep.export.paths import path_of
from storage.frames import assert_same, frame_strategy, minute_bars
from templates import template

FRAME = minute_bars(rows=60)
NOW = int(dt.datetime.now(dt.timezone.utc).timestamp())
SYMBOLS = (
    "AAPL",
    "aapl",
    "BRK.B",
    "CON",
    "A B",
    "Ä€😀",
    "X" * 300,
    "é" * 200,
    "..",
    "A=B",
    "50%",
    "~",
    "NUL.",
    "x/../y",
)


def described(storage: DuckDBDataStorage) -> dict[str, Any]:
    """Return everything about the series of a store that its interface tells, but the bars."""
    found = {}
    for info in storage.list_series():
        pin = storage.pin(info.key)
        notes = [(each.kind, dict(each.metadata)) for each in storage.ingests(pin)]
        empty = [dict(each.metadata) for each in storage.empty_answers(pin)]
        known = (info.rows, info.first, info.last, info.coverage, info.provisional)
        covered = storage.coverage(info.key, include_expired=True)
        found[repr(info.key)] = (*known, covered, storage.facts(pin), notes, empty)
    return found


def assert_equal(one: DuckDBDataStorage, other: DuckDBDataStorage) -> None:
    assert described(one) == described(other)
    for info in one.list_series():
        assert_same(other.read_pandas(other.pin(info.key)), one.read_pandas(one.pin(info.key)))
    assert other.verify().findings == one.verify().findings


def restored(storage: DuckDBDataStorage, folder: Path, **options: Any) -> DuckDBDataStorage:
    """Return a fresh store with what an export of everything restores."""
    storage.export(folder / "export", **options)
    other = DuckDBDataStorage(folder / "other.duckdb")
    other.import_exported(folder / "export")
    return other


def manifest_of(folder: Path) -> list[dict[str, Any]]:
    """Return what a manifest says of series, such as when each write was requested, and which bars it stored."""
    lines = [json.loads(line) for line in (folder / "export.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("bytes", "sha256")} for line in lines]


@st.composite
def asset_strategy(draw: st.DrawFn) -> AssetKey:
    symbol = draw(st.sampled_from(SYMBOLS) | st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=9))
    kind = draw(st.sampled_from(("stock", "crypto", "future", "option")))
    exchange = draw(st.sampled_from(("", "NYSE")))
    if kind == "crypto":
        return AssetKey(symbol, kind, draw(st.sampled_from(("USD", "U/S"))), exchange)
    if kind == "option":
        strike = draw(st.floats(0, 1e6))
        return AssetKey(
            symbol, kind, None, exchange, dt.date(2024, 1, 19), strike, "CALL", draw(st.sampled_from((0, 10)))
        )
    if kind == "future":
        rule = draw(st.sampled_from((None, "front_month")))
        return AssetKey(symbol, kind, None, exchange, None if rule else dt.date(2030, 3, 1), auto_expiry=rule)
    return AssetKey(symbol, kind, None, exchange)


_METADATA = st.none() | st.fixed_dictionaries(
    {"request": st.integers(0, 2), "Ä": st.none() | st.lists(st.floats(0, 1))}
)
_PIECES = st.lists(st.tuples(st.integers(-(2**33) // 60, NOW // 60 - 9_999), st.integers(1, 9_999)), max_size=3).map(
    lambda pieces: [TimeRange(60 * start, 60 * (start + minutes)) for start, minutes in pieces]
)


@pytest.mark.older_duckdb
@given(data=st.data())
@examples(12)
def test_any_series_is_restored(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, closing(DuckDBDataStorage(Path(folder) / "one.duckdb")) as storage:
        for asset in data.draw(st.lists(asset_strategy(), min_size=1, max_size=3)):
            for _ in range(data.draw(st.integers(1, 3))):
                source, adjustment = data.draw(st.sampled_from((("a", ""), ("a", "split"), ("b:c", "ü/ "))))
                frame = data.draw(frame_strategy() | st.just(FRAME.iloc[:0]))
                covered = data.draw(_PIECES.map(lambda pieces: pieces[0] if pieces else TimeRange(0, 60)))
                try:
                    storage.store_ohlcv_data(
                        asset,
                        frame,
                        source,
                        "minute",
                        adjustment=adjustment,
                        covered=covered,
                        metadata=data.draw(_METADATA),
                        also_covered=data.draw(_PIECES),
                        provisional=data.draw(st.none() | _PIECES),
                    )
                except ValueError:
                    continue  # other columns than before, which cannot be combined
        if not storage.list_series():
            return
        file_format = data.draw(st.sampled_from(FORMATS))
        with closing(restored(storage, Path(folder), file_format=file_format)) as other:
            assert_equal(storage, other)
            other.export(Path(folder) / "again", file_format=file_format)
            assert manifest_of(Path(folder) / "again") == manifest_of(Path(folder) / "export")
            before = other.statistics()
            results = other.import_exported(Path(folder) / "export")
            assert {(each.added, each.changed) for each in results} == {(0, 0)}
            assert described(other) == described(storage)
            assert other.statistics().versions == before.versions


# -- files that other programs read --------------------------------------------------------------------------------


@template
def several_series(storage: DuckDBDataStorage) -> None:
    for symbol in ("AAPL", "BRK.B", "700"):
        storage.store_ohlcv_data(symbol, FRAME, "polygon", "minute")
    storage.store_ohlcv_data(("BTC", "USD"), FRAME, "ccxt", "minute")


@pytest.fixture
def several(storage: DuckDBDataStorage) -> DuckDBDataStorage:
    several_series(storage.path)
    return storage


def test_other_programs_read_the_folder_as_one_table(several: DuckDBDataStorage, tmp_path: Path) -> None:
    several.export(tmp_path / "out")
    files = str(tmp_path / "out" / "**" / "*.parquet")
    expected = [("ccxt", "BTC/USD", 60), *(("polygon", symbol, 60) for symbol in ("700", "AAPL", "BRK.B"))]
    query = (
        f"SELECT source, symbol, count(*) FROM read_parquet('{files}', hive_partitioning = true, "
        "hive_types_autocast = false) WHERE timeframe = 'minute' AND close > 0 GROUP BY ALL ORDER BY ALL"
    )
    assert duckdb.sql(query).fetchall() == expected
    scanned = pl.scan_parquet(tmp_path / "out" / "**" / "*.parquet", hive_partitioning=True, try_parse_hive_dates=False)
    counted = scanned.group_by("source", "symbol").len().sort("source", "symbol").collect()
    assert counted.rows() == expected
    dataset = pyarrow.dataset.dataset(tmp_path / "out", partitioning="hive", exclude_invalid_files=True)
    assert dataset.count_rows(filter=pyarrow.dataset.field("symbol") == "BTC/USD") == 60
    times = pl.read_parquet(next((tmp_path / "out").rglob("symbol=AAPL/*.parquet")), hive_partitioning=False)[
        "datetime"
    ]
    assert times.dtype == pl.Datetime("us", "UTC")
    assert times.to_list() == [time.to_pydatetime() for time in FRAME.index]


def test_two_series_never_share_a_file() -> None:
    assets = [AssetKey(symbol) for symbol in SYMBOLS]
    assets += [
        AssetKey("A", "crypto", "USD"),
        AssetKey("A/USD"),
        AssetKey("A", exchange="NYSE"),
        AssetKey("A", "index"),
    ]
    assets += [AssetKey("X" * 299 + "Y"), AssetKey("a", "future", multiplier=2), AssetKey("a", "future")]
    paths = [path_of(SeriesKey(asset, "s", "day", word), "csv") for asset in assets for word in ("", "all", "All")]
    assert len({path.lower() for path in paths}) == len(paths)
    for path in paths:
        parts = path.split("/")
        assert len(parts) == 5
        assert all(len(part) < 143 and part.isascii() and not part.endswith((".", " ")) for part in parts)
        assert not set(path) & set('\\:*?"<>|\0')


@pytest.mark.parametrize("file_format", FORMATS)
def test_long_series_are_written_in_pieces(
    storage: DuckDBDataStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_format: str
) -> None:
    monkeypatch.setattr(exporter, "ROWS_OF_PIECE", 1_000)
    monkeypatch.setattr(file_formats, "ROWS_OF_PIECE", 1_000)
    monkeypatch.setattr(file_formats, "_CSV_BLOCK", 50_000)
    frame = minute_bars(rows=12_345).assign(note="x", count=pd.array([None, 2**60 + 1] * 6_172 + [7], "Int64"))
    for first in (6_000, 0):
        part = frame.iloc[first:][:6_400]
        storage.store_ohlcv_data("AAPL", part, "test", "minute", metadata={"first": first})
    done: list[tuple[int, int]] = []
    other = restored(storage, tmp_path, file_format=file_format, on_rows=lambda *counts: done.append(counts))
    assert_equal(storage, other)
    assert len(done) > 10
    assert done == sorted(done)
    assert done[-1] == (12_345, 12_345)
    assert_same(other.get_historical_prices("AAPL"), frame)


# -- what is exported ----------------------------------------------------------------------------------------------


@pytest.mark.older_duckdb
def test_a_range_has_its_bars_and_its_coverage(several: DuckDBDataStorage, tmp_path: Path) -> None:
    first, last = (int(FRAME.index[place].timestamp()) for place in (10, 20))
    report = several.export(tmp_path / "out", ["AAPL"], within=TimeRange(first, last))
    assert [(file.key, file.rows) for file in report.files] == [(SeriesKey(AssetKey("AAPL"), "polygon", "minute"), 10)]
    other = DuckDBDataStorage(tmp_path / "other.duckdb")
    other.import_exported(tmp_path / "out")
    assert_same(other.get_historical_prices("AAPL"), FRAME.iloc[10:20])
    assert other.coverage("AAPL") == [TimeRange(first, last)]


def test_a_dry_run_writes_nothing(several: DuckDBDataStorage, tmp_path: Path) -> None:
    planned = several.export(tmp_path / "out", dry_run=True)
    assert not (tmp_path / "out").exists()
    written = several.export(tmp_path / "out")
    assert [(file.path, file.key, file.rows) for file in planned.files] == [
        (file.path, file.key, file.rows) for file in written.files
    ]
    assert 0 < planned.bytes < 10 * written.bytes


@pytest.mark.older_duckdb
def test_what_cannot_be_exported_is_refused(several: DuckDBDataStorage, tmp_path: Path) -> None:
    out = tmp_path / "out"
    wrong: list[tuple[Callable[[], object], type[Exception], str]] = [
        (lambda: several.export(out, ["MSFT"]), SeriesNotFoundError, "the store has no bars of MSFT stock"),
        (lambda: several.export(out, "AAPL"), InvalidExportError, r"pass a list, such as \['AAPL'\]"),
        (lambda: several.export(out, file_format="xlsx"), InvalidExportError, "'xlsx' is not a format for exports"),
        (lambda: several.export(out, ["AAPL"], query="SELECT 1"), InvalidExportError, "leave out series"),
        (lambda: several.export(out, query="DROP TABLE bar"), ValueError, "only statements that read"),
        (lambda: several.export(out, query="SELECT 1 AS a, 2 AS a"), InvalidExportError, r"columns .* are called a"),
        (lambda: several.export(out, query="SELECT * FROM read_text('/etc/hosts')"), ValueError, "allow_files"),
        (lambda: several.export(out, query="SELECT error('no') FROM range(2)"), duckdb.Error, "no"),
        (lambda: several.export(out, query="SELECT [1] AS x", file_format="csv"), InvalidExportError, "query.csv"),
    ]
    for attempt, kind, message in wrong:
        with pytest.raises(kind, match=message):
            attempt()
    far = FRAME.assign(when=np.full(60, 2**61).view("M8[us]"))
    several.store_ohlcv_data("FAR", far, "test", "minute")
    for file_format in FORMATS:
        with pytest.raises(InvalidExportError, match=r"FAR .* column 'when' has times outside of the years 1 to 9999"):
            several.export(out, ["FAR"], file_format=file_format)
    assert not out.exists()
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_result_of_a_query(several: DuckDBDataStorage, tmp_path: Path, file_format: str) -> None:
    query = "SELECT asset_symbol, timestamp, sum(close)::DOUBLE AS close FROM ohlcv_data GROUP BY ALL ORDER BY ALL"
    report = several.export(tmp_path / "out", query=query, file_format=file_format)
    assert [(file.path, file.key, file.rows) for file in report.files] == [(f"query.{file_format}", None, 240)]
    file = tmp_path / "out" / f"query.{file_format}"
    read = {"parquet": pl.read_parquet, "csv": pl.read_csv, "arrow": pl.read_ipc}[file_format]
    assert read(file)["close"].to_list() == several.sql(query)["close"].to_pylist()
    with pytest.raises(InvalidExportError, match="is the result of a query, not a series"):
        several.import_exported(file)


def test_series_that_change_before_they_are_read_are_exported_as_they_are_then(
    several: DuckDBDataStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = DuckDBDataStorage(several.path)
    write = exporter.SeriesExporter._write

    def meanwhile(self: Any, *arguments: Any) -> Any:
        another.store_ohlcv_data("BRK.B", FRAME * 2, "polygon", "minute")
        another.delete_series("AAPL")
        another.compact(grace=dt.timedelta(0))
        return write(self, *arguments)

    monkeypatch.setattr(exporter.SeriesExporter, "_write", meanwhile)
    several.export(tmp_path / "out")
    other = DuckDBDataStorage(tmp_path / "other.duckdb")
    other.import_exported(tmp_path / "out")
    assert {info.key.asset.symbol for info in other.list_series()} == {"BRK.B", "700", "BTC"}
    assert_same(other.get_historical_prices("BRK.B"), FRAME * 2)


def test_a_long_series_that_is_replaced_while_it_is_read_in_pieces_is_read_again(
    several: DuckDBDataStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = DuckDBDataStorage(several.path)
    read = exporter.SeriesExporter._read
    changes = iter(range(2, 4))

    def meanwhile(self: Any, *arguments: Any) -> Any:
        for factor in changes:
            another.store_ohlcv_data("BRK.B", FRAME * factor, "polygon", "minute")
            another.compact(grace=dt.timedelta(0))
            break
        return read(self, *arguments)

    monkeypatch.setattr(exporter, "ROWS_OF_PIECE", 1)
    monkeypatch.setattr(exporter.SeriesExporter, "_read", meanwhile)
    several.export(tmp_path / "out", ["BRK.B"])
    other = DuckDBDataStorage(tmp_path / "other.duckdb")
    other.import_exported(tmp_path / "out")
    assert_same(other.get_historical_prices("BRK.B"), FRAME * 3)


# -- folders -------------------------------------------------------------------------------------------------------


def test_only_an_export_is_replaced(several: DuckDBDataStorage, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    several.export(out, ["AAPL"])
    with pytest.raises(InvalidExportError, match="has an export already"):
        several.export(out)
    assert len(several.export(out, replace=True).files) == 4
    (out / "mine.txt").write_text("x")
    with pytest.raises(InvalidExportError, match=r"other files, such as mine\.txt"):
        several.export(out, replace=True)
    (out / "export.jsonl").unlink()
    with pytest.raises(InvalidExportError, match="is not empty"):
        several.export(out, replace=True)
    with pytest.raises(InvalidExportError, match="is not a folder"):
        several.export(out / "mine.txt")
    assert list(tmp_path.glob(".*")) == []


def test_a_failed_export_leaves_what_was_there(
    several: DuckDBDataStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    several.export(out, ["AAPL"])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(exporter, "digest_of", full)
        with pytest.raises(StoreWriteError, match=r"^the disk is full, and .*out is unchanged"):
            several.export(out, replace=True)
    (file,) = out.rglob("bars-*")
    assert "AAPL" in str(file)
    assert list(tmp_path.glob(".*")) == []


def test_what_killed_exports_left_is_tidied_up(several: DuckDBDataStorage, tmp_path: Path) -> None:
    dead = 2**22 + 1  # above the largest number of a process
    several.export(tmp_path / "kept", ["AAPL"])
    (tmp_path / f".out.exporting-{dead}-0123abcd" / "source=x").mkdir(parents=True)
    (tmp_path / "kept").rename(tmp_path / f".out.replaced-{dead}-0123abcd")
    with pytest.raises(InvalidExportError, match="has an export already"):
        several.export(tmp_path / "out")  # it was put back
    assert list(tmp_path.glob(".*")) == []
    several.export(tmp_path / "out", replace=True)


# -- exports that are not what they were ---------------------------------------------------------------------------


@pytest.fixture(params=FORMATS)
def exported(several: DuckDBDataStorage, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    several.export(tmp_path / "out", ["AAPL"], file_format=request.param)
    return next((tmp_path / "out").rglob("bars-*"))


def refused(tmp_path: Path, path: Path, message: str) -> None:
    """Fail unless an import is refused, and stores nothing."""
    other = DuckDBDataStorage(tmp_path / "other.duckdb")
    with pytest.raises(InvalidExportError, match=message):
        other.import_exported(path)
    assert other.list_series() == []


def test_changed_files_are_refused(tmp_path: Path, exported: Path) -> None:
    content = exported.read_bytes()
    exported.write_bytes(content[:-10])
    refused(tmp_path, exported, "is cut off since it was exported")
    exported.write_bytes(content.replace(b"1", b"2", 1))
    refused(tmp_path, exported, "was changed since it was exported")
    exported.unlink()
    refused(tmp_path, tmp_path / "out", "cannot be read: No such file")


def test_a_file_without_its_manifest_is_refused(tmp_path: Path, exported: Path) -> None:
    alone = tmp_path / "elsewhere" / exported.name
    alone.parent.mkdir()
    shutil.copy(exported, alone)
    refused(tmp_path, alone, r"no export\.jsonl in the folders above describes it")
    refused(tmp_path, alone.parent, r"has no export\.jsonl, so it is not a complete export")
    if exported.suffix != ".csv":
        renamed = alone.rename(alone.with_name(f"AAPL{exported.suffix}"))
        refused(tmp_path, renamed, r"no export\.jsonl in the folders above")


def changed(*path: Any, to: Any) -> Callable[[list[Any]], None]:
    """Return a change of the second line of a manifest."""

    def change(lines: list[Any]) -> None:
        part = lines[1]
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines.pop(), "its end is missing"),
        (lambda lines: lines.pop(1), "its end is missing"),
        (lambda lines: lines.append({"files": 1}), "there are lines after its last one"),
        (lambda lines: lines[0].update(lumibot_duckdb_export=2), "this release knows 1: upgrade the package"),
        (changed("file", to="/etc/passwd"), "not a path in its folder"),
        (changed("file", to="../other.csv"), "not a path in its folder"),
        (changed("file", to="a\\..\\b"), "not a path in its folder"),
        (changed("rows", to=61), "the numbers of its bars differ"),
        (changed("series", "runs", to=[[0, 61]]), "the numbers of its bars differ"),
        (changed("series", "runs", to=[[1, 60]]), "not those of its writes"),
        (changed("series", "asset", "symbol", to=5), "5 is not a string"),
        (changed("series", "asset", "asset_type", to="option"), "needs an expiration"),
        (changed("series", "asset", "strike", to="x"), "could not convert"),
        (changed("series", "source", to="My Source"), "cannot name a source"),
        (changed("series", "timeframe", to="1min"), "not one that the store can have"),
        (changed("series", "columns", 0, "dtype", to="category"), "no columns of 'category'"),
        (changed("series", "columns", 0, "dtype", to="datetime64[ns, Nowhere]"), "no columns of 'datetime64"),
        (changed("series", "columns", 0, "dtype", to="int64"), "not those of the manifest|does not fit its manifest"),
        (changed("series", "columns", 0, "name", to="volume"), "two of its columns"),
        (changed("series", "columns", 0, "name", to="datetime"), "cannot be called"),
        (changed("series", "columns", 0, "missing", to="x"), "described wrongly"),
        (changed("series", "columns", 0, "has_nulls", to=1), "neither true nor false"),
        (changed("series", "columns", to=[]), "not those of the manifest"),
        (changed("series", "coverage", to=[[2, 1, None]]), "cannot end"),
        (changed("series", "coverage", to=[[0, 60, "2024-01-01"]]), "has no time zone"),
        (changed("series", "writes", 0, 1, to="delete"), "described wrongly"),
        (changed("series", "index_unit", to="D"), "not a unit of time"),
        (
            changed("series", "actions", to={"split": ["2024-01-05T12:00:00+00:00", [["2024-01-02", 1, None, 2]]]}),
            "lacks",
        ),
        (changed("series", "actions", to={"merger": ["2024-01-05T12:00:00+00:00", []]}), "is not a kind"),
        (changed("series", to="x"), "is damaged at"),
    ],
)
def test_a_manifest_that_was_changed_is_refused(
    several: DuckDBDataStorage, tmp_path: Path, change: Callable[[list[Any]], None], message: str
) -> None:
    several.export(tmp_path / "out", ["AAPL"], file_format="csv")
    manifest = tmp_path / "out" / "export.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    change(lines)
    manifest.write_text(
        "".join(json.dumps(line) + "\n" for line in lines).replace(
            '{"lumibot_duckdb_export": ', '{"lumibot_duckdb_export":'
        )
    )
    refused(tmp_path, tmp_path / "out", message)


# -- into a store that has the series ------------------------------------------------------------------------------


def test_bars_are_added_by_the_rules_of_writes(several: DuckDBDataStorage, tmp_path: Path) -> None:
    later = minute_bars("2024-01-03 09:30", rows=30)
    several.export(tmp_path / "out", ["AAPL"])
    other = DuckDBDataStorage(tmp_path / "other.duckdb")
    other.store_ohlcv_data("AAPL", later, "polygon", "minute")
    other.store_ohlcv_data("AAPL", FRAME.iloc[:10].assign(volume=1), "polygon", "minute", metadata={"mine": True})
    (result,) = other.import_exported(tmp_path / "out")
    assert (result.added, result.changed, result.unchanged, result.new_version) == (50, 10, 0, True)
    assert_same(other.get_historical_prices("AAPL"), pd.concat([FRAME, later]))
    assert other.coverage("AAPL") == [*several.coverage("AAPL"), *other.coverage("AAPL")[1:]]
    assert other.verify().findings == []
    (again,) = other.import_exported(tmp_path / "out")
    assert (again.added, again.changed, again.unchanged, again.ingest_id) == (0, 0, 60, None)


SPLIT = CorporateAction(dt.date(2024, 6, 10), 1, 10)


def test_known_splits_come_with_adjusted_prices(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    """Otherwise the next split check could not see that they are adjusted for others than the source has now."""
    checked_at = dt.datetime(2024, 1, 5, 12, tzinfo=dt.timezone.utc)
    storage.store_ohlcv_data("NVDA", FRAME, "polygon", "minute", adjustment="split")
    storage.record_corporate_actions("NVDA", [], "polygon", checked_at=checked_at)
    other = restored(storage, tmp_path)
    assert other.corporate_actions("NVDA", "polygon") == storage.corporate_actions("NVDA", "polygon")
    assert other.record_corporate_actions("NVDA", [SPLIT], "polygon", restates=["split"])
    assert other.facts(other.pin("NVDA")).rows == 0
    with pytest.raises(InvalidExportError, match=r"other splits of NVDA .* than the export \(as of 2024-01-05\)"):
        other.import_exported(tmp_path / "export")
    other.delete_series("NVDA")
    with pytest.raises(InvalidExportError, match="adjusted differently"):
        other.import_exported(tmp_path / "export")
    assert other.list_series() == []


def test_provisional_coverage_keeps_its_expiry(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    storage.store_ohlcv_data("AAPL", FRAME, "polygon", "minute")
    storage.record_coverage("AAPL", TimeRange(0, 86_400), "polygon", "minute")
    (before,) = storage.list_series()
    assert before.provisional != ()
    other = restored(storage, tmp_path)
    assert [(info.coverage, info.provisional) for info in other.list_series()] == [
        (before.coverage, before.provisional)
    ]
    kept = DuckDBDataStorage(tmp_path / "kept.duckdb")
    kept.store_ohlcv_data("AAPL", FRAME.iloc[:1], "polygon", "minute")
    kept.import_exported(tmp_path / "export")
    assert kept.list_series()[0].provisional == before.provisional
