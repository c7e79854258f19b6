"""Commands that end early, because the disk is full or by Ctrl-C, SIGTERM or SIGHUP: one message, and a sound store."""

from __future__ import annotations

import logging
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.files import Command, Ended, csv_of, minutes
from disks import mounted_disk
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.cli.main import main
from lumibot_duckdb.progress import Progress
from lumibot_duckdb.storage.bars import batches
from lumibot_duckdb.storage.connection.interruption import check
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.connection.store_file import StoreFile
from lumibot_duckdb.storage.errors import StoreDamagedError
from lumibot_duckdb.storage.upkeep import stored_days
from lumibot_duckdb.storage.upkeep.other_store import OtherStore
from storage.frames import minute_bars

SERIES, ROWS, BATCH = 6, 20, 2
SIGNALS = {
    signal.SIGINT: (130, "interrupted"),
    signal.SIGTERM: (143, "stopped by SIGTERM"),
    signal.SIGHUP: (129, "stopped by SIGHUP"),
}


@dataclass(frozen=True)
class Case:
    """A command line, and what it says of work that was ended early. `{folder}` is the folder of the other files.

    Attributes:
        words: the command and its arguments.
        untouched: what it says before it has changed anything.
        partly: what it says after the first of several transactions; "" if it has only one.
    """

    words: tuple[str, ...]
    untouched: str
    partly: str = ""


CASES = {
    "compact": Case(("compact",), "the store is unchanged"),
    "prune": Case(
        ("prune", "--older-than", "1d", "--yes"),
        "nothing was pruned",
        "series are left: prune again to continue",  # a batch may be so small that it fits on the full disk
    ),
    "delete": Case(
        ("delete", "--source", "polygon", *(f"S{number}" for number in range(SERIES)), "--yes"),
        "nothing was deleted",
        f"of {SERIES} series: delete again for the rest",
    ),
    "merge": Case(
        ("merge", "{folder}/other.duckdb"),
        "nothing was merged",
        f"erged {BATCH} of {SERIES} series: merge again for the rest",
    ),
    "import": Case(
        ("import", *(f"{{folder}}/F{number}.csv" for number in range(3)), "--timezone", "UTC"),
        "nothing was imported",
        "mported 1 of 3 files; what was stored stays, and the same command imports the rest",
    ),
    "export": Case(("export", "--to", "{folder}/exported"), "nothing of the export to {folder}/exported is left"),
    "backup": Case(("backup", "{folder}/copy.duckdb"), "nothing was written to {folder}/copy.duckdb"),
    "replica": Case(("replica", "{folder}/copy.duckdb"), "nothing was written to {folder}/copy.duckdb"),
    "restore": Case(("restore", "{folder}/other.duckdb", "--yes"), "{store} is unchanged"),
    "rename": Case(("rename", "S1", "NEW", "--yes"), "the store is unchanged"),
    "forget": Case(("forget", "S1"), "the store is unchanged"),
    "snapshot": Case(("snapshot", "new"), "the store is unchanged"),
    "config": Case(("config", "set", "versions.keep", "7d"), "the store is unchanged"),
}
IN_ONE_FILE = ("compact", "export", "backup", "replica", "restore")  # they write a new file, not into the store
IN_STEPS = tuple(name for name, case in CASES.items() if case.partly)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    for name, prefix in (("store.duckdb", "S"), ("other.duckdb", "T")):
        with DuckDBDataStorage(folder / name) as storage:
            for number in range(SERIES):
                storage.store_ohlcv_data(f"{prefix}{number}", minute_bars(rows=ROWS), "polygon", "minute")
    for number in range(3):
        (folder / f"F{number}.csv").write_text(csv_of(minutes("2024-01-02 14:30", ROWS)))
    return folder


class Run:
    """The command on a store of its own, with the files that commands name."""

    def __init__(self, store: Path, folder: Path, made: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.store, self.folder, self._capture = store, folder, capture
        shutil.copy(made / "store.duckdb", store)
        for file in made.iterdir():
            if file.name.startswith(("other.duckdb", "F")):
                shutil.copy(file, folder)
        DuckDBDataStorage(store).close()
        self.before = self.contents()
        self._files = set(folder.iterdir())

    def __call__(self, name: str) -> Ended:
        self._capture.readouterr()
        code = main(["--store", str(self.store), *map(self.filled, CASES[name].words)])
        return Ended(code, *self._capture.readouterr())

    def filled(self, text: str) -> str:
        return text.replace("{folder}", str(self.folder)).replace("{store}", str(self.store))

    def contents(self) -> dict[str, int]:
        """The numbers of bars by symbol."""
        with DuckDBDataStorage(self.store) as storage:
            return {info.key.asset.symbol: info.rows for info in storage.list_series()}

    def changed(self) -> int:
        """How many series are not what they were."""
        now = self.contents()
        return sum(now.get(name) != self.before.get(name) for name in now.keys() | self.before.keys())

    def check(self, *also: str) -> None:
        """Fail unless the store is sound, can be written to, and no other file is left."""
        with DuckDBDataStorage(self.store) as storage:
            assert storage.verify().sound
            storage.store_ohlcv_data("LATER", minute_bars(rows=3), "polygon", "minute")
        beside = {path.name.removeprefix(self.store.name) for path in self.store.parent.iterdir()} - set(also)
        assert beside <= {"", ".lock", ".turn", ".use"} | {path.name for path in self._files}
        if self.folder != self.store.parent:
            assert {path for path in set(self.folder.iterdir()) - self._files if path.suffix not in LOCKS} == set()


LOCKS = (".lock", ".turn", ".use")


@pytest.fixture
def run(tmp_path: Path, made: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(batches, "MOST_SERIES", BATCH)
    (tmp_path / "store").mkdir()
    (tmp_path / "files").mkdir()
    return Run(tmp_path / "store" / "s.duckdb", tmp_path / "files", made, capsys)


def at_write(monkeypatch: pytest.MonkeyPatch, store: Path, number: int, act: Callable[[], object]) -> None:
    """Do something when the store begins its n-th transaction."""
    write, count = StoreConnection.write, 0

    @contextmanager
    def counted(self: StoreConnection, *arguments: Any, **options: Any) -> Iterator[Any]:
        nonlocal count
        if self.path == store:
            count += 1
            if count == number:
                act()
        with write(self, *arguments, **options) as cursor:
            yield cursor

    monkeypatch.setattr(StoreConnection, "write", counted)


def after_commit(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something when DuckDB's log would be folded into the file, which follows each commit."""
    fold = StoreFile.fold_long_log

    def acting(self: StoreFile) -> None:
        act()
        check()
        fold(self)

    monkeypatch.setattr(StoreFile, "fold_long_log", acting)


# -- a full disk -------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(
    tmp_path: Path, made: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """The command with a store and all files on a small disk."""
    monkeypatch.setattr(batches, "MOST_SERIES", BATCH)
    with mounted_disk(tmp_path / "disk") as disk:
        store = disk / "s.duckdb"
        yield Run(store, disk, made, capsys)
        StoreConnection.of(store).close()


def fill_up(disk: Path) -> None:
    """Leave no space on a disk."""
    with (disk / "ballast").open("wb", buffering=0) as file:
        for block in (1 << 16, 1 << 12, 1):
            while True:
                try:
                    if not file.write(bytes(block)):
                        break
                except OSError:
                    break


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a command would print besides its error."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def check_one_line(ended: Ended, code: int) -> None:
    assert ended.code == code, ended
    assert ended.err.startswith("lumibot-duckdb: "), ended
    assert ended.err.count("\n") == 1, ended
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("name", CASES)
def test_on_a_full_disk_nothing_is_changed(name: str, disk: Run, caplog: pytest.LogCaptureFixture) -> None:
    fill_up(disk.folder)
    ended = disk(name)
    assert warnings(caplog) == []
    check_one_line(ended, 3)
    assert ended.err.startswith("lumibot-duckdb: the disk is full"), ended
    assert "pace" in ended.err.rsplit(". ", 1)[-1], ended  # the remedy
    assert disk.changed() == 0
    if name in IN_ONE_FILE:
        assert disk.filled(CASES[name].untouched) in ended.err
    (disk.folder / "ballast").unlink()
    disk.check()


@pytest.mark.parametrize("name", IN_STEPS)
def test_a_disk_that_becomes_full_ends_with_what_was_done(
    name: str, disk: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        at_write(patch, disk.store, 2, lambda: fill_up(disk.folder))
        ended = disk(name)
    assert warnings(caplog) == []
    check_one_line(ended, 3)
    assert ended.err.startswith("lumibot-duckdb: the disk is full")
    assert CASES[name].partly in ended.err
    assert ended.err.endswith(", once there is space\n")
    assert "nothing was" not in ended.err
    assert 0 < disk.changed() < SERIES
    (disk.folder / "ballast").unlink()
    disk.check()


# -- signals -----------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """The usual handlers: the tests may have been started with the signals ignored, like background jobs."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    assert {number: signal.getsignal(number) for number in usual} == usual
    for number, handler in before.items():
        signal.signal(number, handler)


def each_signal(test: Callable[..., None]) -> Callable[..., None]:
    others = [pytest.param(number, marks=pytest.mark.long) for number in (signal.SIGINT, signal.SIGHUP)]
    marked: Callable[..., None] = pytest.mark.parametrize("number", [signal.SIGTERM, *others])(test)
    return marked


@each_signal
@pytest.mark.parametrize("name", IN_STEPS)
def test_a_stopped_command_says_what_was_done(
    name: str, number: signal.Signals, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        at_write(patch, run.store, 2, lambda: signal.raise_signal(number))
        ended = run(name)
    code, message = SIGNALS[number]
    if name == "import" and number == signal.SIGINT:  # a first Ctrl-C ends it after the file
        assert ended.code == code
        assert "interrupted: imported 2 of 3 files" in ended.err
    else:
        check_one_line(ended, code)
        assert f"lumibot-duckdb: {message}: " in ended.err
        assert CASES[name].partly in ended.err
    assert 0 < run.changed() < SERIES
    run.check()
    if name != "delete":  # of series that are gone
        assert run(name).code == 0


@each_signal
@pytest.mark.parametrize("name", IN_ONE_FILE)
def test_a_stopped_command_leaves_no_file(
    name: str, number: signal.Signals, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "update", lambda self, done, total: signal.raise_signal(number))
        ended = run(name)
    code, message = SIGNALS[number]
    check_one_line(ended, code)
    assert ended.err == f"lumibot-duckdb: {message}: {run.filled(CASES[name].untouched)}\n"
    assert run.changed() == 0
    run.check()


@pytest.mark.parametrize(
    "name",
    ["rename", "prune", *(pytest.param(name, marks=pytest.mark.long) for name in ("snapshot", "config", "forget"))],
)
def test_a_command_that_is_stopped_at_its_beginning_changes_nothing(
    name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        at_write(patch, run.store, 1, lambda: signal.raise_signal(signal.SIGTERM))
        ended = run(name)
    check_one_line(ended, 143)
    assert ended.err == f"lumibot-duckdb: stopped by SIGTERM: {CASES[name].untouched}\n"
    assert run.changed() == 0
    run.check()


def test_a_merge_that_is_stopped_while_it_reads_the_other_store(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OtherStore, "check", lambda *_: signal.raise_signal(signal.SIGTERM))
    ended = run("merge")
    assert (ended.code, ended.err) == (143, "lumibot-duckdb: stopped by SIGTERM: nothing was merged\n")
    assert run.changed() == 0
    run.check()


@pytest.mark.parametrize("name", ["rename", pytest.param("config", marks=pytest.mark.long)])
def test_a_signal_after_the_only_transaction_does_not_deny_it(
    name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        after_commit(patch, lambda: signal.raise_signal(signal.SIGTERM))
        ended = run(name)
    assert (ended.code, ended.err) == (143, "lumibot-duckdb: stopped by SIGTERM: the store is changed as requested\n")
    assert run.changed() == (2 if name == "rename" else 0)
    run.check()


@pytest.mark.parametrize(
    "name", ["prune", *(pytest.param(name, marks=pytest.mark.long) for name in ("delete", "merge"))]
)
def test_a_signal_right_after_a_commit_counts_the_batch(name: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while DuckDB folds its log in, which may take seconds."""
    with monkeypatch.context() as patch:
        after_commit(patch, lambda: signal.raise_signal(signal.SIGTERM))
        ended = run(name)
    check_one_line(ended, 143)
    assert CASES[name].partly in ended.err
    assert run.changed() == BATCH
    run.check()


def test_a_signal_at_the_end_of_a_compaction_does_not_deny_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from lumibot_duckdb.storage.upkeep import compaction

    put = compaction.put_in_place

    def put_in_place(*arguments: Any) -> None:
        put(*arguments)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(compaction, "put_in_place", put_in_place)
    ended = run("compact")
    assert (ended.code, ended.err) == (143, "lumibot-duckdb: stopped by SIGTERM: the store is compacted\n")
    run.check()


def test_a_signal_stops_a_process_that_ignores_ctrl_c(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shells start background jobs of scripts so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def update(self: Progress, done: float, total: float) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Progress, "update", update)
    ended = run("backup")
    assert signal.signal(signal.SIGINT, signal.default_int_handler) is signal.SIG_IGN
    assert ended.code == 143
    run.check()


def test_a_signal_that_is_ignored_stays_ignored(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As SIGHUP is under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr(Progress, "update", lambda self, done, total: signal.raise_signal(signal.SIGHUP))
    assert run("backup").code == 0
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


# -- a store that cannot be read ---------------------------------------------------------------------------------


def test_the_page_of_a_damaged_store_has_what_can_be_read(
    command: Command, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.store.parent.mkdir()
    shutil.copy(made / "store.duckdb", command.store)

    def unreadable(*_: object) -> Iterator[Any]:
        raise StoreDamagedError("a block is damaged: repair it")
        yield

    monkeypatch.setattr(stored_days, "stored_days", unreadable)
    ended = command("status", "--html", "page.html")
    assert (ended.code, ended.err) == (
        3,
        "lumibot-duckdb: the page lacks what cannot be read: a block is damaged: repair it\n",
    )
    assert "The page is in page.html." in ended.out
    page = (command.folder / "page.html").read_text()
    assert '<div class="verdict bad">a block is damaged: repair it</div>' in page
    assert f"{SERIES * ROWS:,}" in page
    assert "The days of the bars cannot be read" in page
    assert "no trading day lacks bars" not in page
