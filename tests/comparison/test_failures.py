"""What `lumibot-duckdb compare` reports if a script does not finish, or if there is nothing to compare."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from comparison.ground import SCRIPT, Ground, compare, on_ground
from comparison.test_differences import COSTS
from lumibot_duckdb.cli import compare as command
from lumibot_duckdb.comparison import runner as runs
from lumibot_duckdb.comparison.comparison import ScriptFailedError, compare_script
from lumibot_duckdb.comparison.outcome import write_outcome

KEY = "pk_0123456789abcdef"

TRADES_LIVE = """\
import os
from types import SimpleNamespace

from lumibot.traders import Trader

print("my key is", os.environ["MY_BROKER_KEY"])
print("GET https://api.example.com/v2/bars?symbol=SPY&apiKey=written-in-the-script")
trader = Trader(backtest=False)
trader.add_strategy(SimpleNamespace(broker=SimpleNamespace(is_backtesting_broker=lambda: False)))
trader.run_all()
"""
OWN_FRAMES = """\
import sys
from datetime import datetime

import pandas as pd
from lumibot.backtesting import PandasDataBacktesting
from lumibot.entities import Asset, Data
from lumibot.strategies import Strategy


class Holding(Strategy):
    def initialize(self):
        self.sleeptime = "1D"

    def on_trading_iteration(self):
        if self.first_iteration:
            self.submit_order(self.create_order("AAA", 10, "buy"))
        self.get_historical_prices("AAA", 3, "day")


days = pd.date_range("2024-01-01", "2024-02-01", tz="America/New_York")
frame = pd.DataFrame({name: range(100, 100 + len(days)) for name in ("open", "high", "low", "close", "volume")}, days)
asset = Asset("AAA")
data = {asset: Data(asset, frame.astype(float), timestep="day")}
Holding.run_backtest(
    PandasDataBacktesting, datetime(2024, 1, 8), datetime(2024, 1, 20), pandas_data=data, benchmark_asset=None,
    risk_free_rate=0.0, analyze_backtest=False,
)
"""
BY_CHANCE = SCRIPT.replace(
    'quantity = int(self.cash / self.get_last_price(best) / 2)',
    'quantity = __import__("random").randint(1, 10**6) / 10**5',
)  # fmt: skip


@contextmanager
def not_ignoring_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C reach new processes even if these tests run in the background, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def own_ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def test_live_trading_is_stopped_and_keys_are_hidden(own_ground: Ground) -> None:
    script = own_ground.script("live.py", TRADES_LIVE)
    with on_ground(own_ground.folder, {"MY_BROKER_KEY": KEY}):
        answer = compare(script)
    assert answer.code == 1
    assert answer.out.count("The script's last lines of output on") == 2
    assert answer.out.count("my key is [hidden]") == 2
    assert "apiKey=[hidden]" in answer.out
    assert KEY not in answer.out + answer.err
    assert "written-in-the-script" not in answer.out + answer.err
    for side in ("Lumibot's storage", "lumibot-duckdb"):
        assert f"the script failed on {side}: LiveTradingError: the script starts live trading" in answer.err


# -- messages about a failure, without a process ---------------------------------------------------------------------

NO_CHAIN = "option chain of SPY on 2023-03-06 from Polygon"


def failure(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int = 1,
    *,
    error: str | None = None,
    not_stored: Sequence[str] = (),
    in_logs: Sequence[str] = (),
) -> ScriptFailedError:
    """Return the result of a side whose process leaves this; without an error it leaves no outcome."""

    def run_as_group(command: list[str], **settings: object) -> int:
        result = Path(command[4])
        if error is not None:
            write_outcome(result, COSTS, 0, {}, error, list(not_stored))
        for name in in_logs:
            (result.parent / "logs").mkdir(exist_ok=True)
            (result.parent / "logs" / name).touch()
        return code

    monkeypatch.setattr(runs, "run_as_group", run_as_group)
    script = runs.Script(folder / "script.py", (), folder / "lumibot.duckdb")
    with pytest.raises(ScriptFailedError) as failed:
        compare_script(script, folder / "run", lambda what: nullcontext())
    return failed.value


def test_a_script_that_ends_its_process_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "its process ended with code 0 before the results were saved, as os._exit does"
    assert str(failure(tmp_path, monkeypatch, 0)).count(said) == 2


def test_a_process_that_fails_outside_of_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = str(failure(tmp_path, monkeypatch, 1))
    assert "its process ended with code 1" in said
    assert "os._exit" not in said


def test_what_the_store_lacks_is_named_when_the_script_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = failure(tmp_path, monkeypatch, error="ArrowNotImplementedError: no child", not_stored=[NO_CHAIN])
    (note,) = failed.notes
    assert note.endswith(f"the requests returned no data: {NO_CHAIN}")


def test_notes_on_a_failure_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    error = runs.RunError("lumibot", "KeyError: 'CALL'", ["a line"], [NO_CHAIN])
    command._show_failure(ScriptFailedError([error]))
    assert capsys.readouterr().out.endswith(f"  a line\n\nNotes:\n  {NO_CHAIN}\n")


@pytest.mark.parametrize(
    ("error", "in_logs", "hinted"),
    [
        ("IndexError: list index out of range", ["A_trades.csv"], True),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'logs/A_trades.csv'", ["A_trades.csv"], True),
        ("IndexError: list index out of range", [], False),
        ("LiveTradingError: the script starts live trading", ["A_trades.csv"], False),
    ],
)
def test_a_script_that_reads_lumibots_files(
    error: str, in_logs: list[str], hinted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = failure(tmp_path, monkeypatch, error=error, in_logs=in_logs)
    assert [note for note in failed.notes if "writes no files to the folder logs" in note] == failed.notes
    assert len(failed.notes) == hinted


# -- wrong calls ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a script to compare"),
        (["nowhere.py"], "there is no script nowhere.py"),
        (["--", "-x.py"], "there is no script -x.py; options come before the script"),
        (["--repeat", "0", "here.py"], "'0' is not a whole number of at least 1"),
        (["."], ". is a folder, not a script"),
        (["-m", "nowhere.at.all"], "no module named nowhere"),
        (["--html", "/proc/report.html", "here.py"], "cannot write to /proc/report.html: No such file"),
        (["--keep", "/proc/keep", "here.py"], "cannot create the folder /proc/keep: No such file"),
        (["--html", "no/such/folder.html", "here.py"], "name a file in an existing folder"),
        (["--keep", ".", "here.py"], "exists already; name a new folder"),
        (["--from-cache", "here.py"], "without --from-cache, the script downloads its bars"),
    ],
)
def test_a_wrong_call_runs_nothing(arguments: list[str], said: str, own_ground: Ground) -> None:
    own_ground.script("here.py", "raise SystemExit('ran')")
    with on_ground(own_ground.folder, {}):
        answer = compare(*arguments)
    assert answer.code == 2
    assert said in answer.err
    assert "Comparing" not in answer.out


@pytest.mark.parametrize("setting", ["LUMIBOT_USE_DUCKDB=maybe", "LUMIBOT_DUCKDB_ROLLOUT=abc"])
def test_a_switch_that_is_not_understood_runs_nothing(setting: str, own_ground: Ground) -> None:
    script = own_ground.script("here.py", "raise SystemExit('ran')")
    own_ground.script(".env", setting)
    with on_ground(own_ground.folder, {"LUMIBOT_DISABLE_DOTENV": ""}):
        answer = compare(script)
    assert answer.code == 2
    assert f"{setting.split('=')[0]} must be " in answer.err
    assert "Comparing" not in answer.out


def test_what_is_tried_before_the_runs_leaves_nothing(own_ground: Ground) -> None:
    report = own_ground.folder / "report.html"
    with on_ground(own_ground.folder, {}):
        answer = compare("--html", report, "--keep", own_ground.folder, own_ground.script("here.py", ""))
    assert (answer.code, report.exists()) == (2, False)


@pytest.mark.parametrize(
    ("number", "said", "code"),
    [
        (signal.SIGINT, b"interrupted", 130),
        pytest.param(signal.SIGTERM, b"stopped by SIGTERM", 143, marks=pytest.mark.long),
    ],
)
def test_ctrl_c_and_signals_that_are_like_it_leave_nothing(
    number: signal.Signals, said: bytes, code: int, own_ground: Ground
) -> None:
    script = own_ground.script(
        "long.py", "import os, pathlib, time\npathlib.Path('started').write_text(str(os.getpid()))\ntime.sleep(600)"
    )
    temporary = own_ground.folder / "tmp"
    temporary.mkdir()
    with on_ground(own_ground.folder, {"TMPDIR": str(temporary)}), not_ignoring_ctrl_c():
        arguments = [sys.executable, "-m", "lumibot_duckdb.cli.main", "compare", str(script)]
        process = subprocess.Popen(
            arguments, cwd=own_ground.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    started = own_ground.folder / "started"
    until = time.monotonic() + 120
    while not started.exists() or not started.read_text():
        assert time.monotonic() < until
        time.sleep(0.1)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, (out, err)
    assert said in err
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
    assert not list(temporary.glob("lumibot-duckdb-compare-*"))


@pytest.mark.long
def test_a_script_without_a_backtest(own_ground: Ground) -> None:
    script = own_ground.script("nothing.py", "import sys\nprint(sys.argv)\nsys.exit(0)")
    with on_ground(own_ground.folder, {}):
        answer = compare("--keep", own_ground.folder / "kept", script, "--repeat", "x")
    assert answer.code == 1
    assert "Nothing compared: the script ran no backtest." in answer.out
    assert "['" + str(script) + "', '--repeat', 'x']" in (own_ground.folder / "kept/duckdb-1/output.txt").read_text()


@pytest.mark.long
def test_a_script_with_frames_of_its_own(own_ground: Ground) -> None:
    script = own_ground.script("own_frames.py", OWN_FRAMES)
    with on_ground(own_ground.folder, {}):
        answer = compare(script)
    assert answer.code == 0
    assert "identical: 1 fill" in answer.out


@pytest.mark.long
def test_a_source_that_is_not_replaced(own_ground: Ground) -> None:
    script = own_ground.script("own_frames.py", OWN_FRAMES.replace("PandasData", "Polymarket"))
    report = own_ground.folder / "report.html"
    with on_ground(own_ground.folder, {}):
        answer = compare("--html", report, script)
    assert answer.code == 1
    assert (
        "Nothing compared: no backtest of the script ran on lumibot-duckdb. Both runs used Lumibot's storage."
        in answer.out
    )
    assert answer.err.count("lumibot-duckdb does not serve PolymarketBacktesting: ") == 1
    assert "PolymarketBacktesting has no counterpart in lumibot-duckdb" in answer.out
    assert "Nothing compared" in report.read_text(encoding="utf-8")


@pytest.mark.long
def test_a_script_that_is_different_each_time(ground: Ground) -> None:
    answer = compare("--repeat", "2", ground.script("by_chance.py", BY_CHANCE))
    assert answer.code == 1
    assert "Run 2 on Lumibot's storage differs from its own first run:" in answer.out
    assert "Run 2 on lumibot-duckdb differs from its own first run:" in answer.out
    assert "(medians of 2 runs on each side)" in answer.out


@pytest.mark.long
def test_a_script_that_puts_both_sides_on_the_store(ground: Ground) -> None:
    switch = 'import os\nos.environ["LUMIBOT_USE_DUCKDB"] = "true"\nimport lumibot_duckdb\nlumibot_duckdb.activate()\n'
    answer = compare(ground.script("switched_on.py", switch + SCRIPT))
    assert answer.code == 1
    assert "Nothing compared: both sides ran on the store, because the script or its .env file sets" in answer.out
