"""`publish`, and commands on a published snapshot."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from cli.files import Command
from cli.sample_results import fill
from lumibot_duckdb.cli.completers import sweeps
from lumibot_duckdb.cli.main import main
from lumibot_duckdb.cli.settings import layers
from lumibot_duckdb.doctor.store import locate
from storage.frames import minute_bars


@pytest.fixture
def filled(command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("LUMIBOT_DUCKDB_SNAPSHOT_CACHE", str(command.folder / "cache"))
    with command.storage() as storage:
        for symbol in ("AAPL", "MSFT"):
            storage.store_ohlcv_data(symbol, minute_bars(rows=60), "test", "minute")
    return command


def test_publish_and_read(filled: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ended = filled("publish", "shared")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"Published to {filled.folder / 'shared'}: 2 series with 120 bars, ")
    assert ended.out.endswith(" (New York).\n")
    assert main(["sql", "--store", "shared", "SELECT count(*) AS bars FROM ohlcv_data", "--csv"]) == 0
    assert capsys.readouterr().out == "bars\n120\n"
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", "shared")
    assert main(["path"]) == 0
    assert Path(capsys.readouterr().out.strip()).is_relative_to(filled.folder / "cache")
    assert main(["delete", "AAPL", "--yes"]) == 3
    assert "is a snapshot that was published to" in capsys.readouterr().err
    digest = json.loads((filled.folder / "shared" / "lumibot-duckdb-snapshot.json").read_text())["sha256"]
    assert locate(None, layers()).path == Path(filled.folder / "cache" / digest / "lumibot.duckdb")


def test_a_selection(filled: Command) -> None:
    ended = filled("publish", "shared", "A*", "--timeframe", "1m", "--keep", "2", "--json")
    report = json.loads(ended.out)
    assert (report["series"], report["rows"], report["removed"]) == (1, 60, [])
    assert report["location"] == str(filled.folder / "shared")
    assert report["sha256"][:12] in report["data"]
    assert filled("publish", "shared", "--as-of", "2020-01-01").err == (
        "lumibot-duckdb: there are no series to publish as of 2020-01-01\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("s3://b",), 2, "has no usable bucket name"),
        (("shared", "--keep", "0"), 2, "keep must be at least 1"),
        (("shared", "AAPK"), 1, "AAPK"),
        (("shared", "--as-of", "yesteryear"), 1, "has no snapshot 'yesteryear'"),
        (("store",), 2, "already has a store"),
    ],
)
def test_refusals(filled: Command, arguments: tuple[str, ...], code: int, message: str) -> None:
    ended = filled("publish", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err
    assert not (filled.folder / "shared").exists()


def test_a_store_that_cannot_be_reached(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_SNAPSHOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LUMIBOT_DUCKDB_OFFLINE", "true")
    for command in (["status"], ["sql", "SELECT 1"], ["path"]):
        assert main([*command, "--store", "s3://bucket/bars"]) == 3
        assert "s3://bucket/bars was not downloaded to this machine yet" in capsys.readouterr().err
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", "s3://bucket/bars")
    located = locate(None, layers())  # what `doctor` reports
    assert located.path is None
    assert "was not downloaded to this machine yet" in located.problem


@pytest.mark.parametrize("overlay", [None, "overlay"])
def test_results_of_a_snapshot_are_found_without_a_download(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlay: str | None
) -> None:
    monkeypatch.setenv("LUMIBOT_CACHE_FOLDER", str(tmp_path / "cache"))
    monkeypatch.setenv("LUMIBOT_DUCKDB_OFFLINE", "true")  # which makes opening the snapshot an error
    if overlay is not None:
        monkeypatch.setenv("LUMIBOT_DUCKDB_OVERLAY", str(tmp_path / overlay))
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", "s3://bucket/bars")
    fill(tmp_path / "cache" / "duckdb" / "lumibot-results.duckdb")
    for chosen in ([], ["--store", "s3://bucket/bars"]):
        assert main(["results", "best", "crossover", *chosen]) == 0
        assert "crossover" not in capsys.readouterr().err
        arguments = argparse.Namespace(store=chosen[-1] if chosen else None, results=None)
        assert list(sweeps(arguments)) == ["crossover", "first-try"]
    assert main(["results", "--store", "s3://bucket/a//b"]) == 2
    assert "has an unusable prefix" in capsys.readouterr().err
