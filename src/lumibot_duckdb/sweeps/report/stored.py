"""The report of a sweep in a results database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.results.records import SweepRecord, TrialRecord
from lumibot_duckdb.sweeps.report.contents import SweepReport, WalkForwardReport, Window, charted_trials
from lumibot_duckdb.sweeps.search.dimensions import of_json
from lumibot_duckdb.sweeps.search.objectives import Objective
from lumibot_duckdb.sweeps.walk_forward.out_of_sample import parameter_stability

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd

    from lumibot_duckdb.results.database import ResultsDatabase

Records = Mapping[int, TrialRecord]


def stored_report(database: ResultsDatabase, name: str, *, others: int = 0) -> SweepReport:
    """Return the report of a sweep as far as its trials are stored; it may still run.

    Args:
        database: The results.
        name: The sweep.
        others: How many trials of earlier sweeps over the same days the user has chosen from, too.

    Raises:
        ResultsNotFoundError: There is no results file.
        SweepNotFoundError: It has no such sweep.
        StorageError: The file cannot be read.
    """
    sweep, records = database.sweep(name).record, database.records(name)
    objective = Objective(sweep.settings.get("objective", "sharpe"), sweep.settings.get("direction") == "minimize")
    last = max((each.window or 0 for each in records.values()), default=0)
    searched = {
        number: each
        for number, each in records.items()
        if each.phase in (None, "in-sample") and (each.window or 0) == last
    }
    trials = _outcomes(searched)
    walks = any(each.phase is not None for each in records.values())
    return SweepReport(
        sweep=sweep,
        objective=objective.name,
        minimize=objective.minimize,
        trials=trials,
        parameters=_parameters(sweep, searched),
        statistics=_statistics(searched),
        equity=_equity(database, name, charted_trials(trials, objective.minimize)),
        daily_returns=_daily_returns(database, name, searched),
        walk_forward=_walk_forward(database, sweep, records, objective) if walks else None,
        failed=_outcomes({number: each for number, each in records.items() if each.phase != "joined"}),
        risk_free=next((each.risk_free_rate for each in searched.values() if each.risk_free_rate is not None), 0.0),
        others=others,
    )


def _outcomes(records: Records) -> pd.DataFrame:
    import pandas as pd

    columns = ["status", "objective", "seconds", "error"]
    rows = [(each.status, each.objective, each.seconds, each.error) for each in records.values()]
    frame = pd.DataFrame(rows, list(records), columns)
    made: pd.DataFrame = frame.astype({"objective": float, "seconds": float})
    return made


def _parameters(sweep: SweepRecord, records: Records) -> pd.DataFrame:
    import pandas as pd

    searched = list(sweep.space.get("parameters", {}))
    values = {name: [each.parameters.get(name) for each in records.values()] for name in searched}
    made: pd.DataFrame = pd.DataFrame(values, list(records), dtype=object)
    return made


def _statistics(records: Records) -> pd.DataFrame:
    import pandas as pd

    from lumibot_duckdb.comparison.trading_statistics import STYLES

    values = {name: [each.statistics.get(name) for each in records.values()] for name in STYLES}
    made: pd.DataFrame = pd.DataFrame(values, list(records), dtype=float)
    return made


def _equity(database: ResultsDatabase, name: str, numbers: list[int]) -> dict[int, pd.Series[float]]:
    found = database.equity(name, numbers)
    return {int(number): rows.set_index("time")["value"] for number, rows in found.groupby("number")}


def _daily_returns(database: ResultsDatabase, name: str, records: Records) -> pd.DataFrame:
    return database.daily_returns(name, [number for number, each in records.items() if each.status == "complete"])


def _walk_forward(
    database: ResultsDatabase, sweep: SweepRecord, records: Records, objective: Objective
) -> WalkForwardReport:
    space = sweep.space.get("parameters", {})
    windows = []
    for number in sorted({each.window for each in records.values() if each.window is not None}):
        searched = {at: each for at, each in records.items() if each.window == number and each.phase == "in-sample"}
        best = objective.best((at, each.objective) for at, each in searched.items() if each.status == "complete")
        test = next(
            (at for at, each in records.items() if each.window == number and each.phase == "out-of-sample"), None
        )
        windows.append(
            Window(
                number,
                _days(database, sweep.name, best),
                _days(database, sweep.name, test),
                {} if best is None else {each: records[best].parameters.get(each) for each in space},
                None if best is None else records[best].objective,
                None if test is None else records[test].objective,
            )
        )
    joined = next((at for at, each in records.items() if each.phase == "joined"), None)
    chosen = [window.parameters or None for window in windows]
    stability = parameter_stability(chosen, {each: of_json(values) for each, values in space.items()})
    if joined is None:
        return WalkForwardReport(windows, stability)
    return WalkForwardReport(
        windows,
        stability,
        _equity(database, sweep.name, [joined]).get(joined),
        database.daily_returns(sweep.name, [joined]).get(joined),
    )


def _days(database: ResultsDatabase, name: str, trial: int | None) -> tuple[date, date] | None:
    """Return the first and the last day of a trial."""
    days: Any = None if trial is None else database.daily_returns(name, [trial]).index
    return (days.min().date(), days.max().date()) if days is not None and len(days) else None
