"""Iterations of a live strategy with and without recording, also while the store cannot be written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.bars import SYMBOLS, Workplace
from benchmarks.live.broker import served
from benchmarks.measure import Row, Sample, against
from benchmarks.process import run_apart

_ROUNDS = 2
_LOCKED_SECONDS = 60.0
_WITHOUT_CACHE = {"LUMIBOT_SHARED_BARS": "off"}
_QUANTILES = ("p50", "p99", "maximum")


@dataclass(frozen=True)
class _Variant:
    """How a strategy trades; `against` is the variant with which it is compared.

    The others are those of `trading.trade`; without `lumibots_cache`, every read requests two days of minutes.
    """

    what: str
    recording: str
    against: str = ""
    state: str = "usual"
    warm_up: bool = False
    lumibots_cache: bool = True
    seconds: float = 10.0
    rounds: int = _ROUNDS


_VARIANTS: Mapping[str, _Variant] = {
    "none": _Variant("without recording", "none"),
    "bars": _Variant("recording bars", "bars", "none"),
    "session": _Variant("recording bars and the session", "session", "none"),
    "full": _Variant("without recording, on a full disk", "none", state="full"),
    "session_full": _Variant("recording on a full disk", "session", "full", state="full"),
    "session_held": _Variant(
        "recording while another program holds the store for a minute",
        "session",
        "none",
        state="held",
        seconds=_LOCKED_SECONDS,
        rounds=1,
    ),
    "no_cache": _Variant("without recording and without Lumibot's cache", "none", lumibots_cache=False, seconds=6.0),
    "warm_up": _Variant(
        "recording, with warm-up instead of Lumibot's cache",
        "session",
        "no_cache",
        warm_up=True,
        lumibots_cache=False,
        seconds=6.0,
    ),
}


def live_strategy(workplace: Workplace) -> list[Row]:
    """Time and CPU of iterations in Lumibot's executor that read 100 minutes of 20 symbols from Alpaca's client."""
    found = _measured(workplace)
    rows = [row for name, variant in _VARIANTS.items() if variant.against for row in _rows(variant, found, name)]
    first = {name: Sample.of([median(each["first"] for each in found[name])], 1e3) for name in ("no_cache", "warm_up")}
    rows.append(
        against(
            f"first iteration, the history of {SYMBOLS} symbols from the store",
            "ms",
            "from the broker",
            first["warm_up"],
            first["no_cache"],
        )
    )
    with TemporaryDirectory(dir=workplace.folder) as folder:
        reads = run_apart("live.reads.observed_reads", folder=folder)
    for kind, what in (("known", "in which nothing is new"), ("new", "with a new bar")):
        for name, seconds in zip(_QUANTILES[:2], _quantiles(reads[kind]), strict=False):
            rows.append(Row(f"{name} of what a read {what} takes longer", "us", "", Sample.of([seconds], 1e6)))
    return rows


def _measured(workplace: Workplace) -> dict[str, list[dict[str, Any]]]:
    """Run the variants in turn, several times, so that all of them have the same share of the machine's moods."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    with served() as url:
        for number in range(_ROUNDS):
            for name, variant in _VARIANTS.items():
                if number < variant.rounds:
                    found[name].append(_traded(workplace, url, variant))
    return found


def _traded(workplace: Workplace, url: str, variant: _Variant) -> dict[str, Any]:
    with TemporaryDirectory(dir=workplace.folder) as folder:
        outcome: dict[str, Any] = run_apart(
            "live.trading.trade",
            settings=None if variant.lumibots_cache else _WITHOUT_CACHE,
            url=url,
            folder=folder,
            recording=variant.recording,
            state=variant.state,
            seconds=variant.seconds,
            warm_up=variant.warm_up,
        )
    return outcome


def _rows(variant: _Variant, found: Mapping[str, Sequence[dict[str, Any]]], name: str) -> Iterator[Row]:
    ours, theirs = found[name], found[variant.against]
    note = _fate(variant, ours)
    for key, kind in (("wall", "an iteration"), ("cpu", "the CPU time of the strategy's thread")):
        pooled = ([seconds for each in runs for seconds in each[key]] for runs in (ours, theirs))
        for quantile, mine, plain in zip(_QUANTILES, *map(_quantiles, pooled), strict=True):
            yield against(
                f"{quantile} of {kind}, {variant.what}",
                "ms",
                _VARIANTS[variant.against].what,
                Sample.of([mine], 1e3),
                Sample.of([plain], 1e3),
                note=note,
            )


def _quantiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    cuts = quantiles(seconds, n=100, method="inclusive")
    return cuts[49], cuts[98], max(seconds)


def _fate(variant: _Variant, runs: Sequence[dict[str, Any]]) -> str:
    """Return what became of the bars, in a sentence."""
    counts: defaultdict[str, int] = defaultdict(int)
    for each in runs:
        for name, bars in each["counts"].items():
            counts[name] += bars
    fates = ", ".join(f"{bars:,} {name}" for name, bars in counts.items() if bars and name != "recorded")
    iterations = sum(len(each["wall"]) for each in runs)
    what = variant.what[0].upper() + variant.what[1:]
    return f"{what}: {iterations} iterations; of {counts['recorded']:,} bars, {fates}."
