"""`import` into a store that a notebook has open: it names the notebook, and with `--spool` does not wait for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.files import PROGRAM, Command, csv_of, minutes
from lumibot_duckdb.storage.bars.spool import Spool
from lumibot_duckdb.storage.connection import wait_notice
from lumibot_duckdb.storage.connection.store_connection import StoreConnection

Write = Callable[..., Path]
ZONE = ("--timezone", "America/New_York")
NOTEBOOK = """
import duckdb, sys
held = duckdb.connect(sys.argv[1], read_only=True)
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def filled(command: Command, write: Write) -> Command:
    """A store with the bars of one file, and two files: that one and another."""
    write("AAPL.csv", csv_of(minutes("2024-01-02 09:30", 5)))
    write("MSFT.csv", csv_of(minutes("2024-01-02 09:30", 7)))
    assert command("import", "AAPL.csv", *ZONE).code == 0
    return command


@contextmanager
def notebook(command: Command) -> Iterator[int]:
    (command.folder / "research.py").write_text(NOTEBOOK)
    arguments = [sys.executable, "research.py", str(command.store), "--token=hunter2"]
    with subprocess.Popen(
        arguments, cwd=command.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process.pid
        process.stdin.close()


def waiting(command: Command) -> int:
    return Spool(command.store).contents().bars


def test_the_notebook_is_named_at_once_and_in_the_end(
    filled: Command, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(wait_notice, "FOR_A_PROGRAM", 0.05)
    with notebook(filled) as pid:
        monkeypatch.setattr(StoreConnection.of(filled.store), "wait_seconds", 1.0)
        ended = filled("import", "MSFT.csv", *ZONE)
    assert (ended.code, ended.out) == (3, "")
    (record,) = caplog.records
    assert f"{filled.store} is open in process {pid} (python" in record.getMessage()
    assert f"{filled.store} is open in process {pid} (python" in ended.err
    assert "research.py, started" in ended.err
    assert ended.err.endswith(". Or import with --spool, which does not wait\n")
    assert len(ended.err.splitlines()) == 1
    assert "hunter2" not in ended.err + record.getMessage()
    assert waiting(filled) == 0
    assert filled("import", "MSFT.csv", *ZONE).code == 0


def test_a_command_writes_one_line_on_standard_error_while_it_waits(filled: Command) -> None:
    with notebook(filled) as pid:
        arguments = [str(PROGRAM), "--store", str(filled.store), "import", "MSFT.csv", *ZONE]
        with subprocess.Popen(arguments, cwd=filled.folder, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            line = process.stderr.readline()
            process.send_signal(signal.SIGKILL)
    assert line.startswith(f"{filled.store} is open in process {pid} (python")
    assert "; waiting up to 2" in line
    assert "hunter2" not in line


def test_spooled_bars_are_reported_as_waiting_and_merged_by_the_next_write(filled: Command) -> None:
    with notebook(filled):
        ended = filled("import", "AAPL.csv", "MSFT.csv", *ZONE, "--spool")
        assert (ended.code, ended.err) == (0, "")
        assert "unchanged  waiting  quarantined" in ended.out.splitlines()[0]
        assert "12 rows = 0 new + 0 changed + 0 unchanged + 12 waiting + 0 repeated + 0 quarantined." in ended.out
        assert ended.out.endswith(
            f"12 bars of 2 writes wait in {filled.store}.spool for the next write to the store.\n"
        )
        assert "12 bars of 2 writes wait" in filled("status").out
    assert waiting(filled) == 12
    ended = filled("import", "MSFT.csv", *ZONE)
    assert "7 rows = 0 new + 0 changed + 7 unchanged" in ended.out
    assert "waiting" not in ended.out
    assert waiting(filled) == 0
    assert (len(filled.bars("AAPL")), len(filled.bars("MSFT"))) == (5, 7)
    assert filled.storage().verify().findings == []
    filled.storage().close()


def test_compact_merges_them_too(filled: Command) -> None:
    with notebook(filled):
        assert filled("import", "MSFT.csv", *ZONE, "--spool").code == 0
    assert filled("compact").code == 0
    assert (waiting(filled), len(filled.bars("MSFT"))) == (0, 7)


def test_a_store_that_is_free_is_written(filled: Command) -> None:
    ended = filled("import", "MSFT.csv", *ZONE, "--spool")
    assert "7 rows = 7 new" in ended.out
    assert "wait" not in ended.out
    assert waiting(filled) == 0


def test_the_next_import_merges_large_ones(filled: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lumibot_duckdb.storage.bars.spool.MOST_BARS", 3)
    with notebook(filled):
        ended = filled("import", "MSFT.csv", *ZONE, "--spool")
        assert "(more than 3: for the next import, download or compaction)." in ended.out
    assert filled("import", "AAPL.csv", *ZONE, "--spool").code == 0
    assert waiting(filled) == 7
    assert filled("import", "AAPL.csv", *ZONE).code == 0
    assert waiting(filled) == 0


KILLED = """
import os, signal, sys
from lumibot_duckdb.cli.main import main
from lumibot_duckdb.storage.bars import spool
calls, before = 0, int(sys.argv[1])
def counted(call):
    def run(*arguments, **options):
        global calls
        calls += 1
        if calls > before:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return run
spool.os.fsync = counted(os.fsync)
spool.Path.replace = counted(spool.Path.replace)
main(sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("before", "spooled"),
    [
        pytest.param(0, 0, marks=pytest.mark.long),
        (1, 0),
        (2, 5),
        pytest.param(3, 5, marks=pytest.mark.long),
        pytest.param(4, 12, marks=pytest.mark.long),
    ],
)
def test_a_kill_leaves_whole_files_and_the_same_command_completes_them(
    filled: Command, before: int, spooled: int
) -> None:
    arguments = ["--store", str(filled.store), "import", "AAPL.csv", "MSFT.csv", *ZONE]
    with notebook(filled):
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(before), *arguments, "--spool"],
            cwd=filled.folder,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert killed.returncode == (0 if before == 4 else -signal.SIGKILL), killed.stderr
        assert waiting(filled) == spooled
        assert filled("import", "AAPL.csv", "MSFT.csv", *ZONE, "--spool").code == 0
    assert filled("import", "AAPL.csv", "MSFT.csv", *ZONE).code == 0
    assert not Spool(filled.store).folder.exists()
    assert (len(filled.bars("AAPL")), len(filled.bars("MSFT"))) == (5, 7)
    assert filled.storage().verify().findings == []
    filled.storage().close()
