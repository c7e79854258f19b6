"""`lumibot-duckdb run` behaves like `python`: the same output and the same exit code for a script."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from cli.files import PROGRAM
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.cli.main import main

ABOUT_ITSELF = """
import os, sys
import neighbour
print(__name__, __file__, __package__, __doc__, __spec__ and __spec__.name)
print(sys.argv, sys.path[0], sys.modules["__main__"].__file__)
print(neighbour.__file__, sorted(globals()))
print(sys.stdin.read())
import atexit, pickle
class Own: pass
print(type(pickle.loads(pickle.dumps(Own()))))
atexit.register(lambda: print(type(pickle.loads(pickle.dumps(Own())))))
"""
AS_A_SCRIPT = "print(__builtins__)\n" + ABOUT_ITSELF
SCRIPTS = {
    "says what it is": AS_A_SCRIPT,
    "fails": "def f():\n    raise RuntimeError('why')\n\nf()\n",
    "fails because of another error": "try: 1 / 0\nexcept Exception as why: raise ValueError('so') from why\n",
    "is no Python": "x = = 1\n",
    "ends with a number": "import sys\nsys.exit(7)\n",
    "ends with words": "import sys\nsys.exit('no more')\n",
    "has its own excepthook, an exit handler and a running thread": (
        "import atexit, sys, threading\natexit.register(print, 'the end')\n"
        "threading.Timer(0.2, lambda: print('later', __name__)).start()\n"
        "sys.excepthook = lambda *error: print('caught', error[0])\nopen('/nowhere')\n"
    ),
    "closes its output": "import sys\nprint('done')\nsys.stdout.close()\n",
    "has no output": "import sys\nsys.stdout = None\n",
    "replaces stdout": "import sys\nsys.stdout = object()\n",
    "shows errors itself and fails at it": "import sys\nsys.excepthook = lambda *error: 1 / 0\nopen('/nowhere')\n",
    "is cancelled": "import asyncio\nraise asyncio.CancelledError('no more')\n",
    "looks at its error at the end": "import atexit, sys\natexit.register(lambda: print(sys.last_type))\n1 / 0\n",
    "starts processes": (
        "import multiprocessing\ndef double(x): return 2 * x\nif __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool: print(pool.map(double, [1, 2]))\n"
    ),
}


def ended(*command: object, cwd: Path, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(
        [*map(str, command)], capture_output=True, text=True, cwd=cwd, input=given, env=environment, timeout=60
    )


def without_address(text: str) -> str:
    return re.sub(r"0x[0-9a-f]+", "0x", text)


def without_our_hook(text: str) -> str:
    """Remove our frames from the traceback of a failing hook."""
    return re.sub(r'  File ".*/cli/run\.py".*\n.*\n(?: *\^+\n)?', "", text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "of mine").mkdir()
    (tmp_path / "of mine" / "neighbour.py").write_text("")
    return tmp_path


@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_script_does_what_it_does_under_python(kind: str, folder: Path) -> None:
    script = Path("of mine", "script.py")
    (folder / script).write_text(SCRIPTS[kind])
    arguments = (f"./{script}", "--help", "--store", "x", "-m", "--", "y z")
    expected = ended(sys.executable, *arguments, cwd=folder, given="some\nlines")
    actual = ended(PROGRAM, "run", *arguments, cwd=folder, given="some\nlines")
    assert actual.stdout == expected.stdout
    assert without_address(without_our_hook(actual.stderr)) == without_address(expected.stderr)
    assert actual.returncode == expected.returncode


def test_a_module_does_what_it_does_under_python(folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / "__init__.py").write_text("")
    for place in (folder, folder / "inner"):
        (place / "neighbour.py").write_text("")
    (folder / "inner" / "module.py").write_text(ABOUT_ITSELF)
    (folder / "inner" / "__main__.py").write_text(ABOUT_ITSELF)
    for what in (("-m", "inner.module"), ("-m", "inner"), ("inner",), ("./inner/",)):
        arguments = (*what, "--help", "-m", "x")
        expected = ended(sys.executable, *arguments, cwd=folder)
        actual = ended(PROGRAM, "run", *arguments, cwd=folder)
        assert without_address(actual.stdout) == without_address(expected.stdout)
        assert (actual.stderr, actual.returncode) == (expected.stderr, expected.returncode) == ("", 0)


def test_our_classes_are_what_a_script_gets(folder: Path) -> None:
    (folder / "script.py").write_text(
        "import sys\nassert 'lumibot' not in sys.modules\n"
        "import os\nos.environ['LUMIBOT_CACHE_FOLDER'] = os.getcwd()  # which Lumibot reads when it is imported\n"
        "from lumibot.backtesting import YahooDataBacktesting\n"
        "from lumibot.constants import LUMIBOT_CACHE_FOLDER\n"
        "print(YahooDataBacktesting.__module__, LUMIBOT_CACHE_FOLDER == os.getcwd())\n"
    )
    answer = ended(PROGRAM, "run", "script.py", cwd=folder, LUMIBOT_LOG_LEVEL="ERROR")
    assert (answer.stdout, answer.stderr) == ("lumibot_duckdb.sources.yahoo.source True\n", "")


def test_the_store_is_the_one_that_is_named_before_the_script(folder: Path) -> None:
    (folder / "script.py").write_text("import os\nprint(os.environ['LUMIBOT_DUCKDB_PATH'])\n")
    for arguments in (("run", "--store", "mine"), ("--store", "mine", "run")):
        answer = ended(PROGRAM, *arguments, "script.py", "--store", "other", cwd=folder)
        assert (answer.stdout, answer.stderr) == (f"{folder / 'mine' / 'lumibot.duckdb'}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a script to run (see lumibot-duckdb run --help)"),
        (("nowhere.py",), "cannot read the script nowhere.py: No such file or directory"),
        (("of mine",), "of mine is not a script and contains no __main__.py to run"),
        (("-m", "nowhere.at.all"), "no module named nowhere"),
        (("-m", "nowhere"), "no module named nowhere"),
        (("--stor", "x", "script.py"), "unrecognized arguments: --stor"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_line(arguments: tuple[str, ...], message: str, folder: Path) -> None:
    answer = ended(PROGRAM, "run", *arguments, cwd=folder)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.count("\n") == 1
    assert answer.stderr.startswith("lumibot-duckdb: ")
    assert message in answer.stderr


def test_the_store_that_is_named_counts_more_than_a_local_file(folder: Path) -> None:
    (folder / ".env").write_text("LUMIBOT_DUCKDB_PATH=of-the-file\n")
    (folder / ".env.local").write_text("LUMIBOT_DUCKDB_PATH=of-the-local-file\n")
    (folder / "script.py").write_text(
        "import os\nimport lumibot.credentials\nprint(os.environ['LUMIBOT_DUCKDB_PATH'])\n"
    )
    quiet = {"LUMIBOT_LOG_LEVEL": "ERROR", "LUMIBOT_DISABLE_DOTENV": "", "IS_BACKTESTING": "true"}
    answer = ended(PROGRAM, "run", "--store", "mine", "script.py", cwd=folder, **quiet)
    assert answer.stdout.splitlines()[-1] == f"{folder / 'mine' / 'lumibot.duckdb'}"


@pytest.mark.parametrize(
    "setting",
    [
        "LUMIBOT_USE_DUCKDB=maybe",
        "LUMIBOT_DUCKDB_ROLLOUT=abc",
        "LUMIBOT_DUCKDB_LOG_STATS=bogus",
        "LUMIBOT_DUCKDB_THREADS=abc",
        "LUMIBOT_DUCKDB_MEMORY_LIMIT=lots",
    ],
)
def test_a_setting_that_is_not_understood_is_reported_before_the_script_starts(setting: str, folder: Path) -> None:
    (folder / "of mine" / ".env").write_text(setting)
    (folder / "of mine" / "script.py").write_text("print('started')")
    answer = ended(PROGRAM, "run", Path("of mine", "script.py"), cwd=folder, LUMIBOT_DISABLE_DOTENV="")
    name, value = setting.split("=")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith(f"lumibot-duckdb: {name} must be ")
    assert f"not {value!r}" in answer.stderr


def test_ctrl_c_ends_a_script_as_python_would(folder: Path) -> None:
    (folder / "script.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [PROGRAM, "run", "script.py"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert errors.splitlines() == [
        "Traceback (most recent call last):",
        f'  File "{folder / "script.py"}", line 3, in <module>',
        "    time.sleep(60)",
        "KeyboardInterrupt",
    ]


LIVE = """
import sys
assert "lumibot" not in sys.modules
import pandas as pd
from lumibot.tools import shared_bar_cache

series = shared_bar_cache.BarSeries.make(
    "ccxt", "BTC/USDT", "1minute", scope="mine", adjusted=False, exchange="binance", sandbox=False
)
end = pd.Timestamp.now("UTC").floor("min") - pd.Timedelta("1h")

def fetch(start, stop):
    index = pd.date_range(start.ceil("min"), stop, freq="min", inclusive="left")
    return pd.DataFrame(dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0), index=index)

print(len(shared_bar_cache.read_bars(series, end - pd.Timedelta("59min"), end, fetch)), sys.argv[1:])
sys.exit(5)
"""


def test_a_live_script_is_recorded(folder: Path) -> None:
    (folder / "script.py").write_text(LIVE)
    quiet = {"LUMIBOT_LOG_LEVEL": "ERROR", "LUMIBOT_CACHE_FOLDER": str(folder / "cache")}
    arguments = ("run", "--live", "--store", "mine", "script.py", "--live")
    answer = ended(PROGRAM, *arguments, cwd=folder, **quiet)
    assert answer.stdout.splitlines()[-1] == "60 ['--live']"
    store = folder / "mine" / "lumibot.duckdb"
    assert answer.stderr == f"lumibot-duckdb: 60 bars recorded in {store}, none lost\n"
    assert answer.returncode == 5
    assert len(DuckDBDataStorage(store).get_historical_prices("BTC/USDT", timeframe="minute")) == 60


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        (("--live",), {"IS_BACKTESTING": "True"}, "IS_BACKTESTING is true, so the script would run a backtest: unset"),
        (("--live", "--record"), {}, "argument --record: not allowed with argument --live"),
        (("--live", "--name", " "), {}, "' ' cannot be the name"),
        (("--live", "--results", "results.csv"), {}, "'results.csv' cannot be a results database"),
        (("--live", "--store", "my.duckdb", "--results", "my.duckdb"), {}, "'my.duckdb' cannot be a results database"),
    ],
)
def test_what_cannot_be_recorded_is_said_before_the_script_starts(
    arguments: tuple[str, ...],
    variables: dict[str, str],
    message: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "script.py").write_text("print('started')")
    monkeypatch.chdir(folder)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["run", *arguments, "script.py"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"lumibot-duckdb: {message}")


FOREIGN, NEWER, DAMAGED = "a foreign database", "a newer release", "no database"


@pytest.mark.parametrize(
    ("store", "message"),
    [
        (FOREIGN, "not a lumibot-duckdb store (it has prices); choose another path"),
        (NEWER, "written by a newer release of lumibot-duckdb (schema 999;"),
        (DAMAGED, ""),
    ],
)
@pytest.mark.parametrize("words", [("run", "--live"), ("record", "--symbols")])
def test_live_bars_are_not_recorded_in_a_store_that_cannot_take_them(
    store: str,
    message: str,
    words: tuple[str, ...],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """This is known before the script runs, or the stream is opened."""
    (folder / "script.py").write_text("print('started')")
    monkeypatch.chdir(folder)
    path = folder / "my.duckdb"
    if store == DAMAGED:
        path.write_bytes(b"no database" * 1_000)
    else:
        with duckdb.connect(path) as other:
            table = "prices" if store == FOREIGN else "store_meta"
            other.execute(f"CREATE TABLE {table} AS SELECT 'schema_version' AS key, '999' AS value")
            other.execute(f"INSERT INTO {table} VALUES ('store_id', 'x')")
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", str(path))
    assert main([*words, "script.py"]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert str(path) in printed.err
    assert message in printed.err


def test_a_session_is_not_recorded_in_a_file_of_something_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "script.py").write_text("print('started')")
    monkeypatch.chdir(folder)
    with duckdb.connect(folder / "other.duckdb") as other:
        other.execute("CREATE TABLE prices (price DOUBLE)")
    assert main(["run", "--live", "--results", "other.duckdb", "script.py"]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "no results database of lumibot-duckdb (it has prices): choose another file with --results" in printed.err
