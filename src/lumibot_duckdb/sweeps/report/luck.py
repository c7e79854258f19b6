"""The part of the page about luck: the warning, the statistics of overfitting, and what they mean."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import numpy as np

from lumibot_duckdb.comparison.trading_statistics import STYLES, Statistic, value_text
from lumibot_duckdb.display import count
from lumibot_duckdb.pages.page import Plot
from lumibot_duckdb.sweeps.overfitting import Assessment, CrossValidation, Verdict, verdict
from lumibot_duckdb.sweeps.overfitting.bootstrap import Interval, LuckRange
from lumibot_duckdb.sweeps.overfitting.returns import FloatArray
from lumibot_duckdb.sweeps.overfitting.verdict import percent

NOTHING = "\N{EN DASH}"
_BARS = 30
_RANKS = 20


def warning(found: Assessment | None, *, has_tests: bool = False) -> str:
    """Return the verdict as HTML: a warning if the best trial is within the range of luck."""
    if found is None:
        return '<div class="verdict bad">No trial is complete and has a value of the objective.</div>'
    about = "The search in the last window" if has_tests else ""
    return verdict_box(verdict(found, has_tests=has_tests), about)


def verdict_box(judged: Verdict, about: str = "") -> str:
    """Return a verdict as HTML, with a line above it that says what it is about."""
    rest = "".join(f"<p>{_unbroken(escape(sentence))}</p>" for sentence in judged.sentences)
    role = ' role="alert"' if judged.mood == "bad" else ""
    line = f'<p class="muted">{escape(about)}</p>' if about else ""
    return f'<div class="verdict {judged.mood}"{role}>{line}<strong>{escape(judged.headline)}</strong>{rest}</div>'


def _unbroken(html: str) -> str:
    """Return a text in which a number and its unit stay on one line."""
    return html.replace(" %", "&nbsp;%")


def luck_section(found: Assessment | None) -> str:
    """Return the statistics as an HTML table with explanations, and the places of the plots."""
    if found is None:
        return ""
    plots = [
        (found.luck, "luck", "The best Sharpe ratio of such sweeps without an edge"),
        (found.selection, "ranks", "Rank of the chosen trial on the other half of the days"),
    ]
    drawn = "".join(
        f'<div><h3>{title}</h3><div class="plot" data-plot="{name}"></div></div>' for part, name, title in plots if part
    )
    body = "".join(
        f'<tr><th scope="row">{name}</th><td class="number">{value}</td><td>{_unbroken(meaning)}</td></tr>'
        for name, value, meaning in _rows(found)
    )
    return (
        f'<section class="card" id="luck"><h2>Is it luck?</h2><div class="pair">{drawn}</div>'
        f'<table class="luck"><tbody>{body}</tbody></table>{_notes(found)}</section>'
    )


def luck_plots(found: Assessment | None) -> dict[str, Plot]:
    """Return the plots of the section."""
    plots: dict[str, Plot] = {}
    if found is not None and found.luck is not None and found.sharpe.value is not None:
        plots["luck"] = _range_plot(found.luck, found.sharpe.value)
    if found is not None and found.selection is not None:
        plots["ranks"] = _rank_plot(found.selection)
    return plots


def _rows(found: Assessment) -> Iterable[tuple[str, str, str]]:
    """Yield the name of each statistic, its value, and what it means, as HTML."""
    yield (
        "Sharpe ratio of the best trial",
        _number(found.sharpe),
        f"Of a year, from {found.days:,} days. {_between(found.intervals.get('sharpe'), 'ratio')}",
    )
    yield (
        "Chance of luck",
        percent(found.luck.probability) if found.luck else NOTHING,
        "How often the best trial of a sweep like this reaches that Sharpe ratio if no trial has an edge: days are "
        "drawn anew, and the trials' average returns are deducted. Below 5 % is convincing."
        if found.luck
        else _because(found.reasons.get("luck", "")),
    )
    yield (
        "Expected of luck",
        _number(found.expected_maximum),
        f"The Sharpe ratio that the best of {found.tried:,} independent trials without an edge is expected to show, if "
        f"their Sharpe ratios differ as much as these do (standard deviation {_number(found.spread)})."
        if found.expected_maximum.value is not None
        else _because(found.expected_maximum.reason),
    )
    yield (
        "Deflated Sharpe ratio",
        _percent(found.deflated_sharpe),
        "The probability that the true Sharpe ratio is above what is expected of luck. It counts how many trials were "
        "tried, how long the backtest is, and how uneven its returns are. At least 95 % is convincing."
        if found.deflated_sharpe.value is not None
        else _because(found.deflated_sharpe.reason),
    )
    yield (
        "Probabilistic Sharpe ratio",
        _percent(found.probabilistic_sharpe),
        "The probability that the true Sharpe ratio is above zero, had this been the only trial."
        if found.probabilistic_sharpe.value is not None
        else _because(found.probabilistic_sharpe.reason),
    )
    yield from _selection_rows(found)
    if found.objective != "sharpe":
        label, style = STYLES.get(found.objective, (escape(found.objective), "ratio"))
        between = found.intervals.get(found.objective)
        yield (
            f"Interval of the objective ({label})",
            _range(between, style) if between else NOTHING,
            _between(between, style) if between else _because(found.reasons.get("interval", "")),
        )


def _selection_rows(found: Assessment) -> Iterable[tuple[str, str, str]]:
    chosen = found.selection
    if chosen is None:
        yield "Probability of overfitting", NOTHING, _because(found.reasons.get("selection", ""))
        return
    label = STYLES[chosen.measure][0]
    yield (
        "Probability of overfitting",
        percent(chosen.probability),
        f"The days were divided into {chosen.blocks} blocks. In each of {len(chosen.rank):,} ways to take half of "
        f"them, the best trial there (by {label}) was ranked on the other half: this often, it was not better than the "
        "median. 50 % is what drawing lots gives.",
    )
    yield (
        "Loss out of sample",
        percent(chosen.loss),
        "How often the trial that was best on one half lost money on the other.",
    )
    inside, outside = (float(np.median(part)) for part in (chosen.in_sample, chosen.out_of_sample))
    style = STYLES[chosen.measure][1]
    slope = chosen.degradation
    by_one = (
        "" if slope is None else f" The slope of one on the other is {slope[0]:.2f}; 1 would mean that all of it lasts."
    )
    yield (
        "Degradation",
        f"{value_text(inside, style)} &rarr; {value_text(outside, style)}",
        f"The median {label} of the chosen trial on the half where it was chosen, and on the other.{by_one}",
    )


def _between(found: Interval | None, style: str) -> str:
    if found is None:
        return ""
    return (
        f"With other days of the same kind, it would be from {_range(found, style)} in {100 * found.confidence:.0f} % "
        f"of cases ({found.resamples:,} resamples in blocks of {found.block:.0f} days on average). This does not take "
        "into account that the trial was chosen."
    )


def _range(found: Interval, style: str) -> str:
    return f"{value_text(found.low, style)} to {value_text(found.high, style)}"  # type: ignore[arg-type]


def _notes(found: Assessment) -> str:
    notes = []
    if found.repeated:
        notes.append(
            f"{count(found.repeated, 'trial')} with exactly the same returns as another one did not count: they differ "
            "in a parameter that has no effect."
        )
    notes += [
        f"{count(len(labels), 'trial')} could not be compared: {reason}." for reason, labels in found.left_out.items()
    ]
    notes.append(
        "An edge is a positive average return above the risk-free rate, wherever it comes from: in a rising market, "
        "holding stocks has one, too."
    )
    return "".join(f'<p class="muted note">{escape(note)}</p>' for note in notes)


def _because(reason: str) -> str:
    return f"Not computed: {escape(reason)}."


def _number(found: Statistic) -> str:
    return NOTHING if found.value is None else f"{found.value:.2f}"


def _percent(found: Statistic) -> str:
    return NOTHING if found.value is None else percent(found.value)


def _range_plot(luck: LuckRange, sharpe: float) -> Plot:
    """Draw how often luck finds which Sharpe ratio, and where that of the best trial is."""
    counts, edges = np.histogram(luck.best, _BARS)
    centres = (edges[:-1] + edges[1:]) / 2
    parts = [100 * float(each) / len(luck.best) for each in counts]
    text = "about %{x:.2f}: %{y:.1f} % of sweeps<extra></extra>"
    width = float(edges[1] - edges[0])
    data = _bars(centres, parts, [each >= sharpe for each in centres], text, ("--c6", "--c1"), width)
    low, high = float(edges[0]), float(edges[-1])
    margin = 0.06 * (max(high, sharpe) - min(low, sharpe))
    line = {
        "type": "line", "x0": sharpe, "x1": sharpe, "y0": 0, "y1": 1, "yref": "paper",
        "line": {"color": "--c0", "width": 3},
    }  # fmt: skip
    on_left = sharpe > (low + max(high, sharpe)) / 2
    label = {
        "x": sharpe, "y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False,
        "xanchor": "right" if on_left else "left", "text": f"best trial {sharpe:.2f}", "font": {"color": "--c0"},
    }  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "Sharpe ratio"}, "range": [min(low, sharpe) - margin, max(high, sharpe) + margin]},
        "yaxis": {"title": {"text": "% of sweeps"}, "rangemode": "tozero"},
        "hovermode": "closest", "barmode": "overlay", "shapes": [line], "annotations": [label],
    }  # fmt: skip
    return {"data": data, "layout": layout}


def _rank_plot(chosen: CrossValidation) -> Plot:
    """Draw how often the chosen trial had which rank, in percent of the trials."""
    counts, edges = np.histogram(chosen.rank, _RANKS, (0.0, 1.0))
    centres = (edges[:-1] + edges[1:]) / 2
    parts = [100 * float(each) / len(chosen.rank) for each in counts]
    text = "better than about %{x:.0f} % of trials: %{y:.1f} % of splits<extra></extra>"
    data = _bars(100 * centres, parts, [each < 0.5 for each in centres], text, ("--c0", "--c1"), 100 / _RANKS)
    layout = {
        "xaxis": {"title": {"text": "better than so many % of the trials"}, "range": [0, 100]},
        "yaxis": {"title": {"text": "% of splits"}, "rangemode": "tozero"},
        "hovermode": "closest",
        "barmode": "overlay",
    }
    return {"data": data, "layout": layout}


def _bars(
    places: FloatArray, heights: list[float], marked: list[bool], text: str, colors: tuple[str, str], width: float
) -> list[dict[str, object]]:
    """Return bars in two colours. The second colour is for those that are marked."""
    return [
        {
            "type": "bar",
            "x": [float(f"{place:.5g}") for place, mark in zip(places, marked, strict=True) if mark == which],
            "y": [round(height, 2) for height, mark in zip(heights, marked, strict=True) if mark == which],
            "width": 0.95 * width,
            "marker": {"color": color},
            "hovertemplate": text,
            "showlegend": False,
        }
        for which, color in zip((False, True), colors, strict=True)
    ]
