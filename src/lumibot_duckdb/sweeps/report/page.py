"""Puts the report of a sweep together."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from lumibot_duckdb import clock
from lumibot_duckdb.comparison.trading_statistics import style_of, value_text
from lumibot_duckdb.display import count, printable
from lumibot_duckdb.pages.file import write_whole
from lumibot_duckdb.pages.page import filled_in, whole_page
from lumibot_duckdb.sweeps.file_names import file_name
from lumibot_duckdb.sweeps.overfitting import Assessment
from lumibot_duckdb.sweeps.overfitting.verdict import out_of_sample_verdict, percent
from lumibot_duckdb.sweeps.report.contents import SweepReport, listed
from lumibot_duckdb.sweeps.report.equity import equity_plot
from lumibot_duckdb.sweeps.report.failures import failures_section
from lumibot_duckdb.sweeps.report.luck import NOTHING, luck_plots, luck_section, verdict_box, warning
from lumibot_duckdb.sweeps.report.table_data import objective_name, table_data
from lumibot_duckdb.sweeps.report.windows import windows_plots, windows_section

_HERE = Path(__file__).parent
_SCRIPTS = ("trials.js", "parameters.js", "heat_map.js", "parallel.js", "table.js")
_LONGEST = 300
_MOST_PARAMETERS = 2_000
"""Characters of the best trial's parameters."""


def write_report(report: SweepReport, path: Path | str) -> Path:
    """Write the report of a sweep as one HTML page, and return its path.

    The page contains everything it needs and connects to no host. A file of this name is replaced as a whole. The page
    takes 1.5 MB for Plotly's code and, for each thousand trials, about 0.15 MB.

    Args:
        report: The sweep and its trials.
        path: The file, usually `.html`, in an existing folder.

    Raises:
        OSError: The file cannot be written.
    """
    file = Path(path)
    write_whole(file, report_page(report).encode("utf-8", "backslashreplace"))
    return file


def default_report_path(results: Path, sweep: str) -> Path:
    """Return where the report of a sweep is by default: beside the results, with a name that no other sweep has."""
    return results.with_name(f"{results.stem}-{file_name(sweep)}.html")


def report_page(report: SweepReport) -> str:
    """Return the page. All texts of the script and its parameters are escaped."""
    found = report.assessment
    filled = {
        "title": escape(printable(f"Sweep {report.sweep.name}: {report.sweep.strategy}")),
        "subtitle": escape(printable(_subtitle(report))),
        "warning": _tested(report) + warning(found, has_tests=report.walk_forward is not None),
        "figures": _figures(report),
        "best": _best(report),
        "luck": luck_section(found),
        "windows": windows_section(report),
        "objective": escape(objective_name(report)),
        "failures": failures_section(report.trials if report.failed is None else report.failed),
        "settings": _settings(report),
        "footer": escape(printable(_footer(report))),
    }
    plots = {**luck_plots(found), **windows_plots(report), "equity": equity_plot(report)}
    return whole_page(
        filled["title"],
        filled_in(_text_of("page.html"), filled),
        plots,
        style=_text_of("page.css"),
        script="\n".join(_text_of(name) for name in _SCRIPTS),
        data={"trials": table_data(report)},
        traces=["heatmap"],
    )


def _text_of(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _subtitle(report: SweepReport) -> str:
    days = report.daily_returns.index
    span = f"{days.min():%Y-%m-%d} to {days.max():%Y-%m-%d}, " if len(days) else ""
    what = report.sweep.script or "a class in Python"
    return f"{_cut(what)}, {span}{count(len(report.trials), 'trial')}, {clock.utc_now().astimezone():%Y-%m-%d %H:%M %Z}"


def _tested(report: SweepReport) -> str:
    """Return what the tests of a walk-forward sweep say, as HTML."""
    found = report.assessment_of_tests
    return verdict_box(out_of_sample_verdict(found), "The tests of all windows") if found else ""


def _figures(report: SweepReport) -> str:
    trials = report.trials
    deflated, luck, selection = _probabilities(report.assessment)
    complete = int((trials["status"] == "complete").sum())
    seconds = trials["seconds"].astype(float)
    cards = [
        (f"Best {_lower(objective_name(report))}", *_best_figure(report)),
        ("Deflated Sharpe ratio", *_figure(deflated, "95 % is convincing")),
        ("Chance of luck", *_figure(luck, "for such a Sharpe ratio")),
        ("Probability of overfitting", *_figure(selection, "50 % is drawing lots")),
        ("Complete trials", f"{complete:,}", f"of {len(trials):,}"),
        (
            "Time per trial",
            f"{np.nanmedian(seconds):,.2f} s" if seconds.notna().any() else NOTHING,
            f"{np.nansum(seconds):,.0f} s in all",
        ),
    ]
    return "\n".join(
        f'<div class="figure"><div class="what">{escape(what)}</div><div class="ratio">{escape(value)}</div>'
        f'<div class="values muted">{escape(detail)}</div></div>'
        for what, value, detail in cards
    )


def _probabilities(found: Assessment | None) -> tuple[float | None, float | None, float | None]:
    """Return the deflated Sharpe ratio, the chance of luck, and the probability of overfitting."""
    if found is None:
        return None, None, None
    return (
        found.deflated_sharpe.value,
        found.luck.probability if found.luck else None,
        found.selection.probability if found.selection else None,
    )


def _lower(name: str) -> str:
    """Return a name for the middle of a sentence: "Total return" as "total return"; CAGR and Sharpe keep capitals."""
    return (
        name if name[:2].isupper() or name.startswith(("Sharpe", "Sortino", "Calmar")) else name[:1].lower() + name[1:]
    )


def _figure(probability: float | None, detail: str) -> tuple[str, str]:
    return (NOTHING, "not computed") if probability is None else (percent(probability), detail)


def _best_figure(report: SweepReport) -> tuple[str, str]:
    if not report.ranking:
        return NOTHING, "no complete trial"
    best = report.ranking[0]
    return _objective_text(report, best), f"trial {best}"


def _objective_text(report: SweepReport, number: int) -> str:
    return value_text(float(report.trials["objective"].loc[number]), style_of(report.objective))


def _best(report: SweepReport) -> str:
    """Return the parameters of the best trial as HTML."""
    if not report.ranking:
        return ""
    best = report.ranking[0]
    values = printable(listed(dict(report.parameters.loc[best].items())))[:_MOST_PARAMETERS]  # type: ignore[arg-type]
    return f'<p class="best">Best trial, {best}: <code>{escape(values)}</code></p>' if values else ""


def _settings(report: SweepReport) -> str:
    sweep = report.sweep
    parameters = sweep.space.get("parameters", {})
    conditions = sweep.space.get("conditions", [])
    rows = [(f"{name}", _searched(values)) for name, values in parameters.items()]
    rows += [("conditions", " and ".join(map(str, conditions)))] if conditions else []
    rows += [(name, _json(value)) for name, value in sweep.settings.items() if value not in (None, {}, [])]
    if sweep.as_of is not None:
        rows.append(("store as of", f"{sweep.as_of:%Y-%m-%d %H:%M:%S %Z}"))
    if sweep.store is not None:
        rows.append(("store", sweep.store))
    body = "".join(
        f'<tr><td>{escape(printable(str(name)))}</td><td class="value">{escape(printable(_cut(value)))}</td></tr>'
        for name, value in rows
    )
    return f'<table class="settings"><tbody>{body}</tbody></table>'


def _searched(values: Any) -> str:
    """Return the searched values of a parameter, which are stored as JSON."""
    if not isinstance(values, Mapping):
        return _json(values)
    if "step" in values:
        return f"{values['start']} to {values['stop']} in steps of {values['step']}"
    return f"{values['low']} to {values['high']}" if "low" in values else _json(values.get("values", ""))


def _json(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return listed({str(name): _json(each) for name, each in value.items()})
    return ", ".join(map(_json, value)) if isinstance(value, (list, tuple)) else str(value)


def _footer(report: SweepReport) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in report.sweep.versions.items())
    return f"Times are New York time. {versions}".strip()


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
