"""What stands in `.env` counts for commands as it does for the backtests of the same folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from lumibot_duckdb.cli.main import main
from lumibot_duckdb.cli.settings import settings


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LUMIBOT_DUCKDB_PATH", "LUMIBOT_DISABLE_DOTENV", "LUMIBOT_DISABLE_DOTENV_LOCAL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "strategies" / "deep").mkdir(parents=True)
    (tmp_path / ".env").write_text(f"LUMIBOT_DUCKDB_PATH={tmp_path}/named\n")
    monkeypatch.chdir(tmp_path / "strategies" / "deep")
    return tmp_path


def path(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["path", *options]) == 0
    return capsys.readouterr().out.strip()


def test_the_nearest_env_file_names_the_store(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert path(capsys) == f"{here}/named/lumibot.duckdb"
    (here / "strategies" / ".env").write_text(f"export LUMIBOT_DUCKDB_PATH='{here}/nearer'\n")
    assert path(capsys) == f"{here}/nearer/lumibot.duckdb"
    assert path(capsys, "--store", f"{here}/given") == f"{here}/given/lumibot.duckdb"


def test_the_environment_comes_first_and_the_local_file_before_it(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", f"{here}/set")
    assert path(capsys) == f"{here}/set/lumibot.duckdb"
    (here / ".env.local").write_text(f"LUMIBOT_DUCKDB_PATH={here}/local\n")
    assert path(capsys) == f"{here}/local/lumibot.duckdb"
    monkeypatch.setenv("LUMIBOT_DISABLE_DOTENV_LOCAL", "1")
    assert path(capsys) == f"{here}/set/lumibot.duckdb"


@pytest.mark.parametrize("name", [".env", ".env.local"])
def test_a_file_that_is_no_utf_8_is_named(here: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (here / name).write_bytes("NAME=café".encode("latin-1"))
    assert main(["path"]) == 2
    assert f"lumibot-duckdb: {here}/{name} is not UTF-8" in capsys.readouterr().err


def test_no_file_counts_where_lumibot_is_told_to_load_none(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUMIBOT_DISABLE_DOTENV", "true")
    monkeypatch.setenv("LUMIBOT_CACHE_FOLDER", f"{here}/cache")
    assert path(capsys) == f"{here}/cache/duckdb/lumibot.duckdb"


def test_the_file_beside_a_script_comes_before_that_of_the_working_folder(here: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert settings(Path("../../other/script.py"))["LUMIBOT_DUCKDB_PATH"] == f"{here}/named"
    (tmp_path / "other" / ".env").write_text("LUMIBOT_DUCKDB_PATH=beside\n")
    assert settings(Path("../../other/script.py"))["LUMIBOT_DUCKDB_PATH"] == "beside"
