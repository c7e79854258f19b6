"""Ordinary scripts from `python script.py` to the last line: Lumibot alone, and through `lumibot-duckdb run`."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.alpaca import bars as alpaca_bars
from benchmarks.bars import Workplace
from benchmarks.measure import Row
from benchmarks.outcomes import cost_rows, identical, run_in_turn
from benchmarks.process import ROOT, clean_environment, run_timed
from benchmarks.scripts.outcome import RESULT_VARIABLE
from benchmarks.yahoo import bars as yahoo_bars
from lumibot_duckdb.demo.market import symbol_names

_REPEATS = 3
_YAHOO_SYMBOLS = 30
_CSV_SYMBOLS = 3
_CSV_FROM = "2023-09-01"
_ALPACA_SYMBOLS = 5
_ALPACA_START, _ALPACA_END = "2023-11-01", "2023-12-29"


def ordinary_scripts(workplace: Workplace) -> list[Row]:
    """Ordinary scripts on daily and on minute bars, as whole processes; the results are compared."""
    yahoo = yahoo_bars.warm_sides(workplace, _YAHOO_SYMBOLS)
    files = {"CSV_FOLDER": str(_csv_folder(workplace))}
    return [
        *_rows(workplace, "yahoo_one", "Yahoo, one symbol, ten years of days", yahoo),
        *_rows(workplace, "yahoo_thirty", "Yahoo, 30 symbols, three years of days", yahoo),
        *_rows(
            workplace,
            "csv_brackets",
            "CSV files, bracket orders on minutes of 3 symbols, two months",
            dict.fromkeys(yahoo, files),
        ),
        *_rows(
            workplace,
            "alpaca_five",
            "Alpaca, minutes of 5 symbols, two months",
            alpaca_bars.warm_sides(workplace, _ALPACA_SYMBOLS, _ALPACA_START, _ALPACA_END),
        ),
    ]


def _rows(workplace: Workplace, script: str, what: str, sides: Mapping[str, Mapping[str, str]]) -> list[Row]:
    """Run a script on both sides in turn, after a warm-up, whose cache folder later runs find."""
    sides = {side: {"LUMIBOT_CACHE_FOLDER": _cache_folder(workplace, side), **sides[side]} for side in sides}
    for side, settings in sides.items():
        _run(side, script, settings)
    outcomes = run_in_turn(sides, _REPEATS, lambda side, settings: _run(side, script, settings))
    note = f"{what}: all {identical(outcomes['duckdb'][0])}"
    return cost_rows(what, "Lumibot alone", outcomes, note)


def _run(side: str, script: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """Run a script to its end; return its outcome, which has the peak memory, seconds and CPU seconds."""
    program = [sys.executable] if side == "lumibot" else [str(Path(sys.executable).with_name("lumibot-duckdb")), "run"]
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        environment = clean_environment(Path(folder)) | {RESULT_VARIABLE: str(result), **settings}
        command = [*program, str(ROOT / "benchmarks" / "scripts" / f"{script}.py")]
        seconds, cpu = run_timed(command, folder, environment)
        outcome: dict[str, Any] = json.loads(result.read_text())
    return {**outcome, "seconds": seconds, "cpu": cpu}


def _cache_folder(workplace: Workplace, side: str) -> str:
    return str(workplace.made_once(f"cache-{side}", lambda _: None))


def _csv_folder(workplace: Workplace) -> Path:
    def fill(folder: Path) -> None:
        for symbol in symbol_names(_CSV_SYMBOLS):
            workplace.frame(symbol).loc[_CSV_FROM:].to_csv(folder / f"{symbol}.csv")

    return workplace.made_once("csv", fill)
