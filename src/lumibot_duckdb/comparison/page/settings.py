"""The period of a backtest and the parameters of its strategy."""

from __future__ import annotations

from lumibot_duckdb.comparison.outcome import Backtest
from lumibot_duckdb.comparison.page.sides import DUCKDB, LUMIBOT, cut

_LONGEST = 120
_MOST = 30
"""Parameters that are shown."""


def settings_table(theirs: Backtest, ours: Backtest) -> str:
    """Return the settings as HTML. Parameters that differ between the sides are shown for both."""
    rows = [("Period", _span(theirs)), ("Iterations", _iterations(theirs))]
    if theirs.benchmark:
        rows.append(("Benchmark", cut(theirs.benchmark, _LONGEST)))
    if theirs.risk_free_rate is not None:
        rows.append(("Risk-free rate", f"{100 * theirs.risk_free_rate:,.2f} % a year"))
    names = list(dict.fromkeys([*theirs.parameters, *ours.parameters]))
    for name in names[:_MOST]:
        rows.append(
            (f"<code>{cut(name, 80)}</code>", _parameter(theirs.parameters.get(name), ours.parameters.get(name)))
        )
    if len(names) > _MOST:
        rows.append(("", f"and {len(names) - _MOST:,} more parameters"))
    body = "".join(f'<tr><td>{name}</td><td class="value">{value}</td></tr>' for name, value in rows)
    return f'<h3>Period and parameters</h3><table class="settings"><tbody>{body}</tbody></table>'


def _parameter(theirs: str | None, ours: str | None) -> str:
    values = [cut(each, _LONGEST) if each is not None else "<i>none</i>" for each in (theirs, ours)]
    return values[0] if theirs == ours else f"{LUMIBOT}: {values[0]}<br>{DUCKDB}: {values[1]}"


def _span(backtest: Backtest) -> str:
    return f"{cut(backtest.span[0], 40)} to {cut(backtest.span[1], 40)}" if any(backtest.span) else "not known"


def _iterations(backtest: Backtest) -> str:
    times = backtest.values.column("datetime")
    if not times:
        return "none"
    return f"{len(times):,}, from {cut(times[0], 40)} to {cut(times[-1], 40)}"
