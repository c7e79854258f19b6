"""What the process of one side hands over: its backtests and their costs. Large parts are files beside it."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lumibot_duckdb.comparison.meters import Costs

LUMIBOT, DUCKDB = "lumibot", "duckdb"
SIDES = (LUMIBOT, DUCKDB)
_LONGEST_FIELD = 2**31 - 1
"""Characters; more than that is no limit on every system."""


@dataclass(frozen=True)
class Table:
    """Rows of texts that are equal only for equal values."""

    columns: list[str]
    rows: list[list[str]]

    def column(self, name: str) -> list[str]:
        """Return the texts of a column, none if there is no such column."""
        if name not in self.columns:
            return []
        number = self.columns.index(name)
        return [row[number] for row in self.rows]


@dataclass(frozen=True)
class Backtest:
    """One backtest as it was recorded.

    `events` is Lumibot's log of trade events without what is drawn at random, `values` its statistics of each
    iteration (portfolio value, cash, positions, ...), `analysis` what it made of them. `covered` is whether the data
    source ran on the store. `settings` are equal for the same span, parameters, budget, fees and benchmark. `failure`
    is the error that stopped it. If it had not `ended` when its script did, the rest of it is missing.
    """

    name: str
    source: str
    covered: bool
    events: Table
    values: Table
    analysis: dict[str, str]
    settings: str = ""
    failure: str | None = None
    ended: bool = True

    @property
    def fills(self) -> list[list[str]]:
        """The events that are fills."""
        statuses = self.events.column("status")
        return [row for row, status in zip(self.events.rows, statuses, strict=False) if status in FILLS]

    @property
    def fees(self) -> float:
        """What the fills cost."""
        number = self.events.columns.index("trade_cost") if "trade_cost" in self.events.columns else None
        costs = [row[number] for row in self.fills] if number is not None else []
        return sum(float(cost) for cost in costs if cost not in ("None", "nan"))


FILLS = ("fill", "partial_fill", "cash_settled")


@dataclass(frozen=True)
class Outcome:
    """All that a run of a script did and cost.

    `versions` are of what it ran on, `error` says why the script failed, `not_stored` what the store could not answer
    in the place of providers. `elsewhere` are the names of backtests in processes that the script forked, of which
    nothing was recorded. `refused` are the addresses to which a script that ran offline wanted to connect.
    """

    backtests: list[Backtest]
    costs: Costs
    versions: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    not_stored: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def answers_file(folder: Path, number: int) -> Path:
    """Return where the answers of the backtest with a number (from 0) are."""
    return folder / f"answers-{number + 1}.zst"


def inputs_folder(folder: Path, number: int) -> Path:
    """Return where Lumibot's own record of what the strategy saw is."""
    return folder / f"inputs-{number + 1}"


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table row by row, so that it is never held as a whole."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def write_backtest(
    folder: Path,
    number: int,
    *,
    name: str,
    source: str,
    covered: bool,
    settings: str,
    analysis: dict[str, str],
    failure: str | None = None,
    ended: bool = True,
) -> None:
    """Write the rest of a backtest whose tables were written to `events_file` and `values_file`, if it has ended."""
    about = {"name": name, "source": source, "covered": covered, "settings": settings}
    about |= {"analysis": analysis, "failure": failure, "ended": ended}
    file = _backtest_file(folder, number)
    # The process may end while a thread of the script still runs a backtest.
    written = file.with_suffix(".part")
    written.write_text(json.dumps(about))
    written.replace(file)


def write_outcome(
    path: Path,
    costs: Costs,
    count: int,
    versions: dict[str, str],
    error: str | None,
    not_stored: list[str],
    refused: Sequence[str] = (),
) -> None:
    """Write the rest of an outcome; its backtests, `count` of them, were written to the same folder before."""
    rest = {"versions": versions, "error": error, "not_stored": not_stored, "refused": list(refused)}
    path.write_text(json.dumps({"costs": asdict(costs), "count": count, **rest}))


def read_outcome(path: Path) -> Outcome:
    """Read an outcome and its backtests."""
    found = json.loads(path.read_text())
    costs = Costs(**{**found["costs"], "memory": [(at, held) for at, held in found["costs"]["memory"]]})
    backtests = [_read_backtest(path.parent, number) for number in range(found["count"])]
    rest = {name: found[name] for name in ("versions", "error", "not_stored", "refused")}
    return Outcome(backtests, costs, elsewhere=_read_elsewhere(path.parent), **rest)


def note_elsewhere(folder: Path, name: str) -> None:
    """Note that a backtest runs in another process than the one that records; several may do so at a time."""
    with _elsewhere_file(folder).open("a", encoding="utf-8") as file:
        file.write(json.dumps(name) + "\n")


def events_file(folder: Path, number: int) -> Path:
    """Return where a backtest's log of trade events is."""
    return folder / f"events-{number + 1}.csv"


def values_file(folder: Path, number: int) -> Path:
    """Return where a backtest's statistics of each iteration are."""
    return folder / f"values-{number + 1}.csv"


def _elsewhere_file(folder: Path) -> Path:
    return folder / "elsewhere.txt"


def _read_elsewhere(folder: Path) -> list[str]:
    file = _elsewhere_file(folder)
    return list(map(json.loads, file.read_text(encoding="utf-8").splitlines())) if file.exists() else []


def _backtest_file(folder: Path, number: int) -> Path:
    return folder / f"backtest-{number + 1}.json"


def _read_backtest(folder: Path, number: int) -> Backtest:
    about = json.loads(_backtest_file(folder, number).read_text())
    files = (events_file(folder, number), values_file(folder, number))
    events, values = map(_read_table, files) if about["ended"] else (Table([], []), Table([], []))
    return Backtest(**about, events=events, values=values)


@contextmanager
def fields_of_any_length() -> Iterator[None]:
    """Let CSV files be read whose fields are long. The limit is one for all that a process reads, so it is put back."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_table(path: Path) -> Table:
    with fields_of_any_length(), path.open(newline="", encoding="utf-8") as file:
        columns, *rows = csv.reader(file)
    return Table(columns, rows)
