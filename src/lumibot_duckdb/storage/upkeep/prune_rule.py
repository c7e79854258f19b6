"""Rules for `prune`: the age from which on it removes bars, and the series to which that applies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase

from lumibot_duckdb.storage.api import SeriesKey
from lumibot_duckdb.storage.identity import canonical_source
from lumibot_duckdb.storage.timeframes import canonical_timeframe

FOREVER = "forever"
_AGE = re.compile(r"(\d+)([dwy])")
_DAYS = {"d": 1, "w": 7, "y": 365}
_OLDEST = 365 * 1_000


@dataclass(frozen=True, slots=True)
class PruneRule:
    """Which series a rule is about, and how old their bars may become.

    Attributes:
        older_than: bars that start longer ago are removed; None: no bar is.
        symbols: patterns such as "SPY" or "BRK*"; one has to match, in upper or lower case. Empty: any symbol.
        source: the source; None: any.
        timeframe: the timeframe; None: any.

    Example:
        >>> rule = PruneRule.parse("365d symbol=SPY,QQQ* source=polygon timeframe=1min")
        >>> rule.older_than.days, rule.symbols, rule.timeframe
        (365, ('SPY', 'QQQ*'), 'minute')
        >>> str(rule)
        '365d symbol=SPY,QQQ* source=polygon timeframe=minute'
    """

    older_than: timedelta | None
    symbols: tuple[str, ...] = ()
    source: str | None = None
    timeframe: str | None = None

    @classmethod
    def parse(cls, text: str) -> PruneRule:
        """Return a rule from its text. Raises ValueError."""
        words = text.split()
        if not words:
            raise ValueError("a rule begins with an age, as in '365d source=polygon'")
        chosen: dict[str, str] = {}
        for word in words[1:]:
            name, equals, value = word.partition("=")
            if name not in ("symbol", "source", "timeframe") or not equals or not value:
                raise ValueError(f"{word!r} in the rule {text!r}: write symbol=…, source=… or timeframe=…")
            if name in chosen:
                raise ValueError(f"the rule {text!r} has {name}= twice: separate several symbols by commas")
            chosen[name] = value
        return cls.of(
            None if words[0] == FOREVER else parse_age(words[0]),
            tuple(filter(None, chosen.get("symbol", "").split(","))),
            chosen.get("source"),
            chosen.get("timeframe"),
        )

    @classmethod
    def of(
        cls, older_than: timedelta | None, symbols: tuple[str, ...], source: str | None, timeframe: str | None
    ) -> PruneRule:
        """Return a rule with source and timeframe in their canonical spelling. Raises ValueError."""
        return cls(
            older_than,
            symbols,
            None if source is None else canonical_source(source),
            None if timeframe is None else canonical_timeframe(timeframe),
        )

    def matches(self, key: SeriesKey) -> bool:
        """Return whether the rule is about a series."""
        symbol = key.asset.symbol.casefold()
        return (
            self.source in (None, key.source)
            and self.timeframe in (None, key.timeframe)
            and (not self.symbols or any(fnmatchcase(symbol, pattern.casefold()) for pattern in self.symbols))
        )

    def __str__(self) -> str:
        words = [FOREVER if self.older_than is None else age_text(self.older_than)]
        if self.symbols:
            words.append(f"symbol={','.join(self.symbols)}")
        words += [f"source={self.source}"] if self.source is not None else []
        words += [f"timeframe={self.timeframe}"] if self.timeframe is not None else []
        return " ".join(words)


def parse_age(text: str) -> timedelta:
    """Return a duration in days, weeks or years of 365 days. Raises ValueError.

    >>> parse_age("2w").days
    14
    """
    found = _AGE.fullmatch(text.strip().lower())
    days = int(found[1]) * _DAYS[found[2]] if found else -1
    if not 0 <= days <= _OLDEST:
        raise ValueError(f"{text!r} is not an age: write days, weeks or years as 90d, 8w or 2y")
    return timedelta(days)


def age_text(age: timedelta) -> str:
    """Return a duration as `parse_age` reads it. Raises ValueError unless it is a number of days."""
    if age != timedelta(age.days) or age.days < 0:
        raise ValueError(f"{age} is not a whole number of days")
    return f"{age.days}d"


def rule_for(rules: tuple[PruneRule, ...], key: SeriesKey) -> PruneRule | None:
    """Return the first rule that is about a series."""
    return next((rule for rule in rules if rule.matches(key)), None)
