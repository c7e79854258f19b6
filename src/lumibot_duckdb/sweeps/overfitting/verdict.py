"""What the statistics of overfitting mean for a trader, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lumibot_duckdb.sweeps.overfitting.assessment import Assessment
from lumibot_duckdb.sweeps.overfitting.cross_validation import CrossValidation

REQUIRED = 0.95
"""The deflated Sharpe ratio, and the part of simulated sweeps without an edge, that the best trial must exceed."""
HARDLY_BETTER_THAN_DRAWING = 0.4
"""A probability of overfitting from which on choosing the best trial is called luck. Drawing one has 0.5."""

Mood = Literal["good", "bad", "unknown"]

_ADVICE = (
    "Before you trade it, test it on days that this sweep has not seen (--walk-forward), use more days, or try fewer "
    "values of parameters."
)
_ADVICE_AFTER_TESTS = "What the searches before it earned in their tests says more. More days would help."
_LIMITS = (
    "This does not rule out errors in the data, costs that the backtest leaves out, earlier sweeps over the same days, "
    "or a market that changes."
)


@dataclass(frozen=True)
class Verdict:
    """A headline, and sentences that give the reasons. The mood is "bad" if they are a warning."""

    mood: Mood
    headline: str
    sentences: Sequence[str]

    @property
    def warning(self) -> str:
        """The headline and the sentences as one text; "" if there is nothing to warn of."""
        return " ".join((self.headline, *self.sentences)) if self.mood == "bad" else ""


def verdict(found: Assessment, *, has_tests: bool = False) -> Verdict:
    """Return what the statistics mean. `has_tests` says that it is about a search of a walk-forward sweep.

    There are two tests of the best trial's Sharpe ratio: its deflated Sharpe ratio must be at least 95 %, and at most
    5 % of simulated sweeps without an edge may find as high a Sharpe ratio. If it fails both, it is within the range of
    luck. If it fails one, it may be luck. There is one exception: the deflated Sharpe ratio takes all differences
    between trials for luck. If these differ more than in 95 % of the simulated sweeps, parameters matter, and only the
    other test counts.

    If the probability of overfitting is 40 % or more, the choice of the parameters is luck, even if the
    strategy has an edge.

    Example:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from lumibot_duckdb.sweeps.overfitting import assess
        >>> days = pd.date_range("2021-01-01", periods=3 * 365)
        >>> returns = pd.DataFrame(0.01 * np.random.default_rng(1).standard_normal((len(days), 50)), days)
        >>> found = verdict(assess(returns))
        >>> print(found.headline)
        The best of 50 trials is within the range of luck.
        >>> print(found.sentences[0])
        Its Sharpe ratio is 1.36, but without any edge at all, the best of such a sweep reaches that in 36 of 100 cases.
    """
    deflated = found.deflated_sharpe.value
    if found.luck is None or found.sharpe.value is None:
        return Verdict("unknown", "Whether the best trial is luck cannot be said.", [f"{_start(found.sharpe.reason)}."])
    if found.tried == 1:
        return _of_one(found)
    simulated = found.luck.probability <= 1 - REQUIRED
    deflates = deflated is not None and deflated >= REQUIRED
    differs = _differs(found)
    chosen = found.selection
    is_drawn = chosen is not None and chosen.probability >= HARDLY_BETTER_THAN_DRAWING
    sentences = [_compared_with_luck(found), *_deflated(found, simulated and differs)]
    sentences += [] if chosen is None else [_choice(chosen)]
    best = f"The best of {found.tried:,} trials"
    advice = _ADVICE_AFTER_TESTS if has_tests else _ADVICE
    if not simulated and not deflates:
        return Verdict("bad", f"{best} is within the range of luck.", [*sentences, advice])
    if not simulated or not (deflates or differs):
        return Verdict("bad", f"{best} may be luck.", [*sentences, advice])
    if is_drawn:
        return Verdict("bad", f"{best} is beyond the range of luck, but its parameters are not.", [*sentences, advice])
    return Verdict("good", f"{best} is beyond the range of luck.", [*sentences, _LIMITS])


def _differs(found: Assessment) -> bool:
    """Return whether the trials' Sharpe ratios differ more than luck explains."""
    assert found.luck is not None
    return found.spread.value is not None and found.spread.value > float(np.quantile(found.luck.spread, REQUIRED))


def out_of_sample_verdict(found: Assessment) -> Verdict:
    """Return what the tests of a walk-forward sweep mean. `found` assesses all of them as a single trial."""
    probability = found.probabilistic_sharpe.value
    if found.sharpe.value is None or probability is None:
        reason = found.sharpe.reason or found.probabilistic_sharpe.reason
        return Verdict("unknown", "Whether the tests are luck cannot be said.", [f"{_start(reason)}."])
    sentence = (
        f"The parameters that each search chose earned a Sharpe ratio of {found.sharpe.value:.2f} in its test, "
        f"{found.days:,} days in all. The true one is positive with a probability of {percent(probability)}, "
        f"{'at least' if probability >= REQUIRED else 'less than'} the {percent(REQUIRED)} that are usually required."
    )
    if probability < REQUIRED:
        return Verdict("bad", "Out of sample, the sweep is within the range of luck.", [sentence])
    return Verdict("good", "Out of sample, the sweep is beyond the range of luck.", [sentence])


def _of_one(found: Assessment) -> Verdict:
    probability = found.probabilistic_sharpe.value
    if probability is None:
        return Verdict(
            "unknown", "Whether the trial is luck cannot be said.", [f"{_start(found.probabilistic_sharpe.reason)}."]
        )
    sentence = (
        f"Nothing was chosen, since there is one trial only. With a Sharpe ratio of {found.sharpe.value:.2f} in "
        f"{found.days:,} days, the true one is positive with a probability of {percent(probability)}."
    )
    if probability < REQUIRED:
        return Verdict("bad", "The trial is within the range of luck.", [sentence, _ADVICE])
    return Verdict("good", "The trial is beyond the range of luck.", [sentence, _LIMITS])


def _compared_with_luck(found: Assessment) -> str:
    assert found.luck is not None
    often = found.luck.probability
    reaches = f"the best of such a sweep reaches that in {_cases(often)}"
    if often > 1 - REQUIRED:
        return f"Its Sharpe ratio is {found.sharpe.value:.2f}, but without any edge at all, {reaches}."
    return f"Its Sharpe ratio is {found.sharpe.value:.2f}; without any edge, {reaches}."


def _deflated(found: Assessment, is_strict: bool) -> list[str]:
    deflated, expected = found.deflated_sharpe.value, found.expected_maximum.value
    if deflated is None or expected is None:
        return [f"There is no deflated Sharpe ratio: {found.deflated_sharpe.reason}."]
    sides = "at least" if deflated >= REQUIRED else "less than"
    sentences = [
        f"Luck is expected to show {expected:.2f} as the best of trials that differ as much as these. The true Sharpe "
        f"ratio is above that with a probability of {percent(deflated)}, {sides} the {percent(REQUIRED)} that are "
        "usually required."
    ]
    if deflated < REQUIRED and is_strict:
        sentences.append(
            "That is strict here, since it takes all differences between trials for luck: these differ more than luck "
            "explains, so the parameters matter."
        )
    return sentences


def _choice(chosen: CrossValidation) -> str:
    text = (
        "The parameters that were best on one half of the days were in the worse half of the trials on the other days "
        f"in {_cases(chosen.probability)}"
    )
    drawn = chosen.probability >= HARDLY_BETTER_THAN_DRAWING
    return f"{text}: choosing the best is hardly better than drawing lots." if drawn else f"{text}."


def _cases(part: float) -> str:
    if part < 0.01:
        return "less than 1 of 100 cases"
    return "more than 99 of 100 cases" if part > 0.99 else f"{100 * part:.0f} of 100 cases"


def percent(part: float) -> str:
    """Return a probability as people read it; never 0 % or 100 %, which it is not.

    >>> [percent(part) for part in (0.00001, 0.043, 0.95, 0.99999)]
    ['< 0.1 %', '4.3 %', '95 %', '> 99.9 %']
    """
    if part < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if part > 0.999 else f"{100 * part:.3g} %"


def _start(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
