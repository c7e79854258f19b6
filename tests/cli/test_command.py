"""The command as a separate process, as people and scripts use it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from cli.files import PROGRAM, Command, Ended, csv_of, minutes
from lumibot_duckdb import __version__
from lumibot_duckdb.cli.layout import printable
from lumibot_duckdb.cli.main import main
from lumibot_duckdb.interrupts import Interrupts
from terminals import terminal

COMMANDS = ("import", "migrate", "status", "sql", "path", "run", "compare", "sweep", "results", "demo", "completion")


def run(*arguments: object, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, env=environment)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from lumibot_duckdb.cli.main import main; code = main(sys.argv[1:]); "
        "heavy = {'pandas', 'pyarrow', 'duckdb', 'numpy', 'lumibot', 'tqdm', 'polars'} & set(sys.modules); "
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )
    for arguments in (["--help"], *([name, "--help"] for name in COMMANDS), ["--version"], ["path"]):
        ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr


def test_no_command_but_the_demo_imports_lumibot(command: Command) -> None:
    (command.folder / "AAPL.csv").write_text(csv_of(["2024-01-02", "2024-01-03"]))
    code = (
        "import sys; sys.modules['lumibot'] = None; from lumibot_duckdb.cli.main import main\n"
        "for call in (['import', 'AAPL.csv'], ['status'], ['sql', 'FROM ohlcv_data'], ['path']):\n"
        "    assert main(['--store', 'here', *call]) == 0, call"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=command.folder)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert f"lumibot-duckdb {name}" in text
    assert max(len(line) for line in text.splitlines()) <= 120


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lumibot-duckdb {__version__}\n"


def test_path_prints_the_path_and_nothing_else(tmp_path: Path) -> None:
    ended = run("path", LUMIBOT_DUCKDB_PATH=str(tmp_path / "somewhere"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"{tmp_path}/somewhere/lumibot.duckdb\n"
    ended = run("--store", tmp_path / "my.duckdb", "path", LUMIBOT_DUCKDB_PATH=str(tmp_path / "somewhere"))
    assert ended.stdout == f"{tmp_path}/my.duckdb\n"
    assert run("path", "--store", tmp_path / "my.duckdb").stdout == f"{tmp_path}/my.duckdb\n"
    assert not (tmp_path / "somewhere").exists()


def test_the_default_store_is_in_lumibots_cache_folder(tmp_path: Path) -> None:
    ended = run("path", LUMIBOT_DUCKDB_PATH="", LUMIBOT_CACHE_FOLDER=str(tmp_path))
    assert ended.stdout == f"{tmp_path}/duckdb/lumibot.duckdb\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--store", "x"], 2, "the following arguments are required: COMMAND (see lumibot-duckdb --help)"),
        (["imprt"], 2, "invalid choice: 'imprt'"),
        (["import"], 2, "the following arguments are required: FILE"),
        (["--store", "gs://bucket/x", "status"], 2, "'gs://bucket/x' is not a path"),
        (["--store", "x" * 300, "status"], 2, "bytes too long, since a store has files with longer names beside it"),
        (["--store", "", "path"], 2, "--store is empty: name a folder, or a file whose name ends in .duckdb"),
    ],
)
def test_a_wrong_call_is_one_line(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("lumibot-duckdb: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_fault_is_one_line_and_a_traceback_when_requested(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fault(store: str | None) -> Path:
        raise RuntimeError("out of\nluck")

    monkeypatch.setattr("lumibot_duckdb.cli.path.chosen_path", fault)
    assert main(["path"]) == 70
    error = capsys.readouterr().err
    assert error == "lumibot-duckdb: RuntimeError: out of luck (LUMIBOT_DUCKDB_DEBUG=1 shows the traceback)\n"
    monkeypatch.setenv("LUMIBOT_DUCKDB_DEBUG", "1")
    assert main(["path"]) == 70
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("LUMIBOT_DUCKDB_THREADS", "LUMIBOT_DUCKDB_THREADS must be a whole number of at least 1, not 'abc'"),
        (
            "LUMIBOT_DUCKDB_MEMORY_LIMIT",
            "LUMIBOT_DUCKDB_MEMORY_LIMIT must be a size such as '256MB' or '1GB', not 'abc'",
        ),
    ],
)
def test_a_setting_of_the_environment_that_cannot_be_is_the_callers(
    variable: str, message: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "abc")
    assert command("sql", "SELECT 1") == Ended(2, "", f"lumibot-duckdb: {message}\n")


@pytest.mark.parametrize("place", ["notes.txt", "notes.txt/x.duckdb"])
@pytest.mark.parametrize("arguments", [["status"], ["sql", "SELECT 1"], ["path"], ["import", "AAPL.csv"]])
def test_a_store_inside_a_file_is_refused(
    place: str, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["--store", str(tmp_path / place), *arguments]) == 2
    assert "notes.txt is not a folder" in capsys.readouterr().err


def test_what_the_terminal_cannot_show_is_written_in_escapes(command: Command) -> None:
    (command.folder / "é.csv").write_text(csv_of(["2024-01-02", "2024-01-03"]))
    call = ("--store", "here", "import", "é.csv", "--symbol", "É")
    ended = run(*call, cwd=command.folder, PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert r"\xe9.csv  \xc9 stock  day" in ended.stdout


def test_a_script_that_is_run_writes_as_python_has_it(command: Command) -> None:
    (command.folder / "script.py").write_text("import sys; print(sys.stdout.errors)")
    ended = run("run", "script.py", cwd=command.folder, PYTHONIOENCODING="utf-8:strict", LUMIBOT_USE_DUCKDB="false")
    assert ended.stdout == "strict\n"


def test_the_path_is_written_as_the_file_system_has_it(tmp_path: Path) -> None:
    ended = run("--store", tmp_path / "é", "path", PYTHONIOENCODING="ascii")
    assert ended.stdout == f"{tmp_path}/é/lumibot.duckdb\n"


def test_control_characters_of_names_never_reach_the_terminal(command: Command) -> None:
    (command.folder / "a\x1b[2J\n.csv").write_text(csv_of(["2024-01-02", "2024-01-03"]))
    (command.folder / "b\x1b[2J\n.csv").write_text("nothing")
    ended = command("import", ".", "--symbol", "A\x1b[2J\nB")
    assert r"a\x1b[2J\n.csv  A\x1b[2J\nB" in ended.out
    assert r"b\x1b[2J\n.csv: " in ended.out
    shown = [ended, command("status"), command("status", "A\x1b[2J\nB"), command("sql", "FROM ohlcv_data")]
    shown += [command("status", "\x1b"), command("path", "--\x1b"), command("import", "--timezone", "\x1b", ".")]
    for one in shown:
        assert "\x1b" not in one.out + one.err
        assert r"\x1b" in one.out + one.err


def test_printable_shows_control_characters_and_surrogates_and_leaves_all_else() -> None:
    assert printable("a\x1b[0m\n\t\x7f\x9b\udcff") == r"a\x1b[0m\n\t\x7f\x9b\udcff"
    assert printable("C:\\new é日📈") == "C:\\new é日📈"


def test_a_file_that_is_no_store_is_trouble_with_the_store(tmp_path: Path) -> None:
    (tmp_path / "x.duckdb").write_text("this is not a database, despite its name" * 100)
    for arguments in (["status"], ["sql", "SELECT 1"]):
        ended = run("--store", tmp_path / "x.duckdb", *arguments)
        assert ended.returncode == 3, ended
        assert ended.stdout == ""
        assert ended.stderr.startswith("lumibot-duckdb: ")
        assert ended.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error(command: Command) -> None:
    (command.folder / "AAPL.csv").write_text(csv_of(minutes("2024-01-02", 20_000, zone="UTC")))
    assert run("--store", "here", "import", "AAPL.csv", cwd=command.folder).returncode == 0
    for form in ("--csv", "--json"):
        line = f"'{PROGRAM}' --store here sql {form} 'FROM ohlcv_data' | head -1; echo ${{PIPESTATUS[0]}}"
        ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=command.folder)
        assert ended.stderr == ""
        assert ended.stdout.splitlines()[1] == "141"


def test_output_to_a_file_has_no_progress_bar(command: Command) -> None:
    (command.folder / "AAPL.csv").write_text(csv_of(["2024-01-02", "2024-01-03"]))
    ended = run("--store", "here", "import", "AAPL.csv", cwd=command.folder)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_terminal_sees_progress_and_keeps_only_the_summary(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AAPL", "MSFT"):
        (command.folder / f"{name}.csv").write_text(csv_of(minutes("2024-01-02", 20_000, zone="UTC")))
    with terminal(monkeypatch) as screen:
        ended = command("import", "AAPL.csv", "MSFT.csv")
    assert ended.code == 0
    assert "2 files imported" in ended.out
    for name in ("AAPL", "MSFT"):
        assert any(re.match(rf"{name}\.csv: [a-z ]+█* *░* +\d+ %", line) for line in screen.drawn)
    assert screen.written.endswith("\r\x1b[K")
    assert screen.left == ""


@pytest.mark.parametrize("handler", [signal.default_int_handler, print], ids=["Python's", "one that only prints"])
def test_a_first_ctrl_c_waits_for_the_right_moment_and_a_second_one_does_not(
    handler: Any, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    """Also after Lumibot's trader, which leaves a handler behind that raises nothing."""
    before = signal.signal(signal.SIGINT, handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with Interrupts("wait") as interrupts:
        signal.raise_signal(signal.SIGINT)
        assert capsys.readouterr().err == "\nwait\n"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        interrupts.check()
    assert signal.getsignal(signal.SIGINT) is handler
    with Interrupts("wait") as interrupts:
        interrupts.check()


def heed_interrupts() -> None:
    """Run in a new process, in which Ctrl-C has its usual effect."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_stops_a_query_quietly(command: Command) -> None:
    (command.folder / "AAPL.csv").write_text(csv_of(["2024-01-02", "2024-01-03"]))
    assert command("import", "AAPL.csv").code == 0
    query = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 3"
    program = subprocess.Popen(
        [PROGRAM, "--store", command.store, "sql", query],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    while psutil.Process(program.pid).cpu_times().user < 1:  # more than it takes to start
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=60)
    assert (program.returncode, out, err) == (130, "", "lumibot-duckdb: interrupted\n")


def test_ctrl_c_keeps_what_is_stored_and_leaves_a_whole_store(command: Command) -> None:
    text = csv_of(minutes("2010-01-01", 20_000, zone="UTC"))
    for number in range(60):
        (command.folder / f"S{number:02}.csv").write_text(text)
    program = subprocess.Popen(
        [PROGRAM, "--store", "store", "import", *[f"S{number:02}.csv" for number in range(60)]],
        cwd=command.folder,
        preexec_fn=heed_interrupts,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not command.store.exists() or command.store.stat().st_size < 1_500_000:
        assert program.poll() is None
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=60)
    assert program.returncode == 130, err
    found = re.search(r"lumibot-duckdb: interrupted: imported (\d+) of 60 files; what was stored stays", err)
    assert found, err
    series = command.storage().list_series()
    assert len(series) == int(found[1])
    assert 0 < len(series) < 60
    assert {info.rows for info in series} == {20_000}
    ended = run("--store", "store", "import", "S00.csv", "S59.csv", cwd=command.folder)
    assert ended.returncode == 0
    assert "20,000 new + 0 changed + 20,000 unchanged" in ended.stdout
