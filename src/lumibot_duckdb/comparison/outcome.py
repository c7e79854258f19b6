"""The outcome that a worker process reports: its backtests and their costs. Large parts are in separate files."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lumibot_duckdb.comparison.meters import Costs

LUMIBOT, DUCKDB = "lumibot", "duckdb"
SIDES = (LUMIBOT, DUCKDB)
_LONGEST_FIELD = 2**31 - 1
"""Characters; a larger limit overflows on some systems."""


@dataclass(frozen=True)
class Table:
    """Rows of values as text; two texts are equal only if the values are."""

    columns: list[str]
    rows: list[list[str]]

    def column(self, name: str) -> list[str]:
        """Return the texts of a column; an empty list if there is no such column."""
        if name not in self.columns:
            return []
        number = self.columns.index(name)
        return [row[number] for row in self.rows]

    def records(self) -> Iterator[dict[str, str]]:
        """Yield the rows, each as texts by the names of their columns."""
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)


@dataclass(frozen=True)
class Backtest:
    """One recorded backtest.

    `events` is Lumibot's log of trade events without its random identifiers, `values` has the statistics of each
    iteration (portfolio value, cash, positions, ...), and `analysis` the figures that Lumibot derives from them.
    `covered` is whether the data source ran on the store. `settings` are equal if span, parameters, budget, fees and
    benchmark are. `failure` is the error that stopped the backtest. If it had not `ended` when its script did, the
    tables are empty. `span` is the configured start and end, `parameters` are the strategy's as texts without keys, and
    `returns` are those of each calendar day (UTC) from which Lumibot computes its tear sheet: columns `day`, `strategy`
    and, if there is a benchmark, `benchmark`; empty if Lumibot has computed no values.
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
    span: tuple[str, str] = ("", "")
    benchmark: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    risk_free_rate: float | None = None
    returns: Table = field(default_factory=lambda: Table([], []))

    @property
    def fills(self) -> list[list[str]]:
        """The events that are fills."""
        statuses = self.events.column("status")
        return [row for row, status in zip(self.events.rows, statuses, strict=False) if status in FILLS]

    @property
    def fees(self) -> float:
        """The sum of the fees of all fills."""
        number = self.events.columns.index("trade_cost") if "trade_cost" in self.events.columns else None
        costs = [row[number] for row in self.fills] if number is not None else []
        return sum(float(cost) for cost in costs if cost not in ("None", "nan"))


FILLS = ("fill", "partial_fill", "cash_settled")


@dataclass(frozen=True)
class Outcome:
    """The backtests of one run of a script, and what the run cost.

    `versions` are those of Python and the main packages, `error` says why the script failed, and `not_stored` lists the
    requests that the store could not answer in place of the providers. `forked` names backtests in processes that the
    script forked; they are not recorded. `refused` are the addresses that a script tried to reach while offline.
    """

    backtests: list[Backtest]
    costs: Costs
    versions: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    not_stored: list[str] = field(default_factory=list)
    forked: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


ORDER_COLUMNS = ["time", "action", "number", "symbol"]
"""The first columns of a table of orders; the others are the fields of an order."""
SUBMITTED = "submitted"
"""The action of an order when it is submitted."""
MESSAGE_COLUMNS = ["time", "messages"]


def answers_file(folder: Path, number: int) -> Path:
    """Return the file with the answers of a backtest, which is numbered from 0."""
    return folder / f"answers-{number + 1}.zst"


def inputs_folder(folder: Path, number: int) -> Path:
    """Return the folder with Lumibot's own record of the strategy's input."""
    return folder / f"inputs-{number + 1}"


class TableWriter:
    """Writes a table row by row to a new file, each text as `redact` returns it. Without rows it has no columns."""

    def __init__(self, path: Path, redact: Callable[[str], str]) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._redact = redact
        self._has_columns = False

    def begin(self, columns: Sequence[str]) -> None:
        """Write the columns, unless they have been written."""
        if not self._has_columns:
            self._has_columns = True
            self._writer.writerow(columns)

    def write(self, row: Sequence[str]) -> None:
        """Write a row."""
        self._writer.writerow(map(self._redact, row))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    def detach(self) -> None:
        """Discard what has not reached the file, in a forked process, which shares the open file with its parent."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._file.fileno(), inheritable=False)
        os.close(nowhere)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table row by row, without holding all of it in memory."""
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
    span: Sequence[str] = ("", ""),
    benchmark: str = "",
    parameters: dict[str, str] | None = None,
    risk_free_rate: float | None = None,
    failure: str | None = None,
    ended: bool = True,
) -> None:
    """Write a backtest without its tables. If it has ended, `events_file` and `values_file` must have been written."""
    about = {"name": name, "source": source, "covered": covered, "settings": settings}
    about |= {"span": list(span), "benchmark": benchmark, "analysis": analysis, "parameters": parameters or {}}
    about |= {"risk_free_rate": risk_free_rate, "failure": failure, "ended": ended}
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
    """Write an outcome whose `count` backtests have been written to the same folder."""
    rest = {"versions": versions, "error": error, "not_stored": not_stored, "refused": list(refused)}
    path.write_text(json.dumps({"costs": asdict(costs), "count": count, **rest}))


def read_outcome(path: Path) -> Outcome:
    """Read an outcome and its backtests."""
    found = json.loads(path.read_text())
    costs = Costs(**{**found["costs"], "memory": [(at, held) for at, held in found["costs"]["memory"]]})
    backtests = [_read_backtest(path.parent, number) for number in range(found["count"])]
    rest = {name: found[name] for name in ("versions", "error", "not_stored", "refused")}
    return Outcome(backtests, costs, forked=_read_forked(path.parent), **rest)


def note_forked(folder: Path, name: str) -> None:
    """Note a backtest in a forked process, which is not recorded. Several processes may do so at the same time."""
    with _forked_file(folder).open("a", encoding="utf-8") as file:
        file.write(json.dumps(name) + "\n")


def events_file(folder: Path, number: int) -> Path:
    """Return the file with a backtest's log of trade events."""
    return folder / f"events-{number + 1}.csv"


def values_file(folder: Path, number: int) -> Path:
    """Return the file with a backtest's statistics of each iteration."""
    return folder / f"values-{number + 1}.csv"


def returns_file(folder: Path, number: int) -> Path:
    """Return the file with the daily returns of a backtest and its benchmark. It may be missing."""
    return folder / f"returns-{number + 1}.csv"


def orders_file(folder: Path, number: int) -> Path:
    """Return the file with every order of a backtest."""
    return folder / f"orders-{number + 1}.csv"


def charts_file(folder: Path, number: int) -> Path:
    """Return the file with what a strategy has added to its charts."""
    return folder / f"charts-{number + 1}.csv"


def messages_file(folder: Path, number: int) -> Path:
    """Return the file with the number of messages that a strategy has logged at each time of the backtest."""
    return folder / f"messages-{number + 1}.csv"


@contextmanager
def read_rows(path: Path) -> Iterator[Iterator[list[str]]]:
    """Yield the rows of a table, columns first, which are read one at a time. A missing file has none."""
    if not path.exists():
        yield iter(())
        return
    with unlimited_field_size(), path.open(newline="", encoding="utf-8") as file:
        yield csv.reader(file)


def _forked_file(folder: Path) -> Path:
    return folder / "forked.txt"


def _read_forked(folder: Path) -> list[str]:
    file = _forked_file(folder)
    return list(map(json.loads, file.read_text(encoding="utf-8").splitlines())) if file.exists() else []


def _backtest_file(folder: Path, number: int) -> Path:
    return folder / f"backtest-{number + 1}.json"


def _read_backtest(folder: Path, number: int) -> Backtest:
    about = json.loads(_backtest_file(folder, number).read_text())
    files = (events_file(folder, number), values_file(folder, number))
    events, values = map(_read_table, files) if about["ended"] else (Table([], []), Table([], []))
    about["span"] = tuple(about["span"])
    returns = returns_file(folder, number)
    known = _read_table(returns) if returns.exists() else Table([], [])
    return Backtest(**about, events=events, values=values, returns=known)


@contextmanager
def unlimited_field_size() -> Iterator[None]:
    """Lift the size limit of CSV fields. The limit is global to the process, so it is restored afterwards."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_table(path: Path) -> Table:
    with unlimited_field_size(), path.open(newline="", encoding="utf-8") as file:
        columns, *rows = csv.reader(file)
    return Table(columns, rows)
