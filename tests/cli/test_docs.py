"""docs/cli.md, docs/operations.md and docs/sweeps.md show what the commands print.

`PYTHONPATH=tests python tests/cli/test_docs.py` updates them after a change.

In its `console` blocks, `cat FILE` creates the file with the shown text if there is none; all other commands run in one
shell, in the order of the page, in a folder with nothing in it but a cache of Lumibot's and results of a sweep.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path

import pytest

from cli.forked_commands import forked_commands
from cli.sample_results import fill
from lumibot_duckdb import clock
from lumibot_duckdb.cli.commands import COMMANDS
from lumibot_duckdb.cli.main import main
from lumibot_duckdb.storage.times import NEW_YORK

DOCS = Path(__file__).parents[2] / "docs"
COMMAND_LINE, OPERATIONS, SWEEPS = DOCS / "cli.md", DOCS / "operations.md", DOCS / "sweeps.md"
BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
MARK = "--- end of output ---"
# The page has the sizes of one run. They depend on the version of DuckDB, so the test accepts a fifth more or less.
SIZE = re.compile(r'(?P<number>\d+(?:\.\d)?) (?P<unit>bytes|KB|MB)\b|"bytes": (?P<bytes>\d+)')
UNITS = {"bytes": 1, "KB": 1e3, "MB": 1e6}
# What differs from run to run, and how the page shows it.
TODAY = "2024-06-03"
HOME = "/home/me/.cache/lumibot/1.0/duckdb"
# Each runs backtests in several processes.
BACKTESTS = ("lumibot-duckdb compare --from-cache my_strategy.py", "lumibot-duckdb doctor")
CACHE = Path(__file__).parents[1] / "migration" / "data" / "polygon" / "3.8.27"


def as_printed(page: str, folder: Path, without: Collection[str] = ()) -> str:
    """Return the page with the current output of every command, but for those that are left out: `without`."""
    commands = [match.groups() for block in BLOCK.findall(page) for match in COMMAND.finditer(block)]
    script = []
    for command, shown in commands:
        made = re.fullmatch(r"cat (\S+)", command)
        if made and "*" not in made[1] and not (folder / made[1]).exists():
            (folder / made[1]).parent.mkdir(parents=True, exist_ok=True)
            (folder / made[1]).write_text(shown)
        if command in without:
            command = f"printf %s {shlex.quote(shown)}"
        script.append(f"{command}\ncode=$?; echo '{MARK}'; (exit $code)\n")
    _make_cache(folder / "cache")
    fill(folder / "store" / "lumibot-results.duckdb")
    environment = {
        **os.environ,
        "LUMIBOT_CACHE_FOLDER": str(folder / "cache"),
        "LUMIBOT_DUCKDB_PATH": str(folder / "store"),
        "COLUMNS": "120",
        "NO_COLOR": "1",
    }
    with tempfile.TemporaryDirectory() as beside, forked_commands(Path(beside) / "bin", environment) as environment:
        ended = subprocess.run(
            ["bash", "-c", "".join(script)],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    outputs = [_normalised(output, folder) for output in ended.stdout.split(f"{MARK}\n")]
    assert len(outputs) == len(commands) + 1, ended.stdout
    printed = iter(outputs)
    return BLOCK.sub(
        lambda block: COMMAND.sub(lambda part: f"$ {part[1]}\n{_sizes_of(part[2], next(printed))}", block[0]), page
    )


def _sizes_of(shown: str, printed: str) -> str:
    """Return the output, with the page's sizes if they are about right and everything else is equal."""
    pairs = list(zip(SIZE.finditer(shown), SIZE.finditer(printed), strict=False))
    if SIZE.sub("", shown) != SIZE.sub("", printed) or not all(_about_equal(*map(_bytes, pair)) for pair in pairs):
        return printed
    return shown


def _about_equal(one: float, other: float) -> bool:
    return abs(one - other) <= 0.2 * max(one, other)


def _bytes(size: re.Match[str]) -> float:
    return float(size["bytes"]) if size["bytes"] else float(size["number"]) * UNITS[size["unit"]]


def _make_cache(folder: Path) -> None:
    """Make a cache: an old release's files, a damaged one and one of another source."""
    shutil.copytree(CACHE, folder)
    (folder / "polygon" / "stock_HURT_USD_day.parquet").write_bytes(b"")
    (folder / "thetadata").mkdir()
    (folder / "thetadata" / "stock_OLD_minute.parquet").write_bytes(bytes(2_345))
    for file in folder.rglob("*.*"):
        os.utime(file, (1_678_800_000, 1_678_800_000))


def _normalised(output: str, folder: Path) -> str:
    output = output.replace(str(folder / "store"), HOME).replace(str(folder), "/home/me")
    for zone in (None, NEW_YORK):
        output = output.replace(clock.today(zone).isoformat(), TODAY)
    output = re.sub(rf"(?<={TODAY}) \d\d:\d\d", " 10:00", output)
    output = re.sub(r"\.replaced-\d{8}-\d{6}", ".replaced-20240603-153000", output)
    output = re.sub(r"the store takes \d+\.\d MB", "the store takes 0.9 MB", output)
    output = re.sub(r"\d[\d,]*\.\d GB are free", "182.4 GB are free", output)
    output = re.sub(r"\S+; locks work", "ext4; locks work", output)
    return "".join(f"{line.rstrip()}\n" for line in output.splitlines())


@pytest.mark.parametrize(
    ("path", "without"),
    [
        pytest.param(COMMAND_LINE, BACKTESTS, id="but the backtests"),
        pytest.param(COMMAND_LINE, (), id="all", marks=pytest.mark.long),
        pytest.param(OPERATIONS, (), id="operations"),
        pytest.param(SWEEPS, (), id="sweeps", marks=pytest.mark.long),
    ],
)
def test_the_page_shows_what_the_commands_print(path: Path, without: Collection[str], tmp_path: Path) -> None:
    page = path.read_text()
    assert as_printed(page, tmp_path, without) == page


def test_sizes_on_the_page_must_be_about_right() -> None:
    assert _sizes_of("store: 900.0 KB\n", "store: 864.3 KB\n") == "store: 900.0 KB\n"
    assert _sizes_of("store: 9.0 MB\n", "store: 864.3 KB\n") == "store: 864.3 KB\n"
    assert _sizes_of('"bytes": 900000\n', '"bytes": 2345\n') == '"bytes": 2345\n'
    assert _sizes_of("3 files, 2.3 KB\n", "4 files, 2.3 KB\n") == "4 files, 2.3 KB\n"


def test_every_option_is_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    pages = "\n".join(path.read_text() for path in (COMMAND_LINE, OPERATIONS))
    shown = "\n".join(BLOCK.findall(pages))
    for command in COMMANDS:
        assert main([command.name, "--help"]) == 0
        text = capsys.readouterr().out
        options = set(re.findall(r"--[a-z-]+", text.split("examples:")[0])) - {"--help", "--to", "--store"}
        page = shown if command.name == "import" else pages
        assert {option for option in options if option not in page} == set()


if __name__ == "__main__":
    for path in (COMMAND_LINE, OPERATIONS, SWEEPS):
        with tempfile.TemporaryDirectory() as empty:
            path.write_text(as_printed(path.read_text(), Path(empty).resolve()))
