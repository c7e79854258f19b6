"""`lumibot-duckdb migrate`, as a user sees it."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from lumibot import constants
from lumibot.backtesting import PolygonDataBacktesting
from lumibot.entities import Asset
from lumibot.tools import shared_bar_cache

from cli.files import Command
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey
from lumibot_duckdb.storage.errors import StorageError, StoreWriteError
from lumibot_duckdb.storage.reference.migrated_files import StoredMigratedFiles
from migration.caches import DATA, DOWNLOADED, written
from parity.ground import silence
from sources.alpaca.old_cache.shared_files import KEY, days, series_of, write_year
from sources.polygon.server import PolygonServer
from sources.polygon.sides import Side

OPTION = "SPY241109C00435500"
STOCK = "polygon/stock_OLD_USD_minute.parquet"
S3 = {"LUMIBOT_CACHE_BACKEND": "s3", "LUMIBOT_CACHE_MODE": "readwrite", "LUMIBOT_CACHE_S3_BUCKET": "bars-of-mine"}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    for release in ("4.1.3", "3.8.27"):
        shutil.copytree(DATA / release, folder, dirs_exist_ok=True)
    for file in folder.rglob("*.*"):
        written(file, DOWNLOADED)
    return folder


def cache_of(names: list[str], folder: Path) -> Path:
    """Let Lumibot's class write a cache of hours of some stocks."""
    side = Side(PolygonDataBacktesting, folder)
    hours = pd.date_range("2023-02-20", "2023-03-11", freq="h", tz="America/New_York", name="datetime")
    hours = hours[(hours.dayofweek < 5) & (hours.hour >= 10) & (hours.hour < 16)]
    with PolygonServer(whole_as_int=True) as server:
        for number, name in enumerate(names):
            prices = pd.Series(range(len(hours)), index=hours) / 100 + number + 5.0
            bars = dict.fromkeys(("open", "high", "low", "close"), prices)
            server.serve(name, "hour", pd.DataFrame(bars | {"volume": 100.0 + number}))
        with side.entered(server), silence():
            source = side.source(dt.datetime(2023, 3, 8), dt.datetime(2023, 3, 10))
            source._datetime = pd.Timestamp("2023-03-09 15:00", tz="America/New_York").to_pydatetime()
            for name in names:
                assert source.get_historical_prices(Asset(name), 3, "hour") is not None
    return side.folder / "lumibot"


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_cache_is_migrated_and_reported(command: Command, cache: Path) -> None:
    before = contents(cache)
    ended = command("migrate", "--from", cache)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(
        "kind                   files  rows  new  already there  files not in\n"
        "---------------------  -----  ----  ---  -------------  ------------\n"
        "Polygon bars               3   180  100             80             0\n"
        "Polygon option chains      1     6    6              0             0\n\n"
        "4 files migrated: 186 rows = 106 new + 80 already there. Each was compared with what the store returns.\n"
    )
    assert contents(cache) == before
    again = command("migrate", "--from", cache)
    assert "0 files migrated, 4 already here: 186 rows = 0 new + 186 already there.\n" in again.out
    assert len(command.bars("OLD")) == 80


def test_a_dry_run_reads_and_writes_nothing(command: Command, cache: Path) -> None:
    (cache / "polygon" / "stock_BAD_USD_day.parquet").write_bytes(b"")
    before = contents(command.folder)
    ended = command("migrate", "--from", cache, "--dry-run")
    assert ended.code == 1
    assert "Cannot be read:\n  polygon/stock_BAD_USD_day.parquet: it is empty\n" in ended.out
    assert "\n4 of 5 files (" in ended.out
    assert ") would be migrated, 1 not: 186 rows. Nothing was written." in ended.out
    assert contents(command.folder) == before
    assert not command.store.parent.exists()


def test_a_dry_run_reports_what_a_stopped_run_has_left(command: Command, cache: Path) -> None:
    command("migrate", "--from", cache, "--only", "polygon")
    (cache / STOCK).rename(cache / "polygon" / "stock_OTHER_USD_minute.parquet")
    before = command.store.read_bytes()
    ended = command("migrate", "--from", cache, "--dry-run")
    assert ended.code == 0
    assert "\n1 of 4 files (" in ended.out
    assert ") would be migrated: 80 rows. 3 in the store already. Nothing was written." in ended.out
    assert command.store.read_bytes() == before


def test_a_dry_run_asks_the_store(command: Command, cache: Path) -> None:
    command("migrate", "--from", cache)
    for file in cache.rglob("*.parquet"):
        written(file, DOWNLOADED + dt.timedelta(minutes=1))
    ended = command("migrate", "--from", cache, "--dry-run")
    assert ended.code == 0
    assert "\n0 of 4 files (" in ended.out
    assert ") would be migrated: 0 rows. 4 in the store already. Nothing was written." in ended.out
    frame = pd.read_parquet(cache / STOCK)
    frame.assign(close=frame["close"] + 1).to_parquet(cache / STOCK)
    written(cache / STOCK, DOWNLOADED)
    before = command.store.read_bytes()
    ended = command("migrate", "--from", cache, "--dry-run")
    assert ended.code == command("migrate", "--from", cache).code == 1
    assert f"In conflict with the store, which is unchanged:\n  {STOCK}: the store has different bars" in ended.out
    assert ") would be migrated, 1 not: 0 rows. 3 in the store already. Nothing was written." in ended.out
    assert command.store.read_bytes() == before


def test_a_dry_run_reports_that_it_does_not_query_an_outdated_store(command: Command, cache: Path) -> None:
    assert "older release" not in command("migrate", "--from", cache, "--dry-run").out
    command("migrate", "--from", cache)
    command.storage().close()
    with duckdb.connect(str(command.store)) as store:
        store.execute("UPDATE store_meta SET value = '2' WHERE key = 'schema_version'; DROP TABLE migrated_file")
    before = command.store.read_bytes()
    ended = command("migrate", "--from", cache, "--dry-run")
    assert ended.out.startswith(
        "The store was written by an older release. A dry run does not upgrade it and so cannot query it"
    )
    assert ") would be migrated: 186 rows. Nothing was written." in ended.out
    assert command.store.read_bytes() == before


def test_what_is_wrong_is_named_and_sets_the_exit_code(command: Command, cache: Path) -> None:
    whole = (cache / STOCK).read_bytes()
    for number in range(25):
        (cache / "polygon" / f"stock_BAD{number:02}_USD_minute.parquet").write_bytes(whole[:1000])
    ended = command("migrate", "--from", cache)
    assert ended.code == 1
    assert "  polygon/stock_BAD19_USD_minute.parquet: it is damaged or truncated: " in ended.out
    assert "BAD20" not in ended.out
    assert "  and 5 more (--all lists them)\n" in ended.out
    assert "4 files migrated, 25 not: " in ended.out
    assert "BAD20" in command("migrate", "--from", cache, "--all").out


def test_what_is_left_alone_is_named_with_the_reason(command: Command, cache: Path) -> None:
    for name in (
        "thetadata/stock/a.parquet",
        "ibkr/b.parquet",
        "strange/c.bin",
        "polygon/notes.txt",
        "duckdb/own.duckdb",
    ):
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_bytes(bytes(10))
    ended = command("migrate", "--from", cache)
    assert ended.code == 0
    theirs = "lumibot-duckdb does not replace this source, so Lumibot continues to use it"
    assert (
        "Left alone:\n"
        f"  ibkr/ (1 file, 10 bytes): {theirs}\n"
        "  polygon/ (1 file, 10 bytes): not named like the files of this cache (polygon/notes.txt)\n"
        "  strange/ (1 file, 10 bytes): not a cache that this command knows\n"
        f"  thetadata/ (1 file, 10 bytes): {theirs}\n"
    ) in ended.out
    assert "own.duckdb" not in ended.out


def test_reasons_that_many_files_share_are_reported_once(command: Command, cache: Path) -> None:
    for number in range(30):
        shutil.copy2(cache / STOCK, cache / "polygon" / f"stock_OLD_USD_{number}.parquet")
    ended = command("migrate", "--from", cache)
    assert ended.out.count(": its name ") == 1
    assert "  polygon/stock_OLD_USD_0.parquet and 29 others (--all lists them): " in ended.out
    assert command("migrate", "--from", cache, "--all").out.count(": its name ") == 30


def test_names_do_nothing_to_the_terminal(command: Command, cache: Path) -> None:
    (cache / "polygon" / "stock_\x1b[2J_USD_minute.parquet").write_bytes(b"")
    (cache / "odd\x1b[31m").write_bytes(b"")
    ended = command("migrate", "--from", cache)
    assert "\x1b" not in ended.out + ended.err
    assert r"polygon/stock_\x1b[2J_USD_minute.parquet: its path has characters" in ended.out
    assert r"odd\x1b[31m (1 file, 0 bytes): " in ended.out


def test_the_stores_own_files_and_a_linked_folder_are_not_left_alone(command: Command, cache: Path) -> None:
    shutil.move(cache / "polygon", command.folder / "elsewhere")
    (cache / "polygon").symlink_to(command.folder / "elsewhere")
    for _ in range(2):
        ended = command("migrate", "--from", cache, "--store", cache / "mine.duckdb")
        assert ended.code == 0
        assert "Left alone" not in ended.out


def test_a_store_that_is_named_as_candles_are_is_not_read_as_such(command: Command, cache: Path) -> None:
    shutil.copytree(cache / "polygon", cache / "more" / "polygon")
    for _ in range(2):
        ended = command("migrate", "--from", cache, "--store", cache / "more" / "BTC_USDT_1d.duckdb")
        assert ended.code == 0
        assert "CCXT" not in ended.out


@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_a_folder_beside_the_cache_folder_is_refused_and_the_right_one_named(
    command: Command, cache: Path, flags: list[str]
) -> None:
    for wrong in (cache / "polygon", cache.parent):
        ended = command("migrate", "--from", wrong, *flags)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.endswith(f"{wrong} is not Lumibot's cache folder, but {cache} seems to be: --from {cache}\n")
    ended = command("migrate", "--from", "", *flags)
    assert (ended.code, ended.out) == (2, "")
    assert "--from is empty; name Lumibot's cache folder" in ended.err


def test_trouble_with_the_store_says_that_the_old_files_are_as_they_were(
    command: Command, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember, files = StoredMigratedFiles.remember, 0

    def full(self: StoredMigratedFiles, *arguments: Any) -> None:
        nonlocal files
        files += 1
        if files > 1:
            raise StoreWriteError("the disk is full. Make room.")
        remember(self, *arguments)

    monkeypatch.setattr(StoredMigratedFiles, "remember", full)
    ended = command("migrate", "--from", cache)
    assert ended.code == 3
    assert ended.err == (
        "lumibot-duckdb: the disk is full. Make room. The cache files are unchanged; the same command migrates "
        "the rest\n"
    )
    assert "1 file migrated" in ended.out
    monkeypatch.setattr(StoredMigratedFiles, "remember", remember)
    assert command("migrate", "--from", cache).code == 0


def test_only_some_sources(command: Command, cache: Path) -> None:
    assert "4 files migrated" in command("migrate", "--from", cache, "--only", "Polygon").out
    ended = command("migrate", "--from", cache, "--only", "polygon,nasdaq")
    assert (ended.code, ended.out) == (2, "")
    assert "--only polygon,nasdaq names a source that is not one of polygon" in ended.err


def test_the_default_folder_is_lumibots(command: Command, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMIBOT_CACHE_FOLDER", str(cache))
    assert "4 files migrated" in command("migrate").out
    monkeypatch.setenv("LUMIBOT_CACHE_FOLDER", str(cache / "nowhere"))
    ended = command("migrate")
    assert ended.code == 2
    assert ended.err.endswith("nowhere; name Lumibot's cache folder with --from\n")


def test_an_empty_folder_and_wrong_calls(command: Command, cache: Path) -> None:
    shutil.rmtree(cache / "polygon")
    ended = command("migrate", "--from", cache)
    assert (ended.code, ended.out) == (0, f"There is nothing to migrate in {cache}.\n")
    assert not command.store.exists()
    assert command("migrate", "--from", cache, "--dry-run", "--delete-verified").code == 2


def test_what_is_verified_is_deleted_when_requested(command: Command, cache: Path) -> None:
    damaged = cache / "polygon" / "stock_BAD_USD_minute.parquet"
    damaged.write_bytes(b"PAR1")
    ended = command("migrate", "--from", cache, "--delete-verified")
    assert ended.code == 1
    assert "\n7 old files deleted.\n" in ended.out
    assert [path for path in cache.rglob("*") if path.is_file()] == [damaged]
    assert len(command.bars("OLD")) == 80


def test_an_s3_mirror_is_reported(command: Command, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*S3, "LUMIBOT_CACHE_S3_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert "S3" not in command("migrate", "--from", cache, "--dry-run").out
    for name, value in (S3 | {"LUMIBOT_CACHE_S3_SECRET_ACCESS_KEY": "hidden"}).items():
        monkeypatch.setenv(name, value)
    told = command("migrate", "--from", cache, "--dry-run").out
    assert told.startswith(
        "Lumibot mirrors parts of its cache in an S3 bucket, bars-of-mine (LUMIBOT_CACHE_BACKEND=s3):"
    )
    assert "Nothing is deleted in the bucket" in told
    assert "hidden" not in told
    monkeypatch.setenv("LUMIBOT_CACHE_MODE", "disabled")
    assert "S3" not in command("migrate", "--from", cache, "--dry-run").out


def test_a_mirror_that_a_file_beside_the_strategies_names_counts(
    command: Command, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*S3, "LUMIBOT_DISABLE_DOTENV"):
        monkeypatch.delenv(name, raising=False)
    (command.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in S3.items()))
    assert "S3 bucket, bars-of-mine" in command("migrate", "--from", cache, "--dry-run").out


def test_all_caches_at_once(command: Command, cache: Path) -> None:
    """Caches of Polygon, Yahoo, Alpaca and CCXT from an older release."""
    with tarfile.open(DATA.parent / "lumibot-4.4.30.tar.xz") as archive:
        archive.extractall(cache, filter="data")
    before = contents(cache)
    ended = command("migrate", "--from", cache, "--all")
    assert ended.code == 0, ended.out + ended.err
    assert contents(cache) == before
    sources = {info.key.source for info in command.storage().list_series() if info.rows}
    assert sources == {"polygon", "yahoo", "alpaca", "ccxt"}
    again = command("migrate", "--from", cache, "--only", "yahoo,alpaca,ccxt")
    assert "\n0 files migrated, " in again.out
    assert "polygon/ (" in again.out
    assert "not selected (--only)" in again.out


def test_shared_bars_are_found_by_symbol_and_key(
    command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lumibot's own shared cache writes them, under the key that a `.env` file has."""
    key = "PKSHAREDSHARED"
    for name in ("ALPACA_API_KEY", "ALPACA_OAUTH_TOKEN", "LUMIBOT_DISABLE_DOTENV", "LUMIBOT_SHARED_BARS_SCOPE"):
        monkeypatch.delenv(name, raising=False)
    folder = command.folder / "shared"
    monkeypatch.setattr(constants, "LUMIBOT_CACHE_FOLDER", str(folder))
    minutes = pd.date_range("2024-03-04 09:30", periods=30, freq="min", tz="America/New_York")
    prices = pd.Series(range(30), index=minutes) / 100 + 50.0
    bars = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), prices) | {"volume": 100.0})
    series = shared_bar_cache.BarSeries.make(
        "alpaca",
        "SPY",
        "1minute",
        scope=shared_bar_cache.credential_scope("alpaca", key),
        requestType="StockBarsRequest",
        timeframe="1Min",
        feed=None,
        adjustment="all",
        asof=None,
        currency=None,
    )
    shared_bar_cache.read_bars_many(
        [series], minutes[0], minutes[-1], lambda members, start, stop: dict.fromkeys(members, bars)
    )
    refused = command("migrate", "--from", folder)
    assert refused.code == 1
    assert "Not migrated yet:\n" in refused.out
    assert "no key is known: set ALPACA_API_KEY (or ALPACA_OAUTH_TOKEN)" in refused.out
    (command.folder / ".env").write_text(f"ALPACA_API_KEY={key}\n")
    assert "name its symbol (--symbols)" in command("migrate", "--from", folder).out
    assert "1 file migrated" in command("migrate", "--from", folder, "--symbols", "qqq, spy,BTC/USD").out
    assert "ALPACA_API_KEY" not in os.environ
    stored = command.storage().get_historical_prices("SPY", source="alpaca")
    assert stored["close"].tolist() == prices.tolist()
    assert key not in command.storage().sql("SELECT metadata FROM ingest").to_pandas().to_string()


@pytest.fixture
def shared(command: Command, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with shared bars of days of Apple and of an option, downloaded with `KEY`."""
    monkeypatch.delenv("LUMIBOT_SHARED_BARS_SCOPE", raising=False)
    monkeypatch.setenv("ALPACA_API_KEY", KEY)
    folder = command.folder / "shared"
    write_year(folder, series_of("AAPL"), days("2024-03-04"))
    write_year(folder, series_of(OPTION, "OptionBarsRequest", None), days("2024-03-04", price=3.0))
    return folder


def test_a_dry_run_finds_shared_bars_by_what_the_store_has_of_alpaca(command: Command, shared: Path) -> None:
    other = days("2023-03-06")[["open", "high", "low", "close", "volume"]]
    command.storage().store_ohlcv_data("AAPL", other, "alpaca", "day", adjustment="split")
    ended = command("migrate", "--from", shared, "--dry-run")
    assert ended.code == 1
    assert "\n1 of 2 files (" in ended.out
    assert ") would be migrated, 1 not: 4 rows." in ended.out


@pytest.mark.parametrize("symbol", [OPTION, OPTION.lower(), OPTION.replace("SPY", "SPY   ")])
def test_an_option_is_named_by_its_symbol(command: Command, shared: Path, symbol: str) -> None:
    ended = command("migrate", "--from", shared, "--symbols", f"aapl,{symbol}")
    assert (ended.code, ended.err) == (0, "")
    assert "2 files migrated" in ended.out
    (option,) = [info.key.asset for info in command.storage().list_series() if info.key.asset.asset_type == "option"]
    assert option == AssetKey("SPY", "option", expiration=dt.date(2024, 11, 9), strike=435.5, right="CALL")


def test_the_advice_for_shared_bars_names_the_symbol_and_the_key(
    command: Command, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = "its name is a digest of its symbol and the key that it was downloaded with, and "
    either = (
        f"{digest}no known symbol and key match: name its symbol (--symbols), or set ALPACA_API_KEY (or "
        "ALPACA_OAUTH_TOKEN) to that key, and run again\n"
    )
    assert either in command("migrate", "--from", shared).out
    monkeypatch.setenv("ALPACA_API_KEY", "PKANOTHER")
    assert either in command("migrate", "--from", shared, "--symbols", "AAPL").out
    monkeypatch.delenv("ALPACA_API_KEY")
    told = command("migrate", "--from", shared, "--symbols", "AAPL").out
    assert f"{digest}no key is known: set ALPACA_API_KEY (or ALPACA_OAUTH_TOKEN) to that key, and name its" in told


# -- many files -----------------------------------------------------------------------------------------------


def start(cache: Path, store: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lumibot_duckdb.cli.main", "--store", str(store), "migrate", "--from", str(cache)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


def wait_for(running: subprocess.Popen[str], store: Path, files: int) -> None:
    """Wait until a run has migrated so many files."""
    storage = DuckDBDataStorage(store)
    while running.poll() is None:
        try:
            if storage.sql("SELECT count(*) AS files FROM migrated_file").to_pylist()[0]["files"] >= files:
                break
        except StorageError:
            pass
        time.sleep(0.05)
    storage.close()
    assert running.poll() is None, running.communicate()


@pytest.mark.parametrize("files", [30, pytest.param(210, marks=pytest.mark.long)])
def test_a_run_over_many_files_may_be_killed_and_interrupted_and_then_ends(command: Command, files: int) -> None:
    names = [f"S{number:03}" for number in range(files)]
    many = cache_of(names, command.folder / "many")
    killed = start(many, command.store)
    wait_for(killed, command.store, files // 6)
    killed.kill()
    killed.communicate()
    assert command.storage().verify().findings == []

    interrupted = start(many, command.store)
    wait_for(interrupted, command.store, files // 3)
    interrupted.send_signal(signal.SIGINT)
    out, err = interrupted.communicate()
    assert interrupted.returncode == 130
    assert "stopping after this file; press Ctrl-C again to stop now" in err
    assert f" of {files} files; what was stored stays, and the same command migrates the rest\n" in err
    done = int(err.split("interrupted: migrated ")[1].split(" ")[0])
    assert files // 3 <= done < files
    assert f"Polygon bars    {done:>3}" in out

    ended = command("migrate", "--from", many)
    assert ended.code == 0
    assert f"{files - done} files migrated, {done} already here: " in ended.out
    storage = command.storage()
    assert storage.verify().findings == []
    rows = {info.key.asset.symbol: info.rows for info in storage.list_series()}
    assert rows == {name: len(pd.read_parquet(many / "polygon" / f"stock_{name}_USD_hour.parquet")) for name in names}


@pytest.mark.long
def test_two_runs_at_once_bring_in_everything_once(command: Command) -> None:
    names = [f"S{number:03}" for number in range(60)]
    many = cache_of(names, command.folder / "many")
    running = [start(many, command.store) for _ in range(2)]
    outputs = [each.communicate()[0] for each in running]
    assert [each.returncode for each in running] == [0, 0], outputs
    storage = command.storage()
    assert storage.verify().findings == []
    assert len(storage.list_series()) == 60
