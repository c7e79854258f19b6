"""A run verifies each file, reads none twice, survives damaged ones, and deletes only what the store returns."""

from __future__ import annotations

import datetime as dt
import errno
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.migration.run import Ending, Outcome, forecast_files, migrate_files
from lumibot_duckdb.sources.polygon.old_cache.bars import PolygonBarsReader
from migration.caches import DATA, DOWNLOADED, Cache, written
from sources.polygon.old_cache.test_old_releases import STOCK

BARS = "stock_OLD_USD_minute.parquet"
SNAPSHOT = "stock_OLD_USD_minute_splits.parquet"


@pytest.fixture
def parquet(cache: Cache) -> Cache:
    return cache.of_release("4.1.3")


def copy_as(cache: Cache, name: str, change: Callable[[pd.DataFrame], pd.DataFrame] | None = None) -> Path:
    """Write changed bars under another name."""
    frame = pd.read_parquet(cache.file(BARS))
    path = cache.file(name)
    (frame if change is None else change(frame)).to_parquet(path)
    written(path, DOWNLOADED)
    return path


def endings(outcomes: dict[str, Outcome]) -> dict[str, Ending]:
    return {name: outcome.ending for name, outcome in outcomes.items()}


# -- read once ------------------------------------------------------------------------------------------------


def test_a_file_that_is_here_is_not_read_again(parquet: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parquet.migrate()[BARS].new == 80

    def read(self: Any, path: Path) -> Any:
        raise AssertionError("it was read")

    monkeypatch.setattr(PolygonBarsReader, "read", read)
    again = parquet.migrate()[BARS]
    assert (again.ending, again.rows, again.new) == (Ending.ALREADY_HERE, 80, 0)


@pytest.mark.parametrize("what", ["store deleted", "series deleted", "series renewed", "file changed", "split checked"])
def test_what_may_have_changed_is_read_again(parquet: Cache, what: str) -> None:
    parquet.migrate()
    file = parquet.file(SNAPSHOT if what == "split checked" else BARS)
    if what == "store deleted":
        parquet.storage.close()
        shutil.rmtree(parquet.storage.path.parent)
        parquet.storage = DuckDBDataStorage(parquet.storage.path)
    elif what == "series deleted":
        parquet.storage.delete_series("OLD")
    elif what == "series renewed":
        parquet.storage.restate_series("OLD", "polygon", "minute", adjustment="split")
    else:
        written(file, DOWNLOADED + dt.timedelta(hours=1))
    again = parquet.migrate()[BARS]
    there = what in ("file changed", "split checked")
    assert (again.ending, again.new) == (Ending.MIGRATED, 0 if there else 80)
    assert parquet.migrate()[BARS].ending is Ending.ALREADY_HERE
    assert len(parquet.bars(STOCK)) == 80


def test_a_preview_of_a_plan_shows_the_same_and_writes_nothing(parquet: Cache) -> None:
    parquet.file("stock_BAD_USD_minute.parquet").write_bytes(b"PAR1 and no more")
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in parquet.files()}
    seen = {outcome.file.name: outcome.ending for outcome in forecast_files(parquet.plan(), parquet.storage)}
    assert seen == {BARS: Ending.MIGRATED, "stock_BAD_USD_minute.parquet": Ending.UNREADABLE}
    assert not parquet.storage.path.parent.exists()
    assert endings(parquet.migrate()) == seen
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in parquet.files()} == before


def test_a_preview_of_a_plan_shows_what_the_store_has_and_reads_only_the_rest(
    parquet: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet.migrate()
    new = copy_as(parquet, "stock_NEW_USD_minute.parquet").name
    read: list[str] = []
    reading = PolygonBarsReader.read

    def noted(reader: PolygonBarsReader, file: Path) -> Any:
        read.append(file.name)
        return reading(reader, file)

    monkeypatch.setattr(PolygonBarsReader, "read", noted)
    plan = parquet.plan()
    seen = {each.file.name: (each.ending, each.rows, each.new) for each in forecast_files(plan, parquet.storage)}
    assert seen == {BARS: (Ending.ALREADY_HERE, 80, 0), new: (Ending.MIGRATED, 80, 80)}
    assert read == [new]
    parquet.storage.delete_series("OLD")
    assert {each.ending for each in forecast_files(plan, parquet.storage)} == {Ending.MIGRATED}


def test_looking_at_a_plan_leaves_an_older_store_as_it_is(parquet: Cache) -> None:
    parquet.migrate()
    parquet.storage.close()
    with duckdb.connect(str(parquet.storage.path)) as store:
        store.execute("UPDATE store_meta SET value = '2' WHERE key = 'schema_version'; DROP TABLE migrated_file")
    storage = DuckDBDataStorage(parquet.storage.path)
    assert [each.ending for each in forecast_files(parquet.plan(), storage)] == [Ending.MIGRATED]
    storage.close()
    with duckdb.connect(str(storage.path), read_only=True) as store:
        assert store.execute("SELECT value FROM store_meta WHERE key = 'schema_version'").fetchall() == [("2",)]


def dearer(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[3, "close"] += 0.01
    return frame


def three_hours_later(frame: pd.DataFrame) -> pd.DataFrame:
    """Bars at times that an answer which the store has lacks."""
    return frame.assign(datetime=frame["datetime"] + pd.Timedelta(hours=3))


def with_earlier_days(frame: pd.DataFrame) -> pd.DataFrame:
    """Bars of five weeks before as well."""
    earlier = frame.assign(datetime=frame["datetime"] - pd.Timedelta(days=35))
    return pd.concat([earlier, frame], ignore_index=True)


@pytest.mark.parametrize(
    ("change", "ending", "new"),
    [
        (lambda frame: frame, Ending.ALREADY_HERE, 0),
        (dearer, Ending.CONFLICT, 0),
        (three_hours_later, Ending.CONFLICT, 0),
        (with_earlier_days, Ending.MIGRATED, 80),
    ],
)
def test_looking_at_a_plan_asks_the_store(parquet: Cache, change: Any, ending: Ending, new: int) -> None:
    parquet.file(SNAPSHOT).unlink()
    parquet.migrate()
    path = copy_as(parquet, BARS, change)
    written(path, DOWNLOADED + dt.timedelta(hours=1))
    parquet.storage.close()
    before = parquet.storage.path.read_bytes()
    (seen,) = forecast_files(parquet.plan(), parquet.storage)
    parquet.storage.close()
    assert parquet.storage.path.read_bytes() == before
    assert (seen.ending, seen.new) == (ending, new)
    done = parquet.migrate()[BARS]
    assert (done.reason, done.new) == (seen.reason, new)
    assert done.ending is (Ending.MIGRATED if ending is Ending.ALREADY_HERE else ending)


def test_a_preview_of_a_plan_shows_which_bars_cannot_be_stored(parquet: Cache) -> None:
    copy_as(parquet, BARS, within_a_second)
    (seen,) = forecast_files(parquet.plan(), parquet.storage)
    assert (seen.ending, seen.new) == (Ending.UNREADABLE, 0)
    assert not parquet.storage.path.parent.exists()
    assert parquet.migrate()[BARS].reason == seen.reason


# -- what is wrong with a file --------------------------------------------------------------------------------


def without_open(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="open")


def twice(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame.iloc[:1]])


def texts(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(datetime=frame["datetime"].astype(str))


def without_times(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="datetime")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without_open, "no numbers in a column open"),
        (twice, "it has 2023-03-06 14:30:00+00:00 twice"),
        (texts, "its column datetime holds object, not times"),
        (without_times, "it has no column datetime, only open"),
    ],
)
def test_a_table_that_holds_something_else_is_not_migrated(parquet: Cache, change: Any, reason: str) -> None:
    copy_as(parquet, "stock_ODD_USD_minute.parquet", change)
    outcome = parquet.migrate()["stock_ODD_USD_minute.parquet"]
    assert outcome.ending is Ending.UNREADABLE
    assert reason in outcome.reason


def test_damaged_files_are_reported_and_the_others_are_imported(parquet: Cache) -> None:
    whole = parquet.file(BARS).read_bytes()
    contents = {
        "stock_A_USD_minute.parquet": b"",
        "stock_B_USD_minute.parquet": whole[: len(whole) // 2],
        "stock_C_USD_minute.parquet": whole[:200] + bytes(200) + whole[400:],
        "stock_D_USD_minute.parquet": b"open,high,low,close\n1,2,3,4\n",
        "stock_E_USD_minute.feather": whole,
        "option_chains/OLD_2023-03-06.parquet": whole,
        "stock_G_USD_minute_splits.parquet": whole[:50],
    }
    for name, content in contents.items():
        parquet.file(name).parent.mkdir(exist_ok=True)
        parquet.file(name).write_bytes(content)
    parquet.file("stock_F_USD_minute.parquet").mkdir()
    copy_as(parquet, "stock_G_USD_minute.parquet")
    os.mkfifo(parquet.file("stock_H_USD_minute.parquet"))
    found = parquet.migrate()
    reasons = {name: outcome.reason for name, outcome in found.items() if outcome.ending is Ending.UNREADABLE}
    assert set(reasons) == {
        *(f"stock_{letter}_USD_minute.parquet" for letter in "ABCDG"),
        "stock_E_USD_minute.feather",
        "OLD_2023-03-06.parquet",
    }
    assert reasons["stock_A_USD_minute.parquet"] == "it is empty"
    assert reasons["stock_D_USD_minute.parquet"] == "it is not a Parquet file, despite its name"
    assert all(reasons.values())
    assert found[BARS].ending is Ending.MIGRATED
    assert parquet.storage.verify().findings == []


def test_a_name_that_says_nothing_leaves_the_file_alone(parquet: Cache) -> None:
    names = (
        "notes.parquet",
        "stock_A_B_C_minute.parquet",
        "stock_OLD_USD_week.parquet",
        "option_OLD_991340_1_CALL_day.parquet",
    )
    for name in names:
        copy_as(parquet, name)
    found = parquet.migrate()
    assert {found[name].ending for name in names} == {Ending.LEFT_ALONE}


def test_what_the_store_has_is_kept_where_a_file_says_otherwise(parquet: Cache) -> None:
    parquet.migrate()
    stored = parquet.bars(STOCK)

    copy_as(parquet, BARS, dearer)
    found = parquet.migrate()[BARS]
    assert found.ending is Ending.CONFLICT
    assert "close at 2023-03-06 14:33:00+00:00" in found.reason
    pd.testing.assert_frame_equal(parquet.bars(STOCK), stored)


def twice_the_price(frame: pd.DataFrame) -> pd.DataFrame:
    """Bars of before as well, and all as from before a split."""
    both = with_earlier_days(frame)
    prices = ["open", "high", "low", "close"]
    return both.assign(**{name: both[name] * 2 for name in prices})


def within_a_second(frame: pd.DataFrame) -> pd.DataFrame:
    both = with_earlier_days(frame)
    both.loc[len(both) - 1, "datetime"] += pd.Timedelta(milliseconds=1)
    return both


@pytest.mark.parametrize(
    ("change", "ending", "reason"),
    [
        (twice_the_price, Ending.CONFLICT, "the store has different bars of OLD"),
        (within_a_second, Ending.UNREADABLE, "2023-03-"),
    ],
)
def test_of_a_file_that_is_refused_nothing_is_stored(parquet: Cache, change: Any, ending: Ending, reason: str) -> None:
    parquet.file(SNAPSHOT).unlink()
    parquet.migrate()
    stored, covered = parquet.bars(STOCK), parquet.days(STOCK)
    copy_as(parquet, BARS, change)
    found = parquet.migrate()[BARS]
    assert (found.ending, found.rows, found.new) == (ending, 0, 0)
    assert reason in found.reason
    pd.testing.assert_frame_equal(parquet.bars(STOCK), stored)
    assert parquet.days(STOCK) == covered


def test_values_are_reported_as_people_write_them(parquet: Cache) -> None:
    parquet.migrate()
    copy_as(parquet, BARS, lambda frame: frame.assign(close=frame["close"] + 1))
    assert "np." not in parquet.migrate()[BARS].reason


@pytest.mark.parametrize("name", [b"stock_\xff\xfe_USD_minute.parquet", b"stock_\x1b[2J_USD_minute.parquet"])
def test_a_name_that_is_none_is_reported_and_the_others_are_imported(parquet: Cache, name: bytes) -> None:
    shutil.copy2(parquet.file(BARS), parquet.file(os.fsdecode(name)))
    for look in (True, False):
        outcomes = {
            each.file.name: each
            for each in (forecast_files if look else migrate_files)(parquet.plan(), parquet.storage)
        }
        assert outcomes[BARS].ending is Ending.MIGRATED
        assert outcomes[os.fsdecode(name)].ending is Ending.UNREADABLE
        assert "characters that Lumibot never uses" in outcomes[os.fsdecode(name)].reason


@pytest.mark.parametrize("moment", ["planned", "read"])
def test_a_file_that_goes_away_meanwhile_is_reported(
    parquet: Cache, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    going = copy_as(parquet, "stock_GOING_USD_minute.parquet")
    plan, read = parquet.plan(), PolygonBarsReader.read

    def removed(self: Any, path: Path) -> Any:
        contents = read(self, path)
        if path == going:
            path.unlink()
        return contents

    if moment == "planned":
        going.unlink()
    else:
        monkeypatch.setattr(PolygonBarsReader, "read", removed)
    found = {each.file.name: each for each in migrate_files(plan, parquet.storage, delete_verified=True)}
    assert found[BARS].ending is Ending.MIGRATED
    if moment == "planned":
        assert (found[going.name].ending, found[going.name].reason) == (
            Ending.LEFT_ALONE,
            "it no longer exists: another program has deleted or renamed it",
        )
    else:
        assert (found[going.name].ending, found[going.name].deleted) == (Ending.MIGRATED, ())


@pytest.mark.parametrize("content", [b"garbage", b"cos\nsystem\n(S'true'\ntR.", b""])
def test_what_yahoo_said_is_reported_when_it_is_damaged_or_refused_and_never_deleted(
    tmp_path: Path, content: bytes
) -> None:
    cache = Cache(tmp_path)
    with tarfile.open(DATA.parent / "lumibot-4.4.30.tar.xz") as archive:
        archive.extractall(cache.folder, filter="data")
    info = cache.folder / "yahoo" / "AAA_info.pickle"
    info.write_bytes(content)
    for _ in range(2):
        found = cache.migrate(delete_verified=True)["AAA_1d.pickle"]
        assert found.damaged
        assert found.left_out[0].startswith("AAA_info.pickle, which has its market: it ")
        assert info.exists()
        assert info.with_name("AAA_1d.pickle").exists()


@pytest.mark.parametrize("only", [(), ("yahoo",), ("polygon",)])
def test_a_folder_that_may_not_be_looked_into_is_reported(
    parquet: Cache, monkeypatch: pytest.MonkeyPatch, only: tuple[str, ...]
) -> None:
    shut, listed = parquet.folder / "polygon", Path.iterdir

    def iterdir(path: Path) -> Any:
        if path == shut:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    plan = parquet.plan(*only)
    (told,) = [each for each in plan.left_alone if each.where == "polygon"]
    assert (told.reason, told.unknown) == ("it cannot be read: Permission denied", only != ("yahoo",))
    assert plan.files == 0


class Failing(DuckDBDataStorage):
    """A store that DuckDB cannot write the bars of one symbol into."""

    error: Exception

    def store_ohlcv_data(self, asset: Any, *arguments: Any, **options: Any) -> Any:
        if asset.symbol == "NEW":
            raise self.error
        return super().store_ohlcv_data(asset, *arguments, **options)


def test_what_duckdb_says_of_one_file_is_reported_and_the_others_are_imported(parquet: Cache) -> None:
    failing = copy_as(parquet, "stock_NEW_USD_minute.parquet")
    parquet.storage = store = Failing(parquet.storage.path)
    store.error = duckdb.BinderException("Binder Error: no column\nCandidates: ...")
    found = parquet.migrate(delete_verified=True)
    assert found[failing.name].ending is Ending.FAILED
    assert found[failing.name].reason == "BinderException: Binder Error: no column"
    assert found[BARS].deleted
    assert failing.exists()


@pytest.mark.parametrize("error", [duckdb.IOException("gone"), duckdb.FatalException("broken"), AttributeError("ours")])
def test_what_is_wrong_with_the_store_or_with_us_ends_the_run(parquet: Cache, error: Exception) -> None:
    copy_as(parquet, "stock_NEW_USD_minute.parquet")
    parquet.storage = store = Failing(parquet.storage.path)
    store.error = error
    with pytest.raises(type(error)):
        parquet.migrate()


class Forgetful(DuckDBDataStorage):
    """A store that returns a bar that was never stored."""

    def read_pandas(self, pin: Any, within: Any = None) -> pd.DataFrame:
        frame = super().read_pandas(pin, within)
        if len(frame) > 7:
            frame.iloc[7, 3] += 1
        return frame


def test_a_file_that_the_store_does_not_give_back_is_neither_remembered_nor_deleted(parquet: Cache) -> None:
    sound = parquet.storage
    parquet.storage = Forgetful(sound.path)
    found = parquet.migrate(delete_verified=True)[BARS]
    assert found.ending is Ending.UNVERIFIED
    assert "close at 2023-03-06 14:37:00+00:00" in found.reason
    assert parquet.file(BARS).exists()
    parquet.storage = sound
    assert parquet.migrate()[BARS].ending is Ending.MIGRATED


# -- deleting -------------------------------------------------------------------------------------------------


def test_what_is_verified_is_deleted_with_its_companions_and_nothing_else(parquet: Cache) -> None:
    kept = [
        parquet.file("stock_BAD_USD_minute.parquet"),
        parquet.file("stock_GONE_USD_minute_splits.parquet"),
        parquet.file("notes.txt"),
        parquet.folder / "thetadata" / "stock.parquet",
    ]
    kept[3].parent.mkdir()
    for file in kept:
        file.write_bytes(b"PAR1 something")
    left_out = copy_as(parquet, "stock_EXTRA_USD_minute.parquet", lambda frame: frame.assign(signal=1))
    found = parquet.migrate(delete_verified=True)
    assert set(found[BARS].deleted) == {parquet.file(BARS), parquet.file(SNAPSHOT)}
    assert found[left_out.name].kept == "the store does not have its columns signal, which Polygon does not send"
    assert parquet.files() == sorted([*kept, left_out])
    assert len(parquet.bars(STOCK)) == 80


def test_a_file_that_is_here_is_deleted_later_if_the_store_still_has_it(parquet: Cache) -> None:
    parquet.migrate()
    found = parquet.migrate(delete_verified=True)[BARS]
    assert (found.ending, len(found.deleted)) == (Ending.ALREADY_HERE, 2)
    assert parquet.files() == []


def test_a_file_that_the_store_has_otherwise_by_now_is_not_deleted(parquet: Cache) -> None:
    parquet.migrate()
    frame = parquet.bars(STOCK)
    frame[["open", "high", "low", "close"]] /= 2
    parquet.storage.store_ohlcv_data("OLD", frame, "polygon", "minute", adjustment="split")
    found = parquet.migrate(delete_verified=True)[BARS]
    assert found.ending is Ending.CONFLICT
    assert len(parquet.files()) == 2


def test_links_are_read_and_never_deleted_through(parquet: Cache) -> None:
    elsewhere = parquet.home / "elsewhere"
    shutil.move(parquet.folder / "polygon", elsewhere)
    (parquet.folder / "polygon").symlink_to(elsewhere)
    linked = Cache(parquet.home / "linked")
    linked.file("x").parent.mkdir()
    linked.file(BARS).symlink_to(elsewhere / BARS)
    for each in (parquet, linked):
        found = each.migrate(delete_verified=True)[BARS]
        assert (found.ending, found.deleted) == (Ending.MIGRATED, ())
        assert found.kept == f"{BARS} is a link, or below a linked folder"
    assert len(list(elsewhere.iterdir())) == 2


def test_a_file_that_is_written_to_meanwhile_is_not_deleted(parquet: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    read = PolygonBarsReader.read

    def slow(self: Any, path: Path) -> Any:
        contents = read(self, path)
        written(path, DOWNLOADED + dt.timedelta(hours=2))
        return contents

    monkeypatch.setattr(PolygonBarsReader, "read", slow)
    found = parquet.migrate(delete_verified=True)[BARS]
    assert found.kept == "it was changed in the meantime"
    assert parquet.file(BARS).exists()
