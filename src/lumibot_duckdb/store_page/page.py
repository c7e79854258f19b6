"""The status page: size, growth, coverage and gaps, provisional coverage, spooled writes and findings of a store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lumibot_duckdb import clock
from lumibot_duckdb.display import count, new_york, printable, size
from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
from lumibot_duckdb.pages.page import Plot, filled_in, whole_page
from lumibot_duckdb.storage.api import SeriesInfo
from lumibot_duckdb.storage.bars.spool import Spool
from lumibot_duckdb.storage.errors import StoreDamagedError
from lumibot_duckdb.storage.times import NEW_YORK, SECONDS_PER_DAY, epoch_seconds, moment_of
from lumibot_duckdb.store_page.coverage import Coverage, Group, coverage_of, group_name, groups_of
from lumibot_duckdb.store_page.findings import verification_section

if TYPE_CHECKING:
    from lumibot_duckdb.storage.upkeep.findings import VerificationReport
    from lumibot_duckdb.storage.upkeep.growth import Growth

_BODY, _STYLE, _SCRIPT = (Path(__file__).with_name(name) for name in ("page.html", "page.css", "coverage.js"))
_FEWEST_BARS_DRAWN, _MOST_BARS_DRAWN = 4, 12
_MOST_CURVES = 6
_MOST_ROWS = 200
"""Rows of a table."""
_COLORS = 7

Part = TypeVar("Part")


def status_page(
    storage: DuckDBDataStorage,
    *,
    series: Sequence[SeriesInfo] | None = None,
    verification: VerificationReport | None = None,
    on_series: Callable[[], None] = lambda: None,
    on_damage: Callable[[StoreDamagedError], None] = lambda error: None,
) -> str:
    """Return a page about a store: one HTML text that loads no other file and connects to no host.

    Of a damaged store, it shows what can be read.

    Parameters:
        storage: the store.
        series: the series that the page is about, as `list_series` lists them (default: all).
        verification: what `storage.verify()` found, to be shown too.
        on_series: called once for each series, for a progress bar.
        on_damage: called for each part of the page that cannot be read.

    Raises:
        StorageError: The store cannot be read.
    """
    damaged: list[StoreDamagedError] = []

    def readable(read: Callable[[], Part], otherwise: Part) -> Part:
        try:
            return read()
        except StoreDamagedError as error:
            damaged.append(error)
            on_damage(error)
            return otherwise

    is_part = series is not None
    shown = storage.list_series() if series is None else series
    contents = _Contents(
        storage.path,
        storage.path.stat().st_size if storage.path.exists() else 0,
        shown,
        readable(lambda: storage.growth(shown if is_part else None), []),
        readable(lambda: coverage_of(storage, shown, on_series), None),
        Spool(storage.path),
        clock.utc_now(),
    )
    title = escape(printable(f"Store {storage.path.name}"))
    filled = {
        "title": title,
        "subtitle": escape(_subtitle(contents, is_part)),
        "verdict": _verdict(verification, damaged),
        "figures": _figures(contents),
        "groups": _groups(contents),
        "coverage": _coverage(contents),
        "provisional": _provisional(contents),
        "spool": _spooled(contents.spool),
        "verification": verification_section(verification),
        "footer": "All times are New York time. Sizes of sources and timeframes are estimates: the size of the file, "
        "shared out by numbers of bars.",
    }
    return whole_page(
        title,
        filled_in(_BODY.read_text(encoding="utf-8"), filled),
        {"sizes": _sizes(contents), "growth": _growth(contents)},
        style=_STYLE.read_text(encoding="utf-8"),
        script=_SCRIPT.read_text(encoding="utf-8"),
        data={"coverage-data": contents.coverage.data if contents.coverage else {}},
        traces=["heatmap"],
    )


@dataclass(frozen=True)
class _Contents:
    """What the page shows of a store. `coverage` is None if it cannot be read."""

    path: Path
    bytes_on_disk: int
    series: Sequence[SeriesInfo]
    growth: Sequence[Growth]
    coverage: Coverage | None
    spool: Spool
    now: datetime

    @property
    def bars(self) -> int:
        return sum(info.rows for info in self.series)


# -- texts and tables --------------------------------------------------------------------------------------------


def _subtitle(contents: _Contents, is_part: bool) -> str:
    chosen = "selected series only, " if is_part else ""
    return f"{printable(str(contents.path))}, {chosen}{contents.now.astimezone(NEW_YORK):%Y-%m-%d %H:%M}"


def _verdict(verification: VerificationReport | None, damaged: Sequence[StoreDamagedError]) -> str:
    if verification is None:
        return f'<div class="verdict bad">{escape(printable(str(damaged[0])))}</div>' if damaged else ""
    remarks = count(sum(not finding.damage for finding in verification.findings), "remark")
    if verification.sound:
        return f'<div class="verdict good">The store is sound; {remarks}.</div>'
    damage = count(sum(finding.damage for finding in verification.findings), "finding")
    return f'<div class="verdict bad">The store is damaged: {damage} of damage; {remarks}.</div>'


def _figures(contents: _Contents) -> str:
    coverage, spooled = contents.coverage, contents.spool.contents()
    if coverage is None:
        without, gaps, unproven = "unknown", "the store is damaged", "the store is damaged"
    else:
        without, unproven = f"{coverage.gaps:,}", f"{coverage.provisional:,} days without bars"
        gaps = f"in {coverage.with_gaps:,} series" if coverage.gaps else "no trading day lacks bars"
    provisional = sum(len(info.provisional) for info in contents.series)
    quarantined = f"{spooled.quarantined:,} quarantined" if spooled.quarantined else f"{spooled.bars:,} bars"
    cards = [
        ("File", size(contents.bytes_on_disk), _bytes_per_bar(contents)),
        ("Series", f"{len(contents.series):,}", _number_of_groups(contents)),
        ("Bars", f"{contents.bars:,}", _span(contents.series)),
        ("Days without bars", without, gaps),
        ("Provisional ranges", f"{provisional:,}", unproven),
        ("Spooled writes", f"{spooled.writes:,}", quarantined),
    ]
    return "\n".join(
        f'<div class="figure"><div class="what">{what}</div><div class="ratio">{escape(value)}</div>'
        f'<div class="values muted">{escape(detail)}</div></div>'
        for what, value, detail in cards
    )


def _number_of_groups(contents: _Contents) -> str:
    return count(len(groups_of(contents.series)), "source and timeframe", "sources and timeframes")


def _bytes_per_bar(contents: _Contents) -> str:
    return f"{contents.bytes_on_disk / contents.bars:,.1f} bytes per bar" if contents.bars > 100_000 else "on disk"


def _span(series: Iterable[SeriesInfo]) -> str:
    first, last = _ends(series)
    return "" if first is None or last is None else f"{_day(first)} to {_day(last)}"


def _ends(series: Iterable[SeriesInfo]) -> tuple[int | None, int | None]:
    there = [(info.first, info.last) for info in series if info.first is not None and info.last is not None]
    return (min(first for first, _ in there), max(last for _, last in there)) if there else (None, None)


def _day(seconds: int) -> str:
    return f"{moment_of(seconds, NEW_YORK):%Y-%m-%d}"


def _groups(contents: _Contents) -> str:
    groups = _largest_groups(contents)
    rows = [
        (
            printable(group_name(group)),
            f"{len(members):,}",
            f"{bars:,}",
            size(_estimate(contents, bars)),
            *map(new_york, _ends(members)),
        )
        for group, members, bars in groups[:_MOST_ROWS]
    ]
    header = ("source and timeframe", "series", "bars", "estimated size", "first bar", "last bar")
    return _table("groups", header, rows, right=(1, 2, 3), whole=len(groups))


def _coverage(contents: _Contents) -> str:
    if not contents.series:
        return '<p class="muted">The store has no series yet.</p>'
    if contents.coverage is None:
        return '<p class="muted">The days of the bars cannot be read, because the store is damaged.</p>'
    controls = "".join(
        f'<label>{text}<select id="{name}"></select></label>'
        for name, text in (("group", "source and timeframe"), ("part", "series"), ("period", "period"))
    )
    legend = "".join(
        f'<span><span class="dot{outlined}" style="background:{color}"></span>{text}</span>'
        for color, outlined, text in (
            ("var(--has-bars)", "", "bars"),
            ("var(--gap)", "", "gap: the market was open, and a source has answered without bars"),
            ("var(--provisional)", "", "the same, but provisional: requested again once it has expired"),
            ("transparent", " outlined", "not requested"),
        )
    )
    return (
        f'<div class="controls">{controls}</div><div class="legend">{legend}</div><div id="coverage"></div>'
        '<p class="muted"><span id="shown"></span> Only trading days are drawn. Where a column is several days, it has '
        "the colour of the worst, and a gap is the weaker, the more of these days have bars.</p>"
    )


def _provisional(contents: _Contents) -> str:
    ranges = [(each, info) for info in contents.series for each in info.provisional]
    if not ranges:
        return '<p class="muted">None: every covered range is proven.</p>'
    ranges.sort(key=lambda pair: (pair[0].expires, pair[0].within.start))
    rows = [
        (
            printable(info.key.label()),
            new_york(each.within.start),
            new_york(each.within.end),
            new_york(epoch_seconds(each.expires) // 60 * 60),
        )
        for each, info in ranges[:_MOST_ROWS]
    ]
    intro = (
        f"<p>{escape(count(len(ranges), 'range'))}. A source had no bars there although the market was open, so it is "
        "requested again by the next backtest after the range has expired.</p>"
    )
    return intro + _table("provisional", ("series", "from", "to", "expires"), rows, whole=len(ranges))


def _spooled(spool: Spool) -> str:
    sentences = "".join(f"<p>{escape(printable(sentence))}.</p>" for sentence in spool.sentences())
    if not sentences:
        return '<p class="muted">None: no download waits beside the store.</p>'
    waiting = spool.waiting()
    rows = [
        (
            "unreadable" if each.series is None else printable(each.series.label()),
            f"{each.bars:,}",
            new_york(each.kept_at),
        )
        for each in waiting[:_MOST_ROWS]
    ]
    return sentences + _table("spool", ("series", "bars", "since"), rows, right=(1,), whole=len(waiting))


def _table(
    name: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), whole: int
) -> str:
    """Return a table. If it has fewer rows than there are on the whole, that is stated above it."""
    if not rows:
        return ""
    kinds = [' class="number"' if column in right else "" for column in range(len(header))]
    head = "".join(f"<th{kind}>{text}</th>" for kind, text in zip(kinds, header, strict=True))
    body = "".join(
        "<tr>"
        + "".join(
            f'<td{kind} data-of="{of}">{escape(cell)}</td>' for kind, of, cell in zip(kinds, header, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    more = f'<p class="muted">The first {len(rows):,} of {whole:,}.</p>' if len(rows) < whole else ""
    return (
        f'{more}<div class="scroll"><table class="stacked {name}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


# -- plots -------------------------------------------------------------------------------------------------------


def _largest_groups(contents: _Contents) -> list[tuple[Group, list[SeriesInfo], int]]:
    """Return the groups with their series and bars, the largest first."""
    groups = [
        (group, members, sum(info.rows for info in members)) for group, members in groups_of(contents.series).items()
    ]
    return sorted(groups, key=lambda group: (-group[2], group[0]))


def _estimate(contents: _Contents, bars: int) -> int:
    """Return about how many bytes of the file some bars take."""
    return round(contents.bytes_on_disk * bars / contents.bars) if contents.bars else 0


def _sizes(contents: _Contents) -> Plot:
    groups = [(group_name(group), bars) for group, _, bars in _largest_groups(contents)]
    if len(groups) > _MOST_BARS_DRAWN:
        rest = groups[_MOST_BARS_DRAWN - 1 :]
        groups = [*groups[: _MOST_BARS_DRAWN - 1], (f"{len(rest):,} others", sum(bars for _, bars in rest))]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [round(_estimate(contents, bars) / 1e6, 3) for _, bars in groups],
        "y": list(range(len(groups))),
        "marker": {"color": "--c0"},
        "text": [f"{bars:,} bars" for _, bars in groups],
        "textposition": "auto",
        "insidetextfont": {"color": "--card"},
        "hovertext": [_plain(name) for name, _ in groups],
        "hoverinfo": "text+x",
    }
    names = [_plain(_cut(name, 28)) for name, _ in groups]
    axes = {
        "xaxis": {"title": {"text": "MB, estimated"}, "rangemode": "tozero"},
        "yaxis": {
            "range": [max(len(groups), _FEWEST_BARS_DRAWN) - 0.5, -0.5],
            "tickvals": bars["y"],
            "ticktext": names,
        },
    }
    return {"data": [bars], "layout": {**axes, "hovermode": "closest", "bargap": 0.3}}


def _growth(contents: _Contents) -> Plot:
    """Draw how many bars there were at each time, stacked by source and timeframe."""
    axes = {"xaxis": {"type": "date"}, "yaxis": {"title": {"text": "bars"}, "rangemode": "tozero"}}
    changes: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for each in contents.growth:
        changes[f"{each.source}, {each.timeframe}"][each.start] += each.bars
    if not changes:
        return {"data": [], "layout": axes}
    seconds = contents.growth[0].seconds
    largest = sorted(changes, key=lambda name: (-sum(changes[name].values()), name))
    for name in largest[_MOST_CURVES:]:
        for start, bars in changes.pop(name).items():
            changes["others"][start] += bars
    starts = sorted({start for each in changes.values() for start in each})
    # The curves begin at zero before the first write, and continue until now.
    times = [starts[0] - seconds, *starts, max(epoch_seconds(contents.now), starts[-1] + seconds)]
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": _plain(_cut(name, 28)),
            "x": [_moment(time, seconds) for time in times],
            "y": [0, *(counts := list(accumulate(changes[name].get(start, 0) for start in starts))), counts[-1]],
            "stackgroup": "bars",
            "line": {"color": f"--c{number % _COLORS}", "width": 1, "shape": "hv"},
        }
        for number, name in enumerate([*largest[:_MOST_CURVES], *(["others"] if "others" in changes else [])])
    ]
    return {"data": data, "layout": axes}


def _moment(seconds: int, interval: int) -> str:
    # The browser would ignore a time zone.
    there = moment_of(seconds, NEW_YORK)
    return f"{there:%Y-%m-%d}" if interval == SECONDS_PER_DAY else f"{there:%Y-%m-%d %H:%M:%S}"


def _plain(text: str) -> str:
    """Return a text as Plotly draws it unchanged: it reads some HTML in texts."""
    return escape(printable(text), quote=False)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
