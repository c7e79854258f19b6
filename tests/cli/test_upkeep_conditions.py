"""Every command that looks after the store, with an unusual path, file, disk or clock, and beside another process."""

from __future__ import annotations

import datetime as dt
import io
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from cli.files import Command, Ended
from disks import make_read_only, make_writable, mounted_disk
from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.cli.commands import GROUPS
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from storage.frames import assert_same, minute_bars

FRAME = minute_bars(rows=60)
START = int(FRAME.index[0].timestamp())
LATER = minute_bars("2024-02-01 09:30")
BACKUP, OTHER, KEPT = "backup.duckdb", "other.duckdb", "kept"


@dataclass(frozen=True)
class Case:
    """A command line. `{folder}` in it is the folder of the other files.

    Attributes:
        words: the command and its arguments.
        writes: whether it changes the store.
        asks: whether it asks before it changes anything.
        without_a_store: its exit code where there is no store.
        dry_run: whether it has --dry-run.
    """

    words: tuple[str, ...]
    writes: bool = True
    asks: bool = False
    without_a_store: int = 1
    dry_run: bool = False

    @property
    def name(self) -> str:
        return "-".join(word.strip("-") for word in self.words if "{" not in word)

    def arguments(self, folder: Path, *options: str, yes: bool = True) -> list[str]:
        words = [word.replace("{folder}", str(folder)) for word in self.words]
        return [*words, *options, *(["--yes"] if yes and self.asks else [])]


CASES = (
    Case(("compact",)),
    Case(("verify",), writes=False),
    Case(("backup", "{folder}/copy.duckdb"), writes=False),
    Case(("restore", f"{{folder}}/{BACKUP}"), asks=True, without_a_store=0, dry_run=True),
    Case(("replica", "{folder}/replica.duckdb"), writes=False),
    Case(("export", "--to", "{folder}/exported"), writes=False, dry_run=True),
    Case(("publish", "{folder}/published"), writes=False),
    Case(("forget", "AAPL"), dry_run=True),
    Case(("delete", "AAPL"), asks=True, dry_run=True),
    Case(("rename", "AAPL", "RENAMED"), asks=True, dry_run=True),
    Case(("merge", f"{{folder}}/{OTHER}"), without_a_store=0, dry_run=True),
    Case(("prune", "--older-than", "1d", "AAPL"), asks=True, dry_run=True),
    Case(("label", "AAPL", "sector=Technology"), dry_run=True),
    Case(("snapshot",), writes=False),
    Case(("snapshot", "new")),
    Case(("snapshot", KEPT, "--delete"), asks=True, dry_run=True),
    Case(("config",), writes=False, without_a_store=0),
    Case(("config", "set", "versions.keep", "7d")),
)
UPKEEP = next(commands for title, commands in GROUPS if title == "look after the store")
REGISTERED = tuple(case for case in CASES if case.words[0] in {command.name for command in UPKEEP})
WRITING = tuple(case for case in REGISTERED if case.writes)
NOT_WRITING = tuple(case for case in REGISTERED if not case.writes)
ASKING = tuple(case for case in REGISTERED if case.asks)
WITH_DRY_RUN = tuple(case for case in REGISTERED if case.dry_run)


def each(cases: tuple[Case, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def fill(store: Path) -> None:
    """Make a store with something for every command to work on."""
    with DuckDBDataStorage(store) as storage:
        covered = TimeRange(START, START + 7200)
        storage.store_ohlcv_data("MSFT", FRAME, "polygon", "minute", covered=covered)
        storage.snapshot(KEPT)
        storage.store_ohlcv_data("AAPL", FRAME, "polygon", "minute", covered=covered)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the store and the other files, to copy them, and with those that cannot be used."""
    folder = tmp_path_factory.mktemp("made")
    fill(folder / BACKUP)
    with DuckDBDataStorage(folder / OTHER) as storage:
        storage.store_ohlcv_data("SPY", FRAME, "polygon", "minute")
    for kind, (make, _) in UNUSABLE.items():
        make(folder / kind)
    return folder


@pytest.fixture
def others(made: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "others"
    folder.mkdir()
    for name in (BACKUP, OTHER):
        shutil.copy(made / name, folder)
    return folder


@pytest.fixture
def filled(made: Path, command: Command) -> Command:
    command.store.parent.mkdir()
    shutil.copy(made / BACKUP, command.store)
    return command


@contextmanager
def unchanged(store: Path) -> Iterator[None]:
    """Fail if the block changes a byte of the store, or makes a file beside it that was not there."""
    DuckDBDataStorage(store).close()
    before, names = store.read_bytes(), {path.name for path in store.parent.iterdir()}
    yield
    DuckDBDataStorage(store).close()
    assert store.read_bytes() == before
    further = {path.name for path in store.parent.iterdir()} - names
    assert further <= {f"{store.name}.lock", f"{store.name}.turn", f"{store.name}.use"}


def check_sound(store: Path) -> None:
    """Fail unless the store is sound, and can be written to."""
    with DuckDBDataStorage(store) as storage:
        storage.store_ohlcv_data("LATER", LATER, "polygon", "minute")
        assert_same(storage.get_historical_prices("LATER"), LATER)
        assert storage.verify().findings == []


def check_refused(ended: Ended, code: int, message: str) -> None:
    """Fail unless the command ended with a code and one line that says why."""
    assert (ended.code, ended.out) == (code, ""), ended
    assert message in ended.err
    assert ended.err.count("\n") == 1


def test_every_command_has_a_case() -> None:
    assert {case.words[0] for case in REGISTERED} == {command.name for command in UPKEEP}


@each(REGISTERED)
@pytest.mark.parametrize("name", ["Börse 1/蠟燭 2.duckdb"])
def test_a_path_with_spaces_and_other_characters(
    case: Case, name: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / name
    command = Command(store.parent, capsys)
    folder = store.parent / "Größe und 蠟燭"
    folder.mkdir(parents=True)
    shutil.copy(made / BACKUP, store)
    for other in (BACKUP, OTHER):
        shutil.copy(made / other, folder)
    ended = command("--store", store, *case.arguments(folder))
    assert (ended.code, ended.err) == (0, ""), ended
    if case.writes:
        check_sound(store)


@each(REGISTERED)
def test_json_is_one_object(case: Case, filled: Command, others: Path) -> None:
    ended = filled(*case.arguments(others, "--json"))
    assert (ended.code, ended.err) == (0, "")
    assert isinstance(json.loads(ended.out), dict)


@each(WITH_DRY_RUN)
def test_a_dry_run_changes_no_byte(case: Case, filled: Command, others: Path) -> None:
    files = set(others.rglob("*"))
    with unchanged(filled.store):
        shown = filled(*case.arguments(others, "--dry-run", yes=False))
        assert (shown.code, shown.err) == (0, "")
        assert "would " in shown.out
        printed = filled(*case.arguments(others, "--dry-run", "--json", yes=False))
        assert (printed.code, printed.err) == (0, "")
        assert isinstance(json.loads(printed.out), dict)
    assert {path for path in set(others.rglob("*")) - files if path.suffix not in (".lock", ".turn", ".use")} == set()


@each(ASKING)
@pytest.mark.parametrize(
    "stdin", [None, pytest.param(io.StringIO("y\n"), marks=pytest.mark.long)], ids=["closed", "not a terminal"]
)
def test_without_a_terminal_nothing_is_changed(
    case: Case, stdin: object, filled: Command, others: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", stdin)
    with unchanged(filled.store):
        ended = filled(*case.arguments(others, yes=False))
        assert ended.code == 2
        assert "Nothing was changed, because nobody can answer here: add --yes" in ended.err
        as_json = filled(*case.arguments(others, "--json", yes=False))
        assert (as_json.code, as_json.out) == (2, "")


@each(REGISTERED)
def test_no_store(case: Case, command: Command, others: Path) -> None:
    ended = command(*case.arguments(others))
    assert ended.code == case.without_a_store, ended
    if case.without_a_store:
        check_refused(ended, case.without_a_store, f"there is no store at {command.store} yet")
        assert not command.store.parent.exists()


def newer(store: Path) -> None:
    DuckDBDataStorage(store).settings.set("versions.keep", "7d")
    with StoreConnection.of(store).write() as cursor:
        cursor.execute("UPDATE {db}.store_meta SET value = '99' WHERE key = 'schema_version'")
    StoreConnection.of(store).close()


def text(store: Path) -> None:
    store.write_text("no store\n" * 1000)


def another_database(store: Path) -> None:
    with duckdb.connect(str(store)) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 1 AS a")


UNUSABLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "newer.duckdb": (newer, "newer release"),
    "text.duckdb": (text, "is not a DuckDB file"),
    "another.duckdb": (another_database, "not a lumibot-duckdb store"),
}


@each(REGISTERED)
@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_file_that_cannot_be_used_is_left_alone(
    case: Case, kind: str, made: Path, command: Command, others: Path
) -> None:
    command.store.parent.mkdir()
    shutil.copy(made / kind, command.store)
    message = UNUSABLE[kind][1]
    before = command.store.read_bytes()
    ended = command(*case.arguments(others))
    StoreConnection.of(command.store).close()
    if case.words[0] == "restore" and ended.code == 0:  # the remedy for such a file, which is kept
        kept = list(command.store.parent.glob("*.replaced-*"))
        assert [path.read_bytes() for path in kept] == [before]
        check_sound(command.store)
        return
    check_refused(ended, 3, message)
    assert command.store.read_bytes() == before


@pytest.mark.parametrize("words", [("restore", "--yes"), ("merge",)], ids=["restore", "merge"])
@pytest.mark.parametrize("kind", UNUSABLE)
def test_another_file_that_cannot_be_used(
    words: tuple[str, ...], kind: str, made: Path, filled: Command, tmp_path: Path
) -> None:
    file = Path(shutil.copy(made / kind, tmp_path))
    message = UNUSABLE[kind][1]
    before = file.read_bytes()
    with unchanged(filled.store):
        ended = filled(words[0], file, *words[1:])
    check_refused(ended, 3, "is a text file, not a store" if kind == "text.duckdb" else message)
    StoreConnection.of(file).close()
    assert file.read_bytes() == before


@each(REGISTERED)
@pytest.mark.parametrize("days", [-400, pytest.param(400, marks=pytest.mark.long)])
def test_a_clock_that_jumps(
    case: Case, days: int, filled: Command, others: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = clock.utc_now
    with monkeypatch.context() as patch:
        patch.setattr(clock, "utc_now", lambda: real() + dt.timedelta(days=days))
        ended = filled(*case.arguments(others))
        assert (ended.code, ended.err) == (0, ""), ended
    if not case.writes:
        return
    check_sound(filled.store)
    with filled.storage() as storage:
        times = storage.sql("SELECT ingested_at FROM ingest ORDER BY ingest_id").column(0).to_pylist()
        assert times == sorted(times)
        assert_same(storage.get_historical_prices("MSFT"), FRAME)


@each(REGISTERED)
def test_a_store_that_another_process_holds(case: Case, filled: Command, others: Path) -> None:
    connection = StoreConnection.of(filled.store)
    connection.close()
    lock, patience = StoreLock(connection.path), connection.wait_seconds
    lock.acquire(True, time.monotonic() + 10)
    connection.wait_seconds = 0.1
    try:
        ended = filled(*case.arguments(others))
    finally:
        lock.close()
        connection.wait_seconds = patience
    check_refused(ended, 3, "did not become free in time: process ")
    check_sound(filled.store)


@pytest.fixture
def disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The command with a store on a disk that can only be read."""
    with mounted_disk(tmp_path / "disk") as disk:
        command = Command(disk, capsys)
        fill(command.store)
        make_read_only(disk)
        yield command
        StoreConnection.of(command.store).close()
        make_writable(disk)


@each(WRITING)
def test_a_disk_that_can_only_be_read(case: Case, disk: Command, others: Path) -> None:
    before = disk.store.read_bytes()
    ended = disk(*case.arguments(others))
    assert ended.code == 3, ended
    assert ended.err.count("\n") == 1
    assert "not writable" in ended.err or "can only be read" in ended.err
    assert disk.store.read_bytes() == before
    if case.dry_run:
        shown = disk(*case.arguments(others, "--dry-run", yes=False))
        assert (shown.code, shown.err) == (0, ""), shown


@each(NOT_WRITING)
def test_what_only_reads_works_on_such_a_disk(case: Case, disk: Command, others: Path) -> None:
    ended = disk(*case.arguments(others))
    assert (ended.code, ended.err) == (0, "")


@each(tuple(case for case in NOT_WRITING if "{folder}" in case.words[-1]))
def test_a_target_on_such_a_disk(case: Case, disk: Command) -> None:
    ended = disk(*case.arguments(disk.folder))
    assert ended.code == 3, ended
    assert ended.err.count("\n") == 1
    assert "Traceback" not in ended.err
    assert str(disk.folder) in ended.err


@contextmanager
def without_rights(file: Path) -> Iterator[None]:
    """Make a file read-only, for an administrator too."""
    mounted = subprocess.run(["mount", "--bind", str(file), str(file)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a file takes root")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(file)], check=True)
        yield
    finally:
        StoreConnection.of(file).close()
        subprocess.run(["umount", str(file)], check=True)


@each(tuple(case for case in WRITING if case.words[0] in ("compact", "delete", "restore", "config")))
def test_a_store_that_is_write_protected(case: Case, filled: Command, others: Path) -> None:
    before = filled.store.read_bytes()
    with without_rights(filled.store):
        ended = filled(*case.arguments(others))
        assert ended.code == 3, ended
        assert ended.err.count("\n") == 1
        assert f"{filled.store} can only be read" in ended.err
        assert "disk" not in ended.err
    assert filled.store.read_bytes() == before
