"""Runs a function of this package in a new process, so that no other benchmark affects its memory or warm-up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

from lumibot_duckdb.storage.location import DEFAULT_FOLDER

ROOT = Path(__file__).resolve().parent.parent
_SETTINGS = ("ALPACA_", "BACKTESTING_", "LUMIBOT_", "POLYGON_", "THETADATA_", "PYTHONDONTWRITEBYTECODE")


def run_apart(function: str, *, settings: Mapping[str, str] | None = None, **arguments: Any) -> Any:
    """Call `module.function` of this package with JSON arguments in a new process; return its JSON result.

    `settings` are extra environment variables. The working directory and Lumibot's cache start empty. As on a user's
    machine, the check of the installed Lumibot is remembered from one process to the next.
    """
    with tempfile.TemporaryDirectory() as folder:
        remembered = Path(folder) / DEFAULT_FOLDER / "contract"
        remembered.parent.mkdir()
        remembered.symlink_to(_remembered_checks().name)
        result = Path(folder) / "result.json"
        environment = clean_environment(Path(folder)) | dict(settings or {})
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.process", function, json.dumps(arguments)]
        finished = subprocess.run([*command, str(result)], cwd=folder, env=environment, capture_output=True, text=True)
        if finished.returncode != 0:
            raise RuntimeError(f"{function} failed:\n{finished.stderr[-2000:]}")
        return json.loads(result.read_text())


@cache
def _remembered_checks() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def run_timed(command: Sequence[str], folder: str, environment: Mapping[str, str]) -> tuple[float, float]:
    """Run a command in a folder; return its seconds, and the CPU seconds of all its processes."""
    started = perf_counter()
    with (Path(folder) / "output.txt").open("w+") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        seconds = perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            raise RuntimeError(f"{command} failed:\n{output.read()[-2000:]}")
    return seconds, used.ru_utime + used.ru_stime


def clean_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a process without settings of Lumibot or ours, and with an empty cache folder.

    As on a user's machine, Python keeps what it compiled, so that first requests compile no modules.
    """
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)},
        "IS_BACKTESTING": "true",
        "LUMIBOT_DISABLE_DOTENV": "1",
        "LUMIBOT_CACHE_FOLDER": str(folder),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",  # the source beside the benchmarks
    }


if __name__ == "__main__":
    module, _, name = sys.argv[1].rpartition(".")
    answer = getattr(import_module(f"benchmarks.{module}"), name)(**json.loads(sys.argv[2]))
    Path(sys.argv[3]).write_text(json.dumps(answer))
