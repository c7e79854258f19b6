"""On a side, a script finds the same environment as in a plain run, except for options; keys are never printed."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from comparison.ground import SOURCES, Answer, Ground, compare, on_ground
from lumibot_duckdb.activation.script import NoScriptError, file_of_module
from lumibot_duckdb.comparison import runner
from lumibot_duckdb.comparison.comparison import ScriptFailedError
from lumibot_duckdb.comparison.outcome import LUMIBOT
from lumibot_duckdb.comparison.runner import RunError, Script, run_side

pytestmark = pytest.mark.xdist_group("sides")  # what they share is made once

OF_ANOTHER_FILE, SET_BY_HAND, READ_ONLY = "of-another-file-1", "set-by-hand-22", "only-read-333"
LOADS_KEYS = """\
import os
from dotenv import dotenv_values, load_dotenv
load_dotenv("another.env")
os.environ["OWN_SECRET"] = "-".join(["set", "by", "hand", "22"])
print("loaded", os.environ.pop("BROKER_API_KEY"), os.environ["OWN_SECRET"])
print("read", dotenv_values("read.env"))
"""
SHOWS_ALL = (
    """\
import json, os
import lumibot.credentials
names = ("LUMIBOT_USE_DUCKDB", "LUMIBOT_DUCKDB_PATH", "IS_BACKTESTING", "SHOW_PLOT", "MY_SETTING")
found = {name: os.environ.get(name) for name in names}
print("FOUND", json.dumps({**found, "trades": not lumibot.credentials.IS_BACKTESTING, "hash": hash("SPY")}))
print("x" * 3_000_000)
"""
    + LOADS_KEYS
    + 'import sys; sys.exit(f"no answer with {os.environ[\'OWN_SECRET\']}\\nand " + "y" * 2_000_000)\n'
)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """A folder of a script with its settings, which is not the one that the command is started in."""
    folder = tmp_path_factory.mktemp("sides")
    (folder / "here").mkdir()
    (folder / "here" / "another.env").write_text(f"BROKER_API_KEY={OF_ANOTHER_FILE}\n")
    (folder / "here" / "read.env").write_text(f"DATA_TOKEN={READ_ONLY}\n")
    (folder / "script").mkdir()
    (folder / "script" / ".env").write_text("MY_SETTING=of the script\n")
    against = {"USE_DUCKDB": "true", "DUCKDB_PATH": str(folder / "another store")}
    lines = [f"LUMIBOT_{name}={value}" for name, value in against.items()]
    (folder / "script" / ".env.local").write_text("\n".join([*lines, "IS_BACKTESTING=false", "SHOW_PLOT=True", ""]))
    return Ground(folder)


@pytest.fixture(scope="module")
def shown(ground: Ground) -> Answer:
    """The output of a script that prints its environment and fails."""
    script = ground.script("script/shows.py", SHOWS_ALL)
    with on_ground(ground.folder, {"LUMIBOT_DISABLE_DOTENV": ""}), pytest.MonkeyPatch.context() as patched:
        patched.chdir(ground.folder / "here")
        return compare("--keep", ground.folder / "kept", "--store", ground.folder / "mine", script)


@pytest.fixture(scope="module")
def found(shown: Answer) -> list[dict[str, object]]:
    """What the script found on either side."""
    both = [json.loads(line) for line in re.findall(r"^ *FOUND (.*)$", shown.out, re.MULTILINE)]
    assert len(both) == 2, shown
    return both


def test_the_command_line_counts_more_than_a_local_file(found: list[dict[str, object]], ground: Ground) -> None:
    assert [side["LUMIBOT_USE_DUCKDB"] for side in found] == ["false", "true"]
    for side in found:
        assert side["LUMIBOT_DUCKDB_PATH"] == str(ground.folder / "mine" / "lumibot.duckdb")
        assert (side["IS_BACKTESTING"], side["SHOW_PLOT"], side["trades"]) == ("true", "False", False)


def test_the_settings_beside_the_script_are_loaded(found: list[dict[str, object]]) -> None:
    assert [side["MY_SETTING"] for side in found] == ["of the script"] * 2


def test_both_sides_go_through_a_set_in_the_same_order(found: list[dict[str, object]]) -> None:
    assert found[0]["hash"] == found[1]["hash"]


def test_keys_that_the_script_loads_are_in_nothing_that_is_shown_or_kept(shown: Answer, ground: Ground) -> None:
    assert shown.out.count("loaded [hidden] [hidden]") == 2
    kept = [file.read_text(errors="replace") for file in (ground.folder / "kept").rglob("*") if file.is_file()]
    assert any("loaded [hidden] [hidden]" in text for text in kept)
    for text in (shown.out, shown.err, *kept):
        for key in (OF_ANOTHER_FILE, SET_BY_HAND, READ_ONLY):
            assert key not in text


def test_words_that_a_script_ends_with_are_said_and_cut(shown: Answer) -> None:
    assert shown.code == 1
    assert shown.err.count("it ended with: no answer with [hidden] and yyy") == 2
    assert re.search(r"y \.\.\. \([\d,]+ more characters\)", shown.err)
    assert re.search(r"x \.\.\. \([\d,]+ more characters\)", shown.out)
    assert len(shown.out + shown.err) < 10_000


def test_keys_are_hidden_when_the_process_is_killed(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ground.folder / "here")
    script = ground.script("script/dies.py", LOADS_KEYS + "import signal; os.kill(os.getpid(), signal.SIGKILL)\n")
    with (
        on_ground(ground.folder, {"PYTHONUNBUFFERED": "1"}),
        pytest.raises(RunError, match="killed by SIGKILL") as failed,
    ):
        run_side(Script(script, (), ground.store), LUMIBOT, ground.folder / "died")
    assert "loaded [hidden] [hidden]" in failed.value.last_lines
    written = (ground.folder / "died" / "output.txt").read_text()
    assert "loaded [hidden] [hidden]" in written
    assert READ_ONLY not in written


# -- all that a script starts ---------------------------------------------------------------------------------

IGNORES_CTRL_C = """\
import os, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
other = subprocess.Popen(["sleep", "600"])
forked = os.fork()
if forked == 0:
    time.sleep(600)
print(other.pid, forked, os.getpid(), flush=True)
time.sleep(600)
"""
RUNS_IT = f"""\
import os, sys
from lumibot_duckdb.comparison.process import run_as_group
command = [sys.executable, "-c", {IGNORES_CTRL_C!r}]
run_as_group(command, environment=os.environ, output=sys.stdout, pipe=0, grace_seconds=0.2)
"""


def test_an_interrupt_leaves_nothing_that_was_started() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", RUNS_IT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": str(SOURCES)},
        text=True,
    )
    assert process.stdout is not None
    started = [int(number) for number in process.stdout.readline().split()]
    assert len(started) == 3
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)  # which waits for all that have the other end of the pipe
    assert "KeyboardInterrupt" in errors
    until = time.monotonic() + 10
    while any(is_running(number) for number in started):
        assert time.monotonic() < until
        time.sleep(0.05)


def is_running(number: int) -> bool:
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# -- modules --------------------------------------------------------------------------------------------------


def test_the_file_of_a_module_is_found_without_importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    for name in ("outer/__init__.py", "outer/inner/__init__.py", "outer/inner/__main__.py", "outer/inner/of.py"):
        (tmp_path / name).write_text("raise RuntimeError('imported')")
    monkeypatch.chdir(tmp_path)
    assert file_of_module("outer.inner.of") == tmp_path / "outer" / "inner" / "of.py"
    assert file_of_module("outer.inner") == tmp_path / "outer" / "inner" / "__main__.py"
    for name in ("outer", "outer.nope", "outer.inner.of.nope", "nope.of", "", "outer."):
        with pytest.raises(NoScriptError, match="no module named"):
            file_of_module(name)


# -- answers to input(), and names of files ---------------------------------------------------------------------------

ASKS_THE_USER = """\
import os, subprocess, sys
os.environ["OWN_SECRET"] = "of/key 333"
print("FIRST", input("a number? "), "THEN", sys.stdin.readline().strip())
try:
    input()
except EOFError:
    print("NO MORE")
"""


def test_input_returns_the_answers_in_order_and_then_ends(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ground.folder / "here")
    script = ground.script("script/asks.py", ASKS_THE_USER)
    with on_ground(ground.folder, {}):
        answers = ("42", "of/key 333")
        run_side(Script(script, (), ground.store, input_lines=answers), LUMIBOT, ground.folder / "asked")
    printed = (ground.folder / "asked" / "output.txt").read_text()
    assert "a number? FIRST 42 THEN [hidden]" in printed
    assert "NO MORE" in printed
    files = [file for file in (ground.folder / "asked").rglob("*") if file.is_file()]
    assert not [file for file in files if b"of/key 333" in file.read_bytes()]


def test_the_command_passes_answers_on(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts: list[Script] = []

    def compare_script(script: Script, *_: object, **__: object) -> object:
        scripts.append(script)
        raise ScriptFailedError([])

    monkeypatch.setattr("lumibot_duckdb.comparison.comparison.compare_script", compare_script)
    monkeypatch.setattr("lumibot_duckdb.comparison.runner.warm_up", lambda: None)
    script = ground.script("script/asks.py", ASKS_THE_USER)
    assert compare("--answer", "42", "--answer=-1", script, "--answer", "of the script").code == 1
    assert scripts[0].input_lines == ("42", "-1")
    assert scripts[0].arguments == ("--answer", "of the script")


def test_keys_are_hidden_in_files_of_lumibot_and_their_names(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "Mine key-of-me_stats.csv").write_text('{"url": "x?k=key-of-me", "json": "key-of-me"}')
    runner._redact_files(tmp_path, frozenset(["key-of-me"]))
    (file,) = (tmp_path / "logs").iterdir()
    assert file.name == "Mine [hidden]_stats.csv"
    assert file.read_text() == '{"url": "x?k=[hidden]", "json": "[hidden]"}'


def test_a_warm_up_imports_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    codes: list[int] = []
    run = runner.run_as_group
    monkeypatch.setattr(runner, "run_as_group", lambda *a, **k: codes.append(run(*a, **k)))
    with on_ground(tmp_path, {}):
        runner.warm_up()
    assert codes == [0]
    assert not list((tmp_path / "tmp").iterdir())
