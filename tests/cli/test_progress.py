"""Commands show their progress on a terminal, leave nothing of it there, and write none of it to a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cli.files import Command, csv_of, minutes
from lumibot_duckdb.importing import delimited, importer, staging, writing
from lumibot_duckdb.importing.importer import ImportChoice, import_file
from lumibot_duckdb.importing.steps import Step
from lumibot_duckdb.migration.run import migrate_files
from migration.caches import Cache
from terminals import Terminal, terminal

Write = Callable[..., Path]


@pytest.fixture
def long_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is read in several pieces, and stored in several writes."""
    rows = [f"{time},1,2,0.5,1.5,{number}" for number, time in enumerate(minutes("2024-01-02 09:30", 20_000, "UTC"))]
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", 1 << 17)
    monkeypatch.setattr(writing, "BARS_A_WRITE", 8_000)
    monkeypatch.setattr(staging, "_REPORTED_EVERY", 0.0005)
    return write("AAA.csv", "\n".join(["datetime,open,high,low,close,volume", *rows]) + "\n")


def test_each_step_of_an_import_is_reported_up_to_its_end(long_file: Path, command: Command) -> None:
    reported: list[tuple[Step, float]] = []
    report = import_file(
        long_file, command.storage(), ImportChoice(), command.quarantine, lambda *step: reported.append(step)
    )
    assert report.added == 20_000
    assert list(dict.fromkeys(step for step, _ in reported)) == list(Step)
    for step in Step:
        done = [part for each, part in reported if each is step]
        assert done == sorted(done)
        assert done[-1] == 1.0
        assert all(0 <= part <= 1 for part in done)
    shares = [step.of_file(done) for step, done in reported]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert len([part for step, part in reported if step is Step.READING]) > 5
    assert {8_000 / 20_000, 16_000 / 20_000} <= {part for step, part in reported if step is Step.STORING}


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_reading_moves_although_arrow_reads_ahead(suffix: str, long_file: Path, write: Write, command: Command) -> None:
    file = write(f"BBB.csv{suffix}", long_file.read_text())
    reported: list[float] = []

    def on_step(step: Step, done: float) -> None:
        if step is Step.READING:
            reported.append(done)

    import_file(file, None, ImportChoice(), command.quarantine, on_step)
    assert reported[0] < 0.3
    assert len(set(reported)) > 5


def in_terminal(command: Command, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> tuple[int, Terminal]:
    with terminal(monkeypatch) as screen:
        code = command(*arguments).code
    return code, screen


def test_import_shows_each_step_and_leaves_nothing(
    long_file: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, screen = in_terminal(command, monkeypatch, "import", long_file)
    assert code == 0
    assert screen.percentages == sorted(screen.percentages)
    assert len(set(screen.percentages)) > 2
    assert screen.drawn[0].startswith("Importing  ░")
    assert any(line.startswith("AAA.csv: storing  ██") for line in screen.drawn)
    assert screen.left == ""


def test_an_import_that_fails_leaves_only_its_message(
    long_file: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise MemoryError("there is too little")

    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importer, "import_file", fail)
    code, screen = in_terminal(command, monkeypatch, "import", long_file)
    assert code == 70
    assert screen.drawn
    assert screen.left.startswith("lumibot-duckdb: MemoryError: there is too little")
    monkeypatch.setattr(importer, "import_file", interrupt)
    code, screen = in_terminal(command, monkeypatch, "import", long_file)
    assert code == 130
    assert screen.left.startswith("lumibot-duckdb: interrupted: nothing was imported")


def test_nothing_is_shown_of_work_that_takes_less_than_a_second(
    write: Write, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write("AAA.csv", csv_of([f"{time},1,2,0.5,1.5,1" for time in minutes("2024-01-02 09:30", 3, "UTC")]))
    with terminal(monkeypatch, at_once=False) as screen:
        command("import", file)
    assert screen.written == ""


def test_a_file_gets_no_progress(long_file: Path, command: Command) -> None:
    ended = command("import", long_file)
    assert (ended.code, ended.err) == (0, "")
    assert "\r" not in ended.out
    assert "\x1b" not in ended.out


# -- migrate --------------------------------------------------------------------------------------------------


def test_migrate_shows_its_files_and_leaves_nothing(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache").of_release("4.1.3")
    for arguments in (["--dry-run"], []):
        code, screen = in_terminal(command, monkeypatch, "migrate", "--from", cache.folder, *arguments)
        assert code in (0, 1)
        assert screen.drawn[0].startswith("Reading the cache  ░")
        assert screen.percentages == sorted(screen.percentages)
        assert screen.left == ""
    assert "\r" not in command("migrate", "--from", cache.folder).err


def test_each_file_of_a_migration_is_reported(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache").of_release("4.1.3")
    reported: dict[Path, list[float]] = {}

    def on_file(file: Path, done: float) -> None:
        reported.setdefault(file, []).append(done)

    plan = cache.plan()
    outcomes = list(migrate_files(plan, cache.storage, on_file=on_file))
    assert list(reported) == [outcome.file for outcome in outcomes]
    assert [0.0, 0.3, 0.8] in reported.values()
    assert all(done == sorted(done) for done in reported.values())
